"""What running an application takes and leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ran:
    """What a process left behind."""

    status: int
    output: str
    errors: str


Run = Callable[..., Ran]
