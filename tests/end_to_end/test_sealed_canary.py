"""Canaries in the weights and inputs of sealed models. They are where they have to be, in the
owner's files, the asker and the memory of the worker, and nowhere else: not in a package, a file
that came and went, a log, an error, the traffic, or the memory of the server's other processes."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import psutil
import pytest
import skops.io
from canaries import Needle, files, found_in, found_in_memory
from folder_watch import FolderWatch
from model_owner import OWNER
from numpy.typing import NDArray
from recorded_traffic import RecordingProxy
from sealed_parties import COLUMNS, WORDS, Party, Vendor, needles_of
from server_processes import START_SECONDS, eventually

import strongroom
from strongroom import Client, StrongroomError
from strongroom.keys.identity import Identity
from strongroom.server.tokens import create_token

NAMES = ("rows", "tensors")
WEIGHTS = {"rows": "weights of rows", "tensors": "matrix of tensors"}
ROWS = 400
LEAST_MEMORY = 20 << 20  # of a process: a search that saw less did not look


@dataclass
class World:
    """A vendor, who protected two models by the command line, and a host that serves them so.

    Attributes:
        secret: what only the vendor and the host's worker may read.
        protecting: what the vendor's commands printed.
        appeared: what appeared while they ran in folders that are not for keeping.
        at_host: watches these folders of the host, from before the server starts.
    """

    vendor: Vendor
    host: Party
    secret: list[Needle]
    protecting: str
    appeared: set[Path]
    process: subprocess.Popen[str]
    url: str
    token: str
    at_host: FolderWatch

    @property
    def packages(self) -> list[Path]:
        return [self.vendor.work / f"{name}.strongroom" for name in NAMES]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def processes(self) -> dict[str, int]:
        """Process ids of the server, by what they do."""
        found = {"front": self.process.pid}
        for child in psutil.Process(self.process.pid).children(recursive=True):
            for part in ("keeper", "worker"):
                if f"strongroom.server.{part}" in " ".join(child.cmdline()):
                    found[part] = child.pid
        assert len(found) == 3, found
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("sealed-canary")
    vendor = Vendor.founded(folder / "vendor")
    host = Party.founded(folder / "host", Identity.generate("default"))
    secret = vendor.write_models()
    common = ("--protection", "sealed", "--recipient", host.public)
    sample = ("--sample", vendor.models / "sample.csv")
    with vendor.watched() as watch:
        said = vendor.command(
            "protect", vendor.models / "rows.skops", *sample, *common, "-o", "rows.strongroom"
        )
        said += vendor.command(
            "protect", vendor.models / "tensors.onnx", *common, "-o", "tensors.strongroom"
        )
        appeared = watch.seen()
    token = create_token(host.folder / "tokens.json", "asker")
    with (
        (host.folder / "server.log").open("w") as log,
        host.watched() as at_host,
        subprocess.Popen(
            [
                *(sys.executable, "-m", "strongroom.cli", "serve", "--port", "0", "--workers", "1"),
                *("--tokens", str(host.folder / "tokens.json")),
                *(str(vendor.work / f"{name}.strongroom") for name in NAMES),
            ],
            cwd=host.work,
            env=host.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        lines: queue.Queue[str] = queue.Queue()
        assert process.stdout is not None
        read = process.stdout.readline
        threading.Thread(target=lambda: lines.put(read()), daemon=True).start()
        try:
            url = lines.get(timeout=START_SECONDS).split()[-1:]
            assert url, (host.folder / "server.log").read_text()
            yield World(vendor, host, secret, said, appeared, process, url[0], token, at_host)
        finally:
            process.terminate()


@pytest.fixture
def asker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Party:
    """The test itself asks, from folders of its own."""
    asker = Party.founded(tmp_path / "asker", None)
    monkeypatch.setenv("STRONGROOM_HOME", str(asker.home))
    monkeypatch.setenv("TMPDIR", str(asker.temporary))
    monkeypatch.setattr("tempfile.tempdir", str(asker.temporary))
    monkeypatch.chdir(asker.work)
    return asker


def ask(world: World, proxy: RecordingProxy, model: str) -> Client:
    return Client(proxy.url, model=model, trust=OWNER.fingerprint, token=world.token, receipts=True)


def searched(world: World, part: str, needles: list[Needle]) -> set[str]:
    """Which forms are in the memory of a process. What is known to be in all must be found."""
    digest = strongroom.read(world.packages[0]).digest
    pid = world.processes()[part]
    found, looked_at = found_in_memory([pid], [Needle("known", digest.encode()), *needles])
    forms = {form for form, _ in found}
    assert looked_at > LEAST_MEMORY
    assert "known" in forms, f"the search is blind for the {part}"
    return forms - {"known"}


def seen_in(world: World, part: str, needles: list[Needle]) -> bool:
    """Whether any form is in the memory of a process."""
    return bool(searched(world, part, needles))


# The owner.


def test_protecting_leaves_no_weight_and_no_sample_row(world: World) -> None:
    vendor = world.vendor
    at_work = [*files(vendor.home), *files(vendor.temporary), *files(vendor.work)]
    assert {Path(place).name for place, _ in at_work} >= {"file rows.strongroom"}
    assert found_in(world.secret, *at_work, ("printed", world.protecting.encode())) == set()
    # What appears is a package, under the name that it has while it is written.
    assert {path.parent for path in world.appeared} == {vendor.work}
    assert {path.suffix for path in world.appeared} == {".partial", ".strongroom"}
    # The search finds them where they have to be.
    found = {form for form, _ in found_in(world.secret, *files(vendor.models))}
    for what in ("weights of rows", "bias of rows", "matrix of tensors", "words of tensors"):
        assert any(form.startswith(f"{what}: float") for form in found)
    assert "sample: float64" not in found
    assert any(form.startswith("sample: decimal") for form in found)


OPEN = """
import sys
import strongroom
for path in sys.argv[1:3]:
    parts = [bytes(part) for part in strongroom.load(path).payload.values()]
    assert any(bytes.fromhex(weights) in part for part in parts for weights in sys.argv[3:])
"""


def test_opening_a_package_leaves_nothing(world: World) -> None:
    weights = [needle.pattern.hex() for needle in world.secret]
    with world.vendor.watched() as watch:
        assert world.vendor.python("-c", OPEN, *world.packages, *weights) == ""
        assert watch.seen() == set()


CATBOOST = """
import catboost, numpy, strongroom
random = numpy.random.default_rng(0)
rows = random.normal(size=(64, 3))
model = catboost.CatBoostRegressor(
    iterations=3, depth=2, verbose=False, allow_writing_files=False, thread_count=1
)
model.fit(rows, rows[:, 0])
strongroom.protect(model, sample=rows, protection="sealed", name="trees")
"""


def test_a_model_of_catboost_is_protected_without_a_temporary_file(world: World) -> None:
    with world.vendor.watched() as watch:
        world.vendor.python("-c", CATBOOST)
        assert watch.seen() == set()


# The server.


@dataclass(frozen=True)
class Asked:
    """What is asked of both models, and what they have to give."""

    rows: NDArray[np.float64]
    scores: NDArray[np.float64]
    tensors: dict[str, NDArray[Any]]
    made: NDArray[np.float32]

    @classmethod
    def of(cls, vendor: Vendor) -> Asked:
        random = np.random.default_rng()
        rows = random.normal(size=(ROWS, COLUMNS))
        network = skops.io.load(
            vendor.models / "rows.skops",
            trusted=skops.io.get_untrusted_types(file=vendor.models / "rows.skops"),
        )
        tensors = {
            "table": random.normal(size=(ROWS, COLUMNS)).astype(np.float32),
            "word": random.integers(0, WORDS, ROWS),
        }
        session = onnxruntime.InferenceSession(str(vendor.models / "tensors.onnx"))
        return cls(rows, network.predict(rows), tensors, session.run(None, tensors)[0])

    def needles(self) -> list[Needle]:
        return [
            *needles_of("input rows", self.rows[ROWS // 2]),
            *needles_of("scores", self.scores[ROWS // 2 :]),
            *needles_of("input tensors", self.tensors["table"][ROWS // 2]),
            *needles_of("made tensors", self.made[ROWS // 2]),
        ]


@pytest.mark.parametrize("model", NAMES)
def test_weights_inputs_and_answers_are_in_the_memory_of_the_worker_alone(
    world: World, asker: Party, model: str
) -> None:
    asked = Asked.of(world.vendor)
    needles = [one for one in (*world.secret, *asked.needles()) if f" {model}:" in one.form]
    stop = threading.Event()

    def keep_asking() -> None:
        with ask(world, proxy, model) as client:
            while not stop.is_set():
                if model == "rows":
                    made, expected = client.predict(asked.rows), asked.scores
                else:
                    made, expected = client.infer(asked.tensors)["made"], asked.made
                np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-4)
                assert client.receipts

    with (
        RecordingProxy(world.port) as proxy,
        asker.watched() as at_asker,
        ThreadPoolExecutor(1) as pool,
    ):
        asking = pool.submit(keep_asking)
        try:
            eventually(lambda: asking.done() or len(proxy.received) > 100_000, "answers")
            front, keeper = (searched(world, part, needles) for part in ("front", "keeper"))
            for what in (WEIGHTS[model], f"input {model}"):
                sought = [one for one in needles if one.form.startswith(f"{what}: float")]
                in_worker = partial(seen_in, world, "worker", sought)
                # It is there while an answer is computed: a search has to meet that moment.
                eventually(in_worker, f"{what} in the worker", 100.0)
        finally:
            stop.set()
            asking.result(60)
        assert at_asker.seen() == set()
        traffic = ("sent", bytes(proxy.sent)), ("received", bytes(proxy.received))
    assert front == keeper == set()
    assert found_in(needles, *traffic) == set()
    assert found_in(needles, *files(world.host.folder), *files(asker.folder)) == set()


def test_the_server_writes_to_no_file_but_the_log(world: World, asker: Party) -> None:
    log = world.host.folder / "server.log"
    with RecordingProxy(world.port) as proxy:
        for model in NAMES:
            ask(world, proxy, model).close()
    assert world.at_host.seen() == {log}
    open_files = [
        (one.mode, one.path)
        for pid in world.processes().values()
        for one in psutil.Process(pid).open_files()
    ]
    assert {path for mode, path in open_files if mode != "r"} == {str(log)}


def test_what_onnx_runtime_says_of_inputs_goes_no_further(world: World, asker: Party) -> None:
    asked = Asked.of(world.vendor)
    canary = int(np.random.default_rng().integers(2**61, 2**62))
    tensors = {**asked.tensors, "word": np.full(ROWS, canary)}
    session = onnxruntime.InferenceSession(str(world.vendor.models / "tensors.onnx"))
    needles = [
        *world.secret,
        *asked.needles(),
        Needle("word: int64", tensors["word"].tobytes()[:8]),
        Needle("word: decimal", str(canary).encode()),
    ]
    with pytest.raises(Exception, match=str(canary)):  # a plain server would tell
        session.run(None, tensors)
    with RecordingProxy(world.port) as proxy, ask(world, proxy, "tensors") as client:
        with pytest.raises(StrongroomError) as caught:
            client.infer(tensors)
        traffic = ("sent", bytes(proxy.sent)), ("received", bytes(proxy.received))
    assert caught.value.code == "SR-MODEL-VALUES"
    said = "error", f"{caught.value!r} {caught.value} {caught.value.__cause__!r}".encode()
    everywhere = (*traffic, said, *files(world.host.folder), *files(asker.folder))
    assert found_in(needles, *everywhere) == set()
    words = needles[-2:]
    assert searched(world, "front", words) == searched(world, "keeper", words) == set()


# The search.


def test_the_watch_sees_a_file_that_came_and_went(world: World) -> None:
    with world.vendor.watched() as watch:
        world.vendor.python("-c", "import tempfile; tempfile.NamedTemporaryFile().close()")
        gone = watch.seen()
    assert {path.parent for path in gone} == {world.vendor.temporary}
    assert not any(path.exists() for path in gone)


@dataclass(frozen=True)
class CarelessSide:
    """A client's side that sends what it should have sealed."""

    rows_per_request: int = 24

    def check(self, rows: NDArray[np.float64]) -> None:
        pass

    def encode(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return rows

    def encrypt(self, rows: NDArray[np.float64]) -> CarelessSide.Pending:
        narrow = rows.astype(np.float32)
        parts = [rows.tobytes(), rows.astype(">f8").tobytes(), narrow.tobytes()]
        parts += [narrow.astype(">f4").tobytes(), json.dumps(rows.tolist()).encode()]
        return self.Pending(b"".join(parts))

    @dataclass(frozen=True)
    class Pending:
        body: bytes


def test_the_search_finds_what_a_client_sends_that_does_not_seal(
    world: World, asker: Party
) -> None:
    rows = np.random.default_rng().normal(size=(24, COLUMNS))
    needles = needles_of("input", rows[3])
    with RecordingProxy(world.port) as proxy, ask(world, proxy, "rows") as client:
        side: Any = CarelessSide()
        client._side = client._asker._side = side  # type: ignore[union-attr]
        with pytest.raises(StrongroomError) as caught:
            client.predict(rows)
        sent = bytes(proxy.sent)
    assert caught.value.code == "SR-SEALED-FORMAT"
    every = {needle.form for needle in needles}
    assert {form for form, _ in found_in(needles, ("sent", sent))} == every
    assert searched(world, "front", needles) == every
    # Refused, they are in no file.
    assert found_in(needles, *files(world.host.folder), *files(asker.folder)) == set()
