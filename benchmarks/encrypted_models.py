"""Models that stay encrypted on the server: how fast, how large, how exact.

Three models: logistic regression on breast cancer (30 columns), XGBoost on the same rows (50 trees
of depth 4), and the network 784-128-10 with squares on MNIST. Client, server (two threads) and the
three members of the committee "vendor AND 1-of-2(hospital, auditor)" are processes of their own;
everything between them goes through TLS on loopback. Each key is made by the three members, every
answer is opened by shares of two of them. These compute each result again before they answer, as
policies have it by default (`audit_rate`), and they do so here on the processors that the server
has too; `*_unaudited_round_trip_ms` is without. Every row is held out; rows that are asked for
agreement alone are not computed again. `*_owner_*` is the same model under one owner's key, without
members.

`*_server_ms` is the server's computation alone, without the members, and `*_round_trip_ms` what the
client waits for, encryption and opening included; both are medians of single rows. `*_ratio` is
`*_server_ms` by that of the same network with plain weights, in alternating turns of one run: with
the same ring and modulus, the same packing, and the same primes at every step, circuit and sum
(`encrypted_plain`). The planner would give plain weights fewer primes; what they take then is in
the benchmarks `trees` and `mlp`. `*_key_bytes` is what the committee made, as the server maps it.

`*_noise_over_plan` compares decrypted scores with what is planned of smudging (`encrypted_noise`).

The last line is one JSON object; the benchmark exits with status 1 if it misses a floor.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import encrypted_members
import mlp_mnist
import numpy as np
from encrypted_members import HOLDING, Members, shared_exchange
from encrypted_noise import noise
from encrypted_plain import encoded_rows, plain_package
from floors import Floors, conclude
from mlp_models import SQUARE, scores, trained
from numpy.typing import NDArray
from serving import (
    Asked,
    Exchange,
    ask_row_by_row,
    asking,
    exchange,
    serving,
    worker_bytes,
)
from torch import nn
from trees_models import xgboost_breast_cancer

import strongroom
from strongroom.cli.demo_model import train
from strongroom.keys.committee.holder import CommitteeHolder
from strongroom.keys.model_holder import OwnerHolder
from strongroom.package.build import candidates
from strongroom.protections.fhe.protection import NetworkCandidate
from strongroom.protections.interface import Candidate

SAMPLE_ROWS = 1000
TEST_IMAGES = 1000
TIMED_ROWS = 50
ROWS_A_TURN = 10
PAUSE_SECONDS = 0.3
"""Before each row that is timed: members countersign each other's logs after an answer, and on a
machine that everybody shares they would do so while the server is at the next one."""
ROWS_AT_ONCE = 40
"""Of those that are asked for agreement alone."""

POLICY = strongroom.Policy(objective="latency", hide="model")
PLAIN = strongroom.Policy(objective="latency")

FLOORS: Floors = {
    "linear_agreement": (">=", 1.0),
    "linear_server_ms": ("<=", 5.0),
    "linear_round_trip_ms": ("<=", 100.0),
    "xgb_agreement": (">=", 1.0),
    "xgb_server_ms": ("<=", 200.0),
    "xgb_ratio": ("<=", 3.0),
    "mlp_agreement": (">=", 0.999),
    "mlp_server_ms": ("<=", 150.0),
    "mlp_ratio": ("<=", 3.0),
    "mlp_round_trip_ms": ("<=", 400.0),
    "mlp_package_bytes": ("<=", 40e6),
    "mlp_setup_seconds": ("<=", 20.0),
}


@dataclass(frozen=True)
class Case:
    """A model, and the rows around it.

    Attributes:
        name: prefix of its figures.
        model: to protect.
        sample: rows to plan it on.
        rows: held out.
        predictions: the plain model's, of the rows.
    """

    name: str
    model: Any
    sample: NDArray[Any]
    rows: NDArray[Any]
    predictions: NDArray[Any]


def main() -> int:
    """Run, print a table and the JSON line; 0 if every floor is met."""
    warnings.simplefilter("ignore", strongroom.InputRangeWarning)
    worker = worker_bytes()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, encrypted_members.members(Path(folder)) as three:
        for case in (_linear(), _xgboost(), _mlp()):
            results |= _measured(case, three, worker)
        results["member_resident_bytes"] = three.resident_bytes()
        results["audit_rate"] = three.policy.audit_rate
    results |= {name: results[f"mlp_{name}"] for name in ("lambda", "ring_degree", "log_qp")}
    results["resident_bytes"] = results["mlp_resident_bytes"]
    return conclude(results, FLOORS)


def _linear() -> Case:
    demo = train()
    rows, pipeline = demo.held_out_rows, demo.pipeline
    return Case("linear", pipeline, demo.training_rows, rows, pipeline.predict(rows))


def _xgboost() -> Case:
    cancer = xgboost_breast_cancer()
    rows = cancer.test_rows
    return Case("xgb", cancer.model, cancer.training_rows, rows, cancer.model.predict(rows))


def _mlp() -> Case:
    data = mlp_mnist.load()
    network, images = trained(SQUARE, data), data.test_images[:TEST_IMAGES]
    plain = scores(network, images).argmax(axis=1)
    # What a softmax ends in is a classifier; it runs at the client.
    model = nn.Sequential(network, nn.Softmax(dim=1))
    return Case("mlp", model, data.training_images[:SAMPLE_ROWS], images, plain)


def _measured(case: Case, three: Members, worker: int) -> dict[str, Any]:
    """All figures of one model."""
    planned = candidates(case.model, sample=case.sample, policy=POLICY, holding=HOLDING)[0]
    committee, setup_seconds = three.make_keys(planned.plan, case.name)
    start = time.perf_counter()
    package = strongroom.protect(
        case.model,
        sample=case.sample,
        policy=POLICY,
        holder=CommitteeHolder(committee),
        name=case.name,
    )
    protect_seconds = time.perf_counter() - start
    three.allow(package)
    with shared_exchange(package, three, committee) as hidden:
        asked, compared = _in_turns(case, planned, hidden)
        with three.unaudited():
            rows = case.rows[:ROWS_A_TURN]
            unaudited = ask_row_by_row(hidden.client, rows, pause_seconds=PAUSE_SECONDS)
            answers = _scores(hidden.client, case.rows)
        found = hidden.figures(case.name, asked, worker_bytes=worker)
    found |= {
        f"{case.name}_{name}": value
        for name, value in {
            # As the server maps them; what a committee made is never sent by an asker.
            "key_bytes": sum(path.stat().st_size for path in committee.glob("*.key")),
            "predicted_key_bytes": package.manifest.plan.costs.mapped_key_bytes,
            "package_bytes": three.package_bytes(package),
            "setup_seconds": round(setup_seconds, 2),
            "protect_seconds": round(protect_seconds, 1),
            "agreement": _agreement(case, package, answers, asked),
            "unaudited_round_trip_ms": unaudited.round_trip_ms,
        }.items()
    }
    exact = _exact(case, planned, package)
    found |= noise(case.name, package.manifest.plan, answers, exact)
    return found | compared | _owned(case)


def _in_turns(case: Case, planned: Candidate, hidden: Exchange) -> tuple[Asked, dict[str, Any]]:
    """Single rows, answered in turn with plain weights, so that a machine whose speed drifts drifts
    for both; a linear model has no plain one on its parameters."""
    rows = case.rows[:TIMED_ROWS]
    if not isinstance(planned, NetworkCandidate):
        return ask_row_by_row(hidden.client, rows, pause_seconds=PAUSE_SECONDS), {}
    package = plain_package(
        f"{case.name}-plain",
        hidden.package.manifest.plan,
        planned.choice.model,
        case.sample[:TIMED_ROWS],
        PLAIN,
    )
    turns: list[tuple[Asked, ...]] = []
    with exchange(package) as plain:
        for start in range(0, len(rows), ROWS_A_TURN):
            part = rows[start : start + ROWS_A_TURN]
            both = (
                ask_row_by_row(client, part, pause_seconds=PAUSE_SECONDS)
                for client in (hidden.client, plain.client)
            )
            turns.append(tuple(both))
        figures = plain.figures(f"{case.name}_plain", turns[-1][1], worker_bytes=0)
    ours, theirs = (_joined(side) for side in zip(*turns, strict=True))
    wanted = ("key_bytes", "request_bytes", "resident_bytes", "parameters")
    agreeing = theirs.predictions == case.predictions[:TIMED_ROWS]
    return ours, {
        **{f"{case.name}_plain_{name}": figures[f"{case.name}_plain_{name}"] for name in wanted},
        f"{case.name}_plain_server_ms": theirs.server_ms,
        f"{case.name}_plain_agreement": float(np.mean(agreeing)),
        f"{case.name}_ratio": round(ours.server_ms / theirs.server_ms, 3),
    }


def _joined(turns: tuple[Asked, ...]) -> Asked:
    """Several turns as one."""
    whole = Asked(request_bytes=turns[-1].request_bytes, response_bytes=turns[-1].response_bytes)
    for turn in turns:
        whole.answers += turn.answers
        whole.compute_seconds += turn.compute_seconds
        whole.round_trip_seconds += turn.round_trip_seconds
    return whole


def _scores(client: strongroom.Client, rows: NDArray[Any]) -> NDArray[np.float64]:
    parts = range(0, len(rows), ROWS_AT_ONCE)
    return np.vstack([client.scores(rows[start : start + ROWS_AT_ONCE]) for start in parts])


def _agreement(
    case: Case, package: strongroom.Package, answers: NDArray[np.float64], asked: Asked
) -> float:
    """Of all rows; the first ones were also asked one by one."""
    agreeing = [
        package.manifest.plan.output.predict(answers) == case.predictions,
        asked.predictions == case.predictions[: len(asked.answers)],
    ]
    return float(np.mean(np.concatenate(agreeing)))


def _exact(case: Case, planned: Candidate, package: strongroom.Package) -> NDArray[np.float64]:
    """What is encrypted, in the clear: a linear model's scores, or those of a network's planned
    polynomials."""
    plan = package.manifest.plan
    if not isinstance(planned, NetworkCandidate):
        return np.asarray(case.model.decision_function(case.rows)[:, None])
    if planned.plan.layout != plan.layout:
        raise SystemExit(f"{case.name} was protected by another plan than its keys are for")
    return planned.choice.model.scores(encoded_rows(plan, case.rows))


def _owned(case: Case) -> dict[str, Any]:
    """The same model under the key of one owner, who is the one to ask."""
    keys = strongroom.KeyStore.in_memory()
    package = strongroom.protect(
        case.model, sample=case.sample, policy=POLICY, holder=OwnerHolder(keys), name=case.name
    )
    with serving([package]) as server, asking(server, package, keys) as (client, network):
        rows = case.rows[:TIMED_ROWS]
        asked = ask_row_by_row(client, rows, pause_seconds=PAUSE_SECONDS)
        served = Exchange(package, server, client, network)
        figures = served.figures(f"{case.name}_owner", asked, worker_bytes=0)
    wanted = (
        "server_ms",
        "round_trip_ms",
        "request_bytes",
        "response_bytes",
        "key_bytes",
        "resident_bytes",
        "predicted_server_ms",
        "parameters",
    )
    agreeing = asked.predictions == case.predictions[:TIMED_ROWS]
    return {
        **{f"{case.name}_owner_{name}": figures[f"{case.name}_owner_{name}"] for name in wanted},
        f"{case.name}_owner_agreement": float(np.mean(agreeing)),
    }


if __name__ == "__main__":
    sys.exit(main())
