"""A server with two threads in processes of its own, and what one client sees of it.

Everything that the tables say of a served model is measured here: the server's own time, bytes as
they leave the client, resident memory of the workers.
"""

from __future__ import annotations

import json
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from numpy.typing import NDArray
from own_home import OWNER
from process_memory import peak_resident_bytes
from sklearn.linear_model import LogisticRegression

import strongroom
from strongroom.cli.demo_server import write_certificate
from strongroom.server.tokens import create_token

THREADS = 2
GIBIBYTE = 1 << 30


@dataclass
class Server:
    """A server that answers over TLS on loopback."""

    process: subprocess.Popen[str]
    url: str
    token: str
    certificate: Path

    def resident_bytes(self) -> int:
        """The most memory that the workers have held so far, all of it: interpreter, models, keys
        mapped from disk."""
        workers = psutil.Process(self.process.pid).children(recursive=True)
        return sum(peak_resident_bytes(worker.pid) for worker in workers)


class CountedNetwork(httpx.BaseTransport):
    """The network, with what is sent through it.

    Attributes:
        key_bytes: bodies of all requests but the questions: keys.
    """

    def __init__(self, certificate: Path) -> None:
        self.key_bytes = 0
        context = ssl.create_default_context(cafile=str(certificate))
        self._network = httpx.HTTPTransport(verify=context)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and count."""
        if not request.url.path.endswith("/infer"):
            self.key_bytes += len(request.read())
        return self._network.handle_request(request)

    def close(self) -> None:
        """Close the connections."""
        self._network.close()


@dataclass
class Asked:
    """What was measured of rows that were asked one by one."""

    answers: list[NDArray[Any]] = field(default_factory=list)
    compute_seconds: list[float] = field(default_factory=list)
    round_trip_seconds: list[float] = field(default_factory=list)
    request_bytes: int = 0
    response_bytes: int = 0

    @property
    def predictions(self) -> NDArray[Any]:
        """In the order of the rows."""
        return np.concatenate(self.answers)

    @property
    def server_ms(self) -> float:
        """Median of the server's own time."""
        return round(1000.0 * statistics.median(self.compute_seconds), 2)

    @property
    def round_trip_ms(self) -> float:
        """Median of what the client waits: encryption, network, server, decryption."""
        return round(1000.0 * statistics.median(self.round_trip_seconds), 2)


def ask_row_by_row(client: strongroom.Client, rows: Any, *, pause_seconds: float = 0.0) -> Asked:
    """Ask each row of an array or a frame by itself, after one that does not count.

    Args:
        pause_seconds: before each.
    """
    client.predict(rows[:1])
    asked = Asked()
    for place in range(len(rows)):
        time.sleep(pause_seconds)
        start = time.perf_counter()
        asked.answers.append(client.predict(rows[place : place + 1]))
        asked.round_trip_seconds.append(time.perf_counter() - start)
        asked.compute_seconds.append(client.timings.compute_seconds)
    asked.request_bytes = client.timings.bytes_sent
    asked.response_bytes = client.timings.bytes_received
    return asked


@contextmanager
def serving(
    packages: Sequence[strongroom.Package], *, threads: int = THREADS, **more: Any
) -> Iterator[Server]:
    """Serve packages from one worker process until the context ends.

    Args:
        more: of `ServerConfig`.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [folder / f"{package.manifest.name}.strongroom" for package in packages]
        for package, path in zip(packages, paths, strict=True):
            package.save(path, owner=OWNER)
        certificate, key = folder / "certificate.pem", folder / "key.pem"
        write_certificate(certificate, key)
        config = {
            "packages": [str(path) for path in paths],
            "tokens": str(folder / "tokens.json"),
            "port": 0,
            "workers": 1,
            "threads": threads,
            "tls_certificate": str(certificate),
            "tls_key": str(key),
            "request_bytes": GIBIBYTE,
            "worker_memory_bytes": 16 * GIBIBYTE,
            "evaluation_timeout_seconds": 600.0,
            "identity": "default",
        }
        token = create_token(folder / "tokens.json", "benchmark")
        (folder / "config.json").write_text(json.dumps(config | more))
        with (folder / "server.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "strongroom.server", str(folder / "config.json")],
                cwd=folder,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("strongroom serving on "):
                raise SystemExit((folder / "server.log").read_text())
            yield Server(process, line.split()[-1], token, certificate)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def asking(
    server: Server, package: strongroom.Package, keys: strongroom.KeyStore, **more: Any
) -> Iterator[tuple[strongroom.Client, CountedNetwork]]:
    """A client of one of the packages.

    Args:
        more: of `strongroom.Client`.
    """
    network = CountedNetwork(server.certificate)
    with strongroom.Client(
        server.url,
        model=package.manifest.name,
        token=server.token,
        trust=package,
        keys=keys,
        ca=server.certificate,
        timeout_seconds=600.0,
        progress=False,
        transport=network,
        **more,
    ) as client:
        yield client, network


@dataclass(frozen=True)
class Exchange:
    """One package, its server, and the one client that asks it."""

    package: strongroom.Package
    server: Server
    client: strongroom.Client
    network: CountedNetwork

    def figures(self, prefix: str, asked: Asked, *, worker_bytes: int) -> dict[str, Any]:
        """Everything that one client saw so far, beside what the plan predicted of it.

        Args:
            prefix: of the figures' names.
            asked: single rows.
            worker_bytes: what a worker holds without model and keys, which no plan predicts.
        """
        plan, resident = self.package.manifest.plan, self.server.resident_bytes()
        guarantee, costs = plan.guarantee, plan.costs
        # Keys as they lie on disk, from where a worker maps them.
        memory = costs.model_bytes + costs.mapped_key_bytes + costs.server_peak_bytes
        time_ratio = costs.server_milliseconds / asked.server_ms
        figures = {
            "server_ms": asked.server_ms,
            "round_trip_ms": asked.round_trip_ms,
            "key_bytes": self.network.key_bytes,
            "request_bytes": asked.request_bytes,
            "response_bytes": asked.response_bytes,
            "resident_bytes": resident,
            "lambda": guarantee.sanitising_bits,
            "ring_degree": guarantee.ring_degree,
            "log_qp": round(guarantee.log_modulus, 2),
            "parameters": plan.parameters,
            "predicted_server_ms": round(costs.server_milliseconds, 2),
            "predicted_over_measured_time": round(time_ratio, 3),
            "predicted_memory_bytes": memory,
            "predicted_over_measured_memory": round(memory / max(1, resident - worker_bytes), 3),
            "predicted_key_bytes": costs.evaluation_key_bytes,
            "predicted_request_bytes": costs.request_bytes,
        }
        return {f"{prefix}_{name}": value for name, value in figures.items()}


@contextmanager
def exchange(package: strongroom.Package, *, threads: int = THREADS) -> Iterator[Exchange]:
    """Serve one package to one client with keys of its own."""
    keys = strongroom.KeyStore.in_memory()
    with (
        serving([package], threads=threads) as server,
        asking(server, package, keys) as (client, network),
    ):
        yield Exchange(package, server, client, network)


def worker_bytes() -> int:
    """What a worker holds that serves next to nothing: the interpreter and its libraries."""
    rows, labels = np.array([[0.0], [1.0]] * 8), np.array([0, 1] * 8)
    package = strongroom.protect(LogisticRegression().fit(rows, labels), sample=rows, name="small")
    with exchange(package) as served:
        served.client.predict(rows)
        return served.server.resident_bytes()
