"""Exchanges with a key broker as the keeper leads them, and when they are repeated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from strongroom.attestation.development import DevelopmentAttester
from strongroom.attestation.evidence import evidence_digest
from strongroom.attestation.interface import Claims
from strongroom.attestation.verification import verify_evidence
from strongroom.broker.exchange import Challenge, ReleaseAnswer, Released, decode_request
from strongroom.broker.release import Release, SignedRelease, Summary
from strongroom.canonical import canonical_json
from strongroom.errors import StrongroomError
from strongroom.keys.identity import Identity
from strongroom.moments import write_moment
from strongroom.package.grants import GrantLog
from strongroom.server.releases import Releases

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
PACKAGE = "sha256:" + "ab" * 32
FILE_KEY = bytes(range(32))
OWNER, DESK, HOST = (Identity.generate(name) for name in ("owner", "desk", "host"))


class Exchanges:
    """Releases, and a broker that answers in the same process."""

    def __init__(self, development: bool = True) -> None:
        self.asked: list[tuple[str, bytes | None]] = []
        self.releases = Releases(
            HOST,
            DevelopmentAttester(),
            lambda package, body: self.asked.append((package, body)),
            development=development,
        )

    def challenge(self, now: datetime) -> Released | None:
        text = canonical_json(Challenge("12" * 32, 60))
        return self.releases.heard(PACKAGE, text, now)

    def answer(self, now: datetime, lasts: timedelta = 2 * HOUR) -> bytes:
        """The broker's answer to the last request."""
        body = self.asked[-1][1]
        assert body is not None
        request = decode_request(body)
        claims: Claims = verify_evidence(request.evidence, now)
        release = Release(
            format=1,
            package=request.package,
            server=request.server,
            nonce=request.nonce,
            issued=write_moment(now),
            expires=write_moment(now + lasts),
            summary=Summary.of(claims),
            evidence=evidence_digest(request.evidence),
            policy="sha256:" + "00" * 32,
        )
        log = GrantLog.begin(OWNER, request.package, FILE_KEY, now=NOW - HOUR)
        log = log.with_grant(OWNER, DESK.public, "broker", FILE_KEY, now=NOW - HOUR)
        return canonical_json(
            ReleaseAnswer(
                grant=log.entries[-1],
                release=SignedRelease.by(DESK, release),
                wrapped=HOST.public.wrap(FILE_KEY, release.info),
            )
        )

    def complete(self, now: datetime) -> Released | None:
        self.releases.begin(PACKAGE, OWNER.public)
        assert self.challenge(now) is None
        return self.releases.heard(PACKAGE, self.answer(now), now)


def test_an_exchange_ends_with_the_key() -> None:
    exchanges = Exchanges()
    released = exchanges.complete(NOW)
    assert released is not None
    assert released.file_key == FILE_KEY
    assert exchanges.releases.held(PACKAGE, NOW) == released
    assert [body is None for _, body in exchanges.asked] == [True, False]


def test_workers_that_ask_at_once_share_one_exchange() -> None:
    exchanges = Exchanges()
    exchanges.releases.begin(PACKAGE, OWNER.public)
    exchanges.releases.begin(PACKAGE, OWNER.public)
    exchanges.challenge(NOW)
    exchanges.releases.begin(PACKAGE, OWNER.public)
    assert len(exchanges.asked) == 2


def test_a_release_is_renewed_at_half_its_time() -> None:
    exchanges = Exchanges()
    first = exchanges.complete(NOW)
    assert exchanges.releases.seconds_until_next(NOW) == 3600
    exchanges.releases.renew(NOW + HOUR - timedelta(seconds=1))
    assert len(exchanges.asked) == 2
    exchanges.releases.renew(NOW + HOUR)
    assert exchanges.asked[-1] == (PACKAGE, None)
    assert exchanges.releases.held(PACKAGE, NOW + HOUR) == first


def test_a_renewal_that_fails_is_tried_again_every_minute_until_the_time_is_over() -> None:
    exchanges = Exchanges()
    exchanges.complete(NOW)
    exchanges.releases.renew(NOW + HOUR)
    exchanges.releases.failed(PACKAGE, NOW + HOUR)
    assert exchanges.releases.seconds_until_next(NOW + HOUR) == 60
    exchanges.releases.renew(NOW + HOUR + timedelta(minutes=1))
    assert len(exchanges.asked) == 4
    assert exchanges.releases.held(PACKAGE, NOW + 2 * HOUR - timedelta(seconds=1)) is not None
    assert exchanges.releases.held(PACKAGE, NOW + 2 * HOUR) is None


def test_an_answer_to_an_earlier_request_is_refused() -> None:
    exchanges = Exchanges()
    exchanges.complete(NOW)
    old = exchanges.answer(NOW)
    exchanges.releases.renew(NOW + HOUR)
    text = canonical_json(Challenge("34" * 32, 60))
    assert exchanges.releases.heard(PACKAGE, text, NOW + HOUR) is None
    with pytest.raises(StrongroomError) as caught:
        exchanges.releases.heard(PACKAGE, old, NOW + HOUR)
    assert caught.value.code == "SR-BROKER-REFUSED"
    assert exchanges.releases.held(PACKAGE, NOW + HOUR) is not None


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"{" * 100])
def test_what_is_no_answer_ends_the_exchange(content: bytes) -> None:
    exchanges = Exchanges()
    exchanges.releases.begin(PACKAGE, OWNER.public)
    with pytest.raises(StrongroomError) as caught:
        exchanges.releases.heard(PACKAGE, content, NOW)
    assert caught.value.code == "SR-SERVER-PROTOCOL"
    exchanges.releases.begin(PACKAGE, OWNER.public)
    assert len(exchanges.asked) == 2


def test_what_nobody_asked_for_is_ignored() -> None:
    exchanges = Exchanges()
    assert exchanges.challenge(NOW) is None
    exchanges.complete(NOW)
    assert exchanges.releases.heard(PACKAGE, exchanges.answer(NOW), NOW) is None


def test_a_production_server_takes_no_development_release() -> None:
    exchanges = Exchanges(development=False)
    with pytest.raises(StrongroomError) as caught:
        exchanges.complete(NOW)
    assert caught.value.code == "SR-ATTESTATION-POLICY"


def test_a_release_for_another_server_is_refused() -> None:
    exchanges = Exchanges()
    exchanges.releases.begin(PACKAGE, OWNER.public)
    exchanges.challenge(NOW)
    request = decode_request(exchanges.asked[-1][1] or b"")
    other = msgspec.structs.replace(request, server=Identity.generate("other").public.to_text())
    exchanges.asked.append((PACKAGE, canonical_json(other)))
    with pytest.raises(StrongroomError) as caught:
        exchanges.releases.heard(PACKAGE, exchanges.answer(NOW), NOW)
    assert caught.value.code == "SR-BROKER-REFUSED"
