"""Transport: V2 over HTTP, one connection kept alive.

The rules. TLS, unless the server is on loopback. No redirect is followed and no proxy or netrc
of the environment is used, so the token goes where the URL says and nowhere else. An answer is
read up to a size that was known before. What fails before an answer is complete, because the
connection was lost, the workers are busy or a worker was lost, is sent again, the same bytes,
for a while: a server that is killed and started again is survived. Nothing else is ever repeated.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import httpx

from strongroom.client import v2
from strongroom.client.address import certificates, checked_url, tls_failure
from strongroom.client.refusals import MAXIMUM_REFUSAL_BYTES, one_line, refusal
from strongroom.client.timings import Timings
from strongroom.errors import ServerError

FIRST_CONTACT_PATIENCE_SECONDS: Final = 1.0
"""How long a server that has never answered is tried: a wrong URL should show at once."""

PATIENCE_SECONDS: Final = 20.0
"""How long after a failure a server that has answered before is tried again."""

_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 2.0
_LONGEST_RETRY_AFTER_SECONDS: Final = 5.0
_PASSING: Final = ("SR-REQUEST-BUSY", "SR-WORKER-LOST")
_LOST_WORKERS: Final = 2  # a request that kills its worker would kill every one
_MAXIMUM_RESPONSE_BYTES: Final = 2**30
_MODEL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_jitter: Final = secrets.SystemRandom()
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,4096}")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One answered inference request.

    Attributes:
        content: the opaque protected response.
        send_seconds: from the first attempt until the answer began, without the server's own
            time: sending, the network both ways, repetitions.
        compute_seconds, queue_seconds: the server's own, as it says, at most what was waited.
        receive_seconds: reading the answer's body.
        bytes_sent, bytes_received: of the HTTP bodies.
        receipt: a signed statement of the answer, supposedly; None if there is none.
    """

    content: bytes
    send_seconds: float
    compute_seconds: float
    queue_seconds: float
    receive_seconds: float
    bytes_sent: int
    bytes_received: int
    receipt: str | None

    @property
    def timings(self) -> Timings:
        """Where its time went, of one request."""
        return Timings(
            send_seconds=self.send_seconds,
            queue_seconds=self.queue_seconds,
            compute_seconds=self.compute_seconds,
            receive_seconds=self.receive_seconds,
            bytes_sent=self.bytes_sent,
            bytes_received=self.bytes_received,
            requests=1,
        )


@dataclass(frozen=True, slots=True)
class _Answer:
    body: bytes
    header_length: str | None
    began: float  # both on the clock of time.perf_counter
    ended: float


class _PassingError(Exception):
    """A failure that may pass; `error` is what a caller sees if it doesn't."""

    def __init__(self, error: ServerError, retry_after_seconds: float = 0.0) -> None:
        super().__init__(error.code)
        self.error = error
        self.retry_after_seconds = retry_after_seconds


class Transport:
    """Asks one server. Not for several threads at once.

    Args:
        url: of the server, without "/v2": "https://models.example:8443".
        token: the bearer token, if the server wants one.
        ca: file of certificates (PEM) to trust instead of the usual authorities.
        timeout_seconds: how long to wait for a connection, and for each next byte of an answer.
        transport: replaces the network.

    Raises:
        ServerError: SR-SERVER-URL, SR-SERVER-TLS, SR-SERVER-TOKEN.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        ca: str | os.PathLike[str] | None = None,
        timeout_seconds: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url: Final = checked_url(url)
        if token is not None and not _TOKEN.fullmatch(token):
            raise ServerError(
                "SR-SERVER-TOKEN",
                "the token holds white space or characters that no token has",
                "Pass the token as the server's owner gave it, without quotes or line break",
            )
        if not 0.0 < timeout_seconds < float("inf"):
            raise ServerError(
                "SR-SERVER-CONFIG",
                f"timeout_seconds is {timeout_seconds:g}",
                "Choose a number of seconds above 0",
            )
        self._token = token
        self._timeout_seconds = timeout_seconds
        self._answered_before = False
        self._paths: dict[str, httpx.URL] = {}
        headers = {"accept-encoding": "identity", "user-agent": "strongroom"}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        self._http = httpx.Client(
            headers=headers,
            verify=certificates(ca),
            timeout=timeout_seconds,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
            follow_redirects=False,
            trust_env=False,
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"Transport({self.url!r})"

    def close(self) -> None:
        """Close the connection; the transport can't be used again."""
        self._http.close()

    def model_metadata(self, model: str) -> v2.ModelMetadata:
        """What the server says of a model.

        Raises:
            ServerError: SR-SERVER-UNREACHABLE, -TLS, -TOKEN, -MODEL, -PROTOCOL.
        """
        request = self._http.build_request("GET", self._path(model))
        answer = self._patiently(request, v2.MAXIMUM_METADATA_BYTES)
        return v2.decode_metadata(answer.body, model)

    def infer(
        self,
        model: str,
        content: bytes,
        package_digest: str,
        response_bytes: int,
        *,
        receipt: bool = False,
        query: str = "",
        proof_demand: str = "",
    ) -> Exchange:
        """Send one protected request.

        Args:
            model: name of the model.
            content: the opaque protected request.
            package_digest: of the package that shall answer.
            response_bytes: largest protected response that is accepted.
            receipt: whether a receipt is asked for.
            query: text of a signed query; "" for none.
            proof_demand: text of a signed demand for proofs; "" for none.

        Raises:
            ServerError: what the server says, or SR-SERVER-UNREACHABLE, -TLS, -PROTOCOL.
            CommitteeError: SR-MEMBER-*, SR-COMMITTEE-*, as the server says.
        """
        request_id = uuid.uuid4().hex
        body, header_bytes = v2.encode_request(
            request_id,
            content,
            package_digest,
            receipt=receipt,
            query=query,
            proof_demand=proof_demand,
        )
        request = self._http.build_request(
            "POST",
            self._path(model, "/infer"),
            content=body,
            headers={
                "content-type": "application/octet-stream",
                v2.HEADER_LENGTH: str(header_bytes),
            },
        )
        limit = min(response_bytes, _MAXIMUM_RESPONSE_BYTES) + v2.MAXIMUM_HEADER_BYTES
        started = time.perf_counter()
        answer = self._patiently(request, limit)
        # Outside of the repetition on purpose: see `_patiently`.
        response = v2.decode_response(answer.body, answer.header_length, request_id, package_digest)
        waited = answer.began - started
        compute = min(response.compute_seconds, waited)
        queue = min(response.queue_seconds, waited - compute)
        return Exchange(
            content=response.content,
            send_seconds=waited - compute - queue,
            compute_seconds=compute,
            queue_seconds=queue,
            receive_seconds=answer.ended - answer.began,
            bytes_sent=len(body),
            bytes_received=len(answer.body),
            receipt=response.receipt,
        )

    def ask(
        self,
        method: str,
        path: str,
        limit: int,
        *,
        content: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> bytes:
        """The body of the answer to a request that changes nothing when it is made again.

        Args:
            method: of HTTP.
            path: behind the server's URL.
            limit: largest answer in bytes.
            content: body of the request.
            headers: of the request.

        Raises:
            ServerError: what the server says, or SR-SERVER-UNREACHABLE, -TLS, -PROTOCOL.
        """
        request = self._http.build_request(
            method, self.url + path, content=content, headers=headers
        )
        return self._patiently(request, limit, after_timeouts=True).body

    def quoted(self, text: str) -> str:
        """Untrusted text of the server as one printable line, without the token."""
        return one_line(text, self._token)

    def _path(self, model: str, behind: str = "") -> httpx.URL:
        known = self._paths.get(model + behind)
        return known or self._paths.setdefault(model + behind, self._parsed(model, behind))

    def _parsed(self, model: str, behind: str) -> httpx.URL:
        if not _MODEL_NAME.fullmatch(model):
            raise ServerError(
                "SR-SERVER-MODEL",
                f"{ascii(model)[:100]} can't be the name of a model",
                "Use the name under which the server's owner serves it",
            )
        return httpx.URL(f"{self.url}/v2/models/{model}{behind}")

    def _patiently(
        self, request: httpx.Request, limit: int, *, after_timeouts: bool = False
    ) -> _Answer:
        """One complete answer, asking again after failures of the way to it.

        Repeating is safe here: the same ciphertext is sent again, before anything of an answer
        was decoded, so what the server sees doesn't depend on any secret. An answer that can't
        be decoded or decrypted must never be followed by an automatic repetition: whether one
        comes would tell a malicious server whether its manipulated ciphertext decrypted well,
        and many such bits give away the secret key.
        """
        patience = PATIENCE_SECONDS if self._answered_before else FIRST_CONTACT_PATIENCE_SECONDS
        pause, deadline, lost_workers = _FIRST_PAUSE_SECONDS, 0.0, 0
        while True:
            try:
                answer = self._once(request, limit, after_timeouts)
            except _PassingError as passing:
                deadline = deadline or time.monotonic() + patience
                lost_workers += passing.error.code == "SR-WORKER-LOST"
                wait = max(pause * _jitter.uniform(0.5, 1.0), passing.retry_after_seconds)
                if time.monotonic() + wait > deadline or lost_workers > _LOST_WORKERS:
                    raise passing.error from passing.__cause__
            else:
                self._answered_before = True
                return answer
            time.sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _once(self, request: httpx.Request, limit: int, after_timeouts: bool) -> _Answer:
        with self._failures(after_timeouts):
            response = self._http.send(request, stream=True)
            with contextlib.closing(response):
                began = time.perf_counter()
                status = response.status_code
                body = _bounded(response, limit if status == 200 else MAXIMUM_REFUSAL_BYTES)
                ended = time.perf_counter()
        if status == 200:
            return _Answer(body, response.headers.get(v2.HEADER_LENGTH), began, ended)
        error = refusal(status, body, self._token)
        if isinstance(error, ServerError) and error.code in _PASSING:
            raise _PassingError(error, _retry_after(response))
        raise error

    @contextlib.contextmanager
    def _failures(self, after_timeouts: bool) -> Iterator[None]:
        """Tell failures of the connection, which may pass, from the others."""
        try:
            yield
        except httpx.TimeoutException as error:
            failed = self._unreachable(f"does not answer within {self._timeout_seconds:g} seconds")
            if after_timeouts or isinstance(error, httpx.ConnectTimeout):
                raise _PassingError(failed) from error
            # The server may be computing still: asking again would only add to its work.
            raise failed from error
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            if (tls := tls_failure(error)) is not None:
                raise tls from error
            # httpx has one class for a connection that ended early and for what is not HTTP.
            early = ("disconnected", "peer closed")
            if isinstance(error, httpx.NetworkError) or any(word in str(error) for word in early):
                raise _PassingError(self._unreachable("can't be reached")) from error
            raise v2.wrong("the server's answer is not HTTP") from error
        except httpx.HTTPError as error:
            raise v2.wrong(f"the exchange failed ({type(error).__name__})") from error

    def _unreachable(self, how: str) -> ServerError:
        return ServerError(
            "SR-SERVER-UNREACHABLE",
            f"the server at {self.url} {how}",
            "Check the URL, and that the server runs",
        )


def _bounded(response: httpx.Response, limit: int) -> bytes:
    """The body as it comes, never more than the limit and never decompressed."""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise v2.wrong("the server's answer is compressed, which was not asked for")
    declared = response.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > limit:
        raise v2.wrong(f"the server's answer is larger than the {limit} bytes that are expected")
    body = bytearray()
    for chunk in response.iter_raw():
        if len(body) + len(chunk) > limit:
            raise v2.wrong(f"the server's answer exceeds the {limit} bytes that are expected")
        body += chunk
    return bytes(body)


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    seconds = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    return float(min(seconds, _LONGEST_RETRY_AFTER_SECONDS))
