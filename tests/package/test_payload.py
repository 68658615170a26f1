"""The payload stream: every segment back as it was, from a form that can't be read two ways."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.canonical import digest
from strongroom.errors import PackageError
from strongroom.package.payload import ALIGNMENT, CHUNK_BYTES, PayloadStream, split_stream

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._/:-]{0,254}", fullmatch=True)


def written(stream: PayloadStream) -> bytes:
    return b"".join(bytes(chunk) for chunk in stream.chunks())


@given(
    st.dictionaries(NAMES, st.binary(max_size=300), max_size=6), st.binary(min_size=32, max_size=32)
)
def test_segments_come_back_in_order_and_aligned(payload: dict[str, bytes], salt: bytes) -> None:
    stream = PayloadStream(payload, salt)
    data = written(stream)
    assert len(data) == stream.length
    assert digest(data) == stream.digest()
    found_salt, segments = split_stream(memoryview(data))
    assert found_salt == salt
    assert list(segments.items()) == list(payload.items())
    starts = [data_offset(data, body) for body in segments.values() if len(body)]
    assert all(start % ALIGNMENT == 0 for start in starts)


def data_offset(data: bytes, body: memoryview) -> int:
    """Where a view of some data begins in it."""
    whole, part = np.frombuffer(data, np.uint8), np.frombuffer(body, np.uint8)
    return int(part.ctypes.data - whole.ctypes.data)


def test_the_salt_hides_what_could_be_guessed() -> None:
    digests = {PayloadStream({"model": b"one of two"}).digest() for _ in range(10)}
    assert len(digests) == 10


def test_segments_of_mapped_files_are_read_where_they_are(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(range(256)) * 8192)  # two chunks
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        view = memoryview(mapped)
        stream = PayloadStream({"weights": view})
        chunks = list(stream.chunks())
        assert max(len(chunk) for chunk in chunks) == CHUNK_BYTES
        assert sum(chunk.obj is mapped for chunk in chunks) == 2
        assert split_stream(memoryview(written(stream)))[1]["weights"] == view
        del chunks, stream
        view.release()


def test_an_array_is_a_segment_of_its_bytes() -> None:
    array = np.arange(6, dtype="<f4").reshape(2, 3)
    _, segments = split_stream(memoryview(written(PayloadStream({"w": memoryview(array)}))))
    assert segments["w"] == array.tobytes()


@pytest.mark.parametrize("name", ["", "/etc/passwd", "a b", "ü", "x" * 256, "a\n", "-"])
def test_a_segment_of_another_name_is_refused(name: str) -> None:
    with pytest.raises(PackageError) as caught:
        PayloadStream({name: b""})
    assert caught.value.code == "SR-PACKAGE-PAYLOAD"


def stream_of(table: bytes, rest: bytes = b"") -> bytes:
    before = bytes(32) + struct.pack("<I", len(table)) + table
    return before + bytes(-len(before) % 64) + rest


ROW = b'[{"bytes":64,"name":"model"}]'

FAULTS: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "salt cut": lambda: bytes(31),
    "length cut": lambda: bytes(35),
    "table cut": lambda: bytes(32) + struct.pack("<I", 10) + b"[]",
    "table all ones": lambda: bytes(32) + b"\xff" * 4,
    "table no json": lambda: stream_of(b"\x80\x04."),
    "table no list": lambda: stream_of(b"{}"),
    "table with a space": lambda: stream_of(b"[ ]"),
    "unknown field": lambda: stream_of(b'[{"bytes":0,"dtype":"f4","name":"m"}]'),
    "negative length": lambda: stream_of(b'[{"bytes":-1,"name":"m"}]'),
    "huge length": lambda: stream_of(b'[{"bytes":18446744073709551616,"name":"m"}]'),
    "body cut": lambda: stream_of(ROW, bytes(63)),
    "no body": lambda: stream_of(ROW),
    "a byte too much": lambda: stream_of(ROW, bytes(65)),
    "nothing but a gap": lambda: stream_of(b"[]") + b"\0",
    "gap not zero": lambda: stream_of(ROW, bytes(64))[:-65] + b"\1" + bytes(64),
    "deeply nested": lambda: stream_of(b"[" * 100_000),
    "twice": lambda: stream_of(b'[{"bytes":0,"name":"m"},{"bytes":0,"name":"m"}]'),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_malformed_stream_is_refused_with_its_place(fault: str) -> None:
    with pytest.raises(PackageError, match="at its byte") as caught:
        split_stream(memoryview(FAULTS[fault]()))
    assert caught.value.code == "SR-PACKAGE-PAYLOAD"


def test_a_well_formed_table_by_hand_is_read() -> None:
    assert list(split_stream(memoryview(stream_of(ROW, bytes(64))))[1]) == ["model"]
