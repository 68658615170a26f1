"""The two questions that a hospital asks, each in a room of its own with the same five names."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from strongroom import Package, Policy

Task = Literal["diagnosis", "images"]


class Room(Protocol):
    """What each of the modules is.

    Attributes:
        TITLE: what is asked, and which model answers.
        POLICY: what the vendor protects under, and the hospital demands.
        HELD_OUT: how many rows the vendor has never seen.
    """

    TITLE: str
    POLICY: Policy
    HELD_OUT: int

    def vendor(self, folder: Path, seed: int, threads: int) -> Package:
        """Train on the vendor's rows, keep the model in the folder, and protect it."""

    def hospital(self, rows: int, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Rows that the vendor has never seen, and their true labels."""

    def plain(self, folder: Path, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Probabilities by the vendor's own model, shape (n, classes)."""

    def figures(
        self, labels: NDArray[Any], probabilities: NDArray[np.float64]
    ) -> dict[str, float | None]:
        """What the field judges such answers by."""


def room(task: Task) -> Room:
    """The module of a question; only that one is imported, with the libraries that it needs."""
    module: Any = importlib.import_module(f"examples.healthcare.{task}")
    checked: Room = module
    return checked
