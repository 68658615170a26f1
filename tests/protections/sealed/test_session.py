"""A session runs what its payload holds and nothing else, and says nothing of what it computes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx_models import model, sentences, transformer, value
from test_external import external

from strongroom.canonical import canonical_json
from strongroom.errors import ModelError, PackageError
from strongroom.package.payload import Payload
from strongroom.protections.sealed.external import payload_of
from strongroom.protections.sealed.session import Session

CANARY = 918_273


def damaged(payload: Payload, **segments: bytes | None) -> dict[str, Any]:
    changed: dict[str, Any] = {**payload}
    for name, body in segments.items():
        name = name.replace("_", "/")
        if body is None:
            del changed[name]
        else:
            changed[name] = body
    return changed


def test_a_payload_is_the_model_its_list_and_its_weights() -> None:
    payload = payload_of(transformer())
    first = b'{"dims":[1],"name":"w","segment":"model","type":1}'
    for wrong in (
        {},
        damaged(payload, tensors=None),
        damaged(payload, tensors=b"{}"),
        damaged(payload, tensors=b"[]"),
        damaged(payload, tensors=b"[" + first + b"]"),
        damaged(payload, weights_0=None),
        damaged(payload, weights_0=bytes(payload["weights/0"])[:-4]),
        damaged(payload, weights_99=b"more"),
        damaged(payload, model=b"no model"),
        damaged(payload, model=b""),
        damaged(payload, tensors=bytes(payload["tensors"]).replace(b'"type":1}', b'"type":8}')),
    ):
        with pytest.raises(PackageError) as caught:
            Session(wrong, threads=1)
        assert caught.value.code == "SR-PACKAGE-FILE"


@pytest.mark.parametrize("location", ["secret", "../secret", "ABSOLUTE", "/proc/self/environ"])
def test_a_payload_reads_no_file_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    for folder in (tmp_path, inside):
        (folder / "secret").write_bytes(bytes(4096))
    monkeypatch.chdir(inside)
    location = str(inside / "secret") if location == "ABSOLUTE" else location
    proto = external(location, [8], offset="0", length="32")
    payload = {"model": proto.SerializeToString(), "tensors": canonical_json([])}
    with pytest.raises(PackageError):
        Session(payload, threads=1)


def test_errors_and_logs_hold_no_value(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    # ONNX Runtime quotes the index that is out of bounds
    inputs = [value("i", TensorProto.INT64, [1])]
    outputs = [value("y", TensorProto.FLOAT, [1])]
    weights = {"w": np.zeros(3, dtype="f4")}
    proto = model([helper.make_node("Gather", ["w", "i"], ["y"])], inputs, outputs, weights)
    session = Session(payload_of(proto), threads=1)
    with caplog.at_level(logging.DEBUG), pytest.raises(ModelError) as caught:
        session.run({"i": np.array([CANARY])})
    assert caught.value.code == "SR-MODEL-VALUES"
    said = [str(caught.value), str(caught.value.__cause__), *capfd.readouterr(), caplog.text]
    assert not any(str(CANARY) in text for text in said)
    assert caught.value.__suppress_context__


def test_threads_change_no_answer() -> None:
    payload, inputs = payload_of(transformer()), sentences(4, 20)
    one, two = (Session(payload, threads=n).run(inputs)["sentence"] for n in (1, 2))
    assert np.allclose(one, two, rtol=1e-5)


def test_texts_are_no_tensors_of_numbers() -> None:
    tables = [value(name, TensorProto.STRING, [1]) for name in "xy"]
    proto = model([helper.make_node("Identity", ["x"], ["y"])], tables[:1], tables[1:], {})
    assert [spec.dtype for spec in Session(payload_of(proto), threads=1).inputs] == [""]


def test_scalars_stay_scalars_and_empty_tensors_empty() -> None:
    tables = [value(name, TensorProto.FLOAT, shape) for name, shape in (("x", ["n", 3]), ("y", []))]
    node = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)
    session = Session(payload_of(model([node], tables[:1], tables[1:], {})), threads=1)
    made = session.run({"x": np.zeros((0, 3), "f4")})["y"]
    assert (made.shape, float(made)) == ((), 0.0)
