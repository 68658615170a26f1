"""The vendor's desk: trains the model and keeps it, in a file and in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from examples.encrypted_model import model
from examples.encrypted_model.desk import work

MODEL = "model.json"
ROWS = "rows.csv"


class Vendor:
    """What its process holds."""

    def __init__(self) -> None:
        self._kept: list[Any] = []

    def train(self, trees: int, sample: int, seed: int) -> dict[str, Any]:
        """Train; the model and typical rows go into the folder."""
        trained = model.train(trees, seed)
        trained.save_model(MODEL)
        np.savetxt(ROWS, model.training_rows(seed)[:sample], delimiter=",", fmt="%.17g")
        self._kept = [trained, model.leaf_values(Path(MODEL))]
        return {"bytes": Path(MODEL).stat().st_size}


if __name__ == "__main__":
    work({"train": Vendor().train})
