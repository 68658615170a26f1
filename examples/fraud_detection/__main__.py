"""A bank streams card transactions through an encrypted fraud model and raises alerts itself.

    python -m examples.fraud_detection --rows 500 --rate 10

Three processes, each with a folder of its own. The model's owner trains on the past, chooses the
threshold of an alert, protects, and ends. The server serves the package. The bank, this process,
holds a queue of transactions in the order of time; they arrive at the stated rate, the client asks
about those that wait, and compares each answer with the threshold once it is decrypted. When all
is answered the bank looks into the owner's folder, as only a demonstration can, and compares with
what the plain model says.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from examples import report
from examples.command import FolderOption, SeedOption, ThreadsOption, run
from examples.fraud_detection import model
from examples.fraud_detection.alerts import alerts, figures
from examples.fraud_detection.stream import Streamed, stream
from examples.parties import asking, folders, run_owner, served
from strongroom import Client
from strongroom.cli import show
from strongroom.cli.policy_options import JsonOption
from strongroom.errors import InputError


def fraud_detection(
    rows: Annotated[
        int, typer.Option("--rows", min=1, help="How many transactions arrive, one after another.")
    ] = 500,
    rate: Annotated[
        float, typer.Option("--rate", min=0.01, max=10_000, help="Transactions a second.")
    ] = 10.0,
    alert_share: Annotated[
        float,
        typer.Option("--alert-share", min=0.0001, max=0.5, help="Share that shall be alerts."),
    ] = 0.03,
    threads: ThreadsOption = 2,
    seed: SeedOption = 0,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Folder with a train.csv; else one is fetched once (87 MB)."),
    ] = None,
    folder: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """A bank streams transactions through an encrypted fraud model; alerts are raised at the bank.

    Ends with one JSON line; with --json there is nothing else.
    """

    def say(what: str) -> None:
        if not as_json:
            show.print_lines([what])

    say("the bank reads its transactions")
    arriving, labels = _arriving(rows, seed, data)
    with folders(folder) as made:
        say("the owner trains on the past, and protects the model (a minute or two)")
        given = [f"--data={data.resolve()}"] if data is not None else []
        handed_over = run_owner(
            "examples.fraud_detection.owner",
            made,
            *(str(seed), str(threads), str(alert_share)),
            *given,
        )
        say("the server starts; the bank makes keys and sends it what it computes with")
        with (
            served(made, threads) as server,
            asking(server, made, handed_over, model.POLICY) as client,
        ):
            say(f"{rows} transactions arrive, {rate:g} a second")
            streamed, traffic = _stream(client, arriving, rate)
            plain = model.fraud_probabilities(made.owner / model.MODEL, arriving)
            summary = _summary(labels, streamed, plain, handed_over["threshold"])
            summary |= {"rows": rows, "rate": rate, "threads": threads, "seed": seed}
            summary |= traffic.summary(client) | {"package_digest": client.package_digest}
            summary |= {"guarantee": client.guarantee}
    if not as_json:
        _print(summary)
    show.print_json(summary)


def _arriving(
    rows: int, seed: int, data: Path | None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Neighbours in time from the last part of the table, and what they turned out to be."""
    table = model.transactions(data)
    if rows > len(table.test_rows):
        raise InputError(
            "SR-INPUT-SHAPE",
            f"--rows is {rows}, but the last part of the table has {len(table.test_rows)}",
            "Let fewer arrive",
        )
    last = len(table.test_rows) - rows
    start = int(np.random.default_rng(seed).integers(last + 1))
    part = slice(start, start + rows)
    # Copies: the table, some hundred megabytes, can go.
    return table.test_rows[part].copy(), table.test_labels[part].copy()


def _stream(
    client: Client, rows: NDArray[np.float64], rate: float
) -> tuple[Streamed, report.Traffic]:
    """Requests are as large as rows share a ciphertext: further ones would cost the server time."""
    client.predict_proba(rows[:1])  # opens connection and keys, and does not count
    traffic = report.Traffic()
    streamed = stream(
        rows,
        rate,
        client.plan.layout.rows_per_ciphertext,
        ask=lambda some: client.predict_proba(some)[:, 1],
        answered=lambda waited: traffic.count(client.timings, waited),
    )
    return streamed, traffic


def _summary(
    labels: NDArray[np.int64],
    streamed: Streamed,
    plain: NDArray[np.float64],
    threshold: float,
) -> dict[str, Any]:
    encrypted = streamed.probabilities
    raised, wanted = alerts(encrypted, threshold), alerts(plain, threshold)
    return {
        "application": "fraud_detection",
        "threshold": threshold,
        "plain": figures(labels, plain, threshold),
        "encrypted": figures(labels, encrypted, threshold),
        "frauds": int(labels.sum()),
        "alerts": int(raised.sum()),
        "plain_alerts": int(wanted.sum()),
        "alerts_that_differ": int((raised != wanted).sum()),
        "largest_probability_difference": float(np.abs(encrypted - plain).max()),
        "rows_per_second": round(streamed.rows_per_second, 2),
        "longest_queue": streamed.longest_queue,
    }


def _print(summary: dict[str, Any]) -> None:
    report.compared(summary["plain"], summary["encrypted"])
    show.print_table(
        "The stream",
        ("", ""),
        [
            ("arrivals a second, stated", f"{summary['rate']:g}"),
            ("answers a second, achieved", f"{summary['rows_per_second']:.2f}"),
            ("transactions waiting at once, at most", str(summary["longest_queue"])),
            ("frauds among them, as known later", str(summary["frauds"])),
            ("alerts", str(summary["alerts"])),
            ("alerts that the plain model raises", str(summary["plain_alerts"])),
            ("transactions on which the two differ", str(summary["alerts_that_differ"])),
        ],
    )
    report.costs(summary, summary["rows"])
    report.who_learned_what(summary["guarantee"], server="the server", asker="the bank (asker)")
    show.print_lines(
        [
            "The threshold was applied after decryption, in the bank's process; the server did the "
            "same for every transaction."
        ]
    )


if __name__ == "__main__":
    sys.exit(run(fraud_detection, "python -m examples.fraud_detection", sys.argv[1:]))
