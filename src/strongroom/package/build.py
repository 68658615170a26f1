"""Protecting a model: import, plan, protect, and measure parity before anything is handed out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom import protections
from strongroom.compiler.plan import Plan
from strongroom.errors import PolicyError
from strongroom.models.feature_columns import RowRefused
from strongroom.models.graph import Graph
from strongroom.models.load import import_model
from strongroom.models.plain import plain_predictions
from strongroom.models.trees.options import TreeOptions
from strongroom.package.file import Package
from strongroom.package.manifest import Parity
from strongroom.package.membership import MemberRows, with_membership
from strongroom.package.parity import (
    affordable_rows,
    agreeing,
    plain_scores,
    protected_scores,
)
from strongroom.policy import Policy
from strongroom.protections.interface import Candidate

PARITY_ROWS: Final = 20_000
"""Of a larger sample, this many rows are drawn for the measurement of parity."""

PARITY_SECONDS: Final = 30.0
"""Of a slower model fewer, so that it takes about so long, but never fewer than ..."""

LEAST_PARITY_ROWS: Final = 100

DECISIVE_ROWS: Final = 1000
"""Before a model is refused for what a few rows say, this many are compared."""

_ROWS_AT_ONCE: Final = 1024
"""That are looked at, so that the features of a wide model fit into memory."""

_DEFAULT_POLICY: Final = Policy()


def plan(
    model: Any,
    *,
    sample: Any,
    protection: str = "fhe",
    policy: Policy = _DEFAULT_POLICY,
    trees: TreeOptions | None = None,
) -> Plan:
    """Say how a model would run protected, and what it would cost. Makes no key.

    Args:
        model: a fitted model of scikit-learn, XGBoost, LightGBM or CatBoost, a PyTorch module, an
            ONNX model, or the path of an `.onnx`, `.skops`, `.json`, `.ubj` or `.txt` file.
        sample: rows like those that will be asked about, shape (n, columns): an array or a
            pandas frame.
        protection: how the model is guarded: "fhe".
        policy: what must hold.
        trees: of a tree model, what its grid reveals and how trees are grouped.

    Raises:
        ModelError: the model can't be imported or protected.
        InputError: the sample is not a table of the model's columns.
        PolicyError: no parameters meet the policy.
    """
    return plans(model, sample=sample, protection=protection, policy=policy, trees=trees)[0]


def plans(
    model: Any,
    *,
    sample: Any,
    protection: str = "fhe",
    policy: Policy = _DEFAULT_POLICY,
    trees: TreeOptions | None = None,
) -> Sequence[Plan]:
    """All plans that meet a policy, the one that `plan` and `protect` take first.

    Args and Raises: see `plan`.
    """
    found = candidates(model, sample=sample, protection=protection, policy=policy, trees=trees)
    return [candidate.plan for candidate in found]


def candidates(
    model: Any,
    *,
    sample: Any,
    protection: str = "fhe",
    policy: Policy = _DEFAULT_POLICY,
    trees: TreeOptions | None = None,
) -> Sequence[Candidate]:
    """The same with what only the owner has: payloads, and what each layer costs.

    Args and Raises: see `plan`.
    """
    graph = import_model(model, sample=sample, trees=trees)
    rows = _checked(graph, sample)
    return protections.by_name(protection).candidates(graph, rows, policy)


def protect(
    model: Any,
    *,
    sample: Any,
    protection: str = "fhe",
    policy: Policy = _DEFAULT_POLICY,
    trees: TreeOptions | None = None,
    name: str | None = None,
    version: str = "1",
    members: Any = None,
    nonmembers: Any = None,
    member_labels: Any = None,
    nonmember_labels: Any = None,
) -> Package:
    """Protect a model.

    The protected model is run on the sample, encrypted, with a key that is thrown away, and
    compared with the plain one; the result is kept in the manifest. With members and nonmembers
    it is also measured how well the answers tell the two apart (`privacy.membership`), and written
    into the guarantee statement.

    Args:
        model, sample, protection, policy, trees: see `plan`.
        name: under which it is served; derived from the model if None.
        version: the owner's own word for this release.
        members: rows that the model was trained on, shape (n, columns), or None.
        nonmembers: rows like them that it was not trained on; with members only.
        member_labels, nonmember_labels: the true answers for both, or None.

    Raises:
        ModelError, InputError, PolicyError: see `plan`.
        InputError: SR-INPUT-MEMBERS if membership can't be measured with what is given.
        PolicyError: SR-POLICY-PARITY if it agrees with the plain model on too few rows.
        PackageError: SR-PACKAGE-NAME if name or version can't be used.
    """
    graph = import_model(model, sample=sample, trees=trees)
    rows = _checked(graph, sample)
    told_apart = MemberRows.of(graph, members, nonmembers, member_labels, nonmember_labels)
    chosen = protections.by_name(protection)
    candidate = chosen.candidates(graph, rows, policy)[0]
    its_plan, payload = candidate.plan, candidate.payload()

    def answers(asked: NDArray[np.float64]) -> NDArray[np.float64]:
        # There is no package yet whose digest could be bound.
        return protected_scores(chosen, its_plan, payload, asked, policy)

    def measured(places: NDArray[np.intp]) -> Parity:
        compared = rows[places]
        try:
            scores = answers(compared)
        except RowRefused as refusal:
            raise refusal.of_row(int(places[refusal.row])) from None
        plain = plain_predictions(model, graph, compared)
        agree = agreeing(graph.output, scores, plain, its_plan.costs.score_error)
        error = float(np.abs(scores - plain_scores(graph, compared)).max())
        return Parity(rows=len(compared), agreement=float(np.mean(agree)), max_score_error=error)

    order = np.random.default_rng(0).permutation(len(rows))
    most = affordable_rows(its_plan, PARITY_ROWS, LEAST_PARITY_ROWS, PARITY_SECONDS)
    parity = measured(np.sort(order[:most]))
    if parity.agreement < policy.minimum_agreement and most < min(DECISIVE_ROWS, len(rows)):
        parity = measured(np.sort(order[:DECISIVE_ROWS]))
    if parity.agreement < policy.minimum_agreement:
        raise PolicyError(
            "SR-POLICY-PARITY",
            f"protected and plain predictions agree on {parity.agreement:.4%} of "
            f"{parity.rows} rows, the policy demands {policy.minimum_agreement:.4%}",
            "Raise precision_bits in the policy, or look for rows on a decision boundary",
        )
    return Package.create(
        name=name or _name(graph.name),
        plan=its_plan if told_apart is None else with_membership(its_plan, told_apart, answers),
        payload=payload,
        parity=parity,
        version=version,
    )


def _checked(graph: Graph, sample: Any) -> NDArray[np.float64]:
    """The sample as the model takes it. Planning takes some of its rows only, so whether the
    preprocessing has an answer to each is found out here, by its number in the sample."""
    rows = graph.input.rows(sample)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        graph.features.encode(rows[start : start + _ROWS_AT_ONCE], start)
    return rows


def _name(graph_name: str) -> str:
    """A name that can stand in a URL."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", graph_name).strip("-._")[:100].lower()
    return name or "model"
