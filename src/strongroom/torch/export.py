"""A converted module as an ONNX file, for `strongroom protect` and for whatever reads ONNX."""

from __future__ import annotations

from pathlib import Path

import onnx

from strongroom.errors import ModelError
from strongroom.models.torch_import import exported
from strongroom.torch.conversion import Converted


def export_onnx(converted: Converted, path: str | Path) -> None:
    """Write a converted module to an `.onnx` file.

    Dropout and the activations that were replaced are not in it. It takes rows of the shape that
    the sample had, any number of them.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED if the module can't be exported; SR-MODEL-FILE if the file
            can't be written; SR-MODEL-EXTRA.
    """
    program = exported(converted, converted.row_shape)
    try:
        onnx.save(program, str(path))
    except OSError as error:
        raise ModelError(
            "SR-MODEL-FILE", f"{path} can't be written ({error.strerror})", "Choose another path"
        ) from error
