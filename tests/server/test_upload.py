"""Limits on what a client sends, against raw sockets that do not play by the rules."""

from __future__ import annotations

import http.client
import socket
import time

import pytest


@pytest.fixture(scope="module")
def server(start):
    return start(
        workers=1,
        queue_length=1,
        request_bytes=600_000,
        read_timeout_seconds=1,
        idle_timeout_seconds=2,
        connections=20,
    )


def _head(server, length: int | None, *, json_bytes: int = 10, more: str = "") -> bytes:
    lines = [
        "POST /v2/models/obedient/infer HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {server.token}",
        f"Inference-Header-Content-Length: {json_bytes}",
    ]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n" + more + "\r\n").encode()


def _connect(server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def _answer(connection: socket.socket) -> tuple[int, bytes]:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, response.read()


def _closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def _send_until_cut(connection: socket.socket, chunk: bytes, pause_seconds: float) -> float:
    """Send a chunk again and again: seconds until the server cut the connection, at most 8."""
    started = time.monotonic()
    while time.monotonic() < started + 8:
        try:
            connection.sendall(chunk)
        except (ConnectionResetError, BrokenPipeError):
            break
        time.sleep(pause_seconds)
    return time.monotonic() - started


def test_a_body_above_the_limit_is_refused_before_a_byte_of_it_is_sent(server) -> None:
    with _connect(server) as connection:
        connection.sendall(_head(server, 600_001))
        status, text = _answer(connection)
    assert status == 413
    assert b"SR-REQUEST-SIZE" in text


def test_a_client_that_sends_it_all_the_same_still_reads_the_refusal(server) -> None:
    with _connect(server) as connection:
        connection.sendall(_head(server, 8_000_000) + b"x" * 8_000_000)
        status, text = _answer(connection)
        assert _closed(connection)
    assert status == 413
    assert b"SR-REQUEST-SIZE" in text


def test_a_refused_body_that_never_ends_is_cut_off(server) -> None:
    with _connect(server) as connection:
        connection.sendall(_head(server, 10**12))
        assert _answer(connection)[0] == 413
        assert _send_until_cut(connection, b"x" * 10_000, 0.01) < 5


def test_a_body_without_a_length_is_refused(server) -> None:
    with _connect(server) as connection:
        connection.sendall(_head(server, None))
        assert _answer(connection)[0] == 411
    with _connect(server) as connection:
        chunked = "Transfer-Encoding: chunked\r\n"
        connection.sendall(_head(server, None, more=chunked) + b"1\r\nx\r\n0\r\n\r\n")
        status, text = _answer(connection)
        assert _closed(connection)
    assert status == 411
    assert b"SR-REQUEST-SIZE" in text


def test_a_chunked_body_with_a_length_beside_it_is_refused(server) -> None:
    with _connect(server) as connection:
        chunked = "Transfer-Encoding: chunked\r\n"
        connection.sendall(_head(server, 5, more=chunked) + b"1\r\nx\r\n0\r\n\r\n")
        assert _answer(connection)[0] in (400, 411)


@pytest.mark.parametrize("length", ["-1", "1x", "0x10", "1, 2"])
def test_a_content_length_that_is_none_is_refused(server, length) -> None:
    with _connect(server) as connection:
        head = _head(server, 0).replace(b"Content-Length: 0", f"Content-Length: {length}".encode())
        connection.sendall(head)
        assert _answer(connection)[0] == 400


def test_a_header_length_beyond_the_body_is_refused_before_the_body(server) -> None:
    with _connect(server) as connection:
        connection.sendall(_head(server, 100, json_bytes=101))
        status, text = _answer(connection)
    assert status == 400
    assert b"SR-REQUEST-FORMAT" in text


def test_a_body_that_stops_early_costs_no_work_and_no_place(
    server, tmp_path, binary, eventually
) -> None:
    witness = tmp_path / "witness"
    head, body = binary(b"mark " + str(witness).encode())
    for _ in range(10):  # more than there are places
        with _connect(server) as connection:
            connection.sendall(_head(server, len(body), json_bytes=head) + body[:-1])
    eventually(lambda: server.call(b"x").status_code == 200)
    assert not witness.exists()
    assert server.answer(b"mark " + str(witness).encode())
    assert witness.read_text() == "ran\n"


def test_a_slow_sender_is_cut_off_and_told_why(server) -> None:
    with _connect(server) as connection:
        connection.sendall(_head(server, 1000))
        started = time.monotonic()
        connection.settimeout(0.05)
        answer = b""
        while not answer and time.monotonic() < started + 5:
            connection.sendall(b"x")
            try:
                answer = connection.recv(4096)
            except TimeoutError:
                continue
        assert 0.8 < time.monotonic() - started < 3
        assert answer.startswith(b"HTTP/1.1 408")
    assert server.call(b"x").status_code == 200


def test_a_slow_head_is_cut_off(server) -> None:
    with _connect(server) as connection:
        connection.sendall(b"GET /v2 HTTP/1.1\r\n")
        assert 1.5 < _send_until_cut(connection, b"a: b\r\n", 0.1) < 5


def test_a_connection_that_says_nothing_is_cut_off(server) -> None:
    with _connect(server) as connection:
        started = time.monotonic()
        assert _closed(connection)
        assert 1.5 < time.monotonic() - started < 5


def test_an_endless_head_is_refused(server) -> None:
    with _connect(server) as connection:
        try:
            connection.sendall(b"GET /v2 HTTP/1.1\r\na: " + b"b" * 1_000_000)
            assert _answer(connection)[0] == 400
        except (ConnectionResetError, BrokenPipeError):
            pass  # refused while it was being sent
        else:
            assert _closed(connection)
    assert server.call(b"x").status_code == 200


def test_connections_above_the_limit_are_closed_and_the_others_live(server, eventually) -> None:
    assert server.answer(b"before") == b"before"
    crowd = [_connect(server) for _ in range(30)]
    assert server.answer(b"during") == b"during"
    gone = 0
    for connection in crowd[20:]:
        connection.settimeout(1)
        gone += _closed(connection)
    assert gone == 10
    for connection in crowd:
        connection.close()
    assert server.answer(b"after") == b"after"


def test_the_protected_request_has_the_models_own_limit(start) -> None:
    server = start(request_bytes=10 << 20)
    assert server.answer(b"x" * (1 << 20)) == b"x" * (1 << 20)
    response = server.call(b"x" * ((1 << 20) + 1))
    assert (response.status_code, response.json()["code"]) == (413, "SR-REQUEST-SIZE")
