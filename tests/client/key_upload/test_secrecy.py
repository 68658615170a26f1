"""The secret key stays with the client while its keys are sent and used."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from key_fakes import PARAMETERS
from key_servers import ask

from strongroom.engine import catalogued
from strongroom.keys.store import KeyStore


def test_the_secret_key_never_reaches_the_server(serve: Any, connect: Any) -> None:
    server = serve()
    sent = bytearray()

    class Recording(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            sent.extend(request.read())
            return super().handle_request(request)

    keys = KeyStore.open()
    with connect(server, transport=Recording(), keys=keys) as client:
        ask(client)
        needles = secret_needles(keys)
        places = {"sent": bytes(sent)}
        for path in server.folder.rglob("*"):
            if path.is_file():
                places[path.name] = path.read_bytes()
        looked_at = 0
        for pid in server.pids():
            for number, chunk in enumerate(memory(pid)):
                looked_at += len(chunk)
                places[f"memory of {pid}, {number}"] = chunk
        assert looked_at > 40 << 20, "the search is blind"
        identifier = client._side.key_set.identifier.hex().encode()
        assert any(identifier in content for content in places.values()), "the search is blind"
        for name, content in places.items():
            for needle in needles:
                assert needle not in content, name


def secret_needles(keys: KeyStore) -> list[bytes]:
    """Parts of the secret key: as it is stored, as signed bytes, and modulo each prime."""
    stored = keys.secret(PARAMETERS)
    assert stored is not None
    packed = np.frombuffer(stored[32:], np.uint8)
    digits = np.stack([packed >> shift & 3 for shift in (0, 2, 4, 6)], axis=1).ravel()
    ternary = np.where(digits == 2, -1, digits.astype(np.int64))
    found = []
    parameters = catalogued(PARAMETERS)
    for start in range(0, parameters.ring_degree - 128, 2000):
        part = ternary[start : start + 128]
        found.append(packed[start // 4 : start // 4 + 32].tobytes())
        found.append(part.astype(np.int8).tobytes().strip(b"\0"))
        for prime in parameters.primes + parameters.special_primes:
            found.append((part % prime).astype(np.uint64).tobytes().strip(b"\0"))
    return found


def memory(pid: int) -> Iterator[bytes]:
    """What a process has written or mapped from key files."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as image:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            if not re.match(r"\S+ rw", line) and ".key" not in line:
                continue
            start, stop = (int(end, 16) for end in line.split()[0].split("-"))
            for offset in range(start, stop, 8 << 20):
                try:
                    chunk = os.pread(image.fileno(), min((8 << 20) + 4096, stop - offset), offset)
                except OSError:
                    continue
                if chunk.count(0) != len(chunk):
                    yield chunk
