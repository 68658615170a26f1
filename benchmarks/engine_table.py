"""The rows of the engine's benchmark, their floors, and how they are printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

FLOORS: dict[str, float] = {
    "rotate_13": 4.0,
    "mul_13": 4.0,
    "rotate_14": 8.0,
    "mul_14": 8.0,
    "rescale_14": 4.0,
    "encode_14": 4.0,
    "encrypt_14": 4.0,
    "decrypt_14": 4.0,
    "mul_plain_14": 4.0,
    "rotate_15": 8.0,
    "mul_15": 8.0,
    "rescale_15": 4.0,
    "encode_15": 4.0,
    "encrypt_15": 4.0,
    "decrypt_15": 4.0,
    "rotate_14_avx2": 2.5,
    "rotate_14_portable": 1.0,
    "matvec": 200.0,
    "polynomial": 12.0,
    "key_bytes": 2.0,
    "threads_rotate": 0.85,
    "threads_matvec": 0.85,
    "cipher_matvec": 0.3,
}

LARGEST_ERROR_RATIO = 2.0
"""Our error over the peer's."""


@dataclass(frozen=True)
class Row:
    """A measure.

    Attributes:
        ratio: what the floor is for.
        peer, ours: what it is the ratio of, in `unit`.
        peer_error, ours_error: largest difference to the result in the clear; None where there is
            nothing to decrypt.
    """

    name: str
    ratio: float
    peer: float
    ours: float
    unit: str = "ms"
    peer_error: float | None = None
    ours_error: float | None = None

    @property
    def missed(self) -> bool:
        """Slower than the floor, or less precise than the peer."""
        return self.ratio < FLOORS.get(self.name, 0.0) or self.imprecise

    @property
    def imprecise(self) -> bool:
        """Less precise than the peer by more than the allowance."""
        if self.peer_error is None or self.ours_error is None:
            return False
        return self.ours_error > LARGEST_ERROR_RATIO * self.peer_error


def print_heading() -> None:
    """The names of the columns."""
    print(
        f"\n{'':<23}{'peer':>11}{'ours':>11}{'':<5}{'ratio':>8}{'floor':>7} {'':<8}"
        f"{'peer':>9}{'ours':>9} (errors)"
    )


def print_row(row: Row) -> None:
    """One line of the table."""
    floor = FLOORS.get(row.name)
    verdict = "" if floor is None else "met" if row.ratio >= floor else "MISSED"
    errors = ""
    if row.peer_error is not None and row.ours_error is not None:
        errors = f"{row.peer_error:9.1e}{row.ours_error:9.1e}"
        errors += "  IMPRECISE" if row.imprecise else ""
    bound = "" if floor is None else f"{floor:g}"
    print(
        f"{row.name:<23}{row.peer:>11.3f}{row.ours:>11.3f} {row.unit:<4}{row.ratio:>8.2f}"
        f"{bound:>7} {verdict:<8}{errors}".rstrip(),
        flush=True,
    )


def as_json(rows: list[Row]) -> dict[str, Any]:
    """Ratios by name; beside them what they are the ratio of, and errors: peer's, ours."""
    results: dict[str, Any] = {}
    for row in rows:
        results[row.name] = round(row.ratio, 3)
        results[f"{row.name}_{row.unit.lower()}"] = [round(row.peer, 4), round(row.ours, 4)]
        if row.peer_error is not None and row.ours_error is not None:
            results[f"{row.name}_errors"] = [
                float(f"{row.peer_error:.3g}"),
                float(f"{row.ours_error:.3g}"),
            ]
    return results
