"""`.skops` files: scikit-learn's own models are taken, forged ones refused before anything follows
the numbers in them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import skops.io
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_wine
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_selection import SelectFromModel, SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from strongroom.errors import ModelError
from strongroom.models.load import import_model
from strongroom.models.plain import plain_predictions
from strongroom.models.skops_file import load_skops

X, Y = load_wine(return_X_y=True)
DEPTHS = {"max_depth": [2, 3]}
TREE = DecisionTreeClassifier(max_depth=3, random_state=0)
MODELS: dict[str, Any] = {
    "tree": TREE,
    "regression tree": DecisionTreeRegressor(max_depth=3),
    "forest": RandomForestClassifier(3, max_depth=3, random_state=0),
    "bagging": BaggingClassifier(TREE, n_estimators=2, max_features=0.5, random_state=0),
    "gradient boosting": GradientBoostingClassifier(n_estimators=2, random_state=0),
    "histogram boosting": HistGradientBoostingClassifier(max_iter=2, max_depth=3),
    "adaptive boosting": AdaBoostClassifier(n_estimators=2, random_state=0),
    "isolation forest": IsolationForest(n_estimators=2, random_state=0),
    "network by Adam": MLPClassifier((3,), max_iter=5, random_state=0),
    "network by SGD": MLPClassifier((3,), solver="sgd", max_iter=5, random_state=0),
    "search": GridSearchCV(TREE, DEPTHS, cv=2),
    "search by a score": GridSearchCV(TREE, DEPTHS, cv=KFold(2), scoring="balanced_accuracy"),
    "imputer": make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()),
    "selection by a test": make_pipeline(SelectKBest(k=4), TREE),
    "selection by a model": make_pipeline(SelectFromModel(TREE), LogisticRegression()),
}


def test_columns_that_were_selected_by_their_kind_come_back_too(tmp_path: Path) -> None:
    frame = pandas.DataFrame(X[:, :4], columns=list("abcd")).assign(
        e=np.where(X[:, 4] > 100, "p", "q")
    )
    numbers = StandardScaler(), make_column_selector(dtype_include="number")
    kinds = OneHotEncoder(), make_column_selector("e", dtype_exclude=np.number)
    columns = make_column_transformer(numbers, kinds)
    model = make_pipeline(columns, LogisticRegression()).fit(frame, Y)
    path = tmp_path / "model.skops"
    skops.io.dump(model, path)
    graph = import_model(path)
    rows = graph.input.rows(frame)
    np.testing.assert_array_equal(plain_predictions(path, graph, rows), model.predict(frame))


@pytest.mark.filterwarnings("ignore:.*(converge|iterations|hyperparameter|y_pred contains)")
@pytest.mark.parametrize("name", MODELS)
def test_models_of_scikit_learn_come_back_from_their_files(name: str, tmp_path: Path) -> None:
    model = MODELS[name].fit(X, Y)
    path = tmp_path / "model.skops"
    skops.io.dump(model, path)
    graph = import_model(path)
    assert graph.name == import_model(model).name
    np.testing.assert_array_equal(plain_predictions(path, graph, X), model.predict(X))


Schema = dict[str, Any]
Files = dict[str, bytes]


def entries(schema: Any, name: str) -> list[Schema]:
    """All entries of a class, in the order of the file."""
    found = []
    if isinstance(schema, dict):
        found += [schema] if schema.get("__class__") == name else []
        schema = list(schema.values())
    if isinstance(schema, list):
        found += [entry for value in schema for entry in entries(value, name)]
    return found


def forged(model: Any, path: Path, forge: Callable[[Schema, Files], None]) -> Path:
    """A model's file in which something was changed."""
    skops.io.dump(model, path)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(files.pop("schema.json"))
    forge(schema, files)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", json.dumps(schema))
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def with_nodes(kind: str, change: Callable[[Any], None]) -> Callable[[Schema, Files], None]:
    """Changes the nodes of the first tree."""

    def forge(schema: Schema, files: Files) -> None:
        file = entries(schema, kind)[0]["content"]["content"]["nodes"]["file"]
        nodes = np.load(io.BytesIO(files[file]))
        change(nodes)
        buffer = io.BytesIO()
        np.save(buffer, nodes)
        files[file] = buffer.getvalue()

    return forge


def setting(field: str, value: int, node: int = 0) -> Callable[[Any], None]:
    def change(nodes: Any) -> None:
        nodes[field][node] = value

    return change


def outputs_are(text: str) -> Callable[[Schema, Files], None]:
    def forge(schema: Schema, files: Files) -> None:
        outputs = entries(schema, "Tree")[0]["__reduce__"]["args"]["content"][2]
        outputs.update(content=text, __id__=1)

    return forge


def called_instead_of_read(schema: Schema, files: Files) -> None:
    tree = entries(schema, "Tree")[0]
    made_from = tree["__reduce__"]["args"]
    made_from["content"][2]["content"] = "1000000"
    tree |= {"__loader__": "ConstructorFromReduceNode", "content": made_from}


def under_another_name(schema: Schema, files: Files) -> None:
    entries(schema, "Tree")[0].update(__class__="dtype", __module__="numpy")


def another_number_under_its_identity(schema: Schema, files: Files) -> None:
    outputs = entries(schema, "Tree")[0]["__reduce__"]["args"]["content"][2]
    other = outputs | {"content": "1000000"}
    schema["content"]["content"] = {"first": other, **schema["content"]["content"]}
    schema["content"]["key_types"]["content"].insert(
        0, schema["content"]["key_types"]["content"][0]
    )


FORGED: dict[str, tuple[Callable[[Schema, Files], None], str]] = {
    "a child far beyond the nodes": (
        with_nodes("Tree", setting("right_child", 2**40)),
        "a node that is not there",
    ),
    "a child before the first node": (
        with_nodes("Tree", setting("left_child", -2)),
        "a node that is not there",
    ),
    "a node that is its own child": (
        with_nodes("Tree", setting("left_child", 0)),
        "above itself",
    ),
    "a column beyond the table": (
        with_nodes("Tree", setting("feature", 2**40)),
        "a column that is not there",
    ),
    "a column before the first": (
        with_nodes("Tree", setting("feature", -3)),
        "a column that is not there",
    ),
    "more outputs than classes": (outputs_are("1000000"), "contradicts itself"),
    "outputs below zero": (outputs_are("-1"), "contradicts itself"),
    "outputs that are no number": (outputs_are('"1"'), "contradicts itself"),
    "a tree made by a call": (called_instead_of_read, "as a ConstructorFromReduceNode"),
    "a tree under another name": (under_another_name, "as a TreeNode"),
    "two things under one identity": (another_number_under_its_identity, "two things at once"),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_tree_is_refused(what: str, tmp_path: Path) -> None:
    forge, said = FORGED[what]
    with pytest.raises(ModelError, match=said) as caught:
        load_skops(forged(clone_of_tree(), tmp_path / "model.skops", forge))
    assert caught.value.code == "SR-MODEL-FILE"


def clone_of_tree() -> Any:
    return DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, Y)


def test_a_tree_that_only_selects_columns_is_looked_at_too(tmp_path: Path) -> None:
    model = make_pipeline(SelectFromModel(TREE), GaussianNB()).fit(X, Y)
    forge = with_nodes("Tree", setting("right_child", 2**40))
    with pytest.raises(ModelError, match="a node that is not there"):
        load_skops(forged(model, tmp_path / "model.skops", forge))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("left", 2**31, "a node that is not there"),
        ("right", 0, "a node that is not there"),
        ("feature_idx", -1, "a column that is not there"),
        ("is_categorical", 1, "a set of categories"),
    ],
)
def test_a_forged_tree_of_histogram_boosting_is_refused(
    field: str, value: int, said: str, tmp_path: Path
) -> None:
    model = HistGradientBoostingClassifier(max_iter=1, max_depth=3).fit(X, Y)
    forge = with_nodes("TreePredictor", setting(field, value))
    with pytest.raises(ModelError, match=said):
        load_skops(forged(model, tmp_path / "model.skops", forge))


def test_a_function_is_accepted_by_name_and_never_to_be_called(tmp_path: Path) -> None:
    def forge(schema: Schema, files: Files) -> None:
        nothing = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode"}
        entries(schema, "f_classif")[0].update(
            __loader__="ConstructorFromReduceNode", content=nothing | {"content": []}
        )

    model = make_pipeline(SelectKBest(k=4), TREE).fit(X, Y)
    with pytest.raises(ModelError, match="f_classif as a ConstructorFromReduceNode"):
        load_skops(forged(model, tmp_path / "model.skops", forge))


def test_an_estimator_without_its_fields_is_one_line(tmp_path: Path) -> None:
    def forge(schema: Schema, files: Files) -> None:
        del schema["content"]["content"]["classes_"]
        del schema["content"]["key_types"]["content"][0]

    path = forged(clone_of_tree(), tmp_path / "model.skops", forge)
    with pytest.raises(ModelError, match="lacks something, or contradicts itself") as caught:
        import_model(path)
    assert caught.value.code == "SR-MODEL-FILE"
