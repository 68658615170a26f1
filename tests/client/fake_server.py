"""A protection that is easy to follow, and a server in memory that runs it."""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import numpy as np
from numpy.typing import NDArray
from served_proofs import ProvenHost

from strongroom.compiler.plan import Plan
from strongroom.errors import CiphertextError, PolicyError, StrongroomError
from strongroom.package.protected import Package
from strongroom.policy import Policy
from strongroom.protections.interface import KeyProvider

URL = "http://127.0.0.1:8443"
TOKEN = "canary-token-0001"
WEIGHTS = np.array([0.5, -2.0])
ROWS_PER_REQUEST = 3


def _mask(key: bytes, length: int) -> NDArray[np.uint8]:
    return np.frombuffer(hashlib.shake_256(key).digest(length), dtype=np.uint8)


@dataclass
class FakePending:
    body: bytes
    rows: NDArray[np.float64]


class FakeSide:
    """Masks rows with the stored secret, which this server knows. Authenticates responses."""

    rows_per_request = ROWS_PER_REQUEST
    key_set: Any = None

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.decryptions = 0

    def check(self, rows: NDArray[np.float64]) -> None:
        pass

    def encode(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        assert len(rows) <= self.rows_per_request
        return rows

    def encrypt(self, encoded: NDArray[np.float64]) -> FakePending:
        plain = np.frombuffer(encoded.tobytes(), dtype=np.uint8)
        return FakePending((plain ^ _mask(self._secret, len(plain))).tobytes(), encoded)

    def decrypt(self, pending: FakePending, response: bytes) -> NDArray[np.float64]:
        self.decryptions += 1
        tag, body = response[:32], response[32:]
        if not hmac.compare_digest(tag, hmac.digest(self._secret, body, "sha256")):
            raise CiphertextError("SR-CIPHERTEXT-MISMATCH", "the response answers another request")
        return np.frombuffer(body).reshape(-1, 1)


SECRET = b"canary-secret-for-all-tests-0002"


def answer(content: bytes) -> bytes:
    """The server's side of the fake."""
    masked = np.frombuffer(content, dtype=np.uint8)
    rows = np.frombuffer((masked ^ _mask(SECRET, len(masked))).tobytes()).reshape(-1, 2)
    body = (rows @ WEIGHTS).tobytes()
    return hmac.digest(SECRET, body, "sha256") + body


@dataclass
class FakeProtection:
    name: str = "fhe"
    sides: list[FakeSide] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    problem: PolicyError | None = None

    def check(self, plan: Plan, policy: Policy) -> None:
        if self.problem is not None:
            raise self.problem

    def open_client(
        self, plan: Plan, keys: KeyProvider, policy: Policy, *, package: str, serving: Any = None
    ) -> FakeSide:
        self.packages.append(package)
        secret = keys.secret(plan.parameters)
        side = FakeSide(keys.store(plan.parameters, SECRET) if secret is None else secret)
        self.sides.append(side)
        return side


@dataclass
class FakeServer:
    """V2 in memory. `change` may replace any answer, `before` may fail or count a request."""

    package: Package
    host: ProvenHost = field(init=False)
    requests: list[httpx.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    answers: Callable[[bytes], bytes] = answer
    before: Callable[[httpx.Request], httpx.Response | None] = lambda request: None
    change: Callable[[dict[str, Any], bytes], tuple[dict[str, Any], bytes]] = lambda header, rest: (
        header,
        rest,
    )

    def __post_init__(self) -> None:
        self.serve(self.package)

    def serve(self, package: Package, **options: Any) -> None:
        """Serve another package from now on; options are those of `ProvenHost`."""
        self.package = package
        self.host = ProvenHost(package, **options)

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.bodies.append(request.read())
        if (instead := self.before(request)) is not None:
            return instead
        if request.method == "GET":
            return httpx.Response(200, content=json.dumps(self.metadata()).encode())
        return self.infer(request)

    def metadata(self) -> dict[str, Any]:
        return {
            "name": "m",
            "versions": ["1"],
            "platform": "strongroom_fhe",
            "inputs": [],
            "outputs": [],
            "parameters": {"package_digest": self.package.digest}
            | msgspec.to_builtins(self.host.proof()),
        }

    def infer(self, request: httpx.Request) -> httpx.Response:
        body = request.content
        end = int(request.headers["Inference-Header-Content-Length"])
        asked = json.loads(body[:end])
        size = asked["inputs"][0]["parameters"]["binary_data_size"]
        assert asked["inputs"][0]["name"] == "protected_request"
        wants_receipt = asked["parameters"].get("receipt", False)
        assert asked["parameters"]["package_digest"] == self.package.digest
        assert size == len(body) - end
        assert struct.unpack_from("<I", body, end)[0] == size - 4
        try:
            content = self.answers(body[end + 4 :])
        except StrongroomError as error:
            refused = {"error": str(error), "code": error.code}
            return httpx.Response(error.http_status, content=json.dumps(refused).encode())
        rest = struct.pack("<I", len(content)) + content
        header = {
            "model_name": "m",
            "model_version": "1",
            "id": asked["id"],
            "parameters": {"compute_microseconds": 7, "queue_microseconds": 3},
            "outputs": [
                {
                    "name": "protected_response",
                    "datatype": "BYTES",
                    "shape": [1],
                    "parameters": {"binary_data_size": len(rest)},
                }
            ],
        }
        if wants_receipt:
            stated = self.host.statement(body[end + 4 :], content, datetime.now(UTC))
            header["parameters"]["receipt"] = stated
        header, rest = self.change(header, rest)
        text = json.dumps(header).encode()
        return httpx.Response(
            200,
            content=text + rest,
            headers={"inference-header-content-length": str(len(text))},
        )


def streamed(
    handle: Callable[[httpx.Request], httpx.Response],
) -> Callable[[httpx.Request], httpx.Response]:
    """Bodies that are still to be read, as from a network."""

    def wrapped(request: httpx.Request) -> httpx.Response:
        response = handle(request)
        if response.is_stream_consumed:
            content = httpx.ByteStream(response.content)
            return httpx.Response(response.status_code, headers=response.headers, stream=content)
        return response

    return wrapped
