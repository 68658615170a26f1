"""A network as bytes: what was written is read, and nothing else is."""

from __future__ import annotations

import dataclasses
import itertools
import struct
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np
import pytest
from network_exchanges import PACKAGE
from small_networks import choices_of, layout_of

from strongroom import protections
from strongroom.compiler.network import NetworkChoice
from strongroom.compiler.network_model import NetworkModel
from strongroom.engine import Polynomial
from strongroom.engine.square_towers import SquareTower
from strongroom.errors import PackageError
from strongroom.protections.fhe.network_payload import payload_from_bytes, payload_to_bytes

MOST_CALLS = 1000
"""In reading a payload that is refused."""

KINDS = ("tree", "two layers of squares", "a polynomial", "units of two functions", "blocks")


def chosen(name: str) -> NetworkChoice:
    return choices_of(name)[0]


def parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The text and the numbers of a payload."""
    magic, version, length = struct.unpack_from("<4sHI", data)
    assert (magic, version) == (b"SRNW", 1)
    return msgspec.json.decode(data[10 : 10 + length]), zlib.decompress(data[10 + length :])


def written(text: dict[str, Any], numbers: bytes) -> bytes:
    """A payload by hand."""
    header = msgspec.json.encode(text)
    return struct.pack("<4sHI", b"SRNW", 1, len(header)) + header + zlib.compress(numbers)


@pytest.mark.parametrize("name", KINDS)
def test_what_was_written_is_read_exactly(name: str) -> None:
    choice = chosen(name)
    read = payload_from_bytes(payload_to_bytes(choice.model), layout_of(choice))
    assert len(read.steps) == len(choice.model.steps)
    z = np.random.default_rng(0).uniform(-1.0, 1.0, (5, layout_of(choice).features))
    np.testing.assert_array_equal(read.scores(z), choice.model.scores(z))
    assert payload_to_bytes(read) == payload_to_bytes(choice.model)
    for ours, theirs in zip(read.steps, choice.model.steps, strict=True):
        np.testing.assert_array_equal(ours.weights, theirs.weights)
        np.testing.assert_array_equal(ours.bias, theirs.bias)
        for circuit, original in zip(ours.circuits, theirs.circuits, strict=True):
            assert type(circuit) is type(original)
            if isinstance(circuit, SquareTower) and isinstance(original, SquareTower):
                np.testing.assert_array_equal(circuit.interval, original.interval)
            if isinstance(circuit, Polynomial) and isinstance(original, Polynomial):
                assert (circuit.basis, circuit.interval) == (original.basis, original.interval)


def test_what_is_zero_hardly_takes_room() -> None:
    choice = chosen("tree")
    numbers = parts(payload_to_bytes(choice.model))[1]
    assert len(payload_to_bytes(choice.model)) < len(numbers) / 3


Damage = Callable[[bytes], bytes]


def renumbered(change: Callable[[np.ndarray[Any, np.dtype[np.float64]]], Any]) -> Damage:
    """With other numbers of the same shapes."""

    def damage(data: bytes) -> bytes:
        text, numbers = parts(data)
        values = np.frombuffer(numbers, "<f8").copy()
        change(values)
        return written(text, values.tobytes())

    return damage


def reworded(**fields: Any) -> Damage:
    """With another text."""

    def damage(data: bytes) -> bytes:
        text, numbers = parts(data)
        return written({**text, **fields}, numbers)

    return damage


def circuit_shapes(*shapes: tuple[int, ...], kind: str = "tower") -> Damage:
    circuit = {"kind": kind, "interval": None, "shapes": shapes}
    return reworded(circuits=[[circuit]])


def stuffed(more: bytes) -> Damage:
    """With numbers behind the numbers."""

    def damage(data: bytes) -> bytes:
        text, numbers = parts(data)
        return written(text, numbers + more)

    return damage


def bomb(data: bytes) -> bytes:
    """Far more zeros than belong there, in a few bytes."""
    text, _ = parts(data)
    packer = zlib.compressobj(1)
    block = bytes(2**20)
    numbers = b"".join(packer.compress(block) for _ in range(64)) + packer.flush()
    header = msgspec.json.encode(text)
    return struct.pack("<4sHI", b"SRNW", 1, len(header)) + header + numbers


DAMAGE: dict[str, Damage] = {
    "nothing": lambda data: b"",
    "only a header": lambda data: data[:10],
    "half of a header": lambda data: data[:7],
    "half of its text": lambda data: data[:40],
    "no numbers": lambda data: data[: 10 + int.from_bytes(data[6:10], "little")],
    "a byte too few": lambda data: data[:-1],
    "a byte too many": lambda data: data + b"\0",
    "another stream behind its own": lambda data: data + zlib.compress(b"more"),
    "another magic": lambda data: b"SRNX" + data[4:],
    "a linear model's magic": lambda data: b"SRLW" + data[4:],
    "another version": lambda data: data[:4] + b"\2\0" + data[6:],
    "an absurdly long text": lambda data: data[:6] + b"\xff\xff\xff\xff" + data[10:],
    "a text that is none": lambda data: data[:10] + b"\xff" + data[11:],
    "numbers that are not packed": lambda data: data[:-40] + bytes(40),
    "one number more": stuffed(bytes(8)),
    "one number fewer": lambda data: written(parts(data)[0], parts(data)[1][:-8]),
    "half a number more": stuffed(bytes(4)),
    "zeros without end": bomb,
    "a weight that is no number": renumbered(lambda x: x.put(0, np.nan)),
    "an infinite bias": renumbered(lambda x: x.put(-1, np.inf)),
    "a field too many": reworded(more=1),
    "another number of outputs": reworded(outputs=2),
    "absurdly many outputs": reworded(outputs=2**28),
    "outputs beyond their bound": reworded(outputs=2**40),
    "no steps": reworded(steps=[], circuits=[]),
    "steps of other shapes": reworded(steps=[[1, 5, 28]]),
    "absurd steps": reworded(steps=[[2**28, 2**28, 2**28]]),
    "no circuits": reworded(circuits=[[]]),
    "circuits of other steps": reworded(circuits=[[], []]),
    "a circuit of another kind": circuit_shapes((5,), kind="power"),
    "a circuit that nobody knows": circuit_shapes((5,), kind="spline"),
    "a tower of no levels": circuit_shapes((1, 1), (1,), (4,)),
    "a tower of one array": circuit_shapes((1,)),
    "a tower of too many arrays": circuit_shapes((1, 1), (1,), (1,), (1,)),
    "a tower of absurd size": circuit_shapes((2**28, 2**28), (2**28,), (2,)),
    "a dimension of zero": circuit_shapes((0, 0), (0,), (2,)),
}


@contextmanager
def counted_calls() -> Iterator[Iterator[int]]:
    """Counts calls of Python and of C, and returns from them: unlike a clock it does not see what
    else the machine does. The next number is how many there were."""
    calls = itertools.count()
    before = sys.getprofile()
    sys.setprofile(lambda *_: next(calls))
    try:
        yield calls
    finally:
        sys.setprofile(before)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_payload_is_refused_at_once(damage: str) -> None:
    choice = chosen("squares")
    data = DAMAGE[damage](payload_to_bytes(choice.model))
    layout = layout_of(choice)
    tracemalloc.start()
    try:
        with (
            counted_calls() as calls,
            pytest.raises(PackageError, match="the payload of the package is damaged") as caught,
        ):
            payload_from_bytes(data, layout)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.code == "SR-PACKAGE-FILE"
    assert next(calls) < MOST_CALLS
    assert peak < 16 * 2**20


def with_circuit(choice: NetworkChoice, circuit: SquareTower | Polynomial) -> NetworkModel:
    """The model of a choice with another circuit in its first step."""
    first, *others = choice.model.steps
    first = dataclasses.replace(first, circuits=(circuit,))
    return dataclasses.replace(choice.model, steps=(first, *others))


def test_an_empty_interval_is_refused() -> None:
    choice = chosen("squares")
    data = payload_to_bytes(choice.model)
    (tower,) = choice.model.steps[0].circuits
    assert isinstance(tower, SquareTower)
    numbers = np.frombuffer(parts(data)[1], "<f8").copy()
    step = choice.model.steps[0]
    end = (
        step.weights.size
        + step.bias.size
        + sum(array.size for array in (tower.factors, tower.constants, tower.interval))
    )
    numbers[end - tower.interval.size : end] = 0.0
    with pytest.raises(PackageError, match="a circuit's numbers contradict each other"):
        payload_from_bytes(written(parts(data)[0], numbers.tobytes()), layout_of(choice))


OTHER_CIRCUITS = {
    "a deeper tower": SquareTower.plain(2),
    "a tower for other units": SquareTower(
        np.zeros((1, 1, 3)), np.zeros((1, 3)), np.array([-1.0, 1.0])
    ),
}


@pytest.mark.parametrize("circuit", OTHER_CIRCUITS)
def test_circuits_that_do_not_follow_the_plan_open_no_server(circuit: str) -> None:
    choice = chosen("squares")
    payload = payload_to_bytes(with_circuit(choice, OTHER_CIRCUITS[circuit]))
    with pytest.raises(PackageError) as caught:
        protections.by_name("fhe").open_server(choice.plan, {"model": payload}, package=PACKAGE)
    assert caught.value.code == "SR-PACKAGE-FILE"


def test_a_polynomial_of_another_degree_opens_no_server() -> None:
    choice = chosen("a polynomial")
    other = with_circuit(choice, Polynomial(np.ones(20)))
    with pytest.raises(PackageError) as caught:
        protections.by_name("fhe").open_server(
            choice.plan, {"model": payload_to_bytes(other)}, package=PACKAGE
        )
    assert caught.value.code == "SR-PACKAGE-FILE"
