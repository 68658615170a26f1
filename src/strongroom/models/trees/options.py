"""TreeOptions: the two dials of a tree model, what its grid reveals and how trees are grouped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from strongroom.errors import PolicyError

GridChoice = Literal["model", "padded", "hidden"]
"""What an asker sees of the cut points. model: the model's own. padded: the model's own among
decoys. hidden: none; the comparison itself is encrypted, which is slower and less exact."""

MAXIMUM_DECOYS = 100


@dataclass(frozen=True, slots=True)
class TreeOptions:
    """How a tree model is to run.

    Attributes:
        grid: what the grid reveals.
        trees_per_group: that many neighbouring trees share a grid of their own, which makes the
            encrypted product cheaper and tells which cut points share a group; None: one grid.
        decoys: of a padded grid, for each cut point of the model.

    Raises:
        PolicyError: SR-POLICY-VALUE.
    """

    grid: GridChoice = "model"
    trees_per_group: int | None = None
    decoys: int = 1

    def __post_init__(self) -> None:
        problem = ""
        if self.grid not in ("model", "padded", "hidden"):
            problem = f"grid is {self.grid!r}, allowed are model, padded and hidden"
        elif self.trees_per_group is not None and self.trees_per_group < 1:
            problem = f"trees_per_group is {self.trees_per_group}, allowed are 1 and more, or None"
        elif not 1 <= self.decoys <= MAXIMUM_DECOYS:
            problem = f"decoys is {self.decoys}, allowed are 1 to {MAXIMUM_DECOYS}"
        if problem:
            raise PolicyError("SR-POLICY-VALUE", problem)
