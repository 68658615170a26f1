"""Write docs/vectors/packages/: a whole package with known keys, and malformed ones, a fault each.

`valid.strongroom` is described by `valid.json`: the private keys of its owner and its recipient,
the file key and the payload, so that another implementation can check every step. `index.json`
lists every other file with the fault that it has, what finds it ("read": anybody who reads the
file; "open": whoever opens it with the recipient's identity), and the code of the error here.

The faults are of two kinds: what somebody without the owner's keys can make of a package, and
what an owner's own faulty program could sign.

They are committed and stay as they are. A format that changes gets a new version; `--again`
writes all of them anew, with fresh randomness, for a version that was never released.
"""

from __future__ import annotations

import json
import shutil
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from strongroom.canonical import canonical_json, digest
from strongroom.compiler.plan import Plan
from strongroom.keys.identity import Identity
from strongroom.package.encryption import Encryption, ciphertext_bytes
from strongroom.package.grants import Grant, GrantLog
from strongroom.package.head import Head, Statement
from strongroom.package.manifest import Manifest, Parity, encode_manifest, new_manifest
from strongroom.package.payload import PayloadStream
from strongroom.package.sections import MAGIC

PROJECT: Final = Path(__file__).parents[1]
FOLDER: Final = PROJECT / "docs" / "vectors" / "packages"
PLAN: Final = PROJECT / "tests" / "package" / "plan.json"

OWNER: Final = Identity(bytes(range(160)), "vendor")
RECIPIENT: Final = Identity(bytes(range(1, 161)), "hospital")
STRANGER: Final = Identity(bytes(range(2, 162)), "stranger")
FILE_KEY: Final = bytes(range(32))
SALT: Final = bytes(range(32, 64))
NOW: Final = datetime(2026, 11, 22, 12, 43, tzinfo=UTC)
PAYLOAD: Final = {"model": bytes(range(256)) * 132, "labels": b"ill\nwell\n"}
"""Long enough for three frames of the encryption."""

SMALL_PAYLOAD: Final = {"model": b"weights" * 9}
"""Of the malformed files, most of which are about something else."""

TAGS: Final = (b"MANI", b"SIGN", b"GRNT", b"PAYL", b"HEAD")


@dataclass(frozen=True)
class Made:
    """A package in its parts, for a fault to change."""

    manifest: Manifest
    statement: Statement
    log: GrantLog
    ciphertext: bytes
    head: Head

    @property
    def sections(self) -> dict[bytes, bytes]:
        """The bodies of the five sections."""
        return {
            b"MANI": encode_manifest(self.manifest),
            b"SIGN": canonical_json(self.statement),
            b"GRNT": canonical_json(self.log),
            b"PAYL": self.ciphertext,
            b"HEAD": canonical_json(self.head),
        }


def encrypted(stream: bytes, package_id: str, key: bytes = FILE_KEY) -> bytes:
    """A payload stream under a file key."""
    return b"".join(bytes(part) for part in Encryption([memoryview(stream)], key, package_id))


def make(
    *,
    owner: Identity = OWNER,
    stream: bytes | None = None,
    log: Callable[[GrantLog], GrantLog] | None = None,
    key: bytes = FILE_KEY,
    generation: int = 1,
    seal: Callable[[bytes], bytes] = lambda ciphertext: ciphertext,
    **fields: Any,
) -> Made:
    """A package with the owner's entry and one that lets the recipient open it.

    Args:
        stream: the payload stream, if not that of `PAYLOAD`.
        log: changes the grant log before the head is signed.
        key: under which the payload is really encrypted.
        seal: changes the ciphertext before the head is signed.
        fields: of the manifest, changed before it is signed.
    """
    body = plain_stream(SMALL_PAYLOAD) if stream is None else stream
    manifest = new_manifest(
        name="breast-cancer",
        version="1",
        release=3,
        plan=msgspec.json.decode(PLAN.read_bytes(), type=Plan),
        parity=Parity(rows=171, agreement=1.0, max_score_error=0.0001),
        owner=owner.fingerprint,
        payload_digest=digest(body),
        payload_bytes=len(body),
    )
    manifest = msgspec.structs.replace(manifest, created="2026-11-22T12:40:00Z", **fields)
    package = manifest.digest
    begun = GrantLog.begin(owner, package, FILE_KEY, now=NOW, generation=generation)
    grants = begun.with_grant(
        owner, RECIPIENT.public, "open", FILE_KEY, now=NOW, expires=NOW + timedelta(days=3650)
    )
    grants = grants if log is None else log(grants)
    ciphertext = seal(encrypted(body, manifest.package_id, key))
    return Made(
        manifest,
        Statement.of(owner, encode_manifest(manifest)),
        grants,
        ciphertext,
        Head.of(
            owner,
            package,
            grants,
            ciphertext_digest=digest(ciphertext),
            ciphertext_bytes=len(ciphertext),
        ),
    )


def plain_stream(payload: dict[str, bytes]) -> bytes:
    """The stream of a payload."""
    return b"".join(bytes(chunk) for chunk in PayloadStream(payload, SALT).chunks())


def section(tag: bytes, body: bytes, *, length: int | None = None, zero: bytes = bytes(4)) -> bytes:
    """A section as it lies in a file."""
    return struct.pack("<4s4sQ", tag, zero, len(body) if length is None else length) + body


def joined(
    sections: dict[bytes, bytes], *, magic: bytes = MAGIC, version: int = 2, count: int = 5
) -> bytes:
    """A file."""
    parts = (section(tag, body) for tag, body in sections.items())
    return struct.pack("<8sII", magic, version, count) + b"".join(parts)


def put(made: Made, tag: bytes, body: bytes) -> bytes:
    """The file with one section replaced, nothing signed anew."""
    return joined({**made.sections, tag: body})


def edited(made: Made, tag: bytes, change: Callable[[Any], None]) -> bytes:
    """The file with the JSON of one section changed, nothing signed anew."""
    fields = json.loads(made.sections[tag])
    change(fields)
    return put(made, tag, canonical_json(fields))


def entry(made: Made, number: int, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The file with one grant changed, nothing signed anew."""
    return edited(made, b"GRNT", lambda fields: change(fields["entries"][number - 1]))


def flipped(text: str) -> str:
    """Base64 with one bit of the first byte changed."""
    other = {"A": "E", "E": "A"}.get(text[0], "A")
    return other + text[1:]


def flip(data: bytes, place: int) -> bytes:
    """Data with one bit changed."""
    changed = bytearray(data)
    changed[place] ^= 1
    return bytes(changed)


def plain_version_1(made: Made) -> bytes:
    """What the first version of the format was: a manifest and a payload in the clear."""
    import hashlib

    fields = {**json.loads(made.sections[b"MANI"]), "format_version": 1}
    del fields["owner"]
    payload = SMALL_PAYLOAD["model"]
    fields |= {"payload_bytes": len(payload), "payload_digest": digest(payload)}
    data = struct.pack("<8sII", MAGIC, 1, 2)
    for tag, body in ((b"MANI", canonical_json(fields)), (b"PAYL", payload)):
        checksum = hashlib.sha256(body).digest()
        data += struct.pack("<4s4sQ32s", tag, bytes(4), len(body), checksum) + body
    return data


def again(log: GrantLog, *, number: int, **changes: Any) -> GrantLog:
    """A log in which the owner signed one entry otherwise, and those after it anew."""
    from strongroom.package.grants import _signed  # the owner's own faulty program

    entries: list[Grant] = []
    for one in log.entries:
        fields = msgspec.to_builtins(one)
        del fields["wrapped"], fields["signatures"]
        fields["previous"] = entries[-1].digest if entries else log.entries[0].previous
        if one.number == number:
            fields |= changes
        entries.append(_signed(OWNER, fields, FILE_KEY))
    return GrantLog(generation=log.generation, entries=tuple(entries))


def frames_swapped(ciphertext: bytes) -> bytes:
    """The first two frames of 16 KiB, with their tags, in each other's place."""
    first, second, rest = 56, 56 + 16400, 56 + 32800
    return (
        ciphertext[:first]
        + ciphertext[second:rest]
        + ciphertext[first:second]
        + (ciphertext[rest:])
    )


def table(rows: bytes) -> bytes:
    """A payload stream with a table of one's own, and a body of 64 bytes after it."""
    before = SALT + struct.pack("<I", len(rows)) + rows
    return before + bytes(-len(before) % 64) + bytes(64)


SMALL: Final = b'[{"bytes":64,"name":"model"}]'

FAULTS: Final[dict[str, tuple[str, str, str, Callable[[Made], bytes]]]] = {
    # name: (what is wrong, what finds it, code, how it is made)
    # the container
    "empty": ("the file is empty", "read", "FILE", lambda m: b""),
    "magic_truncated": ("ends inside the magic", "read", "FILE", lambda m: MAGIC[:5]),
    "magic_other": (
        "begins like a zip archive",
        "read",
        "FILE",
        lambda m: joined(m.sections, magic=b"PK\x03\x04PK\x03\x04"),
    ),
    "magic_text_mode": (
        "went through a transfer that changes line ends",
        "read",
        "FILE",
        lambda m: joined(m.sections).replace(b"\r\n", b"\n", 1),
    ),
    "header_truncated": (
        "ends inside the header",
        "read",
        "FILE",
        lambda m: joined(m.sections)[:15],
    ),
    "version_0": ("format version 0", "read", "FILE", lambda m: joined(m.sections, version=0)),
    "version_1_plain": (
        "a file of format version 1: in the clear, not signed",
        "read",
        "SIGNATURE",
        plain_version_1,
    ),
    "version_3": (
        "format version 3, which is not known",
        "read",
        "VERSION",
        lambda m: joined(m.sections, version=3),
    ),
    "count_0": ("no sections", "read", "FILE", lambda m: joined({}, count=0)),
    "count_4": ("claims four sections", "read", "FILE", lambda m: joined(m.sections, count=4)),
    "count_all_ones": (
        "claims 4294967295 sections",
        "read",
        "FILE",
        lambda m: joined(m.sections, count=2**32 - 1),
    ),
    "section_missing": (
        "ends before the head",
        "read",
        "FILE",
        lambda m: joined({tag: m.sections[tag] for tag in TAGS[:-1]}),
    ),
    "section_left_out": (
        "there are no signatures of the manifest",
        "read",
        "FILE",
        lambda m: joined({tag: m.sections[tag] for tag in TAGS if tag != b"SIGN"}, count=4),
    ),
    "section_twice": (
        "the manifest is there twice",
        "read",
        "FILE",
        lambda m: joined({b"MANI": m.sections[b"MANI"]}) + joined(m.sections)[16:],
    ),
    "sections_swapped": (
        "signatures before the manifest",
        "read",
        "FILE",
        lambda m: joined({tag: m.sections[tag] for tag in (TAGS[1], TAGS[0], *TAGS[2:])}),
    ),
    "section_unknown": (
        "a section EVIL in place of the head",
        "read",
        "FILE",
        lambda m: joined({**{t: m.sections[t] for t in TAGS[:-1]}, b"EVIL": b"{}"}),
    ),
    "section_sixth": (
        "a section after the head",
        "read",
        "FILE",
        lambda m: joined({**m.sections, b"EVIL": b"{}"}, count=6),
    ),
    "section_header_truncated": (
        "ends inside the header of the head",
        "read",
        "FILE",
        lambda m: joined(m.sections)[: -len(m.sections[b"HEAD"]) - 3],
    ),
    "body_truncated": (
        "lacks the last byte",
        "read",
        "FILE",
        lambda m: joined(m.sections)[:-1],
    ),
    "trailing_byte": (
        "one byte after the last section",
        "read",
        "FILE",
        lambda m: joined(m.sections) + b"\0",
    ),
    "length_beyond_file": (
        "the manifest claims more bytes than the file has",
        "read",
        "FILE",
        lambda m: joined({}) + section(b"MANI", m.sections[b"MANI"], length=10**6),
    ),
    "length_over_limit": (
        "the manifest claims more than 16 MiB",
        "read",
        "FILE",
        lambda m: joined({}) + section(b"MANI", m.sections[b"MANI"], length=2**24 + 1),
    ),
    "length_all_ones": (
        "the manifest claims 2^64 - 1 bytes",
        "read",
        "FILE",
        lambda m: joined({}) + section(b"MANI", m.sections[b"MANI"], length=2**64 - 1),
    ),
    "reserved_not_zero": (
        "a reserved byte is not zero",
        "read",
        "FILE",
        lambda m: (
            joined({})
            + section(b"MANI", m.sections[b"MANI"], zero=b"\0\0\0\1")
            + joined({tag: m.sections[tag] for tag in TAGS[1:]})[16:]
        ),
    ),
    # the manifest and its signatures
    "manifest_pickle": (
        "a pickle in place of the manifest",
        "read",
        "FILE",
        lambda m: put(m, b"MANI", b"\x80\x04."),
    ),
    "manifest_not_canonical": (
        "a space after the manifest",
        "read",
        "FILE",
        lambda m: put(m, b"MANI", m.sections[b"MANI"] + b" "),
    ),
    "manifest_release_changed": (
        "a higher release, not signed",
        "read",
        "SIGNATURE",
        lambda m: edited(m, b"MANI", lambda fields: fields.update(release=4)),
    ),
    "manifest_guarantee_changed": (
        "another guarantee statement under the old plan digest",
        "read",
        "FILE",
        lambda m: edited(
            m, b"MANI", lambda f: f["plan"]["guarantee"].update(security="quantum-128")
        ),
    ),
    "manifest_of_another_package": (
        "the manifest of another package of the owner",
        "read",
        "SIGNATURE",
        lambda m: put(m, b"MANI", make().sections[b"MANI"]),
    ),
    "manifest_and_signatures_of_another_package": (
        "manifest and signatures of another package of the owner",
        "read",
        "GRANT",
        lambda m: joined(
            {**m.sections, **{t: s for t, s in make().sections.items() if t in TAGS[:2]}}
        ),
    ),
    "signatures_stripped": (
        "empty signatures",
        "read",
        "FILE",
        lambda m: edited(
            m, b"SIGN", lambda f: f.update(signatures={"ed25519": "", "ml_dsa_65": ""})
        ),
    ),
    "signature_ed25519_missing": (
        "ML-DSA-65 alone",
        "read",
        "FILE",
        lambda m: edited(m, b"SIGN", lambda fields: fields["signatures"].pop("ed25519")),
    ),
    "signature_ml_dsa_missing": (
        "Ed25519 alone",
        "read",
        "FILE",
        lambda m: edited(m, b"SIGN", lambda fields: fields["signatures"].pop("ml_dsa_65")),
    ),
    "signature_ed25519_wrong": (
        "a bit of the Ed25519 signature",
        "read",
        "SIGNATURE",
        lambda m: edited(
            m,
            b"SIGN",
            lambda f: f["signatures"].update(ed25519=flipped(f["signatures"]["ed25519"])),
        ),
    ),
    "signature_ml_dsa_wrong": (
        "a bit of the ML-DSA-65 signature",
        "read",
        "SIGNATURE",
        lambda m: edited(
            m,
            b"SIGN",
            lambda f: f["signatures"].update(ml_dsa_65=flipped(f["signatures"]["ml_dsa_65"])),
        ),
    ),
    "signatures_of_the_head": (
        "the owner's signatures of something else",
        "read",
        "SIGNATURE",
        lambda m: edited(
            m, b"SIGN", lambda f: f.update(signatures=msgspec.to_builtins(m.head.signatures))
        ),
    ),
    "owner_replaced": (
        "signed by somebody else under their own name",
        "read",
        "SIGNATURE",
        lambda m: put(m, b"SIGN", canonical_json(Statement.of(STRANGER, m.sections[b"MANI"]))),
    ),
    "owner_renamed": (
        "the owner's keys under another name, which no signature of the manifest covers",
        "read",
        "FILE",
        lambda m: edited(
            m, b"SIGN", lambda f: f.update(owner=f["owner"].replace("vendor", "bank"))
        ),
    ),
    "owner_kept_signed_by_another": (
        "signed by somebody else under the owner's name",
        "read",
        "SIGNATURE",
        lambda m: edited(
            m,
            b"SIGN",
            lambda f: f.update(
                signatures=msgspec.to_builtins(
                    Statement.of(STRANGER, m.sections[b"MANI"]).signatures
                )
            ),
        ),
    ),
    # the grant log
    "log_empty": (
        "no entries",
        "read",
        "FILE",
        lambda m: edited(m, b"GRNT", lambda fields: fields.update(entries=[])),
    ),
    "log_cut": (
        "the last entry is gone",
        "read",
        "FILE",
        lambda m: edited(m, b"GRNT", lambda fields: fields["entries"].pop()),
    ),
    "log_first_entry_gone": (
        "the owner's entry is gone",
        "read",
        "FILE",
        lambda m: edited(m, b"GRNT", lambda fields: fields["entries"].pop(0)),
    ),
    "log_reordered": (
        "two entries have changed places",
        "read",
        "FILE",
        lambda m: edited(m, b"GRNT", lambda fields: fields["entries"].reverse()),
    ),
    "log_entry_twice": (
        "the last entry is there twice",
        "read",
        "FILE",
        lambda m: edited(m, b"GRNT", lambda f: f["entries"].append(f["entries"][-1])),
    ),
    "log_of_another_package": (
        "the grant log of another package of the owner",
        "read",
        "GRANT",
        lambda m: put(m, b"GRNT", make().sections[b"GRNT"]),
    ),
    "log_generation_changed": (
        "the log claims another generation than its entries",
        "read",
        "FILE",
        lambda m: edited(m, b"GRNT", lambda fields: fields.update(generation=2)),
    ),
    "log_of_an_older_generation": (
        "an older log beside a head of a newer one",
        "read",
        "FILE",
        lambda m: put(
            m,
            b"HEAD",
            canonical_json(
                Head.of(
                    OWNER,
                    m.manifest.digest,
                    GrantLog.begin(OWNER, m.manifest.digest, FILE_KEY, now=NOW, generation=2),
                    ciphertext_digest=digest(m.ciphertext),
                    ciphertext_bytes=len(m.ciphertext),
                )
            ),
        ),
    ),
    "grant_purpose_raised": (
        'a grant for "broker" in place of "open"',
        "read",
        "SIGNATURE",
        lambda m: entry(m, 2, lambda fields: fields.update(purpose="broker")),
    ),
    "grant_expiry_removed": (
        "a grant without its end",
        "read",
        "SIGNATURE",
        lambda m: entry(m, 2, lambda fields: fields.update(expires=None)),
    ),
    "grant_recipient_replaced": (
        "a grant to somebody else",
        "read",
        "SIGNATURE",
        lambda m: entry(m, 2, lambda f: f.update(recipient=STRANGER.public.to_text())),
    ),
    "grant_signature_missing": (
        "a grant with Ed25519 alone",
        "read",
        "FILE",
        lambda m: entry(m, 2, lambda fields: fields["signatures"].pop("ml_dsa_65")),
    ),
    "grant_wrap_moved": (
        "the wrapped key of one entry in the other",
        "read",
        "SIGNATURE",
        lambda m: entry(
            m, 2, lambda f: f.update(wrapped=msgspec.to_builtins(m.log.entries[0])["wrapped"])
        ),
    ),
    "grant_by_its_recipient": (
        "an entry that its recipient signed",
        "read",
        "SIGNATURE",
        lambda m: put(
            m,
            b"GRNT",
            canonical_json(
                m.log.with_grant(RECIPIENT, RECIPIENT.public, "open", FILE_KEY, now=NOW)
            ),
        ),
    ),
    "grant_second_owner": (
        'a second entry for "owner", signed by the owner',
        "read",
        "GRANT",
        lambda m: joined(
            make(log=lambda log: again(log, number=2, purpose="owner", expires=None)).sections
        ),
    ),
    "grant_first_not_the_owners": (
        'the first entry is for "open", signed by the owner',
        "read",
        "GRANT",
        lambda m: joined(make(log=lambda log: again(log, number=1, purpose="open")).sections),
    ),
    "grant_ends_before_it_begins": (
        "a grant that ends when it was made, signed by the owner",
        "read",
        "FILE",
        lambda m: entry(m, 2, lambda fields: fields.update(expires=fields["granted"])),
    ),
    # the head
    "head_signature_missing": (
        "the head with Ed25519 alone",
        "read",
        "FILE",
        lambda m: edited(m, b"HEAD", lambda fields: fields["signatures"].pop("ml_dsa_65")),
    ),
    "head_changed": (
        "the head names fewer entries, not signed",
        "read",
        "SIGNATURE",
        lambda m: edited(m, b"HEAD", lambda fields: fields["contents"].update(entries=1)),
    ),
    "head_of_another_package": (
        "the head of another package of the owner",
        "read",
        "FILE",
        lambda m: put(m, b"HEAD", make().sections[b"HEAD"]),
    ),
    # the payload
    "payload_cut": (
        "the encrypted payload lacks its last byte",
        "read",
        "FILE",
        lambda m: put(m, b"PAYL", m.ciphertext[:-1]),
    ),
    "payload_longer": (
        "a byte more in the encrypted payload",
        "read",
        "FILE",
        lambda m: put(m, b"PAYL", m.ciphertext + b"\0"),
    ),
    "payload_first_bit": (
        "a bit of the payload's salt of encryption",
        "open",
        "PAYLOAD",
        lambda m: put(m, b"PAYL", flip(m.ciphertext, 0)),
    ),
    "payload_commitment_bit": (
        "a bit of the payload's key commitment",
        "open",
        "PAYLOAD",
        lambda m: put(m, b"PAYL", flip(m.ciphertext, 55)),
    ),
    "payload_middle_bit": (
        "a bit of a frame of the payload",
        "open",
        "PAYLOAD",
        lambda m: put(m, b"PAYL", flip(m.ciphertext, 60)),
    ),
    "payload_last_bit": (
        "a bit of the payload's last tag",
        "open",
        "PAYLOAD",
        lambda m: put(m, b"PAYL", flip(m.ciphertext, -1)),
    ),
    "payload_frames_swapped": (
        "signed by the owner, but two frames of the payload have changed places",
        "open",
        "PAYLOAD",
        lambda _: joined(make(stream=plain_stream(PAYLOAD), seal=frames_swapped).sections),
    ),
    "payload_of_another_package": (
        "the encrypted payload of another package, under the same key",
        "open",
        "PAYLOAD",
        lambda m: put(m, b"PAYL", make().ciphertext),
    ),
    "payload_under_another_key": (
        "signed by the owner, but encrypted under another key than was granted",
        "open",
        "PAYLOAD",
        lambda m: joined(make(key=bytes(32)).sections),
    ),
    "payload_other_digest": (
        "signed by the owner, but the manifest names another payload",
        "open",
        "PAYLOAD",
        lambda m: joined(make(payload_digest="sha256:" + "0" * 64).sections),
    ),
    # the stream inside, as an owner's faulty program could write it
    "stream_table_beyond": (
        "the table claims more bytes than the stream has",
        "open",
        "PAYLOAD",
        lambda m: joined(make(stream=SALT + struct.pack("<I", 2**31) + SMALL).sections),
    ),
    "stream_table_not_canonical": (
        "a space in the table",
        "open",
        "PAYLOAD",
        lambda m: joined(make(stream=table(SMALL.replace(b",", b", "))).sections),
    ),
    "stream_segment_beyond": (
        "a segment is longer than the stream",
        "open",
        "PAYLOAD",
        lambda m: joined(make(stream=table(SMALL.replace(b"64", b"65"))).sections),
    ),
    "stream_segment_twice": (
        "two segments of one name",
        "open",
        "PAYLOAD",
        lambda m: joined(
            make(stream=table(b'[{"bytes":0,"name":"model"},{"bytes":64,"name":"model"}]')).sections
        ),
    ),
    "stream_segment_unnamed": (
        "a segment without a name",
        "open",
        "PAYLOAD",
        lambda m: joined(make(stream=table(SMALL.replace(b"model", b""))).sections),
    ),
    "stream_gap_not_zero": (
        "something between the table and the first segment",
        "open",
        "PAYLOAD",
        lambda m: joined(make(stream=flip(table(SMALL), -65)).sections),
    ),
    "stream_trailing_byte": (
        "a byte after the last segment",
        "open",
        "PAYLOAD",
        lambda m: joined(make(stream=table(SMALL) + b"\0").sections),
    ),
    "stream_salt_only": (
        "a stream that ends inside its salt",
        "open",
        "PAYLOAD",
        lambda m: joined(make(stream=SALT[:31]).sections),
    ),
}


def main() -> None:
    """Write all files, unless they are there."""
    if FOLDER.exists():
        if sys.argv[1:] != ["--again"]:
            return
        shutil.rmtree(FOLDER)
    FOLDER.mkdir(parents=True)
    made = make(stream=plain_stream(PAYLOAD))
    (FOLDER / "valid.strongroom").write_bytes(joined(made.sections))
    described = {
        "owner": {"seeds": OWNER.to_bytes().hex(), "public": OWNER.public.to_text()},
        "recipient": {"seeds": RECIPIENT.to_bytes().hex(), "public": RECIPIENT.public.to_text()},
        "manifest_digest": made.manifest.digest,
        "package_id": made.manifest.package_id,
        "file_key": FILE_KEY.hex(),
        "salt": SALT.hex(),
        "payload_stream_bytes": made.manifest.payload_bytes,
        "ciphertext_bytes": ciphertext_bytes(made.manifest.payload_bytes),
        "segments": {name: body.hex() for name, body in PAYLOAD.items()},
    }
    (FOLDER / "valid.json").write_text(json.dumps(described, indent=1) + "\n")
    index = []
    small = make()
    for name, (fault, found_by, code, how) in FAULTS.items():
        (FOLDER / f"{name}.strongroom").write_bytes(how(small))
        index.append(
            {
                "file": f"{name}.strongroom",
                "fault": fault,
                "found_by": found_by,
                "code": f"SR-PACKAGE-{code}",
            }
        )
    (FOLDER / "index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
