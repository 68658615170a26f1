"""Random circuits in this engine and in Microsoft SEAL, over the same ring and the same primes.

SEAL is reached through TenSEAL's `sealapi`, at the level where scales are its caller's, so that it
is not made to drift by the layer above. It gets a special prime on top of the chain, as it demands.
Both encrypt symmetrically: a public key of SEAL encrypts at the special prime's level and scales
down, which is another scheme than ours.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_rings import chain

from strongroom import engine
from strongroom.engine import Ciphertext, Parameters, SecretKey

Slots = NDArray[np.complex128]
SCALE = 2**40
RUNS = 4


@dataclass(frozen=True)
class Step:
    """At one level: a product and a rescaling, then a sum of one kind."""

    factor: Slots
    term: Slots
    term_is_encrypted: bool


@dataclass(frozen=True)
class Circuit:
    """An input, its steps, and what comes out of exact arithmetic."""

    row: Slots
    steps: tuple[Step, ...]

    def expected(self) -> Slots:
        values = self.row
        for step in self.steps:
            values = values * step.factor + step.term
        return values


def random_circuit(generator: np.random.Generator, slots: int, depth: int) -> Circuit:
    def vector() -> Slots:
        # On the unit circle: messages neither vanish nor grow by more than one a level.
        return np.exp(2j * np.pi * generator.uniform(size=slots))

    return Circuit(
        vector(), tuple(Step(vector(), vector(), bool(generator.integers(2))) for _ in range(depth))
    )


def ours(parameters: Parameters, circuit: Circuit) -> Slots:
    secret = SecretKey.generate(parameters)

    def plain(values: Slots, scale: Fraction, limbs: int) -> engine.Plaintext:
        return engine.encode_slots(parameters, values, scale, limbs)

    value: Ciphertext = secret.encrypt(plain(circuit.row, Fraction(SCALE), parameters.limbs))
    for step in circuit.steps:
        # At the scale of the prime that goes, the message's own is left as it was.
        dropped = Fraction(parameters.primes[value.limbs - 1])
        value = engine.rescale(
            engine.multiply_plain(value, plain(step.factor, dropped, value.limbs)), 1
        )
        term = plain(step.term, value.scale, value.limbs)
        if step.term_is_encrypted:
            value = engine.add(value, secret.encrypt(term))
        else:
            value = engine.add_plain(value, term)
    return np.asarray(engine.decode(secret.decrypt_raw_do_not_publish(value)), np.complex128)


@dataclass
class Seal:
    """A context of SEAL for a ring and a chain."""

    ring_degree: int
    primes: tuple[int, ...]
    special: int
    api: Any = field(default_factory=lambda: importlib.import_module("tenseal.sealapi"))

    def __post_init__(self) -> None:
        parameters = self.api.EncryptionParameters(self.api.SCHEME_TYPE.CKKS)
        parameters.set_poly_modulus_degree(self.ring_degree)
        parameters.set_coeff_modulus([self.api.Modulus(q) for q in (*self.primes, self.special)])
        self.context = self.api.SEALContext(parameters, True, self.api.SEC_LEVEL_TYPE.TC128)
        assert self.context.parameters_set(), self.context.parameters_error_message()
        self.encoder = self.api.CKKSEncoder(self.context)
        self.evaluator = self.api.Evaluator(self.context)

    def run(self, circuit: Circuit) -> Slots:
        generator = self.api.KeyGenerator(self.context)
        secret = generator.secret_key()
        encryptor = self.api.Encryptor(self.context, secret)

        def plain(values: Slots, scale: float, level: list[int]) -> Any:
            plaintext = self.api.Plaintext()
            self.encoder.encode([complex(v) for v in values], level, scale, plaintext)
            return plaintext

        def encrypted(plaintext: Any) -> Any:
            ciphertext = self.api.Ciphertext()
            encryptor.encrypt_symmetric(plaintext, ciphertext)
            return ciphertext

        value = encrypted(plain(circuit.row, float(SCALE), self.context.first_parms_id()))
        for step in circuit.steps:
            dropped = float(self.primes[value.coeff_modulus_size() - 1])
            factor = plain(step.factor, dropped, value.parms_id())
            self.evaluator.multiply_plain_inplace(value, factor)
            self.evaluator.rescale_to_next_inplace(value)
            term = plain(step.term, value.scale, value.parms_id())
            if step.term_is_encrypted:
                self.evaluator.add_inplace(value, encrypted(term))
            else:
                self.evaluator.add_plain_inplace(value, term)
        result = self.api.Plaintext()
        self.api.Decryptor(self.context, secret).decrypt(value, result)
        return np.array(self.encoder.decode_complex(result))


@pytest.mark.long
@pytest.mark.parametrize(("degree", "depth"), [(2**12, 1), (2**13, 3), (2**14, 8)])
def test_random_circuits_are_as_precise_as_those_of_seal(degree: int, depth: int) -> None:
    # What fits under both security tables, SEAL's special prime included.
    first, level, last = {1: (47, 34, 24), 3: (50, 38, 50), 8: (50, 40, 50)}[depth]
    primes = chain(degree, (first, *(level,) * depth))
    special = next(p for p in chain(degree, (last,) * (depth + 2)) if p not in primes)
    parameters = Parameters(degree, primes)
    seal = Seal(degree, primes, special)
    generator = np.random.default_rng(degree)
    errors: dict[str, list[NDArray[np.float64]]] = {"ours": [], "seal": []}
    for _ in range(RUNS):
        circuit = random_circuit(generator, degree // 2, depth)
        expected = circuit.expected()
        errors["ours"].append(np.abs(ours(parameters, circuit) - expected))
        errors["seal"].append(np.abs(seal.run(circuit) - expected))
    size = {name: np.sqrt(np.mean(np.square(e))) for name, e in errors.items()}
    largest = {name: np.max(e) for name, e in errors.items()}
    print(f"N = {degree}, depth {depth}: rms {size}, largest {largest}")
    # A slot's error is a sum of N independent roundings and errors: the mean square over RUNS
    # N / 2 slots is known to sqrt(2 / (RUNS N / 2)) = 1.6 % at N = 2^12, its root to half of that,
    # and what single keys fix to 1 %. Ten per cent is six times as much; a worse rounding, or a
    # drifting scale, costs more at once.
    assert size["ours"] <= 1.10 * size["seal"]
    assert largest["ours"] <= 1.5 * largest["seal"]
    # And neither is lost: at least 20 of the 40 bits of the scale are there.
    assert size["ours"] < 2.0**-20
