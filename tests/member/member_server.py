"""A member's service behind a real socket, in the test's own process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from strongroom.keys.identity import Identity
from strongroom.member import proof_request
from strongroom.member.asking import PROOF_PATH, SHARE_PATH
from strongroom.member.channel import Channel
from strongroom.member.service import About, Desk, member_application
from strongroom.member.share_request import MAXIMUM_REQUEST_BYTES, PURPOSE

Answer = Callable[[Any, str, memoryview], tuple[str, bytes]]


@contextmanager
def listening(
    identity: Identity,
    known: Callable[[], Any],
    answer: Answer,
    *,
    proofs: Answer | None = None,
    read_timeout_seconds: float = 5.0,
    **desk_options: Any,
) -> Iterator[str]:
    """A member's service in a thread; gives its URL."""
    purposes = frozenset({PURPOSE})
    desks = [Desk(SHARE_PATH, purposes, known, MAXIMUM_REQUEST_BYTES, answer, **desk_options)]
    if proofs is not None:
        limit = proof_request.MAXIMUM_REQUEST_BYTES
        desks.append(Desk(PROOF_PATH, frozenset({proof_request.PURPOSE}), known, limit, proofs))
    about = About(identity.public.to_text())
    app = member_application(Channel(identity), lambda: about, desks, read_timeout_seconds)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()  # who connects before the thread has begun waits
    config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
