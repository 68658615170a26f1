"""ONNX files: those of skl2onnx and hand-made ones agree with ONNX Runtime, others are refused."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from sklearn import linear_model as lm
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from strongroom.compiler.affine import fold_affine
from strongroom.errors import ModelError
from strongroom.models.onnx_import import import_onnx

ROWS = np.random.default_rng(0).normal(size=(20, 3))
WEIGHTS = np.array([[1.0, -2.0], [0.5, 3.0], [-1.5, 0.25]])


def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    domain, _, name = operator.rpartition(".")
    label = f"{name} to {outputs}"
    return helper.make_node(
        name, inputs.split(), outputs.split(), name=label, domain=domain, **attributes
    )


def model(
    nodes: list[onnx.NodeProto],
    constants: dict[str, Any] | None = None,
    outputs: dict[str, int] | None = None,
    columns: Any = 3,
    kind: int = TensorProto.DOUBLE,
    opset: int = 17,
) -> onnx.ModelProto:
    """A model of one input "x", shape (None, columns), with output "y" unless said otherwise."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", kind, [None, columns])],
        [
            helper.make_tensor_value_info(name, of, None)
            for name, of in (outputs or {"y": kind}).items()
        ],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def scored(proto: Any, X: np.ndarray) -> tuple[Any, np.ndarray]:
    graph = import_onnx(proto)
    affine = fold_affine(graph)
    return graph, graph.input.rows(X) @ affine.weights.T + affine.bias


def plain(proto: onnx.ModelProto, X: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    narrow = session.get_inputs()[0].type == "tensor(float)"
    return list(session.run(None, {"x": X.astype(np.float32) if narrow else X}))


def refusal(proto: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        import_onnx(proto)
    assert "\n" not in str(caught.value)
    return caught.value


CLASSIFIERS = [
    lm.LogisticRegression(),
    lm.SGDClassifier(loss="log_loss", random_state=0),
    lm.SGDClassifier(random_state=0),
    lm.Perceptron(random_state=0),
    LinearDiscriminantAnalysis(),
]


@pytest.mark.parametrize("labels", ["integers", "texts"])
@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
@pytest.mark.parametrize("kind", [FloatTensorType, DoubleTensorType])
@pytest.mark.parametrize("classifier", CLASSIFIERS, ids=repr)
def test_classifiers_of_skl2onnx(classifier: Any, kind: Any, load: Any, labels: str) -> None:
    X, y = load(return_X_y=True)
    y = np.array(["cat", "dog", "ox"])[y] if labels == "texts" else y
    pipeline = make_pipeline(StandardScaler(), PCA(8), classifier).fit(X, y)
    proto = convert_sklearn(
        pipeline,
        initial_types=[("x", kind([None, X.shape[1]]))],
        options={type(classifier): {"zipmap": False}},
    )
    graph, scores = scored(proto, X)
    theirs, returned = plain(proto, X)
    ours = graph.output.predict(scores)
    assert ours.dtype == theirs.dtype
    assert (ours == theirs).mean() > 0.995  # float32 rounds scores near 0
    method = graph.output.methods[1]
    tolerance = 2e-4 if kind is FloatTensorType else 1e-11
    assert np.allclose(getattr(graph.output, method)(scores), returned, tolerance, tolerance)


def test_probabilities_in_a_zipmap() -> None:
    X, y = load_wine(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), lm.LogisticRegression()).fit(X, y)
    proto = convert_sklearn(pipeline, initial_types=[("x", FloatTensorType([None, X.shape[1]]))])
    assert any(node.op_type == "ZipMap" for node in proto.graph.node)
    graph, scores = scored(proto, X)
    assert np.allclose(graph.output.predict_proba(scores), pipeline.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
@pytest.mark.parametrize("classifier", [lm.RidgeClassifier(), LinearSVC()], ids=repr)
def test_classifiers_without_probabilities(classifier: Any, load: Any) -> None:
    X, y = load(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    classifier.fit(X, y)
    proto = convert_sklearn(classifier, initial_types=[("x", FloatTensorType([None, X.shape[1]]))])
    graph, scores = scored(proto, X)
    assert np.array_equal(graph.output.predict(scores), classifier.predict(X))
    decision = graph.output.decision_function(scores)
    assert np.allclose(decision, classifier.decision_function(X), atol=1e-4)


def test_modified_huber_of_two_classes() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    plain_model = lm.SGDClassifier(loss="modified_huber", random_state=0).fit(X, y)
    proto = convert_sklearn(plain_model, initial_types=[("x", DoubleTensorType([None, 30]))])
    graph, scores = scored(proto, X)
    assert np.allclose(graph.output.predict_proba(scores), plain_model.predict_proba(X))


@pytest.mark.parametrize("kind", [FloatTensorType, DoubleTensorType])
@pytest.mark.parametrize("targets", [1, 2])
def test_regressors_of_skl2onnx(kind: Any, targets: int) -> None:
    X, y = load_diabetes(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), lm.Ridge()).fit(X, np.stack([y, -y][:targets]).T)
    proto = convert_sklearn(pipeline, initial_types=[("x", kind([None, 10]))])
    graph, scores = scored(proto, X)
    (theirs,) = plain(proto, X)
    ours = graph.output.predict(scores)
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    assert np.allclose(ours, theirs, rtol=1e-5 if kind is FloatTensorType else 1e-12)
    assert graph.input.dtype == ("float32" if kind is FloatTensorType else "float64")


def test_one_input_a_column_gives_the_columns_names() -> None:
    X, y = load_diabetes(return_X_y=True)
    names = [f"column_{i}" for i in range(10)]
    frame = pd.DataFrame(X, columns=names)
    split = ColumnTransformer([("scaled", StandardScaler(), names[4:])], remainder="passthrough")
    pipeline = make_pipeline(split, lm.Ridge()).fit(frame, y)
    types = [(name, DoubleTensorType([None, 1])) for name in names]
    graph, scores = scored(convert_sklearn(pipeline, initial_types=types), X)
    assert graph.input.names == tuple(names)
    assert np.allclose(graph.output.predict(scores)[:, 0], pipeline.predict(frame))


AFFINE = {
    "matmul": ([node("MatMul", "x w", "y")], {"w": WEIGHTS}),
    "matmul by a vector": ([node("MatMul", "x w", "y")], {"w": WEIGHTS[:, 0]}),
    "gemm": (
        [node("Gemm", "x w b", "y", alpha=0.5, beta=2.0, transB=1)],
        {"w": WEIGHTS.T.copy(), "b": np.array([1.0, 2.0])},
    ),
    "arithmetic": (
        [node("Sub", "c x", "a"), node("Neg", "a", "b"), node("Div", "b d", "e"),
         node("Mul", "d e", "f"), node("Add", "f x", "g"), node("Sub", "g b", "y")],
        {"c": np.array([[1.0, 2.0, 3.0]]), "d": np.array([2.0, 4.0, 5.0])},
    ),
    "spreading one column": (
        [node("Gather", "x i", "a", axis=1), node("Mul", "a d", "b"), node("Add", "b x", "c"),
         node("Sub", "a c", "y")],
        {"i": np.array([1]), "d": np.array([2.0, 4.0, 5.0])},
    ),
    "columns": (
        [node("Gather", "x i", "a", axis=-1), node("ai.onnx.ml.ArrayFeatureExtractor", "x j", "b"),
         node("Concat", "a b x a", "y", axis=1)],
        {"i": np.array([-1, 0, 0]), "j": np.array([2])},
    ),
    "one column as a vector": ([node("Gather", "x i", "y", axis=1)], {"i": np.array(1)}),
    "what changes nothing": (
        [node("Identity", "x", "a"), node("Flatten", "a", "b"), node("Reshape", "b s", "c"),
         node("Cast", "c", "y", to=TensorProto.DOUBLE)],
        {"s": np.array([-1, 3])},
    ),
    "a vector at the end": (
        [node("MatMul", "x w", "a"), node("Squeeze", "a i", "b"), node("Add", "b c", "y")],
        {"w": WEIGHTS[:, :1], "i": np.array([1]), "c": np.array(3.0)},
    ),
    "constants of constants": (
        [node("Sqrt", "w", "a"), node("Transpose", "a", "b", perm=[1, 0]),
         node("Constant", "", "c", value=numpy_helper.from_array(np.array([1.0, 2.0]))),
         node("Mul", "b c", "d"), node("Cast", "d", "e", to=TensorProto.DOUBLE),
         node("MatMul", "x e", "y")],
        {"w": np.abs(WEIGHTS).T.copy()},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", AFFINE)
def test_hand_made_affine_models_agree_with_onnx_runtime(name: str) -> None:
    nodes, constants = AFFINE[name]
    proto = model(nodes, constants)
    if name == "columns":  # ONNX Runtime's ArrayFeatureExtractor is right for one row only
        theirs = np.c_[ROWS[:, [2, 0, 0]], ROWS[:, [2]], ROWS, ROWS[:, [2, 0, 0]]]
    else:
        (theirs,) = plain(proto, ROWS)
    graph, scores = scored(proto, ROWS)
    ours = graph.output.predict(scores)
    assert ours.shape == theirs.shape
    assert np.allclose(ours, theirs, rtol=1e-12, atol=1e-12)


ML_MODELS = {
    "scaler": [node("ai.onnx.ml.Scaler", "x", "y", offset=[1.0, 2.0, 3.0], scale=[0.5, 1.0, 2.0])],
    "imputer": [node("ai.onnx.ml.Imputer", "x", "y", imputed_value_floats=[1.0] * 3,
                     replaced_value_float=float("nan"))],
    "regressor": [node("ai.onnx.ml.LinearRegressor", "x", "y", targets=2,
                       coefficients=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], intercepts=[0.5, -1.0])],
    "regressor without intercept": [node("ai.onnx.ml.LinearRegressor", "x", "y",
                                         coefficients=[1.0, 2.0, 3.0])],
}  # fmt: skip


@pytest.mark.parametrize("name", ML_MODELS)
def test_operators_of_the_machine_learning_domain(name: str) -> None:
    proto = model(ML_MODELS[name], kind=TensorProto.FLOAT)
    (theirs,) = plain(proto, ROWS)
    graph, scores = scored(proto, ROWS)
    assert np.allclose(graph.output.predict(scores), theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_linear_classifiers(rows: int, transform: str) -> None:
    coefficients = [[1.0, -2.0, 3.0], [-1.0, 2.0, -3.0], [0.5, 0.5, 1.0]][:rows]
    labels = list(range(5, 5 + max(rows, 2)))
    proto = model(
        [node("ai.onnx.ml.LinearClassifier", "x", "label y", classlabels_ints=labels,
              coefficients=np.ravel(coefficients).tolist(), post_transform=transform,
              intercepts=[0.25, -0.25, 0.0][:rows])],
        outputs={"label": TensorProto.INT64, "y": TensorProto.FLOAT},
        kind=TensorProto.FLOAT,
    )  # fmt: skip
    if (rows, transform) == (1, "SOFTMAX"):
        assert "LinearClassifier" in str(refusal(proto))
        return
    theirs, returned = plain(proto, ROWS)
    graph, scores = scored(proto, ROWS)
    assert np.array_equal(graph.output.predict(scores), theirs)
    if graph.output.link == "identity":
        decision = graph.output.decision_function(scores)
        assert np.allclose(decision, returned[:, 1] if rows == 1 else returned, atol=1e-5)
    else:
        assert np.allclose(graph.output.predict_proba(scores), returned, atol=1e-5)


def test_a_softmax_at_the_end_of_a_plain_graph() -> None:
    proto = model([node("MatMul", "x w", "a"), node("Softmax", "a", "y")], {"w": WEIGHTS})
    graph, scores = scored(proto, ROWS)
    assert np.allclose(graph.output.predict_proba(scores), plain(proto, ROWS)[0])
    assert graph.output.predict(scores).tolist() == plain(proto, ROWS)[0].argmax(1).tolist()


def test_a_sigmoid_at_the_end_of_a_plain_graph() -> None:
    proto = model([node("MatMul", "x w", "a"), node("Sigmoid", "a", "y")], {"w": WEIGHTS[:, :1]})
    graph, scores = scored(proto, ROWS)
    assert graph.output.classes == (0, 1)
    assert np.allclose(graph.output.predict_proba(scores)[:, 1:], plain(proto, ROWS)[0])


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([node("MatMul", "x w", "a"), node("Round", "a", "b"), node("Softmax", "b", "y")],
         "operator Round (node 'Round to b')"),
        ([node("Div", "c x", "y")], "operator Div"),
        ([node("LogSoftmax", "x", "y", axis=0)], "operator LogSoftmax"),
        ([node("Sigmoid", "x", "a"), node("Clip", "a c0 c1", "y")], "operator Clip"),
        ([node("Softmax", "x", "a"), node("Softmax", "a", "y")], "operator Softmax"),
        ([node("Softmax", "x", "y", axis=0)], "operator Softmax"),
        ([node("Cast", "x", "a", to=TensorProto.INT64), node("MatMul", "a w", "y")],
         "operator Cast"),
        ([node("Reshape", "x s", "y")], "operator Reshape"),
        ([node("MatMul", "w x", "y")], "operator MatMul"),
        ([node("Gemm", "x w", "y", transA=1)], "operator Gemm"),
        ([node("Concat", "x c", "y", axis=1)], "operator Concat"),
        ([node("Concat", "x x", "y", axis=0)], "operator Concat"),
        ([node("ai.onnx.ml.Imputer", "x", "y", replaced_value_float=0.0,
               imputed_value_floats=[1.0])], "operator ai.onnx.ml.Imputer"),
        ([node("Add", "x w", "y")], "differs from row to row"),
        ([node("ArgMax", "x", "y", axis=1, select_last_index=1)], "select_last_index"),
        ([node("RandomNormal", "", "a", shape=[1, 3]), node("Add", "x a", "y")], "RandomNormal"),
        ([node("com.example.Custom", "x", "y")], "operator com.example.Custom"),
    ],
)  # fmt: skip
def test_operators_without_an_encrypted_form_are_named(nodes: Any, words: str) -> None:
    constants = {"w": WEIGHTS, "c": np.ones((1, 3)), "s": np.array([3, -1])}
    constants |= {"c0": np.array(0.0), "c1": np.array(0.5)}
    error = refusal(model(nodes, constants))
    assert error.code == "SR-MODEL-UNSUPPORTED"
    assert words in str(error)


@pytest.mark.parametrize(
    "classifier",
    [RandomForestClassifier(2), OneVsRestClassifier(lm.LogisticRegression())],
    ids=repr,
)
def test_other_models_of_skl2onnx_are_refused(classifier: Any) -> None:
    X, y = load_wine(return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classifier.fit(X, y)
    proto = convert_sklearn(classifier, initial_types=[("x", FloatTensorType([None, 13]))])
    assert refusal(proto).code == "SR-MODEL-UNSUPPORTED"


MISFITS = {
    "weights of another height": [node("MatMul", "x c", "y")],
    "column numbers beyond the table": [node("Gather", "x far", "y", axis=1)],
    "fractions as column numbers": [node("Gather", "x c", "y", axis=1)],
    "rows of another width": [node("Add", "x b", "y")],
    "coefficients of another number": [
        node("ai.onnx.ml.LinearRegressor", "x", "y", coefficients=[1.0])
    ],
    "no labels that fit": [
        node("ai.onnx.ml.LinearClassifier", "x", "l y", coefficients=[1.0] * 9,
             classlabels_ints=[1, 2])
    ],
    "attributes of another kind": [node("Gemm", "x w", "y", alpha="one")],
    "a type that is none": [node("Cast", "c", "a", to=99), node("Add", "x a", "y")],
    "constants that explode": [node("Add", "tall wide", "a"), node("MatMul", "x a", "y")],
    "constants that double": [
        *[node("Concat", f"c{i} c{i}", f"c{i + 1}", axis=0) for i in range(40)],
        node("MatMul", "x c40", "y"),
    ],
    "tables that double": [
        *[node("Concat", f"t{i} t{i}", f"t{i + 1}", axis=1) for i in range(40)],
        node("Identity", "t40", "y"),
    ],
    "a cycle": [node("Add", "x b2", "a"), node("Add", "x a", "b2"), node("Add", "b2 x", "y")],
    "a tensor from nowhere": [node("Add", "x nowhere", "y")],
    "a tensor made twice": [node("Add", "x x", "y"), node("Sub", "x x", "y")],
    "an output that is never made": [node("Add", "x x", "z")],
    "an input that is a constant too": [node("Add", "x x", "w"), node("Add", "w x", "y")],
}  # fmt: skip


@pytest.mark.parametrize("name", MISFITS)
def test_malformed_models_are_refused(name: str) -> None:
    constants = {
        "w": WEIGHTS, "c": np.ones(4), "c0": np.ones(4), "b": np.ones(5), "far": np.array([3]),
        "tall": np.ones((60_000, 1)), "wide": np.ones((1, 60_000)),
    }  # fmt: skip
    nodes = MISFITS[name]
    if name == "tables that double":
        nodes = [node("Identity", "x", "t0"), *nodes]
    assert refusal(model(nodes, constants)).code == "SR-MODEL-FILE"


def test_a_long_chain_of_links_is_refused() -> None:
    nodes = [node("Softmax", "x", "p0")]
    nodes += [node("ai.onnx.ml.Normalizer", f"p{i}", f"p{i + 1}", norm="L1") for i in range(5_000)]
    nodes.append(node("Identity", "p5000", "y"))
    assert refusal(model(nodes)).code == "SR-MODEL-UNSUPPORTED"


def test_tensors_that_lie_about_their_size_are_refused() -> None:
    for change in ("dims", "negative", "raw", "external"):
        proto = model([node("MatMul", "x w", "y")], {"w": WEIGHTS})
        tensor = proto.graph.initializer[0]
        if change == "dims":
            tensor.dims[0] = 2**40
        elif change == "negative":
            tensor.dims[:] = [-3, -2]
        elif change == "raw":
            tensor.raw_data = tensor.raw_data[:-1]
        else:
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="/etc/hostname")
        error = refusal(proto)
        assert error.code == "SR-MODEL-FILE"
        assert "'w'" in str(error)


@pytest.mark.parametrize("columns", [None, 0, "columns"])
def test_an_unknown_number_of_columns_is_refused(columns: Any) -> None:
    error = refusal(model([node("Add", "x x", "y")], columns=columns))
    assert error.code == "SR-MODEL-UNSUPPORTED"
    assert "number of columns" in str(error)


def test_versions_of_operators_that_are_not_known_are_refused() -> None:
    assert refusal(model([node("Add", "x x", "y")], opset=99)).code == "SR-MODEL-FILE"


def test_bytes_and_files_are_read(tmp_path: Path) -> None:
    proto = model([node("MatMul", "x w", "y")], {"w": WEIGHTS})
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    for source in (proto, proto.SerializeToString(), path):
        assert np.allclose(fold_affine(import_onnx(source)).weights, WEIGHTS.T)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x00" * 64, b"\xff" * 64])
def test_files_that_are_no_models_are_refused(content: bytes) -> None:
    assert refusal(content).code == "SR-MODEL-FILE"


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damaged_files_are_refused_or_read_but_never_crash(data: st.DataObject) -> None:
    proto = model(
        [node("ai.onnx.ml.Scaler", "x", "a", offset=[1.0] * 3, scale=[2.0] * 3),
         node("Gemm", "a w b", "c"), node("Softmax", "c", "p"),
         node("ArgMax", "p", "l", axis=1, keepdims=0)],
        {"w": WEIGHTS, "b": np.ones(2)},
        outputs={"l": TensorProto.INT64, "p": TensorProto.DOUBLE},
    )  # fmt: skip
    content = bytearray(proto.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(ModelError):
            fold_affine(import_onnx(bytes(content)))
