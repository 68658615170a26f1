"""Members of a committee as processes, and everybody around them."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
import pytest
from model_owner import PASSPHRASE, write_identity
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skops import io as skops_io

from strongroom import protections
from strongroom.canonical import digest
from strongroom.cli import app
from strongroom.engine import KeyCache
from strongroom.engine.threshold import KeyPart
from strongroom.errors import CommitteeError
from strongroom.keys.committee.folder import CommitteeKeys
from strongroom.keys.committee.holder import CommitteeHolder
from strongroom.keys.committee.parts import MemberStore
from strongroom.keys.identity import Identity
from strongroom.keys.one_time_keys import OneTimeKey
from strongroom.keys.query import Query, SignedQuery, milliseconds
from strongroom.package.build import protect
from strongroom.package.protected import Package
from strongroom.policy import Policy
from strongroom.protections.interface import KeyNeeds, OpenKeySet
from strongroom.server.gathering import Gathering

SOURCES = Path(__file__).parents[2] / "src"
DEVIATING = Path(__file__).parent / "deviating_member.py"
ACCESS = "vendor AND 1-of-2(hospital, auditor)"
NAMES = ("vendor", "hospital", "auditor")
HIDE = Policy(hide="model", minimum_agreement=0.99)
Answer = TypeVar("Answer")


@dataclass
class MemberProcess:
    """One member, that a test stops and starts."""

    name: str
    folder: Path
    identity: Identity
    port: int = 0
    process: subprocess.Popen[str] | None = None
    ready: dict[str, Any] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def start(self, way: str | None = None, *options: str) -> None:
        """Start it; with other software if a way to deviate is named."""
        program = ("-m", "strongroom.cli") if way is None else (str(DEVIATING), way)
        environment = os.environ | {
            "PYTHONPATH": str(SOURCES),
            "STRONGROOM_HOME": str(self.home),
            "STRONGROOM_PASSPHRASE": PASSPHRASE,
        }
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, *program, "member", "serve"),
                    *("--identity", self.name, "--policy", str(self.folder / "policy.json")),
                    *("--packages", str(self.folder / "packages"), "--port", str(self.port)),
                    *("--json", *options),
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
            )
        lines: queue.Queue[str] = queue.Queue()
        out = self.process.stdout
        assert out is not None
        threading.Thread(target=lambda: lines.put(out.readline()), daemon=True).start()
        line = lines.get(timeout=60)
        assert line, self.log()
        self.ready = json.loads(line)
        self.port = httpx.URL(self.ready["url"]).port or 0

    def damage_parts(self) -> None:
        """Put other parts in the place of its parts."""
        store = MemberStore(self.home, passphrase=PASSPHRASE)
        (committee,) = store.committees()
        parts = {
            number: KeyPart.generate(committee.parameters)
            for number in store.open(committee, self.name).parts
        }
        checks = store.checks(committee)
        (sealed,) = (self.home / "parts").iterdir()
        sealed.rename(self.folder / sealed.name)
        store.keep_parts(committee.digest, committee.state, self.name, parts, checks)

    def restore_parts(self) -> None:
        """Put the parts back that were damaged."""
        (sealed,) = self.folder.glob("*.key")
        sealed.rename(self.home / "parts" / sealed.name)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(20)
        if self.process.stdout:
            self.process.stdout.close()
        self.process = None
        return status

    def end(self) -> None:
        """Kill it, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            if self.process.stdout:
                self.process.stdout.close()

    def log(self) -> str:
        return (self.folder / "log").read_text()


class World:
    """An owner, three members, a server, a client, and a model under the members' key."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.patch = patch
        self.owner, self.server, self.client = (
            Identity.generate(name) for name in ("owner", "cloud", "ward")
        )
        self.members = {}
        for name in NAMES:
            one = MemberProcess(name, folder / name, Identity.generate(name))
            (one.folder / "packages").mkdir(parents=True)
            write_identity(one.home, one.identity)
            self.members[name] = one
        write_identity(folder / "home", self.owner)
        for identity in (self.owner, self.server, self.client):
            self.public_file(identity)
        for one in self.members.values():
            self.public_file(one.identity)
        data = load_breast_cancer()
        self.rows: NDArray[np.float64] = data.data
        self.model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        self.model.fit(data.data, data.target)
        skops_io.dump(self.model, folder / "model.skops")
        np.savetxt(folder / "rows.csv", self.rows, delimiter=",")
        self.counter = 0
        self.moved: dict[str, str] = {}
        self.package: Package

    def public_file(self, identity: Identity) -> Path:
        path = self.folder / f"{identity.public.name}.pub"
        path.write_text(identity.public.to_text() + "\n")
        return path

    def run(self, *words: str) -> None:
        self.patch.setenv("STRONGROOM_HOME", str(self.folder / "home"))
        self.patch.setenv("STRONGROOM_PASSPHRASE", PASSPHRASE)
        status = app.run(list(words))
        assert status == 0, words

    def policies(self) -> None:
        for one in self.members.values():
            policy = ("--policy", str(one.folder / "policy.json"))
            self.run("member", "init", *policy, "--until", "30d", "--audit-rate", "1.0")
            self.run(
                *("member", "join", *policy, "--access", ACCESS),
                *("--coordinator", str(self.folder / "owner.pub"), "--share-budget", "3000"),
                *(w for n in NAMES for w in ("--member", f"{n}={self.folder / n}.pub")),
            )
            self.run("member", "server", str(self.folder / "cloud.pub"), *policy)
            self.run("member", "enrol", str(self.folder / "ward.pub"), *policy)

    def make_key(self) -> None:
        seats = [f"{n}={self.folder / n}.pub@{m.ready['url']}" for n, m in self.members.items()]
        self.run(
            *("committee", "create", str(self.folder / "model.skops"), "--no-header"),
            *("--sample", str(self.folder / "rows.csv"), "--access", ACCESS),
            *("--output", str(self.folder / "committee"), "--share-budget", "3000"),
            *("--identity", "owner"),
            *(word for seat in seats for word in ("--member", seat)),
        )

    def protect(self) -> None:
        self.package = protect(
            self.model,
            sample=self.rows,
            policy=HIDE,
            holder=CommitteeHolder(self.folder / "committee"),
            name="diagnosis",
            owner=self.owner,
        )
        path = self.folder / "diagnosis.strongroom"
        self.package.save(
            path,
            owner=self.owner,
            recipients=[
                self.server.public,
                *(one.identity.public for one in self.members.values()),
            ],
            purpose="serve",
        )
        for one in self.members.values():
            shutil.copy(path, one.folder / "packages")
            self.run("member", "allow", str(path), "--policy", str(one.folder / "policy.json"))

    def open(self) -> None:
        fhe = protections.by_name("fhe")
        self.keys = CommitteeKeys(self.folder / "committee", KeyCache(1 << 30))
        plan, name = self.package.manifest.plan, self.package.digest
        self.side = fhe.open_shared_client(plan, self.keys.public_key, HIDE, package=name)
        self.answering = fhe.open_server(plan, self.package.payload, package=name)
        self.results = fhe.shared_results(plan, package=name)

    def open_keys(self, key_set: bytes, needs: KeyNeeds) -> OpenKeySet:
        return self.keys.open(needs)

    def query(
        self, rows: NDArray[np.float64], active: tuple[str, ...], spoil: bool = False
    ) -> NDArray[np.float64]:
        """One exchange, as client and server would have it."""
        pending = self.side.encrypt(self.side.encode(rows))
        sets = type("Sets", (), {"open": lambda _, key_set, needs: self.open_keys(key_set, needs)})
        answered = pending if not spoil else self.side.encrypt(self.side.encode(rows[::-1]))
        partial = self.answering.answer(answered.body, keys=sets(), threads=1)
        if spoil:  # another row's results in the frame of this one's
            partial = pending.body[:4].replace(b"SRRQ", b"SRRS") + pending.body[4:60] + partial[60:]
        self.counter += 1
        key, committee = OneTimeKey(), self.keys.committee
        query = SignedQuery.by(
            self.client,
            Query(
                committee=committee.digest,
                package=self.package.digest,
                client=self.client.fingerprint,
                input=digest(pending.body),
                blocks=pending.results,
                target=key.public,
                counter=self.counter,
                active=active,
                issued=milliseconds(datetime.now(UTC)),
            ),
        )

        async def gathered() -> Any:
            gathering = Gathering(
                self.server,
                committee.digest,
                committee.identities,
                dict(committee.urls) | self.moved,
                timeout_seconds=20,
            )
            try:
                return await gathering.gather(query, pending.body, partial)
            finally:
                await gathering.close()

        shares = asyncio.run(gathered())
        shapes = self.side.share_shapes(pending)
        words = [share.open(key, shapes) for share in shares]
        opened: NDArray[np.float64] = self.side.open(pending, self.results.shown(partial), words)
        return opened

    def patiently(self, *args: Any) -> NDArray[np.float64]:
        """A query while members still find each other after a start."""
        return self.wait_for_members(lambda: self.query(*args))

    def wait_for_members(self, ask: Callable[[], Answer]) -> Answer:
        """What comes of asking, once members have found each other after a start."""
        for _ in range(100):
            try:
                return ask()
            except CommitteeError as error:
                if "not heard of" not in error.message:
                    raise
            threading.Event().wait(0.1)
        raise AssertionError("the members do not find each other")


@contextmanager
def running_world(folder: Path) -> Iterator[World]:
    """Members that have made a key, and a model under it."""
    with pytest.MonkeyPatch.context() as patch:
        made = World(folder, patch)
        try:
            made.policies()
            for one in made.members.values():
                one.start()
            made.make_key()
            made.protect()
            yield made
        finally:
            for one in made.members.values():
                one.end()
