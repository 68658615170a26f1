"""Public preprocessing: what each block makes, and that plans from strangers are checked."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from strongroom.errors import InputError, PolicyError
from strongroom.models.feature_blocks import Filled, Missing, Numbers, Projected, Scaled
from strongroom.models.feature_codes import Above, Bins, Coded, Codes, OneHot
from strongroom.models.feature_columns import OnColumns
from strongroom.models.feature_products import Mapped, Monomials, Normalised, Power, SquaredNorm
from strongroom.models.features import Features
from strongroom.models.rows import InputSpec

NAN = np.nan
ROWS = np.array([[1.0, -2.0, 3.0], [4.0, 0.5, NAN], [0.0, 7.0, 2.0]])
NAMES = InputSpec(3, ("age", "dose", "job"), "float64").column_labels()
JOBS = Codes((0.0, 2.0, 3.0), (1.0, 0.0, -1.0), missing=2.0, other=-1.0)

BLOCKS: list[tuple[Any, list[list[float]]]] = [
    (Numbers((1, 0)), [[-2, 1], [0.5, 4], [7, 0]]),
    (Filled((2, 0), (9.0, 5.0)), [[3, 1], [9, 4], [2, 0]]),
    (Filled((0,), (5.0,), marker=4.0), [[1], [5], [0]]),
    (Missing((2, 0)), [[0, 0], [1, 0], [0, 0]]),
    (Missing((0,), marker=4.0), [[0], [1], [0]]),
    (Scaled((0,), (1.0,), (2.0,), (3.0,), (4.0,)), [[4], [8.5], [2.5]]),
    (Scaled((0, 1), add=(1.0, 2.0), clip=(0.0, 3.0)), [[2, 0], [3, 2.5], [1, 3]]),
    (Projected((0, 1), ((1.0, 0.0), (2.0, -1.0)), (0.5, 0.0)),
     [[-2.5, 2], [5.5, -0.5], [14.5, -7]]),
    (OneHot((2, 2), (JOBS, JOBS), (3, 3)), [[0] * 6, [0, 0, 1] * 2, [1, 0, 0] * 2]),
    (Coded((2, 0), (JOBS, JOBS)), [[-1, -1], [2, -1], [0, 1]]),
    (Bins((0, 1), ((1.0, 2.0), (0.5,))), [[1, 0], [2, 1], [0, 1]]),
    (Above((0, 1), 0.5), [[1, 0], [1, 0], [0, 1]]),
    (Monomials(((0, 1), (1,), (1, 1, 1))), [[-2, -2, -8], [2, 0.5, 0.125], [0, 7, 343]]),
    (SquaredNorm((0, 1)), [[5], [16.25], [49]]),
    (SquaredNorm((0, 1), (1.0, 2.0)), [[9], [16.5], [98]]),
    (Normalised((0, 1), "l1"), [[1 / 3, -2 / 3], [8 / 9, 1 / 9], [0, 1]]),
    (Normalised((0, 1), "max"), [[0.5, -1], [1, 0.125], [0, 1]]),
    (Mapped((0,), "square"), [[1], [16], [0]]),
    (Power((0,), (2.0,), "yeo-johnson"), [[1.5], [12], [0]]),
]  # fmt: skip


@pytest.mark.parametrize(("block", "expected"), BLOCKS, ids=lambda part: type(part).__name__)
def test_blocks(block: Any, expected: list[list[float]]) -> None:
    features = Features(3, (block,))
    made = features.encode(ROWS)
    assert made.dtype == np.float64
    assert made.flags.c_contiguous
    assert made.shape == (3, features.width)
    assert np.allclose(made, expected, rtol=1e-15, atol=1e-15)
    again = msgspec.json.decode(msgspec.json.encode(features), type=Features)
    assert again == features


@pytest.mark.parametrize(("block", "expected"), BLOCKS, ids=lambda part: type(part).__name__)
def test_blocks_leave_rows_as_they_were_and_say_which_columns_they_take(
    block: Any, expected: list[list[float]]
) -> None:
    rows = ROWS.copy()
    block.encode(rows)
    assert np.array_equal(rows, ROWS, equal_nan=True)
    sentence = block.sentence(NAMES)
    assert bool(sentence) == (not isinstance(block, Numbers))
    if sentence:
        assert sentence.endswith(".")
        assert all(NAMES[place] in sentence for place in block.reads)


def test_a_block_that_does_not_say_what_it_makes_can_not_be_made() -> None:
    class Silent(OnColumns, frozen=True, tag="silent"):
        pass

    for kind in (OnColumns, Silent):
        with pytest.raises(TypeError, match="abstract methods 'encode', 'sentence'"):
            kind((0,))


def test_blocks_stand_side_by_side_and_on_one_another() -> None:
    features = Features(
        3,
        (Numbers((0, 3)), Monomials(((4, 4),))),
        (Filled((2,), (1.0,)), Scaled((3,), divide=(2.0,))),
    )
    assert features.width == 3
    assert features.encode(ROWS).tolist() == [[1, 3, 2.25], [4, 1, 0.25], [0, 2, 1]]
    told = features.sentences(NAMES)
    assert len(told) == 4
    assert all("column 'job'" in line for line in told[:3])
    assert told[3] == "That the model does not look at column 'dose' is public."


def test_columns_as_they_are_need_no_word() -> None:
    features = Features.plain(3)
    assert features.sentences(NAMES) == ()
    assert np.array_equal(features.encode(ROWS[[0, 2]]), ROWS[[0, 2]])


def test_what_is_missing_or_infinite_in_the_end_is_refused_by_row() -> None:
    for features in (Features.plain(3), Features(3, (Mapped((2,), "log"),))):
        with pytest.raises(InputError) as caught:
            features.encode(ROWS)
        assert caught.value.code == "SR-INPUT-INFINITE"
        assert "row 1 " in str(caught.value)


@pytest.mark.parametrize(
    ("codes", "code", "words"),
    [
        (Codes((2.0, 3.0), (0.0, 1.0), "refuse", 0.0), "SR-INPUT-MISSING", "row 1, column 2"),
        (Codes((2.0,), (0.0,), 0.0, "refuse"), "SR-INPUT-CATEGORY", "row 0, column 2"),
        (Codes((), (), 0.0, "refuse"), "SR-INPUT-CATEGORY", "row 0, column 2"),
    ],
)
def test_values_without_an_answer_are_refused_by_place(codes: Any, code: str, words: str) -> None:
    for block in (OneHot((2,), (codes,), (2,)), Coded((2,), (codes,))):
        with pytest.raises(InputError) as caught:
            Features(3, (block,)).encode(ROWS)
        assert caught.value.code == code
        assert words in str(caught.value)


def test_codes_may_stay_missing_on_the_way() -> None:
    codes = Codes((2.0,), (5.0,), "missing", "missing")
    features = Features(3, (Filled((3,), (8.0,)),), (Coded((2,), (codes,)),))
    assert features.encode(ROWS).tolist() == [[8], [8], [5]]


def test_a_norm_of_nothing_is_no_division_by_zero() -> None:
    rows = np.zeros((1, 2))
    for norm in ("l1", "l2", "max"):
        assert Features(2, (Normalised((0, 1), norm),)).encode(rows).tolist() == [[0, 0]]


IMPOSSIBLE: list[Any] = [
    lambda: Features(3, ()),
    lambda: Features(0, (Numbers((0,)),)),
    lambda: Features(2**21, (Numbers((0,)),)),
    lambda: Features(3, (Numbers((3,)),)),
    lambda: Features(3, (Numbers((4,)),), (Numbers((0,)),)),
    lambda: Features(3, (Numbers((0,)),), (Numbers((3,)),)),
    lambda: Features(3, (Monomials(((0, 3),)),)),
    lambda: Features(3, (OneHot((0,), (JOBS,), (2**21,)),)),
    lambda: Numbers(()),
    lambda: Numbers((-1,)),
    lambda: Filled((0, 1), (1.0,)),
    lambda: Filled((0,), (NAN,)),
    lambda: Filled((0,), (1.0,), marker=NAN),
    lambda: Missing((0,), marker=np.inf),
    lambda: Scaled((0,), divide=(0.0,)),
    lambda: Scaled((0,), subtract=(1.0, 2.0)),
    lambda: Scaled((0,), clip=(0.0, np.inf)),
    lambda: Projected((0,), ()),
    lambda: Projected((0,), ((),)),
    lambda: Projected((0, 1), ((1.0,), (1.0, 2.0))),
    lambda: Projected((0,), ((NAN,),)),
    lambda: Projected((0,), ((1.0,),), (1.0, 2.0)),
    lambda: Codes((1.0, 0.0), (0.0, 1.0), 0.0, 0.0),
    lambda: Codes((0.0, 1.0), (0.0,), 0.0, 0.0),
    lambda: Codes((NAN,), (0.0,), 0.0, 0.0),
    lambda: Codes((0.0,), (0.0,), np.inf, 0.0),
    lambda: OneHot((0,), (JOBS,), (2,)),
    lambda: OneHot((0,), (Codes((0.0,), (0.5,), 0.0, 0.0),), (3,)),
    lambda: OneHot((0,), (Codes((0.0,), (-2.0,), 0.0, 0.0),), (3,)),
    lambda: OneHot((0,), (Codes((0.0,), (0.0,), "missing", 0.0),), (3,)),
    lambda: OneHot((0,), (JOBS,), (3, 3)),
    lambda: Coded((0, 1), (JOBS,)),
    lambda: Bins((0,), ((2.0, 1.0),)),
    lambda: Bins((0,), ()),
    lambda: Above((0,), NAN),
    lambda: Monomials(()),
    lambda: Monomials(((0, 1), ())),
    lambda: Monomials(((0,) * 17,)),
    lambda: SquaredNorm((0,), (1.0, 2.0)),
    lambda: Mapped((0,), "__import__"),
    lambda: Power((0,), (NAN,), "box-cox"),
]


@pytest.mark.parametrize("make", IMPOSSIBLE, ids=range(len(IMPOSSIBLE)))
def test_impossible_preprocessing_is_refused(make: Any) -> None:
    with pytest.raises(PolicyError) as caught:
        make()
    assert caught.value.code == "SR-PLAN-INVALID"


@pytest.mark.parametrize(
    "data",
    [
        b'{"columns":1,"blocks":[{"type":"shell","columns":[0]}]}',
        b'{"columns":1,"blocks":[{"type":"numbers","columns":[0],"more":1}]}',
        b'{"columns":1,"blocks":[{"type":"numbers","columns":[9]}]}',
        b'{"columns":1,"blocks":[{"type":"above","columns":[0],"threshold":1e999}]}',
        b'{"columns":1,"blocks":[{"type":"normalised","columns":[0],"norm":"l7"}]}',
    ],
)
def test_a_plan_from_a_stranger_is_checked_while_it_is_read(data: bytes) -> None:
    with pytest.raises((msgspec.ValidationError, msgspec.DecodeError, PolicyError)):
        msgspec.json.decode(data, type=Features)
