"""Reading `.skops` files, which may come from anybody.

A skops file names the classes that it is made of, and skops makes objects of those alone that it
trusts, or is told to trust. It trusts scikit-learn's estimators; what it leaves to its users is
accepted here for these classes of scikit-learn and NumPy only:

1. Classes that hold numbers and settings: `_HOLDERS`. Loading one fills in its fields and runs
   nothing else; what is read of it later are the fields.
2. Functions that estimators were trained with, scores of searches and selections: `_FUNCTIONS`.
   Loading one looks up its name. Neither an import nor a prediction calls it.
3. Kinds of numbers that a table's columns were selected by: `_KINDS`. Loading one looks up its
   name.
4. The tree inside scikit-learn's estimators, `sklearn.tree._tree.Tree`. Its compiled code follows
   the numbers in its arrays without looking at bounds, so a forged file could make it read what is
   not its own. Before one is made, what it is made from is looked at; after that its nodes are, and
   those of histogram boosting, before anything else touches the estimator.

Each of them only as the kind of entry that skops itself writes for it.
"""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from strongroom.errors import ModelError
from strongroom.models.extras import extra
from strongroom.models.onnx_file import MAXIMUM_FILE_BYTES
from strongroom.models.rows import shown, shown_list

_TREE: Final = "sklearn.tree._tree.Tree"
_HISTOGRAM_TREE: Final = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
_HOLDERS: Final = (
    _HISTOGRAM_TREE,
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    *(
        f"sklearn.model_selection._split.{name}"
        for name in (
            "GroupKFold",
            "KFold",
            "LeaveOneOut",
            "RepeatedKFold",
            "RepeatedStratifiedKFold",
            "ShuffleSplit",
            "StratifiedGroupKFold",
            "StratifiedKFold",
            "StratifiedShuffleSplit",
            "TimeSeriesSplit",
        )
    ),
)
_FUNCTIONS: Final = (
    *(
        f"sklearn.feature_selection._univariate_selection.{name}"
        for name in ("chi2", "f_classif", "f_regression", "r_regression")
    ),
    *(
        f"sklearn.feature_selection._mutual_info.{name}"
        for name in ("mutual_info_classif", "mutual_info_regression")
    ),
    *(
        f"sklearn.metrics._classification.{name}"
        for name in (
            "accuracy_score",
            "balanced_accuracy_score",
            "brier_score_loss",
            "f1_score",
            "jaccard_score",
            "log_loss",
            "matthews_corrcoef",
            "precision_score",
            "recall_score",
        )
    ),
    *(f"sklearn.metrics._ranking.{name}" for name in ("average_precision_score", "roc_auc_score")),
    *(
        f"sklearn.metrics._regression.{name}"
        for name in (
            "explained_variance_score",
            "max_error",
            "mean_absolute_error",
            "mean_absolute_percentage_error",
            "mean_squared_error",
            "median_absolute_error",
            "r2_score",
            "root_mean_squared_error",
        )
    ),
)
_KINDS: Final = tuple(f"numpy.{name}" for name in ("floating", "integer", "number"))
_ACCEPTED: Final = {
    **dict.fromkeys(_HOLDERS, "ObjectNode"),
    **dict.fromkeys(_KINDS, "TypeNode"),
    **dict.fromkeys(_FUNCTIONS, "FunctionNode"),
    "numpy.dtype": "DTypeNode",
    _TREE: "TreeNode",
}
"""What is accepted beyond skops' own list, and the kind of entry that it is written as."""

_SCHEMA: Final = "schema.json"


def load_skops(path: Path) -> Any:
    """The estimator in a skops file.

    Raises:
        ModelError: SR-MODEL-FILE; SR-MODEL-EXTRA.
    """
    skops = extra("skops.io")
    name = shown(path.name)
    content = _content(path)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAXIMUM_FILE_BYTES:
                raise ModelError(
                    "SR-MODEL-FILE", f"{name} unpacks to more than {MAXIMUM_FILE_BYTES} bytes"
                )
            untrusted = set(skops.get_untrusted_types(data=content))
            unknown = sorted(untrusted - _ACCEPTED.keys())
            if unknown:
                raise ModelError(
                    "SR-MODEL-FILE",
                    f"{name} holds types that are not trusted: {shown_list(unknown)}",
                    "Save a model made of scikit-learn's own estimators; of a search its "
                    "best_estimator_; of XGBoost, LightGBM and CatBoost with their save_model",
                )
            _check_schema(archive)
        estimator = skops.loads(content, trusted=sorted(untrusted))
        for part in _parts(estimator):
            _check_nodes(part)
    except ModelError:
        raise
    except Exception as error:  # a damaged file leads skops to errors of every kind
        raise ModelError(
            "SR-MODEL-FILE",
            f"{name} can't be read as a skops file",
            "Save the model again, with the release of scikit-learn that is installed here",
        ) from error
    return estimator


def _content(path: Path) -> bytes:
    name = shown(path.name)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelError("SR-MODEL-FILE", f"{name} is not a file", "Check the path")
        if status.st_size > MAXIMUM_FILE_BYTES:
            raise ModelError(
                "SR-MODEL-FILE",
                f"{name} has {status.st_size} bytes, allowed are {MAXIMUM_FILE_BYTES}",
            )
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            "SR-MODEL-FILE", f"{name} can't be read: {error.strerror}", "Check the path"
        ) from error


def _check_schema(archive: zipfile.ZipFile) -> None:
    """Refuse accepted names in entries of another kind, and trees made from other things than a
    tree is made from."""
    by_identity: dict[Any, list[dict[str, Any]]] = {}
    trees = []
    for entry in _entries(json.loads(archive.read(_SCHEMA))):
        by_identity.setdefault(entry.get("__id__"), []).append(entry)
        kind = entry["__loader__"]
        name = f"{entry.get('__module__')}.{entry.get('__class__')}"
        if _ACCEPTED.get(name, kind) != kind or (kind == "TreeNode" and name != _TREE):
            raise _forged(f"{name} as a {str(kind)[:40]}")
        if kind == "TreeNode":
            trees.append(entry)
    for tree in trees:
        made_from = tree["__reduce__"]["args"]
        parts = made_from["content"]
        kinds = [part["__loader__"] for part in (made_from, *parts)]
        if kinds != ["TupleNode", "JsonNode", "NdArrayNode", "JsonNode"]:
            raise _forged("a tree that is made from other things than a tree is made from")
        # skops takes what it has read under the same identity before, whatever is written here
        for part in (made_from, *parts):
            if any(other != part for other in by_identity.get(part.get("__id__"), ())):
                raise _forged("a tree that is made from two things at once")
        classes = np.load(io.BytesIO(archive.read(parts[1]["file"])), allow_pickle=False)
        outputs = json.loads(parts[2]["content"])
        if type(outputs) is not int or classes.shape != (outputs,) or outputs < 1:
            raise _forged("a tree that contradicts itself")


def _entries(schema: Any) -> Iterator[dict[str, Any]]:
    """Everything in a schema that skops makes an object of."""
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "__loader__" in value:
                yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _parts(estimator: Any) -> Iterator[Any]:
    """All objects that an estimator is made of, each once."""
    waiting, seen = [estimator], {id(estimator): estimator}
    while waiting:
        part = waiting.pop()
        yield part
        inside: list[Any] = []
        if isinstance(part, dict):
            inside = [*part.keys(), *part.values()]
        elif isinstance(part, list | tuple | set | frozenset):
            inside = list(part)
        elif isinstance(part, np.ndarray):
            inside = part.reshape(-1).tolist() if part.dtype.hasobject else []
        elif not isinstance(part, type):
            inside = list(getattr(part, "__dict__", {}).values())
        for one in inside:
            if id(one) not in seen:
                seen[id(one)] = one
                waiting.append(one)


def _check_nodes(part: Any) -> None:
    """Refuse a tree whose nodes lead elsewhere than further down, or that looks beyond its columns
    (how many the table has is for the importer to check)."""
    kind = f"{type(part).__module__}.{type(part).__name__}"
    if kind == _TREE:
        left, right, features = part.children_left, part.children_right, part.feature
        is_split, columns = left != -1, part.n_features
    elif kind == _HISTOGRAM_TREE:
        nodes = part.nodes
        left, right = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64)
        features = nodes["feature_idx"]
        is_split, columns = nodes["is_leaf"] == 0, np.iinfo(np.int64).max
        sets = part.raw_left_cat_bitsets
        by_set = is_split & (nodes["is_categorical"] != 0)
        if by_set.any() and (
            sets.ndim != 2 or sets.shape[1] != 8 or nodes["bitset_idx"][by_set].max() >= len(sets)
        ):
            raise _forged("a tree with a set of categories that is not there")
    else:
        return
    places = np.arange(len(left))
    if not len(left):
        raise _forged("a tree without nodes")
    for children in (left, right):
        reached = children[is_split]
        if ((reached <= places[is_split]) | (reached >= len(left))).any():
            raise _forged("a tree with a node that is not there, or above itself")
    if ((features[is_split] < 0) | (features[is_split] >= columns)).any():
        raise _forged("a tree that asks about a column that is not there")


def _forged(what: str) -> ModelError:
    return ModelError("SR-MODEL-FILE", f"the model file holds {what}", "Save the model again")
