"""Operations on ciphertexts of very small rings in big integers, bit for bit.

A pair of polynomials is (c0, c1) or (b, a). Where special primes are included, it is P times a
ciphertext and not divided yet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from slow_reference import (
    Polynomial,
    automorphism,
    centred,
    divide,
    from_residues,
    modulo,
    multiply_by_key,
    negacyclic_product,
    plus,
    to_residues,
)
from small_rings import ciphertext_of, extreme_coefficients, integers, key_integers

from strongroom import _native
from strongroom.engine import Ciphertext, Parameters, SwitchingKey

Pair = tuple[Polynomial, Polynomial]
Residues = tuple[list[list[int]], list[list[int]]]


def random_ciphertext(
    parameters: Parameters, generator: np.random.Generator, limbs: int
) -> Ciphertext:
    """Any pair of polynomials, with coefficients that break sloppy rounding."""
    c0, c1 = (extreme_coefficients(generator, parameters, limbs) for _ in range(2))
    return replace(ciphertext_of(parameters, c0, c1, limbs), packing="slots")


@lru_cache(maxsize=64)
def known(key: SwitchingKey) -> list[Pair]:
    """The key's polynomials."""
    return key_integers(key)


class Exact:
    """Operations at one level."""

    def __init__(self, parameters: Parameters, limbs: int) -> None:
        self.primes = parameters.primes[:limbs]
        self.special = parameters.special_primes
        self.modulus = math.prod(self.primes)
        self.product = math.prod(self.special)
        self.zero = [0] * parameters.ring_degree

    def switched(
        self, key: SwitchingKey, x: Polynomial, plus_b: Polynomial, plus_a: Polynomial
    ) -> Pair:
        """The sums for x, plus P times two polynomials; not divided yet."""
        sums = multiply_by_key(x, known(key), self.primes, self.special)
        return self.sum(sums, self.times_special((plus_b, plus_a)))

    def times_special(self, pair: Pair) -> Pair:
        """P times a pair."""
        return [self.product * x for x in pair[0]], [self.product * x for x in pair[1]]

    def sum(self, *pairs: Pair) -> Pair:
        """Modulo all primes."""
        b, a = self.zero, self.zero
        for pair in pairs:
            b, a = plus(b, pair[0]), plus(a, pair[1])
        return modulo(b, self.modulus * self.product), modulo(a, self.modulus * self.product)

    def divided(self, pair: Pair, drop: int = 0) -> Pair:
        """By P and the last primes."""
        divisor = self.product * math.prod(self.primes[len(self.primes) - drop :])
        b, a = (divide(p, divisor, self.modulus * self.product) for p in pair)
        return b, a

    def residues(self, pair: Pair, drop: int = 0) -> Residues:
        """As a ciphertext has them."""
        kept = self.primes[: len(self.primes) - drop]
        return to_residues(pair[0], kept), to_residues(pair[1], kept)

    def turned(self, key: SwitchingKey, ciphertext: Pair) -> Pair:
        """After the key's automorphism."""
        c0, c1 = ciphertext
        b, a = self.divided(self.switched(key, c1, c0, self.zero))
        return automorphism(b, key.element), automorphism(a, key.element)

    def three_components(
        self, pairs: Sequence[tuple[Pair, Pair]]
    ) -> tuple[Polynomial, Polynomial, Polynomial]:
        """d0, d1, d2 with the sum of products d0 + d1 s + d2 s^2."""
        d0, d1, d2 = self.zero, self.zero, self.zero
        for (a0, a1), (b0, b1) in pairs:
            d0 = plus(d0, negacyclic_product(a0, b0))
            d1 = plus(d1, plus(negacyclic_product(a0, b1), negacyclic_product(a1, b0)))
            d2 = plus(d2, negacyclic_product(a1, b1))
        return modulo(d0, self.modulus), modulo(d1, self.modulus), modulo(d2, self.modulus)

    def product_of(
        self,
        key: SwitchingKey,
        pairs: Sequence[tuple[Ciphertext, Ciphertext]],
        drop: int,
        times: int = 1,
    ) -> Residues:
        """The relinearised sum of products, each of them so many times."""
        d0, d1, d2 = (
            modulo([times * x for x in d], self.modulus)
            for d in self.three_components([(integers(a), integers(b)) for a, b in pairs])
        )
        return self.residues(self.divided(self.switched(key, d2, d0, d1), drop), drop)

    def giant_step(self, key: SwitchingKey | None, step: Pair) -> Pair:
        """A giant step's automorphism, on what is not divided yet and without dividing c0."""
        if key is None:
            return step
        b, a = self.switched(key, self.divided(step)[1], self.zero, self.zero)
        b = plus(b, step[0])
        return automorphism(b, key.element), automorphism(a, key.element)

    def transformed_plain(
        self,
        ciphertext: Ciphertext,
        babies: Sequence[SwitchingKey | None],
        giants: Sequence[SwitchingKey | None],
        diagonals: Mapping[tuple[int, int], Polynomial],
        drop: int,
    ) -> Residues:
        """Double hoisting. Diagonals by places of their giant and their baby step."""
        c0, c1 = integers(ciphertext)
        rotated = []
        for key in babies:
            if key is None:
                rotated.append(self.times_special((c0, c1)))
                continue
            b, a = self.switched(key, c1, c0, self.zero)
            rotated.append((automorphism(b, key.element), automorphism(a, key.element)))
        steps = []
        for i, key in enumerate(giants):
            products: list[Pair] = [
                (negacyclic_product(d, rotated[j][0]), negacyclic_product(d, rotated[j][1]))
                for (giant, j), d in diagonals.items()
                if giant == i
            ]
            steps.append(self.giant_step(key, self.sum(*products)))
        return self.residues(self.divided(self.sum(*steps), drop), drop)

    def transformed_encrypted(
        self,
        ciphertext: Ciphertext,
        babies: Sequence[SwitchingKey | None],
        giants: Sequence[SwitchingKey | None],
        diagonals: Mapping[tuple[int, int], Pair],
        relinearisation: SwitchingKey,
        drop: int,
    ) -> Residues:
        """Hoisted baby steps, one relinearisation for each giant step."""
        x = integers(ciphertext)
        rotated = [x if key is None else self.turned(key, x) for key in babies]
        steps = []
        for i, key in enumerate(giants):
            d0, d1, d2 = self.three_components(
                [(d, rotated[j]) for (giant, j), d in diagonals.items() if giant == i]
            )
            step = self.switched(relinearisation, d2, d0, d1)
            steps.append(self.giant_step(key, step))
        return self.residues(self.divided(self.sum(*steps), drop), drop)


def plaintext_integers(plaintext: _native.Plaintext, primes: Sequence[int]) -> Polynomial:
    """The small integers of an encoded message, from its residues modulo data primes."""
    rows = plaintext.residues().tolist()[: len(primes)]
    return centred(from_residues(rows, primes), math.prod(primes))
