"""The ASGI application: the routes of the Open Inference Protocol V2.

The order in which a request on a model is judged, each step before the next is looked at:
token; model; declared length of the body; a place in the queue; the body, as it arrives; its
format. Nothing here computes or blocks: evaluation is the workers'.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from strongroom.errors import ServerError, StrongroomError
from strongroom.keys.server_store import ServerKeyStore
from strongroom.server import v2
from strongroom.server.callers import single_header, tenant_of
from strongroom.server.catalogue import Catalogue, CatalogueEntry
from strongroom.server.config import ServerConfig
from strongroom.server.job import Evaluation
from strongroom.server.keeper_process import KeeperProcess
from strongroom.server.key_service import KeyService
from strongroom.server.model import ModelDescription
from strongroom.server.tokens import TokenFile
from strongroom.server.upload import (
    Disconnected,
    EarlyRefusal,
    declared_length,
    error_response,
    read_body,
)
from strongroom.server.workers import WorkerPool

if TYPE_CHECKING:  # imported where there are committees
    from strongroom.server.committee_documents import CommitteeDocuments
    from strongroom.server.shared_answers import SharedAnswers

_log = logging.getLogger("strongroom.server")

Endpoint = Callable[[Request], Awaitable[Response]]


def application(
    config: ServerConfig,
    catalogue: Catalogue,
    pool: WorkerPool,
    tokens: TokenFile,
    key_store: ServerKeyStore | None = None,
    keeper: KeeperProcess | None = None,
    shared: SharedAnswers | None = None,
) -> Starlette:
    """The application over a pool that has started.

    Args:
        key_store: needed if a model takes keys.
        keeper: None if the server has no identity.
        shared: None if no model is under a committee's key.
    """
    service = _Service(config, catalogue, pool, tokens, keeper, shared)
    keys = KeyService(config, catalogue, key_store, pool, tokens)
    model = "/v2/models/{name}"
    key_set = "/v2/keys/{parameters}/{key_set}"
    key_object = key_set + "/objects/{digest}"
    routes = [
        Route("/v2", _guarded(service.server_metadata)),
        Route("/v2/health/live", _guarded(service.live)),
        Route("/v2/health/ready", _guarded(service.ready)),
        Route("/v2/committees/{committee}", _guarded(service.committee)),
        Route("/v2/committees/{committee}/public-key", _guarded(service.public_key)),
        Route("/v2/keys", _guarded(keys.list_sets)),
        Route(key_set, _guarded(keys.delete), methods=["DELETE"]),
        Route(key_set + "/missing", _guarded(keys.missing), methods=["POST"]),
        Route(key_object, _guarded(keys.state)),
        Route(key_object, _guarded(keys.put_chunk), methods=["PUT"]),
    ]
    for path in (model, model + "/versions/{version}"):
        routes += [
            Route(path, _guarded(service.model_metadata)),
            Route(path + "/ready", _guarded(service.model_ready)),
            Route(path + "/infer", _guarded(service.infer), methods=["POST"]),
        ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _no_route})
    app.router.redirect_slashes = False
    return app


class _Service:
    """The endpoints and what they need."""

    def __init__(
        self,
        config: ServerConfig,
        catalogue: Catalogue,
        pool: WorkerPool,
        tokens: TokenFile,
        keeper: KeeperProcess | None,
        shared: SharedAnswers | None,
    ) -> None:
        self._shared = shared
        self._config = config
        self._catalogue = catalogue
        self._pool = pool
        self._tokens = tokens
        self._keeper = keeper
        self._metadata = msgspec.json.encode(
            {"name": "strongroom", "version": _version(), "extensions": ["binary_tensor_data"]}
        )

    async def server_metadata(self, request: Request) -> Response:
        return _json(self._metadata)

    async def live(self, request: Request) -> Response:
        return _json(b'{"live":true}')

    async def ready(self, request: Request) -> Response:
        ready = self._pool.ready
        return _json(msgspec.json.encode({"ready": ready}), 200 if ready else 503)

    async def model_metadata(self, request: Request) -> Response:
        tenant_of(request, self._tokens)
        entry = self._entry(request)
        if self._keeper is None:
            return _json(entry.metadata(None))
        authority = self._keeper.authority(entry.model.digest)
        return _json(entry.metadata(self._keeper.configuration, authority))

    async def model_ready(self, request: Request) -> Response:
        tenant_of(request, self._tokens)
        name = self._entry(request).model.name
        ready = self._pool.ready
        return _json(msgspec.json.encode({"name": name, "ready": ready}), 200 if ready else 503)

    async def committee(self, request: Request) -> Response:
        documents = self._documents(request)
        return _json((await asyncio.to_thread(documents.committee)).to_bytes())

    async def public_key(self, request: Request) -> Response:
        return _bytes(self._documents(request).public_key)

    def _documents(self, request: Request) -> CommitteeDocuments:
        tenant_of(request, self._tokens)
        if self._shared is None:
            raise ServerError(
                "SR-COMMITTEE-MISMATCH",
                "the server has no committee",
                "Ask the server's operator whether it serves the model still",
                http_status=404,
            )
        return self._shared.documents(request.path_params["committee"])

    async def infer(self, request: Request) -> Response:
        started = time.perf_counter()
        try:
            tenant = tenant_of(request, self._tokens)
            entry = self._entry(request)
            length = declared_length(request.headers, entry.body_limit)
            header = single_header(request, v2.HEADER_LENGTH)
            v2.json_length(header, length)
            self._pool.enter()
        except StrongroomError as error:
            _log.info("request refused", extra={"code": error.code, "status": error.http_status})
            return EarlyRefusal(error, request.headers)
        code, status = "", 200
        try:
            body = await read_body(request.receive, length, self._config.read_timeout_seconds)
            return await self._answer(request, tenant, entry, memoryview(body), header)
        except StrongroomError as error:
            code, status = error.code, error.http_status
            return error_response(error, close=status == 408)
        finally:
            self._pool.leave()
            _log.info(
                "request",
                extra={
                    "tenant": tenant,
                    "model": entry.model.name,
                    "status": status,
                    "code": code,
                    "request_bytes": length,
                    "milliseconds": round((time.perf_counter() - started) * 1e3, 3),
                },
            )

    async def _answer(
        self,
        request: Request,
        tenant: str,
        entry: CatalogueEntry,
        body: memoryview,
        header: str | None,
    ) -> Response:
        parsed = v2.parse_request(body, header)
        if parsed.package_digest not in (None, entry.model.digest):
            raise ServerError(
                "SR-PACKAGE-DIGEST",
                f"model {entry.model.name!r} is served from another package than is asked for",
                "Open a new client, and compare the package's digest with its owner's",
                http_status=409,
            )
        if len(parsed.content) > entry.model.request_limit:
            raise ServerError(
                "SR-REQUEST-SIZE",
                f"the protected request has {len(parsed.content)} bytes, "
                f"the model takes {entry.model.request_limit}",
                "Send fewer rows at once",
                http_status=413,
            )
        if parsed.proof_demand and not entry.model.committee:
            raise ServerError(
                "SR-REQUEST-FORMAT",
                f"model {entry.model.name!r} has no committee whose shares could be proved",
                "Ask without a demand for proofs",
                http_status=400,
            )
        if parsed.receipt and not entry.model.receipts:
            raise ServerError(
                "SR-SERVER-KEYS",
                f"model {entry.model.name!r} is served without keys that sign receipts",
                "Ask without a receipt, or ask the operator to serve under an identity",
                http_status=400,
            )
        evaluation = await self._evaluate(request, tenant, entry.index, parsed)
        parameters: dict[str, v2.Scalar] = {
            "package_digest": entry.model.digest,
            "compute_microseconds": evaluation.compute_microseconds,
            "queue_microseconds": evaluation.queue_microseconds,
        }
        if evaluation.receipt is not None:
            parameters["receipt"] = evaluation.receipt
        response = evaluation.response
        if entry.model.committee and self._shared is not None:
            response = await self._opened(self._shared, entry.model, parsed, evaluation)
        content, headers = v2.response_body(
            entry.model.name, entry.model.version, parsed, response, parameters
        )
        return Response(content, 200, headers)

    async def _opened(
        self,
        shared: SharedAnswers,
        model: ModelDescription,
        parsed: v2.InferRequest,
        evaluation: Evaluation,
    ) -> bytes:
        """What a committee's members make of an evaluation."""
        if parsed.proof_demand:
            return await shared.proved(model, parsed.query, parsed.proof_demand, evaluation)
        return await shared.finished(model.committee, parsed.query, parsed.content, evaluation)

    async def _evaluate(
        self, request: Request, tenant: str, index: int, parsed: v2.InferRequest
    ) -> Evaluation:
        job = self._pool.submit(tenant, index, parsed.content, receipt=parsed.receipt)
        try:
            if job.waiting:
                # Whoever waits in the queue may leave; then there is nothing to compute.
                leaving = asyncio.ensure_future(request.receive())
                await asyncio.wait((job.result, leaving), return_when=asyncio.FIRST_COMPLETED)
                if leaving.done() and not job.result.done() and job.waiting:
                    raise Disconnected
                leaving.cancel()
            return await job.result
        finally:
            if not job.result.done():
                self._pool.withdraw(job)

    def _entry(self, request: Request) -> CatalogueEntry:
        return self._catalogue.find(request.path_params["name"], request.path_params.get("version"))


def _guarded(endpoint: Endpoint) -> Endpoint:
    """Turn errors into answers, and faults into a line of the log and a plain answer."""

    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except StrongroomError as error:
            return error_response(error)
        except Disconnected:
            return Response(status_code=400)  # goes nowhere
        except Exception as fault:
            _log.exception("fault in the front process", exc_info=fault)
            return error_response(ServerError("SR-INTERNAL", "an unexpected fault in the server"))

    return guarded


async def _no_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    text = "the method is not allowed here" if status == 405 else "there is no such resource"
    response = error_response(
        ServerError(
            "SR-REQUEST-FORMAT",
            text,
            "See the Open Inference Protocol for the paths under /v2",
            http_status=status,
        )
    )
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, {"content-type": "application/json"})


def _bytes(body: bytes) -> Response:
    return Response(body, 200, {"content-type": "application/octet-stream"})


def _version() -> str:
    try:
        return version("strongroom")
    except PackageNotFoundError:  # run from a source tree
        return "0"
