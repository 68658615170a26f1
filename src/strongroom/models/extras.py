"""Libraries that only importing a model needs: a server runs without them."""

from __future__ import annotations

import importlib
from typing import Any

from strongroom.errors import ModelError

EXTRAS = {"torch": "torch", "onnxscript": "torch", "pandas": "pandas"}
EXTRAS |= {"xgboost": "trees", "lightgbm": "trees", "catboost": "trees"}
"""The extra of this package that brings a library, where it is not "sklearn"."""


def extra(module: str) -> Any:
    """Import a module of an optional library, `extra("sklearn.base")`.

    Raises:
        ModelError: SR-MODEL-EXTRA if the library is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        library = module.partition(".")[0]
        raise ModelError(
            "SR-MODEL-EXTRA",
            f"this model needs {library}, which is not installed",
            f"Run pip install strongroom[{EXTRAS.get(library, 'sklearn')}]",
        ) from error
