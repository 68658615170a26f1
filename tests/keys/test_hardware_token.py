"""Identities locked by a PKCS#11 token; the token is SoftHSM 2."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pkcs11
import pytest

from strongroom.errors import KeyStoreError
from strongroom.keys.identity_store import IdentityStore, default_identity

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "canary-5678"
CUSTODY = "pkcs11:token=strong%20room;object=wrapping"


@pytest.fixture(scope="module")
def soft_token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh token, "strong room"; the library reads its settings once a process."""
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    earlier = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(settings)
    tool = shutil.which("softhsm2-util")
    assert tool is not None, "install Debian's softhsm2, as .ci/run does"
    for label in ("strong room", "empty"):
        subprocess.run(
            [tool, "--init-token", "--free", "--label", label, "--so-pin", "1234", "--pin", PIN],
            check=True,
            capture_output=True,
        )
    yield folder / "tokens"
    pkcs11.unload(MODULE)
    if earlier is None:
        del os.environ["SOFTHSM2_CONF"]
    else:
        os.environ["SOFTHSM2_CONF"] = earlier


@pytest.fixture(autouse=True)
def token(soft_token: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STRONGROOM_PKCS11_MODULE", MODULE)
    monkeypatch.setenv("STRONGROOM_PKCS11_PIN", PIN)
    return soft_token


def _header(home: Path, name: str = "default") -> dict[str, Any]:
    data = (home / "identities" / f"{name}.key").read_bytes()
    unlock: dict[str, Any] = json.loads(data[16 : 16 + int.from_bytes(data[12:16], "little")])
    return unlock["unlock"]


def _refusal(call: Any, *arguments: Any, match: str | None = None, **options: Any) -> str:
    with pytest.raises(KeyStoreError, match=match) as caught:
        call(*arguments, **options)
    assert PIN not in str(caught.value)
    return caught.value.code


def test_an_identity_opens_with_the_token_and_its_pin(home: Path) -> None:
    made = IdentityStore.open().create(custody=CUSTODY)
    assert default_identity().to_bytes() == made.to_bytes()
    header = _header(home)
    assert header.keys() == {"type", "token", "object", "nonce", "wrapped"}
    assert (header["type"], header["token"], header["object"]) == (
        "pkcs11",
        "strong room",
        "wrapping",
    )


def test_the_wrapping_key_never_leaves_the_token_and_serves_every_file(home: Path) -> None:
    store = IdentityStore.open()
    made = [store.create(name, custody=CUSTODY) for name in ("a", "b")]
    with pkcs11.lib(MODULE).get_token(token_label="strong room").open(user_pin=PIN) as session:
        (key,) = session.get_objects({pkcs11.Attribute.LABEL: "wrapping"})
        assert key.key_length == 256
        assert key[pkcs11.Attribute.SENSITIVE]
        assert not key[pkcs11.Attribute.EXTRACTABLE]
        assert key[pkcs11.Attribute.NEVER_EXTRACTABLE]
        with pytest.raises(pkcs11.exceptions.AttributeSensitive):
            key[pkcs11.Attribute.VALUE]
    assert [store.identity(name).fingerprint for name in "ab"] == [one.fingerprint for one in made]
    assert _header(home, "a")["wrapped"] != _header(home, "b")["wrapped"]


def test_the_pin_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRONGROOM_PKCS11_PIN")
    assert _refusal(IdentityStore.open().create, custody=CUSTODY) == "SR-KEYS-LOCKED"
    questions: list[str] = []

    def prompt(question: str) -> str:
        questions.append(question)
        return PIN

    made = IdentityStore.open(prompt=prompt).create(custody=CUSTODY)
    assert default_identity(prompt=prompt).fingerprint == made.fingerprint
    assert questions == ["PIN of the token strong room"] * 2


def test_a_wrong_pin_is_refused_and_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    IdentityStore.open().create(custody=CUSTODY)
    monkeypatch.setenv("STRONGROOM_PKCS11_PIN", "canary-0000")
    with pytest.raises(KeyStoreError, match="PIN is wrong") as caught:
        default_identity()
    assert caught.value.code == "SR-KEYS-CUSTODY"
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    flags = pkcs11.lib(MODULE).get_token(token_label="strong room").flags
    assert pkcs11.TokenFlag.USER_PIN_LOCKED not in flags


def test_a_wrap_moved_to_another_file_does_not_open(home: Path) -> None:
    store = IdentityStore.open()
    for name in ("a", "b"):
        store.create(name, custody=CUSTODY)
    data = (home / "identities" / "b.key").read_bytes()
    wrapped = {name: _header(home, name)["wrapped"].encode() for name in "ab"}
    (home / "identities" / "b.key").write_bytes(data.replace(wrapped["b"], wrapped["a"]))
    assert _refusal(store.identity, "b") == "SR-KEYS-CUSTODY"
    assert store.identity("a").public == store.public("a")


def test_a_token_that_lost_its_key_is_not_given_a_new_one(home: Path) -> None:
    store = IdentityStore.open()
    store.create(custody="pkcs11:token=strong%20room;object=short-lived")
    with (
        pkcs11.lib(MODULE)
        .get_token(token_label="strong room")
        .open(rw=True, user_pin=PIN) as session
    ):
        for key in session.get_objects({pkcs11.Attribute.LABEL: "short-lived"}):
            key.destroy()
    refused = _refusal(store.identity, match="does not hold the wrapping key")
    assert refused == "SR-KEYS-CUSTODY"


def test_another_token_does_not_open_it(home: Path) -> None:
    store = IdentityStore.open()
    store.create(custody=CUSTODY)
    path = home / "identities" / "default.key"
    data = path.read_bytes()
    head = data[16 : 16 + int.from_bytes(data[12:16], "little")].replace(b"strong room", b"empty")
    rest = data[16 + int.from_bytes(data[12:16], "little") :]
    path.write_bytes(data[:12] + len(head).to_bytes(4, "little") + head + rest)
    assert _refusal(store.identity) == "SR-KEYS-CUSTODY"


@pytest.mark.parametrize(
    ("custody", "module", "said"),
    [
        ("pkcs11:token=absent", MODULE, "no token of that label"),
        (CUSTODY, "/nowhere/module.so", "can't be loaded"),
        (CUSTODY, "", "Set STRONGROOM_PKCS11_MODULE"),
    ],
)
def test_without_its_token_no_identity_is_made(
    custody: str, module: str, said: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRONGROOM_PKCS11_MODULE", module)
    assert _refusal(IdentityStore.open().create, custody=custody, match=said) == "SR-KEYS-CUSTODY"
    assert not home.exists()


def test_an_identity_moves_from_a_passphrase_into_a_token_and_back() -> None:
    made = IdentityStore.open(passphrase="first").create()
    IdentityStore.open(passphrase="first").lock(custody=CUSTODY)
    assert IdentityStore.open().header().unlock.__class__.__name__ == "TokenKey"
    assert default_identity().to_bytes() == made.to_bytes()
    IdentityStore.open().lock(passphrase="second")
    assert default_identity("second").to_bytes() == made.to_bytes()


def test_neither_pin_nor_keys_are_on_disk_or_in_logs(
    home: Path, token: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    seeds = IdentityStore.open().create(custody=CUSTODY).to_bytes()
    default_identity()
    files = [path for folder in (home, token) for path in folder.rglob("*") if path.is_file()]
    on_disk = b"".join(path.read_bytes() for path in files)
    assert b"canary" not in on_disk
    assert seeds[:32] not in on_disk
    assert "canary" not in caplog.text


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    refused = _refusal(IdentityStore.open().create, custody=CUSTODY, match=r"strongroom\[pkcs11\]")
    assert refused == "SR-KEYS-CUSTODY"
