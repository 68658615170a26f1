"""Two things timed in turn, so that a machine whose speed drifts drifts for both."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LEAST_TURN_SECONDS = 0.02
"""Quick operations are repeated for as long before the other side's turn, so that neither runs
only on caches that the other has just filled."""


@dataclass(frozen=True)
class Timings:
    """Seconds of one call, repetition by repetition, of two sides that took turns, and what their
    last calls returned."""

    peer: list[float]
    ours: list[float]
    peer_result: Any
    ours_result: Any

    @property
    def peer_ms(self) -> float:
        """Median milliseconds."""
        return 1000.0 * statistics.median(self.peer)

    @property
    def ours_ms(self) -> float:
        """Median milliseconds."""
        return 1000.0 * statistics.median(self.ours)

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.peer_ms / self.ours_ms


def in_turn(
    peer: Callable[[], object],
    ours: Callable[[], object],
    repetitions: int,
    *,
    warm_peer: bool = True,
) -> Timings:
    """Time both, one after the other, `repetitions` times, after calls of each that do not count
    (left out with `warm_peer` false, for a peer that takes many seconds)."""
    peer_calls = _warm_up(peer) if warm_peer else 1
    our_calls = _warm_up(ours)
    peer_seconds, our_seconds = [], []
    gc.collect()
    gc.disable()
    try:
        for _ in range(repetitions):
            seconds, peer_result = _seconds(peer, peer_calls)
            peer_seconds.append(seconds)
            seconds, ours_result = _seconds(ours, our_calls)
            our_seconds.append(seconds)
    finally:
        gc.enable()
    return Timings(peer_seconds, our_seconds, peer_result, ours_result)


def _warm_up(side: Callable[[], object]) -> int:
    """How many calls a turn has."""
    side()
    return max(1, math.ceil(LEAST_TURN_SECONDS / _seconds(side, 1)[0]))


def _seconds(side: Callable[[], object], calls: int) -> tuple[float, object]:
    """Seconds a call, and the last result."""
    start = time.perf_counter()
    for _ in range(calls):
        result = side()
    return (time.perf_counter() - start) / calls, result
