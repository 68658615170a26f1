"""Uploads of keys: resumed, refused, and used once they are whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from key_exchanges import (
    ROTATING,
    Server,
    ask,
    error_of,
    headers_of,
    missing,
    path_of,
    put,
    send,
    send_all,
    words_digest,
)
from key_models import PARAMETERS

from strongroom.keys.key_sets import ClientKeySet


def test_a_set_is_asked_for_sent_and_used(
    server: Server, source: ClientKeySet, parse_answer: Any
) -> None:
    asked = missing(server, source, 1)
    assert asked == {
        "keys": [[need.element, need.limbs] for need in source.needs.keys],
        "public_limbs": 1,
        "chunk_bytes": 100_000,
    }
    refused = ask(server, source, "1")
    assert error_of(refused) == (424, "SR-KEYS-MISSING")
    assert "the public key, rotation by 1 step." in refused.json()["error"]
    made = send_all(server, source)
    asked = missing(server, source, 1)
    assert (asked["keys"], asked["public_limbs"]) == ([], 0)
    for _ in range(4):
        assert parse_answer(ask(server, source, "1")) == words_digest(made)
    refused = ask(server, source, "1,7")
    assert error_of(refused) == (424, "SR-KEYS-MISSING")
    assert "lacks rotation by 7 steps." in refused.json()["error"]


def test_an_upload_goes_on_where_it_stopped(server: Server, source: ClientKeySet) -> None:
    content = source.evaluation_key(source.needs.keys[0])
    url = f"{path_of(source)}/objects/{hashlib.sha256(content).hexdigest()}"
    assert server.client.get(url).json() == {"received_bytes": 0, "stored": False}
    assert put(server, source, content).json() == {"received_bytes": 100_000, "stored": False}
    assert put(server, source, content, 50_000).json()["received_bytes"] == 150_000
    assert put(server, source, content).json()["received_bytes"] == 150_000
    assert error_of(put(server, source, content, 150_001)) == (409, "SR-KEYS-UPLOAD")
    assert error_of(put(server, source, content, len(content))) == (409, "SR-KEYS-UPLOAD")
    assert server.client.get(url).json() == {"received_bytes": 150_000, "stored": False}
    for offset in range(150_000, len(content), 100_000):
        last = put(server, source, content, offset)
    assert last.json() == {"received_bytes": len(content), "stored": True}
    for offset in (0, len(content)):  # the answer was lost, say
        assert put(server, source, content, offset).json()["stored"]
    assert server.client.get(url).json()["stored"]
    assert missing(server, source, 1)["keys"] == []


def test_a_corrupted_chunk_is_refused_and_can_be_sent_again(
    server: Server, source: ClientKeySet
) -> None:
    content = source.evaluation_key(source.needs.keys[0])
    good = headers_of(content[:100_000], 0, len(content))["content-digest"]
    damaged = b"x" + content[1:]
    name = hashlib.sha256(content).hexdigest()
    response = server.client.put(
        f"{path_of(source)}/objects/{name}",
        content=damaged[:100_000],
        headers=headers_of(damaged[:100_000], 0, len(content)) | {"content-digest": good},
    )
    assert error_of(response) == (400, "SR-KEYS-UPLOAD")
    send(server, source, content)


def test_an_object_that_is_not_its_digest_is_forgotten(
    server: Server, source: ClientKeySet
) -> None:
    content = source.evaluation_key(source.needs.keys[0])
    damaged = content[:-1] + bytes([content[-1] ^ 1])
    name = hashlib.sha256(content).hexdigest()
    url = f"{path_of(source)}/objects/{name}"
    for offset in range(0, len(content), 100_000):
        chunk = damaged[offset : offset + 100_000]
        response = server.client.put(
            url, content=chunk, headers=headers_of(chunk, offset, len(content))
        )
    assert error_of(response) == (400, "SR-KEYS-UPLOAD")
    assert server.client.get(url).json() == {"received_bytes": 0, "stored": False}
    send(server, source, content)


def test_an_object_that_is_no_key_is_forgotten(server: Server, source: ClientKeySet) -> None:
    good = source.evaluation_key(source.needs.keys[0])
    for bad, code in (
        (good[:80] + b"\xff" * (len(good) - 80), "SR-CIPHERTEXT-RANGE"),
        (b"\0" * len(good), "SR-CIPHERTEXT-FORMAT"),
    ):
        for offset in range(0, len(bad), 100_000):
            response = put(server, source, bad, offset)
        assert error_of(response) == (400, code)
        url = f"{path_of(source)}/objects/{hashlib.sha256(bad).hexdigest()}"
        assert server.client.get(url).json() == {"received_bytes": 0, "stored": False}
    assert len(missing(server, source, 1)["keys"]) == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"content_range": ""}, (400, "SR-KEYS-UPLOAD")),
        ({"content_range": "bytes 0-1/2"}, (400, "SR-KEYS-UPLOAD")),
        ({"content_range": "bytes 0-99999/99999"}, (400, "SR-KEYS-UPLOAD")),
        ({"content_range": "bytes 99999-0/200000"}, (400, "SR-KEYS-UPLOAD")),
        ({"content_range": "bytes -0-99999/200000"}, (400, "SR-KEYS-UPLOAD")),
        ({"content_range": "bytes 0-99999/100000"}, (400, "SR-KEYS-UPLOAD")),
        ({"content_range": "bytes 0-99999/" + "9" * 12}, (413, "SR-KEYS-UPLOAD")),
        ({"content_range": "bytes 0-99999/" + "9" * 13}, (400, "SR-KEYS-UPLOAD")),
        ({"content_digest": ""}, (400, "SR-KEYS-UPLOAD")),
        ({"content_digest": "sha-256=:x:"}, (400, "SR-KEYS-UPLOAD")),
        ({"content_digest": "md5=:" + "A" * 43 + "=:"}, (400, "SR-KEYS-UPLOAD")),
        ({"authorization": "Bearer x"}, (401, "SR-SERVER-TOKEN")),
    ],
)
def test_a_chunk_that_breaks_the_protocol_leaves_nothing(
    server: Server, source: ClientKeySet, changes: dict[str, str], expected: tuple[int, str]
) -> None:
    content = source.evaluation_key(source.needs.keys[0])
    assert error_of(put(server, source, content, **changes)) == expected
    assert not list((server.folder / "evaluation-keys").rglob(f"*{source.identifier.hex()}*"))


def test_a_body_that_is_too_large_is_refused_before_it_is_read(
    server: Server, source: ClientKeySet
) -> None:
    content = source.evaluation_key(source.needs.keys[0])
    assert error_of(put(server, source, content, length=100_001)) == (413, "SR-REQUEST-SIZE")
    big = {"keys": [[3, 1]] * 200_000, "public_limbs": 1}
    response = server.client.post(f"{path_of(source)}/missing", json=big)
    assert error_of(response) == (413, "SR-REQUEST-SIZE")


@pytest.mark.parametrize(
    "document",
    [
        "{",
        "[]",
        '{"keys":[[1,2]]}',
        '{"keys":[[-1,2]],"public_limbs":1}',
        '{"keys":[[1,0]],"public_limbs":1}',
        '{"keys":[[1,256]],"public_limbs":1}',
        '{"keys":[1],"public_limbs":1}',
        '{"keys":[],"public_limbs":1,"more":1}',
    ],
)
def test_a_list_of_needs_that_is_none_is_refused(
    server: Server, source: ClientKeySet, document: str
) -> None:
    response = server.client.post(f"{path_of(source)}/missing", content=document)
    assert error_of(response) == (400, "SR-KEYS-UPLOAD")


def test_paths_that_name_no_key_set_lead_nowhere(server: Server) -> None:
    name = "ab" * 32
    for path in (
        f"/v2/keys/{PARAMETERS}/xyz",
        f"/v2/keys/..%2f..%2fetc/{'0' * 32}",
        f"/v2/keys/{PARAMETERS.upper()}/{'0' * 32}",
    ):
        for method, tail in (("GET", f"/objects/{name}"), ("DELETE", ""), ("POST", "/missing")):
            response = server.client.request(method, path + tail, content=b"{}")
            assert response.status_code == 404, (method, path)
    bad = f"/v2/keys/{PARAMETERS}/{'0' * 32}/objects/{'AB' * 32}"
    assert error_of(server.client.get(bad)) == (404, "SR-KEYS-UPLOAD")


def test_a_server_without_models_that_take_keys_has_no_key_folder(
    start: Callable[..., Server], source: ClientKeySet
) -> None:
    server = start(**ROTATING | {"packages": ["keyless"]})
    assert server.client.get("/v2/keys").json()["key_sets"] == []
    response = put(server, source, source.public_key())
    assert error_of(response) == (404, "SR-KEYS-UPLOAD")
    assert not (server.folder / "evaluation-keys").exists()
