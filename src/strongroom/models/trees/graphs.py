"""Graphs of tree ensembles: one node, `TreeEnsemble`, over the bits of a grid.

A unit is a set of conditions that occurs in a group of trees: it counts how many of them hold, and
where all do, its values are added to the scores. The node has one input, the features, and one
output, the scores. Attributes:

- `degree` D: the most conditions of a unit.
- `groups` G: groups of trees; group g takes features g * inputs to (g + 1) * inputs - 1.
- `inputs`: features of a group. With hidden cut points it is the number of comparisons of a group,
  and all groups take the same features, the columns.
- `units`: units of a group, as many in each; the last may be empty.
- `hidden`: 1 where cut points are hidden, else 0.

Constants, named like these, each entry of the first three being one term of one unit's sum:

- `unit`, `feature`, `sign`: unit, counted through all groups; feature, within its group; 1 or -1.
- `constant`: what is added to a unit's sum, shape (groups * units,).
- `conditions`: the sum where all conditions hold, same shape; 0 for an empty unit.
- `values`: what a unit adds to the scores, shape (groups * units, outputs).
- `base`: shape (outputs,).
- `bound`: no score is larger in absolute value, whatever the row.
- `step_column`, `step_cut`, only where hidden: comparison s is 1 where the column's number lies
  above the cut point, which no number of the model's dtype meets (save one in float64);
  shape (groups * inputs,), column -1 where there is none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import ModelError
from strongroom.models.features import Features
from strongroom.models.graph import Graph, Node, Tensor
from strongroom.models.output import OutputSpec
from strongroom.models.rows import InputSpec
from strongroom.models.trees.bits import Count, Key, count, missing_places
from strongroom.models.trees.conditions import Terms, merged
from strongroom.models.trees.decoys import draw_decoys
from strongroom.models.trees.ensemble import Ensemble
from strongroom.models.trees.grid import CategoryBits, CutPoints, Grid, MissingPlace
from strongroom.models.trees.options import TreeOptions
from strongroom.models.trees.reading import Reading

MAXIMUM_WEIGHTS: Final = 2**27
"""Most entries of the matrix that selects bits: a gigabyte of float64."""


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """A group of trees: its bits in order, and its units."""

    keys: list[Key]
    counts: list[Count]
    values: list[NDArray[np.float64]]


def tree_graph(
    ensemble: Ensemble,
    name: str,
    input_spec: InputSpec,
    output_spec: OutputSpec,
    options: TreeOptions,
) -> Graph:
    """The graph of an ensemble whose columns are the table's.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED: it never splits, is too large, or asks with hidden cut
            points for what these can't answer.
    """
    hidden = options.grid == "hidden"
    if hidden:
        _check_hidden(ensemble)
        ensemble = replace(ensemble, reading=replace(ensemble.reading, missing=False))
    size = options.trees_per_group or len(ensemble.trees) or 1
    terms = [
        merged(ensemble, ensemble.trees[first : first + size])
        for first in range(0, len(ensemble.trees), size)
    ]
    base = ensemble.base + sum(term.base for term in terms)
    terms = [term for term in terms if term.values]
    if not terms:
        raise ModelError(
            "SR-MODEL-UNSUPPORTED",
            "the trees give the same answer to every row",
            "Train the model so that it splits at least once",
        )
    reading = ensemble.reading
    places = missing_places((sums for term in terms for sums in term.values), reading)
    groups = [_group(term, places, reading) for term in terms]
    decoys = _decoys(groups, reading, options)
    for group in groups:
        more = [decoy for key in group.keys for decoy in decoys.get(key, ())]
        group.keys.extend(more)
        group.keys.sort(key=_order)
    constants, attributes = _constants(groups, len(base))
    constants["base"] = base
    attributes["hidden"] = int(hidden)
    constants["bound"] = np.array(ensemble.largest_score())
    if hidden:
        features = Features.plain(ensemble.columns)
        constants |= _steps(groups, attributes["inputs"], reading)
    else:
        keys = sorted({key for group in groups for key in group.keys}, key=_order)
        decoyed = sum(len(drawn) for drawn in decoys.values())
        grid = _grid(keys, places, reading, decoyed, groups, attributes["inputs"])
        features = Features(ensemble.columns, (grid,))
    return Graph(
        name=name,
        tensors=(Tensor("features", "float64", (None, features.width)),),
        nodes=(Node("TreeEnsemble", "trees", ("features",), ("scores",), attributes),),
        constants=constants,
        scores="scores",
        input=input_spec,
        features=features,
        output=output_spec,
    )


def queries_to_extract(graph: Graph) -> int:
    """How many answers to honest rows reveal a tree ensemble to somebody who knows its grid.

    Scores are one linear function of which units hold: whoever has worked out the units needs an
    answer for each of their values and one for the base. Working them out takes further answers, so
    this is a lower bound.
    """
    return int(np.count_nonzero(graph.constants["conditions"])) + 1


def _check_hidden(ensemble: Ensemble) -> None:
    """Refuse what can't be compared in secret."""
    reading = ensemble.reading
    used = {int(column) for tree in ensemble.trees for column in np.unique(tree.columns)}
    problem = ""
    if used & reading.categories.keys():
        problem = "splits on categories"
    elif used & reading.missing_numbers.keys():
        problem = "takes certain numbers for missing ones"
    if problem:
        raise ModelError(
            "SR-MODEL-UNSUPPORTED",
            f"the model {problem}, which hidden cut points can't answer",
            'Use the grid "model" or "padded"',
        )


def _order(key: Key) -> tuple[int, bool, float]:
    column, kind, value = key
    return column, kind == "missing", value


def _group(term: Terms, places: dict[int, MissingPlace], reading: Reading) -> _Group:
    counts = [count(conditions, places, reading) for conditions in term.values]
    keys = sorted({key for one in counts for key in one.signs}, key=_order)
    return _Group(keys, counts, list(term.values.values()))


def _decoys(
    groups: list[_Group], reading: Reading, options: TreeOptions
) -> dict[Key, tuple[Key, ...]]:
    """Decoys by the cut point that they accompany, in the same groups as that."""
    if options.grid != "padded":
        return {}
    columns: dict[int, list[Key]] = {}
    for key in sorted({key for group in groups for key in group.keys if key[1] == "cut"}):
        columns.setdefault(key[0], []).append(key)
    found: dict[Key, tuple[Key, ...]] = {}
    for column, keys in columns.items():
        points = [point for _, _, point in keys]
        drawn = draw_decoys(points, len(points) * options.decoys, reading.dtype)
        for number, key in enumerate(keys):
            found[key] = tuple((column, "cut", decoy) for decoy in drawn[number :: len(keys)])
    return found


def _constants(
    groups: list[_Group], outputs: int
) -> tuple[dict[str, NDArray[np.generic[Any]]], dict[str, int]]:
    units = max(len(group.counts) for group in groups)
    inputs = max(len(group.keys) for group in groups)
    if len(groups) * units * inputs > MAXIMUM_WEIGHTS:
        raise ModelError(
            "SR-MODEL-UNSUPPORTED",
            f"the trees select {inputs} bits for {units} leaves in each of {len(groups)} groups, "
            f"together more than {MAXIMUM_WEIGHTS} entries",
            "Use trees_per_group, or train fewer or smaller trees",
        )
    entries: list[tuple[int, int, int]] = []
    constant = np.zeros(len(groups) * units)
    conditions = np.zeros(len(groups) * units, dtype=np.int64)
    values = np.zeros((len(groups) * units, outputs))
    for place, group in enumerate(groups):
        features = {key: feature for feature, key in enumerate(group.keys)}
        for unit, (one, row) in enumerate(zip(group.counts, group.values, strict=True)):
            number = place * units + unit
            entries += [(number, features[key], sign) for key, sign in one.signs.items()]
            constant[number] = one.constant
            conditions[number] = one.conditions
            values[number] = row
    unit_column, feature_column, sign_column = np.array(entries, dtype=np.int64).T
    constants: dict[str, NDArray[np.generic[Any]]] = {
        "unit": unit_column,
        "feature": feature_column,
        "sign": sign_column,
        "constant": constant,
        "conditions": conditions,
        "values": values,
    }
    degree = int(conditions.max())
    return constants, {"degree": degree, "groups": len(groups), "inputs": inputs, "units": units}


def _grid(
    keys: list[Key],
    places: dict[int, MissingPlace],
    reading: Reading,
    decoys: int,
    groups: list[_Group],
    inputs: int,
) -> Grid:
    columns: dict[int, list[Key]] = {}
    for key in keys:
        columns.setdefault(key[0], []).append(key)
    entries: list[CutPoints | CategoryBits] = []
    for column, asked in columns.items():
        missing_bit = asked[-1][1] == "missing"
        values = [value for _, kind, value in asked if kind != "missing"]
        rule = reading.categories.get(column)
        if rule is None:
            entries.append(
                CutPoints(
                    column,
                    tuple(values),
                    reading.comparison,
                    reading.dtype,
                    places[column],
                    reading.missing_numbers.get(column),
                    missing_bit,
                )
            )
        else:
            codes = tuple(int(value) for value in values)
            entries.append(
                CategoryBits(column, rule.kind, rule.known, reading.dtype, codes, missing_bit)
            )
    if len(groups) == 1:
        return Grid(tuple(entries), decoys, 1, ())
    number = {key: place for place, key in enumerate(keys)}
    features = [
        number[group.keys[feature]] if feature < len(group.keys) else -1
        for group in groups
        for feature in range(inputs)
    ]
    return Grid(tuple(entries), decoys, len(groups), tuple(features))


def _steps(
    groups: list[_Group], inputs: int, reading: Reading
) -> dict[str, NDArray[np.generic[Any]]]:
    """Where hidden comparisons are made: between the last number that lies below and the next."""
    columns = np.full(len(groups) * inputs, -1, dtype=np.int64)
    cuts = np.zeros(len(groups) * inputs)
    narrow = np.dtype(reading.dtype).type
    for place, group in enumerate(groups):
        for feature, (column, _, point) in enumerate(group.keys):
            strict = reading.comparison == "<"
            near = narrow(point)  # rounded: the loop finds the last number that lies below
            while float(near) >= point if strict else float(near) > point:
                near = np.nextafter(near, narrow(-math.inf))
            below, above = float(near), float(np.nextafter(near, narrow(math.inf)))
            middle = below / 2 + above / 2
            columns[place * inputs + feature] = column
            cuts[place * inputs + feature] = middle if middle > below else above
    return {"step_column": columns, "step_cut": cuts}
