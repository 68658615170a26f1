"""The published vectors of sealed messages (docs/vectors/sealed-v1.json)."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strongroom.errors import CODES, ServerError, StrongroomError
from strongroom.keys.serving import ServingSecrets
from strongroom.moments import parse_moment
from strongroom.protections.sealed.message import PendingSealed, open_request
from strongroom.protections.sealed.tensors import tensors_from_bytes

FILE = Path(__file__).parents[3] / "docs" / "vectors" / "sealed-v1.json"
VECTORS: dict[str, Any] = json.loads(FILE.read_text())
NOW = parse_moment(VECTORS["now"])


class Keys:
    """The serving key of the vectors; nothing was seen before."""

    def __init__(self) -> None:
        seeds = base64.b64decode(VECTORS["serving_key_seeds"])
        start, end = (parse_moment(VECTORS[name]) for name in ("not_before", "not_after"))
        self.key = ServingSecrets(seeds, start, end)

    def opening_key(self, key_id: str) -> ServingSecrets | None:
        return self.key if key_id == self.key.key_id else None

    def seen(self, request_id: str, expires: datetime) -> bool:
        return False


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=lambda one: one["name"])
def test_a_valid_exchange_opens_on_both_sides(vector: dict[str, Any]) -> None:
    keys = Keys()
    assert keys.key.key_id == VECTORS["key_id"]
    request = base64.b64decode(vector["request"])
    opened = open_request(request, keys, package=VECTORS["package"], now=NOW)
    assert len(opened.content) == vector["content_bytes"]
    assert hashlib.sha256(opened.content).hexdigest() == vector["content_sha256"]
    asker = PendingSealed(request, opened.header.request, opened._response_key)
    answer = asker.open_response(base64.b64decode(vector["response"]))
    assert answer == base64.b64decode(vector["answer"])
    with pytest.raises(ServerError) as caught:
        asker.open_response(base64.b64decode(vector["refusal"]))
    assert caught.value.code == vector["refusal_code"]


def test_the_tensors_in_a_vector_are_these() -> None:
    tensors = tensors_from_bytes(memoryview(base64.b64decode(VECTORS["valid"][0]["content"])))
    assert {name: array.tolist() for name, array in tensors.items()} == {
        "features": [[1.5, -2.0, 0.25]],
        "mask": [True, False, True],
    }
    scores = tensors_from_bytes(memoryview(base64.b64decode(VECTORS["valid"][0]["answer"])))
    assert scores["scores"].dtype == np.float32
    assert scores["scores"].tolist() == [[0.125, -8.0]]


@pytest.mark.parametrize("vector", VECTORS["malformed"], ids=lambda one: one["name"])
def test_a_malformed_request_is_refused_for_what_is_wrong(vector: dict[str, Any]) -> None:
    request = base64.b64decode(vector["request"])
    with pytest.raises(StrongroomError) as caught:
        open_request(request, Keys(), package=VECTORS["package"], now=NOW)
    assert caught.value.code == vector["code"]
    assert vector["code"] in CODES
