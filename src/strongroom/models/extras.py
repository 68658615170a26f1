"""Libraries that only importing a model needs, or running it sealed: other servers do without them.

ONNX Runtime reports to its maker: on what it runs, models, hashes of their weights and texts of
errors, kept in a file of the user's cache until they are sent. That is switched off before it is
loaded (its `docs/Privacy.md`); where a program loaded it first, from then on.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Final

from strongroom.errors import ModelError

EXTRAS = {"torch": "torch", "onnxscript": "torch", "pandas": "pandas"}
EXTRAS |= {"xgboost": "trees", "lightgbm": "trees", "catboost": "trees", "dcap_qvl": "tdx"}
EXTRAS |= {"onnxruntime": "sealed"}
"""The extra of this package that brings a library, where it is not "sklearn"."""

_ONNX_RUNTIME: Final = "onnxruntime"
_NO_TELEMETRY: Final = "ORT_DISABLE_TELEMETRY"


def extra(module: str) -> Any:
    """Import a module of an optional library, `extra("sklearn.base")`.

    Raises:
        ModelError: SR-MODEL-EXTRA if the library is not installed.
    """
    library = module.partition(".")[0]
    try:
        if library == _ONNX_RUNTIME:
            os.environ[_NO_TELEMETRY] = "1"
            importlib.import_module(library).disable_telemetry_events()
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModelError(
            "SR-MODEL-EXTRA",
            f"this model needs {library}, which is not installed",
            f"Run pip install 'strongroom[{EXTRAS.get(library, 'sklearn')}]'",
        ) from error
