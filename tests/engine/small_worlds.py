"""A small ring with all its keys, numbers to encrypt in it, and a look at what came out."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from strongroom import engine
from strongroom.engine import (
    RELINEARISATION,
    Ciphertext,
    Evaluator,
    Parameters,
    Plaintext,
    SecretKey,
)

Slots = NDArray[np.complex128]
SCALE = Fraction(2) ** 40
CLOSE = 2.0**-25


class World:
    """A small ring, its secret, and an evaluator with every key that there is."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.slots = parameters.ring_degree // 2
        self.secret = SecretKey.generate(parameters)
        elements = [RELINEARISATION, *range(3, 2 * parameters.ring_degree, 2)]
        self.keys = self.secret.evaluation_keys(elements)
        self.evaluator = Evaluator(self.keys, threads=1)
        self.generator = np.random.default_rng(0)

    def numbers(self) -> Slots:
        """Random complex slots."""
        x, y = self.generator.uniform(-1, 1, (2, self.slots))
        return np.asarray(x + 1j * y)

    def plain(self, values: Slots, scale: Fraction = SCALE, limbs: int | None = None) -> Plaintext:
        """Encoded, at all primes by default."""
        return engine.encode_slots(self.parameters, values, scale, limbs or self.parameters.limbs)

    def encrypt(
        self, values: Slots, scale: Fraction = SCALE, limbs: int | None = None
    ) -> Ciphertext:
        """Encrypted, at all primes by default."""
        return self.secret.encrypt(self.plain(values, scale, limbs))

    def some(self) -> tuple[Slots, Ciphertext]:
        """Random slots and their encryption."""
        values = self.numbers()
        return values, self.encrypt(values)

    def assert_holds(self, ciphertext: Ciphertext, expected: Slots, close: float = CLOSE) -> None:
        """That a ciphertext decrypts to some slots."""
        got = engine.decode(self.secret.decrypt_raw_do_not_publish(ciphertext))
        assert np.abs(got - expected).max() < close
