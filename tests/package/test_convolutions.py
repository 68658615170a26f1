"""A convolutional network, protected and asked in one process."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import strongroom
from strongroom import protections
from strongroom.errors import InputError
from strongroom.package.parity import protected_scores
from strongroom.policy import Policy


def network(random: np.random.Generator) -> onnx.ModelProto:
    """Images of one channel, 8 x 8: conv, square, pool, a residual, square, global pool, dense."""
    weights = {
        "k": random.normal(size=(4, 1, 3, 3)) / 3, "b": random.normal(size=4) / 4,
        "l": random.normal(size=(4, 4, 3, 3)) / 6, "s": random.uniform(0.5, 1.5, 4),
        "w": random.normal(size=(4, 3)) * 2, "v": random.normal(size=3),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "k", "b"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("BatchNormalization", ["c", "s", "b", "b", "s"], ["n"]),
        helper.make_node("Mul", ["n", "n"], ["q"]),
        helper.make_node("Conv", ["q", "l"], ["d"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["d", "q"], ["e"]),
        helper.make_node("Mul", ["e", "e"], ["f"]),
        helper.make_node("AveragePool", ["f"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["p"], ["g"]),
        helper.make_node("Flatten", ["g"], ["h"]),
        helper.make_node("Gemm", ["h", "w", "v"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small-images",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3])],
        [numpy_helper.from_array(value.astype(np.float32), name)
         for name, value in weights.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def test_a_convolutional_network_answers_encrypted_as_it_does_plain() -> None:
    random = np.random.default_rng(3)
    model = network(random)
    images = random.uniform(0, 1, (60, 1, 8, 8)).astype(np.float32)
    policy = Policy()
    package = strongroom.protect(model, sample=images[:45], policy=policy)
    plan = package.manifest.plan
    assert plan.input.shape == (1, 8, 8)
    asked = images[45:]
    rows = plan.input.rows(asked)
    np.testing.assert_array_equal(rows, plan.input.rows(asked.reshape(15, 64)))
    protection = protections.by_name(plan.protection)
    scores = protected_scores(protection, plan, package.payload, rows, policy)
    (plain,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": asked})
    answers = plan.output.predict(scores)
    assert (answers.shape, answers.dtype) == (plain.shape, plain.dtype)
    error = plan.costs.score_error
    assert np.abs(answers - plain).max() <= error + 1e-5
    assert plain.std(axis=0).min() > 50 * error  # so the answers say something
    with pytest.raises(InputError, match=r"the model takes \(n, 1, 8, 8\)"):
        plan.input.rows(asked[:, 0])
