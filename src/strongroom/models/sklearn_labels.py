"""Labels and what encoders make of them, while it is not known yet which columns hold labels.

A column that only encoders look at may hold labels of any kind: its rows hold codes. Any other
column holds numbers, and then its labels are these numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from strongroom.errors import ModelError
from strongroom.models.categories import Categories, Label
from strongroom.models.feature_codes import Answer, Coded, Codes, OneHot


@dataclass(frozen=True, slots=True, eq=False)
class LabelCodes:
    """What the labels of a column become; as `Codes`, but of labels.

    Attributes:
        labels: those that are known; each once.
        numbers: what they become.
        missing, other: what a missing and any other label becomes.
        missing_is_category: whether labels were missing in training.
    """

    labels: tuple[Label, ...]
    numbers: tuple[float, ...]
    missing: Answer
    other: Answer
    missing_is_category: bool = False

    def filled(self, label: Label) -> LabelCodes:
        """The same where missing labels count as another.

        Raises:
            ModelError: SR-MODEL-UNSUPPORTED if labels are missing nevertheless.
        """
        if self.missing_is_category:
            raise ModelError(
                "SR-MODEL-UNSUPPORTED",
                "an imputer filled in some of the missing labels in training, NaN or None, and "
                "left the others to an encoder",
                "Replace None by NaN before training",
            )
        known = label in self.labels
        missing = self.numbers[self.labels.index(label)] if known else self.other
        return replace(self, missing=missing)


@dataclass(frozen=True, slots=True, eq=False)
class Encoder:
    """A `OneHot` block (with widths) or a `Coded` one (without) before labels have numbers."""

    columns: tuple[int, ...]
    codes: tuple[LabelCodes, ...]
    widths: tuple[int, ...] | None

    @property
    def width(self) -> int:
        """How many numbers it makes of a row."""
        return len(self.columns) if self.widths is None else sum(self.widths)

    @property
    def reads(self) -> tuple[int, ...]:
        """Places in the table that it looks at."""
        return self.columns


def not_encoded() -> ModelError:
    """The error for text that no encoder turns into numbers."""
    return ModelError(
        "SR-MODEL-UNSUPPORTED",
        "a column of text is not encoded as numbers before the model",
        "Put a OneHotEncoder or an OrdinalEncoder behind the imputer",
    )


def categories_of(place: int, codes: list[LabelCodes]) -> Categories:
    """The labels of a column, from all of its encoders.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED if they contradict each other.
    """
    strict = [set(one.labels) for one in codes if one.other == "refuse"]
    labels = tuple(dict.fromkeys(label for one in codes for label in one.labels))
    if any(known != set(labels) for known in strict):
        raise ModelError(
            "SR-MODEL-UNSUPPORTED",
            f"column {place} has two encoders that know different categories",
            "Use handle_unknown='ignore', or one encoder",
        )
    return Categories(place, labels, not strict)


def with_codes(encoder: Encoder, coded: dict[int, Categories]) -> OneHot | Coded:
    """The block of an encoder, now that it is known which columns hold labels.

    Args:
        coded: those, by their place.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED for texts in a column of numbers.
    """
    made = []
    for place, codes in zip(encoder.columns, encoder.codes, strict=True):
        if place in coded:
            known = {label: float(code) for code, label in enumerate(coded[place].labels)}
            values = [known[label] for label in codes.labels]
        elif any(isinstance(label, str) for label in codes.labels):
            raise not_encoded()
        else:
            values = [float(label) for label in codes.labels]
        order = np.argsort(values).tolist()
        made.append(
            Codes(
                tuple(values[number] for number in order),
                tuple(codes.numbers[number] for number in order),
                codes.missing,
                codes.other,
            )
        )
    if encoder.widths is None:
        return Coded(encoder.columns, tuple(made))
    return OneHot(encoder.columns, tuple(made), encoder.widths)
