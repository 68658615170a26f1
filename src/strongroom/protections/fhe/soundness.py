"""What every circuit asks of a plan, and binds its messages to, whatever the plan's layout."""

from __future__ import annotations

import hashlib
import math

from strongroom.canonical import canonical_json
from strongroom.compiler.plan import HiddenLinearLayout, LinearLayout, NetworkLayout, Plan
from strongroom.engine import LARGEST_LOG_FLOOD
from strongroom.errors import PolicyError

_Layout = LinearLayout | HiddenLinearLayout | NetworkLayout


def binding(plan: Plan, package: str) -> bytes:
    """32 bytes that name package and plan in every message.

    Args:
        package: its digest.
    """
    named = [package, plan.parameters, plan.layout, plan.input, plan.features, plan.output]
    return hashlib.sha256(canonical_json(named)).digest()


def require_sound_ranges(plan: Plan, layout: _Layout, features: int) -> None:
    """Preprocessing, ranges and outputs fit the model.

    Args:
        features: that the layout takes.

    Raises:
        PolicyError: SR-PLAN-INVALID.
    """
    if plan.prediction is None:
        raise contradiction("it says nothing of the model's rows")
    if features != plan.features.width or plan.features.columns != plan.input.columns:
        raise contradiction("its preprocessing has other columns than its model")
    if layout.outputs != plan.output.outputs:
        raise contradiction("its layout has other outputs than its model")
    if not len(layout.centre) == len(layout.half_width) == features:
        raise contradiction("its ranges are not one for each number that is encrypted")
    if not all(map(math.isfinite, layout.centre)):
        raise contradiction("a centre is not finite")
    if not all(math.isfinite(h) and h > 0 and math.frexp(h)[0] == 0.5 for h in layout.half_width):
        raise contradiction("a half width is not a power of two")


def require_sound_floods(layout: _Layout, log_modulus: float) -> None:
    """Floods and the rounding of answers are numbers that can be computed with.

    Args:
        log_modulus: log2 of that of a request's ciphertexts.

    Raises:
        PolicyError: SR-PLAN-INVALID.
    """
    floods = (layout.flooding_log_sigma, layout.decryption_log_sigma)
    largest = min(log_modulus, LARGEST_LOG_FLOOD)
    if not all(math.isfinite(f) and 0.0 <= f <= largest for f in floods):
        raise contradiction("its flooding is out of bounds")
    if not -1000 <= layout.log_output_step <= 1000:
        raise contradiction("its output step is out of bounds")


def contradiction(what: str) -> PolicyError:
    """The error for a plan that contradicts itself or is out of bounds."""
    return PolicyError(
        "SR-PLAN-INVALID", f"the plan is not valid: {what}", "Ask the model's owner for a new one"
    )
