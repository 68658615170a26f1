"""Plans of sealed models: what they take and give, what they cost, who sees what."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.plan import Costs, Plan, Prediction, SealedLayout
from strongroom.errors import ModelError, PackageError, StrongroomError
from strongroom.keys.local_serving import NO_PACKAGE, OwnKeys
from strongroom.models.graph import Graph
from strongroom.models.onnx_writer import write_onnx
from strongroom.package.payload import Payload
from strongroom.policy import Policy
from strongroom.protections.interface import ClientSide, Serving
from strongroom.protections.sealed.client_side import RowClient, TensorClient
from strongroom.protections.sealed.external import payload_of
from strongroom.protections.sealed.layout import (
    made_up_inputs,
    row_layout,
    rows_bytes,
    tensor_layout,
)
from strongroom.protections.sealed.message import request_bytes, response_bytes
from strongroom.protections.sealed.server_side import SealedServer
from strongroom.protections.sealed.session import Session
from strongroom.protections.sealed.statement import (
    NAME,
    VISIBLE_OF_TENSORS,
    sealed_guarantee,
    visible_of_rows,
)
from strongroom.protections.sealed.tensors import tensors_from_bytes, tensors_to_bytes

_EXCHANGES: Final = 5
_SCORED_ROWS: Final = 256
_PRECISION_BITS: Final = {"float32": 16, "float64": 40}
"""Bits of the largest score that two ways to add up the same numbers agree in, with room to spare:
24 and 53 bits of the formats, less those that long sums lose. One way is the plain model's: trees
that XGBoost adds up in float32 are added in float64 here."""


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """A plan, and the payload that it is of."""

    plan: Plan
    payload: Payload


def plan_rows(graph: Graph, sample: NDArray[np.float64], policy: Policy) -> Planned:
    """Plan a model of rows.

    Args:
        graph: with trees as they are (`models.trees.whole`).
        sample: shape (n, columns), checked.

    Raises:
        ModelError: SR-MODEL-EXTRA, SR-MODEL-UNSUPPORTED.
    """
    written = write_onnx(graph)
    payload = payload_of(written.model)
    session = _session(payload)
    layout = row_layout(*session.inputs, *session.outputs)
    keys = OwnKeys()
    client = RowClient(layout, graph.features, NO_PACKAGE, keys)
    timed = _timed(session, layout, client, sample[:1], keys)
    features = graph.features.encode(sample[:_SCORED_ROWS])
    (table,), (made,) = session.inputs, session.outputs
    scores = session.run({table.name: features.astype(table.dtype)})[made.name]
    bits = min(_PRECISION_BITS[dtype] for dtype in (made.dtype, graph.input.dtype))
    largest = float(np.abs(scores.astype(np.float64)).max())
    numbers = sum(array.size for array in graph.constants.values())
    return Planned(
        Plan(
            protection=NAME,
            parameters="",
            layout=layout,
            prediction=Prediction(graph.input, graph.features, graph.output),
            guarantee=sealed_guarantee(
                policy.security,
                visible_of_rows(graph.features, graph.input.column_labels()),
                max(1, -(-numbers // graph.output.outputs)),
            ),
            costs=_costs(
                layout,
                payload,
                timed,
                rows_bytes(table, 1),
                rows_bytes(made, 1),
                score_error=largest * 2.0**-bits,
                precision_bits=float(bits),
            ),
        ),
        payload,
    )


def plan_tensors(model: Any, inputs: Mapping[str, Any] | None, policy: Policy) -> Planned:
    """Plan an ONNX model of named tensors, of any size and with any operator that ONNX Runtime has.

    Args:
        model: an `onnx.ModelProto`, its bytes, or the path of a file.
        inputs: tensors that it takes, by name, to run it with; small ones are made up if None.

    Raises:
        ModelError: SR-MODEL-FILE, -EXTRA; SR-MODEL-UNSUPPORTED if ONNX Runtime does not take it, or
            it takes or gives what is no tensor of numbers; SR-MODEL-VALUES if it does not run.
        InputError: SR-INPUT-SHAPE if the inputs are not those that it takes.
    """
    payload = payload_of(model)
    session = _session(payload)
    for spec in (*session.inputs, *session.outputs):
        if not spec.dtype:
            raise ModelError(
                "SR-MODEL-UNSUPPORTED",
                f"the model takes or gives {spec.name[:60]!r}, which is no tensor of numbers",
                "Leave texts, sequences and maps out of the exported model",
            )
    layout = tensor_layout(session.inputs, session.outputs)
    keys = OwnKeys()
    client = TensorClient(layout, NO_PACKAGE, keys)
    asked = made_up_inputs(layout) if inputs is None else inputs
    content = client.encode(asked)
    timed = _timed(session, layout, client, asked, keys)
    answer = session.run(tensors_from_bytes(memoryview(content)))
    numbers = sum(len(segment) for segment in payload.values()) // 4
    outputs = sum(array.size for array in answer.values())
    return Planned(
        Plan(
            protection=NAME,
            parameters="",
            layout=layout,
            prediction=None,
            guarantee=sealed_guarantee(
                policy.security, VISIBLE_OF_TENSORS, max(1, -(-numbers // max(1, outputs)))
            ),
            costs=_costs(
                layout,
                payload,
                timed,
                len(content),
                len(tensors_to_bytes(answer)),
                score_error=0.0,
                precision_bits=0.0,
            ),
        ),
        payload,
    )


@dataclass(frozen=True, slots=True)
class _Timed:
    server_milliseconds: float
    client_milliseconds: float


def _session(payload: Payload) -> Session:
    try:
        return Session(payload, threads=1)
    except PackageError as error:
        raise ModelError(
            "SR-MODEL-UNSUPPORTED",
            "ONNX Runtime does not take the model",
            "Run the plain model with it; it says which operator or type it lacks",
        ) from error


def _timed(
    session: Session,
    layout: SealedLayout,
    client: ClientSide[Any, Any],
    asked: Any,
    keys: OwnKeys,
) -> _Timed:
    """Times of whole exchanges, the first of which makes ONNX Runtime ready and does not count."""
    server = SealedServer(
        session, layout, package=NO_PACKAGE, serving=Serving(keys, keys.now, threads=1)
    )
    at_client, at_server = [], []
    for _ in range(1 + _EXCHANGES):
        encrypting, pending = _clocked(lambda: client.encrypt(client.encode(asked)))
        answering, response = _clocked(partial(server.answer, pending.body))
        try:
            decrypting, _ = _clocked(partial(client.decrypt, pending, response))
        except StrongroomError as error:
            raise ModelError(
                "SR-MODEL-VALUES",
                "the model does not run with the inputs that it was tried with",
                "Pass a sample: tensors that it takes, by name",
            ) from error
        at_client.append(encrypting + decrypting)
        at_server.append(answering)
    return _Timed(median(at_server[1:]), median(at_client[1:]))


def _clocked(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    made = work()
    return 1000.0 * (time.perf_counter() - started), made


def _costs(
    layout: SealedLayout,
    payload: Payload,
    timed: _Timed,
    asked_bytes: int,
    answer_bytes: int,
    *,
    score_error: float,
    precision_bits: float,
) -> Costs:
    """What a plan predicts. A model is in memory twice: as it was opened, and as ONNX Runtime wants
    it; a request is there sealed, opened and as tensors."""
    full = (
        request_bytes(layout.request_content_bytes),
        response_bytes(layout.response_content_bytes),
    )
    return Costs(
        server_milliseconds=timed.server_milliseconds,
        client_milliseconds=timed.client_milliseconds,
        server_peak_bytes=3 * sum(full),
        model_bytes=2 * sum(len(segment) for segment in payload.values()),
        secret_key_bytes=0,
        public_key_bytes=0,
        evaluation_key_bytes=0,
        mapped_key_bytes=0,
        request_bytes=request_bytes(asked_bytes),
        response_bytes=response_bytes(answer_bytes),
        rows_per_request=layout.rows_per_request,
        full_request_bytes=full[0],
        full_response_bytes=full[1],
        score_error=score_error,
        precision_bits=precision_bits,
    )
