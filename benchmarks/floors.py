"""A benchmark's figures beside the floors that they must reach."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Floors = Mapping[str, tuple[str, float]]
"""By figure: "<=" or ">=", and the bound."""


def conclude(
    results: dict[str, Any], floors: Floors, *, details: Mapping[str, Any] | None = None
) -> int:
    """Print every figure with its floor, then the JSON line; the exit status is 1 if a floor is
    missed, or its figure missing.

    Args:
        details: for the JSON line only.
    """
    missed = [name for name in floors if not _met(results.get(name), floors[name])]
    print(f"\n{'':<36}{'':>16}   floor")
    for name, value in results.items():
        print(_line(name, value, floors, name in missed))
    for name in floors.keys() - results.keys():
        print(_line(name, None, floors, True))
    print(json.dumps(results | {"missed": missed} | dict(details or {})), flush=True)
    return 1 if missed else 0


def _met(value: Any, floor: tuple[str, float]) -> bool:
    relation, bound = floor
    if value is None:
        return False
    return bool(value <= bound if relation == "<=" else value >= bound)


def _line(name: str, value: Any, floors: Floors, missed: bool) -> str:
    shown = f"{value:.6g}" if isinstance(value, float) else str(value)
    if name not in floors:
        return f"{name:<36}{shown:>16}"
    relation, bound = floors[name]
    return f"{name:<36}{shown:>16}   {relation} {bound:g}   {'MISSED' if missed else 'met'}"
