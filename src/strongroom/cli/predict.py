"""`strongroom predict`: asks a served model about the rows of a CSV file."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from numpy.typing import NDArray

from strongroom import protections
from strongroom.cli import passphrase, show
from strongroom.cli import predictions_file as predictions
from strongroom.cli.output_file import require_writable, write_output
from strongroom.cli.policy_options import JsonOption, NoHeaderOption
from strongroom.cli.rows_file import read_rows
from strongroom.cli.sharing import open_identity
from strongroom.cli.token import find_token
from strongroom.client.client import Client
from strongroom.compiler.plan import NetworkLayout
from strongroom.keys.store import KeyStore
from strongroom.models.output import Method
from strongroom.models.text_rows import TextRows
from strongroom.policy import Policy

_LONG_SECONDS: Final = 60.0
"""From here on it is said beforehand how long the answers take."""


def predict_command(
    rows: Annotated[
        Path, typer.Argument(metavar="ROWS", help="CSV file of the rows to ask about.")
    ],
    url: Annotated[str, typer.Option("--url", help="The server, https://host:port.")],
    model: Annotated[str, typer.Option("--model", help="Name of the model there.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="CSV file to write; default: standard output."),
    ] = None,
    trust: Annotated[
        str,
        typer.Option("--trust", help="The owner's .pub file or identity:…; a digest; first-use."),
    ] = "first-use",
    protection: Annotated[
        str | None,
        typer.Option(
            "--protection", help="The one to accept: fhe or sealed; default: as it was before."
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option("--token", help="Token; other users see it. Better: STRONGROOM_TOKEN."),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="File that holds the token.")
    ] = None,
    ca: Annotated[
        Path | None, typer.Option("--ca", help="PEM file of the authority to trust for TLS.")
    ] = None,
    identity: Annotated[
        str | None,
        typer.Option(
            "--identity",
            metavar="NAME",
            help="Your identity, which the members of a model's committee enrolled.",
        ),
    ] = None,
    proba: Annotated[bool, typer.Option("--proba", help="Write probabilities.")] = False,
    scores: Annotated[bool, typer.Option("--scores", help="Write the decision function.")] = False,
    receipt: Annotated[
        Path | None,
        typer.Option("--receipt", help="Ask for receipts; file to write, one a line."),
    ] = None,
    check_shares: Annotated[
        float,
        typer.Option(
            "--check-shares",
            metavar="RATE",
            min=0.0,
            max=1.0,
            help="Share of answers, 0 to 1, that the members of a model's committee must prove.",
        ),
    ] = 0.0,
    timeout_seconds: Annotated[
        float, typer.Option("--timeout-seconds", help="For one answer of the server.")
    ] = 30.0,
    no_header: NoHeaderOption = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Encrypt ROWS, ask the model, decrypt, and write one prediction a line."""
    if proba and scores:
        raise typer.BadParameter("--proba and --scores exclude each other")
    method: Method = "predict_proba" if proba else "decision_function" if scores else "predict"
    for path in (output, receipt):
        if path is not None:
            require_writable(path, overwrite=overwrite)
    if protection is not None:
        protections.by_name(protection)
    with show.working(f"reading {rows}"):
        table = read_rows(rows, header=not no_header)
    asker = None if identity is None else open_identity(identity)
    with Client(
        url,
        model=model,
        token=find_token(token, token_file),
        trust=trust,
        policy=Policy(protection=protection),
        keys=KeyStore.open(prompt=passphrase.prompt()),
        identity=asker,
        receipts=receipt is not None,
        share_checks=check_shares,
        ca=ca,
        timeout_seconds=timeout_seconds,
    ) as client:
        say_keys_sent(client)
        _say_how_long(client, len(table.cells))
        # A bar follows after two seconds of asking; cells are read as the model takes them before.
        if sys.stderr.isatty():
            print(f"asking {model} about {len(table.cells):,} rows", file=sys.stderr)
        with table.naming_lines():
            answers = _ask(client, method, table)
        names = predictions.column_names(method, client.plan.output, answers)
        text = predictions.prediction_text(names, answers)
        if output is not None:
            write_output(output, text, overwrite=overwrite)
        if receipt is not None:
            lines = "".join(f"{one.text}\n" for one in client.receipts)
            write_output(receipt, lines, overwrite=overwrite)
        if as_json:
            summary: dict[str, Any] = {
                "rows": len(answers),
                "method": method,
                "package_digest": client.package_digest,
                "owner": client.owner.fingerprint,
                "server": client.server.fingerprint,
                "key_bytes_sent": client.key_bytes_sent,
                "timings": client.timings,
            }
            where: dict[str, Any] = {"output": str(output)}
            if output is None:
                where = {"predictions": answers.tolist()}
            if receipt is not None:
                where["receipt"] = str(receipt)
            show.print_json(summary | where)
            return
    if output is None:
        sys.stdout.write(text)
    else:
        print(f"wrote {len(answers)} predictions to {output}", file=sys.stderr)


def say_keys_sent(client: Client) -> None:
    """Tell that keys went to the server, and that it keeps them."""
    if client.key_bytes_sent:
        size = show.byte_count(client.key_bytes_sent)
        print(f"sent {size} of evaluation keys, which the server keeps", file=sys.stderr)


def _say_how_long(client: Client, rows: int) -> None:
    """Tell how long many rows take, by the plan: nothing is written before all are answered."""
    costs, layout = client.plan.costs, client.plan.layout
    held = layout.rows_per_ciphertext if isinstance(layout, NetworkLayout) else 1
    seconds = -(-rows // held) * costs.server_milliseconds / 1000.0
    if seconds >= _LONG_SECONDS:
        print(
            f"{rows} rows take the server about {math.ceil(seconds / 60.0)} minutes, by the plan; "
            "all answers come at the end",
            file=sys.stderr,
        )


def _ask(client: Client, method: Method, rows: TextRows) -> NDArray[Any]:
    if method == "predict_proba":
        return client.predict_proba(rows)
    if method == "decision_function":
        return client.decision_function(rows)
    return client.predict(rows)
