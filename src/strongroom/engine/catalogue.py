"""The parameter catalogue: the few sets that plans choose from, so that models share keys.

An entry never changes once it has shipped; a better one gets a new name. Names say ring degree,
modulus bits and version.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Final

from strongroom.engine.parameters import KERNEL_VARIABLE, Parameters
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
    # Networks whose circuits multiply once: three primes carry the sums, the fourth is dropped by
    # the product, and the last by the first matrix. The special prime is so much larger that what
    # switching keys adds to a request's noise vanishes.
    CatalogueEntry(
        "n13-q172-p42-v1",
        2**13,
        (68719230977, 68720050177, 68720066561, 68720295937, 268369921),
        (4248232869889,),
        "classical-128",
    ),
    # Networks and tree ensembles: primes of 30 bits, of which a level of ciphertext products takes
    # two and a matrix one. Two levels of products fit the first, three the second, seven the third,
    # and thirteen the last: hidden cut points. Special primes are as long, and so as few, as primes
    # can be. Of the first, the last prime is what weights need; the first four and the other five
    # are a digit each, so that at eight primes keys add less noise than a division.
    CatalogueEntry(
        "n14-q267-p147-v1",
        2**14,
        (
            *(1073872897, 1073971201, 1074266113, 1074429953, 1073643521),
            *(1073479681, 1073184769, 1073053697, 133857281),
        ),
        (562949954142209, 562949954961409, 562949955125249),
        "classical-128",
    ),
    CatalogueEntry(
        "n14-q300-p130-v1",
        2**14,
        (
            *(1073643521, 1073872897, 1073971201, 1073479681, 1074266113),
            *(1073184769, 1073053697, 1074429953, 1072857089, 1072496641),
        ),
        (11082382934017, 11082383687681, 11082384965633),
        "classical-128",
    ),
    # For models whose weights are encrypted too: a matrix is a level like any other, and two primes
    # of 33 bits are one. Four levels fit, and the product of the last sums.
    CatalogueEntry(
        "n14-q330-p100-v1",
        2**14,
        (
            *(8589475841, 8589279233, 8588886017, 8588820481, 8588230657),
            *(8588197889, 8588132353, 8587018241, 8586854401, 8586723329),
        ),
        (1102729221734401, 1102729221603329),
        "classical-128",
    ),
    # The same for committees, whose shares are flooded for all answers of a key: three levels of 78
    # bits, and three long primes for the last sums. The special prime is as long as one can be, and
    # every prime a digit: keys are larger than in the next ring, all else is half as long.
    CatalogueEntry(
        "n14-q380-p50-v1",
        2**14,
        (
            *(562949954142209, 562949952798721, 562949952700417),
            *(478589386753, 478590763009, 478589648897),
            *(478590074881, 478589747201, 478590042113),
        ),
        (1125899904679937,),
        "classical-128",
    ),
    CatalogueEntry(
        "n15-q570-p274-v1",
        2**15,
        (
            *(1073872897, 1073479681, 1074266113, 1072496641, 1071513601, 1070727169, 1077477377),
            *(1069219841, 1068564481, 1068433409, 1068236801, 1079443457, 1080360961, 1081212929),
            *(1065811969, 1065484289, 1064697857, 1082982401, 1083703297),
        ),
        (
            *(53329535107073, 53329535041537, 53329533337601),
            *(53329533140993, 53329533075457, 53329532485633),
        ),
        "classical-128",
    ),
    # Fewer, longer primes, for networks whose levels need more than 60 bits each.
    CatalogueEntry(
        "n15-q525-p271-v1",
        2**15,
        (
            *(35184372744193, 35184373006337, 35184373989377, 35184368877569),
            *(35184368025601, 35184367828993, 35184376545281, 35184366911489),
            *(35184377331713, 35184378511361, 35184378707969, 1073872897),
        ),
        (
            *(39039505661953, 39039507234817, 39039509004289),
            *(39039510249473, 39039510839297, 39039512608769),
        ),
        "classical-128",
    ),
    CatalogueEntry(
        "n16-q1170-p482-v1",
        2**16,
        (
            *(1073872897, 1073479681, 1074266113, 1071513601, 1070727169, 1068236801, 1081212929),
            *(1065484289, 1064697857, 1083703297, 1062862849, 1062469633, 1085276161, 1086455809),
            *(1060765697, 1087635457, 1088684033, 1089208321, 1089601537, 1091043329, 1056440321),
            *(1091174401, 1056178177, 1055260673, 1092616193, 1054212097, 1093533697, 1053818881),
            *(1093795841, 1093926913, 1094582273, 1052508161, 1051721729, 1095761921, 1049100289),
            *(1048707073, 1099431937, 1100873729, 1045430273),
        ),
        (
            *(323329843265537, 323329846935553, 323329847328769, 323329849556993, 323329850081281),
            *(323329850867713, 323329852047361, 323329853095937, 323329857421313, 323329863319553),
        ),
        "classical-128",
    ),
    # The same for 128 bits against quantum computers.
    CatalogueEntry(
        "n15-q420-p220-v1",
        2**15,
        (
            *(1073872897, 1073479681, 1074266113, 1072496641, 1071513601, 1070727169, 1077477377),
            *(1069219841, 1068564481, 1068433409, 1068236801, 1079443457, 1080360961, 1081212929),
        ),
        (17592182833153, 17592182243329, 17592181260289, 17592181129217, 17592180736001),
        "quantum-128",
    ),
)

CATALOGUE: Final[dict[str, CatalogueEntry]] = {entry.name: entry for entry in _ENTRIES}
"""Entries by name, cheapest first."""

_STRICTER: Final = {"classical-128": 0, "quantum-128": 1}


def satisfying(security: str, *, switching: bool | None = None) -> tuple[CatalogueEntry, ...]:
    """Entries that satisfy a column of the security table, cheapest first.

    Args:
        switching: with special primes, to switch keys with, or without; None for either.
    """
    return tuple(
        e
        for e in _ENTRIES
        if _STRICTER[e.security] >= _STRICTER[security]
        and switching in (None, bool(e.special_primes))
    )


def catalogued(name: str, kernel: str = "") -> Parameters:
    """Parameters by their name in the catalogue; one object for each name and kernel.

    Args:
        kernel: as for `Parameters`.

    Raises:
        PolicyError: SR-PARAMETERS-UNKNOWN.
    """
    return _catalogued(name, kernel or os.environ.get(KERNEL_VARIABLE, ""))


@cache
def _catalogued(name: str, kernel: str) -> Parameters:
    entry = CATALOGUE.get(name)
    if entry is None:
        raise PolicyError(
            "SR-PARAMETERS-UNKNOWN",
            f"parameters {name[:40]!r} are not in the catalogue of this version",
            "Update Strongroom, or protect the model again with this version",
        )
    return Parameters(entry.ring_degree, entry.primes, entry.special_primes, entry.security, kernel)
