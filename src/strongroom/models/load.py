"""Models as users have them: a scikit-learn object, an ONNX model, or a file of either."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from strongroom.errors import ModelError
from strongroom.models.extras import extra
from strongroom.models.graph import Graph
from strongroom.models.onnx_file import MAXIMUM_FILE_BYTES
from strongroom.models.onnx_import import import_onnx
from strongroom.models.rows import shown, shown_list
from strongroom.models.sklearn_import import import_sklearn

PICKLES = (".pkl", ".pickle", ".joblib", ".p")


def import_model(model: Any) -> Graph:
    """Import a model.

    Args:
        model: a fitted scikit-learn estimator, an `onnx.ModelProto`, or the path of an `.onnx`
            or `.skops` file. Pickles are refused: opening one runs the code in it.

    Raises:
        ModelError: SR-MODEL-FILE, -UNSUPPORTED, -UNFITTED, -VALUES, -EXTRA.
    """
    if isinstance(model, str | Path):
        return _import_file(Path(model))
    libraries = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
    if type(model).__name__ == "ModelProto" and libraries & {"onnx", "google"}:
        return import_onnx(model)
    if "sklearn" in libraries:
        return import_sklearn(model)
    raise ModelError(
        "SR-MODEL-UNSUPPORTED",
        f"a {type(model).__name__[:60]} is not a model that can be imported",
        "Pass a fitted scikit-learn model, an ONNX model, or the path of an .onnx or .skops file",
    )


def load_estimator(model: Any) -> Any:
    """The scikit-learn estimator that a model is or that its `.skops` file holds; None for ONNX.

    Raises:
        ModelError: SR-MODEL-FILE, -EXTRA.
    """
    if not isinstance(model, str | Path):
        return None if type(model).__name__ == "ModelProto" else model
    return _load_skops(Path(model)) if Path(model).suffix.lower() == ".skops" else None


def _import_file(path: Path) -> Graph:
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
            f"{shown(path.name)} is neither an .onnx nor a .skops file",
            "Export the model to ONNX, or save it with skops.io.dump",
        )
    if not path.is_file():
        raise ModelError("SR-MODEL-FILE", f"there is no file {shown(str(path))}", "Check the path")
    return import_onnx(path) if kind == ".onnx" else import_sklearn(_load_skops(path))


def _load_skops(path: Path) -> Any:
    """The estimator in a skops file that holds nothing but types that skops trusts itself."""
    skops = extra("skops.io")
    name = shown(path.name)
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAXIMUM_FILE_BYTES:
            raise ModelError(
                "SR-MODEL-FILE", f"{name} unpacks to more than {MAXIMUM_FILE_BYTES} bytes"
            )
        untrusted = skops.get_untrusted_types(file=path)
        if not untrusted:
            return skops.load(path, trusted=[])
    except ModelError:
        raise
    except Exception as error:  # a damaged file leads skops to errors of every kind
        raise ModelError(
            "SR-MODEL-FILE", f"{name} can't be read as a skops file", "Save the model again"
        ) from error
    raise ModelError(
        "SR-MODEL-FILE",
        f"{name} holds types that are not trusted: {shown_list(sorted(untrusted))}",
        "Save a model made of scikit-learn's own estimators",
    )
