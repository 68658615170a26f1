"""Predicted times of operations on this machine.

An operation's time is a sum of products: how many rows of each kind of work it does
(`operation_work`, counted), and what such a row takes at its ring degree (`calibration`, measured;
`measured_costs` keeps it):

    cost_model(parameters.kernel).milliseconds(parameters, rotate(parameters, limbs), threads=2)

Keys and diagonals count as they are when the same operation is done over and over; of a program
whose keys push each other out of the caches, `operation_work.fetching` says what comes on top.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

from strongroom.engine.operation_work import Work
from strongroom.engine.parameters import Parameters


@dataclass(frozen=True, slots=True)
class RowTimes:
    """Microseconds of one thread for a row of each kind of `Work`, and for a call."""

    transforms: float
    wide_transforms: float
    conversions: float
    streamed: float
    passes: float
    uniform: float
    samples: float
    embeddings: float
    distant: float
    fetched: float
    calls: float


KINDS: Final = tuple(field.name for field in fields(RowTimes))
"""The kinds of work that take time."""

ONE_THREAD: Final = frozenset({"samples", "embeddings", "calls"})
"""Kinds that more threads do not make faster."""


@dataclass(frozen=True, slots=True)
class CostModel:
    """What this machine takes.

    Attributes:
        kernel: name of the kernel that was measured.
        rows: row times by ring degree.
        parallel_gains: how many times faster two threads are than one, by ring degree.
        quiet: whether the machine did nothing else while it was measured.
    """

    kernel: str
    rows: Mapping[int, RowTimes]
    parallel_gains: Mapping[int, float]
    quiet: bool = True

    def milliseconds(self, parameters: Parameters, work: Work, threads: int = 1) -> float:
        """Time of an operation.

        Ring degrees that were not measured take what the nearest does, in proportion. By Amdahl's
        law, from two threads to any number.

        Raises:
            ValueError: parameters with another kernel, or no threads.
        """
        if parameters.kernel != self.kernel:
            raise ValueError(f"times of kernel {self.kernel}, parameters with {parameters.kernel}")
        if threads < 1:
            raise ValueError("a call needs at least one thread")
        degree = parameters.ring_degree
        nearest = min(self.rows, key=lambda n: abs(math.log2(n / degree)))
        times = self.rows[nearest]
        alone = shared = 0.0
        for kind in KINDS:
            microseconds = getattr(work, kind) * getattr(times, kind)
            if kind != "calls":
                microseconds *= degree / nearest
            if kind in ONE_THREAD:
                alone += microseconds
            else:
                shared += microseconds
        return (alone + shared / self._gain(degree, threads)) / 1000.0

    def _gain(self, degree: int, threads: int) -> float:
        if not self.parallel_gains:
            return 1.0
        nearest = min(self.parallel_gains, key=lambda n: abs(math.log2(n / degree)))
        serial = min(1.0, max(0.0, 2.0 / self.parallel_gains[nearest] - 1.0))
        return 1.0 / (serial + (1.0 - serial) / threads)
