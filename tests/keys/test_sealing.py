"""One key file: bounded, authenticated, bound to its name."""

from __future__ import annotations

import struct
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.canonical import canonical_json
from strongroom.errors import KeyStoreError
from strongroom.keys.sealing import (
    MAGIC,
    MAXIMUM_SECRET_BYTES,
    Header,
    KeyringEntry,
    Lock,
    Passphrase,
    ServiceKey,
    TokenKey,
    read_header,
    seal,
    unseal,
)

KEY = bytes(range(32))
LOCK = Passphrase(salt="00" * 16, iterations=1, lanes=1, memory_kib=128)
TOKEN = TokenKey(token="vault", object="key", nonce="00" * 12, wrapped="00" * 48)
SERVICE = ServiceKey(key="arn:aws:kms:eu-central-1:1:key/0a", wrapped=bytes(96))
HEADER = Header("n12", "2026-11-22T12:43:00Z", LOCK)


@settings(max_examples=30, deadline=None)
@given(secret=st.binary(max_size=40_000))
def test_a_secret_survives(secret: bytes) -> None:
    sealed = seal(HEADER, KEY, secret)
    assert read_header(sealed, "f") == HEADER
    assert unseal(sealed, KEY, "f") == secret


def test_the_same_secret_never_looks_the_same() -> None:
    assert seal(HEADER, KEY, b"s") != seal(HEADER, KEY, b"s")


def test_new_files_cost_what_rfc_9106_recommends() -> None:
    assert (LOCK.salt, Passphrase(salt="00" * 16).iterations) == ("00" * 16, 3)
    assert (Passphrase(salt="00" * 16).lanes, Passphrase(salt="00" * 16).memory_kib) == (4, 65536)


def test_derivation_depends_on_everything() -> None:
    keys = {
        LOCK.derive(b"a"),
        LOCK.derive(b"b"),
        msgspec.structs.replace(LOCK, salt="01" * 16).derive(b"a"),
        msgspec.structs.replace(LOCK, iterations=2).derive(b"a"),
        msgspec.structs.replace(LOCK, memory_kib=256).derive(b"a"),
    }
    assert len(keys) == 5
    assert all(len(key) == 32 for key in keys)


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found_wherever_it_is(place: int, bit: int) -> None:
    data = bytearray(seal(HEADER, KEY, b"secret" * 5))
    data[place % len(data)] ^= 1 << bit
    with pytest.raises(KeyStoreError):
        unseal(bytes(data), KEY, "f")


def _with_header(text: bytes) -> bytes:
    return struct.pack("<8sII", MAGIC, 1, len(text)) + text + bytes(64)


def _with_lock(**lock: object) -> bytes:
    fields = {**msgspec.to_builtins(HEADER)}
    fields["unlock"] = {**fields["unlock"], **lock}
    return _with_header(canonical_json(fields))


def _with_wrap(lock: Lock, **changed: object) -> bytes:
    unlock = {**msgspec.to_builtins(lock), **changed}
    return _with_header(canonical_json({**msgspec.to_builtins(HEADER), "unlock": unlock}))


_GOOD = seal(HEADER, KEY, b"secret")

FAULTS: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "cut_in_prefix": lambda: _GOOD[:15],
    "cut_in_header": lambda: _GOOD[:40],
    "other_magic": lambda: b"\x80\x04." + _GOOD[3:],
    "version_zero": lambda: struct.pack("<8sII", MAGIC, 0, 2) + b"{}",
    "version_newer": lambda: struct.pack("<8sII", MAGIC, 2, 2) + b"{}",
    "header_length_all_ones": lambda: struct.pack("<8sII", MAGIC, 1, 2**32 - 1) + bytes(90),
    "header_beyond_bound": lambda: _with_header(b" " * 5000),
    "header_empty": lambda: _with_header(b""),
    "header_not_json": lambda: _with_header(b"\x80\x04\x95"),
    "header_not_canonical": lambda: _with_header(canonical_json(HEADER) + b" "),
    "header_with_more": lambda: _with_header(
        canonical_json({**msgspec.to_builtins(HEADER), "more": 1})
    ),
    "unknown_derivation": lambda: _with_lock(type="md5"),
    "memory_of_a_terabyte": lambda: _with_lock(memory_kib=2**30),
    "iterations_without_end": lambda: _with_lock(iterations=2**31),
    "lanes_without_end": lambda: _with_lock(lanes=2**20),
    "no_iterations": lambda: _with_lock(iterations=0),
    "no_memory": lambda: _with_lock(memory_kib=1),
    "short_salt": lambda: _with_lock(salt="00"),
    "token_short_nonce": lambda: _with_wrap(TOKEN, nonce="00"),
    "token_long_key": lambda: _with_wrap(TOKEN, wrapped="00" * 49),
    "token_no_label": lambda: _with_wrap(TOKEN, token=""),
    "token_names_a_module": lambda: _with_wrap(TOKEN, module="/tmp/module.so"),
    "service_no_arn": lambda: _with_wrap(SERVICE, key="alias/strongroom"),
    "service_names_an_endpoint": lambda: _with_wrap(SERVICE, endpoint="http://127.0.0.1"),
    "service_long_key": lambda: _with_wrap(SERVICE, wrapped="A" * 2048),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_malformed_file_is_refused_before_anything_is_derived(fault: str) -> None:
    with pytest.raises(KeyStoreError) as caught:
        read_header(FAULTS[fault](), "n12.key")
    assert caught.value.code == "SR-KEYS-FILE"
    assert "n12.key" in str(caught.value)


CIPHERTEXT_FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "no_ciphertext": lambda data: data[: -(6 + 56)],
    "no_final": lambda data: data[:-1],
    "trailing_garbage": lambda data: data + b"\0",
}


@pytest.mark.parametrize("fault", CIPHERTEXT_FAULTS)
def test_a_damaged_ciphertext_is_refused(fault: str) -> None:
    with pytest.raises(KeyStoreError) as caught:
        unseal(CIPHERTEXT_FAULTS[fault](_GOOD), KEY, "n12.key")
    assert caught.value.code == "SR-KEYS-PASSPHRASE"


def test_ciphertext_can_not_move_below_another_name() -> None:
    other = seal(msgspec.structs.replace(HEADER, name="n13"), KEY, b"other!")
    moved = other[: -(6 + 56)] + _GOOD[-(6 + 56) :]
    with pytest.raises(KeyStoreError) as caught:
        unseal(moved, KEY, "f")
    assert caught.value.code == "SR-KEYS-PASSPHRASE"


def test_a_keyring_header_holds_no_key() -> None:
    header = Header("n12", "2026-11-22T12:43:00Z", KeyringEntry(entry="ab" * 16))
    assert KEY.hex().encode() not in seal(header, KEY, b"")
    assert read_header(seal(header, KEY, b""), "f") == header


@pytest.mark.parametrize("lock", [TOKEN, SERVICE])
def test_a_wrapped_key_is_read_back_as_it_was(lock: Lock) -> None:
    header = Header("n12", "2026-11-22T12:43:00Z", lock)
    assert read_header(seal(header, KEY, b""), "f") == header


def test_a_secret_that_could_not_be_read_back_is_not_written() -> None:
    with pytest.raises(KeyStoreError) as caught:
        seal(HEADER, KEY, bytes(MAXIMUM_SECRET_BYTES + 1))
    assert caught.value.code == "SR-KEYS-FILE"
