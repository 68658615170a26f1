"""Features: the public preprocessing, from checked rows to the numbers that are encrypted.

It runs where the rows are, at the asker, so everything in it is public: it is part of the plan, and
the guarantee statement names it. What must stay secret is folded into the model instead.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.errors import PolicyError

MAXIMUM_WIDTH = 2**20
"""Most numbers of a row after preprocessing."""


class Numbers(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="numbers"):
    """Columns as they are.

    Attributes:
        columns: places in the table.
    """

    columns: tuple[int, ...]

    @property
    def width(self) -> int:
        """How many numbers it makes of a row."""
        return len(self.columns)

    def encode(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """From rows, shape (n, columns), to numbers, shape (n, width)."""
        return rows[:, list(self.columns)]

    def sentence(self, names: Sequence[str]) -> str:
        """What it is, for the statement; empty where there is nothing to tell.

        Args:
            names: how messages name the columns.
        """
        return ""


Block = Numbers
"""What makes some of the features; all have `width`, `encode` and `sentence`, and refuse impossible
fields with PolicyError SR-PLAN-INVALID, since a plan may come from a stranger."""


class Features(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Blocks side by side.

    Attributes:
        columns: of the table.
        blocks: in the order of the features that they make.

    Raises:
        PolicyError: SR-PLAN-INVALID.
    """

    columns: int
    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.width <= MAXIMUM_WIDTH:
            raise PolicyError(
                "SR-PLAN-INVALID",
                f"the plan's preprocessing makes {self.width} numbers of a row, allowed are 1 to "
                f"{MAXIMUM_WIDTH}",
            )

    @classmethod
    def plain(cls, columns: int) -> Features:
        """All columns as they are."""
        return cls(columns, (Numbers(tuple(range(columns))),))

    @property
    def width(self) -> int:
        """How many numbers a row becomes."""
        return sum(block.width for block in self.blocks)

    def encode(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """From checked rows, shape (n, columns), to features, shape (n, width), float64, finite."""
        return np.hstack([block.encode(rows) for block in self.blocks])

    def sentences(self, names: Sequence[str]) -> tuple[str, ...]:
        """What runs at the asker, one sentence a block, for the statement."""
        return tuple(filter(None, (block.sentence(names) for block in self.blocks)))
