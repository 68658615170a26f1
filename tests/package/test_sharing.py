"""Grants, revocations and rotations of a file that stays the same package."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from file_parts import OWNER, RECIPIENT, STRANGER, cut

from strongroom.compiler.plan import Plan
from strongroom.errors import PackageError
from strongroom.keys.identity import Identity
from strongroom.keys.seen import Seen
from strongroom.package.file import load, read
from strongroom.package.manifest import Parity
from strongroom.package.protected import Package
from strongroom.package.sharing import grant, recipients, revoke, rotate


@pytest.fixture
def path(package: Package, tmp_path: Path) -> Path:
    path = tmp_path / "m.strongroom"
    package.save(path, owner=OWNER)
    return path


def test_a_grant_leaves_the_payload_as_it_is(path: Path, package: Package, seen: Seen) -> None:
    before = cut(path.read_bytes())
    after_grant = grant(path, RECIPIENT.public, owner=OWNER, purpose="open", seen=seen)
    after = cut(path.read_bytes())
    for tag in (b"MANI", b"SIGN", b"PAYL"):
        assert after[tag] == before[tag]
    assert (after_grant.log.generation, len(after_grant.grants)) == (1, 2)
    assert load(path, RECIPIENT, seen=seen) == package
    assert read(path, verify_payload=True).digest == package.digest
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("mebibytes", [1, 7])
def test_payloads_of_many_parts_are_copied_and_encrypted_anew(
    plan: Plan, parity: Parity, tmp_path: Path, seen: Seen, mebibytes: int
) -> None:
    path = tmp_path / "large"
    payload = {"a": os.urandom(1 << 20) * mebibytes, "b": b"", "c": os.urandom(100_001)}
    package = Package.create(name="m", plan=plan, payload=payload, parity=parity, owner=OWNER)
    package.save(path, owner=OWNER)
    grant(path, RECIPIENT.public, owner=OWNER, purpose="open", seen=seen)
    assert read(path, verify_payload=True).open(RECIPIENT, purpose="open") == package
    rotate(path, owner=OWNER, seen=seen)
    assert read(path, verify_payload=True).open(RECIPIENT, purpose="open") == package


def test_revoking_encrypts_anew_for_the_others(path: Path, package: Package, seen: Seen) -> None:
    end = datetime(2099, 12, 31, tzinfo=UTC)
    grant(path, RECIPIENT.public, owner=OWNER, purpose="open", seen=seen)
    grant(path, STRANGER.public, owner=OWNER, purpose="serve", expires=end, seen=seen)
    before = cut(path.read_bytes())
    revoke(path, RECIPIENT.fingerprint, owner=OWNER, seen=seen)
    after = cut(path.read_bytes())
    assert after[b"MANI"] == before[b"MANI"]
    assert after[b"SIGN"] == before[b"SIGN"]
    assert after[b"PAYL"] != before[b"PAYL"]
    sealed = read(path, verify_payload=True)
    assert sealed.log.generation == 2
    assert [(one.identity.name, one.purpose, one.expires) for one in recipients(path)] == [
        ("default", "owner", None),
        ("stranger", "serve", "2099-12-31T00:00:00Z"),
    ]
    assert sealed.open(STRANGER, purpose="serve") == package
    assert load(path, OWNER, seen=seen) == package
    with pytest.raises(PackageError) as caught:
        load(path, RECIPIENT, seen=seen)
    assert caught.value.code == "SR-PACKAGE-GRANT"


def test_a_rotation_leaves_out_what_has_ended_or_was_replaced(path: Path, package: Package) -> None:
    clock = [datetime.now(UTC)]
    seen = Seen(None, lambda: clock[0])
    soon = clock[0] + timedelta(hours=1)
    grant(path, STRANGER.public, owner=OWNER, expires=soon, seen=seen)
    grant(path, RECIPIENT.public, owner=OWNER, purpose="open", expires=soon, seen=seen)
    grant(path, RECIPIENT.public, owner=OWNER, purpose="open", seen=seen)
    grant(path, RECIPIENT.public, owner=OWNER, purpose="broker", seen=seen)
    clock[0] += timedelta(hours=2)
    assert [one.ended for one in recipients(path, now=clock[0])] == [False, True, False, False]
    sealed = rotate(path, owner=OWNER, seen=seen)
    assert [(one.number, one.identity.name, one.purpose) for one in sealed.grants] == [
        (1, "default", "owner"),
        (2, "hospital", "open"),
        (3, "hospital", "broker"),
    ]
    assert sealed.open(RECIPIENT, purpose="open", now=clock[0]) == package
    assert rotate(path, owner=OWNER, seen=seen).log.generation == 3


@pytest.mark.parametrize("who", ["nobody", "owner"])
def test_only_a_recipient_can_be_revoked(path: Path, seen: Seen, who: str) -> None:
    before = path.read_bytes()
    fingerprint = OWNER.fingerprint if who == "owner" else STRANGER.fingerprint
    with pytest.raises(PackageError) as caught:
        revoke(path, fingerprint, owner=OWNER, seen=seen)
    assert caught.value.code == "SR-PACKAGE-GRANT"
    assert path.read_bytes() == before


def test_the_mode_of_a_file_and_a_link_to_it_are_kept(path: Path, seen: Seen) -> None:
    path.chmod(0o640)
    link = path.with_name("link")
    link.symlink_to(path.name)
    grant(link, RECIPIENT.public, owner=OWNER, seen=seen)
    rotate(link, owner=OWNER, seen=seen)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert len(recipients(path)) == 2


def test_of_grants_at_one_time_none_is_lost(path: Path, seen: Seen) -> None:
    identities = [Identity.generate(f"r{number}") for number in range(8)]
    failures: list[BaseException] = []

    def run(identity: Identity) -> None:
        try:
            grant(path, identity.public, owner=OWNER, seen=seen)
        except BaseException as failure:  # a thread's own would be lost
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(one,)) for one in identities]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    granted = {one.identity for one in recipients(path)}
    assert granted == {OWNER.public, *(one.public for one in identities)}


def test_a_missing_file_is_one_clear_line(tmp_path: Path, seen: Seen) -> None:
    for path in (tmp_path / "absent", tmp_path / "nowhere" / "m"):
        with pytest.raises(PackageError, match="can't be read: No such file") as caught:
            rotate(path, owner=OWNER, seen=seen)
        assert caught.value.code == "SR-PACKAGE-FILE"


def test_a_full_disk_leaves_the_old_file(
    path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    changes: Any = (
        lambda: grant(path, RECIPIENT.public, owner=OWNER, seen=seen),
        lambda: rotate(path, owner=OWNER, seen=seen),
    )
    for change in changes:
        with pytest.raises(PackageError, match="No space left"):
            change()
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]
