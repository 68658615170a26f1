"""The vectors of docs/vectors/key-configuration-v1.json: a proof that holds, and one fault each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from strongroom.errors import StrongroomError
from strongroom.keys.identity import Identity, PublicIdentity
from strongroom.keys.serving import (
    KeyConfiguration,
    ServingSecrets,
    evidence_binding,
    verify_configuration,
)
from strongroom.moments import parse_moment
from strongroom.receipts.authority import verify_authority

PATH = Path(__file__).parents[2] / "docs" / "vectors" / "key-configuration-v1.json"
VECTORS: dict[str, Any] = json.loads(PATH.read_text())
OWNER = PublicIdentity.from_text(VECTORS["owner"]["public"])


def verified(**changes: Any) -> KeyConfiguration:
    case = VECTORS["accepted"] | changes
    now = parse_moment(case["now"])
    server = verify_authority(case["authority"], OWNER, VECTORS["package"], now)
    return verify_configuration(
        case["key_configuration"], server, VECTORS["package"], now, case["least_counter"]
    )


def test_the_proof_holds() -> None:
    found = verified()
    assert [key.key_id for key in found.keys] == [key["key_id"] for key in VECTORS["serving_keys"]]
    assert PublicIdentity.from_text(found.server).fingerprint == VECTORS["server"]["fingerprint"]
    assert evidence_binding(found).hex() == VECTORS["evidence_binding"]


def test_keys_follow_from_their_seeds() -> None:
    for name in ("owner", "server"):
        seeds = bytes.fromhex(VECTORS[name]["seeds"])
        public = PublicIdentity.from_text(VECTORS[name]["public"])
        assert Identity(seeds, public.name).public.to_text() == VECTORS[name]["public"]
    for shown, published in zip(VECTORS["serving_keys"], verified().keys, strict=True):
        times = (parse_moment(published.not_before), parse_moment(published.not_after))
        assert ServingSecrets(bytes.fromhex(shown["seeds"]), *times).key == published


def test_what_is_sealed_to_a_serving_key_opens() -> None:
    case = VECTORS["sealed"]
    published = verified().by_id(case["key_id"])
    assert published is not None
    times = (parse_moment(published.not_before), parse_moment(published.not_after))
    (shown,) = (one for one in VECTORS["serving_keys"] if one["key_id"] == case["key_id"])
    secrets = ServingSecrets(bytes.fromhex(shown["seeds"]), *times)
    sealed, info = bytes.fromhex(case["sealed"]), bytes.fromhex(case["info"])
    assert secrets.open(sealed, info).hex() == case["plaintext"]


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["name"])
def test_every_fault_is_refused(case: dict[str, Any]) -> None:
    changes = {name: value for name, value in case.items() if name not in ("name", "code")}
    with pytest.raises(StrongroomError) as caught:
        verified(**changes)
    assert caught.value.code == case["code"]
