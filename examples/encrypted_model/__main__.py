"""A vendor's model in a cloud that reads neither model nor patients; its key holders may stop it.

    python -m examples.encrypted_model --rows 20

Four parties, each with processes, a folder and an identity of its own. The vendor has boosted trees
for a diagnosis, the hospital has patients, the cloud has computers, and an auditor is there so that
no two others are enough. Vendor, hospital and auditor make a key that none of them has; the vendor
encrypts its model under it; the cloud serves that; the hospital asks. This process looks then, as
only a demonstration can, for weights, patients and answers in everybody's files and in the memory
of all processes. In the end the vendor's member stops, and the model with it.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from examples.command import FolderOption, SeedOption, run
from examples.encrypted_model import hospital, member, model, vendor
from examples.encrypted_model.desk import Desk, desk
from examples.encrypted_model.looking import Looking, Where, size
from examples.encrypted_model.stage import Stage, staged
from examples.model_sharing.canaries import Canaries
from examples.model_sharing.host import TOKENS, Hosted, hosted
from examples.model_sharing.wire import wire
from examples.parties import PACKAGE, kept_folder
from strongroom.cli import show
from strongroom.cli.policy_options import JsonOption
from strongroom.errors import InputError

ACCESS = "vendor AND 1-of-2(hospital, auditor)"
AUDITORS = ("vendor", "auditor")
"""Members that compute results again, from a copy of the encrypted weights."""

COMMITTEE = "committee"
SAMPLE_ROWS = 60
"""On which the vendor measures that the encrypted model agrees with the plain one."""

WIRE = "wire/copy.bin"
UNHIDDEN = "a worker that serves it not hidden"


def encrypted_model(
    rows: Annotated[
        int, typer.Option("--rows", min=1, help="How many patients the hospital asks about.")
    ] = 20,
    trees: Annotated[int, typer.Option("--trees", min=5, max=500, help="Of the model.")] = 50,
    seed: SeedOption = 0,
    folder: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """A vendor's model runs encrypted, on patients that are encrypted, while its key holders agree.

    Ends with one JSON line; with --json there is nothing else.
    """

    def say(what: str) -> None:
        if not as_json:
            print(what, flush=True)

    if rows > model.PATIENTS:
        raise InputError(
            "SR-INPUT-SHAPE",
            f"--rows is {rows}, but the hospital has {model.PATIENTS} patients",
            "Ask about fewer",
        )
    with kept_folder(folder) as where, staged(where, say, seed) as stage:
        summary = _played(stage, rows, trees)
    if not as_json:
        _print(summary)
    show.print_json(summary)


def _played(stage: Stage, rows: int, trees: int) -> dict[str, Any]:
    with desk(stage.vendor, "vendor") as vendors:
        stage.say("the vendor trains")
        vendors.do("train", trees, SAMPLE_ROWS, stage.seed)
        _introduced(stage)
        committee = _key_made(stage)
        package = _protected(stage)
        options = ("--committee", COMMITTEE, "--member-timeout-seconds", "5")
        with ExitStack() as running:
            server = running.enter_context(
                hosted(stage.cloud, [stage.cloud.folder / PACKAGE], options)
            )
            copy = stage.cloud.folder.parent / WIRE
            copy.parent.mkdir()
            listening = running.enter_context(wire(server.port, copy))
            hospitals = running.enter_context(desk(stage.hospital, "hospital"))
            stage.say("the hospital connects")
            verified = hospitals.do("connect", listening.url)
            stage.say(f"the hospital asks about {rows} patients")
            asked = hospitals.do("ask", rows, stage.seed)
            stage.tried(stage.cloud, "ask for itself", lambda: _asked_by_cloud(stage, server))
            with _unhidden(stage) as plain:
                stage.say("looking for weights, patients and answers, everywhere")
                found = _looked(stage, server, plain, copy, vendors, hospitals)
            held = _held(stage)
            asked["agreement"] = _agreement(stage, rows, trees)
            _changed(stage, hospitals)
            _stopped(stage, hospitals)
    return {
        "application": "encrypted_model",
        "rows": rows,
        "trees": trees,
        "seed": stage.seed,
        "committee": committee,
        "package_digest": package["digest"],
        "agreement": package["manifest"]["parity"]["agreement"],
        "verified": verified,
        "asked": asked,
        "attempts": stage.attempts,
        "held_bytes": held,
        "found": found,
    }


def _introduced(stage: Stage) -> None:
    """Everybody makes an identity, and has the public lines of all."""
    for party in stage.parties:
        party.strongroom("keygen")
    for party in stage.parties:
        for other in stage.parties:
            party.give(party.public, other, f"{party.name}.pub")


def _key_made(stage: Stage) -> dict[str, Any]:
    """Each member's operator writes what it may do; then the members make a key."""
    seats = [("--member", f"{name}={name}.pub") for name in stage.members]
    for name, one in stage.members.items():
        policy = ("--policy", member.POLICY)
        # Who asks has no copy of the encrypted weights, and so can't compute again.
        rate = () if name in AUDITORS else ("--audit-rate", "0")
        one.party.strongroom("member", "init", *policy, "--until", "30d", *rate)
        join = ("member", "join", *policy, "--access", ACCESS, "--coordinator", "vendor.pub")
        one.party.strongroom(*join, *_flat(seats))
        one.party.strongroom("member", "server", "cloud.pub", *policy)
        one.party.strongroom("member", "enrol", "hospital.pub", *policy)
        one.start()
    reached = [("--member", f"{n}={n}.pub@{one.url}") for n, one in stage.members.items()]
    create = ("committee", "create", vendor.MODEL, "--sample", vendor.ROWS, "--no-header")
    return stage.vendor.strongroom(
        *create, "--access", ACCESS, *_flat(reached), "--output", COMMITTEE
    )


def _protected(stage: Stage) -> dict[str, Any]:
    """The vendor encrypts its model under the committee's key, and hands it out."""
    readers = [("--recipient", f"{name}.pub") for name in ("cloud", *AUDITORS)]
    protect = ("protect", vendor.MODEL, "--sample", vendor.ROWS, "--no-header")
    hidden = ("--hide", "model", "--committee", COMMITTEE)
    package = stage.vendor.strongroom(
        *protect, *hidden, "--name", model.NAME, *_flat(readers), "-o", PACKAGE
    )
    file = stage.vendor.folder / PACKAGE
    stage.vendor.give(file, stage.cloud)
    shutil.copytree(stage.vendor.folder / COMMITTEE, stage.cloud.folder / COMMITTEE)
    for one in stage.members.values():
        shutil.copyfile(file, one.party.folder / member.PACKAGES / PACKAGE)
        place = f"{member.PACKAGES}/{PACKAGE}"
        one.party.strongroom("member", "allow", place, "--policy", member.POLICY)
    for party in (stage.hospital, stage.cloud):
        words = ("keys", "token", "create", "--tokens", TOKENS, "--tenant", party.name)
        token = party.folder / "token"
        token.touch(mode=0o600)
        token.write_text(stage.cloud.strongroom(*words)["token"])
    return package


@contextmanager
def _unhidden(stage: Stage) -> Iterator[Hosted]:
    """For comparison: the vendor serves the same model without `hide`, on a machine of its own."""
    stage.say("for comparison, the vendor serves the model to itself, not hidden")
    owner, file = stage.vendor, stage.vendor.folder / "unhidden.strongroom"
    protect = ("protect", vendor.MODEL, "--sample", vendor.ROWS, "--no-header")
    owner.strongroom(*protect, "--name", "unhidden", "-o", file)
    owner.strongroom("keys", "token", "create", "--tokens", TOKENS, "--tenant", owner.name)
    with hosted(owner, [file]) as server:
        yield server


def _asked_by_cloud(stage: Stage, server: Hosted) -> dict[str, Any]:
    """Who runs the server has a token, and even an identity: the members enrolled another."""
    rows = np.ones((1, model.COLUMNS))
    np.savetxt(stage.cloud.folder / "guess.csv", rows, delimiter=",")
    where = ("--url", f"http://127.0.0.1:{server.port}", "--model", model.NAME)
    how = ("--no-header", "--trust", "vendor.pub", "--token-file", "token")
    return stage.cloud.strongroom("predict", "guess.csv", *where, *how, "--identity", "default")


def _changed(stage: Stage, hospitals: Desk) -> None:
    """All parts of the key change; key, package and client stay."""
    stage.tried(
        stage.vendor,
        "have all parts of the key changed",
        lambda: stage.vendor.strongroom("committee", "refresh", COMMITTEE),
    )
    committee = stage.vendor.folder / COMMITTEE
    # The checks first, so that the server always has those that its statement names.
    for file in (*committee.glob("checks-*.bin"), committee / "committee.json"):
        shutil.copyfile(file, stage.cloud.folder / COMMITTEE / file.name)
    stage.tried(stage.hospital, "ask after that", lambda: _again(hospitals))


def _stopped(stage: Stage, hospitals: Desk) -> None:
    """One of the two others may be missing; the vendor's member may not."""
    stage.say("the hospital's member stops")
    stage.members["hospital"].stop()
    stage.tried(stage.hospital, "ask without its own member", lambda: _again(hospitals))
    stage.members["hospital"].start()
    stage.say("the vendor's member stops")
    stage.members["vendor"].stop()
    stage.tried(stage.hospital, "ask without the vendor's member", lambda: _again(hospitals))


def _agreement(stage: Stage, rows: int, trees: int) -> float:
    """Share of the patients for whom the plain model says the same."""
    patients, _ = model.patients(rows, stage.seed)
    plain = model.train(trees, stage.seed).predict(patients)
    answers = np.load(stage.hospital.folder / hospital.ANSWERS).argmax(axis=1)
    return float(np.mean(answers == plain))


def _again(hospitals: Desk) -> dict[str, Any]:
    said = hospitals.do("once_more")
    assert said["same"], "the same patient, another answer"
    return said


def _looked(
    stage: Stage, server: Hosted, plain: Hosted, copy: Path, vendors: Desk, hospitals: Desk
) -> dict[str, Where]:
    """Where each secret is found; None where this user is not allowed to look."""
    folder = stage.hospital.folder
    with np.load(folder / hospital.PATIENTS) as patients:
        rows = patients["arr_0"]
    trained = stage.vendor.folder / vendor.MODEL
    computed = model.computed_with(trained, model.training_rows(stage.seed)[:SAMPLE_ROWS])
    looking = Looking(
        {
            "weights": Canaries([computed], 1, written=model.leaf_values(trained)),
            "patients": Canaries([rows], 1),
            "answers": Canaries([np.load(folder / hospital.ANSWERS)], 1),
        }
    )
    found = {f"{party.name}'s files": looking.in_files(party.folder) for party in stage.parties}
    found["the wire to the cloud"] = looking.in_files(copy.parent)
    processes = {"vendor's desk": [vendors.pid], "hospital's desk": [hospitals.pid]}
    processes |= {f"{name}'s member": [one.pid] for name, one in stage.members.items() if one.pid}
    processes |= {"cloud's front": [server.front]}
    processes |= {f"cloud's {kind}": pids for kind, pids in server.behind.items()}
    processes |= {UNHIDDEN: plain.behind["worker"]}
    return found | {f"{name}, memory": looking.in_memory(p) for name, p in processes.items()}


def _held(stage: Stage) -> dict[str, dict[str, int]]:
    """What is on each party's disk, in bytes."""
    found = {
        "cloud": {
            "encrypted model": size(stage.cloud.folder / PACKAGE),
            "evaluation keys": size(stage.cloud.folder / COMMITTEE),
        },
        "vendor": {"model": size(stage.vendor.folder / vendor.MODEL)},
        "hospital": {"patients": size(stage.hospital.folder / hospital.PATIENTS)},
        "auditor": {},
    }
    for name, one in stage.members.items():
        found[name]["sealed parts of the key"] = size(one.party.home / "parts")
    return found


def _flat(pairs: Sequence[tuple[str, str]]) -> list[str]:
    return [word for pair in pairs for word in pair]


def _print(summary: dict[str, Any]) -> None:
    show.print_table(
        "What each tried",
        ("who", "what", "how it ended"),
        [(one["party"], one["tried"], one["ended"]) for one in summary["attempts"]],
    )
    show.print_table(
        "What each has on its disk",
        ("who", "what", "size"),
        [
            (party, what, show.byte_count(size))
            for party, things in summary["held_bytes"].items()
            for what, size in things.items()
        ],
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
    asked = summary["asked"]
    show.print_lines(
        [
            f"{asked['agreement']:.1%} of the patients are told what the plain model says, "
            f"{asked['accuracy']:.1%} what was found later; {asked['median_ms']:.1f} ms a patient"
        ]
    )


if __name__ == "__main__":
    sys.exit(run(encrypted_model, "python -m examples.encrypted_model", sys.argv[1:]))
