"""The public preprocessing of a linear model: columns brought to a common range at the client.

Raw columns differ by orders of magnitude, and one fixed-point scale serves all of them. So the
client sends z = (x - centre) / half_width, and the weights take the inverse. Centres and half
widths are public, so they are coarse on purpose: half widths are powers of two and centres are
multiples of a quarter of one, which tells a sample's extremes to about a quarter of their range.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def common_range(
    sample: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre and half width of each column, shape (columns,), with the sample in [-1, 1].

    Args:
        sample: shape (n, columns), finite.
    """
    low, high = sample.min(axis=0), sample.max(axis=0)
    spread = high / 2 - low / 2
    middle = high / 2 + low / 2
    # An eighth of a half width is left for the rounding of the centre. A column that never
    # changes gets the width of its own magnitude.
    reach = np.where(spread > 0, spread * 8 / 7, np.abs(middle))
    reach = np.where(reach > 0, reach, 1.0)
    half_width = np.exp2(np.clip(np.ceil(np.log2(reach)), -1000, 1000))
    centre = np.round(middle / (half_width / 4)) * (half_width / 4)
    return centre, half_width


def network_range(
    features: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same for networks: bits stay as they are, and columns of one kind have one range.

    Where a quarter of the columns and more have the widest range, as pixels do, all have it: those
    that hardly vary in the sample may do so elsewhere.

    Args:
        features: shape (n, features), finite.
    """
    centre, half_width = common_range(features)
    widest = half_width.max()
    middle = centre[half_width == widest]
    if 4 * len(middle) >= len(centre):
        common = np.round(np.median(middle) / (widest / 4)) * (widest / 4)
        covered = np.abs(centre - common) + half_width <= 2.0 * widest
        centre = np.where(covered, common, centre)
        half_width = np.where(covered, widest, half_width)
    bits = ((features == 0.0) | (features == 1.0)).all(axis=0)
    return np.where(bits, 0.0, centre), np.where(bits, 1.0, half_width)


def comparison_range(
    features: NDArray[np.float64], weights: NDArray[np.float64], bias: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same for numbers that are compared with hidden cut points: all of these lie inside, so
    that what lies outside can be taken for the range's end.

    Args:
        features: shape (n, features), finite.
        weights, bias: a unit takes weight * x + bias of one feature, shapes (units, features) and
            (units,).
    """
    compared = np.abs(weights).argmax(axis=1)
    cut_points = -bias / weights[np.arange(len(weights)), compared]
    low, high = features.min(axis=0), features.max(axis=0)
    np.minimum.at(low, compared, cut_points)
    np.maximum.at(high, compared, cut_points)
    return common_range(np.stack([low, high]))
