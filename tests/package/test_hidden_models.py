"""Whole models protected with their weights encrypted, and asked by their owner."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier
from test_convolutions import network as convolutional_network

import strongroom
from strongroom import protections
from strongroom.compiler.plan import NetworkLayout, OwnerKey
from strongroom.errors import KeyStoreError, PolicyError
from strongroom.keys.model_holder import OwnerHolder
from strongroom.keys.store import KeyStore
from strongroom.package.parity import protected_scores
from strongroom.package.protected import Package
from strongroom.policy import Policy
from strongroom.protections.interface import KeyProvider

HIDE = Policy(hide="model")


def boosted(rows: int = 300) -> tuple[GradientBoostingClassifier, NDArray[np.float64]]:
    """Trees that ask a few questions of six columns."""
    generator = np.random.default_rng(2)
    sample = generator.normal(size=(rows, 6))
    labels = (sample[:, 0] * sample[:, 1] + sample[:, 2] > 0.2).astype(int)
    model = GradientBoostingClassifier(n_estimators=6, max_depth=3, random_state=0)
    return model.fit(sample, labels), sample


def asked(package: Package, keys: KeyProvider, rows: Any) -> NDArray[Any]:
    """What the owner reads."""
    plan = package.manifest.plan
    fhe = protections.by_name("fhe")
    scores = protected_scores(
        fhe, plan, package.payload, plan.input.rows(rows), HIDE, keys=keys, package=package.digest
    )
    return np.asarray(plan.output.predict(scores))


def test_a_boosted_model_is_protected_and_asked_by_its_owner_alone() -> None:
    model, sample = boosted()
    store = KeyStore.in_memory()
    package = strongroom.protect(model, sample=sample, hide="model", holder=OwnerHolder(store))
    plan = package.manifest.plan
    assert package.manifest.parity.agreement == 1.0
    assert isinstance(plan.layout, NetworkLayout)
    assert plan.layout.hidden
    assert isinstance(plan.holder, OwnerKey)
    rows = sample[:40]
    np.testing.assert_array_equal(asked(package, store, rows), model.predict(rows))
    with pytest.raises(KeyStoreError, match="encrypted under key set"):
        asked(package, KeyStore.in_memory(), rows)


def test_the_trial_that_measures_parity_has_a_key_of_its_own() -> None:
    model, sample = boosted()
    store = KeyStore.in_memory()
    package = strongroom.protect(model, sample=sample, hide="model", holder=OwnerHolder(store))
    # Nothing but the holder's key was ever made in the holder's store.
    assert [entry.name for entry in store.entries()] == [package.manifest.plan.parameters]


def test_a_small_convolution_is_hidden_and_answers_as_it_does_plain() -> None:
    random = np.random.default_rng(3)
    model = convolutional_network(random)
    images = random.uniform(0, 1, (30, 1, 8, 8)).astype(np.float32)
    store = KeyStore.in_memory()
    policy = Policy(hide="model", decryption_bits=16, precision_bits=10)
    package = strongroom.protect(model, sample=images, policy=policy, holder=OwnerHolder(store))
    plan = package.manifest.plan
    assert plan.layout.hidden
    scores = protected_scores(
        protections.by_name("fhe"),
        plan,
        package.payload,
        plan.input.rows(images[:6]),
        policy,
        keys=store,
    )
    (plain,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": images[:6]})
    error = plan.costs.score_error
    assert np.abs(plan.output.predict(scores) - plain).max() <= error + 1e-5
    assert plain.std(axis=0).min() > 10 * error  # so the answers say something


def test_a_sealed_model_is_not_said_to_be_hidden() -> None:
    model, sample = boosted()
    with pytest.raises(PolicyError, match="in the clear") as caught:
        strongroom.protect(model, sample=sample, protection="sealed", hide="model")
    assert caught.value.code == "SR-POLICY-VALUE"


def test_what_can_be_hidden_is_the_inputs_or_the_model() -> None:
    with pytest.raises(PolicyError, match="policy field hide"):
        Policy(hide="weights")  # type: ignore[arg-type]
