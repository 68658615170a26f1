"""What a client re-checks of a served plan, none of which it takes on trust.

1. The parameters are in this version's catalogue and satisfy the policy's column of the security
   table (they cannot be built otherwise).
2. The plan's numbers fit each other and stay within bounds (`LinearCircuit.of`).
3. Inputs and answers are hidden from the server, by the statement; and every other field of the
   statement that follows from the plan says what follows from it.
4. The decryption flooding is at least what the client's own policy asks for, by the client's own
   arithmetic, so that answers may be published. Both floods follow from public numbers alone: for a
   linear model from any weights whose scores fit the plan's scale, for a network from the bound on
   noise that the plan declares, which is its owner's word.
5. The server's flooding is at least what the statement claims.

The weights are the owner's to protect: a client does not demand that they be hidden from itself.
If its policy says that the server must not see them either, the statement has to say so too.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from strongroom.compiler.guarantee import linear_guarantee
from strongroom.compiler.hidden_guarantee import hidden_linear_guarantee
from strongroom.compiler.hidden_precision import hidden_flood
from strongroom.compiler.network_guarantee import network_guarantee
from strongroom.compiler.network_hidden_noise import hidden_flood as hidden_network_flood
from strongroom.compiler.network_noise import decryption_flood as network_decryption_flood
from strongroom.compiler.network_noise import sanitising_flood as network_sanitising_flood
from strongroom.compiler.plan import UNSEEN, Guarantee, HiddenLinearLayout, NetworkLayout, Plan
from strongroom.compiler.precision import decryption_flood, sanitising_flood
from strongroom.engine import satisfying
from strongroom.errors import PolicyError
from strongroom.policy import Policy
from strongroom.protections.fhe.circuit import LinearCircuit
from strongroom.protections.fhe.hidden_linear_circuit import HiddenLinearCircuit
from strongroom.protections.fhe.holders import require_holder
from strongroom.protections.fhe.network_circuit import NetworkCircuit

Circuit = LinearCircuit | HiddenLinearCircuit | NetworkCircuit

_TOLERANCE_BITS = 1e-6
"""For the rounding of logarithms between machines."""


_DERIVED: Final = (
    "protection",
    "weights_from_server",
    "inputs_from_server",
    "outputs_from_server",
    "weights_from_client",
    "ring_degree",
    "log_modulus",
    "log_distance_after_budget",
    "queries_to_extract",
)
"""Fields of a statement that follow from the plan and the statement's other numbers. Its sentences
are for people; another release may word them otherwise."""

_DEMANDS: Final = (
    "security",
    "sanitising_bits",
    "query_budget",
    "decryption_bits",
    "decryption_queries",
)
"""Fields of a statement that repeat those of the policy that the model was protected under."""


def circuit_of(plan: Plan) -> Circuit:
    """A plan's circuit, whatever its kind.

    Raises:
        PolicyError: SR-PLAN-INVALID, SR-PARAMETERS-UNKNOWN.
    """
    if isinstance(plan.layout, NetworkLayout):
        return NetworkCircuit.of(plan)
    if isinstance(plan.layout, HiddenLinearLayout):
        return HiddenLinearCircuit.of(plan)
    return LinearCircuit.of(plan)


def check_plan(plan: Plan, policy: Policy) -> None:
    """Check an untrusted plan against a client's policy.

    Raises:
        PolicyError: SR-PARAMETERS-UNKNOWN, -INSECURE, SR-PLAN-INVALID, -FLOODING, -GUARANTEE.
    """
    require_holder(plan)
    circuit = circuit_of(plan)
    _check_security(plan, policy)
    _check_guarantee(plan, circuit, policy)
    _check_flooding(plan, circuit, policy)
    if plan.costs.evaluation_key_bytes > policy.key_bytes:
        raise PolicyError(
            "SR-PLAN-KEYS",
            f"the model needs {plan.costs.evaluation_key_bytes >> 20} MiB of evaluation keys, the "
            f"policy allows {policy.key_bytes >> 20}",
            "Raise key_bytes in the policy, or ask for a model with smaller keys",
        )


def _check_security(plan: Plan, policy: Policy) -> None:
    if plan.parameters not in {entry.name for entry in satisfying(policy.security)}:
        raise PolicyError(
            "SR-PARAMETERS-INSECURE",
            f"parameters {plan.parameters} do not reach {policy.security}",
            "Ask the model's owner to protect it under that policy",
        )


def _check_guarantee(plan: Plan, circuit: Circuit, policy: Policy) -> None:
    stated = plan.guarantee
    problem = ""
    if not {stated.inputs_from_server, stated.outputs_from_server} <= set(UNSEEN):
        problem = "inputs or answers would be visible to the server"
    elif policy.hide == "model" and stated.weights_from_server not in UNSEEN:
        problem = "the model would be visible to the server"
    elif stated.decryption_bits < policy.decryption_bits:
        problem = (
            f"decryption_bits is {stated.decryption_bits}, the policy demands "
            f"{policy.decryption_bits}"
        )
    elif stated.decryption_queries < policy.decryption_queries:
        problem = (
            f"decryption_queries is {stated.decryption_queries}, the policy demands "
            f"{policy.decryption_queries}"
        )
    else:
        problem = _untrue(plan, circuit)
    if problem:
        raise PolicyError(
            "SR-PLAN-GUARANTEE",
            f"the guarantee statement falls short: {problem}",
            "Ask the model's owner to protect it under your policy",
        )


def _untrue(plan: Plan, circuit: Circuit) -> str:
    """What a statement says that the plan is not; empty if nothing."""
    stated = plan.guarantee
    try:
        claimed = msgspec.convert({name: getattr(stated, name) for name in _DEMANDS}, Policy)
    except (msgspec.ValidationError, PolicyError):
        return "no policy could have led to its numbers"
    if plan.parameters not in {entry.name for entry in satisfying(claimed.security)}:
        return f"its parameters do not reach the {claimed.security} that it claims"
    true = _statement(plan, circuit, claimed)
    wrong = [name for name in _DERIVED if not _equal(getattr(stated, name), getattr(true, name))]
    return f"{wrong[0]} is not what follows from the plan" if wrong else ""


def _equal(stated: object, true: object) -> bool:
    if isinstance(stated, float) and isinstance(true, float):
        return abs(stated - true) <= _TOLERANCE_BITS
    return stated == true


def _statement(plan: Plan, circuit: Circuit, claimed: Policy) -> Guarantee:
    """The statement that follows from a plan and the policy that it was made under."""
    if isinstance(circuit, NetworkCircuit):
        return network_guarantee(
            circuit.parameters,
            circuit.layout,
            plan.features,
            plan.input.column_labels(),
            claimed,
            results=circuit.packing.sums.groups,
        )
    if isinstance(circuit, HiddenLinearCircuit):
        return hidden_linear_guarantee(
            circuit.parameters,
            circuit.layout.columns,
            claimed,
            circuit.holding,
            results=circuit.packing.groups,
        )
    return linear_guarantee(
        circuit.parameters,
        circuit.layout.input_limbs,
        circuit.layout.columns,
        claimed,
        results=circuit.packing.groups,
    )


def _check_flooding(plan: Plan, circuit: Circuit, policy: Policy) -> None:
    layout, claimed_bits = circuit.layout, plan.guarantee.sanitising_bits
    if isinstance(circuit, NetworkCircuit) and circuit.layout.holding is not None:
        # One flood serves both: what the client asks for, and what the statement claims.
        decryption = sanitising = hidden_network_flood(
            circuit.parameters,
            circuit.packing.sums,
            circuit.sending.log_dropped,
            circuit.layout.log_noise,
            msgspec.structs.replace(policy, sanitising_bits=claimed_bits),
            circuit.layout.holding,
        )
    elif isinstance(circuit, NetworkCircuit):
        sending, log_noise = circuit.sending, circuit.layout.log_noise
        if log_noise < sending.least_log_noise:
            raise PolicyError(
                "SR-PLAN-FLOODING",
                f"the plan's noise is 2^{log_noise}, re-randomising alone makes "
                f"2^{sending.least_log_noise}",
                "Ask the model's owner for a plan that keeps its own statement",
            )
        decryption = network_decryption_flood(sending, log_noise, policy)
        sanitising = network_sanitising_flood(sending, log_noise, claimed_bits)
    elif isinstance(circuit, HiddenLinearCircuit):
        # One flood serves both: what the client asks for, and what the statement claims.
        decryption = sanitising = hidden_flood(
            circuit.parameters,
            circuit.limbs,
            circuit.layout.log_input_scale,
            circuit.layout.log_weight_scale,
            circuit.shape,
            circuit.holding,
            msgspec.structs.replace(policy, sanitising_bits=claimed_bits),
        )
    else:
        parameters, limbs, shape = circuit.parameters, circuit.limbs, circuit.shape
        log_weight = circuit.layout.log_weight_scale
        decryption = decryption_flood(parameters, limbs, log_weight, shape, policy)
        sanitising = sanitising_flood(parameters, limbs, log_weight, shape, claimed_bits)
    _require(layout.decryption_log_sigma, decryption, "decryption")
    _require(layout.flooding_log_sigma, sanitising, "sanitising")


def _require(log_sigma: float, least: float, what: str) -> None:
    if not (math.isfinite(log_sigma) and log_sigma >= least - _TOLERANCE_BITS):
        raise PolicyError(
            "SR-PLAN-FLOODING",
            f"the plan's {what} flooding is 2^{log_sigma:.1f}, at least 2^{least:.1f} is needed",
            "Ask the model's owner for a plan that keeps its own statement",
        )
