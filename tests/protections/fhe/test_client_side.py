"""The client's side: where rows may lie, and what it keeps to itself."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from exchanges import Exchange, Table

from strongroom.errors import InputError, InputRangeWarning
from strongroom.keys.store import KeyStore
from strongroom.policy import Policy
from strongroom.protections.fhe.protection import FheProtection


def row_at(exchange: Exchange, times: float, column: int = 7) -> Table:
    """A row in the middle of the sample but for one column, so many half widths from its centre."""
    layout = exchange.plan.layout
    row = np.array([layout.centre])
    row[0, column] += times * layout.half_width[column]
    return row


@pytest.mark.parametrize("times", [-2.0, -1.0, 0.0, 1.0, 2.0])
def test_rows_near_the_sample_pass_without_a_word(exchange: Exchange, times: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exchange.client.encode(row_at(exchange, times))


@pytest.mark.parametrize("times", [-8.0, -2.001, 2.001, 8.0])
def test_rows_far_outside_are_warned_of_and_still_right(exchange: Exchange, times: float) -> None:
    row = row_at(exchange, times)
    with pytest.warns(InputRangeWarning, match=r"1 of 1 rows .* row 0, column 7: .*less precise"):
        scores = exchange.scores(row)
    assert np.abs(scores - exchange.plain(row)).max() <= exchange.plan.costs.score_error


def test_no_score_overflows_when_every_column_is_at_the_headroom(exchange: Exchange) -> None:
    layout = exchange.plan.layout
    corner = np.sign(exchange.weights) * layout.headroom * np.array(layout.half_width)
    rows = np.vstack([layout.centre + corner, layout.centre - corner])
    with pytest.warns(InputRangeWarning, match="2 of 2 rows"):
        scores = exchange.scores(rows)
    assert np.abs(scores - exchange.plain(rows)).max() <= exchange.plan.costs.score_error


@pytest.mark.parametrize("times", [-8.001, 8.001, 1e300, -1e300])
def test_rows_that_could_overflow_are_refused_by_place(exchange: Exchange, times: float) -> None:
    row = row_at(exchange, times)
    with pytest.raises(InputError, match=r"row 0, column 7 is more than 8 half widths") as caught:
        exchange.client.encode(row)
    assert caught.value.code == "SR-INPUT-RANGE"
    assert f"{row[0, 7]:g}" not in str(caught.value)


def test_equal_rows_make_unequal_requests(exchange: Exchange) -> None:
    rows = np.repeat(row_at(exchange, 0.5), 2, axis=0)
    first, second = (exchange.request(rows).body for _ in range(2))
    assert first[:8] == second[:8]
    assert first[8:24] != second[8:24]
    start = 60 + exchange.circuit.sizes.public_key
    assert first[start + 100 :] != second[start + 100 :]


def test_equal_answers_are_flooded_anew_each_time(exchange: Exchange) -> None:
    pending = exchange.request(row_at(exchange, 0.5))
    response = exchange.server.answer(pending.body)
    opened = {float(exchange.client.decrypt(pending, response)[0, 0]) for _ in range(40)}
    assert len(opened) > 1
    step = 2.0**exchange.plan.layout.log_output_step
    assert all(score / step == round(score / step) for score in opened)


def test_another_clients_key_opens_nothing(exchange: Exchange) -> None:
    stranger = FheProtection().open_client(
        exchange.plan, KeyStore.in_memory(), Policy(), package="sha256:0"
    )
    row = row_at(exchange, 0.5)
    pending = exchange.request(row)
    response = exchange.server.answer(pending.body)
    seen = stranger.decrypt(pending, response)
    assert np.abs(seen - exchange.plain(row)).max() > 2.0**10 * exchange.plan.costs.score_error


def test_what_a_client_shows_of_itself_is_no_secret(exchange: Exchange) -> None:
    row = row_at(exchange, 0.5)
    encoded = exchange.client.encode(row)
    shown = repr(encoded) + repr(exchange.client.encrypt(encoded)) + repr(exchange.client)
    assert len(shown) < 1000
    assert "array" not in shown
