"""Cobblestone-256, which encrypts key files and payloads, against the published vectors.

C2SP's vectors of chunked-encryption are made with SHA-256, Cobblestone-256 with SHA-512, and
cryptography has no way to choose. So a model of the specification, here, is held against the
vectors with the one hash, and against cryptography with the other.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import zlib
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

VECTORS: Final = Path(__file__).parents[1] / "vectors" / "chunked_encryption_aes_256_gcm.json"
CHUNK_BYTES: Final = 16 * 1024
TAG_BYTES: Final = 16
SALT_BYTES: Final = 24
HEADER_BYTES: Final = SALT_BYTES + 32


class Refused(Exception):
    """The model does not open it."""


class Model:
    """One message by c2sp.org/chunked-encryption with AES-256-GCM."""

    def __init__(
        self, hash_: hashes.HashAlgorithm, key: bytes, context: bytes, salt: bytes
    ) -> None:
        if len(key) != 32 or len(salt) != SALT_BYTES:
            raise Refused
        info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + salt + context
        derived = HKDFExpand(hash_, 32 + 12 + 32, info).derive(key)
        self.key, self.base_nonce, self.commitment = derived[:32], derived[32:44], derived[44:]

    def nonce(self, chunk: int) -> bytes:
        return (int.from_bytes(self.base_nonce, "big") ^ chunk).to_bytes(12, "big")


def seal(
    hash_: hashes.HashAlgorithm, key: bytes, context: bytes, salt: bytes, message: bytes
) -> bytes:
    model = Model(hash_, key, context, salt)
    cipher = AESGCM(model.key)
    chunks = [
        cipher.encrypt(model.nonce(start // CHUNK_BYTES), message[start : start + CHUNK_BYTES], b"")
        for start in range(0, len(message) + 1, CHUNK_BYTES)
    ]
    return salt + model.commitment + b"".join(chunks)


def opened(hash_: hashes.HashAlgorithm, key: bytes, context: bytes, ciphertext: bytes) -> bytes:
    model = Model(hash_, key, context, ciphertext[:SALT_BYTES])
    if ciphertext[SALT_BYTES:HEADER_BYTES] != model.commitment:
        raise Refused
    cipher, step = AESGCM(model.key), CHUNK_BYTES + TAG_BYTES
    message = b""
    for number, start in enumerate(range(HEADER_BYTES, len(ciphertext) + 1, step)):
        chunk = ciphertext[start : start + step]
        if len(chunk) < TAG_BYTES:
            raise Refused
        try:
            message += cipher.decrypt(model.nonce(number), chunk, b"")
        except InvalidTag as error:
            raise Refused from error
    if len(ciphertext) < HEADER_BYTES:
        raise Refused
    return message


PUBLISHED: Final[dict[str, dict[str, Any]]] = {
    vector["name"]: vector for vector in json.loads(VECTORS.read_text())["vectors"]
}


def test_all_published_vectors_are_here() -> None:
    expected = [vector["expect"] for vector in PUBLISHED.values()]
    assert (expected.count("success"), expected.count("failure")) == (9, 25)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_model_opens_what_is_published_as_valid_and_nothing_else(name: str) -> None:
    vector = PUBLISHED[name]
    key, context = bytes.fromhex(vector["key"]), vector["context"].encode()
    ciphertext = base64.b64decode(vector["ciphertext"] or "")
    if vector.get("compressed"):
        ciphertext = zlib.decompress(ciphertext)
    if vector["expect"] == "failure":
        with pytest.raises(Refused):
            opened(hashes.SHA256(), key, context, ciphertext)
        return
    message = opened(hashes.SHA256(), key, context, ciphertext)
    assert len(message) == vector["payload_length"]
    assert hashlib.sha256(message).hexdigest() == vector["payload_sha256"]
    assert seal(hashes.SHA256(), key, context, ciphertext[:SALT_BYTES], message) == ciphertext


LENGTHS = (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 257 * CHUNK_BYTES + 5)


@pytest.mark.parametrize("length", LENGTHS)
def test_cobblestone_256_is_the_model_with_sha_512(length: int) -> None:
    key, context, message = secrets.token_bytes(32), b"context\0", secrets.token_bytes(length)
    encryptor = Cobblestone256Encryptor(key, context)
    made = encryptor.update(message) + encryptor.finalize()
    assert opened(hashes.SHA512(), key, context, made) == message
    ours = seal(hashes.SHA512(), key, context, made[:SALT_BYTES], message)
    assert ours == made
    assert _by_cryptography(key, context, ours) == message


FAULTS = {
    "salt": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "commitment": lambda data: data[:30] + bytes([data[30] ^ 1]) + data[31:],
    "first_chunk": lambda data: data[:60] + bytes([data[60] ^ 1]) + data[61:],
    "last_tag": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "cut_at_a_chunk": lambda data: data[: HEADER_BYTES + CHUNK_BYTES + TAG_BYTES],
    "cut_in_a_tag": lambda data: data[:-TAG_BYTES],
    "extra_byte": lambda data: data + b"\0",
    "header_alone": lambda data: data[:HEADER_BYTES],
    "nothing": lambda data: b"",
    "chunks_swapped": lambda data: (
        data[:HEADER_BYTES]
        + data[HEADER_BYTES + CHUNK_BYTES + TAG_BYTES :][: CHUNK_BYTES + TAG_BYTES]
        + data[HEADER_BYTES:][: CHUNK_BYTES + TAG_BYTES]
        + data[HEADER_BYTES + 2 * (CHUNK_BYTES + TAG_BYTES) :]
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_cobblestone_256_and_the_model_refuse_the_same_faults(fault: str) -> None:
    key, message = secrets.token_bytes(32), secrets.token_bytes(2 * CHUNK_BYTES + 100)
    damaged = FAULTS[fault](seal(hashes.SHA512(), key, b"", secrets.token_bytes(24), message))
    with pytest.raises(Refused):
        opened(hashes.SHA512(), key, b"", damaged)
    with pytest.raises((InvalidTag, ValueError)):
        _by_cryptography(key, b"", damaged)


def _by_cryptography(key: bytes, context: bytes, ciphertext: bytes) -> bytes:
    decryptor = Cobblestone256Decryptor(key, context)
    return decryptor.update(ciphertext) + decryptor.finalize()
