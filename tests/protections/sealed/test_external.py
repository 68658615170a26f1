"""Weights in files beside a model: mapped, of any size, and of the model's own folder only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_models import model, saved_with_external_data, transformer, value

from strongroom.errors import ModelError
from strongroom.protections.sealed.external import payload_of
from strongroom.protections.sealed.session import Session


def external(location: str, dims: list[int], **more: str) -> onnx.ModelProto:
    """A model that adds a weight from another file to its input."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, data_location=1)
    for key, text in ({"location": location} | more).items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, text
    tables = [value(name, TensorProto.FLOAT, dims) for name in "xy"]
    proto = model([helper.make_node("Add", ["x", "w"], ["y"])], tables[:1], tables[1:], {})
    proto.graph.initializer.append(tensor)
    return proto


def saved(proto: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_weights_past_two_gigabytes_are_mapped_and_not_read(tmp_path: Path) -> None:
    numbers = 700 * 2**20
    with (tmp_path / "big").open("wb") as file:  # all zeros, and next to nothing on the disk
        file.truncate(4 * numbers)
    payload = payload_of(saved(external("big", [numbers // 1024, 1024]), tmp_path))
    segment = payload["weights/0"]
    assert isinstance(segment, memoryview)
    assert len(segment) == 4 * numbers > 2**31
    assert len(payload["model"]) < 1000


def test_offsets_and_lengths_are_kept(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(size=(20, 30)).astype("f4")
    (tmp_path / "w").write_bytes(b"x" * 64 + numbers.tobytes() + b"y" * 64)
    path = saved(external("w", [20, 30], offset="64", length="2400"), tmp_path)
    session = Session(payload_of(path), threads=1)
    assert np.array_equal(session.run({"x": numbers})["y"], numbers + numbers)


def test_small_external_tensors_move_into_the_model(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(np.arange(3, dtype="f4").tobytes())
    payload = payload_of(saved(external("w", [3]), tmp_path))
    assert set(payload) == {"model", "tensors"}
    made = Session(payload, threads=1).run({"x": np.zeros(3, "f4")})["y"]
    assert made.tolist() == [0.0, 1.0, 2.0]


def test_a_model_in_memory_is_left_as_it_was() -> None:
    proto = transformer()
    before = proto.SerializeToString(deterministic=True)
    payload_of(proto)
    assert proto.SerializeToString(deterministic=True) == before


def test_the_same_model_gives_the_same_payload(tmp_path: Path) -> None:
    proto = transformer()
    apart = payload_of(saved_with_external_data(proto, tmp_path))
    assert {name: bytes(part) for name, part in payload_of(proto).items()} == {
        name: bytes(part) for name, part in apart.items()
    }


@pytest.mark.parametrize(
    ("kind", "dtype"), [(TensorProto.BFLOAT16, "u2"), (TensorProto.FLOAT16, "f2")]
)
def test_narrow_weights_are_handed_over_as_they_are(kind: int, dtype: str) -> None:
    numbers = np.arange(600)
    bits = (numbers.astype("<f4").view("<u4") >> 16) if dtype == "u2" else numbers
    tensor = TensorProto(
        name="w", data_type=kind, dims=[600], raw_data=bits.astype(f"<{dtype}").tobytes()
    )
    output = value("y", TensorProto.FLOAT, [600])
    proto = model([helper.make_node("Cast", ["w"], ["y"], to=1)], [], [output], {})
    proto.graph.initializer.append(tensor)
    made = Session(payload_of(proto), threads=1).run({})["y"]
    exact = numbers < 256 if dtype == "u2" else numbers >= 0
    assert np.array_equal(made[exact], numbers[exact])


def test_weights_inside_of_branches_are_kept() -> None:
    weights = numpy_helper.from_array(np.arange(400, dtype="f4"), "w")
    branches = [
        helper.make_graph(
            [helper.make_node(operator, ["x", "w"], ["made"])],
            operator,
            [],
            [value("made", TensorProto.FLOAT, [400])],
            [weights],
        )
        for operator in ("Add", "Mul")
    ]
    node = helper.make_node("If", ["c"], ["y"], then_branch=branches[0], else_branch=branches[1])
    inputs = [value("c", TensorProto.BOOL, []), value("x", TensorProto.FLOAT, [400])]
    proto = model([node], inputs, [value("y", TensorProto.FLOAT, [400])], {})
    session = Session(payload_of(proto), threads=1)
    x = np.full(400, 2, dtype="f4")
    assert session.run({"c": np.array(True), "x": x})["y"][3] == 5
    assert session.run({"c": np.array(False), "x": x})["y"][3] == 6


@pytest.mark.parametrize(
    ("location", "more", "words"),
    [
        ("../outside", {}, "outside of its folder"),
        ("/etc/hostname", {}, "outside of its folder"),
        ("link", {}, "outside of its folder"),
        ("", {}, "outside of its folder"),
        ("absent", {}, "can't be read"),
        ("pipe", {}, "is no file"),
        (".", {}, "can't be read|is no file"),
        ("w", {"offset": "8000"}, "beyond the end"),
        ("w", {"offset": "-8"}, "beyond the end"),
        ("w", {"length": "99999"}, "beyond the end"),
        ("w", {"length": "-1"}, "beyond the end"),
        ("w", {"length": "1600"}, "not as long as its shape"),
        ("w", {"offset": "x"}, "can't be read"),
    ],
)
def test_external_data_that_can_not_be_used_is_refused(
    tmp_path: Path, location: str, more: dict[str, str], words: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "outside").write_bytes(bytes(4000))
    (folder / "w").write_bytes(bytes(4000))
    (folder / "link").symlink_to(tmp_path / "outside")
    os.mkfifo(folder / "pipe")
    with pytest.raises(ModelError, match=words) as caught:
        payload_of(saved(external(location, [1000], **more), folder))
    assert caught.value.code == "SR-MODEL-FILE"


@pytest.mark.parametrize("source", [b"no model at all", b"", 7, None, [1]], ids=str)
def test_what_is_no_onnx_model_is_refused(source: Any) -> None:
    with pytest.raises(ModelError):
        Session(payload_of(source), threads=1)


def test_external_data_without_a_folder_is_refused() -> None:
    with pytest.raises(ModelError, match="no folder"):
        payload_of(external("w", [1000]))
