"""A plan in words: who sees what, under which assumption, what is not promised, what it costs."""

from __future__ import annotations

from strongroom.cli.show import byte_count, milliseconds
from strongroom.compiler.plan import Costs, Guarantee, Plan, Visibility

_SEES: dict[Visibility, str] = {
    "hidden": "does not see",
    "visible": "sees",
    "hidden-while-computing": "does not see while computing",
}


def visibility_rows(guarantee: Guarantee) -> list[tuple[str, str, str]]:
    """Rows of a table: what, whether the server sees it, whether the asker does."""
    return [
        ("rows that are asked about", _SEES[guarantee.inputs_from_server], "sees (its own)"),
        ("answers", _SEES[guarantee.outputs_from_server], "sees (its own)"),
        (
            "weights of the model",
            _SEES[guarantee.weights_from_server],
            _weights_from_client(guarantee),
        ),
        ("structure of the model", "sees", "sees: " + "; ".join(guarantee.structure_visible)),
    ]


def _weights_from_client(guarantee: Guarantee) -> str:
    if guarantee.weights_from_client == "visible":
        return "may recover"
    return "does not see, beyond what answers say"


def sentences(guarantee: Guarantee) -> list[str]:
    """The statement as plain sentences, the promises first, then what is not promised."""
    said = [
        f"Protection: {guarantee.protection}, security level {guarantee.security}, "
        f"ring degree {guarantee.ring_degree}, modulus of {guarantee.log_modulus:.0f} bits.",
        f"The machine that serves {_SEES[guarantee.inputs_from_server]} the rows, "
        f"{_SEES[guarantee.outputs_from_server]} the answers and "
        f"{_SEES[guarantee.weights_from_server]} the weights.",
    ]
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
    said.extend(f"Assumption: {assumption}" for assumption in guarantee.assumptions)
    said.append(
        "Not promised: answers alone reveal the model to whoever may ask often enough; "
        f"{guarantee.queries_to_extract:,} chosen queries suffice for one of this size."
    )
    said.append(f"Training data: {guarantee.training_data}")
    return said


def cost_rows(costs: Costs) -> list[tuple[str, str]]:
    """Rows of a table: what a plan predicts."""
    return [
        ("latency at the server, one row", milliseconds(costs.server_milliseconds)),
        ("latency at the asker, one row", milliseconds(costs.client_milliseconds)),
        ("extra memory of a full request at the server", byte_count(costs.server_peak_bytes)),
        ("memory of the loaded model", byte_count(costs.model_bytes)),
        ("secret key (stays with the asker)", byte_count(costs.secret_key_bytes)),
        ("public key (inside a request)", byte_count(costs.public_key_bytes)),
        ("evaluation keys (kept at the server)", byte_count(costs.evaluation_key_bytes)),
        ("request, one row", byte_count(costs.request_bytes)),
        ("response, one row", byte_count(costs.response_bytes)),
        ("rows in a request, at most", f"{costs.rows_per_request:,}"),
        ("full request", byte_count(costs.full_request_bytes)),
        ("full response", byte_count(costs.full_response_bytes)),
        ("score error, at most", f"{costs.score_error:.1e}"),
        ("precision of the largest score", f"{costs.precision_bits:.1f} bits"),
    ]


def model_line(plan: Plan) -> str:
    """One line on what the model takes and gives."""
    outcome = (
        f"{len(plan.output.classes)} classes"
        if plan.output.task == "classification"
        else f"{plan.output.outputs} value(s)"
    )
    return f"{plan.output.task}, {plan.input.columns} columns in, {outcome} out"
