"""Identities by name: sealed private half, public line in the clear, made once."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom.errors import KeyStoreError
from strongroom.keys.identity import Identity, PublicIdentity
from strongroom.keys.identity_store import IdentityStore, default_identity
from strongroom.keys.sealed_files import SealedFiles

PASSPHRASE = "canary passphrase ü"


@pytest.fixture
def store() -> IdentityStore:
    return IdentityStore.open(passphrase=PASSPHRASE)


def _refusal(call: object, *arguments: object, **options: object) -> str:
    with pytest.raises(KeyStoreError) as caught:
        call(*arguments, **options)  # type: ignore[operator]
    return caught.value.code


def test_an_identity_outlives_the_store_that_made_it(home: Path, store: IdentityStore) -> None:
    made = store.create()
    found = IdentityStore.open(home, passphrase=PASSPHRASE).identity()
    assert found.to_bytes() == made.to_bytes()
    assert found.public.name == "default"
    assert default_identity(PASSPHRASE).fingerprint == made.fingerprint


def test_the_public_half_needs_no_passphrase(store: IdentityStore) -> None:
    made = store.create("ann@clinic")
    public = IdentityStore.open().public("ann@clinic")
    assert public == made.public
    assert public.name == "ann@clinic"
    assert PublicIdentity.from_text(store.public_path("ann@clinic").read_text()) == public


def test_looking_does_not_write(home: Path, store: IdentityStore) -> None:
    assert store.names() == []
    for call in (store.identity, store.public, store.header, lambda: store.remove("default")):
        assert _refusal(call) == "SR-IDENTITY-MISSING"
    assert not home.exists()


def test_a_missing_default_identity_says_how_to_make_one() -> None:
    with pytest.raises(KeyStoreError, match="strongroom keygen") as caught:
        default_identity(PASSPHRASE)
    assert caught.value.code == "SR-IDENTITY-MISSING"


def test_an_identity_is_never_replaced(store: IdentityStore) -> None:
    made = store.create()
    assert _refusal(store.create) == "SR-IDENTITY-EXISTS"
    assert store.identity().fingerprint == made.fingerprint


def test_a_public_line_without_its_private_half_is_not_written_over(
    home: Path, store: IdentityStore
) -> None:
    made = store.create()
    (home / "identities" / "default.key").unlink()
    assert _refusal(store.create) == "SR-IDENTITY-EXISTS"
    assert store.public() == made.public
    assert _refusal(store.identity) == "SR-IDENTITY-MISSING"


def test_losing_a_race_leaves_the_winner_s_identity(
    store: IdentityStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = SealedFiles.create
    winner: list[Identity] = []

    def late(self: SealedFiles, *arguments: object) -> None:
        if not winner:
            winner.append(Identity.generate("default"))
            winner[0] = IdentityStore.open(passphrase=PASSPHRASE).create()
        create(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(SealedFiles, "create", late)
    assert _refusal(store.create) == "SR-IDENTITY-EXISTS"
    assert store.identity().fingerprint == winner[0].fingerprint
    assert store.public() == winner[0].public


def test_the_private_half_is_private_whatever_the_umask(home: Path, store: IdentityStore) -> None:
    earlier = os.umask(0)
    try:
        store.create()
    finally:
        os.umask(earlier)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (home, *home.rglob("*"))}
    assert modes == {
        "home": 0o700,
        "identities": 0o700,
        "default.key": 0o600,
        "default.pub": 0o644,
    }


def test_no_seed_and_no_passphrase_is_on_disk_or_in_text(
    home: Path, store: IdentityStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    seeds = store.create().to_bytes()
    with pytest.raises(KeyStoreError) as caught:
        IdentityStore.open(passphrase="canary-wrong").identity()
    shown = repr(store) + str(caught.value) + repr(caught.value.__cause__) + caplog.text
    on_disk = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert "canary" not in shown
    assert b"canary" not in on_disk
    for start in range(0, len(seeds), 32):
        assert seeds[start : start + 32] not in on_disk


def test_a_wrong_passphrase_is_refused(store: IdentityStore) -> None:
    store.create()
    assert _refusal(IdentityStore.open(passphrase="wrong").identity) == "SR-KEYS-PASSPHRASE"


def test_each_identity_may_have_a_passphrase_of_its_own(store: IdentityStore) -> None:
    store.create("owner")
    IdentityStore.open(passphrase="another").create("server")
    assert store.names() == ["owner", "server"]
    assert store.identity("owner").public == store.public("owner")
    assert _refusal(store.identity, "server") == "SR-KEYS-PASSPHRASE"


def test_the_passphrase_asked_for_is_that_of_the_identity(store: IdentityStore) -> None:
    store.create("owner")
    IdentityStore.open(passphrase="another").create("server")
    answers = {
        "Passphrase of the identity owner": PASSPHRASE,
        "Passphrase of the identity server": "another",
    }
    asking = IdentityStore.open(prompt=answers.__getitem__)
    assert asking.identity("owner").public.name == "owner"
    assert asking.identity("server").public.name == "server"


def test_with_nothing_to_lock_it_no_identity_is_made(home: Path) -> None:
    assert _refusal(IdentityStore.open().create) == "SR-KEYS-LOCKED"
    assert not home.exists()


def test_a_chosen_passphrase_is_asked_for_although_there_is_a_keyring(
    memory_keyring: object,
) -> None:
    assert _refusal(IdentityStore.open().create, custody="passphrase") == "SR-KEYS-LOCKED"
    IdentityStore.open(prompt=lambda question: PASSPHRASE).create(custody="passphrase")
    assert default_identity(PASSPHRASE).public.name == "default"
    assert memory_keyring.entries == {}  # type: ignore[attr-defined]


def test_a_chosen_keyring_is_used_although_there_is_a_passphrase(
    store: IdentityStore, memory_keyring: object
) -> None:
    made = store.create(custody="keyring")
    assert default_identity().fingerprint == made.fingerprint
    store.remove("default")
    assert memory_keyring.entries == {}  # type: ignore[attr-defined]


def test_a_keyring_that_is_not_there_is_not_replaced_by_a_passphrase(
    home: Path, store: IdentityStore
) -> None:
    assert _refusal(store.create, custody="keyring") == "SR-KEYS-LOCKED"
    assert not home.exists()


def test_an_exchanged_public_line_is_found_when_the_identity_is_opened(
    store: IdentityStore,
) -> None:
    store.create()
    foreign = Identity.generate("default").public
    store.public_path().write_text(foreign.to_text())
    assert _refusal(store.identity) == "SR-IDENTITY-FILE"


def test_a_damaged_public_line_is_refused_by_its_path(store: IdentityStore) -> None:
    store.create()
    store.public_path().write_bytes(b"strongroom-identity-1 \xff default\n")
    with pytest.raises(KeyStoreError, match=r"default\.pub is damaged") as caught:
        store.public()
    assert caught.value.code == "SR-IDENTITY-FILE"


def test_a_public_line_that_others_could_write_is_refused(store: IdentityStore) -> None:
    store.create()
    store.public_path().chmod(0o666)
    assert _refusal(store.public) == "SR-KEYS-PERMISSIONS"


def test_a_lost_public_line_comes_back_with_the_next_use(store: IdentityStore) -> None:
    made = store.create()
    store.public_path().unlink()
    assert _refusal(store.public) == "SR-IDENTITY-MISSING"
    store.identity()
    assert store.public() == made.public


def test_a_renamed_identity_is_refused(home: Path, store: IdentityStore) -> None:
    store.create()
    (home / "identities" / "default.key").rename(home / "identities" / "other.key")
    assert _refusal(store.identity, "other") == "SR-KEYS-FILE"


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "@a", "a\n", "ü", "x" * 65])
def test_a_name_can_not_leave_the_folder(name: str, home: Path, store: IdentityStore) -> None:
    for call in (store.create, store.identity, store.public, store.header, store.remove):
        assert _refusal(call, name) == "SR-KEYS-FILE"
    assert not home.exists()


def test_a_removed_identity_is_gone(home: Path, store: IdentityStore) -> None:
    store.create("other")
    kept = store.create()
    store.remove("other")
    assert store.names() == ["default"]
    assert _refusal(store.public, "other") == "SR-IDENTITY-MISSING"
    assert _refusal(store.remove, "other") == "SR-IDENTITY-MISSING"
    assert store.identity().fingerprint == kept.fingerprint


def test_a_damaged_identity_can_be_removed(home: Path, store: IdentityStore) -> None:
    store.create()
    (home / "identities" / "default.key").write_bytes(b"damaged")
    store.remove("default")
    assert list((home / "identities").iterdir()) == []


def test_another_lock_leaves_the_identity_as_it_is(store: IdentityStore) -> None:
    made, created = store.create(), store.header().created
    store.lock(passphrase="the next one")
    assert _refusal(store.identity) == "SR-KEYS-PASSPHRASE"
    assert default_identity("the next one").to_bytes() == made.to_bytes()
    assert store.header().created == created
    assert store.public() == made.public


def test_the_environment_s_passphrase_opens_and_the_new_one_locks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STRONGROOM_PASSPHRASE", "old")
    made = IdentityStore.open().create()
    with pytest.raises(KeyStoreError, match="Set STRONGROOM_NEW_PASSPHRASE"):
        IdentityStore.open().lock()
    monkeypatch.setenv("STRONGROOM_NEW_PASSPHRASE", "new")
    IdentityStore.open().lock()
    assert default_identity("new").fingerprint == made.fingerprint


def test_a_passphrase_is_asked_once_to_open_and_twice_to_lock(store: IdentityStore) -> None:
    store.create()
    questions: list[str] = []

    def prompt(question: str) -> str:
        questions.append(question)
        return PASSPHRASE if len(questions) == 1 else "new"

    IdentityStore.open(prompt=prompt).lock()
    assert len(questions) == 3
    assert default_identity("new").public.name == "default"


def test_a_lock_that_fails_leaves_the_old_one(store: IdentityStore) -> None:
    made = store.create()
    assert _refusal(store.lock, custody="keyring") == "SR-KEYS-LOCKED"
    assert _refusal(IdentityStore.open(passphrase="wrong").lock, passphrase="x") == (
        "SR-KEYS-PASSPHRASE"
    )
    assert store.identity().fingerprint == made.fingerprint


def test_leaving_the_keyring_forgets_what_it_kept(
    store: IdentityStore, memory_keyring: object
) -> None:
    made = store.create(custody="keyring")
    store.lock(passphrase="new")
    assert memory_keyring.entries == {}  # type: ignore[attr-defined]
    assert default_identity("new").fingerprint == made.fingerprint


_LOCKER = """
import sys
from strongroom.keys import custody
from strongroom.keys.identity_store import IdentityStore
from strongroom.keys.sealing import Passphrase
custody.fresh_lock = lambda: Passphrase(salt="00" * 16, iterations=1, lanes=1, memory_kib=128)
store = IdentityStore.open(passphrase="same")
print("ready", flush=True)
while True:
    store.lock(passphrase="same")
"""


def test_killed_while_locking_leaves_a_whole_identity(home: Path) -> None:
    made = IdentityStore.open(passphrase="same").create()
    for wait_lines in range(3):
        locker = subprocess.Popen(
            [sys.executable, "-c", _LOCKER], stdout=subprocess.PIPE, text=True
        )
        assert locker.stdout is not None
        assert locker.stdout.readline() == "ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            locker.wait(0.02 + 0.03 * wait_lines)
        locker.send_signal(signal.SIGKILL)
        locker.communicate()
        assert IdentityStore.open(passphrase="same").identity().fingerprint == made.fingerprint
