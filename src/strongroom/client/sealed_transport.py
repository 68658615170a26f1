"""SealedTransport: sealed models for people with their own httpx code.

    transport = strongroom.SealedTransport(url, model="tumour", trust="owner.pub", token=token)
    with httpx.Client(transport=transport) as http:
        answer = http.post(f"{url}/v2/models/tumour/infer", json={"inputs": [...]})

It takes the requests of the Open Inference Protocol V2 that one would send to a plain server, seals
their tensors, asks, and answers as the plain server would. The rules:

1. Nothing passes through. A request to infer from this model is answered, and one for its metadata;
   whatever else is asked, another machine, model, path or method, raises SR-REQUEST-FORMAT and is
   sent nowhere.
2. Of a request only what was sealed leaves: no header, identifier or parameter of the caller's goes
   along.
3. The metadata are answered here, from the verified package.
4. What a plain server says of a request with an error status is said so: tensors that the model
   does not take, and the model's own errors. Failures of trust, of sealing and of the way to the
   server raise `StrongroomError`, so that none of them is taken for an answer.

A model of named tensors takes and gives these. A model of rows takes one tensor, of any name, and
gives what it is asked for: "predict" (if nothing is), "predict_proba", "decision_function". With
`receipts=True` each answer has a parameter `receipt`, of one receipt a line.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Final

import httpx
import numpy as np
from numpy.typing import NDArray

from strongroom.client.address import checked_url
from strongroom.client.client import Client
from strongroom.client.v2 import HEADER_LENGTH
from strongroom.client.v2_tensors import (
    Scalar,
    TensorRequest,
    datatype_of,
    decode_request,
    encode_response,
    malformed,
)
from strongroom.compiler.plan import SealedLayout, TensorSpec
from strongroom.errors import InputError, ModelError, PolicyError, ServerError, StrongroomError
from strongroom.policy import Policy
from strongroom.protections.interface import KeyProvider
from strongroom.receipts.proof import Trust

_DEFAULT_POLICY: Final = Policy()
_PREDICT: Final = "predict"
_ROWS: Final = "rows"
_OF_THE_REQUEST: Final = ("SR-INPUT-", "SR-MODEL-")
"""Codes of what a plain server would answer with an error status."""


class SealedTransport(httpx.BaseTransport):
    """A transport for `httpx.Client` that asks one sealed model. Safe for threads, which take
    turns: for exchanges side by side, one transport each.

    Args:
        url, model, trust, token, policy, keys, receipts, ca, timeout_seconds: see `Client`.
        transport: replaces the network, for tests.

    Raises:
        PolicyError: SR-PLAN-INVALID if the model is not sealed.
        ServerError, PackageError, PolicyError, KeyStoreError: see `Client`.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str,
        trust: Trust,
        token: str | None = None,
        policy: Policy = _DEFAULT_POLICY,
        keys: KeyProvider | None = None,
        receipts: bool = False,
        ca: str | os.PathLike[str] | None = None,
        timeout_seconds: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self._receipts = receipts
        self._client = Client(
            url,
            model=model,
            trust=trust,
            token=token,
            policy=policy,
            keys=keys,
            receipts=receipts,
            ca=ca,
            timeout_seconds=timeout_seconds,
            progress=False,
            transport=transport,
        )
        layout = self._client.plan.layout
        if not isinstance(layout, SealedLayout):
            self._client.close()
            raise PolicyError(
                "SR-PLAN-INVALID",
                f"model {model} is protected by {self._client.plan.protection}, not sealed",
                "Ask it with strongroom.Client",
            )
        self._layout: Final = layout
        self._base: Final = httpx.URL(checked_url(url))
        self._paths: Final = _paths(self._base, model, self._client.manifest.version)

    def __repr__(self) -> str:
        return f"SealedTransport({self._client!r})"

    @property
    def client(self) -> Client:
        """What asks: its plan, guarantee, owner and server."""
        return self._client

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a plain V2 request.

        Raises:
            ServerError: SR-REQUEST-FORMAT for anything but this model's inference and metadata.
            StrongroomError: see the rules above.
        """
        url = request.url
        if (url.scheme, url.host, url.port) != (
            self._base.scheme,
            self._base.host,
            self._base.port,
        ):
            raise _elsewhere(f"a request to {url.host}")
        path = url.raw_path.decode("ascii", "replace")
        if request.method == "GET" and path in self._paths:
            return httpx.Response(200, json=self._metadata(), request=request)
        model, _, action = path.rpartition("/")
        if request.method != "POST" or action != "infer" or model not in self._paths:
            raise _elsewhere(f"{request.method} {path[:200]!a}")
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise _elsewhere("a compressed request")
        try:
            asked = decode_request(request.read(), request.headers.get(HEADER_LENGTH))
        except ServerError as error:
            return _refusal(error, request)
        try:
            content, headers = self._answer(asked)
        except StrongroomError as error:
            own = isinstance(error, InputError | ModelError) or error.code == "SR-REQUEST-FORMAT"
            if not own and not error.code.startswith(_OF_THE_REQUEST):
                raise
            return _refusal(error, request)
        return httpx.Response(200, headers=headers, content=content, request=request)

    def _answer(self, asked: TensorRequest) -> tuple[bytes, dict[str, str]]:
        client, manifest = self._client, self._client.manifest
        if asked.receipt and not self._receipts:
            raise malformed("receipts are given by a transport that is opened with receipts=True")
        parameters: dict[str, Scalar] = {"package_digest": client.package_digest}
        with self._lock:
            by_rows = manifest.plan.prediction is not None
            outputs = self._of_rows(asked) if by_rows else client.infer(asked.inputs)
            if self._receipts:
                parameters["receipt"] = "\n".join(receipt.text for receipt in client.receipts)
        return encode_response(manifest.name, manifest.version, asked, outputs, parameters)

    def _of_rows(self, asked: TensorRequest) -> dict[str, NDArray[Any]]:
        if len(asked.inputs) != 1:
            raise malformed(f"the request has {len(asked.inputs)} inputs, the model takes one")
        (rows,) = asked.inputs.values()
        output = self._client.plan.output
        ways: dict[str, Callable[[NDArray[np.float64]], NDArray[Any]]] = {
            method: getattr(output, method) for method in output.methods
        }
        names = list(asked.outputs or (_PREDICT,))
        for name in names:
            if name not in ways:
                raise malformed(f"the model has no output {name[:64]!r}")
        scores = self._client.scores(rows)
        return {name: _as_tensor(ways[name](scores)) for name in names}

    def _metadata(self) -> dict[str, Any]:
        manifest = self._client.manifest
        if manifest.plan.prediction is None:
            inputs = [_described(spec) for spec in self._layout.inputs]
            outputs = [_described(spec) for spec in self._layout.outputs]
        else:
            columns, output = manifest.plan.input.columns, manifest.plan.output
            example = np.zeros((1, output.outputs))
            inputs = [{"name": _ROWS, "datatype": "FP64", "shape": [-1, columns]}]
            outputs = [
                {
                    "name": method,
                    "datatype": datatype_of(made.dtype),
                    "shape": [-1, *made.shape[1:]],
                }
                for method in output.methods
                for made in (_as_tensor(getattr(output, method)(example)),)
            ]
        return {
            "name": manifest.name,
            "versions": [manifest.version],
            "platform": f"strongroom_{manifest.protection}",
            "inputs": inputs,
            "outputs": outputs,
        }


def _described(spec: TensorSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "datatype": datatype_of(np.dtype(spec.dtype)),
        "shape": [-1 if size is None else size for size in spec.shape],
    }


def _as_tensor(values: NDArray[Any]) -> NDArray[Any]:
    """Labels that are Python objects become texts."""
    return values.astype(str) if values.dtype.kind == "O" else values


def _paths(base: httpx.URL, model: str, version: str) -> frozenset[str]:
    """Of the model, exactly as they stand in a request."""
    path = base.raw_path.decode("ascii").rstrip("/") + f"/v2/models/{model}"
    return frozenset((path, f"{path}/versions/{version}"))


def _refusal(error: StrongroomError, request: httpx.Request) -> httpx.Response:
    """What a plain server would answer."""
    body = {"error": str(error), "code": error.code}
    return httpx.Response(400, json=body, request=request)


def _elsewhere(what: str) -> ServerError:
    return ServerError(
        "SR-REQUEST-FORMAT",
        f"{what} is not sent: this transport asks its one model, and seals what it sends",
        "Post to /v2/models/NAME/infer of the server and model that it was opened for",
        http_status=400,
    )
