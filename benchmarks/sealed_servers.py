"""Servers of sealed and of plain models, and the clients that ask them.

Both are one program, `strongroom.server`, with two worker processes of one thread each, over plain
HTTP on loopback: what differs is sealing.
"""

from __future__ import annotations

import json
import os
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import sealed_load
import sealed_plain
from own_home import OWNER
from process_memory import peak_resident_bytes
from sealed_models import Case, Tensors

import strongroom
from strongroom.client import v2
from strongroom.protections.sealed.tensors import tensors_from_bytes, tensors_to_bytes
from strongroom.server.tokens import create_token

PROCESSORS = 2
"""That the servers use, whatever the machine has."""

_ELEMENT = struct.Struct("<I")


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes:
        process: of the front.
        url, token: for clients.
    """

    process: subprocess.Popen[str]
    url: str
    token: str

    def address(self, model: str) -> sealed_load.Address:
        """Where a model is asked."""
        port = int(self.url.rpartition(":")[2])
        return sealed_load.Address("127.0.0.1", port, f"/v2/models/{model}/infer", self.token)

    def peak_bytes(self, module: str) -> int:
        """The most memory that the processes of a module have held: "worker", "keeper"."""
        behind = psutil.Process(self.process.pid).children(recursive=True)
        wanted = [one for one in behind if f"strongroom.server.{module}" in one.cmdline()]
        return sum(peak_resident_bytes(one.pid) for one in wanted)


@contextmanager
def serving(folder: Path, paths: Sequence[Path], *, workers: int, **more: Any) -> Iterator[Running]:
    """Serve packages, or what another loader takes, until the context ends.

    Args:
        folder: that is made, for what the server writes.
        more: of `ServerConfig`.
    """
    folder.mkdir()
    token = create_token(folder / "tokens.json", "benchmark")
    config = {
        "packages": [str(path) for path in paths],
        "tokens": str(folder / "tokens.json"),
        "port": 0,
        "workers": workers,
        "threads": PROCESSORS // workers,
        "worker_memory_bytes": 16 << 30,
    }
    (folder / "config.json").write_text(json.dumps(config | more))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "strongroom.server", str(folder / "config.json")],
            # A worker imports the loader of plain models.
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("strongroom serving on "):
            raise SystemExit((folder / "log").read_text())
        yield Running(process, line.split()[-1], token)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def serving_sealed(
    folder: Path, paths: Sequence[Path], *, workers: int = PROCESSORS
) -> Iterator[Running]:
    """Serve sealed packages."""
    with serving(folder, paths, workers=workers, identity="default") as running:
        yield running


@contextmanager
def serving_plain(folder: Path, cases: Sequence[Case]) -> Iterator[Running]:
    """Serve ONNX files as they are."""
    paths = [case.path for case in cases]
    settings = {"loader": sealed_plain.LOADER, "identity": None}
    with serving(folder, paths, workers=PROCESSORS, **settings) as running:
        yield running


class SealedClient:
    """`strongroom.Client`, whose requests can be taken instead of being sent.

    Args:
        running: server.
        case: the model.
    """

    def __init__(self, running: Running, case: Case) -> None:
        self._case = case
        self._network = _Taps()
        self._address = running.address(case.name)
        self._client = strongroom.Client(
            running.url,
            model=case.name,
            token=running.token,
            trust=OWNER.public,
            transport=self._network,
            progress=False,
        )

    def ask(self, tensors: Tensors) -> Tensors:
        """One request, answered."""
        return self._client.infer(tensors)

    def ready_request(self, tensors: Tensors) -> bytes:
        """One request as it would leave; the server has not seen it."""
        with self._network.taking() as taken, suppress(_TakenError):
            self._client.infer(tensors)
        (request,) = taken
        return self._address.request(
            request.read(), int(request.headers[sealed_load.HEADER_LENGTH])
        )

    @property
    def own_seconds(self) -> float:
        """What sealing the last request and opening its answer took this client."""
        spent = self._client.timings
        return spent.encode_seconds + spent.encrypt_seconds + spent.decrypt_seconds

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


class PlainClient:
    """What a careful person would write: httpx, one connection, binary tensors.

    Args:
        running: server.
        case: the model.
    """

    def __init__(self, running: Running, case: Case) -> None:
        self._address = running.address(case.name)
        self._http = httpx.Client(
            base_url=running.url,
            headers={"authorization": f"Bearer {running.token}"},
            trust_env=False,
        )

    def ask(self, tensors: Tensors) -> Tensors:
        """One request, answered."""
        body, json_bytes = _plain_body(tensors)
        answer = self._http.post(
            self._address.path,
            content=body,
            headers={
                "content-type": "application/octet-stream",
                v2.HEADER_LENGTH: str(json_bytes),
            },
        ).raise_for_status()
        # The answer is one tensor of bytes, behind JSON.
        end = int(answer.headers[v2.HEADER_LENGTH])
        return tensors_from_bytes(memoryview(answer.content)[end + _ELEMENT.size :])

    def ready_request(self, tensors: Tensors) -> bytes:
        """One request as it would leave."""
        return self._address.request(*_plain_body(tensors))

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


def median_ms(ask: Callable[[Tensors], Any], requests: Sequence[Tensors]) -> float:
    """What one client waits, one request after the other."""
    waited = []
    for tensors in requests:
        began = time.perf_counter()
        ask(tensors)
        waited.append(time.perf_counter() - began)
    return 1000.0 * statistics.median(waited)


def _plain_body(tensors: Tensors) -> tuple[bytes, int]:
    content = tensors_to_bytes(tensors)
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": v2.INPUT_NAME,
                    "datatype": "BYTES",
                    "shape": [1],
                    "parameters": {"binary_data_size": _ELEMENT.size + len(content)},
                }
            ],
            "outputs": [{"name": v2.OUTPUT_NAME, "parameters": {"binary_data": True}}],
        }
    ).encode()
    return b"".join((head, _ELEMENT.pack(len(content)), content)), len(head)


class _TakenError(Exception):
    """A request was taken; there is no answer."""


class _Taps(httpx.BaseTransport):
    """The network; while somebody takes them, questions do not reach it."""

    def __init__(self) -> None:
        self._network = httpx.HTTPTransport()
        self._taken: list[httpx.Request] | None = None

    @contextmanager
    def taking(self) -> Iterator[list[httpx.Request]]:
        self._taken = []
        try:
            yield self._taken
        finally:
            self._taken = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self._taken is not None and request.url.path.endswith("/infer"):
            request.read()
            self._taken.append(request)
            raise _TakenError
        return self._network.handle_request(request)

    def close(self) -> None:
        self._network.close()
