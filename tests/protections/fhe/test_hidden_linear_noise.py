"""Noise of hidden linear models' results, measured against the bound that flooding is sized by.

Everything is followed in integers: what rows and weights are encoded as, their exact inner products
and the exact opening of a result. The rest is noise.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hidden_exchanges import HIDE, CommitteeExchange, HiddenExchange, Table
from numpy.typing import NDArray

from strongroom.compiler.affine import Affine
from strongroom.compiler.hidden_linear import hidden_weights
from strongroom.compiler.hidden_precision import hidden_flood, result_bound
from strongroom.compiler.linear import ScaledAffine
from strongroom.compiler.noise import TAIL
from strongroom.engine import Ciphertext
from strongroom.engine.debugging import RawDecryptor
from strongroom.protections.fhe.hidden_linear_circuit import HiddenLinearCircuit
from strongroom.protections.fhe.hidden_linear_results import read_results

ROUNDS = 4
ROWS = 264
"""A full ciphertext."""


def integers(values: Table, log_scale: int) -> NDArray[np.object_]:
    """As they are encoded: rounded to integers, halves away from zero."""
    scaled = [Fraction(float(value)) * Fraction(2) ** log_scale for value in values.ravel()]
    rounded = [math.floor(abs(x) + Fraction(1, 2)) * (1 if x >= 0 else -1) for x in scaled]
    return np.array(rounded, dtype=object).reshape(values.shape)


def opened(
    ciphertext: Ciphertext, secret: RawDecryptor, positions: NDArray[np.uint32]
) -> list[int]:
    """c0 + c1 s at some coefficients, as centred integers."""
    residues = secret.decrypt_raw_do_not_publish(ciphertext).native.residues()
    primes = ciphertext.parameters.primes[: ciphertext.limbs]
    modulus = math.prod(primes)
    basis = [(modulus // q) * pow(modulus // q, -1, q) for q in primes]
    values = []
    for position in positions.tolist():
        value = sum(int(row[position]) * b for row, b in zip(residues, basis, strict=True))
        value %= modulus
        values.append(value - modulus if value > modulus // 2 else value)
    return values


def noise_of(
    exchange: HiddenExchange | CommitteeExchange, secret: RawDecryptor, z: Table
) -> list[float]:
    """The noise of every score of one request about rows that z says, at the response's level."""
    circuit = exchange.circuit
    layout = circuit.layout
    rows = np.array(layout.centre) + z * np.array(layout.half_width)
    pending = exchange.request(rows)
    response = exchange.answer(pending.body)
    centre, half_width = np.array(layout.centre), np.array(layout.half_width)
    model = ScaledAffine.of(Affine(exchange.weights, exchange.bias), centre, half_width)
    encoded = (rows - centre) / half_width
    x = integers(
        np.hstack([encoded, np.full((len(z), 1), layout.headroom)]), layout.log_input_scale
    )
    w = integers(hidden_weights(model, layout.headroom, layout.log_bound), layout.log_weight_scale)
    dropped = math.prod(circuit.parameters.primes[layout.response_limbs : layout.input_limbs])
    found = []
    at = 0
    for place, ciphertext in read_results(circuit, pending.envelope, response):
        got = opened(ciphertext, secret, place.positions)
        exact = x[at : at + place.rows] @ w.T
        at += place.rows
        found += [
            float(value - Fraction(product, dropped))
            for value, product in zip(got, exact.ravel().tolist(), strict=True)
        ]
    return found


def bound_of(circuit: HiddenLinearCircuit) -> float:
    layout = circuit.layout
    return result_bound(
        circuit.parameters,
        circuit.limbs,
        layout.log_input_scale,
        layout.log_weight_scale,
        circuit.shape,
        layout.holding,
    )


@pytest.mark.filterwarnings("ignore::strongroom.errors.InputRangeWarning")
@pytest.mark.parametrize("held", ["by an owner", "by a committee"])
@pytest.mark.parametrize("reach", [1.0, 8.0])
def test_noise_of_many_results_stays_under_the_bound_that_is_flooded(
    held: str, reach: float
) -> None:
    """One output over 30 columns: ROUNDS x 264 x 2 results, under new keys and weights each."""
    generator = np.random.default_rng([23, int(reach)])
    noise: list[float] = []
    for _ in range(ROUNDS):
        weights, bias = generator.normal(size=(1, 30)), generator.normal(size=1)
        sample = generator.uniform(-1, 1, (100, 30))
        make = HiddenExchange.over if held == "by an owner" else CommitteeExchange.over
        exchange: HiddenExchange | CommitteeExchange = make(weights, bias, sample)
        # At the corners of what is accepted rows are as large as rows can be.
        z = reach * np.sign(generator.uniform(-1, 1, (2 * ROWS, 30)))
        noise += noise_of(exchange, exchange.secret, z)
    bound = bound_of(exchange.circuit)
    assert len(noise) == ROUNDS * 2 * ROWS
    assert max(map(abs, noise)) < bound
    deviation = float(np.std(noise))
    assert deviation < 1.05 * bound / TAIL
    # The bound is for any model of this shape; what it is loose by is no more than three bits.
    assert deviation > bound / TAIL / 8.0
    assert abs(float(np.mean(noise))) < 6.0 * deviation / math.sqrt(ROUNDS * 2)


def test_the_flood_covers_every_answer_of_the_budget_and_its_proof() -> None:
    generator = np.random.default_rng(29)
    exchange = CommitteeExchange.over(
        generator.normal(size=(1, 30)), np.ones(1), generator.uniform(-1, 1, (100, 30))
    )
    circuit = exchange.circuit
    budget = circuit.layout.holding.share_budget
    assert budget == 1 << 20
    # A proof is 24 observations of the share with 16 times the deviation.
    told = budget * (1 + 24 / 16**2)
    expected = 30 + 0.5 * math.log2(told * ROWS) + math.log2(bound_of(circuit)) - 1
    assert circuit.layout.decryption_log_sigma == pytest.approx(expected, abs=1e-6)
    layout = circuit.layout
    again = hidden_flood(
        circuit.parameters,
        circuit.limbs,
        layout.log_input_scale,
        layout.log_weight_scale,
        circuit.shape,
        layout.holding,
        HIDE,
    )
    assert again == pytest.approx(expected, abs=1e-6)
