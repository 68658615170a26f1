"""Attacks on packages: by who has the file, by who was granted it, by who was granted it once.

Each is refused before anything is used. What a reader finds without a key it must find without
one: a server's operator checks a package that is not for it.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from file_parts import OWNER, RECIPIENT, STRANGER, change_json, cut, joined, places

from strongroom.canonical import canonical_json
from strongroom.compiler.plan import Plan
from strongroom.errors import KeyStoreError, PackageError, StrongroomError
from strongroom.keys.identity import Identity
from strongroom.keys.seen import Seen
from strongroom.moments import parse_moment
from strongroom.package.encryption import Encryption, open_stream
from strongroom.package.file import load, read
from strongroom.package.grants import GrantLog
from strongroom.package.head import Head, Statement
from strongroom.package.manifest import Parity
from strongroom.package.payload import PayloadStream
from strongroom.package.protected import Package
from strongroom.package.sharing import grant, recipients, revoke, rotate

TESTS = Path(__file__).parents[1]
CANARY = b"canary-4711-weights"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return msgspec.json.decode((TESTS / "package" / "plan.json").read_bytes(), type=Plan)


def protected(plan: Plan, name: str = "m", owner: Identity = OWNER, release: int = 1) -> Package:
    parity = Parity(rows=3, agreement=1.0, max_score_error=0.0)
    return Package.create(
        name=name,
        plan=plan,
        payload={"model": CANARY},
        parity=parity,
        release=release,
        owner=owner,
    )


@pytest.fixture(scope="module")
def granted(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package that its owner may open, and a recipient for two days."""
    path = tmp_path_factory.mktemp("package") / "m.strongroom"
    end = datetime.now(UTC) + timedelta(days=2)
    protected(plan).save(
        path, owner=OWNER, recipients=[RECIPIENT.public], purpose="open", expires=end
    )
    return path


@pytest.fixture
def path(granted: Path, tmp_path: Path) -> Path:
    """A copy to attack."""
    shutil.copy(granted, tmp_path / "m.strongroom")
    return tmp_path / "m.strongroom"


def opens(path: Path, identity: Identity = RECIPIENT, **options: Any) -> Package:
    return read(path).open(identity, purpose="open", **options)


def refused(path: Path, code: str, identity: Identity = RECIPIENT, **options: Any) -> None:
    with pytest.raises(StrongroomError) as caught:
        opens(path, identity, **options)
    assert caught.value.code == code
    assert "canary" not in str(caught.value)
    assert "\n" not in str(caught.value)


def positions(data: bytes) -> list[int]:
    """Bytes to change: all of the headers, the edges of every section, and some of its inside."""
    chosen = set(range(16))
    draw = random.Random(0)
    for start, end in places(data).values():
        chosen |= {*range(start - 16, start), *range(start, min(start + 4, end)), end - 2, end - 1}
        chosen |= {draw.randrange(start, end) for _ in range(80)}
    # One byte in the value of each field of each record.
    for tag, (start, end) in places(data).items():
        if tag != b"PAYL":
            colons = [at for at in range(start, end) if data[at : at + 2] == b'":']
            chosen |= {min(at + 3, end - 1) for at in colons[:60]}
    return sorted(chosen)


def test_a_flipped_bit_in_any_region_of_the_file(path: Path) -> None:
    data = path.read_bytes()
    assert opens(path).payload["model"] == CANARY
    chosen = positions(data)
    assert len(chosen) > 400
    draw = random.Random(1)
    for place in chosen:
        damaged = bytearray(data)
        damaged[place] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            opens(path)
        except StrongroomError:
            continue
        pytest.fail(f"a changed byte {place} went unnoticed")


def test_a_stripped_signature(path: Path) -> None:
    change_json(path, b"SIGN", lambda fields: fields.pop("signatures"))
    refused(path, "SR-PACKAGE-FILE")


@pytest.mark.parametrize("kept", ["ed25519", "ml_dsa_65"])
@pytest.mark.parametrize("tag", [b"SIGN", b"GRNT", b"HEAD"])
def test_one_signature_of_two(path: Path, tag: bytes, kept: str) -> None:
    def strip(fields: Any) -> None:
        signed = fields["entries"][1] if tag == b"GRNT" else fields
        signed["signatures"] = {kept: signed["signatures"][kept]}

    change_json(path, tag, strip)
    refused(path, "SR-PACKAGE-FILE")


@pytest.mark.parametrize("which", ["ed25519", "ml_dsa_65"])
@pytest.mark.parametrize("tag", [b"SIGN", b"GRNT", b"HEAD"])
def test_one_true_signature_and_one_of_somebody_else(path: Path, tag: bytes, which: str) -> None:
    forged = msgspec.to_builtins(STRANGER.sign("manifest", b"anything"))

    def swap(fields: Any) -> None:
        signed = fields["entries"][1] if tag == b"GRNT" else fields
        signed["signatures"][which] = forged[which]

    change_json(path, tag, swap)
    refused(path, "SR-PACKAGE-SIGNATURE")


def test_signatures_of_another_release_of_the_owner(path: Path, plan: Plan) -> None:
    other = path.with_name("other")
    protected(plan, release=2).save(other, owner=OWNER)
    swapped = {**cut(path.read_bytes()), b"SIGN": cut(other.read_bytes())[b"SIGN"]}
    path.write_bytes(joined(swapped))
    refused(path, "SR-PACKAGE-SIGNATURE")


def test_a_package_signed_anew_by_somebody_else_under_the_owners_name(path: Path) -> None:
    sections = cut(path.read_bytes())
    signed = Statement.of(STRANGER, sections[b"MANI"]).signatures
    change_json(path, b"SIGN", lambda f: f.update(signatures=msgspec.to_builtins(signed)))
    refused(path, "SR-PACKAGE-SIGNATURE")


def test_a_plain_file_offered_as_sealed(path: Path) -> None:
    plain = TESTS.parent / "docs" / "vectors" / "packages" / "version_1_plain.strongroom"
    shutil.copy(plain, path)
    refused(path, "SR-PACKAGE-SIGNATURE")


def test_a_plain_payload_in_a_sealed_file(path: Path) -> None:
    sections = cut(path.read_bytes())
    plain = CANARY.ljust(len(sections[b"PAYL"]), b"\0")
    path.write_bytes(joined({**sections, b"PAYL": plain}))
    refused(path, "SR-PACKAGE-PAYLOAD")


@pytest.mark.parametrize("moved", [(b"MANI",), (b"MANI", b"SIGN"), (b"MANI", b"SIGN", b"GRNT")])
def test_the_manifest_of_another_package(path: Path, plan: Plan, moved: tuple[bytes, ...]) -> None:
    other = path.with_name("other")
    protected(plan, "other").save(other, owner=OWNER, recipients=[RECIPIENT.public], purpose="open")
    theirs = cut(other.read_bytes())
    path.write_bytes(joined({**cut(path.read_bytes()), **{tag: theirs[tag] for tag in moved}}))
    with pytest.raises(PackageError):
        read(path)


def test_a_removed_recipient_tries_again(path: Path, seen: Seen) -> None:
    old = read(path)
    key = RECIPIENT.unwrap(old.grants[1].wrapped, old.grants[1].info)
    old_log = cut(path.read_bytes())[b"GRNT"]
    revoke(path, RECIPIENT.public, owner=OWNER, seen=seen)
    refused(path, "SR-PACKAGE-GRANT")
    # Its old key does not open the new payload,
    with pytest.raises(PackageError) as caught:
        read(path).open_with_key(key)
    assert caught.value.code == "SR-PACKAGE-PAYLOAD"
    # and its old entry has no place in the new file.
    path.write_bytes(joined({**cut(path.read_bytes()), b"GRNT": old_log}))
    refused(path, "SR-PACKAGE-FILE")


def test_a_removed_recipient_signs_itself_in_again(path: Path, seen: Seen) -> None:
    revoke(path, RECIPIENT.public, owner=OWNER, seen=seen)
    log = read(path).log.with_grant(
        RECIPIENT, RECIPIENT.public, "open", bytes(32), now=datetime.now(UTC)
    )
    path.write_bytes(joined({**cut(path.read_bytes()), b"GRNT": canonical_json(log)}))
    refused(path, "SR-PACKAGE-SIGNATURE")


def test_an_expired_grant(path: Path) -> None:
    end = parse_moment(str(read(path).grants[1].expires))
    assert opens(path, now=end - timedelta(microseconds=1)).payload["model"] == CANARY
    refused(path, "SR-PACKAGE-EXPIRED", now=end)


def test_an_expired_grant_under_a_clock_that_was_set_back(path: Path) -> None:
    """The home remembers the latest time; without a home the grant itself says one."""
    late = datetime.now(UTC) + timedelta(days=3)
    clock = [late]
    seen = Seen(None, lambda: clock[0])
    with pytest.raises(PackageError) as caught:
        load(path, RECIPIENT, seen=seen)
    assert caught.value.code == "SR-PACKAGE-EXPIRED"
    clock[0] = late - timedelta(days=2)
    with pytest.raises(KeyStoreError) as stopped:
        load(path, RECIPIENT, seen=seen)
    assert stopped.value.code == "SR-IDENTITY-CLOCK"
    refused(path, "SR-IDENTITY-CLOCK", now=datetime.now(UTC) - timedelta(days=30))


def test_an_end_that_was_moved(path: Path) -> None:
    for end in (None, "2199-01-01T00:00:00Z"):
        change_json(path, b"GRNT", lambda f, end=end: f["entries"][1].update(expires=end))
        refused(path, "SR-PACKAGE-SIGNATURE")


def _foreign_entry(path: Path, plan: Plan) -> dict[str, Any]:
    other = path.with_name("other")
    protected(plan, "other").save(other, owner=OWNER, recipients=[RECIPIENT.public], purpose="open")
    entry: dict[str, Any] = msgspec.to_builtins(read(other).grants[1])
    return entry


def test_a_wrap_moved_to_another_package(path: Path, plan: Plan) -> None:
    entry = _foreign_entry(path, plan)
    change_json(path, b"GRNT", lambda f: f["entries"][1].update(wrapped=entry["wrapped"]))
    refused(path, "SR-PACKAGE-SIGNATURE")


def test_an_entry_moved_to_another_package(path: Path, plan: Plan) -> None:
    entry = _foreign_entry(path, plan)
    change_json(path, b"GRNT", lambda fields: fields["entries"].__setitem__(1, entry))
    refused(path, "SR-PACKAGE-GRANT")


def test_a_wrap_moved_to_another_entry_does_not_open_even_if_it_were_signed(path: Path) -> None:
    first, second = read(path).grants
    for wrapped, info in ((second.wrapped, first.info), (first.wrapped, second.info)):
        for identity in (OWNER, RECIPIENT):
            with pytest.raises(PackageError) as caught:
                identity.unwrap(wrapped, info)
            assert caught.value.code == "SR-PACKAGE-GRANT"


@pytest.mark.parametrize("purpose", ["serve", "broker"])
def test_a_grant_used_for_more_than_it_is_for(plan: Plan, tmp_path: Path, purpose: Any) -> None:
    path = tmp_path / "m"
    protected(plan).save(path, owner=OWNER, recipients=[RECIPIENT.public], purpose=purpose)
    refused(path, "SR-PACKAGE-GRANT")
    change_json(path, b"GRNT", lambda fields: fields["entries"][1].update(purpose="open"))
    refused(path, "SR-PACKAGE-SIGNATURE")


def test_a_stranger_with_the_file(path: Path) -> None:
    refused(path, "SR-PACKAGE-GRANT", STRANGER)


@pytest.mark.parametrize("length", [1, 16, 100])
def test_a_truncated_stream(path: Path, length: int) -> None:
    sections = cut(path.read_bytes())
    path.write_bytes(joined({**sections, b"PAYL": sections[b"PAYL"][:-length]}))
    refused(path, "SR-PACKAGE-FILE")


def test_a_stream_cut_at_a_frame_and_signed_by_an_owners_faulty_program(
    plan: Plan, tmp_path: Path
) -> None:
    """Whatever lengths say: the last frame is marked as the last."""
    path = tmp_path / "m"
    parity = Parity(rows=3, agreement=1.0, max_score_error=0.0)
    payload = {"model": CANARY * 2000}
    Package.create(name="m", plan=plan, payload=payload, parity=parity, owner=OWNER).save(
        path, owner=OWNER
    )
    sealed = read(path)
    grant_ = sealed.grants[0]
    key = OWNER.unwrap(grant_.wrapped, grant_.info)
    ciphertext = cut(path.read_bytes())[b"PAYL"]
    with pytest.raises(PackageError) as caught:
        open_stream(
            [memoryview(ciphertext)[: 56 + 16400]],
            key,
            sealed.manifest.package_id,
            stream_bytes=16384,
            stream_digest=sealed.manifest.payload_digest,
        )
    assert caught.value.code == "SR-PACKAGE-PAYLOAD"


@pytest.mark.parametrize("where", ["payload", "file"])
def test_extra_bytes(path: Path, where: str) -> None:
    data = path.read_bytes()
    sections = cut(data)
    extra = joined({**sections, b"PAYL": sections[b"PAYL"] + b"x"})
    path.write_bytes(extra if where == "payload" else data + b"x")
    refused(path, "SR-PACKAGE-FILE")


CHANGED_LOGS: dict[str, Callable[[list[Any]], object]] = {
    "its last entry cut off": lambda entries: entries.pop(),
    "its first entry cut off": lambda entries: entries.pop(0),
    "an entry left out": lambda entries: entries.pop(1),
    "two entries exchanged": lambda entries: entries.insert(1, entries.pop(2)),
    "reversed": lambda entries: entries.reverse(),
    "an entry twice": lambda entries: entries.append(entries[-1]),
}


@pytest.mark.parametrize("change", CHANGED_LOGS)
def test_a_grant_log_cut_or_reordered(path: Path, change: str, seen: Seen) -> None:
    grant(path, STRANGER.public, owner=OWNER, seen=seen)
    change_json(path, b"GRNT", lambda fields: CHANGED_LOGS[change](fields["entries"]))
    refused(path, "SR-PACKAGE-FILE")


def test_a_grant_log_cut_together_with_an_older_head(path: Path, seen: Seen) -> None:
    """A consistent older file is the owner's own: only who saw the newer one can tell."""
    older = path.read_bytes()
    load(path, RECIPIENT, seen=seen)
    grant(path, STRANGER.public, owner=OWNER, seen=Seen(None))
    load(path, RECIPIENT, seen=seen)
    path.write_bytes(older)
    with pytest.raises(PackageError) as caught:
        load(path, RECIPIENT, seen=seen)
    assert caught.value.code == "SR-PACKAGE-ROLLBACK"


def test_an_older_generation_is_not_opened_by_who_saw_the_newer(path: Path, seen: Seen) -> None:
    older = path.read_bytes()
    rotate(path, owner=OWNER, seen=Seen(None))
    load(path, RECIPIENT, seen=seen)
    path.write_bytes(older)
    with pytest.raises(PackageError) as caught:
        load(path, RECIPIENT, seen=seen)
    assert caught.value.code == "SR-PACKAGE-ROLLBACK"


def test_an_owner_does_not_go_on_with_a_file_from_before_a_revocation(
    path: Path, seen: Seen
) -> None:
    older = path.read_bytes()
    revoke(path, RECIPIENT.public, owner=OWNER, seen=seen)
    path.write_bytes(older)
    changes = (
        lambda: grant(path, STRANGER.public, owner=OWNER, seen=seen),
        lambda: rotate(path, owner=OWNER, seen=seen),
        lambda: revoke(path, RECIPIENT.public, owner=OWNER, seen=seen),
    )
    for change in changes:
        with pytest.raises(PackageError) as caught:
            change()
        assert caught.value.code == "SR-PACKAGE-ROLLBACK"
        assert path.read_bytes() == older


@pytest.mark.parametrize("tag", [b"GRNT", b"PAYL", b"HEAD"])
def test_sections_of_two_generations_in_one_file(path: Path, tag: bytes, seen: Seen) -> None:
    older = cut(path.read_bytes())
    rotate(path, owner=OWNER, seen=seen)
    path.write_bytes(joined({**cut(path.read_bytes()), tag: older[tag]}))
    refused(path, "SR-PACKAGE-PAYLOAD" if tag == b"PAYL" else "SR-PACKAGE-FILE")


def test_a_payload_of_another_generation_is_seen_without_a_key(path: Path, seen: Seen) -> None:
    older = cut(path.read_bytes())[b"PAYL"]
    rotate(path, owner=OWNER, seen=seen)
    path.write_bytes(joined({**cut(path.read_bytes()), b"PAYL": older}))
    with pytest.raises(PackageError, match="the file's head names") as caught:
        read(path, verify_payload=True)
    assert caught.value.code == "SR-PACKAGE-PAYLOAD"
    # and the owner signs nothing that goes with it.
    before = path.read_bytes()
    with pytest.raises(PackageError, match="the file's head names"):
        grant(path, STRANGER.public, owner=OWNER, seen=seen)
    assert path.read_bytes() == before


def test_a_head_by_a_recipient(path: Path) -> None:
    """A recipient has the file key, and could encrypt other weights under it: the manifest names
    the true ones, and the head is the owner's."""
    sealed = read(path)
    sections = cut(path.read_bytes())
    forged = Head.of(
        RECIPIENT,
        sealed.digest,
        sealed.log,
        ciphertext_digest=sealed.head.ciphertext_digest,
        ciphertext_bytes=sealed.head.ciphertext_bytes,
    )
    path.write_bytes(joined({**sections, b"HEAD": canonical_json(forged)}))
    refused(path, "SR-PACKAGE-SIGNATURE")


def test_other_weights_encrypted_by_a_recipient_under_the_key_that_it_has(path: Path) -> None:
    sealed = read(path)
    entry = sealed.grants[1]
    key = RECIPIENT.unwrap(entry.wrapped, entry.info)
    stream = PayloadStream({"model": b"poisoned".ljust(len(CANARY), b"!")}, bytes(32))
    encrypted = Encryption(stream.chunks(), key, sealed.manifest.package_id)
    sections = cut(path.read_bytes())
    path.write_bytes(joined({**sections, b"PAYL": b"".join(bytes(part) for part in encrypted)}))
    refused(path, "SR-PACKAGE-PAYLOAD", OWNER)


def test_a_package_of_somebody_else_is_not_changed_by_an_owner_of_another(
    path: Path, seen: Seen
) -> None:
    before = path.read_bytes()
    changes = (
        lambda: grant(path, STRANGER.public, owner=RECIPIENT, seen=seen),
        lambda: revoke(path, RECIPIENT.public, owner=STRANGER, seen=seen),
        lambda: rotate(path, owner=RECIPIENT, seen=seen),
    )
    for change in changes:
        with pytest.raises(PackageError) as caught:
            change()
        assert caught.value.code == "SR-PACKAGE-OWNER"
    assert path.read_bytes() == before


def test_a_log_that_a_stranger_began(path: Path) -> None:
    digest = read(path).digest
    log = GrantLog.begin(STRANGER, digest, bytes(32), now=datetime.now(UTC))
    path.write_bytes(joined({**cut(path.read_bytes()), b"GRNT": canonical_json(log)}))
    refused(path, "SR-PACKAGE-FILE", STRANGER)


def test_who_may_do_what_can_not_be_misread(path: Path, seen: Seen) -> None:
    """A recipient sees its purpose and its end before it opens anything."""
    grant(path, STRANGER.public, owner=OWNER, purpose="serve", seen=seen)
    assert [(one.identity.fingerprint, one.purpose) for one in recipients(path)] == [
        (OWNER.fingerprint, "owner"),
        (RECIPIENT.fingerprint, "open"),
        (STRANGER.fingerprint, "serve"),
    ]


@pytest.fixture
def seen() -> Seen:
    return Seen(None)
