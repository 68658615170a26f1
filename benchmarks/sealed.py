"""Sealed serving beside plain serving of the same models, and what sealing packages costs.

Two models (`sealed_models`): a ResNet-20 for images of 32 x 32 pixels, and a 3-layer MiniLM on
sentences of 32 tokens. Each is served sealed, and plain by two servers: by this project's own with
a loader of plain ONNX files, so that nothing differs but sealing, and by MLServer, a server of the
same protocol that people use. All run the same ONNX Runtime session. The ratio counts against the
faster of the two.

At 16 clients: all of them ask at once, each again once it is answered, in turns with the plain
server so that a drifting machine drifts for both. On a machine that also runs the server, what
clients compute would be missing there; theirs is made before (sealed requests, fresh ones, as
`strongroom.Client` makes them) and what it takes a client to seal a request and open its answer,
measured alone, is added to what it waited. At one client: `strongroom.Client` from arrays to
arrays, beside an httpx client from arrays to arrays.

Packages are of 1 GiB of weights (`sealed_package`); a server of one is ready when it says so, and
its memory is that of the worker that serves.

Of the two models the worse counts. MiniLM is fetched at the first run (63 MB), and MLServer's
environment is made. The last line is one JSON object; the benchmark exits with status 1 if it
misses a floor.

    python benchmarks/sealed.py [--weights resnet20-cifar10.npz] [--without-mlserver]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import sealed_models
import sealed_package
from floors import Floors, conclude
from own_home import OWNER
from peers_environments import run_peer
from sealed_load import Asked, ask_at_once
from sealed_models import Case, Tensors
from sealed_servers import (
    PlainClient,
    Running,
    SealedClient,
    median_ms,
    serving_plain,
    serving_sealed,
)

import strongroom
from strongroom.protections.sealed.message import open_request, seal_request

CLIENTS = 16
TURNS = 6
REQUESTS_A_TURN = 30
"""Of each of the clients."""

WARM_REQUESTS = 5
SINGLE_REQUESTS = 60
"""Of the one client, each turn."""

MLSERVER_SECONDS = 4.0

MESSAGE_BYTES = 4096
MESSAGE_TURNS = 400

GIBIBYTE = 1 << 30

FLOORS: Floors = {
    "latency_ratio_16": ("<=", 1.25),
    "added_ms_1": ("<=", 2.0),
    "seal_mb_per_second": (">=", 600.0),
    "open_mb_per_second": (">=", 600.0),
    "open_memory_ratio": ("<=", 1.1),
    "ready_memory_ratio": ("<=", 2.2),
    "request_seal_open_ms": ("<=", 0.6),
}


def main() -> int:
    """Run, print a table and the JSON line; 0 if every floor is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, help="weights of the ResNet-20, NumPy")
    parser.add_argument("--without-mlserver", action="store_true", help="compare with our own only")
    parser.add_argument("--peers", action="store_true", help="no effect: they always run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = _message() | _large(folder)
        results |= _served(folder, options.weights, mlserver=not options.without_mlserver)
    return conclude(results, FLOORS)


def _message() -> dict[str, Any]:
    """What it takes to seal a request of 4 KiB, and to open it."""
    content, digest, spent = bytes(MESSAGE_BYTES), "sha256:" + "0" * 64, []
    keys = _Keys(OWNER)
    for _ in range(MESSAGE_TURNS):
        now = datetime.now(UTC)
        began = time.perf_counter()
        sealed = seal_request("0" * 16, OWNER.public, content, package=digest, now=now)
        opened = open_request(sealed.body, keys, package=digest, now=now)
        spent.append(time.perf_counter() - began)
        assert len(opened.content) == MESSAGE_BYTES
    return {"request_seal_open_ms": round(1000.0 * statistics.median(spent), 4)}


class _Keys:
    """An identity as the keys of a serving process, which remembers requests."""

    def __init__(self, identity: strongroom.Identity) -> None:
        self._identity = identity
        self._seen: set[str] = set()

    def opening_key(self, key_id: str, /) -> _Keys:
        return self

    def open(self, sealed: bytes, info: bytes, /) -> bytes:
        return self._identity.unwrap(sealed, info)

    def seen(self, request_id: str, expires: datetime, /) -> bool:
        before = len(self._seen)
        self._seen.add(request_id)
        return len(self._seen) == before


def _large(folder: Path) -> dict[str, Any]:
    """Packages of 1 GiB, and a server of one."""
    case, path = sealed_models.dense(), folder / "large.strongroom"
    package = _protected(case)
    results = sealed_package.figures(package, OWNER, path)
    del package
    began = time.perf_counter()
    with serving_sealed(folder / "large", [path], workers=1) as running:
        results["ready_seconds"] = round(time.perf_counter() - began, 2)
        results["ready_memory_ratio"] = round(running.peak_bytes("worker") / GIBIBYTE, 4)
        results["keeper_peak_bytes"] = running.peak_bytes("keeper")
        client = SealedClient(running, case)
        tensors = case.request(np.random.default_rng(0))
        results["dense_largest_difference"] = _difference(case, client, tensors)
        results["answered_memory_ratio"] = round(running.peak_bytes("worker") / GIBIBYTE, 4)
        client.close()
    path.unlink()
    return results


def _protected(case: Case) -> strongroom.Package:
    return strongroom.protect(
        case.path,
        sample=case.request(np.random.default_rng(1)),
        protection="sealed",
        name=case.name,
        owner=OWNER,
    )


def _served(folder: Path, weights: Path | None, *, mlserver: bool) -> dict[str, Any]:
    """Both models, sealed and plain."""
    cases = [sealed_models.resnet20(folder, weights), sealed_models.minilm(folder)]
    paths = [folder / f"{case.name}.strongroom" for case in cases]
    for case, path in zip(cases, paths, strict=True):
        _protected(case).save(path, owner=OWNER)
    results: dict[str, Any] = {}
    with (
        serving_sealed(folder / "sealed", paths) as sealed,
        serving_plain(folder / "plain", cases) as plain,
    ):
        for case in cases:
            results |= _compared(case, sealed, plain)
    for case in cases:
        prefix = case.name
        fastest = results[f"{prefix}_plain_ms_16"]
        if mlserver:
            results |= _mlserver(case, folder)
            peer = results[f"{prefix}_mlserver_ms_16"]
            fastest = min(fastest, peer)
            ratio = results[f"{prefix}_sealed_ms_16"] / peer
            results[f"{prefix}_latency_ratio_16_mlserver"] = round(ratio, 4)
        ratio = results[f"{prefix}_sealed_ms_16"] / fastest
        results[f"{prefix}_latency_ratio_16"] = round(ratio, 4)
        ratio = results[f"{prefix}_sealed_ms_16"] / results[f"{prefix}_plain_ms_16"]
        results[f"{prefix}_latency_ratio_16_own"] = round(ratio, 4)
    names = [case.name for case in cases]
    worst = {
        figure: max(results[f"{name}_{figure}"] for name in names)
        for figure in ("latency_ratio_16", "added_ms_1")
    }
    return results | worst


def _compared(case: Case, sealed: Running, plain: Running) -> dict[str, Any]:
    """One model: 16 clients and one, in turns."""
    random = np.random.default_rng(3)
    clients = {"sealed": SealedClient(sealed, case), "plain": PlainClient(plain, case)}
    servers = {"sealed": sealed, "plain": plain}
    tensors = case.request(random)
    difference = max(_difference(case, client, tensors) for client in clients.values())
    at_once: dict[str, list[float]] = {"sealed": [], "plain": []}
    alone: dict[str, list[float]] = {"sealed": [], "plain": []}
    own: list[float] = []
    for turn in range(TURNS):
        # Neither goes first every time.
        for kind in sorted(clients, reverse=turn % 2 == 1):
            ready = [_ready(clients[kind], case, random) for _ in range(CLIENTS)]
            asked = ask_at_once(servers[kind].address(case.name), ready)
            at_once[kind].append(_median_ms(asked))
            single = [case.request(random) for _ in range(SINGLE_REQUESTS)]
            clients[kind].ask(single[0])
            alone[kind].append(median_ms(clients[kind].ask, single))
        for _ in range(10):
            clients["sealed"].ask(tensors)
            own.append(1000.0 * clients["sealed"].own_seconds)
    for client in clients.values():
        client.close()
    one = {kind: statistics.median(values) for kind, values in alone.items()}
    many = {kind: statistics.median(values) for kind, values in at_once.items()}
    client_ms = statistics.median(own)
    figures = {
        "sealed_ms_16": round(many["sealed"] + client_ms, 3),
        "plain_ms_16": round(many["plain"], 3),
        "client_ms": round(client_ms, 3),
        "sealed_ms_1": round(one["sealed"], 3),
        "plain_ms_1": round(one["plain"], 3),
        "added_ms_1": round(one["sealed"] - one["plain"], 3),
        "largest_difference": difference,
    }
    return {f"{case.name}_{name}": value for name, value in figures.items()}


def _ready(client: Any, case: Case, random: np.random.Generator) -> list[Any]:
    """One client's requests of a turn, each fresh, as what hands it over."""
    count = WARM_REQUESTS + REQUESTS_A_TURN
    requests = [client.ready_request(case.request(random)) for _ in range(count)]
    return [lambda request=request: request for request in requests]


def _median_ms(asked: Sequence[Asked]) -> float:
    """Of all clients together, once they are all at it."""
    return 1000.0 * statistics.median(
        seconds for one in asked for seconds in one.seconds[WARM_REQUESTS:]
    )


def _mlserver(case: Case, folder: Path) -> dict[str, Any]:
    requests = folder / f"{case.name}.npz"
    np.savez(requests, **case.request(np.random.default_rng(4)))
    measured = run_peer("mlserver", case.path, requests, CLIENTS, MLSERVER_SECONDS, threads=2)
    return {
        f"{case.name}_mlserver_ms_16": round(measured["median_ms"], 3),
        f"{case.name}_mlserver_processes_x_threads": measured["setting"],
    }


def _difference(case: Case, client: SealedClient | PlainClient, tensors: Tensors) -> float:
    """The largest between a server's answer and the model's, which is no more than what threads
    do to sums.

    Raises:
        SystemExit: it is more.
    """
    found, largest = client.ask(tensors), 0.0
    for name, values in _plain_answer(case, tensors).items():
        if not np.allclose(found[name], values, rtol=1e-3, atol=1e-4):
            raise SystemExit(f"{case.name} is answered differently ({name})")
        largest = max(largest, float(np.abs(found[name] - values).max()))
    return largest


def _plain_answer(case: Case, tensors: Tensors) -> Tensors:
    session = onnxruntime.InferenceSession(str(case.path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, tensors), strict=True))


if __name__ == "__main__":
    sys.exit(main())
