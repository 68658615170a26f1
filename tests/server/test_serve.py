"""Starting, stopping and killing a whole server."""

from __future__ import annotations

import signal
import ssl
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from strongroom.cli.demo_server import write_certificate


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A self-signed certificate for 127.0.0.1, as fields of a configuration."""
    folder = tmp_path_factory.mktemp("tls")
    write_certificate(folder / "certificate.pem", folder / "key.pem")
    return {
        "tls_certificate": str(folder / "certificate.pem"),
        "tls_key": str(folder / "key.pem"),
    }


def _trusting(tls: dict[str, str]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=tls["tls_certificate"])


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_an_echo_over_tls_is_quick(start, tls) -> None:
    server = start(verify=_trusting(tls), **tls)
    assert server.url.startswith("https://127.0.0.1:")
    content = b"\x5a" * 48_000
    taken = []
    for _ in range(200):
        started = time.perf_counter()
        assert server.answer(content) == content
        taken.append(time.perf_counter() - started)
    # About 2 ms on two idle cores; the bound leaves room for a busy machine.
    assert statistics.median(taken[20:]) < 0.012


def test_a_server_says_by_which_names_its_models_are_asked(start) -> None:
    server = start(packages=["obedient", "obedient@2", "other"])
    lines = [server.process.stdout.readline() for _ in range(3)]
    assert [line.split(",")[0].strip() for line in lines] == [
        "model obedient",
        "model obedient",
        "model other",
    ]


def test_a_tls_port_answers_no_plain_request_and_no_old_protocol(start, tls) -> None:
    server = start(verify=_trusting(tls), **tls)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{server.port}/v2")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/v2")  # nobody vouches for this certificate
    old = _trusting(tls)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/v2", verify=old)
    assert server.client.get("/v2").status_code == 200


def test_tls_is_required_unless_bound_to_loopback(refused, start, tls) -> None:
    status, text = refused(host="0.0.0.0")
    assert status == 9
    assert text.startswith("[SR-SERVER-TLS]")
    assert text.count("\n") == 1
    assert start(verify=_trusting(tls), host="0.0.0.0", **tls).process.poll() is None
    assert start(host="localhost").answer(b"x") == b"x"


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"tokens": "/nonexistent/tokens.json"}, 9, "SR-SERVER-CONFIG"),
        ({"typo": 1}, 9, "SR-SERVER-CONFIG"),
        ({"host": "no such host"}, 9, "SR-SERVER-CONFIG"),
        ({"host": "192.0.2.1"}, 9, "SR-SERVER-CONFIG"),
        ({"tls_certificate": "/nonexistent", "tls_key": "/x"}, 9, "SR-SERVER-CONFIG"),
        ({"loader": "misbehaving_models:absent"}, 9, "SR-SERVER-CONFIG"),
        ({"loader": "absent:absent"}, 9, "SR-SERVER-CONFIG"),
        ({"packages": ["obedient", "obedient"]}, 9, "SR-SERVER-CONFIG"),
        ({"packages": ["damaged"]}, 6, "SR-PACKAGE-FILE"),
        ({"packages": ["obedient", "suicidal"], "workers": 3}, 9, "SR-WORKER-LOST"),
        ({"packages": ["confused"]}, 9, "SR-INTERNAL"),
    ],
)
def test_a_server_that_can_not_start_says_why_in_one_line(refused, fields, status, code) -> None:
    returned, text = refused(**fields)
    assert returned == status
    *log, line = text.splitlines()
    assert line.startswith(f"[{code}]")
    assert "Traceback" not in text
    assert "a secret in the text" not in text
    assert bool(log) == (fields.get("packages") == ["confused"])


def test_a_port_that_is_taken_is_named(refused, start) -> None:
    status, text = refused(port=start().port)
    assert status == 9
    assert "SR-SERVER-CONFIG" in text
    assert "in use" in text


def test_an_unreadable_certificate_is_named(refused, tmp_path, tls) -> None:
    (tmp_path / "broken.pem").write_text("no certificate")
    status, text = refused(**(tls | {"tls_key": str(tmp_path / "broken.pem")}))
    assert (status, text[:18]) == (9, "[SR-SERVER-CONFIG]")


def test_sigterm_lets_running_requests_end_and_takes_the_workers_along(start) -> None:
    server = start(workers=1)
    worker = int(server.answer(b"pid"))
    with ThreadPoolExecutor(2) as others:
        running = [others.submit(server.call, b"sleep 0.7") for _ in range(2)]
        time.sleep(0.3)
        server.process.send_signal(signal.SIGTERM)
        assert [other.result().status_code for other in running] == [200, 200]
    assert server.process.wait(10) == 0
    assert _gone(worker)


def test_a_drain_does_not_wait_for_ever(start) -> None:
    server = start(drain_timeout_seconds=1)
    worker = int(server.answer(b"pid"))
    threading.Thread(target=_ignore_errors, args=(server, b"sleep 50"), daemon=True).start()
    time.sleep(0.3)
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 8
    assert _gone(worker)


def test_an_idle_connection_does_not_hold_a_drain_up(start, tls) -> None:
    server = start(verify=_trusting(tls), **tls)
    assert server.answer(b"x") == b"x"
    started = time.monotonic()
    assert server.stop(signal.SIGINT) == 0
    assert time.monotonic() - started < 6


def test_a_server_killed_in_the_middle_of_requests_starts_again_on_its_port(
    start, eventually
) -> None:
    server = start(workers=2)
    workers = {int(server.answer(b"pid"))}
    results: list[str] = []

    def ask() -> None:
        with httpx.Client(headers=server.client.headers, base_url=server.url) as own:
            try:
                results.append(str(server.call(b"sleep 5", client=own).status_code))
            except httpx.TransportError:
                results.append("cut")

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    time.sleep(0.5)
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    workers |= {int(pid) for pid in children.split()}
    assert len(workers) == 2
    server.stop(signal.SIGKILL)
    for asker in askers:
        asker.join()
    assert results == ["cut"] * 3
    eventually(lambda: all(_gone(pid) for pid in workers))

    again = start(port=server.port, folder=server.folder)
    assert again.port == server.port
    assert server.answer(b"the same client carries on") == b"the same client carries on"
    left = {path.name for path in server.folder.iterdir()}
    assert left == {"config.json", "server.log", "tokens.json"}


def test_nothing_of_a_request_is_in_the_log_or_the_folder(start, binary) -> None:
    server = start(evaluation_timeout_seconds=0.5)
    canary = b"CANARY-4711"
    head, body = binary(canary, id="CANARY-id")
    path = "/v2/models/obedient/infer"
    length = {"inference-header-content-length": str(head)}
    server.answer(canary)
    for command in (b"refuse ", b"raise ", b"exit ", b"sleep 9 ", b"allocate "):
        server.call(command + canary)
    server.client.post(path, content=body, headers=length)
    server.client.post(path, content=body)
    server.client.post(path, content=body[:-3], headers=length)
    server.client.post(path, content=body, headers={"authorization": "Bearer CANARY-token"})
    server.client.get("/v2/models/CANARY-model")
    server.client.get("/CANARY-path?CANARY=CANARY")
    server.client.post("/v2/models/CANARY/infer", content=body, headers=length)
    assert server.stop() == 0
    log = server.log()
    assert log.count("\n") > 8
    assert '"model":"obedient"' in log
    for path in server.folder.iterdir():
        assert b"CANARY" not in path.read_bytes(), path
        assert server.token.encode() not in path.read_bytes(), path


def _ignore_errors(server, content: bytes) -> None:
    with httpx.Client(headers=server.client.headers, base_url=server.url) as own:
        try:
            server.call(content, client=own)
        except httpx.TransportError:
            return
