"""Policies: strict files, and no way for a production one to name the development attester."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.broker.policy import BrokerPolicy, DevelopmentPolicy, read_policy
from strongroom.errors import AttestationError, ServerError

PRODUCTION = "strongroom-broker-policy-1"
DEVELOPMENT = "strongroom-broker-development-policy-1"


@pytest.fixture
def document(production: BrokerPolicy) -> dict[str, Any]:
    """A production policy as JSON values."""
    return dict(msgspec.to_builtins(production))


def written(tmp_path: Path, document: object) -> Path:
    path = tmp_path / "policy.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def refused(path: Path) -> str:
    with pytest.raises(ServerError) as error:
        read_policy(path)
    assert error.value.code == "SR-BROKER-CONFIG"
    return error.value.message


def test_both_kinds_of_policy_read_back(
    tmp_path: Path, production: BrokerPolicy, development: DevelopmentPolicy
) -> None:
    for policy, tag in ((production, PRODUCTION), (development, DEVELOPMENT)):
        document = msgspec.to_builtins(policy)
        assert document["format"] == tag
        found = read_policy(written(tmp_path, json.dumps(document, indent=2)))
        assert found == policy
        assert found.digest == policy.digest
    assert production.digest != development.digest


@pytest.mark.parametrize(
    "change",
    [
        {"attestation": [{"type": "development", "measurements": ["00" * 48]}]},
        {"attestation": [{"type": "DevelopmentRule", "measurements": ["00" * 48]}]},
        {"attestation": [{"measurements": ["00" * 48]}]},
        {"development": {"measurements": ["00" * 48]}},
        {"development": True},
        {"attestation": []},
        {"attestation": None},
        {"attestation": {"measurements": ["00" * 48]}},
    ],
)
def test_a_production_policy_can_not_name_the_development_attester(
    tmp_path: Path, document: dict[str, Any], change: dict[str, Any]
) -> None:
    refused(written(tmp_path, document | change))


def test_the_development_attester_beside_hardware_is_refused(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    rules = [*document["attestation"], {"type": "development", "measurements": ["00" * 48]}]
    refused(written(tmp_path, document | {"attestation": rules}))


def test_a_development_policy_can_not_name_hardware_or_pass_for_production(
    tmp_path: Path, document: dict[str, Any], development: DevelopmentPolicy
) -> None:
    own = msgspec.to_builtins(development)
    refused(written(tmp_path, own | {"attestation": document["attestation"]}))
    refused(written(tmp_path, own | {"format": PRODUCTION}))
    refused(written(tmp_path, document | {"format": DEVELOPMENT}))
    refused(written(tmp_path, {key: value for key, value in own.items() if key != "format"}))


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 1},
        {"allow_debug": True},
        {"models": []},
        {"models": [{"owner": "identity:00", "name": "m"}]},
        {"not_after": "2026-13-01T00:00:00Z"},
        {"not_after": "tomorrow"},
        {"not_before": "2999-01-01T00:00:00Z"},
        {"release_seconds": 10**9},
        {"release_seconds": 0},
    ],
)
def test_a_wrong_field_is_refused(
    tmp_path: Path, document: dict[str, Any], change: dict[str, Any]
) -> None:
    refused(written(tmp_path, document | change))


def test_a_policy_without_an_end_or_named_twice_is_refused(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    endless = {key: value for key, value in document.items() if key != "not_after"}
    assert "not_after" in refused(written(tmp_path, endless))
    twice = document | {"models": document["models"] * 2}
    assert "twice" in refused(written(tmp_path, twice))
    rules = document | {"attestation": document["attestation"] * 2}
    assert "twice" in refused(written(tmp_path, rules))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 5000])
def test_what_is_no_policy_is_refused(tmp_path: Path, text: str) -> None:
    refused(written(tmp_path, text))
    refused(tmp_path / "none.json")


def test_a_policy_holds_between_its_times(production: BrokerPolicy) -> None:
    now = datetime.now(UTC)
    production.require_valid(now)
    later = msgspec.structs.replace(
        production, not_before=f"{now + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    )
    for policy, moment in ((production, now + timedelta(days=31)), (later, now)):
        with pytest.raises(AttestationError) as error:
            policy.require_valid(moment)
        assert error.value.code == "SR-BROKER-REFUSED"


def test_the_guides_policies_are_policies(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "broker.md").read_text()
    blocks = [one.partition("\n```")[0] for one in guide.split("```json\n")[1:]]
    first, second = (read_policy(written(tmp_path, block)) for block in blocks)
    assert isinstance(first, BrokerPolicy)
    assert isinstance(second, DevelopmentPolicy)
