"""A hospital asks a vendor's model that runs on a cloud host; the host reads no patient.

    python -m examples.healthcare --task diagnosis --rows 171

Three processes, each with a folder of its own. The vendor trains, protects, and ends. The host
serves the package. The hospital, this process, holds the patients and the keys, and asks about one
patient after another. When all is answered it looks into the vendor's folder, as only a
demonstration can, and compares with what the plain model says.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from examples import report
from examples.command import FolderOption, SeedOption, ThreadsOption, run
from examples.healthcare.tasks import Room, Task, room
from examples.parties import asking, folders, run_owner, served
from strongroom import Client
from strongroom.cli import show
from strongroom.cli.policy_options import JsonOption
from strongroom.errors import InputError


def healthcare(
    task: Annotated[
        Task, typer.Option("--task", help="Tumours from a table, or digits from images.")
    ] = "diagnosis",
    rows: Annotated[
        int | None, typer.Option("--rows", min=1, help="How many held-out ones to ask about.")
    ] = None,
    threads: ThreadsOption = 2,
    seed: SeedOption = 0,
    folder: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """A hospital asks a vendor's model about patients, encrypted; a cloud host computes.

    Ends with one JSON line; with --json there is nothing else.
    """

    def say(what: str) -> None:
        if not as_json:
            show.print_lines([what])

    asked = room(task)
    wanted = min(asked.HELD_OUT, 200) if rows is None else rows
    if wanted > asked.HELD_OUT:
        raise InputError(
            "SR-INPUT-SHAPE",
            f"--rows is {wanted}, but only {asked.HELD_OUT} are held out",
            "Ask about fewer",
        )
    patients, labels = asked.hospital(wanted, seed)
    with folders(folder) as made:
        say(f"the vendor trains and protects a model ({asked.TITLE})")
        handed_over = run_owner("examples.healthcare.vendor", made, task, str(seed), str(threads))
        say("the host starts its server")
        with served(made, threads) as server:
            say("the hospital makes keys and sends the host what it computes with")
            with asking(server, made, handed_over, asked.POLICY) as client:
                say(f"the hospital asks about {wanted} rows, one by one")
                answers, traffic = _ask(client, patients)
                summary = _summary(asked, patients, labels, answers, made.owner)
                summary |= {"task": task, "rows": wanted, "threads": threads, "seed": seed}
                summary |= traffic.summary(client) | {"package_digest": client.package_digest}
                summary |= {"guarantee": client.guarantee}
    if not as_json:
        report.compared(summary["plain"], summary["encrypted"])
        show.print_lines([f"labels equal to the plain model's: {summary['agreement']:.2%}", ""])
        report.costs(summary, wanted)
        report.who_learned_what(
            summary["guarantee"], server="the host (server)", asker="the hospital (asker)"
        )
    show.print_json(summary)


def _ask(client: Client, rows: NDArray[Any]) -> tuple[NDArray[np.float64], report.Traffic]:
    """Probabilities, shape (n, classes), each row in a request of its own, after one that does not
    count."""
    client.predict_proba(rows[:1])
    traffic, answers = report.Traffic(), []
    for place in range(len(rows)):
        began = time.perf_counter()
        answers.append(client.predict_proba(rows[place : place + 1]))
        traffic.count(client.timings, [time.perf_counter() - began])
    return np.concatenate(answers), traffic


def _summary(
    asked: Room,
    rows: NDArray[Any],
    labels: NDArray[Any],
    answers: NDArray[np.float64],
    owner: Path,
) -> dict[str, Any]:
    plain = asked.plain(owner, rows)
    return {
        "application": "healthcare",
        "plain": asked.figures(labels, plain),
        "encrypted": asked.figures(labels, answers),
        "agreement": float(np.mean(answers.argmax(axis=1) == plain.argmax(axis=1))),
        "largest_probability_difference": float(np.abs(answers - plain).max()),
    }


if __name__ == "__main__":
    sys.exit(run(healthcare, "python -m examples.healthcare", sys.argv[1:]))
