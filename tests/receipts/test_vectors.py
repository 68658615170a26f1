"""The published receipt holds, and each of its faults is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from strongroom.errors import AttestationError
from strongroom.keys.identity import Identity, PublicIdentity
from strongroom.receipts.receipt import verify_receipt

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "docs" / "vectors" / "receipt-v1.json").read_text()
)


def test_the_published_receipt_holds() -> None:
    request, response = (bytes.fromhex(VECTORS[name]) for name in ("request", "response"))
    owner = PublicIdentity.from_text(VECTORS["owner"])
    assert owner == Identity(bytes.fromhex(VECTORS["owner_seeds"]), "vendor").public
    assert owner.fingerprint == VECTORS["owner_fingerprint"]
    for trust in (owner, owner.fingerprint):
        found = verify_receipt(VECTORS["receipt"], trust, request=request, response=response)
        assert found.server.fingerprint == VECTORS["server_fingerprint"]
        assert (found.manifest.name, found.manifest.release) == ("tumour", 4)
        assert found.statement.time == "2026-11-22T12:43:00Z"


@pytest.mark.parametrize("fault", VECTORS["refused"], ids=lambda fault: fault["fault"])
def test_every_published_fault_is_refused(fault: dict[str, str]) -> None:
    text = VECTORS["receipt"]
    start = text.index(fault["after"])
    changed = text[:start] + text[start:].replace(fault["find"], fault["put"], 1)
    assert changed != text
    with pytest.raises(AttestationError) as caught:
        verify_receipt(changed, VECTORS["owner_fingerprint"])
    assert caught.value.code == "SR-RECEIPT-INVALID"
