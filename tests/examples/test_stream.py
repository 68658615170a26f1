"""The queue of the fraud application, with an answerer that needs no server."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from examples.fraud_detection.stream import stream

ROWS = np.arange(24.0).reshape(-1, 1)


def test_answers_come_back_in_the_order_of_arrival() -> None:
    streamed = stream(ROWS, 1000.0, 5, lambda rows: rows[:, 0] / 100.0, lambda waited: None)
    np.testing.assert_array_equal(streamed.probabilities, ROWS[:, 0] / 100.0)


def test_no_row_is_asked_about_before_it_arrives() -> None:
    rate, began = 100.0, time.perf_counter()

    def ask(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        assert time.perf_counter() - began >= rows[-1, 0] / rate
        return rows[:, 0]

    streamed = stream(ROWS, rate, 5, ask, lambda waited: None)
    assert streamed.seconds >= 23 / rate
    assert streamed.rows_per_second <= rate * 24 / 23


def test_a_slow_answerer_gets_full_requests_and_the_waiting_is_counted() -> None:
    sizes, waits = [], []

    def ask(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        sizes.append(len(rows))
        time.sleep(0.02)
        return rows[:, 0]

    streamed = stream(ROWS, 10_000.0, 4, ask, waits.extend)
    assert max(sizes) == 4
    assert sum(sizes) == len(waits) == len(ROWS)
    # The last row waited for about six requests although its own took one.
    assert waits[-1] >= 0.02 * (len(sizes) - 1)
    assert streamed.longest_queue > 4
    assert streamed.rows_per_second < 10_000.0


def test_a_failure_ends_the_stream_and_its_source() -> None:
    before = threading.active_count()

    def ask(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        raise RuntimeError("the server is gone")

    with pytest.raises(RuntimeError, match="the server is gone"):
        stream(ROWS, 1.0, 4, ask, lambda waited: None)
    assert threading.active_count() == before
