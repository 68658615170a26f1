"""How deep a plan is and how deep it could be, in words."""

from __future__ import annotations

from collections.abc import Sequence

from strongroom.compiler.depth import RingDepth, levels_used
from strongroom.compiler.plan import NetworkLayout, Plan
from strongroom.engine import CATALOGUE


def lines(plan: Plan, depths: Sequence[RingDepth]) -> list[str]:
    """Sentences; none for a plan that uses up no levels.

    Args:
        depths: how deep networks fit each ring under the plan's policy.
    """
    layout = plan.layout
    if not isinstance(layout, NetworkLayout):
        return []
    used, entry = levels_used(layout), CATALOGUE[plan.parameters]
    there = max((d.levels for d in depths if d.ring_degree == entry.ring_degree), default=0)
    said = [
        f"Depth: {used} of about {max(used, there)} levels at ring {_power(entry.ring_degree)} "
        f"({layout.input_limbs} of {len(entry.primes)} primes); a matrix takes one level, a square "
        "one, a polynomial of degree d about log2 d."
    ]
    if depths:
        fits = ", ".join(f"{d.square_layers} at {_power(d.ring_degree)}" for d in depths)
        said.append(
            f"Deepest that fits under this policy, in layers of a matrix and a square: {fits}."
        )
    return said


def _power(ring_degree: int) -> str:
    return f"2^{ring_degree.bit_length() - 1}"
