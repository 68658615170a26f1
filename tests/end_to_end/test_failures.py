"""Servers and workers that die in the middle of requests, with a real model behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from recorded_traffic import RecordingTransport
from server_processes import RunningServer, eventually, snapshot
from trained_models import Trained, trained

from strongroom import Client, KeyStore, StrongroomError

Serve = Callable[..., RunningServer]
Connect = Callable[..., Client]


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def stop_workers(server: RunningServer) -> list[psutil.Process]:
    """Stop all workers where they are: whatever is asked now stays in the middle."""
    workers = server.workers()
    for worker in workers:
        worker.send_signal(signal.SIGSTOP)
    return workers


@contextmanager
def asking(
    threads: ThreadPoolExecutor, clients: list[Client], known: Trained
) -> Iterator[list[Future[int]]]:
    """Clients that ask all the time, and how many right answers each got."""
    expected = known.model.predict(known.held_out)
    stop = threading.Event()

    def ask(client: Client) -> int:
        answered = 0
        while not stop.is_set():
            np.testing.assert_array_equal(client.predict(known.held_out), expected)
            answered += 1
        return answered

    try:
        yield [threads.submit(ask, client) for client in clients]
    finally:
        stop.set()


def test_a_server_killed_in_the_middle_of_a_request_and_restarted_is_survived(
    serve: Serve,
    connect: Connect,
    binary: Trained,
    threads: ThreadPoolExecutor,
    tmp_path: Path,
) -> None:
    server = serve([binary.package])
    keys = KeyStore.open(tmp_path / "asker", "a passphrase")
    transport = RecordingTransport()
    client = connect(server, binary.package, keys=keys, transport=transport)
    expected = binary.model.predict(binary.held_out)
    np.testing.assert_array_equal(client.predict(binary.held_out), expected)
    before = snapshot(server.folder), snapshot(tmp_path / "asker")

    asked = transport.inferences
    stop_workers(server)
    answer = threads.submit(client.predict, binary.held_out)
    eventually(lambda: transport.inferences > asked, "the request is on its way")
    time.sleep(0.2)
    assert not answer.done()
    server.kill()
    server.start_again()
    np.testing.assert_array_equal(answer.result(60), expected)
    # What was sent again is the same bytes: it tells the server nothing new.
    assert transport.inferences >= asked + 2
    assert len(set(transport.bodies[asked:])) == 1

    after = snapshot(server.folder), snapshot(tmp_path / "asker")
    before[0].pop("config.json"), after[0].pop("config.json")
    assert after == before, "a file was changed, left behind or half-written"
    assert KeyStore.open(tmp_path / "asker", "a passphrase").entries() == keys.entries()


@pytest.mark.parametrize("kills", [1, pytest.param(12, marks=pytest.mark.long)])
def test_clients_under_load_do_not_notice_that_the_server_is_killed(
    serve: Serve, connect: Connect, binary: Trained, threads: ThreadPoolExecutor, kills: int
) -> None:
    server = serve([binary.package], workers=2)
    clients = [connect(server, binary.package) for _ in range(3)]
    with asking(threads, clients, binary) as answered:
        for _ in range(kills):
            # Long enough for clients that wait for two seconds between attempts to come back.
            time.sleep(0.3 if kills == 1 else 3.0)
            server.kill()
            server.start_again()
        time.sleep(0.3)
    assert all(future.result(60) > 2 for future in answered)


def test_a_server_that_stays_dead_is_one_clear_line(
    serve: Serve, connect: Connect, binary: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve([binary.package])
    client = connect(server, binary.package)
    client.predict(binary.held_out[:1])
    server.kill()
    monkeypatch.setattr("strongroom.client.transport.PATIENCE_SECONDS", 0.5)
    with pytest.raises(StrongroomError, match="can't be reached") as caught:
        client.predict(binary.held_out)
    assert caught.value.code == "SR-SERVER-UNREACHABLE"
    server.start_again()
    np.testing.assert_array_equal(
        client.predict(binary.held_out), binary.model.predict(binary.held_out)
    )


def test_a_request_that_takes_too_long_fails_alone(
    serve: Serve, connect: Connect, binary: Trained, threads: ThreadPoolExecutor
) -> None:
    server = serve([binary.package], workers=2, evaluation_timeout_seconds=3.0)
    expected = binary.model.predict(binary.held_out)
    fast = connect(server, binary.package)
    transport = RecordingTransport()
    slow = connect(server, binary.package, transport=transport)
    # The next job goes to the worker that became idle last: ask once, and see which one worked.
    before = {worker.pid: sum(worker.cpu_times()[:2]) for worker in server.workers()}
    slow.predict(np.tile(binary.held_out, (40, 1)))
    worked = max(server.workers(), key=lambda w: sum(w.cpu_times()[:2]) - before[w.pid])
    worked.send_signal(signal.SIGSTOP)

    asked = transport.inferences
    late = threads.submit(slow.predict, binary.held_out)
    eventually(lambda: transport.inferences > asked, "the request is on its way")
    time.sleep(0.1)
    for _ in range(5):
        np.testing.assert_array_equal(fast.predict(binary.held_out), expected)
    assert not late.done(), "others were answered while it waited"
    with pytest.raises(StrongroomError, match=r"took more than 3 seconds and was ended") as caught:
        late.result(30)
    assert caught.value.code == "SR-WORKER-TIMEOUT"
    assert transport.inferences == asked + 1, "what took too long is not sent again by itself"

    eventually(lambda: not psutil.pid_exists(worked.pid), "the worker is gone")
    eventually(lambda: len(server.workers()) == 2, "another takes its place")
    np.testing.assert_array_equal(slow.predict(binary.held_out), expected)
    (replaced,) = server.events("worker replaced")
    assert replaced["code"] == "SR-WORKER-TIMEOUT"


def test_an_answer_that_takes_too_much_memory_fails_alone(
    serve: Serve, connect: Connect, binary: Trained, threads: ThreadPoolExecutor
) -> None:
    hungry = trained("memory-hungry")
    limit = 16 << 20
    assert hungry.package.manifest.plan.costs.full_response_bytes < limit
    assert hungry.package.manifest.plan.costs.server_peak_bytes > limit
    server = serve([binary.package, hungry.package], workers=2, worker_memory_bytes=limit)
    workers = server.worker_pids()
    transport = RecordingTransport()
    client = connect(server, hungry.package, transport=transport)
    with asking(threads, [connect(server, binary.package)], binary) as answered:
        with pytest.raises(StrongroomError, match="took more than 16777216 bytes") as caught:
            client.predict(hungry.held_out)
        time.sleep(0.2)
    assert caught.value.code == "SR-WORKER-MEMORY"
    assert transport.inferences == 1
    assert answered[0].result(60) > 2
    eventually(lambda: len(server.worker_pids() - workers) == 1, "one worker is replaced")
    eventually(lambda: len(server.workers()) == 2, "and only one")


def test_with_enough_memory_the_same_answer_comes(
    serve: Serve, connect: Connect, binary: Trained
) -> None:
    hungry = trained("memory-hungry")
    server = serve([hungry.package], worker_memory_bytes=64 << 20)
    values = connect(server, hungry.package).predict(hungry.held_out)
    assert np.abs(values - hungry.model.predict(hungry.held_out)).max() <= hungry.score_error


def test_a_worker_that_is_killed_costs_nobody_an_answer(
    serve: Serve, connect: Connect, binary: Trained, threads: ThreadPoolExecutor
) -> None:
    server = serve([binary.package])
    transport = RecordingTransport()
    client = connect(server, binary.package, transport=transport)
    expected = binary.model.predict(binary.held_out)
    (worker,) = stop_workers(server)
    answer = threads.submit(client.predict, binary.held_out)
    eventually(lambda: transport.inferences == 1, "the request is on its way")
    time.sleep(0.2)
    os.kill(worker.pid, signal.SIGKILL)
    np.testing.assert_array_equal(answer.result(60), expected)
    assert transport.inferences >= 2
    assert server.process.poll() is None
