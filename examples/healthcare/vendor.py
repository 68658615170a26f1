"""The vendor's process: trains, protects, and says what the hospital has to know."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from examples.command import run
from examples.healthcare.tasks import Task, room
from examples.parties import PACKAGE, server_identity


def vendor(folder: Path, task: Task, seed: int, threads: int) -> None:
    """Train and protect; the package goes into the folder, its digest to standard output."""
    package = room(task).vendor(folder, seed, threads)
    package.save(folder / PACKAGE, recipients=[server_identity(folder)])
    print(json.dumps({"model": package.manifest.name, "digest": package.digest}))


if __name__ == "__main__":
    sys.exit(run(vendor, "the vendor", sys.argv[1:]))
