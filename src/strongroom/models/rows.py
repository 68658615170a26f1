"""InputSpec: what rows a model takes, and the one place where rows are checked."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray


class InputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table that a model was trained on, as far as a caller must know it.

    Attributes:
        columns: number of columns.
        names: column names in order, or empty where the model has none.
        dtype: "float64" or "float32": what the plain model computes in.
    """

    columns: int
    names: tuple[str, ...]
    dtype: str

    def rows(self, X: Any) -> NDArray[np.float64]:
        """Check rows and bring them to a C-contiguous float64 array of shape (n, columns).

        Args:
            X: NumPy array, list of lists, or pandas frame (matched by column name where both
                have names: same names in another order is an error, as in scikit-learn).

        Raises:
            InputError: SR-INPUT-SHAPE, -COLUMNS, -TYPE, -MISSING, -INFINITE; the message names
                row and column, never the value.
        """
        raise NotImplementedError
