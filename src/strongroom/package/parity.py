"""How far protected answers agree with plain ones: both sides of a model in one process.

The client's side makes a key that is thrown away, encrypts rows, and decrypts what the server's
side makes of them: the ciphertexts are those that a network would carry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.layering import layered
from strongroom.compiler.plan import Plan
from strongroom.engine import available_threads
from strongroom.keys.local_serving import NO_PACKAGE, OwnKeys
from strongroom.keys.local_sets import LocalKeySets
from strongroom.keys.store import KeyStore
from strongroom.models.feature_columns import RowRefused
from strongroom.models.graph import Graph
from strongroom.models.graph_scores import graph_scores
from strongroom.models.output import OutputSpec
from strongroom.package.payload import Payload
from strongroom.policy import Policy
from strongroom.protections.interface import KeyProvider, ServedProtection, Serving

_ROWS_AT_ONCE: Final = 1024
"""In the clear, so that the units of a wide layer fit into memory."""


def protected_scores(
    protection: ServedProtection,
    plan: Plan,
    payload: Payload,
    rows: NDArray[np.float64],
    policy: Policy,
    *,
    keys: KeyProvider | None = None,
    package: str = NO_PACKAGE,
    advance: Callable[[int], None] | None = None,
) -> NDArray[np.float64]:
    """Scores of rows by way of ciphertexts, shape (n, outputs), as an asker would read them.

    Args:
        plan, payload: of the protected model.
        rows: checked, shape (n, columns).
        policy: that the plan must satisfy.
        keys: of the asker; made for this and forgotten, if None. A hidden model answers only those
            under whose key it is encrypted.
        package: digest to bind into messages; a digest of nothing where there is no package yet.
        advance: told how many more rows are done, after each request.

    Raises:
        PolicyError: the plan falls short of the policy.
        PackageError: the payload is damaged.
        InputError: as for `ClientSide.check`.
    """
    threads, own = available_threads(), OwnKeys()
    serving = Serving(own, own.now, threads)
    server = protection.open_server(plan, payload, package=package, serving=serving)
    client = protection.open_client(
        plan, keys or KeyStore.in_memory(), policy, package=package, serving=own
    )
    key_sets = None if client.key_set is None else LocalKeySets(client.key_set)
    client.check(rows)
    scores = np.empty((len(rows), plan.output.outputs))
    for start in range(0, len(rows), client.rows_per_request):
        part = rows[start : start + client.rows_per_request]
        pending = client.encrypt(client.encode(part))
        response = server.answer(pending.body, keys=key_sets, threads=threads)
        try:
            scores[start : start + len(part)] = client.decrypt(pending, response)
        except RowRefused as refusal:
            raise refusal.counted_from(start) from None
        if advance is not None:
            advance(len(part))
    return scores


def affordable_rows(plan: Plan, most: int, least: int, seconds: float) -> int:
    """How many rows `protected_scores` runs in about so many seconds, from `least` to `most`."""
    milliseconds = plan.costs.server_milliseconds + plan.costs.client_milliseconds
    affordable = int(1000.0 * seconds / milliseconds * plan.rows_at_once)
    return min(most, max(least, affordable))


def plain_scores(graph: Graph, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Raw scores of the imported model in the clear, in float64, shape (n, outputs).

    Args:
        rows: checked, shape (n, columns).
    """
    parts = np.array_split(rows, -(-len(rows) // _ROWS_AT_ONCE))
    if any(node.operator == "TreeEnsemble" for node in graph.nodes):
        model = layered(graph)
        return np.vstack([model.arguments(graph.features.encode(part))[-1] for part in parts])
    return np.vstack([graph_scores(graph, graph.features.encode(part)) for part in parts])


def agreeing(
    output: OutputSpec,
    scores: NDArray[np.float64],
    plain: NDArray[np.generic[Any]],
    score_error: float,
) -> NDArray[np.bool_]:
    """Which rows predict the same, shape (n,): labels equal, or values that scores within the score
    error can have.

    Args:
        scores: protected, shape (n, outputs).
        plain: what the plain model predicts (`models.plain.plain_predictions`).
        score_error: that the plan declares.
    """
    if output.task == "classification":
        return np.asarray(output.predict(scores) == plain)
    values = plain.astype(np.float64)
    if output.link == "softmax":  # no value moves by more than half of what its scores do
        reach = score_error * output.link_scale
        within = np.abs(output.predict(scores).astype(np.float64) - values) <= reach
    else:  # every other link of a regressor grows with its score
        low, high = (
            output.predict(scores + moved).astype(np.float64)
            for moved in (-score_error, score_error)
        )
        within = (low <= values) & (values <= high)
    return np.asarray(within.reshape(len(scores), -1).all(axis=1))
