"""Servers in memory of sealed models: the protection's own server side, under a host's keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import onnx
from fake_server import URL, FakeServer, streamed
from model_owner import OWNER
from onnx import TensorProto, helper
from served_proofs import package_of

from strongroom.client.client import Client
from strongroom.compiler.plan import Plan
from strongroom.keys.serving import ServingSecrets
from strongroom.keys.store import KeyStore
from strongroom.package.payload import Payload
from strongroom.policy import Policy
from strongroom.protections.interface import Serving
from strongroom.protections.sealed.protection import SealedProtection


def two_tensors() -> onnx.ModelProto:
    """Named tensors: total = a + b row by row, most = the largest of a, as integers."""
    number = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Add", ["a", "b"], ["total"]),
        helper.make_node("ReduceMax", ["a"], ["largest"], keepdims=0),
        helper.make_node("Cast", ["largest"], ["most"], to=TensorProto.INT64),
    ]
    graph = helper.make_graph(
        nodes,
        "two",
        [number("a", TensorProto.FLOAT, ["n", 2]), number("b", TensorProto.FLOAT, ["n", 2])],
        [number("total", TensorProto.FLOAT, ["n", 2]), number("most", TensorProto.INT64, [])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class SealedServer(FakeServer):
    """Answers as a serving process would, and knows each request again."""

    def __init__(self, plan: Plan, payload: Payload) -> None:
        super().__init__(package_of(plan=plan, payload=payload))
        self.known: dict[str, ServingSecrets] = {}
        self.seen_requests: set[str] = set()
        self._side = SealedProtection().open_server(
            plan,
            payload,
            package=self.package.digest,
            serving=Serving(self, lambda: datetime.now(UTC), 1),
        )
        self.answers = lambda content: self._side.answer(content)

    def opening_key(self, key_id: str, /) -> ServingSecrets | None:
        """The present key, and no other."""
        secrets = self.host.secrets
        return secrets if secrets.key_id == key_id else None

    def seen(self, request_id: str, expires: datetime, /) -> bool:
        again = request_id in self.seen_requests
        self.seen_requests.add(request_id)
        return again

    def connect(self, **options: Any) -> Client:
        return Client(URL, **self.settings() | options)

    def settings(self) -> dict[str, Any]:
        """What opens a client, or a transport."""
        return {
            "model": "m",
            "trust": OWNER.public,
            "keys": KeyStore.in_memory(),
            "transport": httpx.MockTransport(streamed(self.handle)),
        }


def tensor_server() -> SealedServer:
    """Of `two_tensors`."""
    (candidate,) = SealedProtection().tensor_candidates(two_tensors(), None, Policy())
    return SealedServer(candidate.plan, candidate.payload())


def row_server(model: Any, X: np.ndarray[Any, Any]) -> SealedServer:
    """Of a fitted estimator of scikit-learn."""
    from strongroom.models.load import import_model

    graph = import_model(model, sample=X)
    (candidate,) = SealedProtection().candidates(graph, graph.input.rows(X), Policy())
    return SealedServer(candidate.plan, candidate.payload())
