"""The security table, row by row, and every way that parameters can be refused."""

from __future__ import annotations

import hashlib
import math
from itertools import count

import pytest
from slow_reference import is_prime, ntt_primes
from small_rings import unchecked

from strongroom import _native_testing, engine
from strongroom.engine import Parameters, largest_log_modulus
from strongroom.errors import PolicyError

# Bossuat et al., "Security Guidelines for Implementing Homomorphic Encryption", IACR CiC 1(4),
# 2024 (eprint 2024/463), table 5.2: uniform ternary secrets; classical, then quantum.
TABLE = [
    (2**10, 26, 20),
    (2**11, 53, 40),
    (2**12, 106, 80),
    (2**13, 214, 161),
    (2**14, 430, 322),
    (2**15, 868, 644),
    (2**16, 1747, 1289),
    (2**17, 3523, 2578),
]
COLUMNS = [("classical-128", 1), ("quantum-128", 2)]
every_cell = pytest.mark.parametrize(
    ("security", "degree", "largest"),
    [(security, row[0], row[column]) for security, column in COLUMNS for row in TABLE],
)


@every_cell
def test_the_security_table_is_the_published_one(security: str, degree: int, largest: int) -> None:
    assert largest_log_modulus(security, degree) == largest


def test_the_security_table_has_no_other_row_or_column() -> None:
    for degree in (0, 1, 2**9, 2**18, 3 * 2**11, 4095, 4097):
        assert largest_log_modulus("classical-128", degree) == 0
    for security in ("", "none", "classical", "classical-127", "CLASSICAL-128", "classical-128 "):
        with pytest.raises(ValueError, match="no column"):
            largest_log_modulus(security, 2**12)
        with pytest.raises(ValueError, match="no column"):
            Parameters(2**12, (40961,), security=security)


def first_prime(start: int, step: int, others: tuple[int, ...] = ()) -> int:
    """The first prime from `start` on, in steps up or down, that is none of the others."""
    return next(n for n in count(start, step) if is_prime(n) and n not in others)


def chains_around(degree: int, largest: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The longest chain inside of 2^largest, and the shortest outside, for all primes but one."""
    total = -(-largest // 48)
    lengths = [largest // total + (i < largest % total) for i in range(total)][:-1]
    of_length = {bits: ntt_primes(degree, bits) for bits in set(lengths)}
    fixed = tuple(next(of_length[bits]) for bits in lengths)
    step = 2 * degree
    edge = (2**largest // math.prod(fixed) - 1) // step * step + 1
    return (
        (*fixed, first_prime(edge, -step, fixed)),
        (*fixed, first_prime(edge + step, step, fixed)),
    )


@every_cell
def test_the_floor_is_exactly_the_table(security: str, degree: int, largest: int) -> None:
    inside, outside = chains_around(degree, largest)
    assert largest - 0.1 < math.log2(math.prod(inside)) <= largest
    assert largest < math.log2(math.prod(outside)) < largest + 0.1
    parameters = Parameters(degree, inside, security=security)
    assert parameters.log_modulus == pytest.approx(math.log2(math.prod(inside)), abs=1e-9)
    extra = first_prime(2 * degree + 1, 2 * degree, inside)
    for primes, special in (
        (outside, ()),
        (outside[:1], outside[1:]),
        (outside[1:], outside[:1]),
        ((*inside, extra), ()),
        (inside, (extra,)),
    ):
        if primes:
            with pytest.raises(PolicyError) as caught:
                Parameters(degree, primes, special, security)
            assert caught.value.code == "SR-PARAMETERS-INSECURE"


def test_rings_outside_of_the_table_are_insecure() -> None:
    for degree in (2**9, 2**18):
        prime = next(ntt_primes(degree, 30))
        with pytest.raises(PolicyError, match="table allows 0"):
            Parameters(degree, (prime,))


GOOD = (40961, 4294828033)


@pytest.mark.parametrize(
    ("degree", "primes", "special"),
    [
        (4096, (40961, 40961), ()),  # twice
        (4096, (40961,), (40961,)),
        (4096, (40961 * 3,), ()),  # not prime
        (4096, (8193,), ()),  # 1 modulo 2N and composite
        (4096, (40961, 65539), ()),  # prime and not 1 modulo 2N
        (4096, (12289,), ()),  # prime and 1 modulo N only
        (4096, (0,), ()),
        (4096, (1,), ()),
        (4096, (2,), ()),
        (4096, (), ()),
        (4096, (), (40961,)),
        (4096, (next(ntt_primes(4096, 51, smallest_first=True)),), ()),  # too wide for the lanes
        (4096, (2**64 - 8191,), ()),
        (6144, GOOD, ()),
        (4095, GOOD, ()),
        (0, GOOD, ()),
        (1, GOOD, ()),
    ],
)
def test_literals_that_make_no_sense_are_refused(
    degree: int, primes: tuple[int, ...], special: tuple[int, ...]
) -> None:
    with pytest.raises((ValueError, PolicyError)):
        Parameters(degree, primes, special)
    # Also where the security table does not stand before it.
    with pytest.raises(ValueError):  # noqa: PT011  # seventeen reasons
        unchecked(degree, primes, special)


@pytest.mark.parametrize("degree", [-4096, 2**70, 4096.0, "4096"])
def test_degrees_that_are_no_words_are_refused(degree: object) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        Parameters(degree, GOOD)  # type: ignore[arg-type]


def test_pseudoprimes_are_not_taken_for_primes() -> None:
    # Strong pseudoprimes to many bases (OEIS A014233), Carmichael numbers, squares, and what the
    # reference says of every number 1 modulo 2N in a stretch.
    composites = [
        2047, 1373653, 25326001, 3215031751, 2152302898747, 3474749660383, 341550071728321,
        3825123056546413051, 561, 1105, 1729, 40961**2, 65537**2, 1, 0, 9,
    ]  # fmt: skip
    assert not any(_native_testing.is_prime(n) for n in composites)
    for start in (0, 2**49, 2**50 - 2**20, 2**63):
        for n in range(start + 1, start + 2**20, 2**9):
            assert _native_testing.is_prime(n) == is_prime(n)


@pytest.mark.parametrize("name", list(engine.CATALOGUE))
def test_every_catalogue_entry_is_inside_its_column_and_nothing_beyond_it_is_accepted(
    name: str,
) -> None:
    entry = engine.CATALOGUE[name]
    chain = (*entry.primes, *entry.special_primes)
    assert len(set(chain)) == len(chain)
    assert all(is_prime(p) and p % (2 * entry.ring_degree) == 1 and p < 2**50 for p in chain)
    row = next(row for row in TABLE if row[0] == entry.ring_degree)
    largest = row[dict(COLUMNS)[entry.security]]
    assert math.prod(chain) <= 2**largest
    if entry.security == "classical-128":
        assert math.prod(chain) > 2 ** row[2], "the entry would satisfy the stricter column"
    parameters = engine.catalogued(name)
    assert (parameters.ring_degree, parameters.primes) == (entry.ring_degree, entry.primes)
    assert parameters.security == entry.security
    longer = list(entry.primes)
    for extra in (p for p in ntt_primes(entry.ring_degree, 50) if p not in chain):
        longer.append(extra)
        if math.prod((*longer, *entry.special_primes)) > 2**largest:
            break
    # Nothing else is wrong with them: without the last one they would be accepted.
    Parameters(entry.ring_degree, tuple(longer[:-1]), entry.special_primes, entry.security)
    with pytest.raises(PolicyError) as caught:
        Parameters(entry.ring_degree, tuple(longer), entry.special_primes, entry.security)
    assert caught.value.code == "SR-PARAMETERS-INSECURE"


def test_the_catalogue_never_changes_what_it_has_shipped() -> None:
    shipped = {
        "n12-q104-v1": "7b848e4406d69386",
        "n13-q144-v1": "abd7d065b638a576",
    }
    digests = {name: engine.catalogued(name).digest.hex()[:16] for name in engine.CATALOGUE}
    assert shipped.items() <= digests.items()


def test_entries_are_chosen_by_column() -> None:
    classical = {entry.name for entry in engine.satisfying("classical-128")}
    quantum = {entry.name for entry in engine.satisfying("quantum-128")}
    assert classical == set(engine.CATALOGUE)
    assert quantum == {n for n, e in engine.CATALOGUE.items() if e.security == "quantum-128"}
    with pytest.raises(PolicyError) as caught:
        engine.catalogued("n10-q900-v1")
    assert caught.value.code == "SR-PARAMETERS-UNKNOWN"


def test_the_digest_binds_ring_and_primes() -> None:
    def digest(degree: int, primes: tuple[int, ...], special: tuple[int, ...] = ()) -> bytes:
        return unchecked(degree, primes, special).digest

    base = digest(16, (97, 193))
    assert base == hashlib.sha256(b"ckks 16 97,193 ").digest()
    others = [
        digest(32, (193, 257)),
        digest(16, (193, 97)),
        digest(16, (97,), (193,)),
        digest(16, (97,)),
        digest(16, (97, 193), (257,)),
    ]
    assert len({base, *others}) == 6


def test_the_kernel_is_chosen_by_argument_and_by_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("STRONGROOM_KERNEL", raising=False)
    assert Parameters(4096, GOOD).kernel == engine.available_kernels()[0]
    for kernel in engine.available_kernels():
        assert Parameters(4096, GOOD, kernel=kernel).kernel == kernel
        monkeypatch.setenv("STRONGROOM_KERNEL", kernel)
        assert Parameters(4096, GOOD).kernel == kernel
    monkeypatch.setenv("STRONGROOM_KERNEL", "abacus")
    with pytest.raises(ValueError, match="abacus"):
        Parameters(4096, GOOD)
