"""Reading CSV files of rows: what is taken, and one clear line for what is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from strongroom.cli.rows_file import read_rows
from strongroom.errors import InputError
from strongroom.models.rows import InputSpec

CANARY = "8125.0625x"


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "rows.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def numbers(path: Path, *, header: bool = True) -> NDArray[np.float64]:
    """The file as a model of two columns without names takes it."""
    return InputSpec(2, (), "float64").rows(read_rows(path, header=header))


def test_reads_names_and_numbers(tmp_path: Path) -> None:
    path = written(tmp_path, 'age,"blood, pressure"\n1,2.5\n-3e2, 4 \n\n')
    assert read_rows(path).names == ("age", "blood, pressure")
    np.testing.assert_array_equal(numbers(path), [[1.0, 2.5], [-300.0, 4.0]])


def test_byte_order_mark_and_windows_line_ends_are_taken(tmp_path: Path) -> None:
    path = written(tmp_path, b"\xef\xbb\xbfa,b\r\n1,2\r\n")
    assert read_rows(path).names == ("a", "b")
    np.testing.assert_array_equal(numbers(path), [[1.0, 2.0]])


def test_pandas_numbered_header_is_a_header(tmp_path: Path) -> None:
    path = written(tmp_path, "0,1\n5,6\n")
    np.testing.assert_array_equal(numbers(path), [[5.0, 6.0]])


def test_without_header_the_first_line_is_a_row(tmp_path: Path) -> None:
    path = written(tmp_path, "5,6\n7,8\n")
    assert read_rows(path, header=False).names == ()
    np.testing.assert_array_equal(numbers(path, header=False), [[5.0, 6.0], [7.0, 8.0]])


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("a,b\n1,\n", "SR-INPUT-MISSING", "line 2, column 2 (b) is empty"),
        ("a,b\n1,2\nNaN,2\n", "SR-INPUT-MISSING", "line 3, column 1 (a)"),
        ("a,b\n1,-inf\n", "SR-INPUT-INFINITE", "line 2, column 2 (b)"),
        ("a,b\n1,1e999\n", "SR-INPUT-INFINITE", "line 2, column 2 (b)"),
        (f"a,b\n1,{CANARY}\n", "SR-INPUT-TYPE", "line 2, column 2 (b) holds text"),
        ("a,b\n1,1_000\n", "SR-INPUT-TYPE", "line 2, column 2 (b) holds text"),
        ("a,b\n1,2\n1,2,3\n", "SR-INPUT-COLUMNS", "line 3 has 3 cells"),
        ("a,b\n", "SR-INPUT-SHAPE", "holds no rows"),
        ("", "SR-INPUT-SHAPE", "holds no rows"),
        ("1,2\n3,4\n", "SR-INPUT-SHAPE", "holds numbers, not column names"),
        (b"a,b\n\xff\xfe,2\n", "SR-INPUT-FILE", "not UTF-8"),
        ('a,b\n"1,2\n', "SR-INPUT-FILE", "not a CSV file"),
        (f"a;b\n1;{CANARY}\n", "SR-INPUT-FILE", "has semicolons between its cells"),
        ("a\tb\tc\n1\t2\t3\n", "SR-INPUT-FILE", "has tabs between its cells"),
        ("a;b\n", "SR-INPUT-FILE", "has semicolons between its cells"),
    ],
)
def test_bad_file_ends_in_one_line_without_values(
    tmp_path: Path, text: str | bytes, code: str, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        numbers(written(tmp_path, text))
    assert caught.value.code == code
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert CANARY not in str(caught.value)


def test_line_numbers_count_quoted_line_breaks(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 4, column 1"):
        numbers(written(tmp_path, '"a\nb",c\n1,2\nx,2\n'))


@pytest.mark.parametrize("name", ["absent.csv", "."])
def test_unreadable_path_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        read_rows(tmp_path / name)
    assert caught.value.code == "SR-INPUT-FILE"


@given(
    arrays(np.float64, (3, 2), elements=st.floats(allow_nan=False, allow_infinity=False, width=64))
)
def test_numbers_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory,
    values: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> None:
    text = "a,b\n" + "".join(",".join(map(repr, row)) + "\n" for row in values.tolist())
    np.testing.assert_array_equal(numbers(written(tmp_path_factory.mktemp("rows"), text)), values)
