"""What can be hidden of a network: which circuits, and how large a model."""

from __future__ import annotations

import os
from collections.abc import Sequence

from strongroom.compiler.activation_circuits import ActivationFit
from strongroom.compiler.layer_names import LayerName
from strongroom.compiler.plan import HiddenLevel, Plan
from strongroom.engine.slot_functions import SlotFunctionPlan
from strongroom.engine.square_tower_plans import SquareTowerPlan
from strongroom.engine.square_towers import SquareTower
from strongroom.errors import PolicyError
from strongroom.policy import Policy


def towers_only(
    names: Sequence[LayerName], candidates: Sequence[Sequence[ActivationFit]]
) -> list[list[ActivationFit]]:
    """Of each layer's circuits those that can be hidden: coefficients of a square tower join its
    products as ciphertexts and take no level.

    Args:
        names: of the layers; fewer or more than candidates if a layer became several.

    Raises:
        PolicyError: SR-PLAN-HIDING, naming the layer that has none.
    """
    found: list[list[ActivationFit]] = []
    for number, fits in enumerate(candidates):
        found.append([fit for fit in fits if _are_towers(fit)])
        if not found[-1]:
            name = names[number] if len(names) == len(candidates) else LayerName("", "")
            node = f"node {name.node[:60]!r}: " if name.node else ""
            raise PolicyError(
                "SR-PLAN-HIDING",
                f"hidden layer {number + 1} of {len(candidates)} ({node}"
                f"{name.function or 'its activation'}) takes a general polynomial, and the "
                "coefficients of one can't be encrypted; only those of square towers can",
                "Use squares, polynomials of degree 2 or 4, smooth activations, or trees of depth "
                "up to 8 whose grid is not hidden; or hide the inputs only",
            )
    return found


def _are_towers(fit: ActivationFit) -> bool:
    return all(isinstance(circuit, SquareTower) for circuit in fit.circuits)


def hidden_levels(plan: SlotFunctionPlan) -> tuple[HiddenLevel, ...]:
    """What is public of a circuit's coefficients."""
    if not isinstance(plan, SquareTowerPlan):
        raise ValueError("only a square tower can be hidden")
    return tuple(
        HiddenLevel(tuple(plan.terms(level)), plan.has_constant(level))
        for level in range(1, plan.tower.depth + 1)
    )


def resident_bytes(plan: Plan) -> int:
    """Memory that a server needs of a plan: weights, one asker's keys, and working memory."""
    costs = plan.costs
    return costs.model_bytes + costs.mapped_key_bytes + costs.server_peak_bytes


def memory_bytes() -> int:
    """Of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def no_hidden_parameters(policy: Policy, too_large: Sequence[int]) -> PolicyError:
    """The refusal of a model that no parameters hold while it is hidden.

    Args:
        too_large: bytes of memory of plans that would do.
    """
    if too_large:
        return PolicyError(
            "SR-PLAN-HIDING",
            "with its weights encrypted the model would take "
            f"{_gib(min(too_large))} GiB of memory, and this machine has {_gib(memory_bytes())}",
            "Plan it on a machine with more memory, take a smaller model, or hide the inputs only",
        )
    return PolicyError(
        "SR-PLAN-HIDING",
        "no parameters in the catalogue hold this model with its weights encrypted, at a precision "
        f"of {policy.precision_bits} bits and {policy.key_bytes >> 20} MiB of evaluation keys: "
        "every matrix is a level as long as a product then",
        "Take fewer layers, lower precision_bits or decryption_bits, raise key_bytes, or hide the "
        "inputs only",
    )


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f}"
