"""Access structures: whose parts make the key, and who answers for which."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import pytest

from strongroom.errors import CommitteeError
from strongroom.keys.committee.access import Access

NAMES = ("a", "b", "c", "d", "e")


def all_structures() -> Iterator[Access]:
    """Every access structure of up to five members."""
    for count in range(1, 6):
        for others in (0, *range(2, count + 1)):
            names = NAMES[:count]
            required = names[: count - others]
            if not others:
                yield Access(required)
            for threshold in range(1, others + 1):
                yield Access(required, threshold, names[count - others :])


STRUCTURES = list(all_structures())


def subsets(names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for count in range(len(names) + 1):
        yield from combinations(names, count)


def test_there_are_as_many_structures_as_one_counts() -> None:
    # For n members: required only, or a group of k >= 2 with any threshold from 1 to k.
    assert len(STRUCTURES) == sum(1 + sum(range(2, n + 1)) for n in range(1, 6))


@pytest.mark.parametrize("access", STRUCTURES, ids=str)
def test_a_set_has_every_part_exactly_if_it_is_allowed(access: Access) -> None:
    for active in subsets(access.members):
        has_all = all(set(holders) & set(active) for holders in access.parts())
        assert has_all == access.allows(active), active


@pytest.mark.parametrize("access", STRUCTURES, ids=str)
def test_every_part_of_an_allowed_set_has_one_answerer_who_holds_it(access: Access) -> None:
    for active in filter(access.allows, subsets(access.members)):
        answerers = access.answerers(active)
        assert list(answerers) == list(range(len(access.parts())))
        for part, name in answerers.items():
            first = next(holder for holder in access.parts()[part] if holder in active)
            assert name == first
            assert part in access.held_by(name)


def test_a_member_may_have_to_answer_for_more_than_its_own_part_if_others_are_away() -> None:
    access = Access.parse("2-of-3(a, b, c)")
    assert access.parts() == (("b", "c"), ("a", "c"), ("a", "b"))
    assert access.answered_by("a") == ((1, 2),)
    assert access.answered_by("b") == ((0,), (0, 2))
    assert access.answered_by("c") == ((0,), (1,))
    assert Access.parse("a").answered_by("a") == ((0,),)


@pytest.mark.parametrize("access", STRUCTURES, ids=str)
def test_smallest_sets_are_those_in_which_nobody_can_be_spared(access: Access) -> None:
    expected = {
        active
        for active in subsets(access.members)
        if access.allows(active) and not any(access.allows(set(active) - {name}) for name in active)
    }
    assert set(access.smallest_sets()) == expected


@pytest.mark.parametrize("access", STRUCTURES, ids=str)
def test_the_text_of_a_structure_is_read_back_as_it(access: Access) -> None:
    assert Access.parse(str(access)) == access


@pytest.mark.parametrize("access", STRUCTURES, ids=str)
def test_a_part_is_dealt_by_its_first_holder_in_the_committees_order(access: Access) -> None:
    for part, holders in enumerate(access.parts()):
        assert list(holders) == [name for name in access.members if name in holders]
        assert access.dealer(part) == holders[0]
        assert part in access.dealt_by(holders[0])
    dealt = sorted(part for name in access.members for part in access.dealt_by(name))
    assert dealt == list(range(len(access.parts())))


def test_the_vendor_stands_beside_one_of_two() -> None:
    access = Access.parse("vendor AND 1-of-2(hospital, auditor)")
    assert access.parts() == (("vendor",), ("hospital", "auditor"))
    assert not access.allows(("hospital", "auditor"))
    assert access.answerers(("vendor", "auditor")) == {0: "vendor", 1: "auditor"}
    assert access.answerers(access.members) == {0: "vendor", 1: "hospital"}


def test_two_of_three_is_three_parts_of_two_holders_each() -> None:
    assert Access.parse("2-of-3(a, b, c)").parts() == (("b", "c"), ("a", "c"), ("a", "b"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a AND a",
        "a AND ",
        "a AND 1-of-2(a, b)",
        "a, b",
        "a and b",
        "AND",
        "0-of-2(a, b)",
        "3-of-2(a, b)",
        "1-of-3(a, b)",
        "1-of-1(a)",
        "1-of-2(a, b) AND c",
        "1-of-2(a, b) AND 1-of-2(c, d)",
        "1-of-2(a, 1-of-2(b, c))",
        "1-of-6(a, b, c, d, e, f)",
        "a AND b AND c AND d AND e AND f",
        "../a",
        "x" * 65,
        "a" + " " * 600,
    ],
)
def test_what_is_no_access_structure_is_refused(text: str) -> None:
    with pytest.raises(CommitteeError) as caught:
        Access.parse(text)
    assert caught.value.code == "SR-COMMITTEE-ACCESS"


@pytest.mark.parametrize(
    "active",
    [(), ("b", "c"), ("a",), ("b", "a"), ("a", "b", "b"), ("a", "b", "stranger"), ("stranger",)],
)
def test_an_active_set_that_is_not_allowed_or_out_of_order_is_refused(
    active: tuple[str, ...],
) -> None:
    with pytest.raises(CommitteeError) as caught:
        Access.parse("a AND 1-of-2(b, c)").answerers(active)
    assert caught.value.code == "SR-COMMITTEE-ACCESS"
