"""A vendor shares a model with two hospitals; a host serves it and reads neither model nor patient.

    python -m examples.model_sharing --rows 20

Four parties, each with processes, a folder and an identity of its own. The vendor protects a model,
grants it to the host for serving, and to both hospitals for opening: to North until a moment, to
South until it is revoked. Both ask the host about their patients. A fifth, on the wire between
hospitals and host, keeps a copy of all that passes. At the end this process looks, as only a
demonstration can, for weights and patients in everybody's files, in the memory of the host's
processes, and in what went over the wire.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from examples.command import FolderOption, SeedOption, run
from examples.model_sharing import model
from examples.model_sharing.canaries import Canaries
from examples.model_sharing.host import LOG, TOKENS, Hosted, hosted
from examples.model_sharing.party import Party, RefusedError, Say
from examples.model_sharing.wire import wire
from examples.parties import PACKAGE, kept_folder
from strongroom.cli import show
from strongroom.cli.policy_options import JsonOption
from strongroom.errors import InputError

TOKEN = "token"
WIRE = "wire.bin"
GRANT_SECONDS = 25
"""How long North's grant to open lasts; a bank would write 90d."""

Attempt = dict[str, str]


@dataclass
class Stage:
    """The parties, and what came of what they tried.

    Attributes:
        attempts: who tried what, in order, and how it ended: "done", or the code of the refusal.
    """

    vendor: Party
    host: Party
    north: Party
    south: Party
    say: Say
    seed: int
    attempts: list[Attempt] = field(default_factory=list)

    def tried(self, party: Party, what: str, act: Callable[[], Any]) -> Any:
        """Have a party try something; what came of it, or None if it was refused."""
        result, ended = None, "done"
        try:
            result = act()
        except RefusedError as refusal:
            ended = refusal.code
        self.attempts.append({"party": party.name, "tried": what, "ended": ended})
        self.say(f"{party.name}: {what}: {ended}")
        return result


def model_sharing(
    rows: Annotated[
        int, typer.Option("--rows", min=1, help="How many patients each hospital asks about.")
    ] = 20,
    seed: SeedOption = 0,
    folder: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """A vendor shares a model with hospitals through a host that can read neither side.

    Ends with one JSON line; with --json there is nothing else.
    """

    def say(what: str) -> None:
        if not as_json:
            print(what, flush=True)

    if rows > model.PATIENTS:
        raise InputError(
            "SR-INPUT-SHAPE",
            f"--rows is {rows}, but each hospital has {model.PATIENTS} patients",
            "Ask about fewer",
        )
    with _stage(folder, say, seed) as stage:
        summary = _played(stage, rows)
    if not as_json:
        _print(summary)
    show.print_json(summary)


def _played(stage: Stage, rows: int) -> dict[str, Any]:
    vendor, host, north, south = stage.vendor, stage.host, stage.north, stage.south
    for party in (vendor, host, north, south):
        party.strongroom("keygen")
    for party in (host, north, south):
        vendor.give(vendor.public, party, "vendor.pub")
        party.give(party.public, vendor, f"{party.name}.pub")
    package = vendor.folder / PACKAGE
    stage.say("the vendor trains and protects")
    made = vendor.module("vendor", vendor.folder, str(stage.seed))
    vendor.give(package, host)

    for party in (north, south):
        created = host.strongroom(
            "keys", "token", "create", "--tokens", TOKENS, "--tenant", party.name
        )
        token = party.folder / TOKEN
        token.touch(mode=0o600)
        token.write_text(created["token"])
    stage.tried(host, "serve without a grant", lambda: _started(host, host.folder / PACKAGE))
    ends = _shared(stage, package)
    asked, found = _served(stage, rows)
    _ended(stage, ends)
    _revoked(stage, package)
    return {
        "application": "model_sharing",
        "rows": rows,
        "seed": stage.seed,
        "package_digest": made["digest"],
        "owner": made["owner"],
        "asked": asked,
        "attempts": stage.attempts,
        "found": found,
    }


def _shared(stage: Stage, package: Path) -> datetime:
    """Grants, in front of everybody; until when North may open the package."""
    vendor, north, south = stage.vendor, stage.north, stage.south
    vendor.strongroom("grant", package, "host.pub", "--purpose", "serve")
    vendor.strongroom("grant", package, "south.pub", "--purpose", "open")
    stage.tried(
        north, "open what is not granted to it", lambda: _opened(stage, north, vendor, package)
    )
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=GRANT_SECONDS)
    until = ends.strftime("%Y-%m-%dT%H:%M:%SZ")
    vendor.strongroom("grant", package, "north.pub", "--purpose", "open", "--expires", until)
    for party in (north, south):
        stage.tried(
            party,
            "open what is granted to it",
            lambda party=party: _opened(stage, party, vendor, package),
        )
    vendor.give(package, stage.host)
    return ends


def _served(stage: Stage, rows: int) -> tuple[dict[str, Any], dict[str, dict[str, bool | None]]]:
    """Both hospitals ask; then everybody is looked into while the host still serves."""
    host, asked = stage.host, {}
    copy = host.folder.parent / WIRE
    with hosted(host, [host.folder / PACKAGE]) as server, wire(server.port, copy) as listening:
        for party in (stage.north, stage.south):
            stage.say(f"{party.name} asks about {rows} patients")
            asked[party.name] = party.module(
                *("hospital", "ask", party.folder, party.name, listening.url),
                *(party.folder / TOKEN, str(rows), str(stage.seed)),
            )
            stage.tried(party, "verify its receipt", lambda party=party: _verified(party))
            stage.tried(
                party, "verify it, altered", lambda party=party: _verified(party, altered=True)
            )
        stage.say("looking for weights and patients, everywhere")
        found = _looked(stage, rows, server, copy)
    return asked, found


def _ended(stage: Stage, ends: datetime) -> None:
    """North's grant ends."""
    north = stage.north
    time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds() + 1.0))
    stage.tried(north, "open it after its grant ended", lambda: _open(stage, north))


def _revoked(stage: Stage, package: Path) -> None:
    """South is revoked: the package under a new key; and somebody brings back the old file."""
    vendor, host, north, south = stage.vendor, stage.host, stage.north, stage.south
    old = host.folder / "old.strongroom"
    shutil.copyfile(host.folder / PACKAGE, old)
    vendor.strongroom("revoke", package, "south.pub")
    vendor.give(package, host)
    with hosted(host, [host.folder / PACKAGE]) as server:
        stage.tried(north, "use the host with the new file", lambda: _connected(north, server))
    stage.tried(south, "open the old file, which it kept", lambda: _open(stage, south))
    stage.tried(south, "open the new file", lambda: _opened(stage, south, vendor, package))
    stage.tried(host, "serve the old file", lambda: _started(host, old))
    # A host that does not mind what it saw, or a copy of it from before.
    (Path(host.environment["STRONGROOM_HOME"]) / "seen.json").unlink()
    with hosted(host, [old]) as server:
        stage.tried(north, "use the host with the old file", lambda: _connected(north, server))


def _connected(party: Party, server: Hosted) -> dict[str, Any]:
    url = f"http://127.0.0.1:{server.port}"
    return party.module("hospital", "connect", party.folder, url, party.folder / TOKEN)


def _started(host: Party, package: Path) -> None:
    with hosted(host, [package]):
        pass


def _opened(stage: Stage, party: Party, vendor: Party, package: Path) -> dict[str, Any]:
    """Hand a party the package as it is now, and let it try."""
    vendor.give(package, party)
    return _open(stage, party)


def _open(stage: Stage, party: Party) -> dict[str, Any]:
    said = party.module("hospital", "open", party.folder, party.folder / PACKAGE, str(stage.seed))
    assert said["weights"], "what was opened does not hold the weights"
    return said


def _verified(party: Party, *, altered: bool = False) -> dict[str, Any]:
    receipt = party.folder / "receipt.json"
    if altered:
        text = receipt.read_text()
        at = text.index('"response":"sha256:') + len('"response":"sha256:')
        receipt = party.folder / "altered.json"
        receipt.write_text(text[:at] + ("1" if text[at] == "0" else "0") + text[at + 1 :])
    return party.strongroom(
        "receipt", "verify", receipt, "--trust", "vendor.pub", "--package", PACKAGE
    )


def _looked(
    stage: Stage, rows: int, server: Hosted, copy: Path
) -> dict[str, dict[str, bool | None]]:
    """Where each secret is found; None where this user is not allowed to look."""
    secrets = {
        "weights": Canaries(model.weights(model.train(stage.seed))),
        "north's patients": Canaries([model.patients("north", rows, stage.seed)[0]]),
        "south's patients": Canaries([model.patients("south", rows, stage.seed)[0]]),
    }
    folders = {f"{party.name}'s files": party.folder for party in _parties(stage)}
    places: dict[str, Callable[[Canaries], bool]] = {
        name: lambda canaries, folder=folder: bool(canaries.below(folder))
        for name, folder in folders.items()
    }
    places["host's log"] = lambda canaries: canaries.within((stage.host.folder / LOG).read_bytes())
    places["the wire"] = lambda canaries: canaries.within(copy.read_bytes())
    pids = {"front": [server.front]} | server.behind
    for kind, processes in pids.items():
        places[f"host's {kind} process, memory"] = lambda canaries, processes=processes: any(
            canaries.in_memory(pid) for pid in processes
        )
    return {
        place: {name: _allowed(look, canaries) for name, canaries in secrets.items()}
        for place, look in places.items()
    }


def _allowed(look: Callable[[Canaries], bool], canaries: Canaries) -> bool | None:
    try:
        return look(canaries)
    except PermissionError:
        return None


def _parties(stage: Stage) -> tuple[Party, ...]:
    return stage.vendor, stage.host, stage.north, stage.south


@contextmanager
def _stage(kept: Path | None, say: Say, seed: int) -> Iterator[Stage]:
    """A folder for each party.

    Args:
        kept: where to make them; None: they are gone when the context ends.
    """
    with kept_folder(kept) as folder:
        yield Stage(
            *(
                Party(name, folder.resolve() / name, say)
                for name in ("vendor", "host", "north", "south")
            ),
            say=say,
            seed=seed,
        )


def _print(summary: dict[str, Any]) -> None:
    show.print_table(
        "What each tried",
        ("who", "what", "how it ended"),
        [(one["party"], one["tried"], one["ended"]) for one in summary["attempts"]],
    )
    names = list(next(iter(summary["found"].values())))
    shown = {True: "found", False: "not found", None: "not allowed to look"}
    show.print_table(
        "What was found where",
        ("", *names),
        [
            (place, *(shown[found[name]] for name in names))
            for place, found in summary["found"].items()
        ],
    )
    for name, asked in summary["asked"].items():
        show.print_lines(
            [f"{name}: accuracy {asked['accuracy']:.3f}, {asked['median_ms']:.1f} ms a patient"]
        )


if __name__ == "__main__":
    sys.exit(run(model_sharing, "python -m examples.model_sharing", sys.argv[1:]))
