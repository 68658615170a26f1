"""The grant log: who may do what, in an order that nobody else can write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from file_parts import OWNER, RECIPIENT, STRANGER
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.canonical import canonical_json
from strongroom.errors import PackageError
from strongroom.moments import parse_moment, write_moment
from strongroom.package.grants import (
    GRANTABLE,
    MAXIMUM_ENTRIES,
    MAY_OPEN,
    MAY_SERVE,
    Grant,
    GrantLog,
    package_of,
    verify_grant,
)
from strongroom.package.records import decode_record

PACKAGE = "sha256:" + "ab" * 32
KEY = bytes(range(32))
NOW = datetime(2026, 11, 22, 12, 43, tzinfo=UTC)


@pytest.fixture(scope="module")
def begun() -> GrantLog:
    return GrantLog.begin(OWNER, PACKAGE, KEY, now=NOW)


def test_every_holder_of_a_grant_finds_the_same_key(begun: GrantLog) -> None:
    log = begun.with_grant(OWNER, RECIPIENT.public, "serve", KEY, now=NOW)
    log = log.with_grant(OWNER, STRANGER.public, "broker", KEY, now=NOW)
    log.verify(OWNER.public, PACKAGE)
    for entry, identity in zip(log.entries, (OWNER, RECIPIENT, STRANGER), strict=True):
        assert entry.identity == identity.public
        assert identity.unwrap(entry.wrapped, entry.info) == KEY
        verify_grant(entry, OWNER.public, PACKAGE)


def test_what_is_wrapped_for_something_else_is_of_no_package() -> None:
    for info in (b"", b"strongroom grant\0", b"strongroom grant\0{}", b"strongroom receipt\0{}"):
        with pytest.raises(PackageError) as caught:
            package_of(info, NOW)
        assert caught.value.code == "SR-PACKAGE-GRANT"


def test_a_keeper_is_told_the_package_of_what_may_be_served_now_and_of_nothing_else(
    begun: GrantLog,
) -> None:
    later = NOW + timedelta(days=1)
    log = begun.with_grant(OWNER, RECIPIENT.public, "serve", KEY, now=NOW, expires=later)
    log = log.with_grant(OWNER, STRANGER.public, "broker", KEY, now=NOW)
    own, serving, broker = log.entries
    assert package_of(own.info, later) == package_of(serving.info, NOW) == PACKAGE
    for info, code in ((serving.info, "SR-PACKAGE-EXPIRED"), (broker.info, "SR-PACKAGE-GRANT")):
        with pytest.raises(PackageError) as caught:
            package_of(info, later)
        assert caught.value.code == code


def test_a_log_survives_its_canonical_form(begun: GrantLog) -> None:
    log = begun.with_grant(OWNER, RECIPIENT.public, "open", KEY, now=NOW)
    data = canonical_json(log)
    read = decode_record(data, GrantLog, "the grant log", len(data))
    assert read == log
    assert read.last_digest == log.entries[1].digest
    with pytest.raises(PackageError, match=f"more than {len(data) - 1}"):
        decode_record(data, GrantLog, "the grant log", len(data) - 1)


CHANGES: dict[str, Any] = {
    "number": 3,
    "package": "sha256:" + "0" * 64,
    "generation": 2,
    "recipient": STRANGER.public.to_text(),
    "purpose": "serve",
    "expires": None,
    "granted": "2026-11-22T12:43:01Z",
    "previous": "sha256:" + "1" * 64,
}


@pytest.mark.parametrize("field", CHANGES)
def test_every_field_is_signed_and_bound_to_the_wrapping(begun: GrantLog, field: str) -> None:
    end = NOW + timedelta(days=1)
    log = begun.with_grant(OWNER, RECIPIENT.public, "open", KEY, now=NOW, expires=end)
    changed = msgspec.structs.replace(log.entries[1], **{field: CHANGES[field]})
    with pytest.raises(PackageError) as caught:
        verify_grant(changed, OWNER.public, CHANGES["package"] if field == "package" else PACKAGE)
    assert caught.value.code == "SR-PACKAGE-SIGNATURE"
    with pytest.raises(PackageError):
        RECIPIENT.unwrap(changed.wrapped, changed.info)
    whole = msgspec.structs.replace(log, entries=(log.entries[0], changed))
    with pytest.raises(PackageError):
        whole.verify(OWNER.public, PACKAGE)


def test_a_grant_of_another_package_is_none_here(begun: GrantLog) -> None:
    with pytest.raises(PackageError, match="of another package") as caught:
        verify_grant(begun.entries[0], OWNER.public, "sha256:" + "0" * 64)
    assert caught.value.code == "SR-PACKAGE-GRANT"


def test_an_owner_under_another_name_is_not_that_of_the_log(begun: GrantLog) -> None:
    renamed = type(OWNER)(OWNER.to_bytes(), "somebody").public
    assert renamed == OWNER.public
    with pytest.raises(PackageError, match="as its statement names it"):
        begun.verify(renamed, PACKAGE)


@pytest.mark.parametrize(
    ("granted", "wanted", "found"),
    [
        (("serve",), MAY_SERVE, True),
        (("serve",), MAY_OPEN, False),
        (("open",), MAY_SERVE, True),
        (("open",), MAY_OPEN, True),
        (("broker",), MAY_SERVE, False),
        (("broker",), MAY_OPEN, False),
        (("broker",), ("broker",), True),
        (("serve", "broker"), MAY_SERVE, True),
        ((), MAY_SERVE, False),
    ],
)
def test_a_purpose_allows_what_it_says(
    begun: GrantLog, granted: tuple[Any, ...], wanted: tuple[Any, ...], found: bool
) -> None:
    log = begun
    for purpose in granted:
        log = log.with_grant(OWNER, RECIPIENT.public, purpose, KEY, now=NOW)
    if found:
        assert log.grant_for(RECIPIENT.fingerprint, wanted, NOW).purpose in wanted
        return
    with pytest.raises(PackageError) as caught:
        log.grant_for(RECIPIENT.fingerprint, wanted, NOW)
    assert caught.value.code == "SR-PACKAGE-GRANT"


def test_the_owner_may_do_everything_for_ever(begun: GrantLog) -> None:
    late = NOW + timedelta(days=36500)
    for purposes in (MAY_SERVE, MAY_OPEN):
        assert begun.grant_for(OWNER.fingerprint, purposes, late) == begun.entries[0]


def test_of_two_grants_for_one_purpose_the_last_counts(begun: GrantLog) -> None:
    log = begun.with_grant(OWNER, RECIPIENT.public, "open", KEY, now=NOW)
    shorter = log.with_grant(
        OWNER, RECIPIENT.public, "open", KEY, now=NOW, expires=NOW + timedelta(hours=1)
    )
    later = NOW + timedelta(hours=2)
    assert log.grant_for(RECIPIENT.fingerprint, MAY_OPEN, later).number == 2
    assert shorter.grant_for(RECIPIENT.fingerprint, MAY_OPEN, NOW).number == 3
    with pytest.raises(PackageError, match="ended at 2026-11-22T13:43:00Z") as caught:
        shorter.grant_for(RECIPIENT.fingerprint, MAY_OPEN, later)
    assert caught.value.code == "SR-PACKAGE-EXPIRED"
    assert [entry.number for entry in shorter.in_force()] == [1, 3]


def test_a_grant_ends_at_the_second_that_it_names(begun: GrantLog) -> None:
    end = NOW + timedelta(seconds=1)
    log = begun.with_grant(OWNER, RECIPIENT.public, "open", KEY, now=NOW, expires=end)
    log.grant_for(RECIPIENT.fingerprint, MAY_OPEN, end - timedelta(microseconds=1))
    with pytest.raises(PackageError):
        log.grant_for(RECIPIENT.fingerprint, MAY_OPEN, end)


@pytest.mark.parametrize("seconds", [0, 0.5, -1, -1e6])
def test_a_grant_that_would_never_hold_is_refused(begun: GrantLog, seconds: float) -> None:
    end = NOW + timedelta(seconds=seconds)
    with pytest.raises(PackageError, match="can't end at") as caught:
        begun.with_grant(OWNER, RECIPIENT.public, "open", KEY, now=NOW, expires=end)
    assert caught.value.code == "SR-PACKAGE-GRANT"


def test_ownership_can_not_be_granted(begun: GrantLog) -> None:
    for purpose in ("owner", "read", ""):
        with pytest.raises(PackageError, match="nothing that can be granted"):
            begun.with_grant(
                OWNER,
                RECIPIENT.public,
                purpose,  # type: ignore[arg-type]
                KEY,
                now=NOW,
            )
    assert "owner" not in GRANTABLE


def test_a_full_log_says_what_to_do(begun: GrantLog) -> None:
    full = msgspec.structs.replace(begun, entries=begun.entries * MAXIMUM_ENTRIES)
    with pytest.raises(PackageError, match="Rotate the package"):
        full.with_grant(OWNER, RECIPIENT.public, "open", KEY, now=NOW)


def test_a_time_without_a_zone_is_refused(begun: GrantLog) -> None:
    with pytest.raises(PackageError, match="time zone"):
        begun.with_grant(
            OWNER, RECIPIENT.public, "open", KEY, now=NOW, expires=datetime(2099, 1, 1)
        )


@settings(max_examples=50)
@given(
    st.datetimes(
        datetime(1001, 1, 1),
        datetime(9998, 1, 1),
        timezones=st.just(UTC) | st.just(timezone(timedelta(hours=9))),
    )
)
def test_a_moment_survives_its_text(moment: datetime) -> None:
    assert parse_moment(write_moment(moment)) == moment.replace(microsecond=0)


@pytest.mark.parametrize("text", ["2026-02-30T00:00:00Z", "2026-1-1T0:0:0Z", "2026-01-01", ""])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the words are the library's
        parse_moment(text)
    assert "\n" not in str(caught.value)


def test_a_wrapped_key_of_another_length_is_none(begun: GrantLog) -> None:
    fields = msgspec.to_builtins(begun.entries[0])
    for wrapped in ("", "QUJD", fields["wrapped"] + "QUJD"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({**fields, "wrapped": wrapped}, Grant)
    with pytest.raises(ValueError, match="32 bytes"):
        GrantLog.begin(OWNER, PACKAGE, bytes(16), now=NOW)
