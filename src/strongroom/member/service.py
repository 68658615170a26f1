"""A member over HTTP: a few kinds of signed messages, each bounded before it is read.

    GET  /v1/about   who the member is
    POST /v1/share   a share of a result, for a server that the operator named
    POST /v1/proof   a proof of a share that was given, for such a server
    POST /v1/peer    what was seen of a peer's log, and countersigning more of it
    POST /v1/setup   making or refreshing a key, with the coordinator that the operator named

A message begins with its signed head. Until that is verified nothing more is read, so a stranger
takes no memory; a stranger is answered with a plain error, everybody else with a signed one.
Everything that computes runs in threads, a few at a time; who finds no place is told to come again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from strongroom.canonical import canonical_json
from strongroom.errors import ServerError, StrongroomError
from strongroom.keys.identity import PublicIdentity
from strongroom.member.asking import ABOUT_PATH, CONTENT_TYPE
from strongroom.member.channel import Begun, Channel
from strongroom.member.messages import HEAD_ROOM, Refusal
from strongroom.server.upload import Disconnected, EarlyRefusal, declared_length, error_response

_LONGEST_LINE: Final = 560

_log = logging.getLogger("strongroom.server.member")

Endpoint = Callable[[Request], Awaitable[Response]]


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a member says of itself to everybody.

    Attributes:
        identity: its public identity, as text.
        member: its name in its committee; empty if it is in none yet.
        committee: digest of the committee's statement; empty if it is in none yet.
    """

    identity: str
    member: str = ""
    committee: str = ""


@dataclass(frozen=True, slots=True)
class Desk:
    """One path of the service.

    Attributes:
        path: of the URL.
        purposes: of the messages that it takes.
        known: who may send them, by fingerprint; asked for every message.
        body_bytes: largest body.
        answer: makes the answer: its purpose, and its body. Runs in a thread.
        at_once: how many are answered at the same time.
        waiting: how many may wait for that.
    """

    path: str
    purposes: frozenset[str]
    known: Callable[[], Mapping[str, PublicIdentity]]
    body_bytes: int
    answer: Callable[[PublicIdentity, str, memoryview], tuple[str, bytes]]
    at_once: int = 4
    waiting: int = 64


def member_application(
    channel: Channel,
    about: Callable[[], About],
    desks: list[Desk],
    read_timeout_seconds: float,
    *,
    answered: Callable[[], None] = lambda: None,
) -> Starlette:
    """The application.

    Args:
        channel: of the member.
        about: what it says of itself now.
        desks: what it answers.
        read_timeout_seconds: within which the body of a request has to arrive.
        answered: called in the loop after every answer.
    """

    async def say(request: Request) -> Response:
        return Response(canonical_json(about()), 200, {"content-type": "application/json"})

    routes = [Route(ABOUT_PATH, _guarded(say))]
    for desk in desks:
        service = _Service(channel, desk, read_timeout_seconds, answered)
        routes.append(Route(desk.path, _guarded(service.take), methods=["POST"]))
    app = Starlette(routes=routes, exception_handlers={HTTPException: _no_route})
    app.router.redirect_slashes = False
    return app


class _Service:
    def __init__(
        self,
        channel: Channel,
        desk: Desk,
        read_timeout_seconds: float,
        answered: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._desk = desk
        self._read_timeout_seconds = read_timeout_seconds
        self._answered = answered
        self._places = asyncio.Semaphore(desk.at_once)
        self._asking = 0

    async def take(self, request: Request) -> Response:
        entered = False
        try:
            try:
                length = declared_length(request.headers, self._desk.body_bytes + HEAD_ROOM)
                message = _Message(request, length)
                async with asyncio.timeout(self._read_timeout_seconds):
                    begun = await self._begin(message)
                    # Only now: places are not for strangers to hold.
                    self._enter()
                    entered = True
                    await message.read_all()
            except TimeoutError:
                return error_response(
                    ServerError(
                        "SR-REQUEST-TIMEOUT",
                        f"the message did not arrive within {self._read_timeout_seconds:g} seconds",
                        "Send it over a faster connection",
                        http_status=408,
                    ),
                    close=True,
                )
            except StrongroomError as error:
                _log.warning("message refused", extra={"code": error.code, "reason": error.message})
                return EarlyRefusal(error, request.headers)
            return await self._answer(begun, message.content)
        finally:
            if entered:
                self._asking -= 1

    async def _begin(self, message: _Message) -> Begun:
        while True:
            known = self._desk.known()
            begun = self._channel.begin(message.content, known, self._desk.purposes)
            if begun is not None:
                return begun
            if not await message.read_more():
                raise ServerError(
                    "SR-REQUEST-FORMAT",
                    "this is no message to a member: it is cut off",
                    "Check that both sides run the same version of Strongroom",
                    http_status=400,
                )

    async def _answer(self, begun: Begun, content: bytearray) -> Response:
        try:
            async with self._places:
                body, status = await asyncio.to_thread(self._reply, begun, content), 200
        except StrongroomError as error:
            status = error.http_status
            _log.warning(
                "refused",
                extra={
                    "sender": begun.head.sender,
                    "purpose": begun.head.purpose,
                    "code": error.code,
                    "reason": error.message,
                },
            )
            refusal = Refusal(error.code, _line(error), status if 400 <= status < 600 else 500)
            body = await asyncio.to_thread(self._channel.refuse, begun, refusal)
        self._answered()
        return Response(body, status, {"content-type": CONTENT_TYPE})

    def _reply(self, begun: Begun, content: bytearray) -> bytes:
        body = begun.body(content)
        purpose, answer = self._desk.answer(begun.sender, begun.head.purpose, body)
        return self._channel.answer(begun, purpose, answer)

    def _enter(self) -> None:
        if self._asking >= self._desk.at_once + self._desk.waiting:
            raise ServerError(
                "SR-REQUEST-BUSY",
                f"{self._asking} requests are waiting for this member",
                "Try again a little later",
                http_status=503,
            )
        self._asking += 1


class _Message:
    """A body on its way."""

    def __init__(self, request: Request, length: int) -> None:
        self._receive = request.receive
        self._length = length
        self._more = True
        self.content = bytearray()

    async def read_more(self) -> bool:
        """Read the next piece; false if there is none. Raises Disconnected."""
        if not self._more:
            return False
        message = await self._receive()
        if message["type"] != "http.request":
            raise Disconnected
        self.content += message.get("body", b"")
        self._more = bool(message.get("more_body", False))
        return True

    async def read_all(self) -> None:
        """Read the rest. Raises Disconnected."""
        while await self.read_more():
            pass
        if len(self.content) != self._length:
            raise Disconnected


def _line(error: StrongroomError) -> str:
    sentence = f"{error.message}. {error.remedy}" if error.remedy else error.message
    return " ".join(sentence.split())[:_LONGEST_LINE]


def _guarded(endpoint: Endpoint) -> Endpoint:
    async def guarded(request: Request) -> Response:
        try:
            return await endpoint(request)
        except StrongroomError as error:
            return error_response(error)
        except Disconnected:
            return Response(status_code=400)  # goes nowhere
        except Exception as fault:
            _log.exception("fault in the member", exc_info=fault)
            return error_response(ServerError("SR-INTERNAL", "an unexpected fault in the member"))

    return guarded


async def _no_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    return error_response(
        ServerError(
            "SR-REQUEST-FORMAT",
            "the method is not allowed here" if status == 405 else "there is no such resource",
            "This is a member of a committee; models are served elsewhere",
            http_status=status,
        )
    )
