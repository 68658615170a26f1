"""The public preprocessing of a scikit-learn model while it is being imported.

Blocks are added as the steps of the model need them. At the end it is known which are used, which
columns hold labels instead of numbers, and in which a value may be missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from strongroom.errors import ModelError
from strongroom.models import feature_blocks as blocks
from strongroom.models.categories import Categories, Label
from strongroom.models.feature_codes import Coded, OneHot
from strongroom.models.feature_products import Mapped, Monomials, Power
from strongroom.models.features import Block, Features
from strongroom.models.rows import InputSpec
from strongroom.models.sklearn_labels import (
    Encoder,
    LabelCodes,
    categories_of,
    not_encoded,
    with_codes,
)
from strongroom.models.sklearn_tables import (
    Activated,
    Joined,
    Picked,
    Projected,
    Public,
    Scaled,
    Table,
    Text,
)
from strongroom.models.trees.grid import Grid


class Preprocessing:
    """Blocks that were added so far; every number that they make has a place behind the columns.

    Args:
        columns: of the rows.
    """

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.rows = Public(tuple(range(columns)))
        self._blocks: list[Block | Encoder] = []
        self._starts: list[int] = []
        self._present: set[int] = set()
        self._width = columns
        self._published: dict[int, tuple[Table, Public]] = {}

    def add(self, block: Block | Encoder) -> Public:
        """Add a block; its columns are places of `Public`. Returns what it makes."""
        if block in self._blocks:
            number = self._blocks.index(block)
            return Public(tuple(self._made(number)))
        self._blocks.append(block)
        self._starts.append(self._width)
        self._width += block.width
        return Public(tuple(range(self._starts[-1], self._width)))

    def encode(
        self, table: Table, codes: Sequence[LabelCodes], widths: Sequence[int] | None = None
    ) -> Public:
        """Add a block that looks labels up.

        Args:
            table: of as many columns as there are codes.
            widths: number of bits of each column; None for one number each instead.
        """
        sources = self.sources(table)
        filled = tuple(
            column if fill is None else column.filled(fill)
            for column, (_, fill) in zip(codes, sources, strict=True)
        )
        bits = None if widths is None else tuple(widths)
        return self.add(Encoder(tuple(place for place, _ in sources), filled, bits))

    def sources(self, table: Table) -> list[tuple[int, Label | None]]:
        """Where a table's columns are, and what their missing labels count as, if anything."""
        found: list[tuple[int, Label | None]] = []
        for part in table.parts if isinstance(table, Joined) else (table,):
            if isinstance(part, Text):
                found.append((part.place, part.fill))
            else:
                found += [(place, None) for place in self.publish(part).places]
        return found

    def publish(self, table: Table) -> Public:
        """A table as public preprocessing.

        Raises:
            ModelError: SR-MODEL-UNSUPPORTED if a part of it can't be public.
        """
        key = id(table)
        if key not in self._published:
            self._published[key] = (table, self._computed(table))
        return self._published[key][1]

    def require(self, places: Iterable[int]) -> None:
        """Values of these columns may not be missing, whatever is done with them."""
        self._present.update(places)

    def _computed(self, table: Table) -> Public:
        match table:
            case Public():
                return table
            case Picked():
                inner = self.publish(table.inner).places
                return Public(tuple(inner[place] for place in table.places))
            case Scaled():
                rows = (table.subtract, table.divide, table.multiply, table.add)
                numbers = [() if row is None else tuple(map(float, row)) for row in rows]
                subtract, divide, multiply, add = numbers
                columns = self.publish(table.inner).places
                return self.add(blocks.Scaled(columns, subtract, divide, multiply, add))
            case Projected():
                offset = () if table.offset is None else tuple(map(float, table.offset))
                matrix = tuple(tuple(map(float, row)) for row in table.matrix)
                return self.add(blocks.Projected(self.publish(table.inner).places, matrix, offset))
            case Joined():
                parts = [self.publish(part).places for part in table.parts]
                return Public(tuple(place for part in parts for place in part))
            case Text():
                raise not_encoded()
            case Activated():
                raise ModelError(
                    "SR-MODEL-UNSUPPORTED",
                    f"{table.origin} is secret, but a step after it can only run at the asker",
                    "Put a linear model behind it",
                )

    def finish(
        self,
        used: Iterable[int],
        names: tuple[str, ...],
        *,
        last: Block | None = None,
        missing: bool = False,
    ) -> tuple[Features, InputSpec, dict[int, int]]:
        """The preprocessing, the rows that it takes, and which feature each place became.

        Args:
            used: places that the model takes.
            names: of the columns, or none.
            last: a block that makes all features of `used`, if they are not these as they are.
            missing: whether that has an answer to missing values.
        """
        wanted = set(used)
        coded = self._labels(wanted)
        # rows that a step refuses are refused, even if later steps drop what it makes
        known = [
            with_codes(block, coded) if isinstance(block, Encoder) else block
            for block in self._blocks
        ]
        reads = wanted.union(*(block.reads for block in known))
        present = self._demanded(known, set() if missing else wanted)
        spec = InputSpec(
            columns=self.columns,
            names=names,
            dtype="float64",
            categories=tuple(coded[place] for place in sorted(coded)),
            missing=tuple(p for p in sorted(reads - present) if p < self.columns),
            ignored=tuple(p for p in range(self.columns) if p not in reads),
        )
        if last is None:
            features, places = self._arranged(self._live(known, wanted), wanted)
            return features, spec, places
        derived, moved = self._derived(self._live(known, set(last.reads)))
        return Features(self.columns, (_moved(last, moved),), tuple(derived)), spec, {}

    def _live(self, known: list[Block], wanted: set[int]) -> dict[int, Block]:
        """Blocks on which the wanted places depend, by number."""
        needed, live = set(wanted), {}
        for number, block in reversed(list(enumerate(known))):
            if needed.intersection(self._made(number)):
                live[number] = block
                needed.update(block.reads)
        return dict(sorted(live.items()))

    def _made(self, number: int) -> range:
        """Places that a block makes."""
        return range(self._starts[number], self._starts[number] + self._blocks[number].width)

    def _labels(self, wanted: set[int]) -> dict[int, Categories]:
        """Columns of the rows that hold labels: those that only encoders look at."""
        found: dict[int, list[LabelCodes]] = {}
        numeric = set(wanted)
        for block in self._blocks:
            if isinstance(block, Encoder):
                for place, codes in zip(block.columns, block.codes, strict=True):
                    if place < self.columns:
                        found.setdefault(place, []).append(codes)
            elif not isinstance(block, blocks.Missing):
                numeric.update(block.reads)
        return {
            place: categories_of(place, codes)
            for place, codes in found.items()
            if place not in numeric
        }

    def _demanded(self, known: list[Block], present: set[int]) -> set[int]:
        """Places where a value may not be missing, if none of `present` may."""
        demanded = present | self._present
        for number, block in reversed(list(enumerate(known))):
            demanded |= _demanded(block, self._made(number), demanded)
        return demanded

    def _arranged(
        self, known: dict[int, Block], wanted: set[int]
    ) -> tuple[Features, dict[int, int]]:
        """Blocks whose numbers all are features come last; the others before."""
        taken = {place for block in known.values() for place in block.reads}
        final = [
            number
            for number in known
            if wanted.issuperset(self._made(number)) and not taken.intersection(self._made(number))
        ]
        derived, moved = self._derived({n: known[n] for n in known if n not in final})
        order = sorted(wanted.difference(*map(self._made, final)))
        parts: list[Block] = []
        if order:
            parts.append(blocks.Numbers(tuple(moved[place] for place in order)))
        for number in final:
            parts.append(_moved(known[number], moved))
            order.extend(self._made(number))
        features = Features(self.columns, tuple(parts), tuple(derived))
        return features, {place: number for number, place in enumerate(order)}

    def _derived(self, known: dict[int, Block]) -> tuple[list[Block], dict[int, int]]:
        """Blocks that run before others, and where the places that they make are then."""
        moved = {place: place for place in range(self.columns)}
        derived: list[Block] = []
        for number, block in known.items():
            derived.append(_moved(block, moved))
            for place in self._made(number):
                moved[place] = len(moved)
        return derived, moved


def _demanded(block: Block, made: range, present: set[int]) -> set[int]:
    """What a block takes that may not be missing, if `present` may not."""
    match block:
        case blocks.Filled(marker=None) | blocks.Missing(marker=None):
            return set()
        case blocks.Numbers() | blocks.Scaled() | Mapped() | Power():
            return {
                column
                for column, place in zip(block.columns, made, strict=True)
                if place in present
            }
        case OneHot():
            return {
                column
                for column, codes in zip(block.columns, block.codes, strict=True)
                if codes.missing == "refuse"
            }
        case Coded():
            return {
                column
                for column, codes, place in zip(block.columns, block.codes, made, strict=True)
                if codes.missing == "refuse" or (codes.missing == "missing" and place in present)
            }
        case _:
            return set(block.reads)


def _moved(block: Block, places: dict[int, int]) -> Block:
    """A block whose columns are elsewhere now."""
    if isinstance(block, Grid):
        return block.moved([places.get(place, 0) for place in range(1 + max(places))])
    if isinstance(block, Monomials):
        terms = tuple(tuple(places[column] for column in term) for term in block.terms)
        return Monomials(terms)
    return msgspec.structs.replace(block, columns=tuple(places[p] for p in block.columns))
