"""A queue of transactions, filled at a steady rate and emptied by asking about what waits there.

Latency counts from the moment at which a transaction was due, not from when somebody had time for
it: if the answers can't keep up, the queue grows, and that is seen.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ask = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Fraud probabilities, shape (k,), of k rows."""

Answered = Callable[[list[float]], None]
"""Told after each request how long each of its rows has waited, in seconds."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """What came of a stream.

    Attributes:
        probabilities: of fraud, in the order of the transactions, shape (n,).
        seconds: from the first arrival to the last answer.
        longest_queue: most transactions that were waiting when a request was put together, those
            that went into it included.
    """

    probabilities: NDArray[np.float64]
    seconds: float
    longest_queue: int

    @property
    def rows_per_second(self) -> float:
        """The rate that was achieved."""
        return len(self.probabilities) / self.seconds


def stream(
    rows: NDArray[np.float64], rate: float, most: int, ask: Ask, answered: Answered
) -> Streamed:
    """Let transactions arrive in order, and ask about them in requests of whatever is there.

    Args:
        rows: shape (n, columns).
        rate: arrivals a second.
        most: rows of one request at most, 1 or more.
        ask: whatever it raises ends the stream.
        answered: told after each request.
    """
    waiting: queue.SimpleQueue[float] = queue.SimpleQueue()
    stopped = threading.Event()
    began = time.perf_counter()
    source = threading.Thread(
        target=_arrive, args=(len(rows), rate, began, waiting, stopped), daemon=True
    )
    source.start()
    probabilities, longest = np.empty(len(rows)), 0
    try:
        done = 0
        while done < len(rows):
            batch = [waiting.get()]
            longest = max(longest, 1 + waiting.qsize())
            while len(batch) < most and not waiting.empty():
                batch.append(waiting.get())
            part = slice(done, done + len(batch))
            probabilities[part] = ask(rows[part])
            now = time.perf_counter()
            answered([now - due for due in batch])
            done += len(batch)
    finally:
        stopped.set()
        source.join()
    return Streamed(probabilities, time.perf_counter() - began, longest)


def _arrive(
    count: int,
    rate: float,
    began: float,
    waiting: queue.SimpleQueue[float],
    stopped: threading.Event,
) -> None:
    for place in range(count):
        due = began + place / rate
        if stopped.wait(max(0.0, due - time.perf_counter())):
            return
        waiting.put(due)
