"""How the key of a hidden model will be held, as far as a plan depends on it.

A committee's secret key is a sum of parts, so that its coefficients are larger than one key's, and
its relinearisation key, which the parts make together, is noisier. Every part adds noise of its own
to each answer, sized for all answers that the key's budget allows.
"""

from __future__ import annotations

import math
from typing import Annotated, Final

import msgspec

from strongroom.engine.noise_model import KeyNoise
from strongroom.engine.threshold import PROVED_SHARE

SHARE_BUDGET: Final = 1 << 20
"""Result ciphertexts that a committee answers with one key, unless it says otherwise."""

MOST_PARTS: Final = 64


class KeyHolding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who holds a key: one owner, by default.

    Attributes:
        parts: how many uniform ternary polynomials the secret key is the sum of, at most.
        share_budget: result ciphertexts that a committee will answer with the key, all models
            together; None for an owner, who decrypts alone.
    """

    parts: Annotated[int, msgspec.Meta(ge=1, le=MOST_PARTS)] = 1
    share_budget: Annotated[int, msgspec.Meta(ge=1, le=2**40)] | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.parts <= MOST_PARTS:
            raise ValueError(f"a key has 1 to {MOST_PARTS} parts, not {self.parts}")
        if self.share_budget is not None and not 1 <= self.share_budget <= 2**40:
            raise ValueError("a share budget is from 1 to 2^40")

    @property
    def noise(self) -> KeyNoise:
        """What noise depends on of the key. An owner makes its evaluation keys itself."""
        return KeyNoise(self.parts, self.share_budget is not None)

    @property
    def smudged_results(self) -> int | None:
        """How many answered results smudging is sized for: every answer of the budget, each with
        the one proof of it that may be asked for (`engine.share_proofs`). None for an owner."""
        if self.share_budget is None:
            return None
        return math.ceil(self.share_budget * PROVED_SHARE)


ONE_OWNER: Final = KeyHolding()
"""A key that is whole, in its owner's hand."""
