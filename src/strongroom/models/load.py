"""Models as users have them: an object of a framework, or a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from strongroom.errors import ModelError, StrongroomError
from strongroom.models.graph import Graph
from strongroom.models.onnx_import import import_onnx
from strongroom.models.rows import shown
from strongroom.models.sklearn_import import import_sklearn
from strongroom.models.skops_file import load_skops
from strongroom.models.torch_import import import_torch, is_torch_module
from strongroom.models.trees.importing import import_trees
from strongroom.models.trees.options import TreeOptions

PICKLES = (".pkl", ".pickle", ".joblib", ".p")


def import_model(
    model: Any,
    *,
    sample: Any = None,
    trees: TreeOptions | None = None,
    whole_trees: bool = False,
) -> Graph:
    """Import a model.

    Args:
        model: a fitted estimator of scikit-learn, XGBoost, LightGBM or CatBoost, a PyTorch module,
            an `onnx.ModelProto`, or the path of an `.onnx` or `.skops` file, or of a tree model's
            `.json`, `.ubj` or `.txt` file. Pickles are refused: opening one runs the code in it.
        sample: rows that it takes; a PyTorch module doesn't say itself how many columns it has.
        trees: the dials of a tree model; None for the usual ones.
        whole_trees: keep trees as they are (`models.trees.whole`), for a protection whose server
            compares numbers itself; there are no dials then.

    Raises:
        ModelError: SR-MODEL-FILE, -UNSUPPORTED, -UNFITTED, -VALUES, -EXTRA; SR-MODEL-TREES if
            `trees` is given and the model has none, or keeps them as they are.
    """
    if trees is not None and whole_trees:
        raise ModelError(
            "SR-MODEL-TREES",
            "grid, trees_per_group and decoys are for protections that make cut points public, and "
            "this one does not",
            "Leave these options out",
        )
    graph = _imported(model, sample, trees, whole_trees)
    if trees is not None and all(node.operator != "TreeEnsemble" for node in graph.nodes):
        raise ModelError(
            "SR-MODEL-TREES",
            "grid, trees_per_group and decoys are for models of trees, and this one has none",
            "Leave these options out",
        )
    return graph


def _imported(model: Any, sample: Any, trees: TreeOptions | None, whole: bool) -> Graph:
    if (graph := import_trees(model, trees, whole=whole)) is not None:
        return graph
    if isinstance(model, str | Path):
        return _import_file(Path(model), trees, whole)
    libraries = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    if type(model).__name__ == "ModelProto" and libraries & {"onnx", "google"}:
        return import_onnx(model)
    if "sklearn" in libraries:
        return import_sklearn(model, trees, whole_trees=whole)
    if is_torch_module(model):
        return import_torch(model, sample=sample)
    raise ModelError(
        "SR-MODEL-UNSUPPORTED",
        f"a {type(model).__name__[:60]} is not a model that can be imported",
        "Pass a fitted model of scikit-learn, XGBoost, LightGBM or CatBoost, a PyTorch module, an "
        "ONNX model, or the path of a model file",
    )


def load_estimator(model: Any) -> Any:
    """The scikit-learn estimator that a model is or that its `.skops` file holds; None for ONNX.

    Raises:
        ModelError: SR-MODEL-FILE, -EXTRA.
    """
    if not isinstance(model, str | Path):
        return None if type(model).__name__ == "ModelProto" else model
    return load_skops(Path(model)) if Path(model).suffix.lower() == ".skops" else None


def _import_file(path: Path, trees: TreeOptions | None, whole: bool) -> Graph:
    kind = path.suffix.lower()
    if kind in PICKLES:
        raise ModelError(
            "SR-MODEL-FILE",
            f"{shown(path.name)} is a pickle, and opening a pickle runs whatever code is in it",
            "Save the model with skops.io.dump(model, 'model.skops') and pass that file",
        )
    if kind not in (".onnx", ".skops"):
        raise ModelError(
            "SR-MODEL-FILE",
            f"{shown(path.name)} is no kind of model file that is known here",
            "Save scikit-learn models with skops.io.dump as .skops, trees of XGBoost, LightGBM and "
            "CatBoost with save_model as .json, .ubj or .txt, and export others to .onnx",
        )
    if not path.is_file():
        raise ModelError("SR-MODEL-FILE", f"there is no file {shown(str(path))}", "Check the path")
    return import_onnx(path) if kind == ".onnx" else _import_skops(path, trees, whole)


def _import_skops(path: Path, trees: TreeOptions | None, whole: bool) -> Graph:
    estimator = load_skops(path)
    try:
        return import_sklearn(estimator, trees, whole_trees=whole)
    except StrongroomError:
        raise
    except Exception as error:  # fields that are not there, or of other types and shapes
        raise ModelError(
            "SR-MODEL-FILE",
            f"the model in {shown(path.name)} lacks something, or contradicts itself",
            "Save the model again, with the release of scikit-learn that is installed here",
        ) from error
