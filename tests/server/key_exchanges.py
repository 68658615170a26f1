"""Requests about key sets, made by hand, to a real server."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import httpx
from key_models import PARAMETERS, needs

from strongroom.engine import SecretKey, catalogued, switching_key_from_bytes
from strongroom.keys.key_sets import ClientKeySet
from strongroom.server.tokens import create_token

Server = Any

CHUNK_BYTES = 100_000
ROTATING = {
    "loader": "key_models:open_model",
    "packages": ["rotating"],
    "key_chunk_bytes": CHUNK_BYTES,
}
"""Fields of the configuration of a server whose model takes keys."""


def client_keys(*steps: int) -> ClientKeySet:
    """Of a new client, for a model that rotates by some steps."""
    return ClientKeySet(SecretKey.generate(catalogued(PARAMETERS)), needs(*steps))


def path_of(source: ClientKeySet) -> str:
    return f"/v2/keys/{PARAMETERS}/{source.identifier.hex()}"


def missing(server: Server, source: ClientKeySet, *steps: int, client: Any = None) -> Any:
    wanted = needs(*steps)
    document = {
        "keys": [[need.element, need.limbs] for need in wanted.keys],
        "public_limbs": wanted.public_limbs,
    }
    response = (client or server.client).post(f"{path_of(source)}/missing", json=document)
    assert response.status_code == 200, response.text
    return response.json()


def headers_of(chunk: bytes, offset: int, size: int) -> dict[str, str]:
    digest = base64.b64encode(hashlib.sha256(chunk).digest()).decode()
    span = f"{offset}-{offset + len(chunk) - 1}" if chunk else "*"
    return {"content-range": f"bytes {span}/{size}", "content-digest": f"sha-256=:{digest}:"}


def put(
    server: Server,
    source: ClientKeySet,
    content: bytes,
    offset: int = 0,
    length: int = CHUNK_BYTES,
    client: Any = None,
    **changes: str,
) -> httpx.Response:
    chunk = content[offset : offset + length]
    headers = headers_of(chunk, offset, len(content)) | {
        name.replace("_", "-"): value for name, value in changes.items()
    }
    name = hashlib.sha256(content).hexdigest()
    return (client or server.client).put(
        f"{path_of(source)}/objects/{name}", content=chunk, headers=headers
    )


def send(server: Server, source: ClientKeySet, content: bytes, client: Any = None) -> None:
    for offset in range(0, len(content), CHUNK_BYTES):
        response = put(server, source, content, offset, client=client)
        assert response.status_code == 200, response.text
    assert response.json() == {"received_bytes": len(content), "stored": True}


def send_all(server: Server, source: ClientKeySet, client: Any = None) -> list[bytes]:
    made = [source.evaluation_key(need) for need in source.needs.keys]
    for content in [source.public_key(), *made]:
        send(server, source, content, client)
    return made


def ask(server: Server, source: ClientKeySet, steps: str, client: Any = None) -> httpx.Response:
    return server.call(source.identifier + steps.encode(), "rotating", client)


def error_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def words_digest(made: list[bytes]) -> bytes:
    found = hashlib.sha256()
    for content in made:
        found.update(switching_key_from_bytes(catalogued(PARAMETERS), content).native.words)
    return found.digest()


def another_tenant(server: Server, tenant: str) -> httpx.Client:
    token = create_token(server.folder / "tokens.json", tenant)
    return httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {token}"})
