"""Encoders, imputers and other steps that run at the asker answer as scikit-learn does."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from plain_answers import assert_equal_to_plain, fitted, outcome, patients, scores_of, table
from sklearn import linear_model as lm
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC

from strongroom.compiler.layering import is_affine
from strongroom.errors import InputError, ModelError
from strongroom.models.features import Features
from strongroom.models.graph import Graph
from strongroom.models.plain import plain_predictions
from strongroom.models.rows import InputSpec
from strongroom.models.sklearn_import import import_sklearn

ENCODERS = {
    "bits": OneHotEncoder(handle_unknown="ignore"),
    "dropped": OneHotEncoder(drop="first"),
    "dropped, unknown": OneHotEncoder(drop="first", handle_unknown="ignore"),
    "dropped if binary": OneHotEncoder(drop="if_binary", handle_unknown="ignore"),
    "rare": OneHotEncoder(min_frequency=40, handle_unknown="infrequent_if_exist"),
    "rare, ignored": OneHotEncoder(min_frequency=40, handle_unknown="ignore"),
    "rare, dropped": OneHotEncoder(max_categories=3, drop="first", handle_unknown="warn"),
    "most frequent": make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
    ),
    "constant": make_pipeline(
        SimpleImputer(strategy="constant", fill_value="none"), OneHotEncoder()
    ),
    "constant and where": make_pipeline(
        SimpleImputer(strategy="constant", fill_value="none", add_indicator=True),
        ColumnTransformer([("bits", OneHotEncoder(), [0, 1])], remainder="passthrough"),
    ),
    "codes": make_pipeline(SimpleImputer(strategy="most_frequent"), OrdinalEncoder()),
    "codes of missing": OrdinalEncoder(encoded_missing_value=-1),
    "codes of unknown": OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=9, encoded_missing_value=-1
    ),
    "codes filled": make_pipeline(
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan),
        SimpleImputer(strategy="most_frequent"),
    ),
    "rare codes": OrdinalEncoder(
        min_frequency=40,
        handle_unknown="use_encoded_value",
        unknown_value=-2,
        encoded_missing_value=-1,
    ),
    "targets": TargetEncoder(random_state=0),
}


def whole(encoder: Any, model: Any) -> Pipeline:
    """A pipeline as people write them."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    columns = ColumnTransformer(
        [
            ("numbers", numbers, ["age", "dose"]),
            ("texts", encoder, ["job", "city"]),
            ("few", OneHotEncoder(), ["kids", "smoker"]),
            ("same", "passthrough", ["smoker"]),
        ]
    )
    return Pipeline([("columns", columns), ("model", model)])


def strangers(frame: pd.DataFrame) -> pd.DataFrame:
    """The patients with jobs and cities that nobody had in training."""
    other = frame.copy()
    other.loc[other.index % 5 == 0, "job"] = "ghost"
    other["city"] = other["city"].astype(object).where(other.index % 7 != 0, "Bergen")
    return other


def refusal(graph: Graph, X: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        graph.features.encode(graph.input.rows(X))
    assert "ghost" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("encoder", ENCODERS)
def test_whole_pipelines(encoder: str) -> None:
    frame = patients()
    model = fitted(whole(ENCODERS[encoder], lm.LogisticRegression()), frame, outcome(frame))
    graph = assert_equal_to_plain(model, frame)
    assert is_affine(graph)
    assert graph.input.ignored == (0,)
    targets = fitted(whole(ENCODERS[encoder], lm.Ridge()), frame, frame.dose.to_numpy())
    assert_equal_to_plain(targets, frame)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_categories_that_nobody_had_in_training(encoder: str) -> None:
    frame = patients()
    model = fitted(whole(ENCODERS[encoder], lm.LogisticRegression()), frame, outcome(frame))
    try:
        model.predict(strangers(frame))
    except ValueError:
        error = refusal(import_sklearn(model), strangers(frame))
        assert error.code == "SR-INPUT-CATEGORY"
        assert "row 0, column 'job'" in str(error)
    else:
        assert_equal_to_plain(model, strangers(frame))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_missing_cells_are_refused_where_the_plain_model_refuses_them(encoder: str) -> None:
    frame = patients()
    seen = frame.assign(job=frame.job.fillna("poet"))
    model = fitted(whole(ENCODERS[encoder], lm.LogisticRegression()), seen, outcome(seen))
    try:
        model.predict(frame)
    except ValueError:
        error = refusal(import_sklearn(model), frame)
        assert error.code == "SR-INPUT-MISSING"
        assert "column 'job'" in str(error)
    else:
        assert_equal_to_plain(model, frame)


def test_rows_in_every_form() -> None:
    frame = patients()
    model = fitted(whole(ENCODERS["bits"], lm.LogisticRegression()), frame, outcome(frame))
    graph = import_sklearn(model)
    expected = graph.input.rows(frame)
    for form in (
        frame.astype({"job": "category", "city": object}),
        frame.astype({"job": "string", "city": "string", "kids": "category"}),
        frame.astype(object),
        frame.astype(object).to_numpy(),
        frame.astype(object).to_numpy().tolist(),
        frame.assign(id=None),
    ):
        assert np.array_equal(graph.input.rows(form), expected, equal_nan=True)


def test_columns_in_another_order_and_of_another_kind_are_refused() -> None:
    frame = patients()
    model = fitted(whole(ENCODERS["bits"], lm.LogisticRegression()), frame, outcome(frame))
    graph = import_sklearn(model)
    assert refusal(graph, frame[frame.columns[::-1]]).code == "SR-INPUT-COLUMNS"
    assert refusal(graph, frame.drop(columns="dose")).code == "SR-INPUT-COLUMNS"
    assert refusal(graph, frame.assign(dose="ghost")).code == "SR-INPUT-TYPE"
    assert refusal(graph, frame.assign(job=1.5)).code == "SR-INPUT-TYPE"
    assert refusal(graph, frame.assign(kids="2")).code == "SR-INPUT-TYPE"
    assert refusal(graph, frame.assign(job=pd.Timestamp("2020-01-01"))).code == "SR-INPUT-TYPE"
    assert refusal(graph, frame.assign(smoker=None)).code == "SR-INPUT-MISSING"


def test_the_statement_names_what_becomes_public() -> None:
    frame = patients()
    model = fitted(whole(ENCODERS["constant"], lm.LogisticRegression()), frame, outcome(frame))
    graph = import_sklearn(model)
    told = graph.features.sentences(graph.input.column_labels())
    assert told[0] == (
        "What fills in missing values of column 'age', column 'dose' is public: the asker fills "
        "them in."
    )
    assert any(line.startswith("The categories of column 'job', column 'city'") for line in told)
    assert told[-1] == "That the model does not look at column 'id' is public."
    assert not any("scaled" in line for line in told)


def test_the_means_of_a_target_encoder_stay_secret() -> None:
    frame = patients()
    model = fitted(whole(ENCODERS["targets"], lm.Ridge()), frame, frame.dose.to_numpy())
    graph = import_sklearn(model)
    means = np.concatenate(model[0].named_transformers_["texts"].encodings_)
    public = msgspec.json.encode([graph.features, graph.input]).decode()
    assert not any(str(float(mean)) in public for mean in means)


def test_plans_carry_the_preprocessing_unchanged() -> None:
    frame = patients()
    model = fitted(whole(ENCODERS["codes of unknown"], SVC()), frame, outcome(frame))
    graph = assert_equal_to_plain(model, frame)
    features = msgspec.json.decode(msgspec.json.encode(graph.features), type=Features)
    spec = msgspec.json.decode(msgspec.json.encode(graph.input), type=InputSpec)
    assert features == graph.features
    assert spec == graph.input
    assert np.array_equal(
        features.encode(spec.rows(frame)), graph.features.encode(graph.input.rows(frame))
    )


def test_parity_is_measured_on_labels() -> None:
    frame = patients()
    model = fitted(whole(ENCODERS["bits"], lm.LogisticRegression()), frame, outcome(frame))
    graph = import_sklearn(model)
    for rows in (frame, strangers(frame)):
        checked = graph.input.rows(rows)
        assert plain_predictions(model, graph, checked).tolist() == model.predict(rows).tolist()


STEPS = {
    "filled": SimpleImputer(),
    "filled by a number": SimpleImputer(strategy="constant", fill_value=-3.0),
    "filled and where": SimpleImputer(add_indicator=True),
    "both sides": FeatureUnion([("x", SimpleImputer()), ("where", MissingIndicator())]),
    "all of both sides": FeatureUnion(
        [("x", SimpleImputer()), ("where", MissingIndicator(features="all"))]
    ),
    "scaled, filled": make_pipeline(StandardScaler(), SimpleImputer(strategy="median")),
    "powers, filled": make_pipeline(PowerTransformer(), SimpleImputer()),
    "logarithms, filled": make_pipeline(FunctionTransformer(np.log1p), SimpleImputer()),
    "filled, bins": make_pipeline(
        SimpleImputer(),
        KBinsDiscretizer(3, encode="onehot", quantile_method="averaged_inverted_cdf"),
    ),
    "filled, products": make_pipeline(SimpleImputer(), MinMaxScaler(), PolynomialFeatures(2)),
    "filled, selected": make_pipeline(SimpleImputer(), PolynomialFeatures(2), SelectKBest(k=3)),
}


@pytest.mark.parametrize("step", STEPS)
def test_missing_numbers(step: str) -> None:
    X, y = table("iris")
    holes = np.where(np.random.default_rng(1).random(X.shape) < 0.1, np.nan, X)
    holes[:, 3] = X[:, 3]
    for last in (lm.LogisticRegression(), lm.Ridge()):
        model = fitted(make_pipeline(STEPS[step], last), holes, y)
        assert_equal_to_plain(model, holes)
    holes[4, 3] = np.nan
    graph = import_sklearn(model)
    try:
        model.predict(holes)
    except ValueError:
        assert "row 4, column 3" in str(refusal(graph, holes))
    else:
        assert_equal_to_plain(model, holes)


def test_numbers_that_stand_for_missing_ones() -> None:
    X, y = table("iris")
    X = np.where(np.random.default_rng(1).random(X.shape) < 0.1, -1.0, X)
    imputer = SimpleImputer(missing_values=-1, add_indicator=True)
    graph = assert_equal_to_plain(fitted(make_pipeline(imputer, lm.Ridge()), X, y), X)
    assert graph.input.missing == ()


def test_an_imputer_leaves_out_what_was_never_there() -> None:
    X, y = table("iris")
    X = np.insert(X, 1, np.nan, axis=1)
    model = fitted(make_pipeline(SimpleImputer(), lm.Ridge()), X, y)
    graph = import_sklearn(model)
    assert graph.input.ignored == (1,)
    assert graph.features.width == 4


@pytest.mark.parametrize(
    "step",
    [
        Normalizer(),
        Normalizer("l1"),
        Normalizer("max"),
        Binarizer(threshold=3.0),
        PowerTransformer(),
        PowerTransformer("box-cox", standardize=False),
        FunctionTransformer(np.sqrt),
        MinMaxScaler(clip=True, feature_range=(0.2, 0.7)),
        KBinsDiscretizer(
            4, encode="ordinal", strategy="uniform", quantile_method="averaged_inverted_cdf"
        ),
        KBinsDiscretizer(3, strategy="kmeans", quantile_method="averaged_inverted_cdf"),
        OneHotEncoder(handle_unknown="ignore"),
        OrdinalEncoder(),
        TargetEncoder(random_state=0),
        make_pipeline(StandardScaler(), Binarizer()),
        FeatureUnion(
            [("a", Binarizer(threshold=2.0)), ("b", StandardScaler())],
            transformer_weights={"b": 2.0},
        ),
        make_column_transformer(
            (Normalizer(), [0, 3]), (OneHotEncoder(), [3]), remainder=PolynomialFeatures(2)
        ),
    ],
    ids=lambda step: repr(step)[:70],
)
def test_numbers_through_steps_at_the_asker(step: Any) -> None:
    X, y = table("iris")
    for last in (lm.LogisticRegression(), lm.Ridge()):
        assert_equal_to_plain(fitted(make_pipeline(step, last), X, y), X)


def test_numbers_that_are_categories_are_refused_by_place() -> None:
    X, y = table("iris")
    both = FeatureUnion([("bits", OneHotEncoder()), ("same", "passthrough")])
    for step in (OneHotEncoder(), both):
        graph = assert_equal_to_plain(fitted(make_pipeline(step, lm.Ridge()), X, y), X)
        strange = X.copy()
        strange[7, 2] = 77.0
        error = refusal(graph, strange)
        assert error.code == "SR-INPUT-CATEGORY"
        assert "row 7, column 2" in str(error)
        assert "77" not in str(error)


def test_rows_for_which_a_step_is_not_defined_are_refused() -> None:
    X, y = table("iris")
    model = make_pipeline(FunctionTransformer(np.log), lm.Ridge())
    graph = assert_equal_to_plain(fitted(model, X, y), X)
    strange = X.copy()
    strange[3, 1] = -1.0
    error = refusal(graph, strange)
    assert error.code == "SR-INPUT-INFINITE"
    assert "row 3" in str(error)


def test_columns_by_type() -> None:
    frame = patients().drop(columns="id")
    split = ColumnTransformer(
        [
            ("texts", OneHotEncoder(), make_column_selector(dtype_include=[object, "category"])),
            ("numbers", SimpleImputer(), make_column_selector(dtype_include=np.number)),
        ]
    )
    model = fitted(make_pipeline(split, lm.LogisticRegression()), frame, outcome(frame))
    graph = assert_equal_to_plain(model, frame)
    assert graph.input.names == tuple(frame.columns)
    assert [column.column for column in graph.input.categories] == [1, 2]


def test_a_column_of_texts_in_two_encoders() -> None:
    frame = patients()[["job", "city"]].fillna("none")
    bits = OneHotEncoder(handle_unknown="ignore")
    union = FeatureUnion([("bits", bits), ("codes", OrdinalEncoder())])
    model = fitted(make_pipeline(union, lm.Ridge()), frame, np.arange(len(frame)))
    graph = assert_equal_to_plain(model, frame)
    assert len(graph.input.categories) == 2
    assert refusal(graph, strangers(frame)).code == "SR-INPUT-CATEGORY"


def test_missing_labels_that_are_none() -> None:
    frame = patients()[["job", "city"]]
    frame["job"] = frame["job"].where(frame["job"].notna(), None)
    y = np.arange(len(frame))
    for encoder in ("bits", "dropped", "rare", "codes of missing", "codes of unknown", "targets"):
        model = fitted(make_pipeline(ENCODERS[encoder], lm.Ridge()), frame, y / 2)
        assert_equal_to_plain(model, frame)


def texts(step: Any, columns: int, frame: pd.DataFrame) -> Pipeline:
    """A model of texts that a linear model can't have been fitted on."""
    model = make_pipeline(step, lm.Ridge())
    model[0].fit(frame)
    model[1].coef_, model[1].intercept_ = np.ones(columns), 0.0
    return model


def test_texts_that_are_not_encoded_are_refused() -> None:
    frame = patients()[["job"]]
    imputer = SimpleImputer(strategy="most_frequent")
    with pytest.raises(ModelError) as caught:
        import_sklearn(texts(imputer, 1, frame))
    assert "Put a OneHotEncoder" in str(caught.value)
    both = FeatureUnion([("bits", OneHotEncoder()), ("same", "passthrough")])
    with pytest.raises(ModelError) as caught:
        import_sklearn(texts(both, 6, frame))
    assert "not encoded" in str(caught.value)


def test_an_imputer_that_leaves_some_missing_labels_to_an_encoder_is_refused() -> None:
    frame = patients()[["job"]]
    frame["job"] = frame["job"].where(frame["job"].notna(), None)
    step = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    with pytest.raises(ModelError) as caught:
        import_sklearn(texts(step, 5, frame))
    assert "Replace None by NaN" in str(caught.value)


def test_categories_that_are_no_labels_are_refused() -> None:
    frame = pd.DataFrame({"when": pd.to_datetime(["2020-01-01", "2021-01-01"])})
    with pytest.raises(ModelError) as caught:
        import_sklearn(texts(OneHotEncoder(), 2, frame))
    assert "neither texts nor numbers" in str(caught.value)


def test_scores_are_those_of_the_plain_model_one_row_at_a_time() -> None:
    frame = patients(60)
    model = fitted(whole(ENCODERS["bits"], lm.Ridge()), frame, frame.dose.to_numpy())
    graph = import_sklearn(model)
    scores = scores_of(graph, frame)
    for row in (0, 17, 59):
        alone = scores_of(graph, frame.iloc[row : row + 1])
        assert np.allclose(alone, scores[row : row + 1], rtol=0, atol=1e-12)
