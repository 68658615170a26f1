"""A plan in words: who sees what, under which assumption, what is not promised, what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from strongroom.cli.show import byte_count, milliseconds
from strongroom.compiler.holding import KeyHolding
from strongroom.compiler.plan import (
    Costs,
    Guarantee,
    HiddenLinearLayout,
    NetworkLayout,
    Plan,
    SealedLayout,
    Visibility,
)

CANDIDATE_HEAD: Final = (
    *("", "parameters", "rows", "server", "asker", "keys", "request", "response", "precision"),
)
_CANDIDATES_SHOWN: Final = 10

_SEES: dict[Visibility, str] = {
    "hidden": "does not see",
    "visible": "sees",
    "hidden-while-computing": "does not see while computing",
    "serving-process": "sees in the serving process only",
}


def holding_of(plan: Plan) -> KeyHolding | None:
    """How the key of a hidden model is held; None of a model whose weights the server has."""
    layout = plan.layout
    return layout.holding if isinstance(layout, HiddenLinearLayout | NetworkLayout) else None


def visibility_rows(
    guarantee: Guarantee, holding: KeyHolding | None = None
) -> list[tuple[str, str, str]]:
    """Rows of a table: what, whether the server sees it, whether the asker does."""
    return [
        ("rows that are asked about", _SEES[guarantee.inputs_from_server], "sees (its own)"),
        ("answers", _SEES[guarantee.outputs_from_server], "sees (its own)"),
        (
            "weights of the model",
            _SEES[guarantee.weights_from_server],
            _weights_from_client(guarantee, holding),
        ),
        ("structure of the model", "sees", "sees what is listed below"),
    ]


def _weights_from_client(guarantee: Guarantee, holding: KeyHolding | None) -> str:
    if holding is not None and holding.share_budget is None:
        return "sees (the owner asks)"
    if guarantee.weights_from_client == "visible":
        return "may recover"
    return "does not see, beyond what answers say"


def sentences(guarantee: Guarantee, holding: KeyHolding | None = None) -> list[str]:
    """The statement as plain sentences, the promises first, then what is not promised.

    Args:
        holding: of the key of a hidden model.
    """
    computed_on = guarantee.ring_degree > 0
    said = _encrypted(guarantee, holding) if computed_on else _sealed(guarantee)
    said.extend(_visible(guarantee.structure_visible))
    said.extend(f"Assumption: {assumption}" for assumption in guarantee.assumptions)
    said.append(
        "Not promised: answers alone reveal the model to whoever may ask often enough; "
        f"for one of this size that takes about {guarantee.queries_to_extract:,} answers."
    )
    said.append(f"Training data: {guarantee.training_data}")
    return said


def _encrypted(guarantee: Guarantee, holding: KeyHolding | None) -> list[str]:
    """What is promised where the server computes on ciphertexts."""
    return [
        *_computed(guarantee),
        *(_flooded(guarantee) if holding is None else _held(guarantee, holding)),
    ]


def _computed(guarantee: Guarantee) -> list[str]:
    return [
        f"Protection: {guarantee.protection}, security level {guarantee.security}, "
        f"ring degree {guarantee.ring_degree}, modulus of {guarantee.log_modulus:.0f} bits.",
        f"The machine that serves {_seen('the rows', guarantee.inputs_from_server)}, "
        f"{_seen('the answers', guarantee.outputs_from_server)} and "
        f"{_seen('the weights', guarantee.weights_from_server)}.",
    ]


def _seen(what: str, visibility: Visibility) -> str:
    verb, word, when = _SEES[visibility].partition(" while")
    return f"{verb} {what}{word}{when}"


def _held(guarantee: Guarantee, holding: KeyHolding) -> list[str]:
    """What is promised of a hidden model's answers, by who holds its key."""
    if holding.share_budget is None:
        return [
            "The key is in one hand, the owner's, who is the only one to ask. Published answers do "
            "not endanger it: decryption floods for "
            f"{guarantee.decryption_bits} bits over {guarantee.decryption_queries:,} answers a key."
        ]
    return [
        f"The key is in {holding.parts} part{'s' * (holding.parts > 1)}, which its holders never "
        "put together: they open results, for askers whom they enrolled.",
        "Answers say no more of the weights, and of the parts, than the results do: each part's "
        f"share is flooded with lambda = {guarantee.sanitising_bits}, so that all "
        f"{holding.share_budget:,} shares that the key allows, of all models, are within "
        f"statistical distance 2^{guarantee.log_distance_after_budget:.1f}.",
    ]


def _flooded(guarantee: Guarantee) -> list[str]:
    """What is promised of the answers of a model that the server has."""
    said = []
    if guarantee.sanitising_bits == 0:
        said.append(
            "Weights are NOT hidden from askers: lambda is 0, and some responses together may hold "
            "enough to recover them."
        )
    else:
        said.append(
            "An asker learns no more of the weights than the answers say: responses are flooded "
            f"with lambda = {guarantee.sanitising_bits}, and after {guarantee.query_budget:,} "
            "queries the statistical distance is at most "
            f"2^{guarantee.log_distance_after_budget:.1f}."
        )
    said.append(
        "Published answers do not endanger the asker's key while the server follows the protocol: "
        f"decryption floods for {guarantee.decryption_bits} bits over "
        f"{guarantee.decryption_queries:,} answers a key."
    )
    return said


def _sealed(guarantee: Guarantee) -> list[str]:
    """What is promised where one process of the server computes in the clear."""
    return [
        f"Protection: {guarantee.protection}, security level {guarantee.security}: X-Wing and "
        "AES-256, broken only by whoever breaks both ML-KEM-768 and X25519.",
        "What is asked, what is answered and the weights are in the clear in ONE place: the "
        "serving process, while it computes. Between the asker and that process nobody reads or "
        "alters a message unnoticed, and an answer opens for its own question only.",
        "An asker sees answers, and no weight.",
    ]


def cost_rows(plan: Plan) -> list[tuple[str, str]]:
    """Rows of a table: what a plan predicts."""
    if isinstance(plan.layout, SealedLayout):
        return _sealed_cost_rows(plan)
    costs, rows, holding = plan.costs, plan.rows_at_once, holding_of(plan)
    threads = ", two threads" if isinstance(plan.layout, NetworkLayout) else ""
    said = [
        (f"latency at the server, one row{threads}", milliseconds(costs.server_milliseconds)),
        ("latency at the asker, one row", milliseconds(costs.client_milliseconds)),
        ("rows that share a ciphertext, in about the same time", f"{rows:,}"),
        ("extra memory of a full request at the server", byte_count(costs.server_peak_bytes)),
        ("memory of the loaded model", byte_count(costs.model_bytes)),
    ]
    if holding is not None and holding.share_budget is not None:
        said += [
            (
                "a part of the secret key (stays with its holders)",
                byte_count(costs.secret_key_bytes),
            ),
            (
                "evaluation keys, made once, on the server's disk",
                byte_count(costs.mapped_key_bytes),
            ),
        ]
        return [*said, *_traffic_rows(costs)]
    said.append(("secret key (stays with the asker)", byte_count(costs.secret_key_bytes)))
    if costs.evaluation_key_bytes:
        said += [
            (
                "keys that an asker uploads once, for all models on these parameters",
                byte_count(costs.evaluation_key_bytes),
            ),
            ("these keys on the server's disk", byte_count(costs.mapped_key_bytes)),
        ]
    else:
        said.append(("public key (inside a request)", byte_count(costs.public_key_bytes)))
    return [*said, *_traffic_rows(costs)]


def _traffic_rows(costs: Costs) -> list[tuple[str, str]]:
    return [
        ("request, one row", byte_count(costs.request_bytes)),
        ("response, one row", byte_count(costs.response_bytes)),
        ("rows in a request, at most", f"{costs.rows_per_request:,}"),
        ("full request", byte_count(costs.full_request_bytes)),
        ("full response", byte_count(costs.full_response_bytes)),
        ("score error, at most", f"{costs.score_error:.1e}"),
        ("precision of the largest score", f"{costs.precision_bits:.1f} bits"),
    ]


def _sealed_cost_rows(plan: Plan) -> list[tuple[str, str]]:
    costs = plan.costs
    said = [
        ("latency at the server, sealing included", milliseconds(costs.server_milliseconds)),
        ("latency at the asker", milliseconds(costs.client_milliseconds)),
        ("memory of the loaded model", byte_count(costs.model_bytes)),
        ("request, the smallest", byte_count(costs.request_bytes)),
        ("response to it", byte_count(costs.response_bytes)),
        ("largest request", byte_count(costs.full_request_bytes)),
        ("largest response", byte_count(costs.full_response_bytes)),
    ]
    if plan.prediction is not None:
        said += [
            ("rows in a request, at most", f"{costs.rows_per_request:,}"),
            ("score error, at most", f"{costs.score_error:.1e}"),
        ]
    return said


def candidate_rows(plans: Sequence[Plan]) -> list[tuple[str, ...]]:
    """Rows of a table: the first ways in which a model could run, the chosen one marked. `rows` is
    how many share a ciphertext."""
    return [
        (
            "chosen" if place == 0 else "",
            plan.parameters,
            f"{plan.rows_at_once:,}",
            milliseconds(plan.costs.server_milliseconds),
            milliseconds(plan.costs.client_milliseconds),
            byte_count(plan.costs.evaluation_key_bytes),
            byte_count(plan.costs.request_bytes),
            byte_count(plan.costs.response_bytes),
            f"{plan.costs.precision_bits:.0f} bits",
        )
        for place, plan in enumerate(plans[:_CANDIDATES_SHOWN])
    ]


def model_line(plan: Plan) -> str:
    """One line on what the model takes and gives."""
    if plan.prediction is None:
        return _tensor_line(plan)
    outcome = (
        f"{len(plan.output.classes)} classes"
        if plan.output.task == "classification"
        else f"{plan.output.outputs} value(s)"
    )
    line = f"{plan.output.task}, {plan.input.columns} columns in, {outcome} out"
    if not isinstance(plan.layout, NetworkLayout):
        return line
    steps = plan.layout.steps
    units = " + ".join(f"{step.blocks * step.units:,}" for step in steps)
    return (
        f"{line}; {plan.layout.features:,} numbers of a row are encrypted, "
        f"{len(steps)} hidden step{'s' * (len(steps) > 1)} of {units} units"
    )


def _tensor_line(plan: Plan) -> str:
    layout = plan.layout
    if not isinstance(layout, SealedLayout):
        return "named tensors"
    sides = (
        ", ".join(
            f"{spec.name} {spec.dtype}"
            f"[{', '.join('any' if size is None else str(size) for size in spec.shape)}]"
            for spec in specs
        )
        for specs in (layout.inputs, layout.outputs)
    )
    return "named tensors: {} in, {} out".format(*sides)


def _visible(structure: Sequence[str]) -> list[str]:
    """What every asker can read: short items in one sentence, sentences by themselves."""
    items = [item for item in structure if not item.endswith(".")]
    said = [f"Every asker can read in the plan: {'; '.join(items)}."] if items else []
    return said + [item for item in structure if item.endswith(".")]
