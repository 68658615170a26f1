"""`strongroom demo`: protect, serve and ask a model on real data, and show what happened."""

from __future__ import annotations

import secrets
import ssl
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import numpy as np
import typer

import strongroom
from strongroom.cli import demo_report, show, statement
from strongroom.cli.demo_model import TrainedModel, train
from strongroom.cli.demo_report import DemoResult
from strongroom.cli.demo_server import RunningServer, fresh_home, running_server
from strongroom.cli.output_file import write_output
from strongroom.cli.policy_options import JsonOption
from strongroom.client.client import Client
from strongroom.client.timings import Timings
from strongroom.errors import InputRangeWarning
from strongroom.keys.store import KeyStore
from strongroom.package.protected import Package

_SHOWN_COLUMNS: Final = 12
_SHOWN_BYTES: Final = 192
_PARTS: Final = ("encode", "encrypt", "send", "queue", "compute", "receive", "decrypt")


def demo_command(
    output: Annotated[Path, typer.Option("-o", "--output", help="The report to write.")] = Path(
        "demo-report.html"
    ),
    as_json: JsonOption = False,
) -> None:
    """Protect, serve and ask a model on the breast-cancer data; write a report.

    Ends with one JSON line; with --json there is nothing else.
    """

    def say(what: str) -> None:
        if not as_json:
            show.print_lines([what])

    with tempfile.TemporaryDirectory(prefix="strongroom-demo-") as name:
        folder = Path(name)
        say("training a logistic regression on the breast-cancer data")
        trained = train()
        say("protecting it, and measuring that it agrees with the plain model")
        owner, home = fresh_home(folder / "home")
        package = strongroom.protect(
            trained.pipeline, sample=trained.training_rows, name="breast-cancer", owner=owner
        )
        package.save(folder / "breast-cancer.strongroom", owner=owner)
        say("starting the server as its own process, with TLS on loopback")
        with running_server([folder / "breast-cancer.strongroom"], folder, home=home) as server:
            say(f"asking {server.url} about {len(trained.held_out_rows)} held-out rows")
            result = _ask(trained, package, server, folder)
    write_output(output, demo_report.report(result), overwrite=True)
    if not as_json:
        _print(result)
        show.print_lines([f"wrote {output}", ""])
    show.print_json(_summary(result, output))


def _ask(
    trained: TrainedModel, package: Package, server: RunningServer, folder: Path
) -> DemoResult:
    wire = _Wire(verify=ssl.create_default_context(cafile=server.certificate))
    rows, truth = trained.held_out_rows, trained.held_out_labels
    # Held-out rows reach a little beyond the sample; the report shows what that costs: nothing.
    warnings.simplefilter("ignore", InputRangeWarning)
    with Client(
        server.url,
        model=package.manifest.name,
        token=server.token,
        trust=package.digest,
        keys=KeyStore.open(folder / "asker", passphrase=secrets.token_urlsafe(16)),
        transport=wire,
        progress=False,
    ) as client:
        one_by_one, timings, clock = [], [], [time.perf_counter()]
        for row in rows:
            one_by_one.append(client.predict(row[None]))
            timings.append(client.timings)
            clock.append(time.perf_counter())
        seen = wire.last_body[-_SHOWN_BYTES:]
        started = time.perf_counter()
        batch_labels = client.predict(rows)
        batch_seconds, batch = time.perf_counter() - started, client.timings
        scores = client.decision_function(rows)
    labels, plain = np.concatenate(one_by_one), trained.pipeline.predict(rows)
    return DemoResult(
        plan=package.manifest.plan,
        package_digest=package.digest,
        class_names=tuple(trained.class_names[label] for label in truth),
        plain_scores=trained.pipeline.decision_function(rows),
        protected_scores=scores,
        agreement=float(np.mean((labels == plain) & (batch_labels == plain))),
        plain_accuracy=float(np.mean(plain == truth)),
        protected_accuracy=float(np.mean(labels == truth)),
        row_milliseconds={
            part: statistics.median(_milliseconds(one, part) for one in timings) for part in _PARTS
        },
        batch_milliseconds={part: _milliseconds(batch, part) for part in _PARTS},
        row_round_trip_milliseconds=1000.0 * statistics.median(np.diff(clock).tolist()),
        batch_round_trip_milliseconds=1000.0 * batch_seconds,
        row_request_bytes=timings[-1].bytes_sent,
        row_response_bytes=timings[-1].bytes_received,
        batch_request_bytes=batch.bytes_sent,
        batch_response_bytes=batch.bytes_received,
        plain_row=tuple(zip(trained.column_names, rows[-1].tolist(), strict=True))[:_SHOWN_COLUMNS],
        seen_bytes=seen,
    )


class _Wire(httpx.HTTPTransport):
    """The network, keeping the last body that went to the server: what the server reads once
    TLS is taken off."""

    last_body = b""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.last_body = request.read()
        return super().handle_request(request)


def _milliseconds(timings: Timings, part: str) -> float:
    return 1000.0 * float(getattr(timings, f"{part}_seconds"))


def _rounded(parts: demo_report.Milliseconds) -> dict[str, float]:
    return {part: round(duration, 3) for part, duration in parts.items()}


def _print(result: DemoResult) -> None:
    row, batch = result.row_milliseconds, result.batch_milliseconds
    show.print_table(
        "Agreement",
        ("", ""),
        [
            ("labels equal to the plain model's", f"{result.agreement:.2%} of {result.rows} rows"),
            ("accuracy, plain", f"{result.plain_accuracy:.2%}"),
            ("accuracy, protected", f"{result.protected_accuracy:.2%}"),
            ("largest score error", f"{result.max_score_error:.1e}"),
        ],
    )
    show.print_table(
        "Time and size",
        ("", "one row (median)", f"{result.rows} rows at once"),
        [
            *((part, show.milliseconds(row[part]), show.milliseconds(batch[part])) for part in row),
            (
                "there and back",
                show.milliseconds(result.row_round_trip_milliseconds),
                show.milliseconds(result.batch_round_trip_milliseconds),
            ),
            (
                "request",
                show.byte_count(result.row_request_bytes),
                show.byte_count(result.batch_request_bytes),
            ),
            (
                "response",
                show.byte_count(result.row_response_bytes),
                show.byte_count(result.batch_response_bytes),
            ),
        ],
    )
    seen = demo_report.hex_lines(result.seen_bytes)
    show.print_table(
        "One row, and as much of it as the server saw",
        ("at the asker", "", "at the server"),
        [
            (name, f"{value:g}", line)
            for (name, value), line in zip(result.plain_row, seen, strict=False)
        ],
    )
    show.print_lines(statement.sentences(result.plan.guarantee))


def _summary(result: DemoResult, report: Path) -> dict[str, Any]:
    return {
        "agreement": result.agreement,
        "rows": result.rows,
        "accuracy": result.protected_accuracy,
        "plain_accuracy": result.plain_accuracy,
        "max_score_error": result.max_score_error,
        "row_milliseconds": _rounded(result.row_milliseconds),
        "row_round_trip_ms": round(result.row_round_trip_milliseconds, 3),
        "batch_milliseconds": _rounded(result.batch_milliseconds),
        "batch_round_trip_ms": round(result.batch_round_trip_milliseconds, 3),
        "request_bytes": result.row_request_bytes,
        "response_bytes": result.row_response_bytes,
        "batch_request_bytes": result.batch_request_bytes,
        "batch_response_bytes": result.batch_response_bytes,
        "lambda": result.plan.guarantee.sanitising_bits,
        "ring_degree": result.plan.guarantee.ring_degree,
        "log_qp": result.plan.guarantee.log_modulus,
        "package_digest": result.package_digest,
        "report": str(report),
    }
