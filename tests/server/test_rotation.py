"""Rotation of serving keys: which there are when, and what is announced."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from strongroom.attestation.development import DevelopmentAttester
from strongroom.attestation.evidence import KEY_CONFIGURATION, decode_evidence, report_data
from strongroom.attestation.verification import verify_evidence
from strongroom.keys.identity import Identity
from strongroom.keys.serving import CLOCK_SKEW, evidence_binding, verify_configuration
from strongroom.server.rotation import Rotation

NOW = datetime(2026, 11, 22, 12, 43, 7, 500_000, tzinfo=UTC)
HOUR = timedelta(hours=1)
PACKAGE = "sha256:" + "ab" * 32

IDENTITY = Identity.generate("server")


@pytest.fixture
def rotation() -> Rotation:
    rotation = Rotation(IDENTITY, lifetime=12 * HOUR, overlap=HOUR)
    assert rotation.advance(NOW)
    assert rotation.add_package(PACKAGE)
    return rotation


def test_a_key_is_made_when_the_lifetime_of_the_last_is_over(rotation: Rotation) -> None:
    first = rotation.signing(NOW)
    assert not rotation.advance(NOW + 11 * HOUR)
    assert rotation.seconds_until_next(NOW + 11 * HOUR) == pytest.approx(3600, abs=1)
    assert rotation.advance(NOW + 12 * HOUR)
    text = rotation.configuration(NOW + 12 * HOUR)
    assert text is not None
    shown = verify_configuration(text, IDENTITY.public, PACKAGE, NOW + 12 * HOUR)
    assert [key.key_id for key in shown.keys][1:] == [first.key_id]
    assert shown.key(NOW + 12 * HOUR).key_id != first.key_id


def test_an_old_key_opens_through_the_overlap_and_is_gone_then(rotation: Rotation) -> None:
    old = rotation.signing(NOW).key_id
    rotation.advance(NOW + 12 * HOUR)
    late = NOW + 13 * HOUR + CLOCK_SKEW - timedelta(seconds=1)
    assert rotation.secrets(old, late) is not None
    over = NOW + 13 * HOUR + CLOCK_SKEW
    assert rotation.secrets(old, over) is None
    assert rotation.advance(over)
    text = rotation.configuration(over)
    assert text is not None
    assert old not in text


def test_receipts_are_signed_by_the_oldest_valid_key(rotation: Rotation) -> None:
    old = rotation.signing(NOW)
    rotation.advance(NOW + 12 * HOUR)
    assert rotation.signing(NOW + 12 * HOUR) is old
    assert rotation.signing(NOW + 13 * HOUR) is not old


def test_every_configuration_has_a_higher_counter(rotation: Rotation) -> None:
    texts = [rotation.configuration(NOW) for _ in range(3)]
    texts.append(rotation.configuration(NOW - HOUR))
    counters = [
        verify_configuration(text or "", IDENTITY.public, PACKAGE, NOW).counter for text in texts
    ]
    assert counters == sorted(set(counters))
    assert counters[0] == int(NOW.timestamp() * 1000)


def test_a_server_that_sleeps_through_several_lifetimes_has_one_key(rotation: Rotation) -> None:
    old = rotation.signing(NOW).key_id
    assert rotation.advance(NOW + 100 * HOUR)
    assert rotation.secrets(old, NOW + 100 * HOUR) is None
    assert rotation.signing(NOW + 100 * HOUR).key_id != old


def test_there_is_no_configuration_without_a_package() -> None:
    rotation = Rotation(IDENTITY, lifetime=HOUR, overlap=HOUR)
    rotation.advance(NOW)
    assert rotation.configuration(NOW) is None
    assert rotation.add_package(PACKAGE)
    assert not rotation.add_package(PACKAGE)
    assert rotation.configuration(NOW) is not None


def test_evidence_is_bound_to_the_configuration_that_it_is_in() -> None:
    rotation = Rotation(IDENTITY, lifetime=HOUR, overlap=HOUR, attester=DevelopmentAttester())
    rotation.advance(NOW)
    rotation.add_package(PACKAGE)
    text = rotation.configuration(NOW)
    assert text is not None
    shown = verify_configuration(text, IDENTITY.public, PACKAGE, NOW)
    assert shown.evidence is not None
    claims = verify_evidence(decode_evidence(shown.evidence), datetime.now(UTC))
    bound = evidence_binding(shown).hex()
    assert claims.report_data == report_data(bound, IDENTITY.fingerprint, KEY_CONFIGURATION)
