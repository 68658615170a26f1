"""Both sides of a model in one process, and what counts as agreement."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression

from strongroom.errors import KeyStoreError
from strongroom.models.feature_columns import RowRefused
from strongroom.models.links import Link
from strongroom.models.load import import_model
from strongroom.models.output import OutputSpec
from strongroom.package.parity import agreeing, plain_scores, protected_scores
from strongroom.package.payload import Payload
from strongroom.policy import Policy
from strongroom.protections.interface import KeyNeeds, KeySets, Serving


@dataclass
class Request:
    body: bytes
    rows: NDArray[np.float64]


class TwoSides:
    """A protection that encrypts nothing, takes three rows a request, and may need keys."""

    rows_per_request = 3

    def __init__(self, key_set: Any = None) -> None:
        self.key_set = key_set
        self.packages: list[str] = []
        self.opened: list[KeySets | None] = []

    def open_server(self, plan: Any, payload: Payload, *, package: str, serving: Serving) -> Any:
        self.packages.append(package)
        return self

    def open_client(
        self, plan: Any, keys: Any, policy: Policy, *, package: str, serving: object
    ) -> Any:
        self.packages.append(package)
        assert keys.home is None  # nothing of a throw-away key touches the disk
        return self

    def check(self, rows: NDArray[np.float64]) -> None:
        pass

    def encode(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        assert len(rows) <= self.rows_per_request
        return rows

    def encrypt(self, rows: NDArray[np.float64]) -> Request:
        return Request(rows.tobytes(), rows)

    def answer(self, request: bytes, *, keys: KeySets | None, threads: int) -> bytes:
        self.opened.append(keys)
        return (2.0 * np.frombuffer(request)).tobytes()

    def decrypt(self, pending: Request, response: bytes) -> NDArray[np.float64]:
        return np.frombuffer(response).reshape(pending.rows.shape)


def run(sides: TwoSides, rows: NDArray[np.float64], told: list[int]) -> NDArray[np.float64]:
    plan: Any = SimpleNamespace(output=SimpleNamespace(outputs=rows.shape[1]))
    protection: Any = sides
    return protected_scores(
        protection, plan, {}, rows, Policy(), package="sha256:…", advance=told.append
    )


def test_rows_go_by_full_requests_and_come_back_in_order() -> None:
    rows = np.arange(14.0).reshape(7, 2)
    sides, told = TwoSides(), []
    np.testing.assert_array_equal(run(sides, rows, told), 2.0 * rows)
    assert told == [3, 3, 1]
    assert sides.packages == ["sha256:…", "sha256:…"]
    assert sides.opened == [None, None, None]


def test_a_server_that_needs_keys_gets_one_store_of_the_client_s() -> None:
    needs = KeyNeeds("n12-q104-v1", (), 1)
    sides = TwoSides(SimpleNamespace(identifier=b"mine", needs=needs))
    run(sides, np.ones((5, 1)), [])
    first, second = sides.opened
    assert first is second
    assert first is not None
    with pytest.raises(KeyStoreError):
        first.open(b"another's", needs)


def test_a_refused_answer_names_the_row_of_the_whole_table() -> None:
    class Refusing(TwoSides):
        def decrypt(self, pending: Request, response: bytes) -> NDArray[np.float64]:
            scores = super().decrypt(pending, response)
            if (scores > 10.0).any():
                place = int(np.argmax((scores > 10.0).any(axis=1)))
                raise RowRefused("SR-INPUT-RANGE", place, " is too much", "Give less")
            return scores

    rows = np.arange(16.0).reshape(8, 2)
    with pytest.raises(RowRefused, match=r"row 3 is too much. Give less."):
        run(Refusing(), rows, [])


def test_plain_scores_are_the_imported_model_s_however_many_rows() -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(3000, 4))
    model = LinearRegression().fit(X, random.normal(size=(3000, 2)))
    np.testing.assert_allclose(plain_scores(import_model(model), X), model.predict(X), atol=1e-12)


def test_labels_agree_where_they_are_equal_and_values_where_they_are_close() -> None:
    scores = np.array([[0.2], [-0.2], [0.3]])
    methods: tuple[Any, ...] = ("predict",)
    labels = OutputSpec("classification", "identity", 1, ("no", "yes"), "<U3", False, methods)
    found = agreeing(labels, scores, np.array(["yes", "yes", "no"]), score_error=1.0)
    assert found.tolist() == [True, False, False]
    one = OutputSpec("regression", "identity", 1, (), "<f8", True, methods)
    found = agreeing(one, scores, np.array([0.25, -0.2, 0.5]), score_error=0.1)
    assert found.tolist() == [True, True, False]
    two = OutputSpec("regression", "identity", 2, (), "<f8", False, methods)
    pairs, plain = np.zeros((2, 2)), np.array([[0.0, 0.2], [0.05, -0.05]])
    assert agreeing(two, pairs, plain, score_error=0.1).tolist() == [False, True]


@pytest.mark.parametrize("link", ["exp", "softplus", "signed_square", "logistic_each", "softmax"])
def test_values_behind_a_link_agree_as_far_as_their_scores_do(link: Link) -> None:
    output = OutputSpec("regression", link, 2, (), "<f8", False, ("predict",), link_scale=0.5)
    scores = np.random.default_rng(0).normal(size=(200, 2))
    shift = np.array([[1e-3, -1e-3]])
    plain = output.predict(scores + 0.9 * shift)
    assert agreeing(output, scores, plain, score_error=1e-3).all()
    far = output.predict(scores + 40.0 * shift)
    assert not agreeing(output, scores, far, score_error=1e-3).any()
