"""Messages are bounded before they are read, and nobody waits for ever."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from member_server import listening
from member_world import IDENTITIES, OTHER, SERVER

from strongroom.keys.identity import Identity
from strongroom.member.asking import SHARE_PATH
from strongroom.member.channel import Asked, Channel, Refused
from strongroom.member.share_request import ANSWER, MAXIMUM_REQUEST_BYTES, PURPOSE

VENDOR = IDENTITIES["vendor"]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def start(stack: ExitStack, answer: Any = None, **options: Any) -> str:
    def echo(sender: Any, purpose: str, body: memoryview) -> tuple[str, bytes]:
        return ANSWER, bytes(body[:10])

    known = {SERVER.fingerprint: SERVER.public}
    return stack.enter_context(listening(VENDOR, lambda: known, answer or echo, **options))


def message(body: bytes = b"hello", sender: Identity = SERVER) -> tuple[Channel, Asked]:
    channel = Channel(sender)
    return channel, channel.ask(VENDOR.public, PURPOSE, body)


def send_slowly(url: str, length: int, first: bytes) -> tuple[int, float]:
    """Send the beginning of a body and no more: the answer's status, and after how long."""
    parsed = httpx.URL(url)
    started = time.monotonic()
    with socket.create_connection((parsed.host, parsed.port or 0), timeout=10) as sock:
        head = f"POST {SHARE_PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n"
        sock.sendall(head.encode() + first)
        status = int(sock.recv(1000).split(b" ")[1])
    return status, time.monotonic() - started


def test_a_message_is_answered(stack: ExitStack) -> None:
    url = start(stack)
    channel, asked = message(b"hello there, member")
    answer = httpx.post(url + SHARE_PATH, content=asked.content)
    assert bytes(channel.accept(asked, answer.content, ANSWER)) == b"hello ther"


def test_of_strangers_and_of_nonsense_nothing_large_is_read(stack: ExitStack) -> None:
    url = start(stack)
    _, stranger = message(sender=OTHER)
    for first, status in ((b"x" * 200, 400), (stranger.content, 403)):
        found, seconds = send_slowly(url, 50_000_000, first)
        assert found == status
        assert seconds < 2
    assert send_slowly(url, MAXIMUM_REQUEST_BYTES + 100_000, b"")[0] == 413


def test_a_message_that_does_not_arrive_is_given_up(stack: ExitStack) -> None:
    url = start(stack, read_timeout_seconds=0.5)
    _, asked = message(b"x" * 100_000)
    for first in (b"", asked.content[:50], asked.content[:50_000]):
        found, seconds = send_slowly(url, len(asked.content), first)
        assert (found, 0.3 < seconds < 3) == (408, True)


def test_a_body_that_was_exchanged_is_refused_and_the_refusal_is_signed(stack: ExitStack) -> None:
    url = start(stack)
    channel, asked = message()
    answer = httpx.post(url + SHARE_PATH, content=asked.content[:-5] + b"HELLO")
    assert answer.status_code == 403
    with pytest.raises(Refused) as error:
        channel.accept(asked, answer.content, ANSWER)
    assert error.value.refusal.code == "SR-MEMBER-QUERY"


def test_who_finds_no_place_is_told_to_come_again(stack: ExitStack) -> None:
    go = threading.Event()

    def slow(sender: Any, purpose: str, body: memoryview) -> tuple[str, bytes]:
        go.wait(10)
        return ANSWER, b""

    url = start(stack, slow, at_once=1, waiting=1)

    def post() -> int:
        return httpx.post(url + SHARE_PATH, content=message()[1].content, timeout=20).status_code

    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(post) for _ in range(4)]
        while sum(one.done() for one in found) < 2:
            time.sleep(0.02)
        go.set()
    assert sorted(one.result() for one in found) == [200, 200, 503, 503]


def test_strangers_who_keep_connections_open_take_no_place(stack: ExitStack) -> None:
    url = start(stack, at_once=1, waiting=0)
    parsed = httpx.URL(url)
    for _ in range(8):
        stranger = stack.enter_context(
            socket.create_connection((parsed.host, parsed.port or 0), timeout=10)
        )
        stranger.sendall(
            f"POST {SHARE_PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\nSRCM".encode()
        )
    channel, asked = message()
    answer = httpx.post(url + SHARE_PATH, content=asked.content)
    assert bytes(channel.accept(asked, answer.content, ANSWER)) == b"hello"


def test_a_fault_is_a_plain_line(stack: ExitStack) -> None:
    def faulty(sender: Any, purpose: str, body: memoryview) -> tuple[str, bytes]:
        raise RuntimeError("a secret")

    url = start(stack, faulty)
    answer = httpx.post(url + SHARE_PATH, content=message()[1].content)
    assert (answer.status_code, answer.json()["code"]) == (500, "SR-INTERNAL")
    assert "secret" not in answer.text
