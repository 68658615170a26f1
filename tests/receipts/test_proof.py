"""Proofs by a key broker's release; the links themselves are attacked in tests/attacks."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from model_owner import OWNER
from served_proofs import FILE_KEY, ProvenHost, identity, package_of

from strongroom.broker.release import Release, ReleaseAuthority, SignedRelease, Summary
from strongroom.canonical import canonical_json
from strongroom.errors import AttestationError, StrongroomError
from strongroom.keys.identity import Identity
from strongroom.moments import write_moment
from strongroom.package.grants import GrantLog
from strongroom.receipts.proof import Proof, Trusted, verify_proof
from strongroom.receipts.receipt import complete_receipt, verify_receipt

TRUSTED = Trusted(OWNER.fingerprint, None)


def _released(host: ProvenHost, by: Identity) -> Proof:
    digest, broker = host.package.digest, identity("broker")
    log = GrantLog.begin(OWNER, digest, FILE_KEY, now=host.time, generation=5)
    log = log.with_grant(OWNER, broker.public, "broker", FILE_KEY, now=host.time)
    release = Release(
        format=1,
        package=digest,
        server=host.server.public.to_text(),
        nonce="00" * 32,
        issued=write_moment(host.time),
        expires=write_moment(host.time + timedelta(hours=1)),
        summary=Summary("sev-snp", "00" * 48),
        evidence="sha256:" + "0" * 64,
        policy="sha256:" + "1" * 64,
    )
    authority = ReleaseAuthority(log.entries[-1], SignedRelease.by(by, release))
    return msgspec.structs.replace(host.proof(), authority=canonical_json(authority).decode())


@pytest.fixture
def released() -> ProvenHost:
    return ProvenHost(package_of())


def test_a_broker_may_stand_between_the_owner_and_the_server(released: ProvenHost) -> None:
    proof = _released(released, identity("broker"))
    proven = verify_proof(proof, TRUSTED, released.time)
    assert proven.server == released.server.public
    assert proven.generation == 5
    receipt = complete_receipt(
        released.statement(b"asked", b"answered"),
        proof,
        proven,
        request=b"asked",
        response=b"answered",
        now=released.time,
    )
    assert verify_receipt(receipt.text, OWNER.public) == receipt


def test_a_release_by_somebody_else_or_of_the_past_is_refused(released: ProvenHost) -> None:
    with pytest.raises(StrongroomError):
        verify_proof(_released(released, identity("stranger")), TRUSTED, released.time)
    late = released.time + timedelta(hours=1, minutes=10)
    proof = _released(released, identity("broker"))
    with pytest.raises(StrongroomError):
        verify_proof(proof, TRUSTED, late)
    proven = verify_proof(proof, TRUSTED, released.time)
    with pytest.raises(AttestationError, match="answered at"):
        complete_receipt(
            released.statement(b"asked", b"answered"),
            proof,
            proven,
            request=b"asked",
            response=b"answered",
            now=late,
        )
