"""Serving keys and key configurations: what a client accepts, and what it refuses."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from strongroom.canonical import canonical_json
from strongroom.errors import CiphertextError, ServerError
from strongroom.keys.identity import Identity, Signatures
from strongroom.keys.serving import (
    CLOCK_SKEW,
    KeyConfiguration,
    ServingKey,
    ServingSecrets,
    evidence_binding,
    issue_configuration,
    sign_configuration,
    verify_configuration,
)

NOW = datetime(2026, 11, 22, 12, 43, tzinfo=UTC)
HOUR = timedelta(hours=1)
PACKAGE = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32

SERVER = Identity.generate("server")
SECRETS = ServingSecrets.generate(NOW, NOW + 13 * HOUR)


def issued(**changes: Any) -> KeyConfiguration:
    configuration = issue_configuration(SERVER, [SECRETS.key], [PACKAGE], counter=7, now=NOW)
    return msgspec.structs.replace(configuration, **changes)


def verified(text: str, now: datetime = NOW, least_counter: int = 0) -> KeyConfiguration:
    return verify_configuration(text, SERVER.public, PACKAGE, now, least_counter)


def refusal(text: str, now: datetime = NOW, least_counter: int = 0) -> str:
    with pytest.raises(ServerError) as caught:
        verified(text, now, least_counter)
    assert caught.value.code == "SR-SERVER-KEYS"
    return caught.value.message


def signed_by(identity: Identity, configuration: KeyConfiguration) -> str:
    return sign_configuration(identity, configuration)


def test_a_configuration_is_what_was_signed() -> None:
    configuration = issued()
    assert verified(signed_by(SERVER, configuration)) == configuration
    assert configuration.key(NOW) == SECRETS.key
    assert configuration.by_id(SECRETS.key_id) == SECRETS.key
    assert configuration.by_id("0" * 16) is None


def test_what_is_sealed_to_the_published_key_opens_by_the_private_one_alone() -> None:
    sealed = SECRETS.key.public.wrap(b"a row", b"context")
    assert SECRETS.open(sealed, b"context") == b"a row"
    for secrets, context in (
        (SECRETS, b"another"),
        (ServingSecrets.generate(NOW, NOW + HOUR), b"context"),
    ):
        with pytest.raises(CiphertextError) as caught:
            secrets.open(sealed, context)
        assert caught.value.code == "SR-SEALED-OPEN"
        assert SECRETS.key_id in str(caught.value) or secrets.key_id in str(caught.value)


def test_what_the_private_key_signs_the_published_one_verifies() -> None:
    SECRETS.key.public.verify(SECRETS.sign("receipt", b"x"), "receipt", b"x")


def test_secrets_survive_the_way_to_a_worker_and_no_other() -> None:
    again = ServingSecrets(SECRETS.to_bytes(), *SECRETS.valid)
    assert again.key == SECRETS.key
    assert SECRETS.to_bytes().hex() not in repr(SECRETS)
    for spread in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            spread(SECRETS)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"counter": 8}, "not signed"),
        ({"issued": "2026-11-22T12:42:00Z"}, "not signed"),
        ({"packages": (PACKAGE, OTHER)}, "not signed"),
        ({"evidence": "none"}, "not signed"),
        ({"server": Identity.generate("server").public.to_text()}, "another identity"),
        ({"server": "server"}, "another identity"),
        ({"keys": (ServingSecrets.generate(NOW, NOW + HOUR).key,)}, "not signed"),
    ],
)
def test_no_field_can_be_changed_after_it_was_signed(change: dict[str, Any], what: str) -> None:
    shown = json.loads(signed_by(SERVER, issued()))
    shown["configuration"] = msgspec.to_builtins(issued(**change))
    assert what in refusal(canonical_json(shown).decode())


def test_a_configuration_signed_by_another_identity_is_refused() -> None:
    stranger = Identity.generate("server")
    own = issue_configuration(stranger, [SECRETS.key], [PACKAGE], counter=7, now=NOW)
    assert "another identity" in refusal(signed_by(stranger, own))
    assert "not signed" in refusal(signed_by(stranger, issued()))


@pytest.mark.parametrize("half", ["ed25519", "ml_dsa_65"])
def test_one_signature_of_two_is_not_enough(half: str) -> None:
    text = signed_by(SERVER, issued())
    signatures = msgspec.convert(json.loads(text)["signatures"], Signatures)
    bad = bytearray(getattr(signatures, half))
    bad[0] ^= 1
    shown = json.loads(text)
    shown["signatures"] = msgspec.to_builtins(
        msgspec.structs.replace(signatures, **{half: bytes(bad)})
    )
    assert "not signed" in refusal(canonical_json(shown).decode())
    del shown["signatures"][half]
    assert "is not one" in refusal(canonical_json(shown).decode())


def test_a_signature_for_another_purpose_is_refused() -> None:
    configuration = issued()
    signatures = SERVER.sign("receipt", canonical_json(configuration))
    shown = {"configuration": configuration, "signatures": signatures}
    assert "not signed" in refusal(canonical_json(shown).decode())


def test_a_configuration_without_the_package_is_refused() -> None:
    assert "not for this package" in refusal(signed_by(SERVER, issued(packages=(OTHER,))))


def test_a_configuration_below_the_highest_counter_is_refused() -> None:
    text = signed_by(SERVER, issued(counter=7))
    assert verified(text, least_counter=7).counter == 7
    assert "older" in refusal(text, least_counter=8)


def test_a_configuration_from_the_future_is_refused() -> None:
    text = signed_by(SERVER, issued())
    verified(text, NOW - CLOCK_SKEW)
    assert "future" in refusal(text, NOW - CLOCK_SKEW - timedelta(seconds=1))


def test_a_configuration_whose_keys_are_over_is_refused() -> None:
    text = signed_by(SERVER, issued())
    verified(text, NOW + 13 * HOUR - timedelta(seconds=1))
    assert "valid" in refusal(text, NOW + 13 * HOUR)


def test_the_newest_valid_key_is_taken() -> None:
    newer = ServingSecrets.generate(NOW + HOUR, NOW + 20 * HOUR)
    configuration = issued(keys=(newer.key, SECRETS.key))
    assert configuration.key(NOW + HOUR - CLOCK_SKEW - timedelta(seconds=1)) == SECRETS.key
    assert configuration.key(NOW + HOUR) == newer.key
    assert configuration.key(NOW + 14 * HOUR) == newer.key


def test_a_private_key_opens_a_little_longer_than_clients_use_it() -> None:
    until = SECRETS.valid[1]
    assert not SECRETS.expired(until + CLOCK_SKEW)
    assert SECRETS.expired(until + CLOCK_SKEW + timedelta(seconds=1))


def test_an_identifier_can_not_be_put_on_another_key() -> None:
    other = ServingSecrets.generate(NOW, NOW + HOUR).key
    with pytest.raises(ValueError, match="key_id"):
        ServingKey(other.key_id, SECRETS.key.keys, other.not_before, other.not_after)


def _with(change: Callable[[dict[str, Any]], None]) -> str:
    shown = json.loads(signed_by(SERVER, issued()))
    change(shown["configuration"])
    return canonical_json(shown).decode()


@pytest.mark.parametrize(
    "change",
    [
        lambda shown: shown.update(format=2),
        lambda shown: shown.update(format=0),
        lambda shown: shown.update(more=1),
        lambda shown: shown.update(counter=0),
        lambda shown: shown.update(keys=[]),
        lambda shown: shown.update(keys=shown["keys"] * 2),
        lambda shown: shown.update(packages=[]),
        lambda shown: shown.update(packages=[OTHER, PACKAGE]),
        lambda shown: shown.update(packages=[PACKAGE, PACKAGE]),
        lambda shown: shown.update(issued="2026-02-30T00:00:00Z"),
        lambda shown: shown.update(evidence="x" * (128 * 2**10 + 1)),
        lambda shown: shown["keys"][0].update(key_id="0" * 16),
        lambda shown: shown["keys"][0].update(not_after=shown["keys"][0]["not_before"]),
        lambda shown: shown["keys"][0].update(keys="AAAA"),
    ],
)
def test_a_malformed_configuration_is_refused_before_it_is_verified(
    change: Callable[[dict[str, Any]], None],
) -> None:
    assert "is not one" in refusal(_with(change))


def test_text_that_is_not_canonical_or_too_long_is_refused() -> None:
    text = signed_by(SERVER, issued())
    assert "canonical" in refusal(text.replace(":", ": ", 1))
    assert "characters" in refusal(text + " " * (184 * 2**10))
    assert "is not one" in refusal("")
    assert "is not one" in refusal("\ud800")


def test_evidence_is_bound_to_all_else() -> None:
    bare = issued()
    with_evidence = issued(evidence="something")
    assert evidence_binding(bare) == evidence_binding(with_evidence)
    for change in ({"counter": 8}, {"packages": (OTHER,)}, {"issued": "2026-11-22T12:44:00Z"}):
        assert evidence_binding(issued(**change)) != evidence_binding(bare)
