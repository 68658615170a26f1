"""Networks in slots: where vectors, products and sums of a network lie.

A ciphertext holds `vectors` rows at once, interleaved: slot u q + i belongs to row i. Units of a
step that do not fit one ciphertext are cut into chunks, a ciphertext each; blocks of a
block-diagonal step are interleaved further (`engine.periodic_products`). What a client encrypts is
laid out for the first step; from there on every product is the next step's vector as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.network_model import HiddenStep, NetworkModel
from strongroom.engine.periodic_products import PeriodicLayout
from strongroom.engine.slot_sums import SumLayout

Array = NDArray[np.float64]

_FEW_DIAGONALS = 4


@dataclass(frozen=True, slots=True)
class StepPacking:
    """One step.

    Attributes:
        layout: of the product of one chunk.
        blocks: of the matrix; `layout.blocks` is the next power of two, times the vectors.
        chunks: into how many ciphertexts the units are cut.
    """

    layout: PeriodicLayout
    blocks: int
    chunks: int

    @property
    def period(self) -> int:
        """After how many slots a chunk's product repeats, of one vector."""
        return self.layout.units * self.padded_blocks

    def places(self, units: NDArray[np.intp]) -> NDArray[np.intp]:
        """Where units of the only chunk, block by block, lie in its period."""
        block, unit = np.divmod(units, self.layout.rows)
        return np.asarray(unit * self.padded_blocks + block)

    @property
    def padded_blocks(self) -> int:
        """Blocks with those that fill up to a power of two."""
        return _power_of_two(self.blocks)


@dataclass(frozen=True, slots=True)
class NetworkPacking:
    """All of a network.

    Attributes:
        slots: of a ciphertext.
        vectors: q, rows that one ciphertext holds.
        steps: the hidden steps.
        sums: the weighted sums at the end, of one chunk.
    """

    slots: int
    vectors: int
    steps: tuple[StepPacking, ...]
    sums: SumLayout

    @classmethod
    def choose(
        cls, slots: int, vectors: int, shapes: Sequence[StepShape], outputs: int
    ) -> NetworkPacking | None:
        """The packing of a network at a number of rows a ciphertext; None if it does not fit."""
        steps: list[StepPacking] = []
        for shape in shapes:
            before = steps[-1] if steps else None
            step = (
                _first(slots, vectors, shape)
                if before is None
                else _next(slots, vectors, shape, before)
            )
            if step is None:
                return None
            steps.append(step)
        sums = SumLayout(2 * slots, steps[-1].period * vectors, vectors, outputs)
        return cls(slots, vectors, tuple(steps), sums)

    def input_slots(self, rows: Array) -> NDArray[np.float64] | NDArray[np.complex128]:
        """The slots of one ciphertext, shape (S,), for rows of shape (n, features), n at most
        `vectors`; missing rows are zero."""
        first = self.steps[0]
        held = np.zeros((self.vectors, first.padded_blocks, first.layout.columns))
        held[: len(rows), : first.blocks] = rows.reshape(len(rows), first.blocks, -1)
        # Rows are the fastest index of the interleaving.
        return first.layout.spread(held.transpose(1, 0, 2).reshape(-1, first.layout.columns))

    def matrices(self, step: int, model: HiddenStep, chunk: int, source: int) -> Array:
        """What `PeriodicLayout.diagonal_values` takes, for a chunk of a step and a chunk of the
        vector, shape (blocks, rows, columns)."""
        packing = self.steps[step]
        layout = packing.layout
        weights = np.zeros((packing.padded_blocks, packing.chunks * layout.rows, model.inputs))
        weights[: packing.blocks, : model.units] = model.weights
        weights = weights[:, chunk * layout.rows : (chunk + 1) * layout.rows]
        if step:
            weights = _columns_of(weights, self.steps[step - 1], source)
        if packing.padded_blocks == 1:
            # All vectors have the same matrix, which may be large.
            return np.broadcast_to(weights, (self.vectors, *weights.shape[1:]))
        return np.repeat(weights, self.vectors, axis=0)

    def bias_slots(self, step: int, model: HiddenStep, chunk: int) -> Array:
        """A step's bias in the slots of a chunk's product, shape (S,)."""
        packing = self.steps[step]
        layout = packing.layout
        bias = np.zeros((packing.padded_blocks, packing.chunks * layout.rows))
        bias[: packing.blocks, : model.units] = model.bias
        part = bias[:, chunk * layout.rows : (chunk + 1) * layout.rows]
        return layout.repeated(np.repeat(part, self.vectors, axis=0))

    def unit_slots(self, step: int, model: HiddenStep, chunk: int) -> NDArray[np.intp]:
        """Which unit, b * units + u, each slot of a chunk's product holds, shape (S,); 0 where it
        holds none."""
        numbers = np.arange(model.blocks * model.units).reshape(model.blocks, model.units)
        part = HiddenStep(np.zeros((model.blocks, model.units, 1)), numbers.astype(float), ())
        return self.bias_slots(step, part, chunk).astype(np.intp)

    def sum_weights(self, model: NetworkModel, chunk: int) -> Array:
        """Weights of the final sums over a chunk, shape (outputs, period of the slots)."""
        last, step = self.steps[-1], model.steps[-1]
        units = last.layout.units
        weights = model.weights.reshape(-1, step.blocks, step.units)
        held = np.zeros((len(weights), last.padded_blocks, last.chunks * last.layout.rows))
        held[:, : step.blocks, : step.units] = weights
        part = np.zeros((len(weights), last.padded_blocks, units))
        begin = chunk * last.layout.rows
        part[:, :, : last.layout.rows] = held[:, :, begin : begin + last.layout.rows]
        flat = part.transpose(0, 2, 1).reshape(len(weights), -1)
        return np.repeat(flat, self.vectors, axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class StepShape:
    """Dimensions of a step.

    Attributes:
        blocks: how many it has.
        units, inputs: of one block.
        entries: of a convolution, row and column of each entry that is not zero; None of others,
            whose zeros are nobody's business.
    """

    blocks: int
    units: int
    inputs: int
    entries: tuple[NDArray[np.intp], NDArray[np.intp]] | None = None


def shapes(model: NetworkModel) -> tuple[StepShape, ...]:
    """Of all hidden steps."""
    found = []
    for step in model.steps:
        entries = None
        if step.convolution:
            unit, taken = np.nonzero(step.weights[0])
            entries = unit, taken
        found.append(StepShape(step.blocks, step.units, step.inputs, entries))
    return tuple(found)


def _first(slots: int, vectors: int, shape: StepShape) -> StepPacking | None:
    """For a vector that a client lays out. Blocks are not cut into chunks."""
    blocks = _power_of_two(shape.blocks) * vectors
    if blocks > slots:
        return None
    chunks = -(-shape.units // (slots // blocks))
    if chunks > 1 and shape.blocks > 1:
        return None
    rows = -(-shape.units // chunks)
    layout = PeriodicLayout.choose(slots, blocks, rows, shape.inputs, paired=True)
    if layout is None or layout.diagonals <= _FEW_DIAGONALS:
        # Pairs need a conjugation, which so few diagonals are not worth.
        plain = PeriodicLayout.choose(slots, blocks, rows, shape.inputs, paired=False)
        if layout is None or (plain is not None and plain.cost < layout.cost):
            layout = plain
    return None if layout is None else StepPacking(layout, shape.blocks, chunks)


def _next(slots: int, vectors: int, shape: StepShape, before: StepPacking) -> StepPacking | None:
    """For a vector that is a product, of all blocks of the step before."""
    if shape.blocks != 1:
        raise ValueError("only the first step is block-diagonal")
    chunks = -(-shape.units * vectors // slots)
    rows = -(-shape.units // chunks)
    differences = None
    if shape.entries is not None and chunks == before.chunks == 1:
        unit, taken = shape.entries
        differences = before.places(taken) - unit
    layout = PeriodicLayout.following(
        slots, vectors, rows, before.period, before.period, differences
    )
    return None if layout is None else StepPacking(layout, 1, chunks)


def _columns_of(weights: Array, before: StepPacking, source: int) -> Array:
    """The columns of weights, shape (1, rows, inputs), as they lie in a chunk of the vector
    before: shape (1, rows, period). Entry (b, u) of it is in slot u * padded_blocks + b."""
    layout = before.layout
    rows = weights.shape[1]
    held = weights.reshape(rows, before.blocks, -1)
    padded = np.zeros((rows, before.padded_blocks, before.chunks * layout.rows))
    padded[:, : before.blocks, : held.shape[2]] = held
    part = np.zeros((rows, before.padded_blocks, layout.units))
    begin = source * layout.rows
    part[..., : layout.rows] = padded[..., begin : begin + layout.rows]
    return np.ascontiguousarray(part.transpose(0, 2, 1).reshape(1, rows, -1))


def _power_of_two(x: int) -> int:
    """The smallest power of two that is not below x."""
    return 1 << (x - 1).bit_length()
