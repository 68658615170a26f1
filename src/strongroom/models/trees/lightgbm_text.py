"""LightGBM's text format: sections of lines "name=value", read with bounds.

Source: `src/boosting/gbdt_model_text.cpp` and `src/io/tree.cpp` of LightGBM.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom.models.trees.model_files import check_size, malformed
from strongroom.models.trees.tree import MAXIMUM_NODES

VERSIONS: Final = ("v2", "v3", "v4")
MAXIMUM_LINES: Final = 2**20

Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LightgbmText:
    """What a text model says.

    Attributes:
        header: fields of the model.
        trees: fields of each tree.
        rest: what follows the trees.
    """

    header: Fields
    trees: tuple[Fields, ...]
    rest: str


def read_text(data: bytes) -> LightgbmText:
    """The sections of a model.

    Raises:
        ModelError: SR-MODEL-FILE, as all functions here do.
    """
    check_size(len(data))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise malformed("is not a text") from error
    before, marker, rest = text.partition("\nend of trees")
    if not marker:
        raise malformed("is not a LightGBM model, or ends too early")
    if before.count("\n") > MAXIMUM_LINES:
        raise malformed(f"has more than {MAXIMUM_LINES} lines")
    head, *trees = before.split("\nTree=")
    lines = head.split("\n")
    if lines[0].strip() != "tree":
        raise malformed("is not a LightGBM model")
    header = _fields(lines[1:])
    if header.get("version") not in VERSIONS:
        raise malformed(f"has a version that is none of {', '.join(VERSIONS)}")
    if "tree_sizes" in header and trees:
        sizes = [len("\nTree=") + len(tree.encode()) for tree in trees]
        # LightGBM jumps by what is written, wherever that leads
        if integers(header, "tree_sizes", len(trees)).tolist() != sizes:
            raise malformed("has trees of other sizes than it says")
    return LightgbmText(header, tuple(_fields(tree.split("\n")[1:]) for tree in trees), rest)


def _fields(lines: Iterable[str]) -> dict[str, str]:
    fields = {}
    for line in lines:
        name, _, value = line.strip().partition("=")
        fields[name] = value
    return fields


def integer(fields: Fields, name: str) -> int:
    """One integer."""
    value = fields.get(name, "")
    if not re.fullmatch(r"-?[0-9]{1,9}", value):
        raise malformed(f"has no integer {name!r}")
    return int(value)


def integers(fields: Fields, name: str, length: int | None) -> NDArray[np.int64]:
    """A list of integers, shape (length,); None for any length but 0."""
    found = numbers(fields, name, length)
    if not (np.abs(found) < 2.0**53).all() or (found != np.floor(found)).any():
        raise malformed(f"has no list of integers {name!r}")
    return found.astype(np.int64)


def numbers(fields: Fields, name: str, length: int | None) -> NDArray[np.float64]:
    """A list of numbers, shape (length,); None for any length but 0."""
    text = fields.get(name, "")
    if text.count(" ") > MAXIMUM_NODES:
        raise malformed(f"has more than {MAXIMUM_NODES} numbers {name!r}")
    try:
        found = np.array([float(part) for part in text.split(" ")])
    except ValueError as error:
        raise malformed(f"has no list of numbers {name!r}") from error
    if len(found) != (length or len(found)) or not len(found):
        raise malformed(f"has no list of {length or 'some'} numbers {name!r}")
    return found
