"""The chains of primes of the engine's benchmark: the same data primes for every library.

A chain has data primes, which carry messages, and special primes for switching keys, which carry
none. Libraries are compared at equal data primes; each adds the special primes that its own key
switching wants. SEAL, and TenSEAL on top of it, take one, here of 60 bits as in their manuals: its
size does not change their speed, and the largest gives them the least noise. Strongroom's are as
large as the security table allows (log2 of all primes at most 214, 430 and 868 at N = 2^13, 2^14
and 2^15, docs/reference/crypto.md), which is stricter than SEAL's (218, 438, 881).

For Strongroom a digit of key switching is a run of data primes with a product below that of the
special primes; in the comments, its digits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

PEER_SPECIAL_BITS = 60


@dataclass(frozen=True)
class Chain:
    """Sizes of primes, and the largest primes of these sizes.

    Attributes:
        name: for what it is.
        log_degree: log2 of the ring degree N.
        data_bits: bits of each data prime; rescaling drops from the end.
        special_bits: bits of each of Strongroom's special primes.
        log_scale: log2 of the scale that messages are encoded at.
    """

    name: str
    log_degree: int
    data_bits: tuple[int, ...]
    special_bits: tuple[int, ...]
    log_scale: int

    @property
    def ring_degree(self) -> int:
        """N."""
        return 1 << self.log_degree

    @property
    def slots(self) -> int:
        """N/2."""
        return self.ring_degree // 2

    @property
    def scale(self) -> int:
        """What messages are multiplied by before they are rounded."""
        return 1 << self.log_scale

    @cached_property
    def _primes(self) -> tuple[int, ...]:
        sizes = self.data_bits + self.special_bits
        return largest_primes(self.ring_degree, sizes)

    @property
    def data_primes(self) -> tuple[int, ...]:
        """The data primes, the same for every library."""
        return self._primes[: len(self.data_bits)]

    @property
    def special_primes(self) -> tuple[int, ...]:
        """Strongroom's special primes."""
        return self._primes[len(self.data_bits) :]

    @property
    def peer_special_prime(self) -> int:
        """SEAL's special prime."""
        return largest_primes(self.ring_degree, (PEER_SPECIAL_BITS,))[0]

    @property
    def log_moduli(self) -> tuple[float, float, float]:
        """log2 of the product of the data primes; with Strongroom's special primes; with the
        peer's."""
        data = _log2_product(self.data_primes)
        return (
            data,
            data + _log2_product(self.special_primes),
            data + math.log2(self.peer_special_prime),
        )

    def __str__(self) -> str:
        data, ours, peer = self.log_moduli
        return (
            f"{self.name}: N = 2^{self.log_degree}, {len(self.data_bits)} data primes, "
            f"{_sizes(self.data_bits)} bits, log2 {data:.1f}; with special primes: Strongroom "
            f"{_sizes(self.special_bits)}, log2 {ours:.1f}; peer {PEER_SPECIAL_BITS}, "
            f"log2 {peer:.1f}"
        )


# Special primes are somewhat larger than a digit needs: so the noise of switching keys vanishes in
# that of the rounding at its end, as it does for SEAL. At 2^14, 35 bits are the most with which the
# security table leaves room for special primes that make two digits of 8 data primes; with 38 bits,
# the most for three digits, a key switch takes longer and keys are larger.
OPERATIONS_13 = Chain("operations_13", 13, (40,) * 3, (47,), 38)  # digits of 1 + 1 + 1
OPERATIONS_14 = Chain("operations_14", 14, (35,) * 8, (37,) * 4, 35)  # 4 + 4
THREE_DIGITS_14 = Chain("three_digits_14", 14, (38,) * 8, (42,) * 3, 38)  # 3 + 3 + 2
OPERATIONS_15 = Chain("operations_15", 15, (43,) * 15, (44,) * 5, 38)  # 5 + 5 + 5

# TenSEAL's contexts: data primes of 50 + 40 + 40 bits for a matrix with a level to spare, and
# 50 + 5 x 40 bits for a polynomial of degree 31, which takes it five levels.
MATRIX_13 = Chain("matrix", 13, (50, 40, 40), (42,) * 2, 40)  # 1 + 2
POLYNOMIAL_14 = Chain("polynomial", 14, (50,) + (40,) * 5, (45,) * 4, 40)  # 4 + 2

OPERATIONS = (OPERATIONS_13, OPERATIONS_14, THREE_DIGITS_14, OPERATIONS_15)
ALL = (*OPERATIONS, MATRIX_13, POLYNOMIAL_14)


def largest_primes(ring_degree: int, bit_sizes: tuple[int, ...]) -> tuple[int, ...]:
    """For each size b the next of the largest primes below 2^b that are 1 modulo 2N: distinct, and
    those that SEAL's own `CoeffModulus.Create` takes."""
    step = 2 * ring_degree
    next_candidate = {bits: (1 << bits) - step + 1 for bits in bit_sizes}
    primes = []
    for bits in bit_sizes:
        candidate = next_candidate[bits]
        while not _is_prime(candidate):
            candidate -= step
        next_candidate[bits] = candidate - step
        primes.append(candidate)
    return tuple(primes)


def _is_prime(candidate: int) -> bool:
    """Miller-Rabin; the first twelve primes as bases decide every number below 2^64
    (Sorenson and Webster, Math. Comp. 86, 2017)."""
    bases = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)
    if candidate in bases:
        return True
    odd, twos = candidate - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in bases:
        power = pow(base, odd, candidate)
        if power in (1, candidate - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % candidate
            if power == candidate - 1:
                break
        else:
            return False
    return True


def _sizes(bits: tuple[int, ...]) -> str:
    """`40 + 2 x 38` for (40, 38, 38)."""
    runs: list[list[int]] = []
    for size in bits:
        if runs and runs[-1][1] == size:
            runs[-1][0] += 1
        else:
            runs.append([1, size])
    return " + ".join(f"{count} x {size}" if count > 1 else f"{size}" for count, size in runs)


def _log2_product(primes: tuple[int, ...]) -> float:
    return math.log2(math.prod(primes))
