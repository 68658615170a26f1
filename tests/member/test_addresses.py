"""Members that moved are found by their identity, and a wrong URL or name is one clear line."""

from __future__ import annotations

import pytest

from strongroom.errors import ServerError
from strongroom.keys.identity import Identity, PublicIdentity
from strongroom.member.addresses import moved_members, reached_at

VENDOR, HOSPITAL, OTHER = (Identity.generate(name).public for name in ("v", "h", "o"))
FIRST = {"vendor": VENDOR, "hospital": HOSPITAL}
SIGNED = {"vendor": "https://vendor.example:1", "hospital": "https://hospital.example:2"}
NEW = "https://new.example:3"


def test_who_moved_is_reached_at_the_new_url_and_the_others_where_they_signed() -> None:
    moved = moved_members([FIRST], {"hospital": NEW}, "--member-url")
    assert reached_at(FIRST, SIGNED, moved) == SIGNED | {"hospital": NEW}
    assert reached_at(FIRST, SIGNED, {}) == SIGNED


def test_a_member_of_two_committees_moved_in_both_whatever_its_name_there() -> None:
    second = {"clinic": HOSPITAL, "vendor": VENDOR}
    moved = moved_members([FIRST, second], {"hospital": NEW}, "--member-url")
    signed = {"clinic": SIGNED["hospital"], "vendor": SIGNED["vendor"]}
    assert reached_at(second, signed, moved) == {"clinic": NEW, "vendor": SIGNED["vendor"]}


def test_another_member_of_the_same_name_did_not_move() -> None:
    moved = moved_members([FIRST], {"hospital": NEW}, "--peer-url")
    later = {"vendor": VENDOR, "hospital": OTHER}
    assert reached_at(later, SIGNED, moved) == SIGNED


@pytest.mark.parametrize(
    ("committees", "moved", "code", "line"),
    [
        ([FIRST], {"hospitl": NEW}, "SR-SERVER-CONFIG", "'hospitl', who is none of vendor, hospi"),
        ([], {"hospital": NEW}, "SR-SERVER-CONFIG", "who is none of no members"),
        ([FIRST, {"hospital": OTHER}], {"hospital": NEW}, "SR-SERVER-CONFIG", "of two committees"),
        ([FIRST], {"hospital": "hospital.example"}, "SR-SERVER-URL", "of 'hospital': .* https://"),
        ([FIRST], {"hospital": "https://u:p4ss@h:1"}, "SR-SERVER-URL", "of 'hospital'"),
        ([FIRST], {"hospital": "http://10.0.0.1"}, "SR-SERVER-TLS", "of 'hospital': plain http"),
    ],
)
def test_a_name_that_nobody_has_and_a_url_that_is_none_are_one_line(
    committees: list[dict[str, PublicIdentity]], moved: dict[str, str], code: str, line: str
) -> None:
    with pytest.raises(ServerError, match=line) as error:
        moved_members(committees, moved, "--member-url")
    assert error.value.code == code
    assert error.value.message.startswith("--member-url ")
    assert "\n" not in str(error.value)
    assert "p4ss" not in str(error.value)
