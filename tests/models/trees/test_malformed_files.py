"""A malformed, huge or cyclic model file is refused within a second and in bounded memory."""

from __future__ import annotations

import copy
import json
import os
import re
import struct
import time
import tracemalloc
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tree_cases import CASES

from strongroom.errors import ModelError
from strongroom.models.trees.importing import import_trees

SECONDS = 1.0
MEGABYTES = 64


def refused(path: Path) -> ModelError:
    """The error for a file, which came in time and without much memory."""
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(ModelError) as caught:
            import_trees(path)
    finally:
        seconds = time.process_time() - start
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert seconds < SECONDS
    assert peak < MEGABYTES * 2**20
    return caught.value


@cache
def saved(name: str, suffix: str) -> bytes:
    model = CASES[name]().model
    if name.startswith("xgboost"):
        return bytes(model.get_booster().save_raw(suffix))
    if name.startswith("lightgbm"):
        text = model.booster_.model_to_string()
        # without the sizes of trees, what is wrong in a tree has to be found there
        return re.sub("tree_sizes=.*\n", "", text).encode()
    path = Path("/dev/shm") / f"catboost-{os.getpid()}.json"
    try:
        model.save_model(str(path), format="json")
        return path.read_bytes()
    finally:
        path.unlink(missing_ok=True)


def first_tree(model: Any) -> Any:
    return model["learner"]["gradient_booster"]["model"]["trees"][0]


def change(*path: Any, to: Any) -> Callable[[Any], None]:
    def apply(model: Any) -> None:
        for step in path[:-1]:
            model = model[step]
        model[path[-1]] = to(model[path[-1]]) if callable(to) else to

    return apply


def drop(*path: Any) -> Callable[[Any], None]:
    def apply(model: Any) -> None:
        for step in path[:-1]:
            model = model[step]
        del model[path[-1]]

    return apply


def deep_chain(model: Any) -> None:
    tree = first_tree(model)
    splits, nodes = 2000, 4001
    tree["left_children"] = [*range(1, splits + 1)] + [-1] * (nodes - splits)
    tree["right_children"] = [*range(splits + 1, nodes)] + [-1] * (nodes - splits)
    for name in ("split_indices", "default_left", "split_type"):
        tree[name] = [0] * nodes
    tree["split_conditions"] = [0.5] * nodes


TREE = ("learner", "gradient_booster", "model", "trees", 0)
PARAMETERS = ("learner", "learner_model_param")
XGBOOST: dict[str, Callable[[Any], None]] = {
    "no learner": drop("learner"),
    "learner is a list": change("learner", to=[]),
    "no trees": drop("learner", "gradient_booster", "model", "trees"),
    "trees are numbers": change("learner", "gradient_booster", "model", "trees", to=[1, 2]),
    "child is its parent": change(*TREE, "left_children", 1, to=0),
    "child is itself": change(*TREE, "left_children", 0, to=0),
    "two parents": change(*TREE, "left_children", 0, to=2),
    "two parents of two levels": change(*TREE, "left_children", to=lambda old: [old[2], *old[1:]]),
    "child is not there": change(*TREE, "right_children", 0, to=10**6),
    "child is far below zero": change(*TREE, "right_children", 0, to=-7),
    "child is a fraction": change(*TREE, "right_children", 0, to=1.5),
    "child is a text": change(*TREE, "right_children", 0, to="1"),
    "child beyond 64 bits": change(*TREE, "right_children", 0, to=2**63),
    "column is not there": change(*TREE, "split_indices", 0, to=5),
    "no nodes": change(*TREE, "left_children", to=[]),
    "lists of different lengths": change(*TREE, "split_conditions", to=lambda old: old[:-1]),
    "threshold is a text": change(*TREE, "split_conditions", 0, to="low"),
    "a list in a list": change(*TREE, "split_conditions", 0, to=[1.0]),
    "leaf beyond float32": change(*TREE, "split_conditions", -1, to=1e300),
    "deeper than any tree": deep_chain,
    "a billion classes": change(*PARAMETERS, "num_class", to="1000000000"),
    "a billion columns": change(*PARAMETERS, "num_feature", to="1000000000"),
    "no columns": change(*PARAMETERS, "num_feature", to="0"),
    "columns are a text": change(*PARAMETERS, "num_feature", to="many"),
    "base score is a text": change(*PARAMETERS, "base_score", to="[high]"),
    "two base scores": change(*PARAMETERS, "base_score", to="[1,2]"),
    "adds to no score": change("learner", "gradient_booster", "model", "tree_info", 0, to=3),
    "names are numbers": change("learner", "feature_names", to=[1, 2, 3, 4, 5]),
    "too few names": change("learner", "feature_names", to=["a"]),
    "categories of no node": change(*TREE, "categories_nodes", to=[0]),
    "no default": drop(*TREE, "default_left"),
}


@pytest.mark.parametrize("name", XGBOOST)
def test_damaged_xgboost_files(name: str, tmp_path: Path) -> None:
    model = json.loads(saved("xgboost regression", "json"))
    XGBOOST[name](model)
    (tmp_path / "model.json").write_text(json.dumps(model))
    assert refused(tmp_path / "model.json").code in ("SR-MODEL-FILE", "SR-MODEL-VALUES")


UNSUPPORTED: dict[str, Callable[[Any], None]] = {
    "reg:unheard_of": change("learner", "objective", "name", to="reg:unheard_of"),
    "gblinear": change("learner", "gradient_booster", "name", to="gblinear"),
    "gbmystery": change("learner", "gradient_booster", "name", to="gbmystery"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_is_not_known_is_refused_by_name(name: str, tmp_path: Path) -> None:
    model = json.loads(saved("xgboost regression", "json"))
    UNSUPPORTED[name](model)
    (tmp_path / "model.json").write_text(json.dumps(model))
    error = refused(tmp_path / "model.json")
    assert error.code == "SR-MODEL-UNSUPPORTED"
    assert name in error.message


def test_a_list_of_categories_beyond_its_end(tmp_path: Path) -> None:
    model = json.loads(saved("xgboost categories, partitions", "json"))
    trees = model["learner"]["gradient_booster"]["model"]["trees"]
    tree = next(tree for tree in trees if tree["categories_sizes"])
    tree["categories_sizes"][0] = 2**40
    (tmp_path / "model.json").write_text(json.dumps(model))
    assert refused(tmp_path / "model.json").code == "SR-MODEL-FILE"


def nothing(data: bytes) -> bytes:
    return b""


def announced(kind: bytes, count: int) -> Callable[[bytes], bytes]:
    """A typed array that announces more than the file holds, in place of everything."""

    def make(data: bytes) -> bytes:
        return b"{L" + struct.pack(">q", 7) + b"learner[$" + kind + b"#L" + struct.pack(">q", count)

    return make


UBJSON: dict[str, Callable[[bytes], bytes]] = {
    "empty": nothing,
    "cut in half": lambda data: data[: len(data) // 2],
    "last byte gone": lambda data: data[:-1],
    "a byte more": lambda data: data + b"}",
    "huge array": announced(b"D", 2**60),
    "array of negative length": announced(b"D", -1),
    "array of nothing": announced(b"Z", 2**60),
    "array of unknown type": announced(b"x", 4),
    "nested": lambda data: b"{i\x07learner" + b"[" * 10**6,
    "text beyond the end": lambda data: b"{i\x07learnerSL" + struct.pack(">q", 2**62),
    "text that is no text": lambda data: b"{i\x07learnerSi\x02\xff\xfe}",
    "length that is a text": lambda data: b"{S\x07learner}",
    "counted list of nulls": lambda data: b"{i\x07learner[#L" + struct.pack(">q", 2**60) + b"Z" * 9,
    "unknown marker": lambda data: b"{i\x07learner?}",
}


@pytest.mark.parametrize("name", UBJSON)
def test_damaged_ubjson(name: str, tmp_path: Path) -> None:
    data = saved("xgboost regression", "ubj")
    (tmp_path / "model.ubj").write_bytes(UBJSON[name](data))
    assert refused(tmp_path / "model.ubj").code == "SR-MODEL-FILE"


def test_any_cut_of_an_ubjson_file_is_refused(tmp_path: Path) -> None:
    data = saved("xgboost regression", "ubj")
    for length in range(0, len(data), 97):
        (tmp_path / "model.ubj").write_bytes(data[:length])
        with pytest.raises(ModelError):
            import_trees(tmp_path / "model.ubj")


def test_any_byte_of_an_ubjson_file_may_flip(tmp_path: Path) -> None:
    """It is refused, or it is another model; nothing else happens."""
    data = saved("xgboost two classes", "ubj")
    random = np.random.default_rng(3)
    outcomes = set()
    for _ in range(150):
        damaged = bytearray(data)
        damaged[random.integers(len(data))] ^= 1 << int(random.integers(8))
        (tmp_path / "model.ubj").write_bytes(damaged)
        outcomes.add(outcome(tmp_path / "model.ubj"))
    assert outcomes <= {"imported", "SR-MODEL-FILE", "SR-MODEL-VALUES", "SR-MODEL-UNSUPPORTED"}
    assert len(outcomes) > 1


def outcome(path: Path) -> str:
    try:
        import_trees(path)
    except ModelError as error:
        return error.code
    return "imported"


def substituted(old: str, new: str) -> Callable[[str], str]:
    def apply(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return apply


def line(name: str, new: str) -> Callable[[str], str]:
    def apply(text: str) -> str:
        start = text.index(f"\n{name}=") + 1
        return text[:start] + f"{name}={new}" + text[text.index("\n", start) :]

    return apply


def all_ones(text: str) -> str:
    words = 200_000
    changed = line("cat_threshold", " ".join(["4294967295"] * words))(text)
    return line("cat_boundaries", f"0 {words}")(changed)


LIGHTGBM: dict[str, Callable[[str], str]] = {
    "other sizes": substituted("\n\nTree=0", "\ntree_sizes=1 1 1 1 1\n\nTree=0"),
    "no end": substituted("end of trees", "and so on"),
    "another version": line("version", "v9"),
    "no version": substituted("version=v4\n", ""),
    "billions of leaves": line("num_leaves", "999999999"),
    "no leaves": line("num_leaves", "0"),
    "leaves are a text": line("num_leaves", "many"),
    "child is itself": line("left_child", "0 1 2 3 4 5 6"),
    "child is not there": line("right_child", "90 91 92 93 94 95 96"),
    "leaf is not there": line("right_child", "-90 -91 -92 -93 -94 -95 -96"),
    "too few children": line("left_child", "1 2"),
    "child is a fraction": line("left_child", "1.5 2 3 4 5 6 7"),
    "column is not there": line("split_feature", "77 0 0 0 0 0 0"),
    "threshold is a text": line("threshold", "a b c d e f g"),
    "threshold is not a number": line("threshold", "nan nan nan nan nan nan nan"),
    "leaf is infinite": line("leaf_value", "inf 0 0 0 0 0 0 0"),
    "a billion columns": line("max_feature_idx", "999999999"),
    "a billion scores": line("num_tree_per_iteration", "999999999"),
    "list of categories is not there": line("decision_type", "1 1 1 1 1 1 1"),
    "lists of categories overlap": line("cat_boundaries", "0 9 2"),
    "categories without end": all_ones,
    "pandas categories are broken": substituted("pandas_categorical:null", "pandas_categorical:[["),
}


@pytest.mark.parametrize("name", LIGHTGBM)
def test_damaged_lightgbm_files(name: str, tmp_path: Path) -> None:
    text = saved("lightgbm categories", "txt").decode()
    (tmp_path / "model.txt").write_text(LIGHTGBM[name](text))
    assert refused(tmp_path / "model.txt").code in ("SR-MODEL-FILE", "SR-MODEL-VALUES")


@pytest.mark.parametrize(
    ("apply", "named"),
    [
        (line("objective", "mystery"), "mystery"),
        (line("is_linear", "1"), "linear_tree=False"),
        (substituted("\nTree=1", "\nTree=1\nx=y"), ""),
    ],
)
def test_lightgbm_files_of_another_kind(
    apply: Callable[[str], str], named: str, tmp_path: Path
) -> None:
    text = saved("lightgbm categories", "txt").decode()
    (tmp_path / "model.txt").write_text(apply(text))
    if named:
        assert named in str(refused(tmp_path / "model.txt"))
    else:  # fields that are not known don't matter
        assert import_trees(tmp_path / "model.txt") is not None


def nested_chain(model: Any) -> None:
    leaf = {"value": 1.0, "weight": 1}
    split = copy.deepcopy(model["oblivious_trees"][0]["splits"][0])
    tree: Any = leaf
    for _ in range(600):
        tree = {"left": tree, "right": leaf, "split": split}
    del model["oblivious_trees"]
    model["trees"] = [tree]


SPLIT = ("oblivious_trees", 0, "splits", 0)
CATBOOST: dict[str, Callable[[Any], None]] = {
    "no information": drop("model_info"),
    "no trees": drop("oblivious_trees"),
    "a feature that is not there": change(*SPLIT, "float_feature_index", to=99),
    "border is a text": change(*SPLIT, "border", to="high"),
    "border is a truth value": change(*SPLIT, "border", to=True),
    "too few leaves": change("oblivious_trees", 0, "leaf_values", to=[1.0]),
    "deeper than its leaves": change("oblivious_trees", 0, "splits", to=lambda old: old * 40),
    "no bias": change("scale_and_bias", to=[1]),
    "bias is a text": change("scale_and_bias", 1, to=["x"]),
    "columns in holes": change(
        "features_info", "float_features", 0, "flat_feature_index", to=10**6
    ),
    "unknown treatment": change(
        "features_info", "float_features", 0, "nan_value_treatment", to="AsYouLike"
    ),
    "nested without end": nested_chain,
}


@pytest.mark.parametrize("name", CATBOOST)
def test_damaged_catboost_files(name: str, tmp_path: Path) -> None:
    model = json.loads(saved("catboost regression", "json"))
    CATBOOST[name](model)
    (tmp_path / "model.json").write_text(json.dumps(model))
    assert refused(tmp_path / "model.json").code == "SR-MODEL-FILE"


@pytest.mark.parametrize(
    ("apply", "named"),
    [
        (change(*SPLIT, "split_type", to="OnlineCtr"), "OnlineCtr"),
        (change("features_info", "categorical_features", to=[{}]), "categorical features"),
        (
            change("model_info", "params", "loss_function", "type", to="PFound"),
            "PFound",
        ),
    ],
)
def test_catboost_files_of_another_kind(
    apply: Callable[[Any], None], named: str, tmp_path: Path
) -> None:
    model = json.loads(saved("catboost regression", "json"))
    features = model["features_info"]
    features.setdefault("categorical_features", [])
    apply(model)
    (tmp_path / "model.json").write_text(json.dumps(model))
    error = refused(tmp_path / "model.json")
    assert error.code == "SR-MODEL-UNSUPPORTED"
    assert named in error.message


def test_labels_that_are_no_labels_are_refused(tmp_path: Path) -> None:
    model = json.loads(saved("catboost two classes", "json"))
    for names in ([["a"], ["b"]], ["a" * 10**4, "b"], ["a", "a"]):
        model["model_info"]["class_params"]["class_names"] = names
        (tmp_path / "model.json").write_text(json.dumps(model))
        assert refused(tmp_path / "model.json").code == "SR-MODEL-FILE"


@pytest.mark.parametrize("suffix", [".json", ".ubj", ".txt"])
def test_a_huge_file_is_not_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    with path.open("wb") as file:
        file.truncate(10 * 2**30)  # sparse: takes no disk
    assert "bytes" in refused(path).message


@pytest.mark.parametrize("text", ["[" * 10**6, '{"learner":' * 10**5, '{"learner": {', "{}", "\0"])
def test_json_that_is_no_model(text: str, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(text)
    assert refused(tmp_path / "model.json").code == "SR-MODEL-FILE"


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    for name in ("pipe.json", "folder.json", "absent.json"):
        assert name in refused(tmp_path / name).message
