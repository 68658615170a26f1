"""One of each supported estimator, trained, protected, served and asked: make bench NAME=sklearn.

Every model answers rows that were held out, encrypted, through a server process with two threads;
the models of a family are served together and asked by one client key store. A row of the table is
`passed` if at least 99 % of the labels are the plain model's, or, of a regression, if no value is
off by more than 2 % of the standard deviation of the plain values (most are off by 0.01 %, networks
of ReLU by 1 %). Milliseconds are the server's own of a single row, median. Names on the command
line restrict the table to what they occur in.

The last line is one JSON object; the benchmark exits with status 1 unless all passed. An estimator
that the importer knows and the table does not is `unlisted`, and then not all have passed.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

import numpy as np
from floors import Floors, conclude
from serving import Server, ask_row_by_row, asking, serving
from sklearn_cases import cases, unlisted
from sklearn_data import split
from sklearn_models import Case

import strongroom

ROWS = 100
"""Held-out rows that each model is asked."""

TIMED_ROWS = 5
LEAST_AGREEMENT = 0.99
LARGEST_DEVIATION = 0.02

FLOORS: Floors = {"all_passed": (">=", 1.0)}


@dataclass(frozen=True)
class Row:
    """One model's line.

    Attributes:
        agreement: share of rows with the plain model's label, or of values that are close enough.
        error: largest distance from the plain values in standard deviations of these; None of a
            classifier.
        server_ms, round_trip_ms: of a single row.
        failure: what went wrong, if it did not get so far.
    """

    estimator: str
    data: str
    passed: bool
    agreement: float = 0.0
    error: float | None = None
    server_ms: float | None = None
    round_trip_ms: float | None = None
    key_bytes: int = 0
    request_bytes: int = 0
    ring_degree: int = 0
    log_qp: float = 0.0
    sanitising_bits: int = 0
    failure: str = ""


def main() -> int:
    """Run, print a table and the JSON line; 0 if all passed."""
    warnings.simplefilter("ignore", strongroom.InputRangeWarning)
    warnings.simplefilter("ignore", FutureWarning)  # scikit-learn, of what it will drop
    wanted = [name.lower() for name in sys.argv[1:] if not name.startswith("-")]
    chosen = [
        case
        for case in cases()
        if not wanted or any(name in f"{case.family} {case.name}".lower() for name in wanted)
    ]
    print(
        f"{'':<34}{'':<17}{'agreement':>10}{'error':>9}{'server ms':>11}{'all ms':>9}"
        f"{'keys MB':>9}{'ask kB':>8}  log N"
    )
    rows: list[Row] = []
    resident = 0
    for _, family in groupby(chosen, lambda case: case.family):
        its_rows, its_resident = _family(list(family))
        rows += its_rows
        resident = max(resident, its_resident)
    served = [row for row in rows if row.ring_degree]
    missing = [] if wanted else unlisted(chosen)
    results = {
        "all_passed": bool(rows) and not missing and all(row.passed for row in rows),
        "estimators": len(rows),
        "unlisted": missing,
        "failed": [row.estimator for row in rows if not row.passed],
        "lambda": min((row.sanitising_bits for row in served), default=0),
        "ring_degree": max((row.ring_degree for row in served), default=0),
        "log_qp": max((row.log_qp for row in served), default=0.0),
        "resident_bytes": resident,
    }
    return conclude(results, FLOORS, details={"rows": [asdict(row) for row in rows]})


def _family(family: list[Case]) -> tuple[list[Row], int]:
    """Protect all, serve them together, ask each; and what the server held at most."""
    rows, prepared = [], []
    for number, case in enumerate(family):
        try:
            prepared.append((case, *_protected(case, f"{case.family}-{number}")))
        except Exception as error:  # a row of the table, whatever it is
            rows.append(_failed(case, error))
    if not prepared:
        return rows, 0
    keys = strongroom.KeyStore.in_memory()
    with serving([package for _, _, package in prepared]) as server:
        for case, model, package in prepared:
            try:
                row = _asked(case, model, package, server, keys)
            except Exception as error:  # a row of the table, whatever it is
                row = _failed(case, error)
            rows.append(row)
            _print(row)
        return rows, server.resident_bytes()


def _protected(case: Case, name: str) -> tuple[Any, strongroom.Package]:
    data = split(case.data)
    model = case.fit(data)
    policy = strongroom.Policy(minimum_agreement=case.minimum_agreement)
    return model, strongroom.protect(model, sample=data.training_rows, policy=policy, name=name)


def _asked(
    case: Case,
    model: Any,
    package: strongroom.Package,
    server: Server,
    keys: strongroom.KeyStore,
) -> Row:
    data = split(case.data)
    rows = data.held_out_rows[:ROWS]
    plain = np.asarray(model.predict(rows))
    with asking(server, package, keys) as (client, network):
        timed = ask_row_by_row(client, rows[:TIMED_ROWS])
        answers = np.asarray(client.predict(rows)).reshape(plain.shape)
    error = None
    if case.classifies:
        agreement = float(np.mean(answers == plain))
    else:
        deviation = np.std(plain, axis=0)
        differences = (np.abs(answers - plain) / deviation).reshape(len(plain), -1).max(axis=1)
        agreement = float(np.mean(differences <= LARGEST_DEVIATION))
        error = float(f"{differences.max():.2g}")
    guarantee = package.manifest.plan.guarantee
    return Row(
        case.name,
        case.data,
        passed=agreement >= (LEAST_AGREEMENT if case.classifies else 1.0),
        agreement=agreement,
        error=error,
        server_ms=timed.server_ms,
        round_trip_ms=timed.round_trip_ms,
        key_bytes=network.key_bytes,
        request_bytes=timed.request_bytes,
        ring_degree=guarantee.ring_degree,
        log_qp=round(guarantee.log_modulus, 2),
        sanitising_bits=guarantee.sanitising_bits,
    )


def _failed(case: Case, error: Exception) -> Row:
    failure = str(error) if isinstance(error, strongroom.StrongroomError) else repr(error)
    row = Row(case.name, case.data, passed=False, failure=failure)
    _print(row)
    return row


def _print(row: Row) -> None:
    start = f"{row.estimator:<34}{row.data:<17}"
    if row.failure:
        print(f"{start}FAILED {row.failure}", flush=True)
        return
    error = "" if row.error is None else f"{row.error:.1e}"
    print(
        f"{start}{row.agreement:>10.4f}{error:>9}{row.server_ms:>11.2f}{row.round_trip_ms:>9.1f}"
        f"{row.key_bytes / 1e6:>9.1f}{row.request_bytes / 1e3:>8.0f}"
        f"  {row.ring_degree.bit_length() - 1}{'' if row.passed else '  MISSED'}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
