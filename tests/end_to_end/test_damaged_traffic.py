"""Requests and responses that are damaged on their way, at a real server and a real client.

Every bit of every region is tried in `tests/protections/fhe/test_damaged_messages.py`; here each
kind of damage goes through HTTP once, to see that it ends as one line with a code, that the worker
lives on, that nothing is left behind, and that a client never asks again by itself.

A flipped bit that leaves a coefficient below its modulus, or that is in a seed, can't be seen by
anybody: the answer then is a number that means nothing. TLS is what keeps strangers from doing so.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
from message_regions import Region, Words, request_regions, response_regions
from recorded_traffic import RecordingTransport
from server_processes import RunningServer, snapshot
from trained_models import Trained, trained

from strongroom import Client, KeyStore, Package, Policy, StrongroomError, protections
from strongroom.client import v2
from strongroom.protections.fhe.circuit import LinearCircuit

Serve = Callable[..., RunningServer]
Connect = Callable[..., Client]

FORMAT, RANGE, MISMATCH = (f"SR-CIPHERTEXT-{word}" for word in ("FORMAT", "RANGE", "MISMATCH"))
HEADER = "inference-header-content-length"
NAMES_ANOTHER_MODEL = ("binding", "digest", "limbs", "count")


@pytest.fixture(scope="module")
def server(serve: Serve, binary: Trained) -> RunningServer:
    return serve([binary.package], request_bytes=1 << 20)


@dataclass
class Wire:
    """A connection to the server below the client, and one true request for three rows."""

    http: httpx.Client
    model: str
    content: bytes
    circuit: LinearCircuit

    def send(self, content: bytes, **lies: Any) -> httpx.Response:
        """Send a protected request; lengths may be made to lie."""
        tensor = struct.pack("<I", lies.get("element", len(content))) + content
        head = json.dumps(
            {
                "inputs": [
                    {
                        "name": "protected_request",
                        "shape": [1],
                        "datatype": "BYTES",
                        "parameters": {"binary_data_size": lies.get("declared", len(tensor))},
                    }
                ],
                "outputs": [{"name": "protected_response", "parameters": {"binary_data": True}}],
            }
        ).encode()
        return self.http.post(
            f"/v2/models/{self.model}/infer",
            content=head + tensor,
            headers={HEADER: str(lies.get("head", len(head)))},
        )

    def regions(self) -> tuple[list[Region], list[Words]]:
        return request_regions(self.circuit, self.content)


@pytest.fixture(scope="module")
def wire(server: RunningServer, binary: Trained) -> Iterator[Wire]:
    transport = RecordingTransport()
    with Client(
        server.url,
        model="binary",
        trust=binary.package,
        token=server.token,
        transport=transport,
        keys=KeyStore.in_memory(),
    ) as client:
        client.predict(binary.held_out[:3])
    (body,) = transport.bodies
    circuit = LinearCircuit.of(binary.package.manifest.plan)
    content = body[-circuit.sizes.request(3) :]
    bearer = {"authorization": f"Bearer {server.token}"}
    with httpx.Client(base_url=server.url, headers=bearer, timeout=60) as http:
        yield Wire(http, "binary", content, circuit)


@pytest.fixture(autouse=True)
def unharmed(server: RunningServer, wire: Wire) -> Iterator[None]:
    """Whatever a test sends: the same worker answers the true request afterwards, no file has
    come or gone, and the log holds no fault."""
    workers, files = server.worker_pids(), snapshot(server.folder)
    yield
    assert wire.send(wire.content).status_code == 200
    assert server.worker_pids() == workers
    assert snapshot(server.folder) == files
    assert not [line for line in server.log().splitlines() if '"error"' in line]
    assert server.events("worker replaced") == []


def refused(response: httpx.Response, *codes: str) -> None:
    """The answer is one line with one of the codes."""
    found = response.json()
    assert found["code"] in codes, found
    assert found["error"].startswith(f"[{found['code']}] ")
    assert "\n" not in found["error"]
    assert 400 <= response.status_code < 500
    assert len(response.content) < 1000


def flipped(message: bytes, bit: int) -> bytes:
    altered = bytearray(message)
    altered[bit // 8] ^= 1 << bit % 8
    return bytes(altered)


def test_a_flipped_bit_in_each_region_of_a_request(wire: Wire) -> None:
    regions, words = wire.regions()
    for region in regions:
        for bit in (8 * region.start, 8 * region.stop - 1):
            response = wire.send(flipped(wire.content, bit))
            if region.name.endswith(("request id", "seed")):
                assert response.status_code == 200, region.name
            elif region.name.endswith(NAMES_ANOTHER_MODEL):
                refused(response, MISMATCH)
            else:
                refused(response, FORMAT)
    for run in words:
        response = wire.send(flipped(wire.content, 8 * run.start + 1))
        if response.status_code != 200:
            refused(response, RANGE)


def test_a_coefficient_at_its_modulus(wire: Wire) -> None:
    for run in wire.regions()[1]:
        refused(wire.send(run.replaced(wire.content, run.count - 1, run.modulus)), RANGE)


@pytest.mark.parametrize("length", [0, 1, 59, 60, 61, 104, 20_000, -1])
def test_a_request_that_is_cut(wire: Wire, length: int) -> None:
    refused(wire.send(wire.content[:length]), FORMAT)


def test_a_request_that_is_stretched(wire: Wire) -> None:
    refused(wire.send(wire.content + b"\0"), FORMAT)
    refused(wire.send(wire.content * 2), FORMAT)
    refused(wire.send(wire.content + bytes(1 << 20)), "SR-REQUEST-SIZE")


def test_a_body_of_another_length_than_its_header_says(wire: Wire) -> None:
    size = len(wire.content)
    refused(wire.send(wire.content, element=size - 1), "SR-REQUEST-FORMAT")
    refused(wire.send(wire.content, element=size + 1), "SR-REQUEST-FORMAT")
    refused(wire.send(wire.content, element=2**32 - 1), "SR-REQUEST-FORMAT")
    refused(wire.send(wire.content, declared=size), "SR-REQUEST-FORMAT")
    refused(wire.send(wire.content, declared=size + 5), "SR-REQUEST-FORMAT")
    refused(wire.send(wire.content, declared=2**62), "SR-REQUEST-FORMAT")
    refused(wire.send(wire.content, head=10**9), "SR-REQUEST-FORMAT")
    refused(wire.send(wire.content, head=0), "SR-REQUEST-FORMAT")


def test_a_body_that_ends_early_or_is_announced_too_large(
    wire: Wire, server: RunningServer
) -> None:
    head = (
        f"POST /v2/models/binary/infer HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}"
    )
    for announced, sent in ((100_000, 50_000), (1 << 40, 0)):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as raw:
            lines = f"{head}\r\nContent-Length: {announced}\r\n{HEADER}: 300\r\n\r\n"
            raw.sendall(lines.encode() + bytes(sent))
            raw.shutdown(socket.SHUT_WR)
            answer = b""
            while data := raw.recv(65536):
                answer += data
        assert answer == b"" or b"SR-REQUEST-SIZE" in answer


def test_a_request_for_another_plan_is_refused(wire: Wire, binary: Trained) -> None:
    other = trained("margins")
    plan = other.package.manifest.plan
    assert plan.input.columns == binary.package.manifest.plan.input.columns
    side = protections.by_name("fhe").open_client(
        plan, KeyStore.in_memory(), Policy(), package="sha256:0"
    )
    content = side.encrypt(side.encode(other.held_out[:3])).body
    refused(wire.send(content), MISMATCH, FORMAT)
    # Cut to the length that this model expects, it is the binding that gives it away.
    refused(wire.send(content[: len(wire.content)].ljust(len(wire.content), b"\0")), MISMATCH)


def test_a_request_for_a_retrained_model_of_the_same_plan_is_refused(
    wire: Wire, binary: Trained
) -> None:
    manifest = binary.package.manifest
    retrained = Package.create(
        name=manifest.name,
        plan=manifest.plan,
        payload=binary.package.payload,
        parity=manifest.parity,
        version="2",
    )
    body, head = v2.encode_request("1", wire.content, retrained.digest)
    response = wire.http.post("/v2/models/binary/infer", content=body, headers={HEADER: str(head)})
    refused(response, "SR-PACKAGE-DIGEST")


def response_of(body: bytes, circuit: LinearCircuit) -> tuple[bytes, bytes]:
    """What comes before the protected response to three rows, and that."""
    cut = len(body) - circuit.sizes.response(3)
    return body[:cut], body[cut:]


def test_a_flipped_bit_in_each_region_of_a_response(
    server: RunningServer, connect: Connect, wire: Wire, binary: Trained
) -> None:
    rows = binary.held_out[:3]
    transport = RecordingTransport()
    client = connect(server, binary.package, transport=transport)
    plain = client.decision_function(rows)
    _, content = response_of(transport.answers[0], wire.circuit)
    regions, words = response_regions(wire.circuit, content)
    places = [(region.name, 8 * region.stop - 1) for region in regions]
    places += [(run.name, 8 * run.start + 1) for run in words]
    for name, bit in places:

        def damage(body: bytes, bit: int = bit) -> bytes:
            before, true = response_of(body, wire.circuit)
            return before + flipped(true, bit)

        transport.change = damage
        asked = transport.inferences
        if name in {run.name for run in words}:
            code = ""
            try:
                assert np.isfinite(client.decision_function(rows)).all()
            except StrongroomError as error:
                code = error.code
            assert code in ("", RANGE)
        else:
            with pytest.raises(StrongroomError) as caught:
                client.decision_function(rows)
            mismatch = name.endswith((*NAMES_ANOTHER_MODEL, "request id"))
            assert caught.value.code == (MISMATCH if mismatch else FORMAT), name
        assert transport.inferences == asked + 1, "asked again after a damaged answer"
    transport.change = None
    assert np.abs(client.decision_function(rows) - plain).max() <= 2 * binary.score_error


@pytest.mark.parametrize("length", [0, 3, 60, 1000, -1])
def test_a_response_that_is_cut(
    server: RunningServer, connect: Connect, binary: Trained, length: int
) -> None:
    transport = RecordingTransport(change=lambda body: body[:length])
    client = connect(server, binary.package, transport=transport)
    with pytest.raises(StrongroomError) as caught:
        client.predict(binary.held_out[:3])
    assert caught.value.code == "SR-SERVER-PROTOCOL"
    assert transport.inferences == 1


def test_a_response_that_is_longer_than_any_can_be(
    server: RunningServer, connect: Connect, binary: Trained
) -> None:
    transport = RecordingTransport(change=lambda body: body + bytes(64 << 20))
    client = connect(server, binary.package, transport=transport)
    with pytest.raises(StrongroomError, match="exceeds the") as caught:
        client.predict(binary.held_out[:3])
    assert caught.value.code == "SR-SERVER-PROTOCOL"
    assert transport.inferences == 1


def test_the_response_to_an_earlier_request_is_refused_and_not_asked_for_again(
    server: RunningServer, connect: Connect, wire: Wire, binary: Trained
) -> None:
    transport = RecordingTransport()
    client = connect(server, binary.package, transport=transport)
    client.predict(binary.held_out[:3])
    _, stale = response_of(transport.answers[0], wire.circuit)
    # The identifier in the JSON around it is the new request's: only what is inside is old.
    transport.change = lambda body: response_of(body, wire.circuit)[0] + stale
    with pytest.raises(StrongroomError, match="answers another request") as caught:
        client.predict(binary.held_out[:3])
    assert caught.value.code == MISMATCH
    assert transport.inferences == 2
    # Replayed whole, the identifier in the JSON gives it away.
    whole = transport.answers[0]
    transport.change = lambda body: whole
    with pytest.raises(StrongroomError) as caught:
        client.predict(binary.held_out[:3])
    assert caught.value.code == "SR-SERVER-PROTOCOL"
    assert transport.inferences == 3
