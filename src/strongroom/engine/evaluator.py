"""Computing on ciphertexts with evaluation keys.

Scales are exact: a product's is the product of its factors', divided by the primes that a rescaling
drops. An operation returns a new ciphertext and leaves its operands as they were; an evaluator may
be used from several threads at once.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from strongroom import _native
from strongroom.engine.ciphertext import Ciphertext, Packing, Plaintext
from strongroom.engine.galois import RELINEARISATION, conjugation_element, rotation_element
from strongroom.engine.parameters import Parameters
from strongroom.engine.switching_keys import KeySource, require_elements

_TWO_52 = 2**52


def available_threads() -> int:
    """How many processors this process may run on."""
    return len(os.sched_getaffinity(0))


class Evaluator:
    """Operations on ciphertexts of one parameter set.

    Args:
        keys: evaluation keys; an operation names those that are missing.
        threads: how many threads one call uses; all processors of this process by default.

    Raises (all operations):
        ValueError: operands of different parameters, packings, levels or scales, or a `drop` that
            leaves no prime.
        KeyStoreError: SR-KEYS-MISSING.
    """

    def __init__(self, keys: KeySource, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise ValueError("a call needs at least one thread")
        self.keys = keys
        self.threads = threads or available_threads()

    @property
    def parameters(self) -> Parameters:
        """The parameters of keys and ciphertexts."""
        return self.keys.parameters

    # Sums

    def add(self, a: Ciphertext, b: Ciphertext) -> Ciphertext:
        """a + b, at equal scales and levels."""
        return self._sum(a, b, 1)

    def subtract(self, a: Ciphertext, b: Ciphertext) -> Ciphertext:
        """a - b, at equal scales and levels."""
        return self._sum(a, b, -1)

    def negate(self, a: Ciphertext) -> Ciphertext:
        """-a."""
        return self._combined([a], [-1], 0, a.limbs, a.scale)

    def linear_combination(
        self,
        ciphertexts: Sequence[Ciphertext],
        factors: Sequence[float | Fraction],
        scale: Fraction,
        *,
        constant: float | Fraction = 0,
        drop: int = 0,
    ) -> Ciphertext:
        """The sum of factor i times ciphertext i, plus a constant in every slot.

        Factors are rounded to integers: factor i to a multiple of ciphertext i's scale divided by
        `scale`, the constant to a multiple of 1 / scale. The level is the lowest of all.

        Args:
            ciphertexts: at any levels and scales.
            factors: as many real numbers.
            scale: of the result, before the rescaling.
            constant: real; for ciphertexts packed by slots.
            drop: how many primes to rescale by afterwards.
        """
        if not ciphertexts or len(ciphertexts) != len(factors):
            raise ValueError("each ciphertext has a factor")
        if scale <= 0:
            raise ValueError("a scale is positive")
        integers = [
            round(Fraction(f) * scale / c.scale) for f, c in zip(factors, ciphertexts, strict=True)
        ]
        if constant and ciphertexts[0].packing != "slots":
            raise ValueError("a constant in every slot needs ciphertexts packed by slots")
        limbs = min(c.limbs for c in ciphertexts)
        result = self._combined(
            ciphertexts, integers, round(Fraction(constant) * scale), limbs, scale
        )
        return self.rescale(result, drop) if drop else result

    # Products

    def multiply(self, a: Ciphertext, b: Ciphertext, *, drop: int = 0) -> Ciphertext:
        """a times b, slot by slot, relinearised, then rescaled by the last `drop` primes."""
        return self.sum_of_products([(a, b)], drop=drop)

    def square(self, a: Ciphertext, *, drop: int = 0) -> Ciphertext:
        """a times a."""
        return self.sum_of_products([(a, a)], drop=drop)

    def sum_of_products(
        self, pairs: Sequence[tuple[Ciphertext, Ciphertext]], *, drop: int = 0
    ) -> Ciphertext:
        """The sum of products of pairs, with one relinearisation and one rescaling.

        Args:
            pairs: products of their scales are equal. The result has the lowest of all levels.
            drop: how many primes of that level to rescale by.
        """
        if not pairs:
            raise ValueError("a sum of products has at least one")
        scale = pairs[0][0].scale * pairs[0][1].scale
        if any(a.scale * b.scale != scale for a, b in pairs):
            raise ValueError("a sum needs equal scales")
        self._require(*(c for pair in pairs for c in pair))
        limbs = min(c.limbs for pair in pairs for c in pair)
        require_room(self.parameters, scale, limbs)
        dropped = self._dropped(scale, limbs, drop)
        native = _native.sum_of_products(
            self.parameters.native,
            [a.native for a, _ in pairs],
            [b.native for _, b in pairs],
            self.keys.key(RELINEARISATION).native,
            drop,
            self.threads,
        )
        return self._ciphertext(native, dropped, pairs[0][0].packing)

    def multiply_plain(self, a: Ciphertext, b: Plaintext, *, drop: int = 0) -> Ciphertext:
        """a times a plaintext, slot by slot, then rescaled by the last `drop` primes."""
        self._require(a)
        if b.parameters is not self.parameters or b.packing != a.packing:
            raise ValueError("operands of different parameters or packings")
        scale = a.scale * b.scale
        require_room(self.parameters, scale, a.limbs)
        native = _native.multiply_plain(a.native, b.native, self.threads)
        product = self._ciphertext(native, scale, a.packing)
        return self.rescale(product, drop) if drop else product

    def rescale(self, a: Ciphertext, drop: int) -> Ciphertext:
        """Divide message and modulus by the last `drop` primes (a composite level) and round."""
        self._require(a)
        scale = self._dropped(a.scale, a.limbs, drop)
        native = _native.rescale(a.native, drop, self.threads)
        return self._ciphertext(native, scale, a.packing)

    # Automorphisms

    def rotate(self, a: Ciphertext, steps: int) -> Ciphertext:
        """Slots rotated to the left: slot j of the result is slot j + steps, cyclic in N/2."""
        self._require_slots(a)
        return self.automorphism(a, rotation_element(self.parameters, steps))

    def conjugate(self, a: Ciphertext) -> Ciphertext:
        """Every slot conjugated."""
        self._require_slots(a)
        return self.automorphism(a, conjugation_element(self.parameters))

    def automorphism(self, a: Ciphertext, element: int) -> Ciphertext:
        """X -> X^element, in either packing."""
        self._require(a)
        if element == 1:
            return a
        native = _native.apply_automorphism(
            self.parameters.native, a.native, self.keys.key(element).native, self.threads
        )
        return self._ciphertext(native, a.scale, a.packing)

    def add_automorphism(self, a: Ciphertext, element: int, added: Ciphertext) -> Ciphertext:
        """`added` plus X -> X^element of a, at equal scales and levels: a step of a sum over
        rotations, without a ciphertext in between."""
        self._require(a, added)
        if element == 1:
            return self.add(a, added)
        if (a.scale, a.limbs) != (added.scale, added.limbs):
            raise ValueError("a sum needs equal scales and levels")
        native = _native.add_automorphism(
            self.parameters.native,
            a.native,
            self.keys.key(element).native,
            added.native,
            self.threads,
        )
        return self._ciphertext(native, a.scale, a.packing)

    def rotate_many(self, a: Ciphertext, steps: Sequence[int]) -> list[Ciphertext]:
        """Several rotations of one ciphertext, hoisted: together much cheaper than one by one."""
        self._require(a)
        self._require_slots(a)
        elements = [rotation_element(self.parameters, k) for k in steps]
        turning = sorted(set(elements) - {1})
        require_elements(self.keys, turning)
        natives = _native.apply_automorphisms(
            self.parameters.native,
            a.native,
            [self.keys.key(e).native for e in turning],
            self.threads,
        )
        by_element = {
            e: self._ciphertext(native, a.scale, a.packing)
            for e, native in zip(turning, natives, strict=True)
        }
        return [a if e == 1 else by_element[e] for e in elements]

    def sum_slots(self, a: Ciphertext, count: int, stride: int = 1) -> Ciphertext:
        """Slot j of the result is the sum of slots j, j + stride, ... j + (count - 1) stride.

        Doubles and adds; `sum_steps` are the rotations.
        """
        if count < 1:
            raise ValueError("a sum has at least one term")
        self._require_slots(a)
        result, held = a, 1
        for bit in bin(count)[3:]:
            element = rotation_element(self.parameters, held * stride)
            result = self.add_automorphism(result, element, result)
            held *= 2
            if bit == "1":
                element = rotation_element(self.parameters, stride)
                result = self.add_automorphism(result, element, a)
                held += 1
        return result

    def _require(self, *ciphertexts: Ciphertext) -> None:
        if any(c.parameters is not self.parameters for c in ciphertexts):
            raise ValueError("a ciphertext of other parameters")
        if len({c.packing for c in ciphertexts}) > 1:
            raise ValueError("operands of different packings")

    def _require_slots(self, ciphertext: Ciphertext) -> None:
        if ciphertext.packing != "slots":
            raise ValueError("a rotation acts on slots")

    def _dropped(self, scale: Fraction, limbs: int, drop: int) -> Fraction:
        if not 0 <= drop < limbs:
            raise ValueError("rescaling keeps at least one prime")
        for prime in self.parameters.primes[limbs - drop : limbs]:
            scale /= prime
        return scale

    def _ciphertext(
        self, native: _native.Ciphertext, scale: Fraction, packing: Packing
    ) -> Ciphertext:
        return Ciphertext(native, self.parameters, scale, packing)

    def _sum(self, a: Ciphertext, b: Ciphertext, sign: int) -> Ciphertext:
        if a.scale != b.scale or a.limbs != b.limbs:
            raise ValueError("a sum needs equal scales and levels")
        return self._combined([a, b], [1, sign], 0, a.limbs, a.scale)

    def _combined(
        self,
        ciphertexts: Sequence[Ciphertext],
        integers: Sequence[int],
        constant: int,
        limbs: int,
        scale: Fraction,
    ) -> Ciphertext:
        self._require(*ciphertexts)
        primes = self.parameters.primes[:limbs]
        factors: NDArray[np.uint64] = np.array(
            [[i * _TWO_52 % q for i in integers] for q in primes], dtype=np.uint64
        )
        constants: NDArray[np.uint64] = np.array([constant % q for q in primes], dtype=np.uint64)
        native = _native.linear_combination(
            self.parameters.native,
            [c.native for c in ciphertexts],
            factors,
            constants,
            self.threads,
        )
        return self._ciphertext(native, scale, ciphertexts[0].packing)


def require_room(parameters: Parameters, scale: Fraction, limbs: int) -> None:
    """That a product's scale leaves room for any message at all.

    Raises:
        ValueError: it does not; the product would wrap around and say nothing.
    """
    if 2 * scale.numerator >= parameters.modulus(limbs) * scale.denominator:
        raise ValueError(
            f"a product of scale 2^{math.log2(scale):.0f} does not fit a modulus of {limbs} primes"
        )


def sum_steps(count: int, stride: int = 1) -> frozenset[int]:
    """The rotations that `Evaluator.sum_slots` needs."""
    steps: set[int] = set()
    held = 1
    for bit in bin(count)[3:]:
        steps.add(held * stride)
        held *= 2
        if bit == "1":
            steps.add(stride)
            held += 1
    return frozenset(steps)
