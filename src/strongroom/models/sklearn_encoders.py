"""Transformers that run at the asker: encoders, imputers, discretizers, polynomials and the like.

What each needs of the table before it becomes public; so does what it learned, except where that
can be folded into the model, as the means of a TargetEncoder are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from strongroom.models import feature_blocks as blocks
from strongroom.models.categories import Label
from strongroom.models.cells import is_missing
from strongroom.models.feature_codes import Above, Answer, Bins
from strongroom.models.feature_products import FUNCTIONS, Mapped, Monomials, Normalised, Power
from strongroom.models.sklearn_labels import LabelCodes
from strongroom.models.sklearn_preprocessing import Preprocessing
from strongroom.models.sklearn_refusals import refused
from strongroom.models.sklearn_tables import (
    Projected,
    Public,
    Scaled,
    Table,
    Text,
    constant,
    joined,
    select,
)

NO_BIT = -1.0


def _labels(step: str, encoder: Any, categories: Any) -> tuple[tuple[Label, ...], int | None]:
    """Categories without the missing one, which always comes last, and where that was."""
    values = np.asarray(categories).tolist()
    absent = [place for place, value in enumerate(values) if is_missing(value)]
    kept = [value for value in values if not is_missing(value)]
    fits = all(
        isinstance(value, str) or (isinstance(value, bool | int | float) and float(value) == value)
        for value in kept
    )
    if not fits or not kept or len(set(kept)) != len(kept) or absent not in ([], [len(kept)]):
        raise refused(
            step,
            encoder,
            " of categories that are neither texts nor numbers, or of several that are missing",
            "Train with texts or numbers, and one kind of missing value",
        )
    return tuple(kept), absent[0] if absent else None


def _groups(encoder: Any, *, apart: bool = False) -> list[tuple[list[int], int | None]]:
    """Of each feature: the group of each category, and which group is that of the infrequent.

    Args:
        apart: whether NaN, the last category if there, is in no group: its number means nothing.
    """
    infrequent = getattr(encoder, "infrequent_categories_", None) or [None] * len(
        encoder.categories_
    )
    found: list[tuple[list[int], int | None]] = []
    for categories, rare in zip(encoder.categories_, infrequent, strict=True):
        if rare is None:
            found.append((list(range(len(categories))), None))
            continue
        few = {_key(value) for value in np.asarray(rare).tolist()}
        names = [_key(value) for value in np.asarray(categories).tolist()]
        frequent = iter(range(len(names)))
        last = len(names) - len(few) - (apart and categories[-1] != categories[-1])
        groups = [last if name in few else next(frequent) for name in names]
        found.append((groups, last))
    return found


def _key(value: Any) -> Any:
    return None if is_missing(value) else value


def _one_hot(step: str, encoder: Any, table: Table, made: Preprocessing) -> Table:
    codes, widths = [], []
    for number, (groups, rare) in enumerate(_groups(encoder)):
        labels, absent = _labels(step, encoder, encoder.categories_[number])
        dropped = None if encoder.drop_idx_ is None else encoder.drop_idx_[number]
        gone = None if dropped is None else groups[dropped]

        def bit(group: int | None, gone: int | None = gone) -> float:
            if group is None or group == gone:
                return NO_BIT
            return float(group if gone is None or group < gone else group - 1)

        other: Answer = "refuse"
        if encoder.handle_unknown == "ignore":
            other = NO_BIT
        elif encoder.handle_unknown != "error":
            other = bit(rare)
        bits = [bit(group) for group in groups]
        missing = other if absent is None else bits.pop(absent)
        codes.append(LabelCodes(labels, tuple(bits), missing, other, absent is not None))
        widths.append(len(set(groups)) - (gone is not None))
    return made.encode(table, codes, widths)


def _ordinal(step: str, encoder: Any, table: Table, made: Preprocessing) -> Table:
    codes = []
    for number, (groups, _) in enumerate(_groups(encoder, apart=True)):
        labels, absent = _labels(step, encoder, encoder.categories_[number])
        other: Answer = "refuse"
        if encoder.handle_unknown == "use_encoded_value":
            other = _answer(encoder.unknown_value)
        numbers = [float(group) for group in groups]
        missing = other
        if absent is not None:
            # None is a category like others to scikit-learn, NaN is not
            missing = numbers.pop(absent)
            if encoder.categories_[number][absent] is not None:
                missing = _answer(encoder.encoded_missing_value)
        codes.append(LabelCodes(labels, tuple(numbers), missing, other, absent is not None))
    return made.encode(table, codes)


def _answer(number: Any) -> Answer:
    return "missing" if is_missing(number) else float(number)


def _target(step: str, encoder: Any, table: Table, made: Preprocessing) -> Table:
    """Bits of the categories are public; the means that they stand for are not."""
    targets = len(encoder.classes_) if encoder.target_type_ == "multiclass" else 1
    means = np.atleast_1d(np.asarray(encoder.target_mean_, dtype=np.float64))
    parts = []
    for number, categories in enumerate(encoder.categories_):
        labels, absent = _labels(step, encoder, categories)
        missing = NO_BIT if absent is None else float(absent)
        places = tuple(map(float, range(len(labels))))
        codes = LabelCodes(labels, places, missing, NO_BIT, absent is not None)
        bits = made.encode(select(table, [number]), [codes], [len(categories)])
        encodings = encoder.encodings_[number * targets : (number + 1) * targets]
        parts.append(Projected(bits, np.column_stack(encodings) - means, means))
    return joined(parts)


def _imputer(step: str, imputer: Any, table: Table, made: Preprocessing) -> Table:
    marker = _marker(step, imputer)
    fills: dict[int, float] = {}
    columns: dict[int, Table] = {}
    for number, fill in enumerate(np.asarray(imputer.statistics_).tolist()):
        column = select(table, [number])
        if is_missing(fill):
            if imputer.keep_empty_features:
                raise refused(step, imputer, " of empty columns", "Leave empty columns out")
            # what was never there in training, scikit-learn leaves out
        elif isinstance(column, Text):
            columns[number] = column
        elif isinstance(fill, str):
            raw = isinstance(column, Public) and column.places[0] < made.columns
            if not raw or marker is not None:
                raise refused(step, imputer, " of texts that it does not get from the rows")
            columns[number] = Text(made.publish(column).places[0], fill)
        else:
            fills[number] = float(fill)
    if fills:
        places = made.publish(select(table, list(fills))).places
        filled = made.add(blocks.Filled(places, tuple(fills.values()), marker))
        columns |= {number: select(filled, [at]) for at, number in enumerate(fills)}
    parts = [columns[number] for number in sorted(columns)]
    if imputer.add_indicator and len(imputer.indicator_.features_):
        parts.append(_missing(select(table, imputer.indicator_.features_.tolist()), marker, made))
    if not parts:
        raise refused(step, imputer, " that keeps no column", "Keep at least one column")
    return joined(parts)


def _indicator(step: str, indicator: Any, table: Table, made: Preprocessing) -> Table:
    marker = _marker(step, indicator)
    known = indicator.features_.tolist()
    if not known:
        raise refused(step, indicator, " that keeps no column", "Keep at least one column")
    if indicator.features == "missing-only" and indicator.error_on_new:
        others = sorted(set(range(indicator.n_features_in_)).difference(known))
        made.require(made.publish(select(table, others)).places if others else ())
    return _missing(select(table, known), marker, made)


def _missing(table: Table, marker: float | None, made: Preprocessing) -> Public:
    """Bits that say where values are missing."""
    places = tuple(place for place, _ in made.sources(table))
    return made.add(blocks.Missing(places, marker))


def _marker(step: str, imputer: Any) -> float | None:
    """The number that stands for missing values; None where NaN does."""
    marker = imputer.missing_values
    if is_missing(marker):
        return None
    if isinstance(marker, str):
        raise refused(step, imputer, " of values marked by a text", "Mark missing values by NaN")
    return float(marker)


def _bins(step: str, discretizer: Any, table: Table, made: Preprocessing) -> Table:
    edges = tuple(tuple(map(float, column[1:-1])) for column in discretizer.bin_edges_)
    bins = made.add(Bins(made.publish(table).places, edges))
    if discretizer.encode == "ordinal":
        return bins
    return _bits(bins, [int(count) for count in discretizer.n_bins_], made)


def _bits(table: Table, counts: list[int], made: Preprocessing) -> Public:
    """One bit a number, where columns hold 0 to counts - 1."""
    codes = [
        LabelCodes(tuple(range(count)), tuple(map(float, range(count))), "refuse", "refuse")
        for count in counts
    ]
    return made.encode(table, codes, counts)


def _binarizer(step: str, binarizer: Any, table: Table, made: Preprocessing) -> Table:
    return made.add(Above(made.publish(table).places, float(binarizer.threshold)))


def _polynomial(step: str, features: Any, table: Table, made: Preprocessing) -> Table:
    terms = [np.repeat(np.arange(len(row)), row).tolist() for row in features.powers_]
    return monomials(table, terms, made)


def monomials(table: Table, terms: Sequence[Sequence[int]], made: Preprocessing) -> Table:
    """Products of a table's columns, which become public.

    Args:
        terms: of each product its factors, columns of the table; none for the number 1.
    """
    public = made.publish(table)
    products = [tuple(public.places[factor] for factor in term) for term in terms if len(term) > 1]
    block = made.add(Monomials(tuple(products))).places if products else ()
    next_product = iter(block)
    parts: list[Table] = []
    for term in terms:
        if len(term) == 0:
            parts.append(constant(public, 1.0))
        else:
            place = public.places[term[0]] if len(term) == 1 else next(next_product)
            parts.append(Public((place,)))
    return joined(parts)


def _normalizer(step: str, normalizer: Any, table: Table, made: Preprocessing) -> Table:
    return made.add(Normalised(made.publish(table).places, normalizer.norm))


def _function(step: str, transformer: Any, table: Table, made: Preprocessing) -> Table:
    if transformer.func is None:
        return table
    known = [name for name, function in FUNCTIONS.items() if transformer.func is function]
    if not known or transformer.kw_args:
        raise refused(
            step, transformer, " with a function of its own", f"Use np.{', np.'.join(FUNCTIONS)}"
        )
    return made.add(Mapped(made.publish(table).places, known[0]))


def _power(step: str, transformer: Any, table: Table, made: Preprocessing) -> Table:
    exponents = tuple(map(float, transformer.lambdas_))
    power = made.add(Power(made.publish(table).places, exponents, transformer.method))
    if not transformer.standardize:
        return power
    scaler = transformer._scaler
    return Scaled(power, subtract=np.asarray(scaler.mean_), divide=np.asarray(scaler.scale_))


ENCODERS: dict[str, Callable[[str, Any, Table, Preprocessing], Table]] = {
    "Binarizer": _binarizer,
    "FunctionTransformer": _function,
    "KBinsDiscretizer": _bins,
    "MissingIndicator": _indicator,
    "Normalizer": _normalizer,
    "OneHotEncoder": _one_hot,
    "OrdinalEncoder": _ordinal,
    "PolynomialFeatures": _polynomial,
    "PowerTransformer": _power,
    "SimpleImputer": _imputer,
    "TargetEncoder": _target,
}
"""What each transformer makes of a table: place in the model, transformer, table, preprocessing."""
