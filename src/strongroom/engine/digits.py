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
    most = math.prod(special_primes)
    digits: list[tuple[int, ...]] = []
    begin = 0
    for i in range(1, limbs):
        longer = primes[begin : i + 1]
        fits = len(longer) <= _MOST_PRIMES and sum(longer) <= _LARGEST_SUM
        if math.prod(longer) > most or not fits:
            digits.append(primes[begin:i])
            begin = i
    return (*digits, primes[begin:limbs])
