"""How key switching groups the data primes: `Parameters::digit_ends` of the core, for planning."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

_MOST_PRIMES: Final = 16
_LARGEST_SUM: Final = 2**53
"""What the core converts from at once: native/ring/kernel.hpp."""


@lru_cache(maxsize=1024)
def digit_primes(
    primes: tuple[int, ...], special_primes: tuple[int, ...], limbs: int
) -> tuple[tuple[int, ...], ...]:
    """The primes of each digit of a ciphertext of `limbs` primes.

    From the first prime on, a digit takes as many as its product may have, that of the special
    primes, and as the core converts at once. The last digit is cut off where the ciphertext's
    primes end.

    Args:
        primes, special_primes: of the parameters.
        limbs: the level.

    Raises:
        ValueError: no special primes, or no such level.
    """
    if not special_primes:
        raise ValueError("these parameters have no special primes to switch keys with")
    if not 1 <= limbs <= len(primes):
        raise ValueError(f"a ciphertext has 1 to {len(primes)} primes, not {limbs}")
    # Logarithms, their sums and the tolerance are the core's, so that ties fall as they do there.
    most = 0.0
    for prime in special_primes:
        most += math.log2(prime)
    most += 1e-12
    digits: list[tuple[int, ...]] = []
    begin, log_digit = 0, 0.0
    for i, prime in enumerate(primes[:limbs]):
        too_many = i - begin == _MOST_PRIMES or sum(primes[begin : i + 1]) > _LARGEST_SUM
        if i > begin and (log_digit + math.log2(prime) > most or too_many):
            digits.append(primes[begin:i])
            begin, log_digit = i, 0.0
        log_digit += math.log2(prime)
    return (*digits, primes[begin:limbs])
