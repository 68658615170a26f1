"""Protecting a model: import, plan, protect, and measure parity before anything is handed out."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom import protections
from strongroom.compiler.affine import fold_affine
from strongroom.compiler.plan import Plan
from strongroom.errors import PolicyError
from strongroom.keys.store import KeyStore
from strongroom.models.graph import Graph
from strongroom.models.load import import_model
from strongroom.models.plain import plain_predictions
from strongroom.package.file import Package
from strongroom.package.manifest import Parity
from strongroom.policy import Policy
from strongroom.protections.interface import ServedProtection

PARITY_ROWS: Final = 20_000
"""Of a larger sample, this many rows are drawn for the measurement of parity."""

_DEFAULT_POLICY: Final = Policy()


def plan(
    model: Any, *, sample: Any, protection: str = "fhe", policy: Policy = _DEFAULT_POLICY
) -> Plan:
    """Say how a model would run protected, and what it would cost. Makes no key.

    Args:
        model: a fitted scikit-learn model, an ONNX model, or the path of an `.onnx` or `.skops`
            file.
        sample: rows like those that will be asked about, shape (n, columns): an array or a
            pandas frame.
        protection: how the model is guarded: "fhe".
        policy: what must hold.

    Raises:
        ModelError: the model can't be imported or protected.
        InputError: the sample is not a table of the model's columns.
        PolicyError: no parameters meet the policy.
    """
    graph = import_model(model)
    return protections.by_name(protection).plan(graph, graph.input.rows(sample), policy)


def protect(
    model: Any,
    *,
    sample: Any,
    protection: str = "fhe",
    policy: Policy = _DEFAULT_POLICY,
    name: str | None = None,
    version: str = "1",
) -> Package:
    """Protect a model.

    The protected model is run on the sample, encrypted, with a key that is thrown away, and
    compared with the plain one; the result is kept in the manifest.

    Args:
        model, sample, protection, policy: see `plan`.
        name: under which it is served; derived from the model if None.
        version: the owner's own word for this release.

    Raises:
        ModelError, InputError, PolicyError: see `plan`.
        PolicyError: SR-POLICY-PARITY if it agrees with the plain model on too few rows.
        PackageError: SR-PACKAGE-NAME if name or version can't be used.
    """
    chosen = protections.by_name(protection)
    graph = import_model(model)
    rows = graph.input.rows(sample)
    its_plan = chosen.plan(graph, rows, policy)
    payload = chosen.protect(graph, its_plan)
    compared = _draw(rows)
    parity = _measure(model, graph, chosen, its_plan, payload, compared, policy)
    if parity.agreement < policy.minimum_agreement:
        raise PolicyError(
            "SR-POLICY-PARITY",
            f"protected and plain predictions agree on {parity.agreement:.4%} of "
            f"{parity.rows} rows, the policy demands {policy.minimum_agreement:.4%}",
            "Raise precision_bits in the policy, or look for rows on a decision boundary",
        )
    return Package.create(
        name=name or _name(graph.name),
        plan=its_plan,
        payload=payload,
        parity=parity,
        version=version,
    )


def _draw(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    if len(rows) <= PARITY_ROWS:
        return rows
    return rows[np.random.default_rng(0).choice(len(rows), PARITY_ROWS, replace=False)]


def _measure(
    model: Any,
    graph: Graph,
    protection: ServedProtection,
    its_plan: Plan,
    payload: bytes,
    rows: NDArray[np.float64],
    policy: Policy,
) -> Parity:
    """Run client and server sides against each other on real ciphertexts."""
    # There is no package yet whose digest could be bound.
    server = protection.open_server(its_plan, payload, package="")
    client = protection.open_client(its_plan, KeyStore.in_memory(), policy, package="")
    parts = []
    for start in range(0, len(rows), client.rows_per_request):
        pending = client.encrypt(client.encode(rows[start : start + client.rows_per_request]))
        parts.append(client.decrypt(pending, server.answer(pending.body)))
    scores = np.vstack(parts)
    affine = fold_affine(graph)
    error = float(np.abs(scores - (graph.features.encode(rows) @ affine.weights.T + affine.bias)).max())
    protected, plain = graph.output.predict(scores), plain_predictions(model, graph, rows)
    if graph.output.task == "classification":
        agree = protected == plain
    else:
        difference = np.abs(protected.astype(np.float64) - plain.astype(np.float64))
        agree = (difference.reshape(len(rows), -1) <= its_plan.costs.score_error).all(axis=1)
    return Parity(rows=len(rows), agreement=float(np.mean(agree)), max_score_error=error)


def _name(graph_name: str) -> str:
    """A name that can stand in a URL."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", graph_name).strip("-._")[:100].lower()
    return name or "model"
