"""A process that measures the peaks of circuits, and prints them with the predictions."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
from measuring_peaks import peak
from small_rings import chain, unchecked

from strongroom import engine
from strongroom.engine import Evaluator, Polynomial, PreparedPolynomial, SecretKey
from strongroom.engine.circuit_costs import circuit_peak
from strongroom.engine.square_tower_evaluation import PreparedSquareTower
from strongroom.engine.square_towers import SquareTower


def main() -> None:
    primes = chain(2**15, (45,) * 10)
    parameters = unchecked(2**15, primes[:7], primes[7:])
    limbs, scale = parameters.limbs, Fraction(2) ** 45
    secret = SecretKey.generate(parameters)
    evaluator = Evaluator(secret.evaluation_keys({engine.RELINEARISATION}), threads=1)
    x = engine.encode_slots(parameters, np.zeros(2**14), scale, limbs, transformed=True)
    argument = secret.encrypt(x)
    shared = SquareTower(np.tril(np.ones((3, 3))), np.ones(3), np.array([-0.5, 0.5]))
    slots = np.linspace(0.5, 1.0, 2**14)
    own = SquareTower(shared.factors[..., None] * slots, np.ones((3, 2**14)), shared.interval)
    circuits = {
        "squarings": PreparedSquareTower(parameters, SquareTower.plain(3), limbs, scale),
        "tower": PreparedSquareTower(parameters, shared, limbs, scale),
        "towers by slot": PreparedSquareTower(parameters, own, limbs, scale),
        "polynomial": PreparedPolynomial(parameters, Polynomial(np.ones(8)), limbs, scale),
    }
    found = {}
    for name, circuit in circuits.items():
        evaluator.square(argument, drop=1)
        measured = peak(lambda circuit=circuit: circuit.evaluate(evaluator, argument))
        found[name] = measured, circuit_peak(parameters, circuit.plan)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
