"""Key sets from a real client to a real server, with either of them killed on the way."""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from key_fakes import PARAMETERS, RotatingProtection, needs, plain

from strongroom import protections
from strongroom.client.client import Client
from strongroom.client.key_spool import KeySpool
from strongroom.engine import (
    catalogued,
    public_key_bytes,
    switching_key_bytes,
)
from strongroom.errors import ServerError
from strongroom.keys.key_sets import ClientKeySet
from strongroom.keys.store import KeyStore
from strongroom.package.file import Package
from strongroom.server.tokens import create_token

ROWS = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
CHUNK_BYTES = 60_000
HERE = Path(__file__).parent
PASSPHRASE = "of the tests"


def total_bytes(model: str = "m") -> int:
    """What a set for a model takes on the wire."""
    parameters, needed = catalogued(PARAMETERS), needs(model)
    keys = sum(switching_key_bytes(parameters, need.limbs) for need in needed.keys)
    return keys + public_key_bytes(parameters, needed.public_limbs)


class KeyServer:
    """A server process that may be killed and started again on its port."""

    def __init__(self, folder: Path, packages: list[str], **fields: Any) -> None:
        self.folder = folder
        self.token = create_token(folder / "tokens.json", "clinic")
        self._config = {
            "packages": packages,
            "tokens": str(folder / "tokens.json"),
            "port": 0,
            "workers": 1,
            "loader": "key_fakes:open_model",
            "key_chunk_bytes": CHUNK_BYTES,
        } | fields
        self.url = ""
        self.start()

    def start(self) -> None:
        config = self.folder / "config.json"
        config.write_text(json.dumps(self._config))
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "strongroom.server", str(config)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | {"PYTHONPATH": f"{HERE.parents[1] / 'src'}:{HERE}"},
            )
        lines: queue.Queue[str] = queue.Queue()
        assert self.process.stdout is not None
        read = self.process.stdout.readline
        threading.Thread(target=lambda: lines.put(read()), daemon=True).start()
        line = lines.get(timeout=30)
        assert line.startswith("strongroom serving on "), self.log()
        self.url = line.split()[-1]
        self._config["port"] = httpx.URL(self.url).port

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    def confirmed_bytes(self) -> int:
        """Of all chunks that were taken."""
        chunks = [
            line for line in map(json.loads, self.log().splitlines()) if line["event"] == "chunk"
        ]
        return sum(line["request_bytes"] for line in chunks if line["status"] == 200)

    def pids(self) -> list[int]:
        front = self.process.pid
        children = Path(f"/proc/{front}/task/{front}/children").read_text().split()
        return [front, *map(int, children)]


@pytest.fixture
def pauses() -> None:
    """Real pauses here."""


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRONGROOM_PASSPHRASE", PASSPHRASE)
    monkeypatch.setattr(protections, "by_name", lambda name: RotatingProtection("m"))


@pytest.fixture
def packages(package: Package, tmp_path: Path) -> dict[str, Package]:
    """Packages m and grown, saved."""
    named = {}
    for name in ("m", "grown"):
        plan = msgspec.structs.replace(
            package.manifest.plan,
            costs=msgspec.structs.replace(package.manifest.plan.costs, full_response_bytes=1 << 20),
        )
        named[name] = Package.create(
            name=name, plan=plan, payload=b"", parity=package.manifest.parity
        )
        named[name].save(tmp_path / f"{name}.strongroom")
    return named


@pytest.fixture
def serve(packages: dict[str, Package], tmp_path: Path) -> Iterator[Callable[..., KeyServer]]:
    running: list[KeyServer] = []

    def run(**fields: Any) -> KeyServer:
        folder = tmp_path / f"server-{len(running)}"
        folder.mkdir()
        paths = [str(tmp_path / f"{name}.strongroom") for name in packages]
        running.append(KeyServer(folder, paths, **fields))
        return running[-1]

    yield run
    for server in running:
        server.kill()


@pytest.fixture
def connect(packages: dict[str, Package], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Client]:
    def run(server: KeyServer, model: str = "m", **options: Any) -> Client:
        monkeypatch.setattr(protections, "by_name", lambda name: RotatingProtection(model))
        settings = {"token": server.token, "keys": options.pop("keys", None) or KeyStore.open()}
        return Client(server.url, model=model, trust=packages[model].digest, **(settings | options))

    return run


def ask(client: Client, model: str = "m") -> None:
    np.testing.assert_allclose(client.decision_function(ROWS), plain(model, ROWS), atol=1e-3)


def test_a_set_is_sent_once_and_grows_by_what_another_model_needs(serve: Any, connect: Any) -> None:
    server = serve()
    with connect(server) as client:
        assert client.key_bytes_sent == total_bytes("m")
        ask(client)
    with connect(server) as client:
        ask(client)
        assert client.key_bytes_sent == 0
    with connect(server, "grown") as client:
        assert client.key_bytes_sent == total_bytes("grown") - total_bytes("m")
        ask(client, "grown")
    server.kill()
    server.start()
    for model in ("m", "grown"):
        with connect(server, model) as client:
            ask(client, model)
            assert client.key_bytes_sent == 0
    assert list((Path(os.environ["STRONGROOM_HOME"]) / "sending").iterdir()) == []


class Murderous(httpx.HTTPTransport):
    """Kills the server before, during or after some of the chunks, and starts it again."""

    def __init__(self, server: KeyServer, every: int) -> None:
        super().__init__()
        self._server = server
        self._every = every
        self._chunks = 0
        self.kills: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "PUT":
            return super().handle_request(request)
        self._chunks += 1
        if self._chunks % self._every:
            return super().handle_request(request)
        moment = ("before", "during", "after")[len(self.kills) % 3]
        self.kills.append(moment)
        if moment == "before":
            self._restart()
        elif moment == "during":
            threading.Timer(0.003, self._server.process.kill).start()
        try:
            response = super().handle_request(request)
            response.read()
        except httpx.TransportError:
            self._restart()
            raise
        if moment != "before":
            self._restart()
            raise httpx.ReadError("the answer was lost")
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            stream=httpx.ByteStream(response.content),
        )

    def _restart(self) -> None:
        self._server.kill()
        self._server.start()


def test_sigkill_of_the_server_anywhere_in_an_upload_loses_nothing(
    serve: Any, connect: Any
) -> None:
    server = serve()
    murderous = Murderous(server, every=3)
    with connect(server, transport=murderous) as client:
        assert len(murderous.kills) >= 4
        assert set(murderous.kills) == {"before", "during", "after"}
        # What was confirmed is not sent again: only chunks whose answer was lost.
        most = total_bytes() + len(murderous.kills) * CHUNK_BYTES
        assert client.key_bytes_sent <= total_bytes()
        assert server.confirmed_bytes() <= most
        ask(client)
    with connect(server) as client:
        ask(client)
        assert client.key_bytes_sent == 0


def test_sigkill_of_the_client_anywhere_in_an_upload_loses_nothing(
    serve: Any, packages: dict[str, Package]
) -> None:
    server = serve()
    command = [sys.executable, str(HERE / "uploading_client.py"), server.url, server.token]
    command += [packages["m"].digest, "0.05"]
    environment = os.environ | {"PYTHONPATH": f"{HERE.parents[1] / 'src'}:{HERE}"}
    kills = 0
    for share in (0.05, 0.3, 0.5, 0.7, 0.95):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        while server.confirmed_bytes() < share * total_bytes() and process.poll() is None:
            time.sleep(0.01)
        if process.poll() is None:
            process.kill()
            kills += 1
        process.communicate()
    assert kills >= 4
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert int(done.stdout) < total_bytes() / 2
    # A chunk that was under way at a kill may have come twice, and nothing else.
    assert server.confirmed_bytes() <= total_bytes() + kills * CHUNK_BYTES


def test_processes_that_send_one_set_at_the_same_time_all_succeed(
    serve: Any, packages: dict[str, Package], connect: Any
) -> None:
    server = serve()
    with connect(server):
        pass  # makes the secret that all share
    with connect(server) as client:
        client.delete_keys()
    command = [sys.executable, str(HERE / "uploading_client.py"), server.url, server.token]
    command += [packages["m"].digest, "0"]
    environment = os.environ | {"PYTHONPATH": f"{HERE.parents[1] / 'src'}:{HERE}"}
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    for process in processes:
        process.communicate()


def test_keys_that_were_evicted_are_sent_again_by_themselves(serve: Any, connect: Any) -> None:
    server = serve()
    with connect(server) as client, connect(server) as other:
        ask(client)
        other.delete_keys()
        ask(client)
        assert client.key_bytes_sent == 2 * total_bytes()
        ask(client)
        assert client.key_bytes_sent == 2 * total_bytes()


def test_a_server_that_always_misses_keys_is_asked_twice_and_no_more(
    serve: Any, connect: Any
) -> None:
    server = serve()
    asked: list[str] = []

    class Liar(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if not request.url.path.endswith("/infer"):
                return super().handle_request(request)
            asked.append(request.read().hex())
            body = json.dumps({"error": "[SR-KEYS-MISSING] lacks all.", "code": "SR-KEYS-MISSING"})
            return httpx.Response(424, stream=httpx.ByteStream(body.encode()))

    with connect(server, transport=Liar()) as client:
        with pytest.raises(ServerError) as caught:
            client.predict(ROWS)
        assert caught.value.code == "SR-KEYS-MISSING"
        assert client.key_bytes_sent == total_bytes()
    assert len(asked) == 2
    assert asked[0][-100_000:] == asked[1][-100_000:], "the same ciphertext"


def test_only_keys_that_the_model_needs_are_made_whatever_a_server_asks_for(
    serve: Any, connect: Any
) -> None:
    server = serve()
    wanted: list[Any] = []

    class Greedy(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response = super().handle_request(request)
            if not request.url.path.endswith("/missing"):
                return response
            found = json.loads(response.read())
            found["keys"] += [[element, 4] for element in range(3, 99, 2)] + [[0, 4]]
            found["chunk_bytes"] = 2**50
            wanted.append(found)
            return httpx.Response(200, stream=httpx.ByteStream(json.dumps(found).encode()))

    with pytest.raises(ServerError) as caught:
        connect(server, transport=Greedy())
    assert caught.value.code == "SR-REQUEST-SIZE", "chunks are bounded here, too"
    server = serve(key_chunk_bytes=4 << 20)
    with connect(server, transport=Greedy()) as client:
        assert client.key_bytes_sent == total_bytes()


def test_a_refusal_for_lack_of_room_reaches_the_caller(serve: Any, connect: Any) -> None:
    server = serve(key_bytes_per_tenant=500_000)
    with pytest.raises(ServerError) as caught:
        connect(server)
    assert (caught.value.code, caught.value.http_status) == ("SR-KEYS-QUOTA", 413)
    server = serve(key_bytes_total=500_000)
    with pytest.raises(ServerError) as caught:
        connect(server)
    assert (caught.value.code, caught.value.http_status) == ("SR-KEYS-SPACE", 507)


def test_never_more_than_one_key_is_held(
    serve: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    events: list[str] = []
    make = ClientKeySet.evaluation_key

    def evaluation_key(self: ClientKeySet, need: Any) -> bytes:
        events.append("make")
        return make(self, need)

    drop = KeySpool.drop

    def dropped(self: KeySpool, name: str) -> None:
        events.append("sent")
        drop(self, name)

    monkeypatch.setattr(ClientKeySet, "evaluation_key", evaluation_key)
    monkeypatch.setattr(KeySpool, "drop", dropped)
    with connect(server):
        assert events == ["sent", "make", "sent", "make", "sent"]


def test_a_spooled_key_is_read_back_only_whole(tmp_path: Path) -> None:
    spool = KeySpool(tmp_path)
    assert spool.read("a", 3) is None
    assert spool.keep("a", b"key") == b"key"
    assert spool.keep("a", b"yek") == b"key", "the first one counts"
    assert spool.read("a", 3) == b"key"
    (tmp_path / "sending" / "a").write_bytes(bytes(32) + b"key")
    assert spool.read("a", 3) is None
    assert spool.keep("a", b"new") == b"new"
    spool.drop("a")
    assert spool.read("a", 3) is None
    assert KeySpool(None).keep("a", b"key") == b"key"
    assert KeySpool(None).read("a", 3) is None


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
