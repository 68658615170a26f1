"""The parameter catalogue: the few sets that plans choose from, so that models share keys.

An entry never changes once it has shipped; a better one gets a new name. Names say ring degree,
modulus bits and version.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from strongroom.engine.parameters import Parameters
from strongroom.errors import PolicyError


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A parameter set and what it satisfies.

    Attributes:
        name: as plans write it.
        ring_degree, primes, special_primes: see `Parameters`.
        security: the strictest column of the security table that it satisfies.
    """

    name: str
    ring_degree: int
    primes: tuple[int, ...]
    special_primes: tuple[int, ...]
    security: str


_ENTRIES: Final = (
    # Linear models by coefficients. The first two primes carry a response, the third the room in
    # which a result is flooded, the fourth the precision of the weights.
    CatalogueEntry(
        "n12-q104-v1", 2**12, (4294828033, 4294729729, 40961, 16760833), (), "classical-128"
    ),
    # The same for policies that the first cannot meet: 128 bits against quantum computers, or
    # more flooding.
    CatalogueEntry(
        "n13-q144-v1",
        2**13,
        (4398046150657, 4398045708289, 1073692673, 1073643521),
        (),
        "quantum-128",
    ),
)

CATALOGUE: Final[dict[str, CatalogueEntry]] = {entry.name: entry for entry in _ENTRIES}
"""Entries by name, cheapest first."""

_STRICTER: Final = {"classical-128": 0, "quantum-128": 1}


def satisfying(security: str) -> tuple[CatalogueEntry, ...]:
    """Entries that satisfy a column of the security table, cheapest first."""
    return tuple(e for e in _ENTRIES if _STRICTER[e.security] >= _STRICTER[security])


@lru_cache(maxsize=64)
def catalogued(name: str, kernel: str = "") -> Parameters:
    """Parameters by their name in the catalogue.

    Raises:
        PolicyError: SR-PARAMETERS-UNKNOWN.
    """
    entry = CATALOGUE.get(name)
    if entry is None:
        raise PolicyError(
            "SR-PARAMETERS-UNKNOWN",
            f"parameters {name[:40]!r} are not in the catalogue of this version",
            "Update Strongroom, or protect the model again with this version",
        )
    return Parameters(entry.ring_degree, entry.primes, entry.special_primes, entry.security, kernel)
