"""The broker over HTTP: three requests, each bounded before it is read.

    GET  /v1/about       who the broker is, and under which policy
    POST /v1/challenge   a nonce
    POST /v1/release     a file key, for evidence

With a token file, `challenge` and `release` need a token. Evidence is judged on a thread, a few
at a time; who finds no place is told to come again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from strongroom.broker.decision import Broker
from strongroom.broker.exchange import (
    ABOUT_PATH,
    CHALLENGE_PATH,
    MAXIMUM_REQUEST_BYTES,
    RELEASE_PATH,
    About,
    Challenge,
    ReleaseAnswer,
    decode_request,
)
from strongroom.broker.policy import DevelopmentPolicy
from strongroom.canonical import canonical_json
from strongroom.errors import PackageError, ServerError, StrongroomError
from strongroom.server.callers import tenant_of
from strongroom.server.tokens import TokenFile
from strongroom.server.upload import (
    Disconnected,
    EarlyRefusal,
    declared_length,
    error_response,
    read_body,
)

_AT_ONCE: Final = 4
_WAITING: Final = 64

_log = logging.getLogger("strongroom.server.broker")

Endpoint = Callable[[Request], Awaitable[Response]]


def broker_application(
    broker: Broker, tokens: TokenFile | None, read_timeout_seconds: float
) -> Starlette:
    """The application.

    Args:
        broker: that decides.
        tokens: who may ask; None for everybody.
        read_timeout_seconds: within which the body of a request has to arrive.
    """
    service = _Service(broker, tokens, read_timeout_seconds)
    app = Starlette(
        routes=[
            Route(ABOUT_PATH, _guarded(service.about)),
            Route(CHALLENGE_PATH, _guarded(service.challenge), methods=["POST"]),
            Route(RELEASE_PATH, _guarded(service.release), methods=["POST"]),
        ],
        exception_handlers={HTTPException: _no_route},
    )
    app.router.redirect_slashes = False
    return app


class _Service:
    def __init__(
        self, broker: Broker, tokens: TokenFile | None, read_timeout_seconds: float
    ) -> None:
        self._broker = broker
        self._tokens = tokens
        self._read_timeout_seconds = read_timeout_seconds
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._asking = 0

    async def about(self, request: Request) -> Response:
        policy = self._broker.policy
        return _json(
            About(
                identity=self._broker.identity.to_text(),
                policy=policy.digest,
                development=isinstance(policy, DevelopmentPolicy),
            )
        )

    async def challenge(self, request: Request) -> Response:
        self._tenant(request)
        nonces = self._broker.nonces
        return _json(Challenge(nonces.issue(), nonces.lifetime_seconds))

    async def release(self, request: Request) -> Response:
        try:
            tenant = self._tenant(request)
            length = declared_length(request.headers, MAXIMUM_REQUEST_BYTES)
            self._enter()
        except StrongroomError as error:
            _log.info("request refused", extra={"code": error.code, "status": error.http_status})
            return EarlyRefusal(error, request.headers)
        try:
            body = await read_body(request.receive, length, self._read_timeout_seconds)
            return _json(await self._decide(body))
        except StrongroomError as error:
            _log.warning(
                "key refused",
                extra={"tenant": tenant, "code": error.code, "reason": error.message},
            )
            return _refusal(error)
        finally:
            self._asking -= 1

    async def _decide(self, body: bytearray) -> ReleaseAnswer:
        wanted = decode_request(body)
        async with self._places:
            return await asyncio.to_thread(self._broker.release, wanted)

    def _enter(self) -> None:
        if self._asking >= _WAITING:
            raise ServerError(
                "SR-REQUEST-BUSY",
                f"{_WAITING} requests are waiting for the broker",
                "Try again a little later",
                http_status=503,
            )
        self._asking += 1

    def _tenant(self, request: Request) -> str:
        return "" if self._tokens is None else tenant_of(request, self._tokens)


def _guarded(endpoint: Endpoint) -> Endpoint:
    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except StrongroomError as error:
            return _refusal(error)
        except Disconnected:
            return Response(status_code=400)  # goes nowhere
        except Exception as fault:
            _log.exception("fault in the broker", exc_info=fault)
            return error_response(ServerError("SR-INTERNAL", "an unexpected fault in the broker"))

    return guarded


def _refusal(error: StrongroomError) -> Response:
    response = error_response(error, close=error.http_status == 408)
    if isinstance(error, PackageError):  # of the package that is asked for, not of the broker
        response.status_code = 403
    return response


async def _no_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    return error_response(
        ServerError(
            "SR-REQUEST-FORMAT",
            "the method is not allowed here" if status == 405 else "there is no such resource",
            "This is a key broker; models are served elsewhere",
            http_status=status,
        )
    )


def _json(value: msgspec.Struct) -> Response:
    return Response(canonical_json(value), 200, {"content-type": "application/json"})
