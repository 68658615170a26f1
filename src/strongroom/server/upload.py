"""Reading the body of a request: nothing before its length is known and allowed, and not for
ever; and refusing a body that is on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from strongroom.errors import CommitteeError, ServerError, StrongroomError

_SKIPPED_BYTES: Final = 256 << 10
"""A refused body up to this size is skipped, and the connection lives on."""

_LINGER_SECONDS: Final = 2.0


class Disconnected(Exception):
    """The client left before its body was complete; nobody is there to be answered."""


def declared_length(headers: Headers, limit: int) -> int:
    """The length of a body that may be read.

    Raises:
        ServerError: SR-REQUEST-SIZE, with HTTP status 411 if the length is not declared and 413
            if it is above the limit.
    """
    length = headers.get("content-length")
    if length is None or "transfer-encoding" in headers:
        raise ServerError(
            "SR-REQUEST-SIZE",
            "the request does not say how long its body is",
            "Send a Content-Length instead of a chunked body",
            http_status=411,
        )
    if int(length) > limit:
        raise ServerError(
            "SR-REQUEST-SIZE",
            f"the request's body has {length} bytes, allowed are {limit}",
            "Send fewer rows at once",
            http_status=413,
        )
    return int(length)


async def read_body(receive: Receive, length: int, timeout_seconds: float) -> bytearray:
    """Read a body of a declared length.

    Raises:
        Disconnected: the client left before the last byte.
        ServerError: SR-REQUEST-TIMEOUT (408) if it takes too long.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_seconds):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise Disconnected
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    break
    except TimeoutError:
        raise ServerError(
            "SR-REQUEST-TIMEOUT",
            f"the request's body did not arrive within {timeout_seconds:g} seconds",
            "Send it over a faster connection, or fewer rows at once",
            http_status=408,
        ) from None
    if len(body) != length:
        raise Disconnected
    return body


def error_response(error: StrongroomError, *, close: bool = False) -> Response:
    """The answer to a request that ends with an error: one line and a code, as JSON."""
    body, headers = _error(error)
    if close:
        headers["connection"] = "close"
    return Response(body, error.http_status, headers)


class EarlyRefusal(Response):
    """An error answered before the body was read; an ASGI response.

    A small body is skipped by the HTTP layer and the connection lives on. Otherwise the
    connection closes, but not at once: a client that still sends would be reset and might lose
    the answer. So the answer goes out whole, and what comes in is thrown away for a moment.
    """

    def __init__(self, error: StrongroomError, headers: Headers) -> None:
        super().__init__(status_code=error.http_status)
        length = headers.get("content-length")
        self._skip = (
            (length is None or int(length) <= _SKIPPED_BYTES)
            and "transfer-encoding" not in headers
            and "expect" not in headers
        )
        self._error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        if self._skip:
            await error_response(self._error)(scope, receive, send)
            return
        body, headers = _error(self._error)
        headers |= {"content-length": str(len(body)), "connection": "close"}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        status = self._error.http_status
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while (message := await receive())["type"] == "http.request":
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _error(error: StrongroomError) -> tuple[bytes, dict[str, str]]:
    line = " ".join(str(error).split())
    answer: dict[str, Any] = {"error": line, "code": error.code}
    if isinstance(error, CommitteeError) and error.members:
        answer["members"] = error.members
    body = msgspec.json.encode(answer)
    return body, {"content-type": "application/json", **_extra_headers(error)}


def _extra_headers(error: StrongroomError) -> Mapping[str, str]:
    if error.http_status == 401:
        return {"www-authenticate": "Bearer"}
    if error.http_status == 503:
        return {"retry-after": "1"}
    return {}
