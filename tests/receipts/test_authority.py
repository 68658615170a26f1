"""Authority: which identity may serve a package, by its owner's word."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from strongroom.canonical import canonical_json
from strongroom.errors import StrongroomError
from strongroom.keys.identity import Identity
from strongroom.package.grants import Grant, GrantLog, Purpose
from strongroom.receipts.authority import grant_authority, verify_authority

NOW = datetime(2026, 11, 22, 12, 43, tzinfo=UTC)
DAY = timedelta(days=1)
PACKAGE = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32

OWNER = Identity.generate("vendor")
SERVER = Identity.generate("hospital")


def granted(
    purpose: Purpose = "serve", owner: Identity = OWNER, package: str = PACKAGE, **ends: Any
) -> Grant:
    log = GrantLog.begin(owner, package, bytes(32), now=NOW)
    return log.with_grant(owner, SERVER.public, purpose, bytes(32), now=NOW, **ends).entries[-1]


def refusal(text: str, now: datetime = NOW) -> str:
    with pytest.raises(StrongroomError) as caught:
        verify_authority(text, OWNER.public, PACKAGE, now)
    return caught.value.code


@pytest.mark.parametrize("purpose", ["serve", "open"])
def test_a_grant_for_serving_names_the_server(purpose: Purpose) -> None:
    text = grant_authority(granted(purpose))
    assert verify_authority(text, OWNER.public, PACKAGE, NOW) == SERVER.public


def test_the_owner_may_serve_its_own_package() -> None:
    entry = GrantLog.begin(OWNER, PACKAGE, bytes(32), now=NOW).entries[0]
    text = grant_authority(entry)
    assert verify_authority(text, OWNER.public, PACKAGE, NOW) == OWNER.public


def test_a_grant_to_a_broker_is_no_grant_to_serve() -> None:
    assert refusal(grant_authority(granted("broker"))) == "SR-PACKAGE-GRANT"


def test_a_grant_of_another_owner_or_package_is_refused() -> None:
    stranger = Identity.generate("vendor")
    assert refusal(grant_authority(granted(owner=stranger))) == "SR-PACKAGE-SIGNATURE"
    assert refusal(grant_authority(granted(package=OTHER))) == "SR-PACKAGE-GRANT"


def test_a_grant_ends() -> None:
    text = grant_authority(granted(expires=NOW + DAY))
    verify_authority(text, OWNER.public, PACKAGE, NOW + DAY - timedelta(seconds=1))
    assert refusal(text, NOW + DAY) == "SR-PACKAGE-EXPIRED"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("expires", None),
        ("purpose", "open"),
        ("recipient", Identity.generate("thief").public.to_text()),
        ("generation", 2),
        ("number", 3),
        ("previous", OTHER),
    ],
)
def test_no_field_of_a_grant_can_be_changed(field: str, value: Any) -> None:
    shown = json.loads(grant_authority(granted(expires=NOW + DAY)))
    assert shown["entry"][field] != value
    shown["entry"][field] = value
    assert refusal(canonical_json(shown).decode()) == "SR-PACKAGE-SIGNATURE"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "\ud800",
        '{"kind":"grant"}',
        '{"entry":{},"kind":"grant"}',
        '{"kind":"trust me"}',
        " " * (64 * 2**10 + 1),
    ],
)
def test_what_is_no_authority_is_refused(text: str) -> None:
    assert refusal(text) == "SR-SERVER-KEYS"


def test_text_that_is_not_canonical_is_refused() -> None:
    text = grant_authority(granted())
    assert refusal(text + "\n") == "SR-SERVER-KEYS"
    more = json.loads(text) | {"more": 1}
    assert refusal(msgspec.json.encode(more).decode()) == "SR-SERVER-KEYS"
