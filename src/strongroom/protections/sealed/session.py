"""An ONNX Runtime session over a payload, made from memory.

ONNX Runtime is told where the weights lie and copies them in the form that its kernels want. It
writes no log and no file, and reads none: what a payload does not hold itself, it can't refer to.
What it says of an error may quote what it was computing, so none of it goes any further.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.plan import SealedLayout, TensorSpec
from strongroom.errors import ModelError, PackageError
from strongroom.models.extras import extra
from strongroom.package.payload import Payload
from strongroom.protections.sealed.external import (
    ELEMENT_BYTES,
    MODEL,
    TENSORS,
    ExternalTensor,
)
from strongroom.protections.sealed.tensors import DTYPES

_ELEMENT_DTYPES: Final[Mapping[int, str]] = MappingProxyType(
    {
        1: "<f4",
        2: "u1",
        3: "i1",
        4: "<u2",
        5: "<i2",
        6: "<i4",
        7: "<i8",
        9: "?",
        10: "<f2",
        11: "<f8",
        12: "<u4",
        13: "<u8",
        16: "<u2",
    }
)
"""Of `ELEMENT_BYTES`; a bfloat16 is handed over as the 16 bits that it is."""

_BFLOAT16: Final = 16
_NOTHING: Final = "/nonexistent"
_NAMES: Final = MappingProxyType({"float": "float32", "double": "float64"})
_FATAL: Final = 4


class Session:
    """A model that is ready to run. Keeps the payload's weights in use.

    Args:
        payload: see `protections.sealed.external`.
        threads: how many threads one run may use.

    Raises:
        PackageError: SR-PACKAGE-FILE if the payload is damaged, or ONNX Runtime does not take it.
        ModelError: SR-MODEL-EXTRA if ONNX Runtime is not installed.
    """

    def __init__(self, payload: Payload, *, threads: int) -> None:
        runtime = extra("onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = _FATAL
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that wait by spinning take the cores that other workers compute on.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", _NOTHING
        )
        tensors = _tensors(payload)
        self._weights = [_weight(runtime, payload, tensor) for tensor in tensors]
        if tensors:
            options.add_external_initializers([one.name for one in tensors], self._weights)
        try:
            self._session = runtime.InferenceSession(
                bytes(payload[MODEL]), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its classes are many, and not documented
            raise PackageError(
                "SR-PACKAGE-FILE",
                "ONNX Runtime does not take the model of the package",
                "Run the plain model with the release of ONNX Runtime that is installed here",
            ) from error
        self.inputs = tuple(map(_spec, self._session.get_inputs()))
        self.outputs = tuple(map(_spec, self._session.get_outputs()))
        self._names = [spec.name for spec in self.outputs]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """What the model makes of its inputs, by name.

        Raises:
            ModelError: SR-MODEL-VALUES if it can't compute with them.
        """
        try:
            made = self._session.run(self._names, dict(inputs))
        except Exception:
            raise ModelError(
                "SR-MODEL-VALUES",
                "the model can't compute with these inputs",
                "Run the plain model with them; shapes may contradict each other, or numbers be "
                "out of range",
            ) from None
        return {
            name: np.asarray(array, order="C")
            for name, array in zip(self._names, made, strict=True)
        }


def require_layout(session: Session, layout: SealedLayout) -> None:
    """The model takes and gives what the plan says.

    Raises:
        PackageError: SR-PACKAGE-FILE.
    """
    if (session.inputs, session.outputs) != (layout.inputs, layout.outputs):
        raise _damaged("its inputs and outputs are not those of the plan")


def _tensors(payload: Payload) -> tuple[ExternalTensor, ...]:
    try:
        tensors = msgspec.json.decode(payload[TENSORS], type=tuple[ExternalTensor, ...])
    except (KeyError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _damaged("its list of weights can't be read") from error
    segments = [MODEL, TENSORS, *(tensor.segment for tensor in tensors)]
    if len(set(segments)) != len(segments) or set(segments) != set(payload):
        raise _damaged("its segments are not those of its weights")
    if any(tensor.type not in ELEMENT_BYTES for tensor in tensors):
        raise _damaged("a weight has a type that is not known here")
    if any(tensor.length != len(payload[tensor.segment]) for tensor in tensors):
        raise _damaged("a weight is not as long as its shape")
    return tensors


def _weight(runtime: Any, payload: Payload, tensor: ExternalTensor) -> Any:
    numbers = np.frombuffer(payload[tensor.segment], _ELEMENT_DTYPES[tensor.type])
    shaped = numbers.reshape(tensor.dims)
    if tensor.type == _BFLOAT16:
        return runtime.OrtValue.ortvalue_from_numpy_with_onnx_type(shaped, _BFLOAT16)
    return runtime.OrtValue.ortvalue_from_numpy(shaped)


def _spec(value: Any) -> TensorSpec:
    """An input or output; of a type that has no name here, "" stands for it."""
    inner = value.type.removeprefix("tensor(").removesuffix(")")
    dtype = _NAMES.get(inner, inner)
    shape = tuple(size if isinstance(size, int) and size >= 0 else None for size in value.shape)
    return TensorSpec(value.name, dtype if dtype in DTYPES else "", shape)


def _damaged(what: str) -> PackageError:
    return PackageError(
        "SR-PACKAGE-FILE",
        f"the payload of the package is damaged: {what}",
        "Fetch the package again from its owner",
    )
