"""Uploaded keys survive clients at the same time, killed workers, restarts and small memory."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from key_exchanges import (
    CHUNK_BYTES,
    ROTATING,
    Server,
    ask,
    client_keys,
    missing,
    put,
    send,
    send_all,
    words_digest,
)
from key_models import PARAMETERS, needs

from strongroom.engine import catalogued
from strongroom.keys.key_sets import ClientKeySet
from strongroom.keys.server_objects import object_sizes

PATIENCE_SECONDS: Final = 120.0
"""The machine may be busy."""


def test_two_clients_that_send_one_set_at_the_same_time_both_succeed(
    server: Server, source: ClientKeySet, parse_answer: Any
) -> None:
    same = [source.public_key(), source.evaluation_key(source.needs.keys[0])]
    others = [source.public_key(), source.evaluation_key(source.needs.keys[0])]

    def run(objects: list[bytes]) -> None:
        with httpx.Client(base_url=server.url, headers=server.client.headers, timeout=30) as own:
            for content in objects:
                at = 0
                while at < len(content):
                    response = put(server, source, content, at, client=own)
                    if response.status_code == 409 and not missing(server, source, 1)["keys"]:
                        break
                    assert response.status_code == 200, response.text
                    at = response.json()["received_bytes"]

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(run, objects) for objects in (same, same, others)]:
            done.result()
    answer = parse_answer(ask(server, source, "1"))
    assert answer in (words_digest(same[1:]), words_digest(others[1:]))


def workers_of(server: Server) -> list[int]:
    front = server.process.pid
    return [int(pid) for pid in Path(f"/proc/{front}/task/{front}/children").read_text().split()]


def signal_workers(server: Server, number: int) -> None:
    for pid in workers_of(server):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def until_stored(server: Server, source: ClientKeySet, content: bytes, client: Any) -> None:
    """Ask for a whole object to be stored until it is, as clients do."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (response := put(server, source, content, len(content), client=client)).is_error:
        assert response.status_code in (502, 503), response.text
        assert time.monotonic() < deadline, response.text
        time.sleep(0.05)
    assert response.json()["stored"]


@pytest.mark.timeout(4 * PATIENCE_SECONDS)
def test_a_worker_that_is_killed_while_it_takes_a_key_costs_a_repetition(
    start: Callable[..., Server], parse_answer: Any, eventually: Any
) -> None:
    source = client_keys(1, 2, 3)
    server = start(**ROTATING, workers=2, queue_timeout_seconds=PATIENCE_SECONDS / 2)
    made = [source.evaluation_key(need) for need in source.needs.keys]
    with (
        ThreadPoolExecutor(1) as pool,
        httpx.Client(
            base_url=server.url, headers=server.client.headers, timeout=PATIENCE_SECONDS
        ) as client,
    ):
        send(server, source, source.public_key(), client)
        # Killed with the object before them, and at moments of the taking of one.
        for content, moment in zip(made, (None, 0.0, 0.002), strict=True):
            last = len(content) - len(content) % CHUNK_BYTES
            for offset in range(0, last, CHUNK_BYTES):
                response = put(server, source, content, offset, client=client)
                assert response.status_code == 200, response.text
            if moment is None:
                signal_workers(server, signal.SIGSTOP)
            response_to_come = pool.submit(put, server, source, content, last, client=client)
            if moment is None:
                name = f"{hashlib.sha256(content).hexdigest()}.{len(content)}"
                (upload,) = (server.folder / "evaluation-keys").rglob(name)
                sizes = (upload, len(content))
                eventually(lambda sizes=sizes: sizes[0].stat().st_size == sizes[1])
            else:
                time.sleep(moment)
            signal_workers(server, signal.SIGKILL)
            assert response_to_come.result().status_code in (200, 502, 503)
            until_stored(server, source, content, client)
        eventually(lambda: "worker replaced" in server.log())
        assert parse_answer(ask(server, source, "1,2,3", client)) == words_digest(made)


def test_keys_survive_a_restart_and_a_kill(
    start: Callable[..., Server], source: ClientKeySet, parse_answer: Any
) -> None:
    server = start(**ROTATING)
    made = send_all(server, source)
    later = source.evaluation_key(needs(2).keys[0])
    put(server, source, later)
    for number in (signal.SIGTERM, signal.SIGKILL):
        server.stop(number)
        server = start(folder=server.folder, **ROTATING)
        assert missing(server, source, 1)["keys"] == []
        assert parse_answer(ask(server, source, "1")) == words_digest(made)
    assert put(server, source, later, 100_000).json()["received_bytes"] == 200_000


def test_mapped_keys_do_not_count_as_a_workers_memory(
    start: Callable[..., Server], source: ClientKeySet, parse_answer: Any
) -> None:
    server = start(**ROTATING, worker_memory_bytes=16 << 20, key_cache_bytes=256 << 20)
    steps = list(range(1, 33))
    grown = ClientKeySet(source._secret, needs(*steps))
    made = send_all(server, grown)
    sizes = dict(object_sizes(catalogued(PARAMETERS)))
    assert sum(sizes[len(content)] for content in made) > 20 << 20
    asked = ",".join(map(str, steps))
    pid = parse_answer(ask(server, grown, asked + " pid"))
    assert parse_answer(ask(server, grown, asked)) == words_digest(made)
    assert parse_answer(ask(server, grown, asked + " pid")) == pid
