"""What a graph is written as computes what the graph computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from strongroom.models.graph import Graph
from strongroom.models.graph_scores import graph_scores
from strongroom.models.onnx_writer import FEATURES, SCORES, write_onnx

TOLERANCES = {"float32": 1e-4, "float64": 1e-9}
"""Of the largest score; long sums in float32 lose that much."""


def run_written(graph: Graph, features: np.ndarray) -> tuple[np.ndarray, str]:
    """Scores of what a graph is written as, by ONNX Runtime, and the dtype."""
    written = write_onnx(graph)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(written.model.SerializeToString(), options)
    (scores,) = session.run([SCORES], {FEATURES: features.astype(written.dtype)})
    return scores, written.dtype


def assert_written_alike(graph: Graph, features: np.ndarray, scores: Any) -> None:
    """ONNX Runtime and the reference give these scores.

    Args:
        scores: shape (n, outputs), from another way to compute them.
    """
    largest = max(float(np.abs(scores).max()), 1e-300)
    reference = graph_scores(graph, features)
    assert reference.shape == scores.shape
    assert np.abs(reference - scores).max() <= 1e-9 * largest
    made, dtype = run_written(graph, features)
    assert made.shape == scores.shape
    assert made.dtype == dtype
    narrow = any(node.operator == "Gelu" for node in graph.nodes)  # the error function
    tolerance = TOLERANCES["float32" if narrow else dtype]
    assert np.abs(made - reference).max() <= tolerance * largest
