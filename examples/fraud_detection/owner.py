"""The model owner's process: trains, chooses the threshold, protects."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from examples.command import run
from examples.fraud_detection import model
from examples.parties import PACKAGE, server_identity


def owner(
    folder: Path, seed: int, threads: int, alert_share: float, data: Path | None = None
) -> None:
    """Train and protect; the package goes into the folder, digest and threshold to standard
    output."""
    table = model.transactions(data)
    trained = model.train(table.training_rows, table.training_labels, seed, threads)
    trained.booster_.save_model(folder / model.MODEL)
    package = model.protected(trained, table.training_rows)
    package.save(folder / PACKAGE, recipients=[server_identity(folder)])
    later = model.fraud_probabilities(folder / model.MODEL, table.gap_rows)
    handed_over = {
        "model": package.manifest.name,
        "digest": package.digest,
        "threshold": model.threshold(later, alert_share),
    }
    print(json.dumps(handed_over))


if __name__ == "__main__":
    sys.exit(run(owner, "the owner", sys.argv[1:]))
