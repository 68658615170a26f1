"""Nodes and constants of an ONNX model that is being written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.models.extras import extra

OPSET: Final = 20
"""Of the operators of ONNX: the first with Gelu; ONNX Runtime 1.20 runs it."""

ML_OPSET: Final = 5
"""Of those for other models than networks: the first with trees in float64 throughout."""

_IR_VERSION: Final = 10
MACHINE_LEARNING: Final = "ai.onnx.ml"


@dataclass(slots=True, eq=False)
class Nodes:
    """What has been written so far.

    Attributes:
        dtype: in which the model computes: "float32" or "float64".
        constants: by name.
    """

    dtype: str
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    _nodes: list[Any] = field(default_factory=list)
    _numbers: dict[float, str] = field(default_factory=dict)

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output; the output's name."""
        output = f"value_{len(self._nodes)}"
        make = extra("onnx.helper").make_node
        self._nodes.append(make(operator, list(inputs), [output], domain=domain, **attributes))
        return output

    def constant(self, array: NDArray[Any]) -> str:
        """Add a constant as it is; its name."""
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(array)
        return name

    def numbers(self, array: NDArray[Any]) -> str:
        """Add a constant in the dtype of the model; its name."""
        return self.constant(array.astype(self.dtype))

    def number(self, value: float) -> str:
        """A constant of one number, the same for the same number."""
        if value not in self._numbers:
            self._numbers[value] = self.numbers(np.array(value))
        return self._numbers[value]

    def cast(self, tensor: str, dtype: str) -> str:
        """A tensor in another dtype; its name."""
        return self.add("Cast", tensor, to=element_type(dtype))

    def rename(self, tensor: str, name: str) -> None:
        """Give the output of the last node another name; nothing takes it yet."""
        (output,) = self._nodes[-1].output
        if output != tensor:
            raise ValueError(f"{tensor} is not made by the last node")
        self._nodes[-1].output[0] = name

    def model(
        self, inputs: Mapping[str, tuple[str, int]], outputs: Mapping[str, tuple[str, int]]
    ) -> Any:
        """The model as an `onnx.ModelProto`; tables are of any number of rows.

        Args:
            inputs: dtype and width of each.
            outputs: the same; each has the name of a tensor that was made here.
        """
        helper = extra("onnx.helper")

        def tables(named: Mapping[str, tuple[str, int]]) -> list[Any]:
            return [
                helper.make_tensor_value_info(name, element_type(dtype), ["rows", width])
                for name, (dtype, width) in named.items()
            ]

        weights = [
            extra("onnx.numpy_helper").from_array(array, name)
            for name, array in self.constants.items()
        ]
        graph = helper.make_graph(self._nodes, "model", tables(inputs), tables(outputs), weights)
        opsets = [
            helper.make_opsetid("", OPSET),
            helper.make_opsetid(MACHINE_LEARNING, ML_OPSET),
        ]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)


def element_type(dtype: str) -> int:
    """ONNX's number for a NumPy dtype."""
    return int(extra("onnx.helper").np_dtype_to_tensor_dtype(np.dtype(dtype)))
