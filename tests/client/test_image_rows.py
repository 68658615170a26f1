"""A client of an image model takes images in their shape, or flat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from served_proofs import package_of

from strongroom import Client
from strongroom.errors import InputError
from strongroom.models.features import Features
from strongroom.models.rows import InputSpec
from strongroom.package.protected import Package


@pytest.fixture
def package(package: Package) -> Package:
    """The same model, of images of one channel and two pixels."""
    plan = package.manifest.plan
    columns = plan.input.columns
    spec = InputSpec(columns, (), "float64", shape=(1, 1, columns))
    prediction = msgspec.structs.replace(
        plan.prediction, input=spec, features=Features.plain(columns)
    )
    return package_of(plan=msgspec.structs.replace(plan, prediction=prediction))


def test_images_and_flat_rows_are_answered_alike(
    connect: Callable[..., Client], server: Any
) -> None:
    columns = server.package.manifest.plan.input.columns
    X: Any = np.random.default_rng(0).normal(size=(4, 1, 1, columns))
    with connect() as client:
        flat = client.predict(X.reshape(4, columns))
        np.testing.assert_array_equal(client.predict(X), flat)
        with pytest.raises(InputError, match=r"the model takes \(n, 1, 1, "):
            client.predict(X[0])
