"""Cells of a text file as a model takes them: numbers, categories and missing values, or one line
that names file, line and column and never the cell."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from strongroom.errors import InputError, InputRangeWarning
from strongroom.models.categories import Categories
from strongroom.models.feature_columns import RowRefused, RowsFarOut
from strongroom.models.rows import InputSpec
from strongroom.models.text_rows import TextRows, typed_labels

NAMES = ("age", "city", "level")
CITIES = Categories(1, ("Oslo", "007", "NA"), unknown=False)
LEVELS = Categories(2, (1, 2.5, 10), unknown=True)
SPEC = InputSpec(3, NAMES, "float64", categories=(CITIES, LEVELS), missing=(0,))


def table(*rows: str, names: tuple[str, ...] = NAMES) -> TextRows:
    return TextRows("rows.csv", names, [row.split("|") for row in rows], range(2, 2 + len(rows)))


def test_each_column_is_read_as_the_model_takes_it() -> None:
    rows = SPEC.rows(table("41|Oslo|1", " |007|2.50", "n/a|NA|10", "3e1|Oslo|11"))
    expected = [[41, 0, 0], [np.nan, 1, 1], [np.nan, 2, 2], [30, 0, -1]]
    np.testing.assert_array_equal(rows, expected)


def test_what_the_model_does_not_look_at_may_hold_anything() -> None:
    spec = InputSpec(2, (), "float64", ignored=(0,))
    np.testing.assert_array_equal(spec.rows(table("id-7|2", names=("id", "x"))), [[0, 2]])


def test_truth_values_are_labels_where_the_model_s_are() -> None:
    spec = InputSpec(1, (), "float64", categories=(Categories(0, (False, True), False),))
    rows = spec.rows(table("True", "false", "1", names=()))
    np.testing.assert_array_equal(rows, [[1], [0], [1]])


@pytest.mark.parametrize(
    ("row", "code", "said"),
    [
        ("old|Oslo|1", "SR-INPUT-TYPE", "column 1 (age) holds text where a number belongs"),
        ("inf|Oslo|1", "SR-INPUT-INFINITE", "column 1 (age) is infinite"),
        ("41|Bern|1", "SR-INPUT-CATEGORY", "column 2 (city) holds a category"),
        ("41|oslo|1", "SR-INPUT-CATEGORY", "column 2 (city)"),
        ("41||1", "SR-INPUT-MISSING", "column 2 (city) is empty"),
        ("41|Oslo|high", "SR-INPUT-TYPE", "column 3 (level) holds text, the model's categories"),
        ("41|Oslo|", "SR-INPUT-MISSING", "column 3 (level) is empty"),
    ],
)
def test_a_cell_that_does_not_fit_is_named_by_line_and_column(
    row: str, code: str, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        SPEC.rows(table("41|Oslo|1", row))
    assert caught.value.code == code
    assert f"rows.csv line 3, {said}" in str(caught.value)
    assert "Bern" not in str(caught.value)
    assert caught.value.__cause__ is None  # which would hold the cell


def test_a_number_beyond_float32_is_infinite_to_a_model_of_float32() -> None:
    spec = InputSpec(1, (), "float32")
    with pytest.raises(InputError, match="line 2, column 1 is infinite in float32"):
        spec.rows(table("1e39", names=()))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("city", "age", "level"), "column 1 is named 'city', the model takes 'age' there"),
        (("", *NAMES), "Leave out the first column, the index"),
        (("age", "city"), "has 2 columns, the model takes 3; 'level' is not there"),
        ((*NAMES, "income"), "has 4 columns, the model takes 3; 'income' is none of the model's"),
        ((*NAMES, "age"), "has 4 columns, the model takes 3; 'age' is there twice"),
        (("age", "wage"), "; 'city' is not there; 'wage' is none of the model's"),
    ],
)
def test_other_columns_are_refused(names: tuple[str, ...], said: str) -> None:
    rows = table("|".join("1" for _ in names), names=names)
    with pytest.raises(InputError) as caught:
        SPEC.rows(rows)
    assert caught.value.code == "SR-INPUT-COLUMNS"
    assert said in str(caught.value)


def test_a_column_of_labels_is_taken_out() -> None:
    rows, labels = table("41|Oslo|1", "42|NA|2").without("level")
    assert (rows.names, rows.cells) == (("age", "city"), [["41", "Oslo"], ["42", "NA"]])
    assert labels == ["1", "2"]
    with pytest.raises(InputError, match="has no column 'income'"):
        rows.without("income")


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["0", " 1"], [0, 1]),
        (["0", "1.5"], [0.0, 1.5]),
        (["True", "false"], [True, False]),
        (["ill", "1"], ["ill", "1"]),
    ],
)
def test_labels_are_numbers_where_all_of_them_are(cells: list[str], labels: list[object]) -> None:
    assert typed_labels(cells) == labels


def far_out() -> None:
    warnings.warn(RowsFarOut("2 of 3 rows, the first at ", 1, ", column 0: far"), stacklevel=2)


def test_warnings_of_rows_name_lines_and_others_are_left_alone() -> None:
    rows = table("1|Oslo|1", "2|Oslo|1", "3|Oslo|1")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        far_out()
        with rows.naming_lines():
            far_out()
            warnings.warn("row 1 of something else", UserWarning, stacklevel=1)
        far_out()
    assert [str(one.message) for one in caught] == [
        "2 of 3 rows, the first at row 1, column 0: far",
        "2 of 3 rows, the first at rows.csv line 3, column 0: far",
        "row 1 of something else",
        "2 of 3 rows, the first at row 1, column 0: far",
    ]
    assert all(issubclass(one.category, UserWarning) for one in caught)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warned = pytest.raises(InputRangeWarning, match=r"first at rows\.csv line 3, ")
        with warned, rows.naming_lines():
            far_out()


def test_a_refused_row_is_named_by_its_line() -> None:
    rows = table("1|Oslo|1", "2|Oslo|1", "3|Oslo|1")
    refused = pytest.raises(InputError, match=r"rows\.csv line 4 has no answer")
    with refused as caught, rows.naming_lines():
        raise RowRefused("SR-INPUT-RANGE", 2, " has no answer", "")
    assert caught.value.code == "SR-INPUT-RANGE"
