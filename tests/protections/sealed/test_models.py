"""Models sealed in either way answer as in the clear, through messages as an asker sends them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import xgboost
from onnx_models import in_the_clear, saved_with_external_data, sentences, transformer
from resnet20 import resnet20
from sealed_ends import PACKAGE, Ends
from sklearn.datasets import load_wine
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import strongroom
from strongroom import protections
from strongroom.errors import InputError, ModelError
from strongroom.keys.identity import Identity
from strongroom.keys.store import KeyStore
from strongroom.package.protected import Package

OWNER = Identity.generate("owner")
SEALED = protections.by_name("sealed")


def asked(package: Package, what: Any, ends: Ends | None = None) -> Any:
    """What a package answers, by both of its sides."""
    ends = ends or Ends()
    plan = package.manifest.plan
    server = SEALED.open_server(plan, package.payload, package=PACKAGE, serving=ends.serving)
    client = SEALED.open_client(
        plan, KeyStore.in_memory(), strongroom.Policy(), package=PACKAGE, serving=ends
    )
    pending = client.encrypt(client.encode(what))
    return client.decrypt(pending, server.answer(pending.body))


def labels(package: Package, X: np.ndarray) -> np.ndarray:
    plan = package.manifest.plan
    return plan.output.predict(asked(package, plan.input.rows(X)))


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), LogisticRegression()),
        HistGradientBoostingClassifier(max_iter=20),
    ],
    ids=["linear", "trees"],
)
def test_a_table_model_answers_as_in_the_clear(model: Any) -> None:
    X, y = load_wine(return_X_y=True)
    model.fit(X, y)
    package = strongroom.protect(model, sample=X, protection="sealed", owner=OWNER)
    assert package.manifest.parity.agreement == 1.0
    assert package.manifest.parity.max_score_error < 1e-12
    assert np.array_equal(labels(package, X), model.predict(X))
    assert package.manifest.plan.guarantee.inputs_from_server == "serving-process"


def test_trees_that_are_added_up_in_float32_agree_as_far_as_that_goes() -> None:
    X = np.random.default_rng(0).normal(size=(64, 3))
    model = xgboost.XGBRegressor(n_estimators=20).fit(X, X[:, 0])
    package = strongroom.protect(model, sample=X, protection="sealed", name="trees", owner=OWNER)
    assert package.manifest.parity.agreement == 1.0
    np.testing.assert_allclose(labels(package, X), model.predict(X), rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Constant folding")
def test_a_resnet_20_answers_as_in_the_clear_in_both_ways(tmp_path: Path) -> None:
    module = resnet20()
    images = np.random.default_rng(0).normal(size=(30, 3, 32, 32)).astype(np.float32)
    with torch.no_grad():
        plain = module(torch.from_numpy(images)).numpy()
    of_rows = strongroom.protect(module, sample=images, protection="sealed", owner=OWNER)
    assert of_rows.manifest.parity.agreement == 1.0
    scores = asked(of_rows, of_rows.manifest.plan.input.rows(images))
    assert np.abs(scores - plain).max() <= 1e-4 * np.abs(plain).max()

    path = tmp_path / "resnet20.onnx"
    torch.onnx.export(  # the exporter by traces, whose models are smaller
        module,
        (torch.from_numpy(images[:1]),),
        str(path),
        input_names=["images"],
        output_names=["scores"],
        dynamic_axes={"images": {0: "n"}, "scores": {0: "n"}},
        dynamo=False,
    )
    of_tensors = strongroom.protect(path, protection="sealed", owner=OWNER)
    found = asked(of_tensors, {"images": images})
    clear = in_the_clear(path, {"images": images})
    assert np.allclose(found["scores"], clear["scores"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("way", ["proto", "bytes", "file", "external"])
def test_a_transformer_gives_the_very_same_numbers(way: str, tmp_path: Path) -> None:
    proto = transformer()
    path = tmp_path / "plain.onnx"
    path.write_bytes(proto.SerializeToString())
    source: Any = {
        "proto": proto,
        "bytes": proto.SerializeToString(),
        "file": path,
        "external": saved_with_external_data(proto, tmp_path),
    }[way]
    package = strongroom.protect(
        source, sample=sentences(2, 5), protection="sealed", name="m", owner=OWNER
    )
    assert package.manifest.parity.agreement == 1.0
    assert package.manifest.plan.prediction is None
    for count, length in ((1, 1), (3, 9), (8, 40)):
        inputs = sentences(count, length)
        found, clear = asked(package, inputs), in_the_clear(proto, inputs)
        assert list(found) == ["sentence"]
        assert np.abs(found["sentence"] - clear["sentence"]).max() <= 1e-6
        assert found["sentence"].shape == clear["sentence"].shape


def test_weights_lie_apart_from_the_model() -> None:
    proto = transformer()
    package = strongroom.protect(proto, protection="sealed", name="m", owner=OWNER)
    large = [one for one in proto.graph.initializer if len(one.raw_data) >= 1024]
    segments = [name for name in package.payload if name.startswith("weights/")]
    assert len(segments) == len(large) > 5
    apart = onnx.ModelProto.FromString(bytes(package.payload["model"]))
    assert all(len(one.raw_data) < 1024 for one in apart.graph.initializer)
    for one in large:
        assert one.raw_data not in bytes(package.payload["model"])


def test_what_the_importer_does_not_know_is_refused_as_rows_and_taken_as_tensors() -> None:
    proto = transformer()
    with pytest.raises(ModelError):
        strongroom.protect(proto, sample=np.ones((3, 4)), protection="sealed", owner=OWNER)
    plan = strongroom.plan(proto, protection="sealed")
    assert [spec.name for spec in plan.layout.inputs] == ["ids", "mask"]
    with pytest.raises(ModelError) as caught:
        plan.output  # noqa: B018
    assert caught.value.code == "SR-MODEL-METHOD"


def test_fhe_takes_no_named_tensors() -> None:
    with pytest.raises(ModelError) as caught:
        strongroom.plan(transformer(), protection="fhe")
    assert caught.value.code == "SR-MODEL-UNSUPPORTED"


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "other names"),
        ({"ids": [[1]]}, "other names"),
        ({"ids": [[1]], "mask": [[1]], "more": [1]}, "other names"),
        ({"ids": [[1]], "mask": [1]}, "shape"),
        ({"ids": np.ones((1, 1), "f4"), "mask": [[1]]}, "float32, not int64"),
        ({"ids": [["canary"]], "mask": [[1]]}, "can't be read as int64"),
    ],
    ids=str,
)
def test_tensors_are_checked_before_anything_is_sent(inputs: Any, words: str) -> None:
    package = strongroom.protect(transformer(), protection="sealed", name="m", owner=OWNER)
    with pytest.raises(InputError, match=words) as caught:
        asked(package, inputs)
    assert "canary" not in str(caught.value)


def test_members_are_measured_of_rows_only() -> None:
    with pytest.raises(InputError) as caught:
        strongroom.protect(
            transformer(), protection="sealed", owner=OWNER, members=[[1]], nonmembers=[[2]]
        )
    assert caught.value.code == "SR-INPUT-MEMBERS"
