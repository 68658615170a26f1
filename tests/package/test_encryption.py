"""Encryption of the payload: nothing is given out before all of it was checked."""

from __future__ import annotations

import gc
import hashlib
import os
import threading
from collections.abc import Iterator

import pytest
from cryptography.cobblestone import Cobblestone256Decryptor
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.errors import PackageError
from strongroom.package import encryption as module
from strongroom.package.encryption import (
    Encryption,
    RunningDigest,
    ciphertext_bytes,
    new_file_key,
    open_stream,
    unverified_stream,
)
from strongroom.package.locked_memory import LockedMemory

KEY = bytes(range(32))
ID = "ab" * 16


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def parts(data: bytes, size: int) -> Iterator[memoryview]:
    """In one buffer that is overwritten, as late as the rules allow."""
    ring = [bytearray(size) for _ in range(module.IN_FLIGHT + 1)]
    for turn, start in enumerate(range(0, len(data), size)):
        part = data[start : start + size]
        buffer = ring[turn % len(ring)]
        buffer[: len(part)] = part
        yield memoryview(buffer)[: len(part)]


def encrypted(stream: bytes, size: int = 1 << 16) -> bytes:
    run = Encryption(parts(stream, size), KEY, ID)
    data = b"".join(bytes(part) for part in run)
    assert run.stream_digest == sha256(stream)
    assert run.ciphertext_digest == sha256(data)
    return data


def opened(data: bytes, stream: bytes, size: int = 1 << 16, key: bytes = KEY) -> memoryview:
    return open_stream(
        parts(data, size), key, ID, stream_bytes=len(stream), stream_digest=sha256(stream)
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 300_000) | st.sampled_from([16383, 16384, 16385, 32768, 1 << 20]),
    st.sampled_from([4096, 16400, 1 << 16, 1 << 20]),
    st.sampled_from([1000, 16384, 65536, 1 << 20]),
)
def test_a_stream_of_any_length_comes_back_by_any_parts(
    length: int, written: int, read: int
) -> None:
    stream = os.urandom(length)
    data = encrypted(stream, written)
    assert len(data) == ciphertext_bytes(length)
    assert opened(data, stream, read) == stream
    again = b"".join(bytes(chunk) for chunk in unverified_stream(parts(data, read), KEY, ID))
    assert again == stream


def test_it_is_cobblestone_with_the_packages_id_as_context() -> None:
    stream = os.urandom(40_000)
    decryptor = Cobblestone256Decryptor(KEY, b"strongroom payload\0" + ID.encode())
    assert decryptor.update(encrypted(stream)) + decryptor.finalize() == stream


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("a bit of the header", lambda data: bytes([data[0] ^ 1]) + data[1:]),
        ("a bit of the first frame", lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:]),
        ("a bit of the last tag", lambda data: data[:-1] + bytes([data[-1] ^ 1])),
        ("the end", lambda data: data[:-1]),
        ("the last frame", lambda data: data[: 56 + 2 * 16400]),
        ("everything but the header", lambda data: data[:56]),
        ("everything", lambda data: b""),
        ("a byte more", lambda data: data + b"\0"),
        ("frames exchanged", lambda d: d[:56] + d[16456:32856] + d[56:16456] + d[32856:]),
    ],
)
def test_a_damaged_stream_gives_out_nothing(what: str, change: object) -> None:
    stream = os.urandom(40_000)
    assert callable(change)
    with pytest.raises(PackageError) as caught:
        opened(change(encrypted(stream)), stream)
    assert caught.value.code == "SR-PACKAGE-PAYLOAD"


def test_another_key_opens_nothing() -> None:
    stream = os.urandom(100)
    with pytest.raises(PackageError, match="does not open"):
        opened(encrypted(stream), stream, key=new_file_key())


def test_a_whole_authentic_stream_of_other_contents_is_refused_and_wiped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[LockedMemory] = []

    class Watched(LockedMemory):
        def __new__(cls, length: int) -> Watched:
            made.append(super().__new__(cls, length))
            return made[-1]  # type: ignore[return-value]

    monkeypatch.setattr(module, "LockedMemory", Watched)
    stream, other = os.urandom(5000), os.urandom(5000)
    with pytest.raises(PackageError, match="the manifest names") as caught:
        opened(encrypted(other), stream)
    assert caught.value.code == "SR-PACKAGE-PAYLOAD"
    assert bytes(made[0]) == bytes(5000)


def test_what_was_opened_is_locked_memory_and_read_only() -> None:
    stream = os.urandom(5000)
    view = opened(encrypted(stream), stream)
    assert isinstance(view.obj, LockedMemory)
    assert view.readonly


def test_file_keys_come_from_the_system_each_its_own() -> None:
    assert len({new_file_key() for _ in range(50)}) == 50
    assert len(new_file_key()) == 32


def test_hashing_threads_end_with_their_work() -> None:
    gc.collect()
    before = threading.active_count()
    stream = os.urandom(100_000)
    opened(encrypted(stream), stream)
    interrupted = iter(Encryption(parts(stream, 4096), KEY, ID))
    next(interrupted)
    interrupted.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_a_running_digest_takes_parts_in_order() -> None:
    data = os.urandom(1 << 20)
    with RunningDigest() as digest:
        for part in parts(data, 5000):
            digest.add(part)
        assert digest.text() == sha256(data)
