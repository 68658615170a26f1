"""The common range that features are brought to, and what lies outside of it."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from strongroom.models.feature_columns import RowRefused, RowsFarOut, listed
from strongroom.models.features import Features

FAR_OUTSIDE: Final = 2.0
"""From how many times the sample's range on a caller of a linear model is warned."""

_ROWS_AT_ONCE: Final = 1024
"""That are looked at, so that the features of a wide model fit into memory."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureRanges:
    """Centre and half width of each feature, and how far out a row may lie.

    Attributes:
        centre, half_width: shape (features,).
        headroom: largest |(x - centre) / half_width| that is accepted.
        features: that make the numbers; for naming what is out of range.
        names: how messages name the table's columns.
        beyond: what becomes of a feature further out: the row is refused, or the feature becomes
            the end of the range, with a warning or, where features are only compared, without.
        reach: largest Euclidean norm of a row's z that is accepted, after that.
    """

    centre: NDArray[np.float64]
    half_width: NDArray[np.float64]
    headroom: float
    features: Features
    names: tuple[str, ...]
    beyond: Literal["refuse", "clip", "compare"] = "refuse"
    reach: float = math.inf

    def check(self, rows: NDArray[np.float64]) -> None:
        """Refuse rows that are out of range and warn of those far out, however many there are.

        Args:
            rows: checked, shape (n, columns).

        Raises:
            InputError: as for `encode`.
        Warns:
            InputRangeWarning: rows far from everything that the model was planned on.
        """
        least = self.headroom if self.beyond == "clip" else FAR_OUTSIDE
        far, first = 0, (0, 0)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            self.encode(part, start)
            size = np.abs(self._normalised(part, start))
            if self.beyond == "compare":
                continue
            places = np.argwhere(size > least)
            if not far and len(places):
                first = int(places[0, 0]) + start, int(places[0, 1])
            far += len(np.unique(places[:, 0]))
        if far:
            before = f"{far} of {len(rows)} rows lie far outside the sample's range, the first at "
            after = f", {self._label(first[1])}: {self._consequence()}"
            warnings.warn(RowsFarOut(before, first[0], after), stacklevel=2)

    def encode(self, rows: NDArray[np.float64], first_row: int = 0) -> NDArray[np.float64]:
        """z = (x - centre) / half_width of the features x of rows, shape (n, features).

        Args:
            rows: checked, shape (n, columns).
            first_row: the number of the first one, for messages.

        Raises:
            InputError: SR-INPUT-RANGE, and those of `Features.encode`; messages name places,
                never values.
        """
        z = self._normalised(rows, first_row)
        if self.beyond != "refuse":
            z = np.clip(z, -self.headroom, self.headroom)
            norms = np.sqrt(np.square(z).sum(axis=1))
            if (norms > self.reach).any():
                raise RowRefused(
                    "SR-INPUT-RANGE",
                    first_row + int(np.argmax(norms > self.reach)),
                    " as a whole lies further out than the model was planned for",
                    "Check the units of its values, or have the model protected with a wider "
                    "sample",
                )
            return z
        size = np.abs(z)
        if (size > self.headroom).any():
            row, feature = (int(i) for i in np.argwhere(size > self.headroom)[0])
            raise RowRefused(
                "SR-INPUT-RANGE",
                first_row + row,
                f", {self._label(feature)} is more than {self.headroom:g} half widths from the "
                "centre of what the model was planned for, and a score could overflow",
                "Check the units of the value, or have the model protected with a wider sample",
            )
        return z

    def _normalised(self, rows: NDArray[np.float64], first_row: int) -> NDArray[np.float64]:
        features = self.features.encode(rows, first_row)
        with np.errstate(over="ignore"):
            return np.asarray((features - self.centre) / self.half_width)

    def _consequence(self) -> str:
        if self.beyond == "clip":
            return "what lies beyond counts as the end of the range"
        return "the model extrapolates there, and the answer may be less precise"

    def _label(self, feature: int) -> str:
        """The columns that a feature comes from."""
        for block in self.features.blocks:
            if feature < block.width:
                reads = block.reads
                columns = reads[feature : feature + 1] if len(reads) == block.width else reads
                if max(columns) < len(self.names):
                    return listed(columns, self.names)
                break
            feature -= block.width
        return "a number that the columns make together"
