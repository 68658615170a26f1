"""The file: whole or refused, atomic, private; opened by those to whom it is granted."""

from __future__ import annotations

import gc
import json
import os
import stat
import struct
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from file_parts import OWNER, RECIPIENT, STRANGER, TAGS, cut, joined
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_owner import PASSPHRASE, write_identity

import strongroom
from strongroom.canonical import canonical_json
from strongroom.compiler.plan import Plan
from strongroom.errors import KeyStoreError, PackageError, StrongroomError
from strongroom.keys.seen import Seen
from strongroom.package.file import load, read
from strongroom.package.manifest import Parity, encode_manifest
from strongroom.package.protected import Package


def test_the_file_is_what_the_specification_says(package: Package, tmp_path: Path) -> None:
    path = tmp_path / "m.strongroom"
    package.save(path, owner=OWNER, recipients=[RECIPIENT.public])
    data = path.read_bytes()
    assert data[:16] == struct.pack("<8sII", b"\x89SRM\r\n\x1a\n", 2, 5)
    sections = cut(data)
    assert tuple(sections) == TAGS
    assert joined(sections) == data
    assert sections[b"MANI"] == encode_manifest(package.manifest)
    for tag in (b"SIGN", b"GRNT", b"HEAD"):
        assert canonical_json(json.loads(sections[tag])) == sections[tag]
    assert b"weightsweights" not in data


def test_opening_gives_back_the_package(package: Package, tmp_path: Path, seen: Seen) -> None:
    path = tmp_path / "m.strongroom"
    package.save(path, owner=OWNER)
    loaded = load(str(path), OWNER, seen=seen)
    assert loaded == package
    assert loaded.digest == package.digest
    assert loaded.owner == OWNER.public


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    payload=st.dictionaries(
        st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._/:-]{0,254}", fullmatch=True),
        st.binary(max_size=5000),
        max_size=5,
    ),
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", fullmatch=True),
    release=st.integers(1, 2**53),
    error=st.floats(0, 1e300),
)
def test_any_package_survives_the_way_to_disk_and_back(
    plan: Plan, payload: dict[str, bytes], name: str, release: int, error: float
) -> None:
    parity = Parity(rows=3, agreement=1.0, max_score_error=error)
    package = Package.create(
        name=name, plan=plan, payload=payload, parity=parity, release=release, owner=OWNER
    )
    with tempfile.TemporaryDirectory() as folder:
        package.save(Path(folder, "m"), owner=OWNER)
        opened = read(Path(folder, "m")).open(OWNER, purpose="open")
    assert opened == package
    assert list(opened.payload) == list(payload)


def test_reading_needs_no_key_and_shows_who_may_do_what(package: Package, tmp_path: Path) -> None:
    path = tmp_path / "m"
    end = datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)
    package.save(path, owner=OWNER, recipients=[RECIPIENT.public], expires=end)
    sealed = read(path, verify_payload=True)
    assert sealed.digest == package.digest
    assert sealed.manifest == package.manifest
    assert sealed.manifest_json == encode_manifest(package.manifest)
    assert sealed.owner == OWNER.public
    assert [(one.identity, one.purpose, one.expires) for one in sealed.grants] == [
        (OWNER.public, "owner", None),
        (RECIPIENT.public, "serve", "2099-12-31T23:59:59Z"),
    ]
    sealed.owner.verify(sealed.signatures, "manifest", sealed.manifest_json)


def test_serving_is_not_loading(package: Package, tmp_path: Path, seen: Seen) -> None:
    path = tmp_path / "m"
    package.save(path, owner=OWNER, recipients=[RECIPIENT.public], purpose="serve")
    assert read(path).open(RECIPIENT, purpose="serve") == package
    with pytest.raises(PackageError, match='only for "serve"') as caught:
        load(path, RECIPIENT, seen=seen)
    assert caught.value.code == "SR-PACKAGE-GRANT"


@pytest.mark.parametrize("purpose", ["serve", "open"])
def test_a_broker_alone_opens_nothing(package: Package, tmp_path: Path, purpose: str) -> None:
    package.save(tmp_path / "m", owner=OWNER, recipients=[RECIPIENT.public], purpose="broker")
    sealed = read(tmp_path / "m")
    with pytest.raises(PackageError, match='only for "broker"') as caught:
        sealed.open(RECIPIENT, purpose=purpose)  # type: ignore[arg-type]
    assert caught.value.code == "SR-PACKAGE-GRANT"
    grant = sealed.grant_for(RECIPIENT.fingerprint, ("broker",))
    released = RECIPIENT.unwrap(grant.wrapped, grant.info)
    assert sealed.open_with_key(released) == package


def test_a_key_of_another_length_is_no_file_key(package: Package, tmp_path: Path) -> None:
    package.save(tmp_path / "m", owner=OWNER)
    with pytest.raises(PackageError, match="31 bytes") as caught:
        read(tmp_path / "m").open_with_key(bytes(31))
    assert caught.value.code == "SR-PACKAGE-GRANT"


def test_the_default_identity_owns_signs_and_opens(
    plan: Plan, parity: Parity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("STRONGROOM_HOME", str(home))
    monkeypatch.setenv("STRONGROOM_PASSPHRASE", PASSPHRASE)
    fields = {"name": "m", "plan": plan, "payload": {"model": b"w"}, "parity": parity}
    with pytest.raises(KeyStoreError) as caught:
        Package.create(**fields)
    assert caught.value.code == "SR-IDENTITY-MISSING"
    write_identity(home)
    package = Package.create(**fields)
    package.save(tmp_path / "m")
    assert strongroom.load(tmp_path / "m") == package


def test_a_public_identity_can_own_and_only_its_holder_can_sign(
    plan: Plan, parity: Parity, tmp_path: Path
) -> None:
    package = Package.create(
        name="m", plan=plan, payload={"model": b"w"}, parity=parity, owner=OWNER.public
    )
    with pytest.raises(PackageError, match="is owned by") as caught:
        package.save(tmp_path / "m", owner=STRANGER)
    assert caught.value.code == "SR-PACKAGE-OWNER"
    assert os.listdir(tmp_path) == []
    package.save(tmp_path / "m", owner=OWNER)
    assert read(tmp_path / "m").owner == OWNER.public


def test_two_files_of_one_package_have_nothing_secret_in_common(
    package: Package, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        package.save(tmp_path / name, owner=OWNER)
    first, second = (read(tmp_path / name) for name in ("a", "b"))
    assert first.digest == second.digest == package.digest
    assert first.head.ciphertext_digest != second.head.ciphertext_digest
    keys = [OWNER.unwrap(one.grants[0].wrapped, one.grants[0].info) for one in (first, second)]
    assert keys[0] != keys[1]


def test_an_opened_package_can_be_saved_again(package: Package, tmp_path: Path, seen: Seen) -> None:
    package.save(tmp_path / "a", owner=OWNER)
    load(tmp_path / "a", OWNER, seen=seen).save(tmp_path / "b", owner=OWNER)
    assert read(tmp_path / "b").open(OWNER, purpose="open") == package


def test_a_payload_that_changed_under_its_manifest_is_not_written(
    plan: Plan, parity: Parity, tmp_path: Path
) -> None:
    weights = bytearray(b"weights")  # as a mapped file that somebody writes to
    package = Package.create(
        name="m", plan=plan, payload={"model": memoryview(weights)}, parity=parity, owner=OWNER
    )
    weights[0] ^= 1
    with pytest.raises(PackageError, match="the manifest names") as caught:
        package.save(tmp_path / "m", owner=OWNER)
    assert caught.value.code == "SR-PACKAGE-PAYLOAD"
    assert os.listdir(tmp_path) == []


def test_opened_weights_can_not_be_written_to(package: Package, tmp_path: Path) -> None:
    package.save(tmp_path / "m", owner=OWNER)
    body = read(tmp_path / "m").open(OWNER, purpose="open").payload["model"]
    assert isinstance(body, memoryview)
    with pytest.raises(TypeError):
        body[0] = 0


def test_a_file_that_is_replaced_after_it_was_read_is_not_opened(
    package: Package, tmp_path: Path
) -> None:
    path = tmp_path / "m"
    package.save(path, owner=OWNER)
    sealed = read(path)
    package.save(path, owner=OWNER, overwrite=True)
    with pytest.raises(PackageError, match="was replaced after it was read") as caught:
        sealed.open(OWNER, purpose="open")
    assert caught.value.code == "SR-PACKAGE-FILE"


def test_every_truncation_is_found(package: Package, tmp_path: Path) -> None:
    path = tmp_path / "m"
    package.save(path, owner=OWNER)
    data = path.read_bytes()
    for length in range(0, len(data), 97):
        path.write_bytes(data[:length])
        with pytest.raises(PackageError) as caught:
            read(path)
        assert caught.value.code == "SR-PACKAGE-FILE"
        assert "at byte" in str(caught.value)
        assert caught.value.message.startswith(f"{path} is cut off or damaged: it ends ")
        assert caught.value.remedy == "Fetch the package again from its owner"


def test_whatever_is_wrong_with_a_file_its_path_is_named(package: Package, tmp_path: Path) -> None:
    path = tmp_path / "m"
    package.save(path, owner=OWNER)
    data = path.read_bytes()
    for place in range(0, len(data), 499):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(StrongroomError) as wrong:
            read(path, verify_payload=True)
        assert wrong.value.message.startswith(str(path))
    path.write_bytes(data)
    with pytest.raises(PackageError, match=r'is not granted to .* for "open"') as caught:
        read(path).open(STRANGER)
    assert caught.value.message.startswith(f"{path}: ")


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "absent"):
        with pytest.raises(PackageError) as caught:
            read(path)
        assert caught.value.code == "SR-PACKAGE-FILE"


def test_a_package_is_private_to_its_owner_whatever_the_umask(
    package: Package, tmp_path: Path
) -> None:
    earlier = os.umask(0)
    try:
        package.save(tmp_path / "m", owner=OWNER)
    finally:
        os.umask(earlier)
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o600


def test_an_existing_file_is_kept_unless_overwriting_is_asked_for(
    package: Package, tmp_path: Path
) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"precious")
    with pytest.raises(PackageError) as caught:
        package.save(path, owner=OWNER)
    assert caught.value.code == "SR-PACKAGE-EXISTS"
    assert path.read_bytes() == b"precious"
    package.save(path, owner=OWNER, overwrite=True)
    assert read(path).digest == package.digest
    assert os.listdir(tmp_path) == ["m"]


def test_a_dangling_link_is_not_written_through(package: Package, tmp_path: Path) -> None:
    (tmp_path / "m").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PackageError) as caught:
        package.save(tmp_path / "m", owner=OWNER)
    assert caught.value.code == "SR-PACKAGE-EXISTS"
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_missing_is_one_clear_line(package: Package, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="can't be written: No such file") as caught:
        package.save(tmp_path / "absent" / "m", owner=OWNER)
    assert caught.value.code == "SR-PACKAGE-FILE"


def test_a_disk_that_fills_up_leaves_nothing(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PackageError, match="No space left"):
        package.save(tmp_path / "m", owner=OWNER)
    assert os.listdir(tmp_path) == []


def test_without_hard_links_a_package_is_still_saved_and_still_not_overwritten(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(source: object, target: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    package.save(tmp_path / "m", owner=OWNER)
    with pytest.raises(PackageError) as caught:
        package.save(tmp_path / "m", owner=OWNER)
    assert caught.value.code == "SR-PACKAGE-EXISTS"
    assert read(tmp_path / "m").digest == package.digest
    assert os.listdir(tmp_path) == ["m"]


def test_a_grant_is_not_judged_by_a_clock_that_is_behind_it(
    package: Package, tmp_path: Path
) -> None:
    end = datetime.now(UTC) + timedelta(days=1)
    package.save(tmp_path / "m", owner=OWNER, recipients=[RECIPIENT.public], expires=end)
    sealed = read(tmp_path / "m")
    behind = datetime.now(UTC) - timedelta(minutes=4)
    assert sealed.open(RECIPIENT, purpose="serve", now=behind) == package
    with pytest.raises(KeyStoreError) as caught:
        sealed.open(RECIPIENT, purpose="serve", now=behind - timedelta(minutes=2))
    assert caught.value.code == "SR-IDENTITY-CLOCK"


def test_weights_stay_out_of_text(plan: Plan, parity: Parity, tmp_path: Path) -> None:
    canary = b"canary-4711-weights"
    package = Package.create(
        name="m", plan=plan, payload={"canary-4711": canary}, parity=parity, owner=OWNER
    )
    path = tmp_path / "m"
    package.save(path, owner=OWNER)
    sealed = read(path)
    opened = sealed.open(OWNER, purpose="open")
    assert b"canary" not in path.read_bytes()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(PackageError) as caught:
        read(path)
    texts = (package, sealed, opened, caught.value)
    assert "canary" not in "".join(repr(one) + str(one) for one in texts)
    del opened
    gc.collect()
