"""Where rows may lie: one look at all rows of a call, numbers counted from its first row."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from strongroom.errors import InputError, InputRangeWarning
from strongroom.models.feature_codes import Coded, Codes
from strongroom.models.feature_columns import RowRefused
from strongroom.models.features import Features
from strongroom.protections.fhe.ranges import FeatureRanges

NAMES = ("column 'age'", "column 'dose'")
RANGES = FeatureRanges(np.zeros(2), np.ones(2), 8.0, Features.plain(2), NAMES)
ROWS = 3000


def test_a_row_out_of_range_is_named_by_its_place_in_the_call() -> None:
    rows = np.zeros((ROWS, 2))
    rows[2500, 1] = 9.0
    with pytest.raises(RowRefused, match=r"row 2500, column 'dose' is more than 8") as caught:
        RANGES.check(rows)
    assert (caught.value.code, caught.value.row) == ("SR-INPUT-RANGE", 2500)


def test_rows_far_out_are_counted_in_one_warning() -> None:
    rows = np.zeros((ROWS, 2))
    rows[[1100, 2500], [1, 0]] = 3.0
    rows[1100, 0] = -3.0
    with pytest.warns(InputRangeWarning) as caught:
        RANGES.check(rows)
    (only,) = caught
    assert "2 of 3000 rows" in str(only.message)
    assert "the first at row 1100, column 'age'" in str(only.message)


def test_encoding_a_part_of_a_call_warns_no_more() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(RANGES.encode(np.full((1, 2), 3.0)), [[3.0, 3.0]])


def test_a_category_without_an_answer_is_named_by_its_place_in_the_call() -> None:
    codes = Codes((0.0, 1.0), (5.0, 6.0), missing="refuse", other="refuse")
    features = Features(1, (Coded((0,), (codes,)),))
    ranges = FeatureRanges(np.zeros(1), np.ones(1), 8.0, features, ("column 'city'",))
    rows = np.zeros((ROWS, 1))
    rows[2049] = 2.0
    with pytest.raises(InputError, match="row 2049, column 0 is a category of its own") as caught:
        ranges.check(rows)
    assert caught.value.code == "SR-INPUT-CATEGORY"
