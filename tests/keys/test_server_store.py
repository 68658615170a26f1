"""A server's key store: chunks that can be resumed, checked and opened; nothing half-used."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from small_key_sets import (
    NAME,
    client_keys,
    folder_of,
    needs,
    objects,
    open_store,
    send,
    send_all,
    wanted,
    words,
)

from strongroom.engine import (
    SecretKey,
    catalogued,
    switching_key_from_bytes,
    verify_key_file,
)
from strongroom.errors import CiphertextError, KeyStoreError, ServerError
from strongroom.keys.key_sets import ClientKeySet, key_set_identifier
from strongroom.keys.server_layout import PUBLIC, KeySetFolder, Wanted
from strongroom.keys.server_objects import object_sizes, store_object
from strongroom.keys.server_sets import WorkerKeySets
from strongroom.keys.server_store import ServerKeyStore

pytestmark = pytest.mark.usefixtures("small_ring")

EVENTS = {"open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.utime", "os.rmdir"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ServerKeyStore]:
    with closing(open_store(tmp_path / "keys")) as opened:
        yield opened


def code_of(caught: pytest.ExceptionInfo[ServerError]) -> tuple[str, int]:
    return caught.value.code, caught.value.http_status


def test_a_set_grows_by_what_is_missing_and_nothing_there_is_written_again(
    store: ServerKeyStore, tmp_path: Path
) -> None:
    source = client_keys(1, 2)
    folder = folder_of(store, "clinic", source)
    assert store.missing(folder, wanted(source.needs)) == wanted(source.needs)
    send_all(store, "clinic", source)
    assert store.missing(folder, wanted(source.needs)) == Wanted((), 0)
    before = {path: path.stat() for path in folder.path.glob("*.key")}
    more = needs(1, 2, 5)
    missing = store.missing(folder, wanted(more))
    assert [element for element, _ in missing.keys] == [
        need.element for need in more.keys if need not in source.needs.keys
    ]
    (need,) = [need for need in more.keys if need not in source.needs.keys]
    send(store, folder, source.evaluation_key(need))
    assert store.missing(folder, wanted(more)).keys == ()
    assert {path: path.stat() for path in before} == before
    assert len(list(folder.path.glob("*.key"))) == len(before) + 1
    assert list(folder.uploads.iterdir()) == []


def test_a_stored_key_takes_what_was_predicted(store: ServerKeyStore) -> None:
    sizes = dict(object_sizes(catalogued(NAME)))
    for limbs in (1, 2):
        source = client_keys(1, limbs=limbs)
        folder = folder_of(store, "clinic", source)
        expected = 0
        for content in objects(source):
            expected += sizes[len(content)]
            send(store, folder, content)
            (described,) = [
                one for one in store.sets("clinic") if one.key_set == source.identifier.hex()
            ]
            assert described.bytes == expected


def test_keys_are_opened_as_they_were_made(store: ServerKeyStore, tmp_path: Path) -> None:
    source = client_keys(1, 3)
    folder = folder_of(store, "clinic", source)
    made = [source.evaluation_key(need) for need in source.needs.keys]
    for content in [source.public_key(), *made]:
        send(store, folder, content)
    parameters = catalogued(NAME)
    expected = {
        need.element: switching_key_from_bytes(parameters, content).native.words.tobytes()
        for need, content in zip(source.needs.keys, made, strict=True)
    }
    sets = WorkerKeySets(tmp_path / "keys", 1 << 20)
    for _ in range(3):
        with sets.of("clinic") as keys:
            opened = keys.open(source.identifier, source.needs)
            assert opened.evaluation_keys.elements == set(expected)
            assert words(opened.evaluation_keys, expected) == expected
            assert opened.public_key.limbs == source.needs.public_limbs


def test_missing_keys_are_named_in_words(store: ServerKeyStore, tmp_path: Path) -> None:
    source = client_keys(1)
    sets = WorkerKeySets(tmp_path / "keys", 1 << 20)
    with sets.of("clinic") as keys, pytest.raises(KeyStoreError) as caught:
        keys.open(source.identifier, needs(1, 5))
    assert code_of(caught) == ("SR-KEYS-MISSING", 424)
    for name in ("the public key", "products", "rotation by 1 step,", "rotation by 5 steps"):
        assert name in str(caught.value)
    send_all(store, "clinic", source)
    with sets.of("clinic") as keys, pytest.raises(KeyStoreError) as caught:
        keys.open(source.identifier, needs(1, 5))
    assert "lacks rotation by 5 steps." in str(caught.value)
    many = needs(*range(1, 30))
    with sets.of("clinic") as keys, pytest.raises(KeyStoreError, match="and 20 more"):
        keys.open(source.identifier, many)


def test_a_key_of_more_primes_serves_and_replaces_one_of_fewer(
    store: ServerKeyStore, tmp_path: Path
) -> None:
    secret = SecretKey.generate(catalogued(NAME))
    low, high = client_keys(1, secret=secret, limbs=1), client_keys(1, secret=secret, limbs=2)
    folder = send_all(store, "clinic", low)
    assert len(store.missing(folder, wanted(high.needs)).keys) == 2
    send_all(store, "clinic", high)
    assert {key.limbs for key in folder.stored_keys() if key.element != PUBLIC} == {2}
    for content in objects(low)[1:]:
        assert send(store, folder, content).stored
    assert {key.limbs for key in folder.stored_keys() if key.element != PUBLIC} == {2}
    with WorkerKeySets(tmp_path / "keys", 1 << 20).of("clinic") as keys:
        assert keys.open(low.identifier, low.needs).evaluation_keys.elements


def test_a_chunk_may_come_twice_and_none_may_be_left_out(store: ServerKeyStore) -> None:
    source = client_keys()
    folder = folder_of(store, "clinic", source)
    content = source.public_key()
    digest, size = hashlib.sha256(content).hexdigest(), len(content)
    for offset in (0, 0, 5_000):
        state = store.append(folder, digest, size, offset, content[offset : offset + 10_000])
        assert state.received_bytes == offset + 10_000
    for offset, chunk in ((15_001, b"x"), (size, b""), (0, content + b"x")):
        with pytest.raises(ServerError) as caught:
            store.append(folder, digest, size, offset, chunk)
        assert code_of(caught) == ("SR-KEYS-UPLOAD", 409)
    assert store.append(folder, digest, size, 0, content[:9]).received_bytes == 15_000
    assert folder.upload(digest, size).path.read_bytes() == content[:15_000]


@pytest.mark.parametrize("size", [1, 100, 98_383, 98_385, 2**40])
def test_what_can_not_be_a_key_is_refused_at_its_first_byte(
    store: ServerKeyStore, size: int
) -> None:
    folder = folder_of(store, "clinic", client_keys())
    with pytest.raises(ServerError) as caught:
        store.append(folder, "ab" * 32, size, 0, b"x")
    assert code_of(caught) == ("SR-KEYS-UPLOAD", 413 if size > 98_384 else 400)
    other = store.folder("clinic", "n12-q104-v1", "00" * 16)
    with pytest.raises(ServerError, match="no model of this server"):
        store.append(other, "ab" * 32, 98_384, 0, b"x")
    assert not folder.path.exists()


@pytest.mark.parametrize(
    ("parameters", "key_set"),
    [("..", "0" * 32), ("n12/../x", "0" * 32), ("", ""), (NAME, "0" * 31), (NAME, "../" * 8)],
)
def test_names_lead_nowhere_else(store: ServerKeyStore, parameters: str, key_set: str) -> None:
    with pytest.raises(ServerError) as caught:
        store.folder("clinic", parameters, key_set)
    assert code_of(caught) == ("SR-KEYS-UPLOAD", 404)
    with pytest.raises(ServerError) as caught:
        store.folder("..", NAME, "0" * 32)
    assert caught.value.code == "SR-SERVER-CONFIG"
    with pytest.raises(ServerError):
        store.state(store.folder("clinic", NAME, "0" * 32), "../" * 20 + "abcd")


def _pretend(store: ServerKeyStore, content: bytes, digest: str | None = None) -> None:
    """Bring a whole object to its check."""
    folder = store.folder("clinic", NAME, "0" * 32)
    digest = digest or hashlib.sha256(content).hexdigest()
    store.append(folder, digest, len(content), 0, content)
    upload = folder.upload(digest, len(content))
    try:
        store_object(folder, upload)
    finally:
        assert folder.stored_keys() == []


def test_an_object_that_is_no_key_never_becomes_one(store: ServerKeyStore) -> None:
    source = client_keys(1)
    good = source.evaluation_key(source.needs.keys[1])
    with pytest.raises(ServerError) as caught:
        _pretend(store, good, hashlib.sha256(b"other").hexdigest())
    assert code_of(caught) == ("SR-KEYS-UPLOAD", 400)
    changes = {
        "magic": (b"x" + good[1:], "SR-CIPHERTEXT-FORMAT"),
        "kind": (good[:5] + b"\1" + good[6:], "SR-CIPHERTEXT-FORMAT"),
        "limbs": (good[:6] + b"\3" + good[7:], "SR-CIPHERTEXT-MISMATCH"),
        "digest": (good[:8] + bytes(32) + good[40:], "SR-CIPHERTEXT-MISMATCH"),
        "element": (good[:44] + struct.pack("<I", 4) + good[48:], "SR-CIPHERTEXT-FORMAT"),
        "range": (good[:80] + b"\xff" * (len(good) - 80), "SR-CIPHERTEXT-RANGE"),
    }
    for changed, code in changes.values():
        with pytest.raises(CiphertextError) as refused:
            _pretend(store, changed)
        assert refused.value.code == code


def test_everything_is_private_to_the_servers_user(store: ServerKeyStore, tmp_path: Path) -> None:
    earlier = os.umask(0)
    try:
        send_all(store, "clinic", client_keys(1))
        store.append(store.folder("clinic", NAME, "0" * 32), "ab" * 32, 98_384, 0, b"x")
    finally:
        os.umask(earlier)
    for path in (tmp_path / "keys").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o755)
    with pytest.raises(KeyStoreError) as caught:
        open_store(tmp_path / "keys")
    assert caught.value.code == "SR-KEYS-PERMISSIONS"


def test_two_servers_do_not_share_a_folder(store: ServerKeyStore, tmp_path: Path) -> None:
    with pytest.raises(ServerError) as caught:
        open_store(tmp_path / "keys")
    assert caught.value.code == "SR-SERVER-CONFIG"


def test_a_damaged_key_is_a_missing_one(store: ServerKeyStore, tmp_path: Path) -> None:
    source = client_keys(1)
    folder = send_all(store, "clinic", source)
    paths = sorted(folder.path.glob("*.key"))
    for path in paths:
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content[: len(content) // 2])
        path.chmod(0o600)
        sets = WorkerKeySets(tmp_path / "keys", 1 << 20)
        with sets.of("clinic") as keys, pytest.raises(KeyStoreError) as caught:
            keys.open(source.identifier, source.needs)
        assert code_of(caught) == ("SR-KEYS-MISSING", 424)
        assert not path.exists()
        path.write_bytes(content)
        path.chmod(0o600)


def test_a_set_that_is_removed_serves_the_running_request_to_its_end(
    store: ServerKeyStore, tmp_path: Path
) -> None:
    source = client_keys(1)
    folder = send_all(store, "clinic", source)
    sets = WorkerKeySets(tmp_path / "keys", 0)
    with sets.of("clinic") as keys:
        opened = keys.open(source.identifier, source.needs)
        before = words(opened.evaluation_keys, [0])
        store.delete(folder)
        assert words(opened.evaluation_keys, [0]) == before
    with sets.of("clinic") as keys, pytest.raises(KeyStoreError, match="lacks"):
        keys.open(source.identifier, source.needs)
    assert store.sets("clinic") == []
    assert list((tmp_path / "keys" / "removed").iterdir()) == []
    open_files = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.exists()]
    assert not [name for name in open_files if str(tmp_path) in name and ".key" in name]


def test_the_identifier_is_the_secrets_own_and_says_nothing_of_it() -> None:
    parameters = catalogued(NAME)
    secret = SecretKey.generate(parameters)
    again = SecretKey.from_bytes(parameters, secret.to_bytes())
    identifier = key_set_identifier(secret)
    assert key_set_identifier(again) == identifier
    assert len(identifier) == 16
    assert key_set_identifier(SecretKey.generate(parameters)) != identifier
    assert identifier not in secret.to_bytes()
    # RFC 5869 by hand.
    import hmac

    extracted = hmac.digest(parameters.digest, secret.to_bytes(), "sha256")
    info = b"strongroom key set identifier 1"
    assert hmac.digest(extracted, info + b"\1", "sha256")[:16] == identifier


class Crash(BaseException):
    """A process that ends between two operations on files."""


class Crashing:
    """Ends a scenario before its n-th operation on files, and all that would follow."""

    def __init__(self) -> None:
        self.left: int | None = None
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.left is None or event not in EVENTS:
            return
        if self.left <= 0:
            raise Crash
        self.left -= 1


crashing = Crashing()


def _scenario(store: ServerKeyStore, folder: KeySetFolder, content: list[bytes]) -> None:
    for one in content:
        send(store, folder, one)


def test_a_crash_anywhere_in_an_upload_loses_nothing_and_half_uses_nothing(
    tmp_path: Path,
) -> None:
    source = client_keys(1)
    parameters = catalogued(NAME)
    content = objects(source)[1:]
    expected = {
        need.element: switching_key_from_bytes(parameters, one).native.words.tobytes()
        for need, one in zip(source.needs.keys, content, strict=True)
    }
    public = source.public_key()
    for operations in range(1000):
        root = tmp_path / str(operations)
        store = open_store(root)
        folder = folder_of(store, "clinic", source)
        send(store, folder, public)
        crashing.left = operations
        try:
            _scenario(store, folder, content)
            finished = True
        except Crash:
            finished = False
        finally:
            crashing.left = None
        confirmed = sum(_state(store, folder, one) for one in content)
        store.close()
        with closing(open_store(root)) as again:
            for path in folder.path.glob("*.key"):
                if not path.name.startswith("public"):
                    verify_key_file(path, parameters)
            assert sum(_state(again, folder, one) for one in content) == confirmed
            _scenario(again, folder, content)
            assert again.missing(folder, wanted(source.needs)).keys == ()
            with WorkerKeySets(root, 1 << 30).of("clinic") as keys:
                opened = keys.open(source.identifier, source.needs)
                assert words(opened.evaluation_keys, expected) == expected
            assert sorted(path.name[:3] for path in folder.path.iterdir()) == sorted(
                [*(key.name[:3] for key in folder.stored_keys()), "upl", "use"]
            )
            (described,) = again.sets("clinic")
            assert described.bytes == sum(
                path.stat().st_size for path in folder.path.iterdir() if path.is_file()
            )
        if finished:
            break
    assert operations > 20, "the scenario has that many places to crash at"


def _state(store: ServerKeyStore, folder: KeySetFolder, content: bytes) -> int:
    state = store.state(folder, hashlib.sha256(content).hexdigest())
    return len(content) if state.stored else state.received_bytes


def test_what_a_killed_worker_left_is_cleared_away(tmp_path: Path) -> None:
    source = client_keys()
    with closing(open_store(tmp_path)) as store:
        folder = send_all(store, "clinic", source)
        left = folder.path / ".strongroom-0123456789abcdef.partial"
        left.write_bytes(bytes(1000))
        (tmp_path / "removed" / "abc").mkdir()
        assert store.sets("clinic")[0].bytes > 1000
    with closing(open_store(tmp_path)):
        assert not left.exists()
        assert list((tmp_path / "removed").iterdir()) == []


def test_the_key_source_of_a_client_makes_what_is_asked_for() -> None:
    source = client_keys(4)
    assert isinstance(source, ClientKeySet)
    for need in source.needs.keys:
        key = switching_key_from_bytes(
            catalogued(NAME), source.evaluation_key(need), element=need.element, limbs=need.limbs
        )
        assert key.element == need.element
