"""A package as tools of OpenSSF Model Signing know models: export only, nothing here is read back.

OpenSSF Model Signing (OMS) version 1.0 describes a model by an in-toto statement version 1 with
the predicate `https://model_signing/signature/v1.0`: the digest of each file, and as the digest of
the subject SHA-256 over these digests. Of a model that is one file the resource is called ".".
Signed, the statement is the payload of a DSSE envelope (version 1.0) in a Sigstore bundle 0.3.

**An owner's identity can't sign it.** Verifiers take ECDSA on P-256, P-384 or P-521, certificates
of such keys, or Sigstore, and neither Ed25519 nor ML-DSA. So the statement is signed by a key of
that kind which the owner keeps for these tools, or written unsigned. It is a second signature,
beside those in the package, and weaker: no algorithm of it withstands a quantum computer. Nothing
in Strongroom relies on it.

The statement names the digest of the *file*, which is another after each grant, revocation or
rotation, unlike the package's own digest.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from strongroom.canonical import canonical_json
from strongroom.errors import KeyStoreError, PackageError
from strongroom.package.file import read
from strongroom.package.sections import opened

_STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
_PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
_PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
_BUNDLE_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
_MAXIMUM_KEY_BYTES: Final = 2**14
_HASHES: Final[dict[str, Callable[[], hashes.HashAlgorithm]]] = {
    "secp256r1": hashes.SHA256,
    "secp384r1": hashes.SHA384,
    "secp521r1": hashes.SHA512,
}
_ANOTHER_KEY: Final = "Make one with `openssl ecparam -name prime256v1 -genkey -noout`"


def model_signing_statement(path: str | os.PathLike[str]) -> bytes:
    """The unsigned OMS statement of a package file whose own signatures hold: UTF-8 JSON.

    Raises:
        PackageError: as `read` with `verify_payload`; SR-PACKAGE-FILE if the file is replaced
            meanwhile.
    """
    source = Path(path)
    with opened(source) as file:
        whole = hashlib.file_digest(file, "sha256").digest()
        held = os.fstat(file.fileno())
        read(source, verify_payload=True)
        now = os.stat(source)
    if _state(held) != _state(now):
        raise PackageError(
            "SR-PACKAGE-FILE", f"{source} was replaced while it was read", "Try again"
        )
    return canonical_json(
        {
            "_type": _STATEMENT_TYPE,
            "subject": [
                {"name": source.name, "digest": {"sha256": hashlib.sha256(whole).hexdigest()}}
            ],
            "predicateType": _PREDICATE_TYPE,
            "predicate": {
                "serialization": {
                    "method": "files",
                    "hash_type": "sha256",
                    "allow_symlinks": False,
                },
                "resources": [{"name": ".", "algorithm": "sha256", "digest": whole.hex()}],
            },
        }
    )


def signed_bundle(statement: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """A statement, signed as the "key" method of OMS has it: a Sigstore bundle, UTF-8 JSON.

    Args:
        statement: from `model_signing_statement`.
        key: on P-256, P-384 or P-521; signs with SHA-256, SHA-384 or SHA-512.
    """
    # Pre-authentication encoding of DSSE 1.0.
    encoded = b"DSSEv1 %d %s %d %s" % (
        len(_PAYLOAD_TYPE),
        _PAYLOAD_TYPE.encode(),
        len(statement),
        statement,
    )
    signature = key.sign(encoded, ec.ECDSA(_HASHES[key.curve.name]()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return canonical_json(
        {
            "mediaType": _BUNDLE_TYPE,
            "verificationMaterial": {
                "publicKey": {"hint": hashlib.sha256(public).hexdigest()},
                "tlogEntries": [],
            },
            "dsseEnvelope": {
                "payload": base64.b64encode(statement).decode(),
                "payloadType": _PAYLOAD_TYPE,
                "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
            },
        }
    )


def read_signing_key(
    path: str | os.PathLike[str], passphrase: Callable[[], str]
) -> ec.EllipticCurvePrivateKey:
    """A private key from a PEM file, of a kind that OMS verifiers take.

    Args:
        passphrase: asked for it if the file is encrypted.

    Raises:
        KeyStoreError: SR-KEYS-SIGNING if the file can't be read or is no such key;
            SR-KEYS-PASSPHRASE; whatever `passphrase` raises.
    """
    source = Path(path)
    try:
        with source.open("rb") as file:
            data = file.read(_MAXIMUM_KEY_BYTES)
    except OSError as error:
        raise KeyStoreError(
            "SR-KEYS-SIGNING", f"{source} can't be read: {error.strerror or error}"
        ) from error
    try:
        try:
            key = load_pem_private_key(data, None)
        except TypeError:  # it is encrypted
            given = passphrase().encode()
            try:
                key = load_pem_private_key(data, given)
            except ValueError as error:
                raise KeyStoreError(
                    "SR-KEYS-PASSPHRASE", f"the passphrase does not open {source}"
                ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyStoreError(
            "SR-KEYS-SIGNING", f"{source} is no private key in PEM", _ANOTHER_KEY
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in _HASHES:
        raise KeyStoreError(
            "SR-KEYS-SIGNING",
            f"the key in {source} is not on P-256, P-384 or P-521, and verifiers take no other",
            _ANOTHER_KEY,
        )
    return key


def _state(found: os.stat_result) -> tuple[int, int, int, int]:
    """What tells a file from one that took its place, or was written to."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
