"""Tables: what the steps of a scikit-learn model make of its rows, as formulas.

A table has two ways to be computed. As long as only affine steps follow up to the last one, it
stays a formula and becomes part of the model, which is secret. What a step that is not affine needs
becomes public preprocessing (`sklearn_preprocessing`) and is then `Public`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from strongroom.models.categories import Label

Row = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Public:
    """Columns of the table at the asker: those of the rows, or what preprocessing made of them."""

    places: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Text:
    """A column of the rows that holds labels, of which missing ones count as `fill`."""

    place: int
    fill: Label


@dataclass(frozen=True, slots=True, eq=False)
class Scaled:
    """((inner - subtract) / divide) * multiply + add, column by column; None is left out."""

    inner: Table
    subtract: Row | None = None
    divide: Row | None = None
    multiply: Row | None = None
    add: Row | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Projected:
    """inner @ matrix + offset; matrix of shape (columns, outputs)."""

    inner: Table
    matrix: NDArray[np.float64]
    offset: Row | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Picked:
    """Columns of a table, which ones is secret."""

    inner: Table
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """Tables side by side."""

    parts: tuple[Table, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Activated:
    """A function of `models.activations` of every number.

    Attributes:
        function, attributes: as a node of a `Graph` has them.
        origin: the estimator that needs it, for messages.
    """

    inner: Table
    function: str
    attributes: Mapping[str, int | float]
    origin: str


Table = Public | Text | Scaled | Projected | Picked | Joined | Activated


def width(table: Table) -> int:
    """Number of columns of a table."""
    match table:
        case Public() | Picked():
            return len(table.places)
        case Text():
            return 1
        case Projected():
            return int(table.matrix.shape[1])
        case Joined():
            return sum(map(width, table.parts))
        case _:
            return width(table.inner)


def select(table: Table, places: Sequence[int]) -> Table:
    """Some columns of a table; which ones becomes public where the table is."""
    match table:
        case Public() | Picked():
            return replace(table, places=tuple(table.places[place] for place in places))
        case Scaled():
            kept = list(places)
            return Scaled(
                select(table.inner, places),
                *(
                    None if row is None else row[kept]
                    for row in (table.subtract, table.divide, table.multiply, table.add)
                ),
            )
        case Projected():
            kept = list(places)
            offset = None if table.offset is None else table.offset[kept]
            return Projected(table.inner, table.matrix[:, kept], offset)
        case Activated():
            return replace(table, inner=select(table.inner, places))
        case Text():
            return table if list(places) == [0] else joined([table for _ in places])
        case Joined():
            starts = np.cumsum([0, *map(width, table.parts)])
            owners = (np.searchsorted(starts, places, side="right") - 1).tolist()
            chosen: list[tuple[int, list[int]]] = []
            for place, owner in zip(places, owners, strict=True):
                if not chosen or chosen[-1][0] != owner:
                    chosen.append((owner, []))
                chosen[-1][1].append(int(place - starts[owner]))
            return joined([select(table.parts[owner], inner) for owner, inner in chosen])


def joined(parts: Sequence[Table]) -> Table:
    """Tables side by side; those that are next to each other and public become one."""
    flat: list[Table] = []
    for part in parts:
        for piece in part.parts if isinstance(part, Joined) else (part,):
            last = flat[-1] if flat else None
            if isinstance(piece, Public) and isinstance(last, Public):
                flat[-1] = Public(last.places + piece.places)
            else:
                flat.append(piece)
    kept = [piece for piece in flat if width(piece)] or flat[:1]
    return kept[0] if len(kept) == 1 else Joined(tuple(kept))


def constant(table: Table, value: float) -> Table:
    """A column that is the same in every row; `table` is any table of those rows."""
    return Projected(table, np.zeros((width(table), 1)), np.array([value]))
