"""What a member remembers of what it gave: for a while, in memory, and wiped after that."""

from __future__ import annotations

import numpy as np
import pytest

from strongroom.member.given_shares import GivenShares

RESULT = "sha256:" + "2" * 64


def words(fill: int, count: int = 3) -> np.ndarray:
    return np.full((2, count), fill, np.uint64)


def test_what_was_given_is_found_by_query_and_result() -> None:
    given = GivenShares()
    given.keep("a", RESULT, [words(1), words(2)])
    for index in (0, 1):
        one = given.find("a", index)
        assert one is not None
        assert (one.result, int(one.words[0, 0])) == (RESULT, index + 1)
        assert len(one.secret) == 32
    for query, index in (("b", 0), ("a", 2), ("a", -1)):
        assert given.find(query, index) is None


def test_each_result_keeps_a_secret_of_its_own() -> None:
    given = GivenShares()
    given.keep("a", RESULT, [words(1), words(1)])
    given.keep("b", RESULT, [words(1)])
    found = [given.find(query, index) for query, index in (("a", 0), ("a", 1), ("b", 0), ("a", 0))]
    secrets = [bytes(one.secret) for one in found if one is not None]
    assert len(set(secrets[:3])) == 3
    assert secrets[3] == secrets[0]


@pytest.mark.parametrize("bound", [{"answers": 3}, {"word_bytes": 3 * 48}])
def test_the_oldest_is_forgotten_and_wiped(bound: dict[str, int]) -> None:
    given = GivenShares(**bound)
    kept = [words(fill) for fill in range(1, 6)]
    for number, its_words in enumerate(kept):
        given.keep(str(number), RESULT, [its_words])
    assert [given.find(str(n), 0) is not None for n in range(5)] == [False, False, True, True, True]
    assert [int(one.max()) for one in kept] == [0, 0, 3, 4, 5]


def test_one_proof_of_a_share_may_leave_and_after_another_the_share_is_forgotten() -> None:
    given, kept = GivenShares(), words(1)
    given.keep("a", RESULT, [kept, words(2)])
    given.keep("b", RESULT, [words(3)])
    assert given.settle("a", 0, b"first")
    assert given.settle("a", 0, b"first")
    assert given.settle("a", 1, b"of another result")
    assert given.settle("b", 0, b"of another query")
    assert not given.settle("a", 0, b"second")
    assert given.find("a", 0) is None
    assert int(kept.max()) == 0
    assert not given.settle("a", 0, b"first")
    assert not given.settle("c", 0, b"first")
    assert given.find("b", 0) is not None
    given.keep("a", RESULT, [words(4)])
    assert given.settle("a", 0, b"second")


def test_the_newest_is_kept_whatever_it_takes() -> None:
    given = GivenShares(word_bytes=10)
    given.keep("a", RESULT, [words(1, 1000)])
    assert given.find("a", 0) is not None
    given.keep("b", RESULT, [words(1)])
    assert given.find("a", 0) is None
    given.keep("c", RESULT, [words(1)])
    assert given.find("b", 0) is None


def test_who_works_with_a_share_has_it_though_it_is_forgotten_meanwhile() -> None:
    given = GivenShares()
    given.keep("a", RESULT, [words(7)])
    one = given.find("a", 0)
    assert one is not None
    given.close()
    assert given.find("a", 0) is None
    assert (one.words == 7).all()
    assert any(one.secret)
    one.wipe()
    assert not one.words.any()
    assert not any(one.secret)


def test_it_shows_nothing_of_what_it_keeps() -> None:
    given = GivenShares()
    given.keep("a", RESULT, [words(1_000_003)])
    one = given.find("a", 0)
    assert one is not None
    assert "1000003" not in f"{given!r} {one!r}"
    assert bytes(one.secret).hex() not in f"{given!r} {one!r}"
