"""What a plan predicts, next to what a real server and client are measured to take.

Bytes are exact. Times are estimates: `FACTOR` is how far they may be from what is measured. Since
machines are shared and noisy, that is the fastest tenth of many requests. Peak memory is an upper
bound, give or take `SLACK_BYTES` for pages that an allocator keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from recorded_traffic import RecordingTransport
from server_processes import RunningServer
from trained_models import trained

from strongroom import Client
from strongroom.protections.fhe.circuit import LinearCircuit

Serve = Callable[..., RunningServer]
Connect = Callable[..., Client]

FACTOR = 5.0
SLACK_BYTES = 4 << 20
NAMES = ["binary", "many-classes", "wide"]


@pytest.fixture(scope="module")
def server(serve: Serve) -> RunningServer:
    return serve([trained(name).package for name in NAMES])


def peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def forget_peak(pid: int) -> None:
    """Set the peak to what is resident now (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows", [1, 2, 20])
def test_bytes_on_the_wire_are_exactly_the_planned_ones(
    server: RunningServer, connect: Connect, name: str, rows: int
) -> None:
    known = trained(name)
    transport = RecordingTransport()
    client = connect(server, known.package, transport=transport)
    client.predict(known.held_out[:rows])
    plan = known.package.manifest.plan
    sizes = LinearCircuit.of(plan).sizes
    if rows == 1:
        assert sizes.request(1) == plan.costs.request_bytes
        assert sizes.response(1) == plan.costs.response_bytes
    for body, size in (
        (transport.bodies[0], sizes.request(rows)),
        (transport.answers[0], sizes.response(rows)),
    ):
        # A 4-byte length, and JSON in front whose end is the brace before it.
        start = len(body) - size - 4
        assert int.from_bytes(body[start : start + 4], "little") == size
        assert body[start - 1 : start] == b"}"
    assert client.timings.bytes_sent == len(transport.bodies[0])
    assert client.timings.bytes_received == len(transport.answers[0])


@pytest.mark.parametrize("name", NAMES)
def test_times_are_near_the_predicted_ones(
    server: RunningServer, connect: Connect, name: str
) -> None:
    known = trained(name)
    client = connect(server, known.package)
    at_server, at_client = [], []
    for _ in range(41):
        client.predict(known.held_out[:1])
        spent = client.timings
        at_server.append(1e3 * spent.compute_seconds)
        at_client.append(1e3 * (spent.encrypt_seconds + spent.decrypt_seconds))
    costs = known.package.manifest.plan.costs
    assert 1 / FACTOR < np.quantile(at_server, 0.1) / costs.server_milliseconds < FACTOR
    assert 1 / FACTOR < np.quantile(at_client, 0.1) / costs.client_milliseconds < FACTOR


@pytest.mark.parametrize("name", NAMES)
def test_a_full_request_takes_no_more_memory_than_predicted(
    server: RunningServer, connect: Connect, name: str
) -> None:
    known = trained(name)
    client = connect(server, known.package)
    costs = client.plan.costs
    client.predict(known.held_out[:1])
    (worker,) = server.worker_pids()
    rows = known.sample[np.arange(costs.rows_per_request) % len(known.sample)]
    forget_peak(worker)
    before = peak_bytes(worker)
    client.predict(rows)
    assert client.timings.requests == 1
    assert server.worker_pids() == {worker}
    grown = peak_bytes(worker) - before
    assert grown <= costs.server_peak_bytes + SLACK_BYTES
    # A bound that is nowhere near would not help anybody who sizes a machine.
    assert costs.server_peak_bytes <= 8 * (grown + SLACK_BYTES)
