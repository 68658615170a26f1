"""Workers that die, hang and swell, while others work."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest


@pytest.fixture(scope="module")
def server(start):
    return start(
        workers=2, queue_length=8, evaluation_timeout_seconds=1, worker_memory_bytes=128 << 20
    )


def _error(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (b"exit", (502, "SR-WORKER-LOST")),
        (b"die", (502, "SR-WORKER-LOST")),
        (b"sleep 30", (504, "SR-WORKER-TIMEOUT")),
        (b"allocate 1000000000", (507, "SR-WORKER-MEMORY")),
    ],
)
def test_a_fatal_request_is_told_so_and_the_others_do_not_notice(server, command, expected) -> None:
    stop = threading.Event()

    def bystander(number: int) -> int:
        answered = 0
        content = f"bystander {number}".encode()
        with httpx.Client(base_url=server.url, headers=server.client.headers, timeout=30) as own:
            while not stop.is_set() or answered == 0:
                assert server.answer(content, client=own) == content
                answered += 1
        return answered

    with ThreadPoolExecutor(3) as others:
        counts = [others.submit(bystander, number) for number in range(3)]
        try:
            for _ in range(2):
                assert _error(server.call(command)) == expected
        finally:
            stop.set()
        assert all(count.result() > 0 for count in counts)
    assert server.answer(b"afterwards") == b"afterwards"


def test_an_evaluation_within_its_memory_is_left_alone(server) -> None:
    assert server.answer(b"allocate 60000000") == b"60000000"


def test_a_dead_worker_is_replaced_by_another_process(start) -> None:
    server = start(workers=1)
    first = int(server.answer(b"pid"))
    assert server.call(b"exit").status_code == 502
    second = int(server.answer(b"pid"))
    assert second != first
    assert _gone(first)
    assert server.client.get("/v2/health/ready").status_code == 200


def test_an_idle_worker_that_is_killed_is_replaced(start) -> None:
    server = start(workers=1)
    first = int(server.answer(b"pid"))
    os.kill(first, signal.SIGKILL)
    pids = [server.call(b"pid") for _ in range(3)]
    assert pids[-1].status_code == 200
    assert int(server.answer(b"pid")) != first


def test_a_package_that_changes_under_a_running_server_is_not_served(
    start, tmp_path, eventually
) -> None:
    package = tmp_path / "obedient.model"
    package.write_text("1")
    server = start(packages=[str(package)], queue_timeout_seconds=0.5)
    pid = int(server.answer(b"pid"))
    package.write_text("2")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: server.client.get("/v2/health/ready").status_code == 503)
    assert server.client.get("/v2/health/ready").json() == {"ready": False}
    assert server.client.get("/v2/models/obedient/ready").status_code == 503
    assert server.client.get("/v2/health/live").status_code == 200
    assert _error(server.call(b"x")) == (503, "SR-REQUEST-BUSY")
    eventually(lambda: "changed on disk" in server.log())
    package.write_text("1")
    eventually(lambda: server.client.get("/v2/health/ready").status_code == 200)
    assert server.answer(b"x") == b"x"


def test_a_fault_of_the_model_is_internal_and_logged_without_its_text(server) -> None:
    response = server.call(b"raise CANARY-in-an-exception")
    assert _error(response) == (500, "SR-INTERNAL")
    assert "CANARY" not in response.text
    assert "Traceback" not in response.text
    assert ".py" not in response.text
    log = server.log()
    assert "CANARY" not in log
    (line,) = [line for line in log.splitlines() if "fault in a worker" in line]
    assert "ValueError" in line
    assert re.search(r"misbehaving_models\.py:\d+ _obey", line)


def test_a_fault_does_not_cost_the_worker(start) -> None:
    server = start(workers=1)
    pid = server.answer(b"pid")
    assert server.call(b"raise x").status_code == 500
    assert server.call(b"refuse").status_code == 400
    assert server.answer(b"pid") == pid


def test_a_full_queue_is_said_at_once(start) -> None:
    server = start(workers=1, queue_length=1)
    with ThreadPoolExecutor(2) as others:
        waiting = [others.submit(server.call, b"sleep 1") for _ in range(2)]
        time.sleep(0.4)
        started = time.monotonic()
        response = server.call(b"x")
        assert time.monotonic() - started < 0.4
        assert _error(response) == (503, "SR-REQUEST-BUSY")
        assert int(response.headers["retry-after"]) >= 1
        assert [other.result().status_code for other in waiting] == [200, 200]
    assert server.answer(b"x") == b"x"


def test_the_wait_in_the_queue_ends(start) -> None:
    server = start(workers=1, queue_timeout_seconds=0.3)
    with ThreadPoolExecutor(1) as other:
        running = other.submit(server.call, b"sleep 1")
        time.sleep(0.2)
        assert _error(server.call(b"x")) == (503, "SR-REQUEST-BUSY")
        assert running.result().status_code == 200


def test_who_leaves_the_queue_is_not_computed_for(start, tmp_path, binary) -> None:
    server = start(workers=1, queue_length=1)
    witness = tmp_path / "witness"
    head, body = binary(b"mark " + str(witness).encode())
    request = (
        f"POST /v2/models/obedient/infer HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {server.token}\r\nContent-Length: {len(body)}\r\n"
        f"Inference-Header-Content-Length: {head}\r\n\r\n"
    ).encode() + body
    with ThreadPoolExecutor(1) as other:
        running = other.submit(server.call, b"sleep 0.8")
        time.sleep(0.2)
        with socket.create_connection(("127.0.0.1", server.port)) as leaver:
            leaver.sendall(request)
            time.sleep(0.2)
        assert running.result().status_code == 200
    assert server.answer(b"x") == b"x"
    assert not witness.exists()


def test_a_worker_gives_the_memory_of_large_requests_back(start) -> None:
    server = start(workers=1, worker_memory_bytes=256 << 20)
    pid = int(server.answer(b"pid"))
    assert len(server.answer(b"grow 50000000")) == 50_000_000
    assert int(server.answer(b"pid")) == pid
    arenas = {
        os.readlink(link): os.stat(link).st_blocks * 512
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if "strongroom" in os.readlink(link)
    }
    assert len(arenas) == 2
    assert max(arenas.values()) < 2 << 20


def test_a_worker_knows_how_many_threads_it_may_use(start) -> None:
    assert start(threads=3).answer(b"threads") == b"3"


def test_a_model_that_prints_does_not_disturb_the_ready_line(server) -> None:
    pid = int(server.answer(b"pid"))
    assert os.readlink(f"/proc/{pid}/fd/1").endswith("server.log")


def test_a_worker_can_leave_no_core_file(server) -> None:
    limits = Path(f"/proc/{int(server.answer(b'pid'))}/limits").read_text()
    assert re.search(r"Max core file size\s+0\s+0", limits)
