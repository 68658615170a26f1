"""Blocks of public preprocessing that are not linear in the numbers of a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import msgspec
import numpy as np

from strongroom.models.feature_columns import (
    MAXIMUM_NUMBERS,
    OnColumns,
    Table,
    check_columns,
    invalid,
    listed,
    one_each,
)

MAXIMUM_DEGREE = 16

FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "abs": np.abs,
    "cbrt": np.cbrt,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log10": np.log10,
    "log1p": np.log1p,
    "log2": np.log2,
    "negative": np.negative,
    "reciprocal": np.reciprocal,
    "sign": np.sign,
    "sqrt": np.sqrt,
    "square": np.square,
    "tanh": np.tanh,
}
"""Functions of one number that a `Mapped` block may apply, by NumPy's names."""


class Monomials(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="monomials"):
    """Products of columns.

    Attributes:
        terms: of each product its factors, places in the table, ascending; a factor that is
            there twice counts twice. A product is formed from its last factor to its first.
    """

    terms: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        for term in self.terms:
            check_columns(term)
        if max(map(len, self.terms), default=0) not in range(1, MAXIMUM_DEGREE + 1):
            raise invalid(f"products of none or of more than {MAXIMUM_DEGREE} columns")
        if sum(map(len, self.terms)) > MAXIMUM_NUMBERS:
            raise invalid(f"more than {MAXIMUM_NUMBERS} factors")

    @property
    def width(self) -> int:
        """How many products it makes of a row."""
        return len(self.terms)

    @property
    def reads(self) -> tuple[int, ...]:
        """Places in the table that it looks at."""
        return tuple(sorted({column for term in self.terms for column in term}))

    def encode(self, table: Table) -> Table:
        """As other blocks do."""
        result = np.empty((len(table), self.width))
        for degree in sorted(set(map(len, self.terms))):
            places = [place for place, term in enumerate(self.terms) if len(term) == degree]
            factors = np.array([self.terms[place] for place in places])
            product = table[:, factors[:, -1]]
            for factor in range(degree - 2, -1, -1):
                product = product * table[:, factors[:, factor]]
            result[:, places] = product
        return result

    def sentence(self, names: Sequence[str]) -> str:
        """As of other blocks."""
        return (
            f"That the model is a polynomial of degree {max(map(len, self.terms))} in "
            f"{listed(self.reads, names)} is public: the asker sends the products."
        )


class SquaredNorm(OnColumns, frozen=True, tag="squared_norm"):
    """The sum of the squares of columns, one number; a column may be weighed.

    Attributes:
        weights: of the squares, one a column, or none: all are 1.
    """

    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_columns(self.columns)
        if self.weights:
            one_each(self.weights, self.columns, "weights")

    @property
    def width(self) -> int:
        return 1

    def encode(self, table: Table) -> Table:
        squares = np.square(table[:, list(self.columns)])
        if self.weights:
            squares *= self.weights
        return np.asarray(squares.sum(axis=1, keepdims=True))

    def sentence(self, names: Sequence[str]) -> str:
        scales = " and the length scales in it are public" if self.weights else " is public"
        return (
            f"That the model looks at distances of {listed(self.columns, names)}{scales}: the "
            "asker sends the sum of the squares."
        )


class Normalised(OnColumns, frozen=True, tag="normalised"):
    """Columns of a row divided by their length; a row of zeros stays as it is.

    Attributes:
        norm: which length: sum of absolute values, Euclidean, or largest absolute value.
    """

    norm: Literal["l1", "l2", "max"]

    def encode(self, table: Table) -> Table:
        values = table[:, list(self.columns)]
        if self.norm == "l1":
            lengths = np.abs(values).sum(axis=1)
        elif self.norm == "l2":
            lengths = np.sqrt(np.einsum("ij,ij->i", values, values))
        else:
            lengths = np.abs(values).max(axis=1)
        # as scikit-learn's _handle_zeros_in_scale: lengths next to nothing count as 1
        lengths[lengths < 10 * np.finfo(np.float64).eps] = 1.0
        return np.asarray(values / lengths[:, None])

    def sentence(self, names: Sequence[str]) -> str:
        return f"That {listed(self.columns, names)} is divided by the length of the row is public."


class Mapped(OnColumns, frozen=True, tag="mapped"):
    """A function of each number.

    Attributes:
        function: one of `FUNCTIONS`.
    """

    function: str

    def __post_init__(self) -> None:
        check_columns(self.columns)
        if self.function not in FUNCTIONS:
            raise invalid("a function that is not known")

    def encode(self, table: Table) -> Table:
        # what is not defined becomes infinite or NaN, which `Features` refuses
        with np.errstate(all="ignore"):
            return np.asarray(FUNCTIONS[self.function](table[:, list(self.columns)]))

    def sentence(self, names: Sequence[str]) -> str:
        return f"That the model takes {self.function} of {listed(self.columns, names)} is public."


class Power(OnColumns, frozen=True, tag="power"):
    """A power transform of each number: Box and Cox 1964, or Yeo and Johnson 2000.

    Attributes:
        exponents: the lambda of each.
        method: which of the two.
    """

    exponents: tuple[float, ...]
    method: Literal["yeo-johnson", "box-cox"]

    def __post_init__(self) -> None:
        check_columns(self.columns)
        one_each(self.exponents, self.columns, "exponents")

    def encode(self, table: Table) -> Table:
        values = table[:, list(self.columns)]
        with np.errstate(all="ignore"):
            for place, exponent in enumerate(self.exponents):
                x = values[:, place]
                if self.method == "box-cox":
                    values[:, place] = _power(np.log(x), exponent)
                else:
                    values[:, place] = np.where(
                        x >= 0, _power(np.log1p(x), exponent), -_power(np.log1p(-x), 2 - exponent)
                    )
        return values

    def sentence(self, names: Sequence[str]) -> str:
        return f"The exponents of the power transform of {listed(self.columns, names)} are public."


def _power(logarithm: Table, exponent: float) -> Table:
    """(x^exponent - 1) / exponent of x's logarithm, and its limit log x at 0."""
    if abs(exponent) < np.finfo(np.float64).eps:
        return logarithm
    return np.asarray(np.expm1(exponent * logarithm) / exponent)
