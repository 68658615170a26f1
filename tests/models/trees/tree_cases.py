"""Small models of every framework and option, with rows to ask about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import catboost as cb
import lightgbm as lgb
import numpy as np
import pandas as pd
import xgboost as xgb
from sklearn import ensemble, tree
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeRegressor

ROWS = 240
COLUMNS = 5
CATEGORY = 3
"""The column that holds small integers, for categories."""


@cache
def table() -> np.ndarray:
    """Five columns: normal, rounded to a decimal, counts, categories, and mostly zeros."""
    random = np.random.default_rng(7)
    X = random.normal(size=(ROWS, COLUMNS))
    X[:, 1] = X[:, 1].round(1)
    X[:, 2] = random.poisson(3.0, ROWS)
    X[:, CATEGORY] = random.integers(0, 9, ROWS)
    X[random.random(ROWS) < 0.6, 4] = 0.0
    return X


@cache
def with_missing() -> np.ndarray:
    X = table().copy()
    X[np.random.default_rng(8).random(X.shape) < 0.15] = np.nan
    return X


def frame(X: np.ndarray) -> pd.DataFrame:
    """Text categories and integer categories, as pandas has them."""
    made = pd.DataFrame(X, columns=list("abcde"))
    labels = np.array(["blue", "green", "grey", "red", "teal", "white", "x", "y", "z"])
    codes = np.nan_to_num(X[:, CATEGORY]).astype(int)
    made["d"] = pd.Categorical(np.where(np.isnan(X[:, CATEGORY]), None, labels[codes]))
    return made


@cache
def target() -> np.ndarray:
    X = table()
    noise = np.random.default_rng(9).normal(size=ROWS)
    return X[:, 0] * 2 + np.isin(X[:, CATEGORY], [1, 4, 7]) * 3 + (X[:, 4] > 0) + 0.3 * noise


def binary(kind: str = "int") -> np.ndarray:
    y = (target() > np.median(target())).astype(int)
    return {
        "int": y,
        "text": np.array(["yes", "no"])[y],
        "float": y - 0.5,
        "bool": y.astype(bool),
        "object": np.array(["yes", "no"], dtype=object)[y],
        "int8": (y * 3).astype(np.int8),
    }[kind]


def several() -> np.ndarray:
    return np.digitize(target(), np.quantile(target(), [0.3, 0.7]))


def positive() -> np.ndarray:
    return np.exp(target() / 4)


@dataclass(frozen=True)
class Case:
    """A fitted model.

    Attributes:
        model: the object.
        X: what it was fitted on.
        tolerance: of scores and probabilities: float32 frameworks add up in float32.
        missing: whether rows may lack values.
        categories: columns of categories.
        frame: whether it takes pandas frames with the category column as text.
    """

    model: Any
    X: np.ndarray
    tolerance: float = 1e-9
    missing: bool = False
    categories: tuple[int, ...] = ()
    frame: bool = False


CASES: dict[str, Callable[[], Case]] = {}


def case(name: str) -> Callable[[Callable[[], Case]], Callable[[], Case]]:
    def keep(make: Callable[[], Case]) -> Callable[[], Case]:
        CASES[name] = cache(make)
        return make

    return keep


def sklearn(name: str, model: Any, y: Callable[[], Any], nan: bool = False, **more: Any) -> None:
    def make() -> Case:
        X = with_missing() if nan else table()
        return Case(model.fit(X, y()), X, missing=nan, **more)

    CASES[f"sklearn {name}"] = cache(make)


def two_targets() -> np.ndarray:
    return np.stack([target(), positive()], axis=1)


sklearn("tree, two classes", DecisionTreeClassifier(max_depth=5, random_state=0), binary)
sklearn("tree, labels are texts", DecisionTreeClassifier(max_depth=3), lambda: binary("text"))
sklearn("tree, labels are objects", DecisionTreeClassifier(max_depth=3), lambda: binary("object"))
sklearn(
    "tree, labels are truth values", DecisionTreeClassifier(max_depth=2), lambda: binary("bool")
)
sklearn("tree, small integers", DecisionTreeClassifier(max_depth=2), lambda: binary("int8"))
sklearn("tree, full depth", DecisionTreeClassifier(random_state=0), several)
sklearn("tree, best first", DecisionTreeClassifier(max_leaf_nodes=9, random_state=0), several)
sklearn(
    "tree, class weights", DecisionTreeClassifier(max_depth=4, class_weight="balanced"), several
)
sklearn("tree, entropy", DecisionTreeClassifier(max_depth=4, criterion="entropy"), several)
sklearn("tree, missing", DecisionTreeClassifier(max_depth=5, random_state=0), binary, nan=True)
sklearn("tree, regression", DecisionTreeRegressor(max_depth=5, random_state=0), target)
sklearn("tree, missing regression", DecisionTreeRegressor(max_depth=5), target, nan=True)
sklearn("tree, two targets", DecisionTreeRegressor(max_depth=4), two_targets)
sklearn(
    "tree, absolute error", DecisionTreeRegressor(max_depth=3, criterion="absolute_error"), target
)
sklearn("tree, pruned", DecisionTreeRegressor(ccp_alpha=0.05, random_state=0), target)
sklearn(
    "tree, monotonic", DecisionTreeRegressor(max_depth=3, monotonic_cst=[1, 0, 0, 0, 0]), target
)
sklearn("extra tree", tree.ExtraTreeClassifier(max_depth=5, random_state=0), several)
sklearn("extra tree, regression", ExtraTreeRegressor(max_depth=5, random_state=0), target)
FEW = {"n_estimators": 6, "random_state": 0}
sklearn("forest", ensemble.RandomForestClassifier(max_depth=4, **FEW), binary)
sklearn("forest, full depth", ensemble.RandomForestClassifier(**FEW), binary)
sklearn("forest, classes", ensemble.RandomForestClassifier(max_depth=5, **FEW), several)
sklearn("forest, missing", ensemble.RandomForestClassifier(max_depth=5, **FEW), several, nan=True)
sklearn("forest, regression", ensemble.RandomForestRegressor(max_depth=4, **FEW), target)
sklearn("forest, two targets", ensemble.RandomForestRegressor(max_depth=3, **FEW), two_targets)
sklearn(
    "forest, missing regression", ensemble.RandomForestRegressor(max_depth=4, **FEW), target, True
)
sklearn("extra forest", ensemble.ExtraTreesClassifier(max_depth=4, **FEW), several)
sklearn("extra forest, missing", ensemble.ExtraTreesClassifier(max_depth=4, **FEW), binary, True)
sklearn("extra forest, regression", ensemble.ExtraTreesRegressor(max_depth=4, **FEW), target)
sklearn("gradient", ensemble.GradientBoostingClassifier(**FEW), binary)
sklearn("gradient, classes", ensemble.GradientBoostingClassifier(max_depth=2, **FEW), several)
sklearn(
    "gradient, exponential", ensemble.GradientBoostingClassifier(loss="exponential", **FEW), binary
)
sklearn("gradient, from zero", ensemble.GradientBoostingClassifier(init="zero", **FEW), several)
sklearn("gradient, regression", ensemble.GradientBoostingRegressor(**FEW), target)
sklearn("gradient, huber", ensemble.GradientBoostingRegressor(loss="huber", **FEW), target)
sklearn("gradient, quantile", ensemble.GradientBoostingRegressor(loss="quantile", **FEW), target)
sklearn("gradient, from zero, regression", ensemble.GradientBoostingRegressor(init="zero"), target)
BINS = {"max_iter": 6, "min_samples_leaf": 8, "random_state": 0}
sklearn("histogram", ensemble.HistGradientBoostingClassifier(**BINS), binary)
sklearn("histogram, classes", ensemble.HistGradientBoostingClassifier(**BINS), several)
sklearn("histogram, missing", ensemble.HistGradientBoostingClassifier(**BINS), several, nan=True)
sklearn(
    "histogram, categories",
    ensemble.HistGradientBoostingClassifier(categorical_features=[CATEGORY], **BINS),
    binary,
    categories=(CATEGORY,),
)
sklearn(
    "histogram, categories and missing",
    ensemble.HistGradientBoostingRegressor(categorical_features=[2, CATEGORY], **BINS),
    target,
    nan=True,
    categories=(2, CATEGORY),
)
sklearn("histogram, regression", ensemble.HistGradientBoostingRegressor(**BINS), target)
sklearn(
    "histogram, missing regression", ensemble.HistGradientBoostingRegressor(**BINS), target, True
)
for loss in ("absolute_error", "poisson", "gamma"):
    sklearn(
        f"histogram, {loss}", ensemble.HistGradientBoostingRegressor(loss=loss, **BINS), positive
    )
sklearn("adaptive, stumps", ensemble.AdaBoostClassifier(n_estimators=12, random_state=0), binary)
sklearn(
    "adaptive, classes",
    ensemble.AdaBoostClassifier(DecisionTreeClassifier(max_depth=2), n_estimators=5),
    several,
)
sklearn("isolation", ensemble.IsolationForest(n_estimators=8, random_state=0), lambda: None)
sklearn(
    "isolation, some columns and rows",
    ensemble.IsolationForest(
        n_estimators=8, max_samples=64, max_features=3, contamination=0.1, random_state=0
    ),
    lambda: None,
)
sklearn(
    "bagging",
    ensemble.BaggingClassifier(DecisionTreeClassifier(max_depth=3), 5, random_state=0),
    lambda: binary("text"),
)
sklearn(
    "bagging, some columns",
    ensemble.BaggingClassifier(
        DecisionTreeClassifier(max_depth=3), 5, max_features=0.6, random_state=0
    ),
    several,
)
sklearn(
    "bagging, regression",
    ensemble.BaggingRegressor(DecisionTreeRegressor(max_depth=3), 5, random_state=0),
    target,
)


@case("sklearn histogram, text categories")
def _() -> Case:
    model = ensemble.HistGradientBoostingClassifier(categorical_features="from_dtype", **BINS)
    X = with_missing()
    return Case(model.fit(frame(X), binary()), X, missing=True, categories=(3,), frame=True)


def xgboost(
    name: str,
    y: Callable[[], Any],
    kind: type = xgb.XGBRegressor,
    nan: bool = True,
    **options: Any,
) -> None:
    def make() -> Case:
        X = with_missing() if nan else table()
        model = kind(**({"n_estimators": 5, "max_depth": 3, "n_jobs": 1} | options))
        extra = {}
        if kind is xgb.XGBRanker:
            extra["qid"] = np.arange(ROWS) // 20
        types = options.get("feature_types", [])
        categories = tuple(place for place, kind in enumerate(types) if kind == "c")
        return Case(
            model.fit(X, y(), **extra), X, tolerance=3e-6, missing=True, categories=categories
        )

    CASES[f"xgboost {name}"] = cache(make)


CODES = {"feature_types": ["q", "q", "q", "c", "q"], "enable_categorical": True}
xgboost("regression", target)
xgboost("regression, complete rows", target, nan=False)
xgboost("two classes", binary, xgb.XGBClassifier)
xgboost("classes", several, xgb.XGBClassifier)
xgboost("softmax", several, xgb.XGBClassifier, objective="multi:softmax")
xgboost("hinge", binary, xgb.XGBClassifier, objective="binary:hinge")
xgboost("categories, one hot", target, max_cat_to_onehot=100, **CODES)
xgboost("categories, partitions", target, max_cat_to_onehot=1, **CODES)
xgboost("dart", target, booster="dart", rate_drop=0.5)
xgboost("forest", target, xgb.XGBRFRegressor)
xgboost("forest, classes", several, xgb.XGBRFClassifier)
xgboost("parallel trees", binary, xgb.XGBClassifier, num_parallel_tree=2)
xgboost("leaf-wise", target, grow_policy="lossguide", max_leaves=6, max_depth=0)
xgboost("exact", target, tree_method="exact")
xgboost("approx", target, tree_method="approx")
xgboost("base score", target, base_score=2.5)
xgboost("ranking", lambda: several(), xgb.XGBRanker, objective="rank:ndcg")
xgboost("monotone", target, monotone_constraints=(1, 0, 0, 0, 0))
xgboost("missing is a number", target, nan=False, missing=0.0)
xgboost("two targets", two_targets)
xgboost("two targets, one tree", two_targets, multi_strategy="multi_output_tree")
for objective in ("count:poisson", "reg:gamma", "reg:tweedie", "reg:absoluteerror"):
    xgboost(objective, positive, objective=objective)
xgboost("reg:logistic", lambda: positive() / positive().max(), objective="reg:logistic")
xgboost("reg:quantileerror", target, objective="reg:quantileerror", quantile_alpha=0.3)


def stopped_early(name: str, y: Callable[[], np.ndarray], **options: Any) -> None:
    def make() -> Case:
        X, labels = with_missing(), y()
        model = xgb.XGBClassifier(
            n_estimators=40, early_stopping_rounds=2, max_depth=3, n_jobs=1, **options
        )
        model.fit(X[:160], labels[:160], eval_set=[(X[160:], labels[160:])], verbose=False)
        assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
        return Case(model, X, tolerance=3e-6, missing=True)

    CASES[f"xgboost early stopping{name}"] = cache(make)


stopped_early("", binary)
stopped_early(" of parallel trees", several, num_parallel_tree=2)
stopped_early(" of vectors", several, multi_strategy="multi_output_tree")


@case("xgboost pandas categories")
def _() -> Case:
    model = xgb.XGBClassifier(n_estimators=5, max_depth=3, n_jobs=1, enable_categorical=True)
    X = with_missing()
    return Case(model.fit(frame(X), binary()), X, 3e-6, True, categories=(3,), frame=True)


def lightgbm(
    name: str, y: Callable[[], Any], kind: type = lgb.LGBMRegressor, nan: bool = True, **more: Any
) -> None:
    def make() -> Case:
        X = with_missing() if nan else table()
        options = {"n_estimators": 5, "num_leaves": 8, "min_child_samples": 5, "n_jobs": 1}
        model = kind(**(options | {"verbose": -1, "min_data_per_group": 5} | more))
        extra: dict[str, Any] = {}
        categories = more.get("categorical_feature", ())
        if kind is lgb.LGBMRanker:
            extra["group"] = np.full(ROWS // 20, 20)
        if categories:
            extra["categorical_feature"] = list(categories)
        return Case(model.fit(X, y(), **extra), X, missing=True, categories=tuple(categories))

    CASES[f"lightgbm {name}"] = cache(make)


lightgbm("regression", target)
lightgbm("regression, complete rows", target, nan=False)
lightgbm("two classes", lambda: binary("text"), lgb.LGBMClassifier)
lightgbm("classes", several, lgb.LGBMClassifier)
lightgbm("one against all", several, lgb.LGBMClassifier, objective="multiclassova")
lightgbm("sigmoid", binary, lgb.LGBMClassifier, sigmoid=2.0)
lightgbm("zero is missing", target, zero_as_missing=True)
lightgbm("zero is missing, complete rows", target, nan=False, zero_as_missing=True)
lightgbm("missing not used", target, use_missing=False)
lightgbm("categories", target, categorical_feature=(CATEGORY,), max_cat_to_onehot=1)
lightgbm("categories, one hot", target, categorical_feature=(CATEGORY,), max_cat_to_onehot=50)
lightgbm("dart", binary, lgb.LGBMClassifier, boosting_type="dart")
FOREST = {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}
lightgbm("forest", target, **FOREST)
lightgbm("forest, two classes", binary, lgb.LGBMClassifier, **FOREST)
lightgbm("forest, classes", several, lgb.LGBMClassifier, **FOREST)
lightgbm("goss", target, data_sample_strategy="goss")
lightgbm("extra trees", target, extra_trees=True)
lightgbm("ranking", lambda: several(), lgb.LGBMRanker)
lightgbm("square root", target, reg_sqrt=True)
for objective in ("poisson", "gamma", "tweedie", "regression_l1", "huber", "quantile", "mape"):
    lightgbm(objective, positive, objective=objective)
for objective in ("cross_entropy", "cross_entropy_lambda"):
    lightgbm(objective, lambda: positive() / positive().max(), objective=objective)


@case("lightgbm pandas categories")
def _() -> Case:
    options = {"n_estimators": 5, "num_leaves": 8, "min_child_samples": 5, "n_jobs": 1}
    model = lgb.LGBMClassifier(verbose=-1, min_data_per_group=5, **options)
    X = with_missing()
    return Case(model.fit(frame(X), binary()), X, missing=True, categories=(3,), frame=True)


def catboost(
    name: str,
    y: Callable[[], Any],
    kind: type = cb.CatBoostRegressor,
    nan: bool = True,
    **more: Any,
) -> None:
    def make() -> Case:
        X = with_missing() if nan else table()
        options = {"iterations": 5, "depth": 3, "thread_count": 1, "verbose": 0, "border_count": 16}
        extra = {"group_id": np.arange(ROWS) // 20} if kind is cb.CatBoostRanker else {}
        model = kind(**(options | {"allow_writing_files": False, "random_seed": 0} | more))
        return Case(model.fit(X, y(), **extra), X, missing=nan)

    CASES[f"catboost {name}"] = cache(make)


catboost("regression", target)
catboost("regression, complete rows", target, nan=False)
catboost("missing above", target, nan_mode="Max")
catboost("two classes", lambda: binary("text"), cb.CatBoostClassifier)
catboost("truth values", lambda: binary("bool"), cb.CatBoostClassifier)
catboost("classes", several, cb.CatBoostClassifier)
catboost("one against all", several, cb.CatBoostClassifier, loss_function="MultiClassOneVsAll")
catboost("depth-wise", target, grow_policy="Depthwise")
catboost("leaf-wise", several, cb.CatBoostClassifier, grow_policy="Lossguide")
catboost("poisson", positive, loss_function="Poisson")
catboost("quantile", target, loss_function="Quantile:alpha=0.3")
catboost("two targets", two_targets, loss_function="MultiRMSE")
catboost("ranking", lambda: several(), cb.CatBoostRanker)
