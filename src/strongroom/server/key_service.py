"""The endpoints of key sets: what is missing, how far an upload has come, chunks, removal.

A request is judged as one on a model is: token; names; declared length; a place; the body; its
digest. Files are read and written in threads, and what a tenant changes, one change at a time. What
is in a key is a worker's to look at.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from strongroom.errors import ServerError, StrongroomError
from strongroom.keys.server_layout import KeySetFolder, Wanted
from strongroom.keys.server_store import KeySetDescription, ObjectState, ServerKeyStore
from strongroom.server.callers import single_header, tenant_of
from strongroom.server.catalogue import Catalogue
from strongroom.server.channel import Kind, WholeObject
from strongroom.server.config import ServerConfig
from strongroom.server.job import busy
from strongroom.server.key_requests import (
    NEEDS_BYTES,
    ChunkPlace,
    chunk_place,
    malformed,
    read_needs,
)
from strongroom.server.tokens import TokenFile
from strongroom.server.upload import EarlyRefusal, declared_length, error_response, read_body
from strongroom.server.workers import WorkerPool

_CHUNKS_PER_TENANT: Final = 4
_CHUNKS_IN_ALL: Final = 32

_log = logging.getLogger("strongroom.server")


class KeyService:
    """The endpoints and what they need.

    Args:
        config: limits.
        catalogue: the models, for saying which of them a key set serves.
        store: None for a server whose models take no keys.
        pool: of workers, which look into keys.
        tokens: who may ask.
    """

    def __init__(
        self,
        config: ServerConfig,
        catalogue: Catalogue,
        store: ServerKeyStore | None,
        pool: WorkerPool,
        tokens: TokenFile,
    ) -> None:
        self._config = config
        self._catalogue = catalogue
        self._store = store
        self._pool = pool
        self._tokens = tokens
        self._chunks: Counter[str] = Counter()
        self._changes: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._storing: dict[tuple[Path, str], asyncio.Task[None]] = {}

    async def list_sets(self, request: Request) -> Response:
        """GET /v2/keys: the tenant's own key sets, and which models each is complete for."""
        tenant = tenant_of(request, self._tokens)
        sets = [] if self._store is None else await asyncio.to_thread(self._store.sets, tenant)
        return _json(
            {
                "key_sets": [
                    msgspec.to_builtins(one) | {"models": self._served_by(one)} for one in sets
                ],
                "bytes": sum(one.bytes for one in sets),
                "bytes_limit": self._config.key_bytes_per_tenant,
            }
        )

    async def missing(self, request: Request) -> Response:
        """POST …/missing: which keys of a list are not there."""
        try:
            tenant = tenant_of(request, self._tokens)
            store, folder = self._folder(request, tenant)
            length = declared_length(request.headers, NEEDS_BYTES)
        except StrongroomError as error:
            return EarlyRefusal(error, request.headers)
        body = await read_body(request.receive, length, self._config.read_timeout_seconds)
        wanted = read_needs(body)
        missing: Wanted = await asyncio.to_thread(store.missing, folder, wanted)
        return _json(
            {
                "keys": missing.keys,
                "public_limbs": missing.public_limbs,
                "chunk_bytes": self._config.key_chunk_bytes,
            }
        )

    async def state(self, request: Request) -> Response:
        """GET …/objects/{digest}: how far an object has come."""
        tenant = tenant_of(request, self._tokens)
        store, folder = self._folder(request, tenant)
        digest = request.path_params["digest"]
        return _json(await asyncio.to_thread(store.state, folder, digest))

    async def delete(self, request: Request) -> Response:
        """DELETE …: remove a key set."""
        tenant = tenant_of(request, self._tokens)
        store, folder = self._folder(request, tenant)
        async with self._changes[tenant]:
            await asyncio.to_thread(store.delete, folder)
        _log.info("key set deleted", extra={"tenant": tenant, "key_set": folder.key_set})
        return _json({})

    async def put_chunk(self, request: Request) -> Response:
        """PUT …/objects/{digest}: the next chunk of an object; the last one makes it a key."""
        started = time.perf_counter()
        try:
            tenant = tenant_of(request, self._tokens)
            store, folder = self._folder(request, tenant)
            length = declared_length(request.headers, self._config.key_chunk_bytes)
            place = chunk_place(
                single_header(request, "content-range"),
                single_header(request, "content-digest"),
                length,
            )
            self._enter(tenant)
        except StrongroomError as error:
            _log.info("chunk refused", extra={"code": error.code, "status": error.http_status})
            return EarlyRefusal(error, request.headers)
        code, status = "", 200
        try:
            with store.sending(folder):
                body = await read_body(request.receive, length, self._config.read_timeout_seconds)
                digest = request.path_params["digest"]
                return _json(await self._take_chunk(store, folder, digest, place, body))
        except StrongroomError as error:
            code, status = error.code, error.http_status
            return error_response(error, close=status == 408)
        finally:
            self._leave(tenant)
            _log.info(
                "chunk",
                extra={
                    "tenant": tenant,
                    "key_set": folder.key_set,
                    "status": status,
                    "code": code,
                    "request_bytes": length,
                    "milliseconds": round((time.perf_counter() - started) * 1e3, 3),
                },
            )

    def _served_by(self, key_set: KeySetDescription) -> list[dict[str, str]]:
        return [
            {"name": model.name, "version": model.version}
            for model in self._catalogue.models
            if model.key_parameters == key_set.parameters and key_set.holds(model.key_needs)
        ]

    async def _take_chunk(
        self,
        store: ServerKeyStore,
        folder: KeySetFolder,
        digest: str,
        place: ChunkPlace,
        chunk: bytearray,
    ) -> ObjectState:
        found = await asyncio.to_thread(hashlib.sha256, chunk)
        if found.digest() != place.digest:
            raise malformed("a chunk has not the digest that its header says")
        async with self._changes[folder.tenant]:
            state = await asyncio.to_thread(
                store.append, folder, digest, place.size, place.offset, chunk
            )
        if state.stored or state.received_bytes < place.size:
            return state
        storing = self._storing.get((folder.path, digest))
        if storing is None:
            storing = asyncio.ensure_future(self._store_key(store, folder, digest, place.size))
            self._storing[folder.path, digest] = storing
            storing.add_done_callback(lambda task: self._stored(folder, digest, task))
        # A task of its own: it goes on when this client leaves, and serves whoever asks again.
        await asyncio.shield(storing)
        return ObjectState(place.size, stored=True)

    async def _store_key(
        self, store: ServerKeyStore, folder: KeySetFolder, digest: str, size: int
    ) -> None:
        """Let a worker make a key of a whole object."""
        whole = WholeObject(folder.parameters, folder.key_set, digest, size)
        content = memoryview(msgspec.json.encode(whole))
        self._pool.enter()
        try:
            await self._pool.submit(folder.tenant, 0, content, kind=Kind.KEY).result
        except StrongroomError as error:
            # A worker that was lost says nothing about the object; these two do.
            if error.code.startswith("SR-CIPHERTEXT-") or error.code == "SR-KEYS-UPLOAD":
                async with self._changes[folder.tenant]:
                    await asyncio.to_thread(store.discard, folder, digest, size)
            raise
        finally:
            self._pool.leave()
        async with self._changes[folder.tenant]:
            await asyncio.to_thread(store.finish, folder, digest, size)

    def _stored(self, folder: KeySetFolder, digest: str, task: asyncio.Task[None]) -> None:
        del self._storing[folder.path, digest]
        if not task.cancelled():
            task.exception()  # whoever still waits gets it; nobody may

    def _folder(self, request: Request, tenant: str) -> tuple[ServerKeyStore, KeySetFolder]:
        if self._store is None:
            raise ServerError(
                "SR-KEYS-UPLOAD",
                "no model of this server takes keys",
                "Ask for a model that needs them",
                http_status=404,
            )
        names = request.path_params
        return self._store, self._store.folder(tenant, names["parameters"], names["key_set"])

    def _enter(self, tenant: str) -> None:
        if self._chunks[tenant] >= _CHUNKS_PER_TENANT or self._chunks.total() >= _CHUNKS_IN_ALL:
            raise busy("too many keys are being sent at once")
        self._chunks[tenant] += 1

    def _leave(self, tenant: str) -> None:
        self._chunks[tenant] -= 1
        if not self._chunks[tenant]:
            del self._chunks[tenant]


def _json(content: object) -> Response:
    return Response(msgspec.json.encode(content), headers={"content-type": "application/json"})
