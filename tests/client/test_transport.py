"""The way to the server: what is refused, what is repeated, and what never is."""

from __future__ import annotations

import gzip
import json
import logging
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from strongroom.client.address import checked_url
from strongroom.client.client import Client
from strongroom.client.refusals import one_line, refusal
from strongroom.client.transport import PATIENCE_SECONDS, Transport
from strongroom.errors import StrongroomError

Connect = Callable[..., Client]
ROW = np.array([[1.0, 2.0]])


def _refused(call: Callable[[], object]) -> StrongroomError:
    with pytest.raises(StrongroomError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://Models.Example/", "https://models.example"),
        ("https://models.example:443", "https://models.example"),
        ("https://models.example:8443/prefix/", "https://models.example:8443/prefix"),
        ("http://localhost:80", "http://localhost"),
        ("http://127.0.0.3:8000", "http://127.0.0.3:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_a_url_has_one_normal_form(url: str, normal: str) -> None:
    assert checked_url(url) == normal


@pytest.mark.parametrize(
    "url",
    [
        "http://models.example",
        "http://192.168.1.4:8000",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://[2001:db8::1]",
        "http://0.0.0.0:8000",
    ],
)
def test_plain_http_to_another_machine_is_refused(url: str) -> None:
    assert _refused(lambda: checked_url(url)).code == "SR-SERVER-TLS"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "models.example",
        "ftp://models.example",
        "https://",
        "https://models.example:port",
        "https://u:canary@models.example",
        "https://models.example?token=canary",
        "https://models.example#canary",
        "https://models.example\n",
    ],
)
def test_a_url_that_can_not_be_used_is_refused_without_quoting_it(url: str) -> None:
    error = _refused(lambda: checked_url(url))
    assert error.code == "SR-SERVER-URL"
    assert "canary" not in str(error)


@pytest.mark.parametrize("model", ["", "..", "a/b", "m?x", "m\r\nX: y", "ü"])
def test_a_model_s_name_can_not_change_the_path(connect: Connect, server: Any, model: str) -> None:
    assert _refused(lambda: connect(model=model)).code == "SR-SERVER-MODEL"
    assert server.requests == []


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "canary-ü", "x" * 5000])
def test_a_token_with_other_characters_is_refused_without_quoting_it(token: str) -> None:
    error = _refused(lambda: Transport("https://a", token=token))
    assert error.code == "SR-SERVER-TOKEN"
    assert "canary" not in str(error)


@pytest.mark.parametrize("content", [b"no certificate", None])
def test_certificates_that_can_not_be_read_are_refused(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)
    error = _refused(lambda: Transport("https://a", ca=tmp_path / "ca.pem"))
    assert error.code == "SR-SERVER-TLS"


def test_a_redirect_is_not_followed(connect: Connect, server: Any) -> None:
    server.before = lambda request: httpx.Response(
        302, headers={"location": "https://evil.example/"}
    )
    assert _refused(connect).code == "SR-SERVER-PROTOCOL"
    assert len(server.requests) == 1


def test_proxies_and_netrc_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine a login u password canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTPS_PROXY", "http://evil.example:3128")
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        answer = b'{"error":"no","code":"SR-SERVER-MODEL"}'
        return httpx.Response(404, stream=httpx.ByteStream(answer))

    transport = Transport("https://a", transport=httpx.MockTransport(handle))
    assert _refused(lambda: transport.model_metadata("m")).code == "SR-SERVER-MODEL"
    assert "authorization" not in seen[0].headers
    assert not transport._http._mounts


REFUSALS = {
    "token": (401, {"error": "[SR-SERVER-TOKEN] unknown. x.", "code": "SR-SERVER-TOKEN"}),
    "model": (404, {"error": "no such model", "code": "SR-SERVER-MODEL"}),
    "size": (413, {"error": "too large", "code": "SR-REQUEST-SIZE"}),
    "timeout": (504, {"error": "took too long", "code": "SR-WORKER-TIMEOUT"}),
    "ciphertext": (400, {"error": "truncated", "code": "SR-CIPHERTEXT-FORMAT"}),
    "missing keys": (424, {"error": "lacks products", "code": "SR-KEYS-MISSING"}),
    "quota": (413, {"error": "too much", "code": "SR-KEYS-QUOTA"}),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_server_s_refusal_keeps_its_code_and_status(case: str) -> None:
    status, answer = REFUSALS[case]
    error = refusal(status, json.dumps(answer).encode(), None)
    assert (error.code, error.http_status) == (answer["code"], status)
    assert error.message.startswith("the server says: ")
    assert "[SR-" not in error.message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"error":7}',
        b'{"code":"SR-SERVER-TOKEN"}',
        b'{"error":"x","code":"SR-NO-SUCH-CODE"}',
        b'{"error":"x","code":"SR-KEYS-PASSPHRASE"}',
        b'{"error":"x","code":"SR-INPUT-COLUMNS"}',
        b'{"error":' + b"[" * 60_000,
    ],
)
def test_a_refusal_that_a_server_may_not_make_is_a_protocol_error(body: bytes) -> None:
    assert refusal(400, body, None).code == "SR-SERVER-PROTOCOL"


def test_a_server_s_text_is_one_short_printable_line_without_the_token() -> None:
    text = "a\x1b[2J\r\nb\u202e\u2028 canary " + "x" * 1000
    line = one_line(text, "canary")
    assert line.startswith("a [2J b *** x")
    assert line.isprintable()
    assert len(line) == 601


@pytest.mark.parametrize("failures", [1, 4])
def test_a_connection_that_breaks_before_the_answer_is_survived_with_the_same_bytes(
    connect: Connect, server: Any, failures: int, pauses: list[float]
) -> None:
    client = connect()
    left = iter([httpx.ConnectError, httpx.ReadError, httpx.WriteError, httpx.ConnectTimeout])

    def before(request: httpx.Request) -> None:
        if len(server.requests) <= 1 + failures:
            raise next(left)("gone")

    server.before = before
    assert client.decision_function(ROW) == pytest.approx([-3.5])
    assert len(server.bodies) == failures + 2
    assert len(set(server.bodies[1:])) == 1
    assert len(pauses) == failures


def test_a_server_that_stays_away_is_given_up(
    connect: Connect, server: Any, pauses: list[float]
) -> None:
    client = connect()

    def before(request: httpx.Request) -> None:
        raise httpx.ConnectError("refused")

    server.before = before
    error = _refused(lambda: client.predict(ROW))
    assert error.code == "SR-SERVER-UNREACHABLE"
    assert PATIENCE_SECONDS / 2 < sum(pauses) <= PATIENCE_SECONDS
    assert pauses[0] <= 0.1
    assert max(pauses) <= 2.0


def test_a_wrong_url_shows_soon(connect: Connect, server: Any, pauses: list[float]) -> None:
    def before(request: httpx.Request) -> None:
        raise httpx.ConnectError("refused")

    server.before = before
    assert _refused(connect).code == "SR-SERVER-UNREACHABLE"
    assert sum(pauses) <= 1.0


@pytest.mark.parametrize("error", [httpx.ReadTimeout, httpx.WriteTimeout])
def test_a_server_that_may_be_computing_still_is_not_asked_again(
    connect: Connect, server: Any, error: type[httpx.TimeoutException]
) -> None:
    client = connect()

    def before(request: httpx.Request) -> None:
        raise error("slow")

    server.before = before
    caught = _refused(lambda: client.predict(ROW))
    assert caught.code == "SR-SERVER-UNREACHABLE"
    assert len(server.requests) == 2


def test_what_may_be_repeated_at_any_time_is_asked_again_after_a_timeout(
    pauses: list[float],
) -> None:
    asked: list[bytes] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.read())
        if len(asked) == 2:
            raise httpx.ReadTimeout("slow")
        return httpx.Response(200, stream=httpx.ByteStream(b"yes"))

    transport = Transport("https://a", transport=httpx.MockTransport(handle))
    for content in (b"first", b"second"):
        assert transport.ask("PUT", "/v2/keys/x", 9, content=content) == b"yes"
    assert asked == [b"first", b"second", b"second"]
    assert len(pauses) == 1


def test_a_busy_server_is_asked_again_when_it_says(
    connect: Connect, server: Any, pauses: list[float]
) -> None:
    client = connect()

    def before(request: httpx.Request) -> httpx.Response | None:
        if len(server.requests) > 3:
            return None
        answer = {"error": "busy", "code": "SR-REQUEST-BUSY"}
        return httpx.Response(503, json=answer, headers={"retry-after": "1"})

    server.before = before
    assert client.decision_function(ROW) == pytest.approx([-3.5])
    assert pauses == [1.0, 1.0]


def test_a_retry_after_without_end_is_not_waited_for(
    connect: Connect, server: Any, pauses: list[float]
) -> None:
    client = connect()

    def before(request: httpx.Request) -> httpx.Response:
        answer = {"error": "busy", "code": "SR-REQUEST-BUSY"}
        return httpx.Response(503, json=answer, headers={"retry-after": "999999999"})

    server.before = before
    assert _refused(lambda: client.predict(ROW)).code == "SR-REQUEST-BUSY"
    assert max(pauses) == 5.0


def test_a_request_that_loses_its_worker_is_repeated_twice_only(
    connect: Connect, server: Any
) -> None:
    client = connect()
    server.before = lambda request: httpx.Response(
        502, json={"error": "lost", "code": "SR-WORKER-LOST"}
    )
    assert _refused(lambda: client.predict(ROW)).code == "SR-WORKER-LOST"
    assert len(server.requests) == 4


@pytest.mark.parametrize("code", ["SR-WORKER-TIMEOUT", "SR-WORKER-MEMORY", "SR-CIPHERTEXT-RANGE"])
def test_other_refusals_are_final(connect: Connect, server: Any, code: str) -> None:
    client = connect()
    server.before = lambda request: httpx.Response(500, json={"error": "x", "code": code})
    assert _refused(lambda: client.predict(ROW)).code == code
    assert len(server.requests) == 2


def test_a_response_that_does_not_decrypt_is_never_followed_by_a_repetition(
    connect: Connect, server: Any, protection: Any
) -> None:
    client = connect()
    server.change = lambda header, rest: (header, rest[:-1] + bytes([rest[-1] ^ 1]))
    assert _refused(lambda: client.predict(ROW)).code == "SR-CIPHERTEXT-MISMATCH"
    assert len(server.requests) == 2
    assert protection.sides[0].decryptions == 1


def test_a_response_that_does_not_decode_is_never_followed_by_a_repetition(
    connect: Connect, server: Any, protection: Any
) -> None:
    client = connect()
    server.change = lambda header, rest: (header, rest + b"\0")
    assert _refused(lambda: client.predict(ROW)).code == "SR-SERVER-PROTOCOL"
    assert len(server.requests) == 2
    assert protection.sides[0].decryptions == 0


class _Endless(httpx.SyncByteStream):
    def __init__(self) -> None:
        self.chunks = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.chunks += 1
            yield bytes(10_000)


def test_an_endless_answer_is_cut_at_what_the_plan_expects(connect: Connect, server: Any) -> None:
    client = connect()
    endless = _Endless()
    server.before = lambda request: httpx.Response(200, stream=endless)
    assert _refused(lambda: client.predict(ROW)).code == "SR-SERVER-PROTOCOL"
    assert endless.chunks * 10_000 <= client.plan.costs.full_response_bytes + 2**16 + 10_000


def test_an_endless_refusal_is_cut(connect: Connect, server: Any) -> None:
    endless = _Endless()
    server.before = lambda request: httpx.Response(500, stream=endless)
    assert _refused(connect).code == "SR-SERVER-PROTOCOL"
    assert endless.chunks <= 7


def test_an_answer_that_declares_too_much_is_not_read(connect: Connect, server: Any) -> None:
    endless = _Endless()
    server.before = lambda request: httpx.Response(
        200, stream=endless, headers={"content-length": str(2**40)}
    )
    assert _refused(connect).code == "SR-SERVER-PROTOCOL"
    assert endless.chunks == 0


def test_a_compressed_answer_is_refused(connect: Connect, server: Any) -> None:
    bomb = gzip.compress(bytes(10**6))
    server.before = lambda request: httpx.Response(
        200, content=bomb, headers={"content-encoding": "gzip"}
    )
    assert _refused(connect).code == "SR-SERVER-PROTOCOL"


def _tls_error(cause: Exception) -> httpx.ConnectError:
    error = httpx.ConnectError("[SSL] failed")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "code", "asked"),
    [
        (ssl.SSLCertVerificationError(1, "self-signed"), "SR-SERVER-TLS", 1),
        (ssl.SSLError(1, "wrong version number"), "SR-SERVER-TLS", 1),
        (ssl.SSLEOFError(8, "EOF"), "SR-SERVER-UNREACHABLE", 4),
    ],
)
def test_a_certificate_that_is_not_trusted_is_final_and_a_broken_handshake_is_not(
    connect: Connect, server: Any, cause: ssl.SSLError, code: str, asked: int
) -> None:
    if isinstance(cause, ssl.SSLCertVerificationError):
        cause.verify_message = "self-signed certificate"

    def before(request: httpx.Request) -> None:
        raise _tls_error(cause)

    server.before = before
    assert _refused(connect).code == code
    assert len(server.requests) >= asked
    assert (len(server.requests) == 1) == (asked == 1)


def test_what_is_not_http_is_a_protocol_error(connect: Connect, server: Any) -> None:
    def before(request: httpx.Request) -> None:
        raise httpx.RemoteProtocolError("illegal status line: bytearray(b'SSH-2.0')")

    server.before = before
    assert _refused(connect).code == "SR-SERVER-PROTOCOL"
    assert len(server.requests) == 1


def test_token_and_rows_stay_out_of_texts_and_logs(
    connect: Connect, server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = connect(token="canary-token")
    rows = np.array([[123456.75, 987654.25]])
    client.predict(rows)
    server.before = lambda request: httpx.Response(
        400,
        json={"error": f"you sent {request.headers['authorization']}", "code": "SR-REQUEST-FORMAT"},
    )
    error = _refused(lambda: client.predict(rows))
    shown = "".join(
        [repr(client), repr(client._transport), str(error), repr(error), repr(error.__cause__),
         repr(client.timings), caplog.text]
    )  # fmt: skip
    for canary in ("canary", "123456", "987654"):
        assert canary not in shown


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_timeout_that_makes_no_sense_is_refused(seconds: float) -> None:
    with pytest.raises(StrongroomError) as refused:
        Transport("http://127.0.0.1:1", token=None, ca=None, timeout_seconds=seconds)
    assert refused.value.code == "SR-SERVER-CONFIG"
