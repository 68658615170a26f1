"""Strongroom's side of the engine's benchmark. The operations have the names that `Seal` has."""

from __future__ import annotations

import copy
from fractions import Fraction
from typing import Any, Self

import numpy as np
from engine_chains import Chain
from numpy.typing import NDArray

from strongroom import engine
from strongroom.engine.evaluator import Evaluator
from strongroom.engine.galois import RELINEARISATION, rotation_element
from strongroom.engine.key_serialisation import switching_key_to_bytes
from strongroom.engine.matrix_products import MatrixProduct
from strongroom.engine.polynomial_evaluation import PreparedPolynomial
from strongroom.engine.polynomials import Polynomial


class _Engine:
    """Parameters and a secret key for a chain; one thread."""

    def __init__(self, chain: Chain, kernel: str = "") -> None:
        self._scale = Fraction(chain.scale)
        self._parameters = engine.Parameters(
            chain.ring_degree, chain.data_primes, chain.special_primes, kernel=kernel
        )
        self._secret = engine.SecretKey.generate(self._parameters)

    def _open(self, elements: set[int] | frozenset[int]) -> None:
        """Make evaluation keys."""
        self._evaluator = Evaluator(self._secret.evaluation_keys(elements), threads=1)

    def on_threads(self, threads: int) -> Self:
        """The same with so many threads, sharing keys and ciphertexts."""
        other = copy.copy(self)
        other._evaluator = Evaluator(self._evaluator.keys, threads)
        return other

    def _encode(self, values: NDArray[Any]) -> engine.Plaintext:
        """Ready to be multiplied by, as SEAL's are."""
        return engine.encode_slots(
            self._parameters, values, self._scale, self._parameters.limbs, transformed=True
        )

    def _decrypt(self, ciphertext: engine.Ciphertext) -> engine.Plaintext:
        return self._secret.decrypt_raw_do_not_publish(ciphertext)


class Ours(_Engine):
    """Keys for one chain, and two encrypted vectors to work on.

    Args:
        chain: its primes.
        first, second: what is encrypted, with the secret key, shape (N/2,).
        kernel: the fastest if empty.
    """

    def __init__(
        self,
        chain: Chain,
        first: NDArray[np.complex128],
        second: NDArray[np.complex128],
        *,
        kernel: str = "",
    ) -> None:
        super().__init__(chain, kernel)
        self._open({RELINEARISATION, rotation_element(self._parameters, 1)})
        self._public = self._secret.public_key(self._parameters.limbs)
        self._vector = first
        self._plaintext = self._encode(first)
        self._factor = self._encode(second)
        self._ciphertext = self._secret.encrypt(self._plaintext)
        self._other = self._secret.encrypt(self._factor)
        self._product = self.multiply()

    def rotate(self) -> engine.Ciphertext:
        """The first vector, rotated by one slot."""
        return self._evaluator.rotate(self._ciphertext, 1)

    def multiply(self) -> engine.Ciphertext:
        """The relinearised product of both vectors."""
        return self._evaluator.multiply(self._ciphertext, self._other)

    def rescale(self) -> engine.Ciphertext:
        """That product, rescaled by one prime."""
        return self._evaluator.rescale(self._product, 1)

    def multiply_plain(self) -> engine.Ciphertext:
        """The first vector times the second as a plaintext."""
        return self._evaluator.multiply_plain(self._ciphertext, self._factor)

    def encode(self) -> engine.Plaintext:
        """The first vector as a plaintext at all levels."""
        return self._encode(self._vector)

    def encrypt(self) -> engine.Ciphertext:
        """The first vector under the public key."""
        return self._public.encrypt(self._plaintext)

    def decrypt(self) -> engine.Plaintext:
        """The plaintext of the encrypted first vector."""
        return self._decrypt(self._ciphertext)

    def decrypt_and_decode(self) -> NDArray[Any]:
        """The encrypted first vector, back in the clear."""
        return engine.decode(self.decrypt())

    def values(self, result: Any) -> NDArray[Any]:
        """What a result of the above holds, shape (N/2,)."""
        if isinstance(result, np.ndarray):
            return result
        if isinstance(result, engine.Ciphertext):
            result = self._decrypt(result)
        return engine.decode(result)

    def key_bytes(self, steps: list[int]) -> int:
        """Rotation keys as they travel."""
        keys = [self._secret.switching_key(rotation_element(self._parameters, k)) for k in steps]
        return sum(len(switching_key_to_bytes(key)) for key in keys)


class OurMatrix(_Engine):
    """A matrix, in plaintext or encrypted diagonals, and an encrypted vector.

    Args:
        chain: its primes.
        matrix: shape (outputs, inputs).
        vector: shape (inputs,).
        encrypted: whether the diagonals are.
    """

    def __init__(
        self,
        chain: Chain,
        matrix: NDArray[np.float64],
        vector: NDArray[np.float64],
        *,
        encrypted: bool = False,
    ) -> None:
        super().__init__(chain)
        self._matrix = (
            MatrixProduct.encrypted(self._secret, matrix, scale=self._scale)
            if encrypted
            else MatrixProduct.plain(self._parameters, matrix, scale=self._scale)
        )
        self._open(self._matrix.elements)
        self._vector = self._secret.encrypt(self._encode(self._matrix.layout.spread(vector)))

    def multiply(self) -> engine.Ciphertext:
        """The matrix times the vector, rescaled by one prime."""
        return self._matrix.apply(self._evaluator, self._vector, drop=1)

    def values(self, result: engine.Ciphertext) -> NDArray[np.float64]:
        """What a result holds, shape (outputs,)."""
        slots = np.real(engine.decode(self._decrypt(result)))
        return self._matrix.layout.gather(slots)


class OurPolynomial(_Engine):
    """A polynomial and an encrypted vector.

    Args:
        chain: its primes.
        coefficients: constant first.
        values: shape (N/2,).
    """

    def __init__(
        self, chain: Chain, coefficients: NDArray[np.float64], values: NDArray[np.float64]
    ) -> None:
        super().__init__(chain)
        self._open({RELINEARISATION})
        self._polynomial = PreparedPolynomial(
            self._parameters,
            Polynomial(coefficients, basis="power"),
            self._parameters.limbs,
            self._scale,
        )
        self._vector = self._secret.encrypt(self._encode(values))

    def evaluate(self) -> engine.Ciphertext:
        """The polynomial at every value."""
        return self._polynomial.evaluate(self._evaluator, self._vector)

    def values(self, result: engine.Ciphertext) -> NDArray[np.float64]:
        """What a result holds, shape (N/2,)."""
        return np.real(engine.decode(self._decrypt(result)))
