"""The common range that features are brought to, and what lies outside of it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import InputError, InputRangeWarning
from strongroom.models.feature_columns import listed
from strongroom.models.features import Features

FAR_OUTSIDE: Final = 2.0
"""From how many times the sample's range on a caller is warned; sooner, from halfway to where rows
are refused, if that is near."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureRanges:
    """Centre and half width of each feature, and how far out a row may lie.

    Attributes:
        centre, half_width: shape (features,).
        headroom: largest |(x - centre) / half_width| that is accepted.
        features: that make the numbers; for naming what is out of range.
        names: how messages name the table's columns.
    """

    centre: NDArray[np.float64]
    half_width: NDArray[np.float64]
    headroom: float
    features: Features
    names: tuple[str, ...]

    def normalised(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """z = (x - centre) / half_width, shape (n, features).

        Raises:
            InputError: SR-INPUT-RANGE; messages name places, never values.
        Warns:
            InputRangeWarning: rows far from everything that the model was planned on.
        """
        with np.errstate(over="ignore"):
            z = np.asarray((features - self.centre) / self.half_width)
        size = np.abs(z)
        if (size > self.headroom).any():
            row, feature = (int(i) for i in np.argwhere(size > self.headroom)[0])
            raise InputError(
                "SR-INPUT-RANGE",
                f"row {row}, {self._label(feature)} is more than {self.headroom:g} half widths "
                "from the centre of what the model was planned for, and a score could overflow",
                "Check the units of the value, or have the model protected with a wider sample",
            )
        least = min(FAR_OUTSIDE, (1.0 + self.headroom) / 2.0)
        if (size > least).any():
            far = (size > least).any(axis=1)
            row, feature = (int(i) for i in np.argwhere(size > least)[0])
            warnings.warn(
                f"{int(far.sum())} of {len(z)} rows lie far outside the sample's range, the first "
                f"at row {row}, {self._label(feature)}: the model extrapolates there, and the "
                "answer may be less precise",
                InputRangeWarning,
                stacklevel=2,
            )
        return z

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
