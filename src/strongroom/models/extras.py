"""Libraries that only importing a model needs: a server runs without them."""

from __future__ import annotations

import importlib
from typing import Any

from strongroom.errors import ModelError


def extra(module: str) -> Any:
    """Import a module of an optional library, `extra("sklearn.base")`.

    Raises:
        ModelError: SR-MODEL-EXTRA if the library is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModelError(
            "SR-MODEL-EXTRA",
            f"this model needs {module.partition('.')[0]}, which is not installed",
            "Run pip install strongroom[sklearn]",
        ) from error
