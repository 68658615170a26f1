"""Public data that the applications learn from and ask about, fetched on request.

The benchmarks load the same data by the same code, which lies with them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

from strongroom.errors import InputError

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


def loader(name: str) -> ModuleType:
    """A module that loads one data set: "trees_card_fraud" or "mlp_mnist"."""
    if str(BENCHMARKS) not in sys.path:
        sys.path.append(str(BENCHMARKS))
    return __import__(name)


def existing_file(folder: Path, name: str) -> Path:
    """A file of a folder that somebody named on the command line.

    Raises:
        InputError: SR-INPUT-FILE if it isn't there.
    """
    path = folder / name
    if not path.is_file():
        raise InputError(
            "SR-INPUT-FILE", f"{folder} holds no {name}", "Name the folder that does with --data"
        )
    return path
