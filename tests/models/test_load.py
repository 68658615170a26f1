"""What `import_model` takes: objects and files; pickles and untrusted types are refused."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from xgboost import XGBClassifier

from strongroom.compiler.affine import fold_affine
from strongroom.errors import ModelError
from strongroom.models.load import import_model
from strongroom.models.trees.options import TreeOptions

X, Y = load_wine(return_X_y=True)


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)


def refusal(model: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        import_model(model)
    assert "\n" not in str(caught.value)
    return caught.value


def test_an_object_and_its_files_are_one_model(pipeline: Any, tmp_path: Path) -> None:
    skops.io.dump(pipeline, tmp_path / "model.skops")
    proto = convert_sklearn(pipeline, initial_types=[("x", DoubleTensorType([None, X.shape[1]]))])
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    expected = fold_affine(import_model(pipeline))
    sources = (tmp_path / "model.skops", str(tmp_path / "model.skops"), proto,
               tmp_path / "model.onnx")  # fmt: skip
    for source in sources:
        affine = fold_affine(import_model(source))
        assert np.allclose(affine.weights, expected.weights, rtol=1e-12)
        assert np.allclose(affine.bias, expected.bias, rtol=1e-12)


@pytest.mark.parametrize("suffix", [".pkl", ".joblib", ".pickle", ".PKL"])
def test_pickles_are_refused_and_never_opened(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"model{suffix}").write_bytes(pickle.dumps(Evil(tmp_path / "touched")))
    error = refusal(tmp_path / f"model{suffix}")
    assert error.code == "SR-MODEL-FILE"
    assert "skops.io.dump" in str(error)
    assert not (tmp_path / "touched").exists()


def test_untrusted_types_in_a_skops_file_are_named(tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(Path.touch), Ridge())
    skops.io.dump(model, tmp_path / "model.skops")
    error = refusal(tmp_path / "model.skops")
    assert error.code == "SR-MODEL-FILE"
    assert "pathlib" in str(error)


def test_a_damaged_skops_file_is_refused(pipeline: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    skops.io.dump(pipeline, path)
    content = path.read_bytes()
    for damaged in (b"", b"no archive", content[: len(content) // 2]):
        path.write_bytes(damaged)
        assert refusal(path).code == "SR-MODEL-FILE"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", "{}")
    assert refusal(path).code == "SR-MODEL-FILE"


def test_a_skops_file_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(9):
            with archive.open(f"{number}.npy", "w") as member:
                for _ in range(8):
                    member.write(bytes(2**24))
    assert "unpacks to more than" in str(refusal(path))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model.h5", "no kind of model file"),
        ("model", "skops.io.dump as .skops"),
        ("missing.onnx", "no file"),
        ("missing.skops", "no file"),
        ("missing.json", "can't be read"),
    ],
)
def test_other_paths_are_refused(name: str, words: str, tmp_path: Path) -> None:
    error = refusal(tmp_path / name)
    assert error.code == "SR-MODEL-FILE"
    assert words in str(error)


@pytest.mark.parametrize("model", [None, 3, object(), {"coef": 1}, LogisticRegression, np.eye(2)])
def test_other_objects_are_refused(model: Any) -> None:
    error = refusal(model)
    assert error.code == "SR-MODEL-UNSUPPORTED"
    assert "scikit-learn" in str(error)


def test_a_model_that_cannot_run_is_refused_by_name() -> None:
    assert "KNeighborsClassifier" in str(refusal(KNeighborsClassifier(2).fit(X, Y)))


def test_a_skops_file_of_another_framework_says_how_to_save_it(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    skops.io.dump(XGBClassifier(n_estimators=1, max_depth=1).fit(X, Y), path)
    assert "with their save_model" in str(refusal(path))


def test_the_dials_reach_trees_in_a_pipeline_in_a_file(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), RandomForestClassifier(2, max_depth=2)).fit(X, Y)
    skops.io.dump(model, tmp_path / "model.skops")
    usual, hidden = (
        import_model(tmp_path / "model.skops", trees=trees)
        for trees in (None, TreeOptions(grid="hidden"))
    )
    assert "cut points" in " ".join(usual.features.sentences(usual.input.column_labels()))
    assert "cut points" not in " ".join(hidden.features.sentences(hidden.input.column_labels()))


@pytest.mark.parametrize(
    "trees", [TreeOptions(), TreeOptions(grid="hidden"), TreeOptions(trees_per_group=2)]
)
def test_options_of_trees_are_refused_for_a_model_without_trees(
    pipeline: Any, trees: TreeOptions, tmp_path: Path
) -> None:
    skops.io.dump(pipeline, tmp_path / "model.skops")
    network = make_pipeline(StandardScaler(), MLPClassifier((2,), solver="lbfgs", alpha=1.0))
    network.fit(X, Y)
    for model in (pipeline, tmp_path / "model.skops", network):
        with pytest.raises(ModelError) as caught:
            import_model(model, trees=trees)
        assert caught.value.code == "SR-MODEL-TREES"
    forest = make_pipeline(StandardScaler(), RandomForestClassifier(2, max_depth=2)).fit(X, Y)
    assert import_model(forest, trees=trees).output.classes
