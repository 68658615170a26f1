"""Galois elements: which automorphism X -> X^g a rotation of slots is.

Slot j is the value at zeta^(5^j), so X -> X^(5^k) moves slot j + k to slot j (Cheon, Kim, Kim, Song
2017, section 4; Gentry, Halevi, Smart, eprint 2011/566).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from strongroom.engine.parameters import Parameters

RELINEARISATION: Final = 0
"""Stands where a Galois element stands, for the key that products need."""


def rotation_element(parameters: Parameters, steps: int) -> int:
    """The element that rotates slots to the left: slot j of the result is slot j + steps, cyclic
    in N/2. Negative steps rotate to the right; 1 is the identity."""
    return pow(5, steps % (parameters.ring_degree // 2), 2 * parameters.ring_degree)


def conjugation_element(parameters: Parameters) -> int:
    """The element that conjugates every slot."""
    return 2 * parameters.ring_degree - 1


def rotation_elements(parameters: Parameters, steps: Iterable[int]) -> frozenset[int]:
    """The elements of some rotations, the identity left out."""
    return frozenset(rotation_element(parameters, k) for k in steps) - {1}


def describe_element(parameters: Parameters, element: int) -> str:
    """What a key is for, for people: "products", "conjugation", "rotation by 3"."""
    if element == RELINEARISATION:
        return "products"
    if element == conjugation_element(parameters):
        return "conjugation"
    power = 1
    for steps in range(parameters.ring_degree // 2):
        if power == element:
            return f"rotation by {steps}"
        power = power * 5 % (2 * parameters.ring_degree)
    return f"X -> X^{element}"
