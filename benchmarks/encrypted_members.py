"""A committee of three members, each a process with a home, a policy and a ledger of its own.

What they agreed to is "vendor AND 1-of-2(hospital, auditor)". How many results they compute again
before they answer is what policies say by default, unless a context says otherwise.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from own_home import OWNER
from process_memory import peak_resident_bytes
from serving import Exchange, asking, serving

import strongroom
from strongroom.cli.committee import committee_needs
from strongroom.cli.demo_server import write_certificate
from strongroom.compiler.holding import KeyHolding
from strongroom.compiler.plan import Plan
from strongroom.keys.committee.access import Access
from strongroom.keys.committee.coordinator import Coordinator
from strongroom.keys.committee.folder import CommitteeFolderWriter
from strongroom.keys.committee.proposal import propose
from strongroom.keys.identity import PublicIdentity
from strongroom.keys.identity_store import IdentityStore
from strongroom.keys.query import MAXIMUM_RESULTS
from strongroom.member.coordinating import Coordinating
from strongroom.member.policy import (
    ClientRule,
    MemberPolicy,
    PackageRule,
    SetupRule,
    write_policy,
)

ACCESS: Final = Access.parse("vendor AND 1-of-2(hospital, auditor)")
SHARE_BUDGET: Final = 1 << 20
HOLDING: Final = KeyHolding(len(ACCESS.parts()), SHARE_BUDGET)

CLIENT = IdentityStore.open().create("ward")
"""Who asks; the server is the identity "default"."""

_TIMEOUT_SECONDS: Final = 600.0
"""A request of many rows is computed again as a whole."""


@dataclass(frozen=True)
class Member:
    """One member.

    Attributes:
        folder: with its home, its policy and its packages.
        url: where it answers.
    """

    public: PublicIdentity
    folder: Path
    process: subprocess.Popen[str]
    url: str


@dataclass
class Members:
    """All members, while they run, and the policy of each of them."""

    folder: Path
    policy: MemberPolicy
    by_name: dict[str, Member]

    def make_keys(self, plan: Plan, name: str) -> tuple[Path, float]:
        """Have them make the keys that a plan needs: the committee's folder, and the seconds from
        the proposal until every member and the coordinator have stored them."""
        folder = self.folder / f"committee-{name}"
        seats = {one: (member.public, member.url) for one, member in self.by_name.items()}
        started = time.perf_counter()
        proposal = propose(
            OWNER,
            ACCESS,
            seats,
            committee_needs(plan),
            now=datetime.now(UTC),
            share_budget=SHARE_BUDGET,
        )

        async def made() -> None:
            with CommitteeFolderWriter(folder) as writer:
                coordinator = Coordinator(OWNER, proposal, writer)
                async with Coordinating(OWNER, seats, ca=str(self.certificate)) as carrying:
                    await carrying.create(coordinator, writer.finish)

        asyncio.run(made())
        return folder, time.perf_counter() - started

    def allow(self, package: strongroom.Package) -> None:
        """Give them a package, and let its results be opened."""
        everybody = [member.public for member in self.by_name.values()]
        self.policy = msgspec.structs.replace(
            self.policy, packages=(*self.policy.packages, PackageRule(package.digest))
        )
        for member in self.by_name.values():
            package.save(_path(member, package), owner=OWNER, recipients=everybody)
        self._write(self.policy)

    @contextmanager
    def unaudited(self) -> Iterator[None]:
        """They compute nothing again until the context ends."""
        self._write(msgspec.structs.replace(self.policy, audit_rate=0.0))
        yield
        self._write(self.policy)

    def _write(self, policy: MemberPolicy) -> None:
        for member in self.by_name.values():
            write_policy(member.folder / "policy.json", policy, replace=True)

    def package_bytes(self, package: strongroom.Package) -> int:
        """Of the file of a package that is allowed."""
        return _path(self.by_name["vendor"], package).stat().st_size

    @property
    def certificate(self) -> Path:
        """Of all of them."""
        return self.folder / "certificate.pem"

    def resident_bytes(self) -> int:
        """The most memory that one of them has held."""
        return max(peak_resident_bytes(one.process.pid) for one in self.by_name.values())


def _path(member: Member, package: strongroom.Package) -> Path:
    return member.folder / "packages" / f"{package.manifest.name}.strongroom"


@contextmanager
def members(folder: Path) -> Iterator[Members]:
    """Three members that run until the context ends. They answer over TLS on loopback."""
    write_certificate(folder / "certificate.pem", folder / "key.pem")
    identities = {}
    for name in ACCESS.members:
        (folder / name / "packages").mkdir(parents=True)
        identities[name] = IdentityStore.open(folder / name / "home").create().public
    policy = MemberPolicy(
        format="strongroom-member-policy-1",
        not_after=f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}",
        servers=(OWNER.public.to_text(),),
        clients=(ClientRule(CLIENT.public.to_text()),),
        results_per_query=MAXIMUM_RESULTS,
        setup=SetupRule(
            OWNER.public.to_text(),
            str(ACCESS),
            tuple(identities[name].fingerprint for name in ACCESS.members),
            SHARE_BUDGET,
        ),
    )
    with ExitStack() as stack:
        running = {}
        for name in ACCESS.members:
            write_policy(folder / name / "policy.json", policy, replace=False)
            process, url = stack.enter_context(_process(folder, name))
            running[name] = Member(identities[name], folder / name, process, url)
        yield Members(folder, policy, running)


@contextmanager
def shared_exchange(
    package: strongroom.Package, running: Members, committee: Path
) -> Iterator[Exchange]:
    """Serve one package under a committee's key to one client."""
    with (
        serving(
            [package],
            committees=[str(committee)],
            member_ca=str(running.certificate),
            member_timeout_seconds=_TIMEOUT_SECONDS,
        ) as server,
        asking(server, package, strongroom.KeyStore.in_memory(), identity=CLIENT) as (
            client,
            network,
        ),
    ):
        yield Exchange(package, server, client, network)


@contextmanager
def _process(folder: Path, name: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    words: Sequence[str | Path] = [
        *("--policy", folder / name / "policy.json", "--packages", folder / name / "packages"),
        *("--tls-cert", folder / "certificate.pem", "--tls-key", folder / "key.pem"),
        *("--peers-ca", folder / "certificate.pem", "--port", "0", "--json"),
    ]
    path = folder / name / "log"
    with path.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "strongroom.cli", "member", "serve", *map(str, words)],
            env=os.environ | {"STRONGROOM_HOME": str(folder / name / "home")},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit(path.read_text())
        ready: dict[str, Any] = json.loads(line)
        yield process, ready["url"]
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
