"""The grid's bits compare as the framework does, and a grid from a stranger is checked."""

from __future__ import annotations

import math
import time
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.canonical import canonical_json
from strongroom.errors import PolicyError
from strongroom.models.features import Features
from strongroom.models.trees.grid import CategoryBits, CutPoints, Grid


def cuts(**changes: Any) -> CutPoints:
    fields: dict[str, Any] = {
        "column": 0,
        "points": (-1.5, 0.0, 2.5),
        "comparison": "<=",
        "dtype": "float64",
        "missing": "above",
        "missing_numbers": None,
        "missing_bit": False,
    }
    return CutPoints(**(fields | changes))


def codes(**changes: Any) -> CategoryBits:
    fields: dict[str, Any] = {
        "column": 1,
        "kind": "floored",
        "known": 0,
        "dtype": "float64",
        "categories": (0, 3),
        "missing_bit": False,
    }
    return CategoryBits(**(fields | changes))


def column(*values: float) -> np.ndarray:
    return np.array([[value, value] for value in values])


def bits(entry: CutPoints | CategoryBits, *values: float) -> list[str]:
    return ["".join(str(int(bit)) for bit in row) for row in entry.bits(column(*values))]


def test_at_or_below_a_cut_point() -> None:
    below = math.nextafter(2.5, 0.0)
    above = math.nextafter(2.5, 3.0)
    assert bits(cuts(), -2.0, -1.5, 0.0, below, 2.5, above) == [
        *("111", "111", "011", "001", "001", "000")
    ]


def test_below_a_cut_point() -> None:
    below = math.nextafter(2.5, 0.0)
    assert bits(cuts(comparison="<"), -1.5, -0.0, below, 2.5) == ["011", "001", "001", "000"]


def test_comparison_in_float32() -> None:
    third = float(np.float32(1 / 3))
    entry = cuts(points=(third,), dtype="float32")
    assert third > 1 / 3
    assert bits(entry, third + 1e-9, third + 1e-7) == ["1", "0"]
    assert bits(cuts(points=(third,)), third + 1e-9) == ["0"]


@pytest.mark.parametrize(
    ("place", "expected"), [("above", "000"), ("below", "111"), ("zero", "011")]
)
def test_a_missing_number_has_a_place(place: str, expected: str) -> None:
    assert bits(cuts(missing=place), math.nan) == [expected]


def test_a_missing_number_has_a_bit() -> None:
    assert bits(cuts(missing_bit=True), math.nan, 5.0) == ["0001", "0000"]


def test_numbers_that_count_as_missing() -> None:
    entry = cuts(missing_numbers=(-1e-35, 1e-35), missing_bit=True)
    assert bits(entry, 1e-35, -1e-35, 2e-35, 0.0) == ["0001", "0001", "0010", "0001"]


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("floored", (0.0, 0.9, 3.999, -0.5, 2.0, 1e30), ["10", "10", "01", "00", "00", "00"]),
        ("truncated", (0.9, -0.9, -1.0, 3.5, -3.5), ["10", "10", "00", "01", "00"]),
        ("codes", (0.0, 0.5, 3.0, 4.0, -1.0), ["10", "00", "01", "00", "00"]),
    ],
)
def test_categories(kind: str, values: tuple[float, ...], expected: list[str]) -> None:
    assert bits(codes(kind=kind, known=4), *values) == expected


def test_an_unknown_code_is_missing() -> None:
    entry = codes(kind="codes", known=4, missing_bit=True)
    assert bits(entry, 0.5, 4.0, -1.0, math.nan, 1.0) == ["001", "001", "001", "001", "000"]


def test_groups_take_bits_by_place_and_zeros_for_padding() -> None:
    grid = Grid((cuts(), codes()), 0, 2, (0, 4, -1, 1, 1, 2))
    assert grid.width == 6
    assert grid.encode(np.array([[-1.0, 3.0]])).tolist() == [[0, 1, 0, 1, 1, 1]]


def test_a_grid_moves_to_other_columns() -> None:
    grid = Grid((cuts(), codes()), 0, 1, ()).moved([4, 2])
    assert grid.reads == (4, 2)
    assert grid.encode(np.array([[9.0, 9.0, 3.0, 9.0, -1.0]])).tolist() == [[0, 1, 1, 0, 1]]


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=9),
    st.lists(st.floats(allow_infinity=False, width=32), min_size=1, max_size=9),
    st.sampled_from(["<", "<="]),
    st.sampled_from(["float32", "float64"]),
)
def test_bits_are_the_comparisons(
    points: list[float], values: list[float], comparison: Any, dtype: Any
) -> None:
    ordered = tuple(sorted({point + 0.0 for point in points}))
    entry = cuts(points=ordered, comparison=comparison, dtype=dtype)
    x = np.array(values, dtype=dtype)[:, None]
    expected = x < np.array(ordered) if comparison == "<" else x <= np.array(ordered)
    assert np.array_equal(entry.bits(np.array(values)[:, None]), expected)


def test_a_thousand_rows_over_three_thousand_cut_points_take_milliseconds() -> None:
    random = np.random.default_rng(0)
    points = np.sort(random.normal(size=(30, 100)), axis=1)
    grid = Grid(
        tuple(cuts(column=place, points=tuple(row)) for place, row in enumerate(points)), 0, 1, ()
    )
    rows = random.normal(size=(1000, 30))
    features = grid.encode(rows)
    expected = rows[:, :, None] <= points
    assert np.array_equal(features, expected.reshape(1000, -1))
    seconds = []
    for _ in range(3):
        start = time.process_time()
        grid.encode(rows)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.2


@pytest.mark.parametrize(
    "make",
    [
        lambda: cuts(points=(1.0, 1.0)),
        lambda: cuts(points=(1.0, 0.0)),
        lambda: cuts(points=(math.nan,)),
        lambda: cuts(points=(0.0, math.inf)),
        lambda: codes(categories=(3, 0)),
        lambda: Grid((), 0, 1, ()),
        lambda: Grid((cuts(),), 4, 1, ()),
        lambda: Grid((cuts(),), -1, 1, ()),
        lambda: Grid((cuts(),), 0, 0, ()),
        lambda: Grid((cuts(),), 0, 2, ()),
        lambda: Grid((cuts(),), 0, 1, (3,)),
        lambda: Grid((cuts(),), 0, 1, (-2,)),
        lambda: Grid((cuts(),), 0, 1, (0,) * (2**20 + 1)),
    ],
)
def test_impossible_grids_are_refused(make: Any) -> None:
    with pytest.raises(PolicyError) as caught:
        make()
    assert caught.value.code == "SR-PLAN-INVALID"


@pytest.mark.parametrize(
    "change",
    [
        {"column": -1},
        {"column": 2**40},
        {"comparison": ">"},
        {"dtype": "float16"},
        {"missing": "left"},
        {"points": ["a"]},
        {"more": 1},
    ],
)
def test_a_grid_from_json_is_checked(change: dict[str, Any]) -> None:
    features = Features(2, (Grid((cuts(), codes()), 1, 1, ()),))
    text = canonical_json(features)
    assert msgspec.json.decode(text, type=Features) == features
    plain = msgspec.json.decode(text)
    plain["blocks"][0]["entries"][0] |= change
    with pytest.raises((msgspec.ValidationError, PolicyError)):
        msgspec.json.decode(msgspec.json.encode(plain), type=Features)


def test_a_grid_on_columns_that_are_not_there_is_refused() -> None:
    with pytest.raises(PolicyError):
        Features(1, (Grid((cuts(), codes()), 0, 1, ()),))


def test_the_sentence_says_what_is_revealed() -> None:
    names = ["column 'age'", "column 'town'"]
    assert Grid((cuts(), codes()), 0, 1, ()).sentence(names) == (
        "Rows become bits, whose meaning is public: 3 cut points in 1 column (3 a column), "
        "2 categories in 1 column. All cut points are the model's own."
    )
    missing = cuts(points=(1.0,), missing_bit=True)
    padded = Grid((missing, cuts(column=1)), 2, 2, (0, 1, 2, 3))
    assert padded.sentence(names) == (
        "Rows become bits, whose meaning is public: 4 cut points in 2 columns (1 to 3 a column), "
        "which values are missing in 1 column. Of the cut points, 2 at most (50 %) are decoys; the "
        "others are the model's own. Which bits each of 2 groups of trees takes is public."
    )
