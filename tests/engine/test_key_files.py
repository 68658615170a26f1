"""Key files: the documented layout written by hand, and damaged, forged and unsafe files."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import struct
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from small_rings import chain, unchecked

from strongroom import _native
from strongroom.engine import SecretKey
from strongroom.engine.galois import RELINEARISATION
from strongroom.engine.key_files import KeyFile, verify_key_file, write_key_file
from strongroom.engine.switching_keys import SwitchingKey
from strongroom.errors import KeyStoreError

PAGE = 65536
PARAMETERS = unchecked(16, chain(16, (20, 33, 31)), chain(16, (34,)))
ELEMENTS = [RELINEARISATION, 5, 31]
SECRET = SecretKey.generate(PARAMETERS)
KEYS = [
    SECRET.switching_key(element, limbs) for element, limbs in zip(ELEMENTS, (3, 2, 3), strict=True)
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A key file with three keys, the second of fewer primes."""
    path = tmp_path / "keys"
    write_key_file(path, PARAMETERS, KEYS)
    return path


def code_of(path: Path) -> str:
    """The code with which a file is refused."""
    with pytest.raises(KeyStoreError) as caught:
        KeyFile(path, PARAMETERS)
    assert str(path) in str(caught.value)
    return caught.value.code


def padded(data: bytes) -> bytes:
    """Zeros up to the next page."""
    return data + bytes(-len(data) % PAGE)


Row = tuple[int, int, int, int, bytes]


def rows_by_hand() -> list[Row]:
    """Element, limbs, offset, length and SHA-256 of each key."""
    rows: list[Row] = []
    at = PAGE
    for key in KEYS:
        data = key.native.words.tobytes()
        rows.append((key.element, key.limbs, at, len(data), hashlib.sha256(data).digest()))
        at += len(padded(data))
    return rows


def by_hand(
    rows: list[Row] | None = None,
    *,
    version: int = 1,
    magic: bytes = b"\x89SRE\r\n\x1a\n",
    words: bytes | None = None,
    count: int | None = None,
) -> bytes:
    """The documented layout without the engine; its checksum is valid, whatever it says."""
    rows = rows_by_hand() if rows is None else rows
    header = magic + struct.pack("<I", version) + PARAMETERS.digest
    if words is None:
        words = b"".join(padded(key.native.words.tobytes()) for key in KEYS)
    index = b"".join(struct.pack("<IIQQ32s", *row) for row in rows)
    index += struct.pack("<Q", len(rows) if count is None else count)
    return padded(header) + words + index + hashlib.sha256(header + index).digest()


def test_key_files_are_written_as_documented(path: Path) -> None:
    assert path.read_bytes() == by_hand()
    verify_key_file(path, PARAMETERS)


def test_words_are_mapped_as_they_were(path: Path) -> None:
    file = KeyFile(path, PARAMETERS)
    assert list(file.entries) == ELEMENTS
    for key in KEYS:
        words = file.map_words(key.element)
        np.testing.assert_array_equal(words, key.native.words)
        assert not words.flags.writeable
        assert words.ctypes.data % PAGE % 4096 == 0
        assert file.entries[key.element].limbs == key.limbs
    file.close()
    np.testing.assert_array_equal(words, KEYS[-1].native.words)
    with pytest.raises(ValueError, match="closed"):
        file.map_words(5)


def test_a_file_without_keys_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "none"
    write_key_file(path, PARAMETERS, [])
    file = KeyFile(path, PARAMETERS)
    assert not file.entries
    file.close()
    verify_key_file(path, PARAMETERS)


def test_a_key_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_key_file(tmp_path / "keys", PARAMETERS, KEYS)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o600


def test_a_file_is_replaced_only_if_that_is_asked_for(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        write_key_file(path, PARAMETERS, KEYS[:1])
    assert path.read_bytes() == before
    old = KeyFile(path, PARAMETERS)
    write_key_file(path, PARAMETERS, KEYS[:1], replace=True)
    new = KeyFile(path, PARAMETERS)
    assert list(new.entries) == ELEMENTS[:1]
    # Who has the old one open reads on in it.
    np.testing.assert_array_equal(old.map_words(31), KEYS[2].native.words)
    old.close()
    new.close()


def test_what_fails_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    def keys() -> Iterator[SwitchingKey]:
        yield KEYS[0]
        raise RuntimeError("the client went away")

    with pytest.raises(RuntimeError, match="went away"):
        write_key_file(tmp_path / "keys", PARAMETERS, keys())
    assert not list(tmp_path.iterdir())


def test_keys_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    other = unchecked(16, chain(16, (20, 33, 32)), chain(16, (34,)))
    stranger = SecretKey.generate(other).switching_key(5)
    with pytest.raises(ValueError, match="one set of parameters"):
        write_key_file(tmp_path / "keys", PARAMETERS, [KEYS[0], stranger])
    with pytest.raises(ValueError, match="two keys are for element 5"):
        write_key_file(tmp_path / "keys", PARAMETERS, [KEYS[1], KEYS[1]])
    assert not list(tmp_path.iterdir())


def test_a_key_is_let_go_before_the_next_one_is_made(tmp_path: Path) -> None:
    alive: list[weakref.ref[np.ndarray]] = []

    def keys() -> Iterator[SwitchingKey]:
        for key in KEYS:
            assert not any(words() is not None for words in alive)
            yield borrowed(key)

    def borrowed(key: SwitchingKey) -> SwitchingKey:
        words = key.native.words.copy()
        alive.append(weakref.ref(words))
        native = _native.SwitchingKey(PARAMETERS.native, key.element, key.limbs, words)
        return SwitchingKey(native, PARAMETERS, key.element)

    write_key_file(tmp_path / "keys", PARAMETERS, keys())
    assert len(alive) == 3
    assert (tmp_path / "keys").read_bytes() == by_hand()


def test_words_that_would_have_to_be_copied_are_refused() -> None:
    # The copy would be gone while the key still points to it.
    words = KEYS[0].native.words
    for wrong in (words.astype(np.int64), words.astype(np.float64), np.repeat(words, 2)[::2]):
        with pytest.raises(TypeError):
            _native.SwitchingKey(PARAMETERS.native, 5, 3, wrong)
    with pytest.raises(ValueError, match="another length"):
        _native.SwitchingKey(PARAMETERS.native, 5, 3, words[1:])


def test_every_flipped_bit_of_header_and_index_is_refused(path: Path) -> None:
    data = path.read_bytes()
    index = len(data) - (3 * 56 + 40)
    with path.open("r+b", buffering=0) as file:
        for at in [*range(44), *range(index, len(data))]:
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([data[at] ^ 1 << bit]), at)
                assert code_of(path) == "SR-KEYS-FILE"
            os.pwrite(file.fileno(), data[at : at + 1], at)
    assert path.read_bytes() == data


def test_truncated_and_longer_files_are_refused(path: Path) -> None:
    data = path.read_bytes()
    lengths = [0, 1, 43, 44, PAGE - 1, PAGE, PAGE + 39, PAGE + 40, 2 * PAGE]
    for length in [*lengths, *range(len(data) - 220, len(data))]:
        path.write_bytes(data[:length])
        assert code_of(path) == "SR-KEYS-FILE"
    for more in (data + b"\0", data + bytes(PAGE), data + data[-40:], data + data):
        path.write_bytes(more)
        assert code_of(path) == "SR-KEYS-FILE"


def changed(row: int, place: int, value: int) -> list[Row]:
    """The rows with one number changed."""
    rows = rows_by_hand()
    fields = list(rows[row])
    fields[place] = value
    rows[row] = tuple(fields)  # type: ignore[assignment]
    return rows


ROWS = rows_by_hand()
LENGTH = ROWS[0][3]


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(by_hand(version=2), id="newer version"),
        pytest.param(by_hand(magic=b"\x89SRK\r\n\x1a\n"), id="another kind of file"),
        pytest.param(by_hand(changed(1, 0, 0)), id="an element twice"),
        pytest.param(by_hand(changed(1, 0, 1)), id="identity"),
        pytest.param(by_hand(changed(1, 0, 6)), id="even element"),
        pytest.param(by_hand(changed(1, 0, 33)), id="element beyond 2N"),
        pytest.param(by_hand(changed(1, 1, 0)), id="no primes"),
        pytest.param(by_hand(changed(1, 1, 3)), id="primes that need another length"),
        pytest.param(by_hand(changed(1, 1, 4)), id="more primes than there are"),
        pytest.param(by_hand(changed(1, 2, PAGE)), id="overlap"),
        pytest.param(by_hand(changed(1, 2, 0)), id="inside the header"),
        pytest.param(by_hand(changed(1, 2, ROWS[1][2] + 8)), id="not on a page"),
        pytest.param(by_hand(changed(2, 2, 2**63)), id="outside the file"),
        pytest.param(by_hand(changed(2, 3, LENGTH + 8)), id="longer than a key"),
        pytest.param(by_hand(changed(2, 3, 2**64 - 8)), id="longer than memory"),
        pytest.param(by_hand([ROWS[1], ROWS[0], ROWS[2]]), id="out of order"),
        pytest.param(by_hand(ROWS[:2]), id="a key without a row"),
        pytest.param(by_hand([*ROWS, (7, 3, ROWS[2][2] + PAGE, LENGTH, bytes(32))]), id="no key"),
        pytest.param(by_hand(count=2), id="too few rows"),
        pytest.param(by_hand(count=17), id="more rows than automorphisms"),
        pytest.param(by_hand(count=2**64 - 1), id="more rows than memory"),
        pytest.param(by_hand([], words=bytes(PAGE)), id="a page too many"),
        pytest.param(
            by_hand(words=b"".join(k.native.words.tobytes() for k in KEYS)), id="unpadded"
        ),
    ],
)
def test_indexes_that_no_writer_writes_are_refused(path: Path, forged: bytes) -> None:
    path.write_bytes(forged)
    assert code_of(path) == "SR-KEYS-FILE"


def test_an_index_longer_than_any_is_not_read(path: Path) -> None:
    # A terabyte of holes that calls itself an index.
    count = (2**40 - PAGE - 40) // 56
    header = b"\x89SRE\r\n\x1a\n" + struct.pack("<I", 1) + PARAMETERS.digest
    path.write_bytes(header)
    os.truncate(path, PAGE + count * 56)
    with path.open("ab") as file:
        file.write(struct.pack("<Q32s", count, bytes(32)))
    with pytest.raises(KeyStoreError, match=f"can't have {count} keys"):
        KeyFile(path, PARAMETERS)


def test_an_index_that_would_begin_inside_the_header_is_refused(path: Path) -> None:
    for count in (1, 16):
        path.write_bytes(by_hand([], count=count, words=b""))
        with pytest.raises(KeyStoreError, match="too short for its index"):
            KeyFile(path, PARAMETERS)


def test_keys_for_other_parameters_are_refused(path: Path) -> None:
    other = unchecked(16, PARAMETERS.primes, chain(16, (35,)))
    with pytest.raises(KeyStoreError, match="other parameters"):
        KeyFile(path, other)


def test_opening_leaves_the_words_alone_and_verifying_reads_them_all(path: Path) -> None:
    data = path.read_bytes()
    for key, row in zip(KEYS, ROWS, strict=True):
        for at in (row[2], row[2] + row[3] // 2, row[2] + row[3] - 8):
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            KeyFile(path, PARAMETERS).close()
            with pytest.raises(KeyStoreError, match="not as it was written") as caught:
                verify_key_file(path, PARAMETERS)
            assert caught.value.code == "SR-KEYS-FILE"
            name = {0: "products", 5: "rotation by 1", 31: "conjugation"}[key.element]
            assert name in str(caught.value)


@pytest.mark.parametrize("digit", range(3))
@pytest.mark.parametrize("half", range(2))
@pytest.mark.parametrize("row", range(4))
def test_verifying_finds_words_that_are_not_below_their_primes(
    path: Path, digit: int, half: int, row: int
) -> None:
    prime = [*PARAMETERS.primes, *PARAMETERS.special_primes][row]
    words = KEYS[0].native.words.copy().reshape(3, 2, 4, -1)
    for excess, refused in ((-1, False), (0, True)):
        words[digit, half, row, 15] = prime + excess
        native = _native.SwitchingKey(PARAMETERS.native, 0, 3, words.reshape(-1))
        write_key_file(path, PARAMETERS, [SwitchingKey(native, PARAMETERS, 0)], replace=True)
        if refused:
            with pytest.raises(KeyStoreError, match="too large"):
                verify_key_file(path, PARAMETERS)
        else:
            verify_key_file(path, PARAMETERS)


def test_verifying_finds_what_hides_between_rows(path: Path) -> None:
    words = KEYS[0].native.words.copy().reshape(3, 2, 4, -1)
    assert not words[..., 16:].any()
    words[1, 1, 2, -1] = 1
    native = _native.SwitchingKey(PARAMETERS.native, 0, 3, words.reshape(-1))
    write_key_file(path, PARAMETERS, [SwitchingKey(native, PARAMETERS, 0)], replace=True)
    with pytest.raises(KeyStoreError, match="between its rows"):
        verify_key_file(path, PARAMETERS)


def test_verifying_finds_what_hides_between_keys(path: Path) -> None:
    data = path.read_bytes()
    for at in (44, PAGE - 1, ROWS[0][2] + ROWS[0][3], ROWS[1][2] - 1):
        path.write_bytes(data[:at] + b"\x01" + data[at + 1 :])
        KeyFile(path, PARAMETERS).close()
        with pytest.raises(KeyStoreError, match="between the keys"):
            verify_key_file(path, PARAMETERS)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_files_that_others_can_write_are_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert code_of(path) == "SR-KEYS-PERMISSIONS"
    path.chmod(0o644)
    KeyFile(path, PARAMETERS).close()


def test_files_of_another_user_are_refused_but_those_of_root(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = os.geteuid()
    real = os.fstat

    def owned_by(owner: int) -> None:
        def fstat(descriptor: int) -> os.stat_result:
            status = list(real(descriptor))
            status[stat.ST_UID] = owner
            return os.stat_result(status)

        monkeypatch.setattr(os, "fstat", fstat)

    owned_by(user + 1)
    assert code_of(path) == "SR-KEYS-PERMISSIONS"
    for owner in (user, 0):
        owned_by(owner)
        KeyFile(path, PARAMETERS).close()


def test_what_is_no_file_is_refused(path: Path, tmp_path: Path) -> None:
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(path)
    assert code_of(link) == "SR-KEYS-PERMISSIONS"
    os.mkfifo(pipe)
    assert code_of(pipe) == "SR-KEYS-FILE"
    assert code_of(tmp_path) == "SR-KEYS-FILE"
    assert code_of(tmp_path / "missing") == "SR-KEYS-FILE"


def test_a_file_that_was_shortened_after_opening_is_not_mapped(path: Path) -> None:
    file = KeyFile(path, PARAMETERS)
    os.truncate(path, PAGE)
    with pytest.raises(KeyStoreError, match=re.escape("ends too early")):
        file.map_words(0)
    file.close()


def test_a_key_file_holds_nothing_of_the_secret_key(path: Path) -> None:
    canary = SECRET.to_bytes()
    assert canary[32:] not in path.read_bytes()
