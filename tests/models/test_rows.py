"""Rows: what is accepted, and that a refusal names the place and not the value."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import sparse

from strongroom.errors import InputError, PolicyError
from strongroom.models.categories import Categories
from strongroom.models.rows import InputSpec
from strongroom.models.text_rows import TextRows

PLAIN = InputSpec(3, (), "float64")
NAMED = InputSpec(3, ("age", "dose", "weight"), "float64")
GOOD = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


def refusal(spec: InputSpec, X: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        spec.rows(X)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    "X",
    [
        GOOD,
        tuple(tuple(row) for row in GOOD),
        [np.array(row) for row in GOOD],
        np.array(GOOD),
        np.array(GOOD, dtype=np.float32),
        np.array(GOOD, dtype=np.int8),
        np.asfortranarray(GOOD),
        np.array(GOOD, dtype=object),
        np.ma.masked_array(GOOD, mask=False),
        [[Decimal(1), Fraction(2), 3], [4.0, np.float32(5), np.int64(6)]],
        pd.DataFrame(GOOD),
        pd.DataFrame(GOOD, columns=["age", "dose", "weight"]),
        pd.DataFrame(GOOD, index=["x", "y"], columns=["age", "dose", "weight"]),
        pd.DataFrame(GOOD, columns=["age", "dose", "weight"]).astype("Int64"),
        pd.DataFrame(GOOD, columns=["age", "dose", "weight"]).astype("Float32"),
        pd.DataFrame(GOOD, columns=["age", "dose", "weight"]).astype(object),
        pd.DataFrame(GOOD, columns=["age", "dose", "weight"]).astype({"age": "int8"}),
        pd.DataFrame(GOOD, columns=["age", "dose", "weight"]).astype(pd.SparseDtype(float)),
    ],
)
def test_tables_of_numbers_become_float64(X: Any) -> None:
    for spec in (PLAIN, NAMED):
        rows = spec.rows(X)
        assert rows.dtype == np.float64
        assert rows.flags.c_contiguous
        assert rows.tolist() == GOOD


@pytest.mark.parametrize("kind", ["bool", "boolean", object])
def test_booleans_count_as_zero_and_one(kind: Any) -> None:
    frame = pd.DataFrame([[True, False, True]]).astype(kind)
    assert PLAIN.rows(frame).tolist() == [[1.0, 0.0, 1.0]]


def test_rows_of_a_float32_model_are_narrowed() -> None:
    rows = InputSpec(1, (), "float32").rows([[0.1]])
    assert rows.dtype == np.float64
    assert rows[0, 0] == np.float32(0.1)


def test_a_value_beyond_float32_is_infinite_for_a_float32_model() -> None:
    error = refusal(InputSpec(2, (), "float32"), [[0.0, 1e200]])
    assert error.code == "SR-INPUT-INFINITE"
    assert "row 0, column 1" in str(error)
    assert "float32" in str(error)


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (np.array([1.0, 2.0, 3.0]), "reshape(1, -1)"),
        ([1.0, 2.0, 3.0], "reshape(1, -1)"),
        (pd.Series([1.0, 2.0, 3.0]), "reshape(1, -1)"),
        (["a", "b", "c"], "reshape(1, -1)"),
        (np.zeros((2, 3, 1)), "3 dimensions"),
        (np.float64(3), "0 dimensions"),
        (np.zeros((0, 3)), "no rows"),
        (pd.DataFrame(columns=["age", "dose", "weight"]), "no rows"),
        ([], "1 dimensions"),
        ([[1, 2, 3], [4, 5]], "row 1 has 2 values"),
        ([[1, 2, 3], [4, "x"]], "row 1 has 2 values"),
        (None, "NoneType"),
        ("1,2,3", "str"),
        ({"age": 1}, "dict"),
    ],
)
def test_what_is_no_table_is_refused(X: Any, words: str) -> None:
    error = refusal(NAMED, X)
    assert error.code == "SR-INPUT-SHAPE"
    assert words in str(error)


@pytest.mark.parametrize("X", [[[1.0, 2.0]], np.zeros((5, 4)), pd.DataFrame(np.zeros((1, 2)))])
def test_another_number_of_columns_is_refused(X: Any) -> None:
    error = refusal(PLAIN, X)
    assert error.code == "SR-INPUT-COLUMNS"
    assert "the model takes 3" in str(error)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["age", "weight", "dose"], "another order"),
        (["age", "dose", "height"], "lack 'weight' and have 'height'"),
        (["age", "dose"], "lack 'weight'"),
        (["age", "dose", "weight", "extra"], "have 'extra'"),
        (["age", "dose", "weight", "dose"], "column 'dose' more than once"),
    ],
)
def test_other_column_names_are_refused(names: list[str], words: str) -> None:
    error = refusal(NAMED, pd.DataFrame([range(len(names))], columns=names))
    assert error.code == "SR-INPUT-COLUMNS"
    assert words in str(error)


def test_a_frame_without_text_names_is_taken_by_position() -> None:
    assert NAMED.rows(pd.DataFrame(GOOD)).tolist() == GOOD


@pytest.mark.parametrize(
    "missing", [np.nan, None, pd.NA, pd.NaT, "", "  ", Decimal("NaN"), Decimal("sNaN")]
)
def test_missing_values_are_refused_by_place(missing: Any) -> None:
    error = refusal(NAMED, [[1, 2, 3], [4, missing, 6]])
    assert error.code == "SR-INPUT-MISSING"
    assert "row 1, column 'dose'" in str(error)


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "boolean", object])
def test_missing_values_in_pandas_columns_are_refused_by_place(dtype: Any) -> None:
    frame = pd.DataFrame({"a": [1, 0], "b": pd.array([1, None], dtype=dtype), "c": [1, 1]})
    error = refusal(PLAIN, frame)
    assert error.code == "SR-INPUT-MISSING"
    assert "row 1, column 1" in str(error)


def test_masked_values_count_as_missing() -> None:
    masked = np.ma.masked_array(GOOD, mask=[[0, 0, 0], [0, 0, 1]])
    assert refusal(PLAIN, masked).code == "SR-INPUT-MISSING"


@pytest.mark.parametrize("infinite", [np.inf, -np.inf, 10**400, Decimal("Infinity")])
def test_infinite_values_are_refused_by_place(infinite: Any) -> None:
    error = refusal(PLAIN, [[1, 2, 3], [infinite, 5, 6]])
    assert error.code == "SR-INPUT-INFINITE"
    assert "row 1, column 0" in str(error)


@pytest.mark.parametrize(
    "column",
    [
        ["7123", "7123"],
        np.array(["7123", "7123"]),
        np.array([b"7123", b"7123"]),
        pd.Series(["7123", "7123"], dtype="string"),
        pd.Series(["7123", "7123"], dtype="category"),
        pd.Series([7123, 7123], dtype="category"),
        pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02"])),
        pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02"], utc=True)),
        pd.Series(pd.to_timedelta([7123, 7124])),
        np.array([7123j, 0]),
        [[7123], [7123]],
        [object(), 1.0],
    ],
)
def test_what_is_no_number_is_refused_by_column_and_without_its_value(column: Any) -> None:
    frame = pd.DataFrame({"age": [1.0, 2.0], "dose": column, "weight": [1.0, 2.0]})
    error = refusal(NAMED, frame)
    assert error.code == "SR-INPUT-TYPE"
    assert "column 'dose'" in str(error)
    assert "7123" not in str(error)


def test_text_among_numbers_in_a_list_is_found() -> None:
    error = refusal(PLAIN, [[1, 2, 3], [4, 5, "six"]])
    assert error.code == "SR-INPUT-TYPE"
    assert "row 1, column 2" in str(error)
    assert "six" not in str(error)


def test_a_column_of_a_frame_is_named_where_the_model_has_no_names() -> None:
    frame = pd.DataFrame({"a": [1.0], "b": ["x"], "c": [2.0]})
    assert "column 'b'" in str(refusal(PLAIN, frame))


def test_sparse_matrices_are_refused() -> None:
    error = refusal(PLAIN, sparse.csr_matrix(np.eye(3)))
    assert error.code == "SR-INPUT-TYPE"
    assert "toarray" in str(error)


def test_hostile_column_names_stay_on_one_short_line() -> None:
    frame = pd.DataFrame([[1, 2, 3]], columns=["age", "dose", "x\n" * 5000])
    assert len(str(refusal(NAMED, frame))) < 300


@pytest.mark.parametrize(
    "spec",
    [(0, (), "float64"), (2**40, (), "float64"), (2, ("a",), "float64"), (2, (), "float16")],
)
def test_specs_that_contradict_themselves_are_refused(spec: Any) -> None:
    with pytest.raises(PolicyError) as caught:
        InputSpec(*spec)
    assert caught.value.code == "SR-PLAN-INVALID"


@given(
    arrays(
        np.float64,
        array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
        elements=st.floats(allow_nan=True, allow_infinity=True),
    ),
    st.sampled_from(["array", "list", "frame"]),
)
def test_rows_are_returned_unchanged_or_refused(X: np.ndarray, form: str) -> None:
    given_rows: Any = X
    if form == "list":
        given_rows = X.tolist()
    elif form == "frame" and X.ndim == 2:
        given_rows = pd.DataFrame(X)
    good = X.ndim == 2 and X.shape[1] == 3 and X.shape[0] > 0 and bool(np.isfinite(X).all())
    if good:
        assert np.array_equal(PLAIN.rows(given_rows), X)
    else:
        assert refusal(PLAIN, given_rows).code in (
            "SR-INPUT-SHAPE", "SR-INPUT-COLUMNS", "SR-INPUT-MISSING", "SR-INPUT-INFINITE",
        )  # fmt: skip


@given(
    st.lists(
        st.lists(
            st.one_of(st.floats(), st.integers(), st.none(), st.text(max_size=3), st.booleans()),
            min_size=3,
            max_size=3,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_cells_of_any_kind_never_lead_to_another_error(X: list[list[Any]]) -> None:
    def number(cell: Any) -> bool:
        return not isinstance(cell, str | None) and bool(np.isfinite(float(cell)))

    if all(number(cell) for row in X for cell in row):
        assert PLAIN.rows(X).tolist() == [[float(cell) for cell in row] for row in X]
    else:
        assert refusal(PLAIN, X).code in (
            "SR-INPUT-TYPE", "SR-INPUT-MISSING", "SR-INPUT-INFINITE",
        )  # fmt: skip


LABELLED = InputSpec(
    4,
    ("job", "age", "note", "kids"),
    "float64",
    categories=(
        Categories(0, ("cook", "nurse", ""), unknown=True),
        Categories(3, (0, 1, 2.5, 3), unknown=False),
    ),
    missing=(0, 1),
    ignored=(2,),
)
MIXED = pd.DataFrame(
    {
        "job": ["nurse", None, "pilot", ""],
        "age": [50.0, np.nan, 51.0, 52.0],
        "note": ["a", 1, None, object()],
        "kids": [3, 0, 2.5, 1],
    }
)
CODES = [[1.0, 50.0, 0.0, 3.0], [np.nan, np.nan, 0, 0], [-1.0, 51.0, 0, 2.0], [2.0, 52.0, 0, 1.0]]


@pytest.mark.parametrize(
    "X",
    [
        MIXED,
        MIXED.astype({"job": "category"}),
        MIXED.astype({"job": "string", "age": "Float64"}),
        MIXED.astype({"kids": "category"}),
        MIXED.astype(object),
        MIXED.to_numpy(),
        MIXED.to_numpy().tolist(),
        [tuple(row) for row in MIXED.to_numpy()],
    ],
)
def test_labels_become_codes(X: Any) -> None:
    rows = LABELLED.rows(X)
    assert rows.dtype == np.float64
    assert rows.flags.c_contiguous
    assert np.array_equal(rows, CODES, equal_nan=True)


def test_codes_become_labels_again() -> None:
    rows = LABELLED.rows(MIXED)
    columns = LABELLED.labelled(rows)
    assert columns[0].tolist()[0::3] == ["nurse", ""]
    assert columns[0][2] not in ("cook", "nurse", "")
    assert columns[3].dtype == np.float64
    again = LABELLED.rows(pd.DataFrame(dict(zip(LABELLED.names, columns, strict=True))))
    assert np.array_equal(rows, again, equal_nan=True)


def test_numbers_of_a_numeric_array_are_labels_too() -> None:
    spec = InputSpec(2, (), "float32", categories=(Categories(1, (0, 0.1, 7), unknown=True),))
    assert spec.rows(np.array([[0.1, 0.1], [1, 7], [2, 8]])).tolist() == [
        [float(np.float32(0.1)), 1.0], [1.0, 2.0], [2.0, -1.0],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "cells", "code", "words"),
    [
        ("kids", [0, 1, 7123, 1], "SR-INPUT-CATEGORY", "row 2, column 'kids'"),
        ("kids", pd.Categorical([0, 1, 7123, 1]), "SR-INPUT-CATEGORY", "row 2, column 'kids'"),
        ("kids", [0, 1, None, 1], "SR-INPUT-MISSING", "row 2, column 'kids'"),
        ("kids", ["0", "1", "0", "7123"], "SR-INPUT-TYPE", "row 0, column 'kids' is text"),
        ("job", ["cook", "cook", 7123, 1], "SR-INPUT-TYPE", "row 2, column 'job' is a number"),
        ("job", pd.Categorical([7123] * 4), "SR-INPUT-TYPE", "column 'job' is a number"),
        ("job", [b"cook", None, "a", "b"], "SR-INPUT-TYPE", "row 0, column 'job' is a bytes"),
        ("job", pd.to_datetime(["2020-01-01"] * 4), "SR-INPUT-TYPE", "column 'job' is a Time"),
        ("age", ["7123", 1, 2, 3], "SR-INPUT-TYPE", "row 0, column 'age' is text"),
        ("age", [1, 2, 3, np.inf], "SR-INPUT-INFINITE", "row 3, column 'age'"),
    ],
)
def test_cells_that_are_no_label_are_refused_by_place(
    column: str, cells: Any, code: str, words: str
) -> None:
    error = refusal(LABELLED, MIXED.assign(**{column: cells}))
    assert error.code == code
    assert words in str(error)
    assert "7123" not in str(error)


@pytest.mark.parametrize(
    "fields",
    [
        {"missing": (3,)},
        {"missing": (1, 1)},
        {"missing": (-1,)},
        {"ignored": (2, 0)},
        {"ignored": (1,), "missing": (1,)},
        {"categories": (Categories(3, ("a",), True),)},
        {"categories": (Categories(1, ("a",), True),), "ignored": (1,)},
        {"categories": (Categories(1, ("a",), True), Categories(1, ("b",), True))},
    ],
)
def test_columns_that_contradict_each_other_are_refused(fields: Any) -> None:
    with pytest.raises(PolicyError) as caught:
        InputSpec(3, (), "float64", **fields)
    assert caught.value.code == "SR-PLAN-INVALID"


@pytest.mark.parametrize(
    "labels",
    [(), ("a", "a"), (1, True), (1, 1.0), ("a" * 5000,), (float("nan"),), (2**70,)],
)
def test_labels_that_make_no_sense_are_refused(labels: Any) -> None:
    with pytest.raises(PolicyError) as caught:
        Categories(0, labels, unknown=False)
    assert caught.value.code == "SR-PLAN-INVALID"


@given(
    st.lists(
        st.one_of(
            st.floats(), st.integers(), st.none(), st.text(max_size=3), st.booleans(), st.binary()
        ),
        min_size=1,
        max_size=4,
    )
)
def test_labels_of_any_kind_never_lead_to_another_error(cells: list[Any]) -> None:
    spec = InputSpec(1, (), "float64", categories=(Categories(0, ("a", 1, 2.5), True),))
    X = np.empty((len(cells), 1), dtype=object)
    X[:, 0] = cells
    known = {"a": 0.0, 1: 1.0, 2.5: 2.0}
    if any(isinstance(cell, bytes) for cell in cells):
        assert refusal(spec, X).code == "SR-INPUT-TYPE"
    elif any(cell is None or cell != cell for cell in cells):
        assert refusal(spec, X).code == "SR-INPUT-MISSING"
    else:
        assert spec.rows(X)[:, 0].tolist() == [known.get(cell, -1.0) for cell in cells]


IMAGES = InputSpec(12, (), "float32", shape=(2, 2, 3))


def test_images_are_taken_in_their_shape_or_flat() -> None:
    X = np.arange(36.0).reshape(3, 2, 2, 3)
    flat = X.reshape(3, 12)
    for rows in (X, flat, X.tolist(), flat.tolist(), pd.DataFrame(flat), X.astype(np.uint8)):
        assert np.array_equal(IMAGES.rows(rows), flat)
    text = TextRows("images.csv", (), [[str(number) for number in row] for row in flat], [1, 2, 3])
    assert np.array_equal(IMAGES.rows(text), flat)


@pytest.mark.parametrize(
    ("X", "code", "words"),
    [
        (np.zeros((2, 2, 3)), "SR-INPUT-SHAPE", "X[None]"),
        (np.zeros((5, 2, 3, 2)), "SR-INPUT-SHAPE", "(5, 2, 3, 2), the model takes (n, 2, 2, 3)"),
        (np.zeros((5, 4, 3)), "SR-INPUT-SHAPE", "flat ones of shape (n, 12)"),
        (np.zeros(12), "SR-INPUT-SHAPE", "(12)"),
        (np.zeros((1,) * 30), "SR-INPUT-SHAPE", "..."),
        (np.zeros((5, 11)), "SR-INPUT-COLUMNS", "11 columns"),
        (np.zeros((0, 2, 2, 3)), "SR-INPUT-SHAPE", "no rows"),
        (np.full((1, 2, 2, 3), np.nan), "SR-INPUT-MISSING", "row 0, column 0"),
    ],
)
def test_images_of_another_shape_are_refused_with_theirs(X: Any, code: str, words: str) -> None:
    error = refusal(IMAGES, X)
    assert error.code == code
    assert words in str(error)


@pytest.mark.parametrize("shape", [(12,), (2, 5), (0, 12), (-2, -6), (1, 1, 1, 1, 12)])
def test_shapes_that_columns_do_not_have_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(PolicyError) as caught:
        InputSpec(12, (), "float64", shape=shape)
    assert caught.value.code == "SR-PLAN-INVALID"
