"""Features: the public preprocessing, from checked rows to the numbers that are encrypted.

It runs where the rows are, at the asker, so everything in it is public: it is part of the plan, and
the guarantee statement names it. What must stay secret is folded into the model instead.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.models.feature_blocks import (
    Filled,
    Flagged,
    Missing,
    Numbers,
    Projected,
    Scaled,
)
from strongroom.models.feature_codes import Above, Bins, Coded, OneHot
from strongroom.models.feature_columns import RowRefused, invalid, listed
from strongroom.models.feature_products import Mapped, Monomials, Normalised, Power, SquaredNorm
from strongroom.models.trees.grid import Grid

MAXIMUM_WIDTH = 2**20
"""Most numbers of a row, during preprocessing and after it."""

Block = (
    Numbers
    | Filled
    | Missing
    | Flagged
    | Scaled
    | Projected
    | OneHot
    | Coded
    | Bins
    | Above
    | Monomials
    | SquaredNorm
    | Normalised
    | Mapped
    | Power
    | Grid
)
"""What makes some of the features; all have `width`, `reads`, `encode` and `sentence`, and refuse
impossible fields with PolicyError SR-PLAN-INVALID, since a plan may come from a stranger.

`encode` takes a table of float64, shape (n, columns), in which NaN is a missing value, and gives
numbers, shape (n, width). `sentence` says what becomes public, or nothing; it takes how messages
name the columns of the table.
"""


class Features(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Blocks side by side.

    Attributes:
        columns: of the table.
        blocks: in the order of the features that they make.
        derived: blocks that run before, one after the other; each adds what it makes to the table
            as further columns, which those after it can take.

    Raises:
        PolicyError: SR-PLAN-INVALID.
    """

    columns: int
    blocks: tuple[Block, ...]
    derived: tuple[Block, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.width <= MAXIMUM_WIDTH:
            raise invalid(f"{self.width} numbers of a row, allowed are 1 to {MAXIMUM_WIDTH}")
        columns = self.columns
        for block in self.derived:
            _check_reads(block, columns)
            columns += block.width
        for block in self.blocks:
            _check_reads(block, columns)
        if not 1 <= self.columns <= columns <= MAXIMUM_WIDTH:
            raise invalid(f"{columns} columns on the way, allowed are 1 to {MAXIMUM_WIDTH}")

    @classmethod
    def plain(cls, columns: int) -> Features:
        """All columns as they are."""
        return cls(columns, (Numbers(tuple(range(columns))),))

    @property
    def width(self) -> int:
        """How many numbers a row becomes."""
        return sum(block.width for block in self.blocks)

    def encode(self, rows: NDArray[np.float64], first_row: int = 0) -> NDArray[np.float64]:
        """From checked rows, shape (n, columns), to features, shape (n, width), float64, finite.

        Args:
            rows: see above.
            first_row: the number of the first one, for messages.

        Raises:
            InputError: SR-INPUT-CATEGORY, -MISSING or -INFINITE for a row that the preprocessing
                has no answer to.
        """
        try:
            return self._encoded(rows)
        except RowRefused as refusal:
            raise refusal.counted_from(first_row) from None

    def _encoded(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        table = rows
        if self.derived:
            table = np.empty((len(rows), self.columns + sum(block.width for block in self.derived)))
            table[:, : self.columns] = rows
            start = self.columns
            for block in self.derived:
                table[:, start : start + block.width] = block.encode(table[:, :start])
                start += block.width
        made = [block.encode(table) for block in self.blocks]
        features = np.ascontiguousarray(made[0] if len(made) == 1 else np.hstack(made))
        finite = np.isfinite(features).all(axis=1)
        if not finite.all():
            row = int(np.argmin(finite))
            raise RowRefused(
                "SR-INPUT-INFINITE",
                row,
                " leads to a number that is missing or infinite in the model's preprocessing",
                "Pass values for which every step is defined, as in training",
            )
        return features

    def sentences(self, names: Sequence[str]) -> tuple[str, ...]:
        """What runs at the asker and is public, for the statement.

        Args:
            names: how messages name the columns: "column 'age'".
        """
        known = list(names)
        for block in self.derived:
            # a block that makes one number of each column leaves it its name
            same = block.width == len(block.reads)
            made = [known[place] for place in block.reads]
            known += made if same else [_derived_name(known, block)] * block.width
        found = [block.sentence(known) for block in (*self.derived, *self.blocks)]
        read = {place for block in (*self.derived, *self.blocks) for place in block.reads}
        unread = [place for place in range(self.columns) if place not in read]
        if unread:
            found.append(f"That the model does not look at {listed(unread, names)} is public.")
        return tuple(dict.fromkeys(filter(None, found)))


def _check_reads(block: Block, columns: int) -> None:
    if max(block.reads, default=0) >= columns:
        raise invalid("a block that takes a column that there is not")


def _derived_name(names: Sequence[str], block: Block) -> str:
    """How sentences name numbers that a block makes of several columns."""
    sources = list(dict.fromkeys(names[place] for place in block.reads))
    return sources[0] if len(sources) == 1 else "what is made of " + " and ".join(sources[:2])
