"""A proof is for who asked, and of what it names; nothing else reads it, or takes it for one."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from strongroom.canonical import canonical_json, digest
from strongroom.engine.threshold import Proof
from strongroom.errors import StrongroomError
from strongroom.keys.identity import Identity
from strongroom.keys.one_time_keys import OneTimeKey
from strongroom.keys.query import Query
from strongroom.keys.share_proofs import ProofDemand, SealedProof, SignedDemand, proof_context

CLIENT, MEMBER, OTHER = (Identity.generate(name) for name in ("ward", "vendor", "other"))
QUERY, RESULT, STATE, ELSE = ("sha256:" + digit * 64 for digit in "1234")
PROOF = Proof(b"for the server" * 1000, bytes(range(256)) * 3)
DEMAND = ProofDemand(query=QUERY, result=RESULT, state=STATE, index=1)


def query(key: OneTimeKey) -> Query:
    return Query(
        committee=STATE,
        package=ELSE,
        client=CLIENT.fingerprint,
        input=ELSE,
        blocks=2,
        target=key.public,
        counter=1,
        active=("vendor", "hospital"),
        issued=1_795_000_000_000,
    )


def sealed(key: OneTimeKey) -> SealedProof:
    return SealedProof.by(MEMBER, "vendor", query(key), DEMAND, PROOF)


def refused(call: Any, *args: Any) -> str:
    with pytest.raises(StrongroomError) as error:
        call(*args)
    assert "\n" not in str(error.value)
    return error.value.code


def test_the_salts_open_for_whoever_asked() -> None:
    key = OneTimeKey()
    again = msgspec.json.decode(canonical_json(sealed(key)), type=SealedProof)
    again.verify(MEMBER.public, "vendor", DEMAND)
    assert again.shown == digest(PROOF.shown)
    assert again.open(key) == PROOF.salts


def test_the_salts_are_nowhere_in_what_is_sent() -> None:
    data = canonical_json(sealed(OneTimeKey()))
    for part in (PROOF.salts[:32], PROOF.salts[-32:]):
        for form in (part, part.hex().encode(), base64.b64encode(part)[4:-4]):
            assert form not in data


@pytest.mark.parametrize(
    "change",
    [
        {"query": ELSE},
        {"result": ELSE},
        {"index": 0},
        {"state": ELSE},
        {"member": "hospital"},
        {"shown": ELSE},
        {"sealed": bytes(2000)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_proof_of_anything_else_is_none(change: dict[str, Any]) -> None:
    key = OneTimeKey()
    one = sealed(key)
    altered = msgspec.structs.replace(one, **change)
    assert refused(altered.verify, MEMBER.public, "vendor", DEMAND) == "SR-MEMBER-SHARE"
    if "shown" not in change:
        assert refused(altered.open, key) == "SR-MEMBER-SHARE"
    elsewhere = {name: value for name, value in change.items() if name in DEMAND.__struct_fields__}
    if elsewhere:
        asked = msgspec.structs.replace(DEMAND, **elsewhere)
        assert refused(one.verify, MEMBER.public, "vendor", asked) == "SR-MEMBER-SHARE"


def test_a_proof_of_another_member_is_none() -> None:
    one = sealed(OneTimeKey())
    assert refused(one.verify, OTHER.public, "vendor", DEMAND) == "SR-MEMBER-SHARE"
    assert refused(one.verify, MEMBER.public, "hospital", DEMAND) == "SR-MEMBER-SHARE"


def test_a_proof_for_another_asker_does_not_open() -> None:
    one = sealed(OneTimeKey())
    with pytest.raises(StrongroomError) as error:
        one.open(OneTimeKey())
    assert (error.value.code, error.value.member) == (  # type: ignore[attr-defined]
        "SR-MEMBER-SHARE",
        "vendor",
    )


def test_a_damaged_proof_does_not_open() -> None:
    key = OneTimeKey()
    one = sealed(key)
    for place in (0, 1150, len(one.sealed) - 1):
        damaged = bytearray(one.sealed)
        damaged[place] ^= 1
        other = msgspec.structs.replace(one, sealed=bytes(damaged))
        assert refused(other.verify, MEMBER.public, "vendor", DEMAND) == "SR-MEMBER-SHARE"
        assert refused(other.open, key) == "SR-MEMBER-SHARE"


def test_only_who_asked_demands() -> None:
    signed = SignedDemand.by(CLIENT, DEMAND)
    again = msgspec.json.decode(canonical_json(signed), type=SignedDemand)
    again.verify(CLIENT.public)
    assert refused(again.verify, OTHER.public) == "SR-MEMBER-QUERY"
    for change in ({"query": ELSE}, {"result": ELSE}, {"state": ELSE}, {"index": 0}):
        other = SignedDemand(msgspec.structs.replace(DEMAND, **change), signed.signatures)
        assert refused(other.verify, CLIENT.public) == "SR-MEMBER-QUERY"
    # A signature for another purpose is none.
    elsewhere = SignedDemand(DEMAND, CLIENT.sign("query", canonical_json(DEMAND)))
    assert refused(elsewhere.verify, CLIENT.public) == "SR-MEMBER-QUERY"


@pytest.mark.parametrize(
    "fields",
    [
        {"index": None},
        {"index": -1},
        {"index": 2**16},
        {"result": "sha256:0"},
        {"more": 1},
        {"format": "strongroom-proof-demand-2"},
    ],
)
def test_what_is_no_demand_is_not_read(fields: dict[str, Any]) -> None:
    good = msgspec.json.decode(canonical_json(DEMAND))
    assert msgspec.json.decode(msgspec.json.encode(good), type=ProofDemand) == DEMAND
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(good | fields), type=ProofDemand)


def test_each_place_member_and_state_has_a_context_of_its_own() -> None:
    demands = [DEMAND] + [
        msgspec.structs.replace(DEMAND, **change)
        for change in ({"query": ELSE}, {"result": ELSE}, {"state": ELSE}, {"index": 0})
    ]
    contexts = {
        proof_context(demand, member) for demand in demands for member in ("vendor", "hospital")
    }
    assert len(contexts) == 10
