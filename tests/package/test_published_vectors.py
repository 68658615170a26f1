"""The published corpus, by this implementation and by a reader that shares no code with it."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from cryptography.cobblestone import Cobblestone256Decryptor
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from strongroom.errors import StrongroomError
from strongroom.keys.identity import Identity
from strongroom.package.file import SealedPackage, read

FOLDER = Path(__file__).parents[2] / "docs" / "vectors" / "packages"
INDEX: list[dict[str, str]] = json.loads((FOLDER / "index.json").read_text())
VALID: dict[str, Any] = json.loads((FOLDER / "valid.json").read_text())


@pytest.fixture(scope="module")
def recipient() -> Identity:
    return Identity(bytes.fromhex(VALID["recipient"]["seeds"]), "hospital")


def test_the_valid_package_holds_what_is_published(recipient: Identity) -> None:
    sealed = read(FOLDER / "valid.strongroom", verify_payload=True)
    assert sealed.digest == VALID["manifest_digest"]
    assert sealed.owner.to_text() == VALID["owner"]["public"]
    assert sealed.manifest.package_id == VALID["package_id"]
    assert sealed.manifest.payload_bytes == VALID["payload_stream_bytes"]
    assert sealed.head.ciphertext_bytes == VALID["ciphertext_bytes"]
    for package in (
        sealed.open(recipient, purpose="open"),
        sealed.open_with_key(bytes.fromhex(VALID["file_key"])),
    ):
        assert package.salt.hex() == VALID["salt"]
        found = {name: bytes(body).hex() for name, body in package.payload.items()}
        assert found == VALID["segments"]


@pytest.mark.parametrize(
    "entry", INDEX, ids=lambda entry: entry["file"].removesuffix(".strongroom")
)
def test_a_malformed_file_is_refused(entry: dict[str, str], recipient: Identity) -> None:
    sealed: SealedPackage | None = None
    with pytest.raises(StrongroomError) as caught:  # noqa: PT012  # which of the two it is counts
        sealed = read(FOLDER / entry["file"])
        sealed.open(recipient, purpose="open")
    assert caught.value.code == entry["code"]
    assert "\n" not in str(caught.value)
    assert ("read" if sealed is None else "open") == entry["found_by"]


def test_every_file_of_the_corpus_is_listed_with_a_fault_of_its_own() -> None:
    files = {path.name for path in FOLDER.glob("*.strongroom")} - {"valid.strongroom"}
    assert files == {entry["file"] for entry in INDEX}
    assert len({entry["fault"] for entry in INDEX}) == len(INDEX)
    contents = {path.read_bytes() for path in FOLDER.glob("*.strongroom")}
    assert len(contents) == len(INDEX) + 1


# A reader from docs/reference/format.md alone.


def sections(data: bytes) -> dict[str, bytes]:
    assert data[:16] == bytes.fromhex("8953524d0d0a1a0a0200000005000000")
    bodies, position = {}, 16
    for expected in ("MANI", "SIGN", "GRNT", "PAYL", "HEAD"):
        tag, zero, length = struct.unpack_from("<4sIQ", data, position)
        assert (tag.decode(), zero) == (expected, 0)
        position += 16
        bodies[expected] = data[position : position + length]
        position += length
    assert position == len(data)
    return bodies


def canonical(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def public_keys(text: str) -> bytes:
    form, keys, _ = text.split(" ")
    assert form == "strongroom-identity-1"
    return base64.b64decode(keys)


def verify(text: str, signatures: dict[str, str], purpose: str, message: bytes) -> None:
    keys = public_keys(text)
    signed = b"strongroom signature\0" + purpose.encode() + b"\0" + message
    Ed25519PublicKey.from_public_bytes(keys[:32]).verify(
        base64.b64decode(signatures["ed25519"]), signed
    )
    MLDSA65PublicKey.from_public_bytes(keys[32:1984]).verify(
        base64.b64decode(signatures["ml_dsa_65"]), signed
    )


def test_a_reader_written_from_the_specification_opens_the_valid_package() -> None:
    bodies = sections((FOLDER / "valid.strongroom").read_bytes())
    manifest, statement, log, head = (
        json.loads(bodies[tag]) for tag in ("MANI", "SIGN", "GRNT", "HEAD")
    )
    owner = statement["owner"]
    fingerprint = hashlib.sha256(b"strongroom identity\0" + public_keys(owner)).hexdigest()
    assert manifest["owner"] == "identity:" + fingerprint
    verify(owner, statement["signatures"], "manifest", bodies["MANI"])

    package = previous = digest(bodies["MANI"])
    for number, entry in enumerate(log["entries"], 1):
        assert (entry["number"], entry["generation"]) == (number, log["generation"])
        assert (entry["package"], entry["previous"]) == (package, previous)
        unsigned = {name: value for name, value in entry.items() if name != "signatures"}
        verify(owner, entry["signatures"], "grant", canonical(unsigned))
        previous = digest(canonical(entry))
    assert (log["entries"][0]["recipient"], log["entries"][0]["purpose"]) == (owner, "owner")

    contents = head["contents"]
    verify(owner, head["signatures"], "head", canonical(contents))
    assert contents == {
        "package": package,
        "generation": log["generation"],
        "entries": len(log["entries"]),
        "last_entry": previous,
        "ciphertext_digest": digest(bodies["PAYL"]),
        "ciphertext_bytes": len(bodies["PAYL"]),
    }

    seeds = bytes.fromhex(VALID["recipient"]["seeds"])
    private = hpke.MLKEM768X25519PrivateKey(
        MLKEM768PrivateKey.from_seed_bytes(seeds[64:128]),
        X25519PrivateKey.from_private_bytes(seeds[128:160]),
    )
    suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    granted = log["entries"][1]
    assert granted["recipient"] == VALID["recipient"]["public"]
    left = {k: v for k, v in granted.items() if k not in ("wrapped", "signatures")}
    info = b"strongroom grant\0" + canonical(left)
    file_key = suite.decrypt(base64.b64decode(granted["wrapped"]), private, info)
    assert file_key.hex() == VALID["file_key"]

    context = b"strongroom payload\0" + manifest["package_id"].encode()
    decryptor = Cobblestone256Decryptor(file_key, context)
    stream = decryptor.update(bodies["PAYL"]) + decryptor.finalize()
    assert len(stream) == manifest["payload_bytes"]
    assert digest(stream) == manifest["payload_digest"]
    (length,) = struct.unpack_from("<I", stream, 32)
    position, found = 36 + length, {}
    for row in json.loads(stream[36:position]):
        start = -(-position // 64) * 64
        assert stream[position:start] == bytes(start - position)
        position = start + row["bytes"]
        found[row["name"]] = stream[start:position].hex()
    assert position == len(stream)
    assert found == VALID["segments"]
