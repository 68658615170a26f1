"""The key store: private, encrypted, created once."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import keyring
import keyring.backends.null
import pytest

from strongroom.errors import KeyStoreError
from strongroom.keys.sealed_files import SealedFiles
from strongroom.keys.store import KeyStore

SECRET = b"canary-secret-0815" * 20
PASSPHRASE = "canary passphrase ü"


def _code(caught: pytest.ExceptionInfo[KeyStoreError]) -> str:
    return caught.value.code


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_secret_outlives_the_store_that_wrote_it(home: Path) -> None:
    first = KeyStore.open(passphrase=PASSPHRASE)
    assert first.secret("n12") is None
    assert first.store("n12", SECRET) == SECRET
    assert KeyStore.open(home, PASSPHRASE).secret("n12") == SECRET


def test_the_first_secret_of_a_name_counts() -> None:
    KeyStore.open(passphrase=PASSPHRASE).store("n12", SECRET)
    second = KeyStore.open(passphrase=PASSPHRASE)
    assert second.store("n12", b"another") == SECRET
    assert second.secret("n12") == SECRET


def test_looking_does_not_write(home: Path) -> None:
    store = KeyStore.open(passphrase=PASSPHRASE)
    assert store.secret("n12", create=False) is None
    assert store.entries() == ()
    assert not home.exists()


def test_folder_and_file_are_private_whatever_the_umask(home: Path) -> None:
    earlier = os.umask(0)
    try:
        KeyStore.open(passphrase=PASSPHRASE).store("n12", SECRET)
    finally:
        os.umask(earlier)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (home, *home.rglob("*"))}
    assert modes == {"home": 0o700, "keys": 0o700, "n12.key": 0o600}


def test_neither_secret_nor_passphrase_is_on_disk_or_in_text(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    store = KeyStore.open(passphrase=PASSPHRASE)
    store.store("n12", SECRET)
    other = KeyStore.open(passphrase="canary-wrong")
    with pytest.raises(KeyStoreError) as caught:
        other.secret("n12")
    shown = "".join(
        [repr(store), repr(store._custody), repr(store.entries()), str(caught.value),
         repr(caught.value), repr(caught.value.__cause__), caplog.text]
    )  # fmt: skip
    on_disk = b"".join(_files(home).values())
    for canary in ("canary", "0815"):
        assert canary not in shown
        assert canary.encode() not in on_disk


def test_a_wrong_passphrase_is_refused() -> None:
    KeyStore.open(passphrase=PASSPHRASE).store("n12", SECRET)
    with pytest.raises(KeyStoreError, match=r"n12\.key can't be opened") as caught:
        KeyStore.open(passphrase="wrong").secret("n12")
    assert _code(caught) == "SR-KEYS-PASSPHRASE"


def test_a_second_secret_can_not_be_locked_with_another_passphrase(home: Path) -> None:
    KeyStore.open(passphrase=PASSPHRASE).store("n12", SECRET)
    with pytest.raises(KeyStoreError) as caught:
        KeyStore.open(passphrase="mistyped").store("n13", SECRET)
    assert _code(caught) == "SR-KEYS-PASSPHRASE"
    assert os.listdir(home / "keys") == ["n12.key"]


def test_one_passphrase_typed_in_two_ways_is_one() -> None:
    KeyStore.open(passphrase="u\u0308ber").store("n12", SECRET)
    assert KeyStore.open(passphrase="\u00fcber").secret("n12") == SECRET


def test_an_empty_passphrase_is_refused() -> None:
    with pytest.raises(KeyStoreError) as caught:
        KeyStore.open(passphrase="")
    assert _code(caught) == "SR-KEYS-PASSPHRASE"


def test_the_environment_gives_the_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRONGROOM_PASSPHRASE", PASSPHRASE)
    KeyStore.open().store("n12", SECRET)
    monkeypatch.delenv("STRONGROOM_PASSPHRASE")
    assert KeyStore.open(passphrase=PASSPHRASE).secret("n12") == SECRET


def test_a_locked_store_says_what_to_set_before_a_key_is_made(home: Path) -> None:
    store = KeyStore.open()
    assert store.secret("n12", create=False) is None
    for call in (lambda: store.secret("n12"), lambda: store.store("n12", SECRET)):
        with pytest.raises(KeyStoreError, match="Set STRONGROOM_PASSPHRASE") as caught:
            call()
        assert _code(caught) == "SR-KEYS-LOCKED"
    assert not home.exists()


def test_an_existing_secret_without_its_passphrase_is_locked() -> None:
    KeyStore.open(passphrase=PASSPHRASE).store("n12", SECRET)
    with pytest.raises(KeyStoreError) as caught:
        KeyStore.open().secret("n12", create=False)
    assert _code(caught) == "SR-KEYS-LOCKED"


def test_a_new_passphrase_is_asked_for_twice_and_an_old_one_once() -> None:
    questions: list[str] = []

    def prompt(question: str) -> str:
        questions.append(question)
        return PASSPHRASE

    store = KeyStore.open(prompt=prompt)
    store.store("n12", SECRET)
    store.store("n13", SECRET)
    assert len(questions) == 2
    assert KeyStore.open(prompt=prompt).secret("n12") == SECRET
    assert len(questions) == 3


def test_two_different_answers_make_no_key(home: Path) -> None:
    answers = iter(["one", "two"])
    with pytest.raises(KeyStoreError, match="differ") as caught:
        KeyStore.open(prompt=lambda question: next(answers)).store("n12", SECRET)
    assert _code(caught) == "SR-KEYS-PASSPHRASE"
    assert _files(home) == {}


def test_the_keyring_is_used_where_there_is_one(home: Path, memory_keyring: object) -> None:
    KeyStore.open().store("n12", SECRET)
    assert KeyStore.open().secret("n12") == SECRET
    entries: dict[tuple[str, str], str] = memory_keyring.entries  # type: ignore[attr-defined]
    ((service, _), key) = next(iter(entries.items()))
    assert service == "strongroom"
    assert bytes.fromhex(key) not in b"".join(_files(home).values())
    assert KeyStore.open().describe("n12").locked_by == "keyring"
    KeyStore.open().delete("n12")
    assert entries == {}


def test_a_passphrase_comes_before_the_keyring(memory_keyring: object) -> None:
    KeyStore.open(passphrase=PASSPHRASE).store("n12", SECRET)
    assert memory_keyring.entries == {}  # type: ignore[attr-defined]


def test_a_keyring_that_lost_its_entry_is_locked(memory_keyring: object) -> None:
    KeyStore.open().store("n12", SECRET)
    memory_keyring.entries.clear()  # type: ignore[attr-defined]
    with pytest.raises(KeyStoreError) as caught:
        KeyStore.open().secret("n12")
    assert _code(caught) == "SR-KEYS-LOCKED"


def test_a_keyring_that_forgets_is_refused() -> None:
    keyring.set_keyring(keyring.backends.null.Keyring())
    with pytest.raises(KeyStoreError) as caught:
        KeyStore.open().store("n12", SECRET)
    assert _code(caught) == "SR-KEYS-LOCKED"


def test_a_keyring_that_says_to_keep_and_does_not_is_refused(
    memory_keyring: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_keyring, "set_password", lambda *arguments: None)
    with pytest.raises(KeyStoreError, match="did not keep") as caught:
        KeyStore.open().store("n12", SECRET)
    assert _code(caught) == "SR-KEYS-LOCKED"


def test_a_failing_keyring_does_not_quote_what_it_was_given(
    memory_keyring: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(service: str, username: str, password: str) -> None:
        raise RuntimeError(f"could not save {password}")

    monkeypatch.setattr(memory_keyring, "set_password", refuse)
    with pytest.raises(KeyStoreError, match="refuses") as caught:
        KeyStore.open().store("n12", SECRET)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def _shared_keys(home: Path) -> Path:
    KeyStore.open(passphrase=PASSPHRASE).store("n12", SECRET)
    return home / "keys"


def test_a_key_folder_that_others_can_enter_is_refused(home: Path) -> None:
    _shared_keys(home).chmod(0o750)
    with pytest.raises(KeyStoreError, match="chmod 700") as caught:
        KeyStore.open(passphrase=PASSPHRASE)
    assert _code(caught) == "SR-KEYS-PERMISSIONS"


def test_a_key_file_that_others_can_read_is_refused(home: Path) -> None:
    (_shared_keys(home) / "n12.key").chmod(0o640)
    with pytest.raises(KeyStoreError, match="chmod 600") as caught:
        KeyStore.open(passphrase=PASSPHRASE).secret("n12")
    assert _code(caught) == "SR-KEYS-PERMISSIONS"


def test_a_home_that_others_can_write_is_refused(home: Path) -> None:
    _shared_keys(home).parent.chmod(0o777)
    with pytest.raises(KeyStoreError) as caught:
        KeyStore.open(passphrase=PASSPHRASE)
    assert _code(caught) == "SR-KEYS-PERMISSIONS"


def test_a_store_of_somebody_else_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _shared_keys(home)
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(KeyStoreError, match=f"belongs to user {mine}") as caught:
        KeyStore.open(passphrase=PASSPHRASE)
    assert _code(caught) == "SR-KEYS-PERMISSIONS"


def test_a_folder_behind_a_link_of_somebody_else_is_refused(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _shared_keys(home)
    link = tmp_path / "link"
    link.symlink_to(home)
    assert KeyStore.open(link, PASSPHRASE).secret("n12") == SECRET
    original = os.lstat

    def planted(path: os.PathLike[str]) -> os.stat_result:
        status = original(path)
        if Path(path) != link:
            return status
        fields = list(status)
        fields[stat.ST_UID] = status.st_uid + 1
        return os.stat_result(fields)

    monkeypatch.setattr(os, "lstat", planted)
    with pytest.raises(KeyStoreError) as caught:
        KeyStore.open(link, PASSPHRASE)
    assert _code(caught) == "SR-KEYS-PERMISSIONS"


def test_a_key_file_behind_a_link_is_refused(home: Path, tmp_path: Path) -> None:
    keys = _shared_keys(home)
    (keys / "n12.key").rename(tmp_path / "elsewhere")
    (keys / "n12.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyStoreError, match="symbolic link") as caught:
        KeyStore.open(passphrase=PASSPHRASE).secret("n12")
    assert _code(caught) == "SR-KEYS-PERMISSIONS"


def test_what_is_no_key_file_is_refused(home: Path) -> None:
    keys = _shared_keys(home)
    os.mkfifo(keys / "pipe.key", 0o600)
    (keys / "folder.key").mkdir(0o700)
    store = KeyStore.open(passphrase=PASSPHRASE)
    for name in ("pipe", "folder"):
        with pytest.raises(KeyStoreError) as caught:
            store.secret(name)
        assert _code(caught) == "SR-KEYS-FILE"


def test_a_renamed_key_file_is_refused(home: Path) -> None:
    keys = _shared_keys(home)
    (keys / "n12.key").rename(keys / "n13.key")
    with pytest.raises(KeyStoreError, match="belongs to another name") as caught:
        KeyStore.open(passphrase=PASSPHRASE).secret("n13")
    assert _code(caught) == "SR-KEYS-FILE"


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a\n", "ü", "x" * 65])
def test_a_name_can_not_leave_the_folder(name: str, home: Path) -> None:
    store = KeyStore.open(passphrase=PASSPHRASE)
    for call in (store.secret, store.describe, store.delete, lambda n: store.store(n, SECRET)):
        with pytest.raises(KeyStoreError) as caught:
            call(name)  # type: ignore[operator]
        assert _code(caught) == "SR-KEYS-FILE"
    assert not home.exists()


def test_entries_describe_without_opening(home: Path) -> None:
    store = KeyStore.open(passphrase=PASSPHRASE)
    store.store("n13", SECRET)
    store.store("n12", SECRET)
    (home / "keys" / ".strongroom-00.partial").write_bytes(b"left by a crash")
    entries = KeyStore.open().entries()
    assert [entry.name for entry in entries] == ["n12", "n13"]
    assert entries[0].locked_by == "passphrase"
    assert entries[0].parameters == "Argon2id, 1 passes, 1 lanes, 128 KiB"
    assert entries[0].created.endswith("Z")


def test_a_deleted_secret_is_gone(home: Path) -> None:
    store = KeyStore.open(passphrase=PASSPHRASE)
    store.store("n12", SECRET)
    store.delete("n12")
    assert store.secret("n12") is None
    assert _files(home) == {}
    for call in (store.delete, store.describe):
        with pytest.raises(KeyStoreError, match="no key n12") as caught:
            call("n12")
        assert _code(caught) == "SR-KEYS-FILE"


def test_a_damaged_key_file_can_be_deleted(home: Path) -> None:
    (_shared_keys(home) / "n12.key").write_bytes(b"damaged")
    KeyStore.open(passphrase=PASSPHRASE).delete("n12")
    assert _files(home) == {}


def test_a_store_in_memory_touches_no_disk(home: Path) -> None:
    store = KeyStore.in_memory()
    assert store.secret("n12") is None
    assert store.store("n12", SECRET) == SECRET
    assert store.store("n12", b"another") == SECRET
    assert [entry.locked_by for entry in store.entries()] == ["memory"]
    store.pins.pin("https://a", "m", "identity:" + "0" * 64)
    store.delete("n12")
    assert store.secret("n12") is None
    assert not home.exists()


_RACER = """
import sys
from strongroom.keys.store import KeyStore
store = KeyStore.open(passphrase="race")
print("ready", flush=True)
sys.stdin.readline()
print(store.store("n12", sys.argv[1].encode() * 1000).hex()[:8])
"""


def test_of_processes_that_race_one_wins_and_all_use_its_secret(home: Path) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _RACER, letter],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for letter in "ab"
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    answers = {racer.communicate(timeout=60)[0] for racer in racers}
    assert len(answers) == 1
    winner = KeyStore.open(passphrase="race").secret("n12")
    assert winner is not None
    assert answers == {winner.hex()[:8] + "\n"}
    assert list(_files(home)) == ["keys/n12.key"]


def test_losing_a_race_gives_the_winner_s_secret(
    monkeypatch: pytest.MonkeyPatch, memory_keyring: object
) -> None:
    loser, winner = KeyStore.open(), KeyStore.open()
    assert loser.secret("n12") is None
    create = SealedFiles.create

    def late(self: SealedFiles, name: str, *arguments: Any) -> None:
        if self is loser._files:
            winner.store(name, b"winner")
        create(self, name, *arguments)

    monkeypatch.setattr(SealedFiles, "create", late)
    assert loser.store("n12", b"loser") == b"winner"
    assert len(memory_keyring.entries) == 1  # type: ignore[attr-defined]
