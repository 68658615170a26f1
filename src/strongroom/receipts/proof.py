"""Proof of a server: the chain from the owner of a model to the keys of who serves it.

    owner's identity
      signs the manifest                                (what the package is)
      signs a grant to the server's identity            (who may serve it; perhaps by a broker)
        signs the key configuration                     (its serving keys at present)
          of which one signs receipts, and opens requests

A server shows the five texts of a `Proof` in a model's metadata; a receipt carries them along. All
of them are public, none is trusted: `verify_proof` starts from what its caller trusts and checks
every link. A link that is missing is a failure, whatever else is there.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Self

import msgspec

from strongroom.canonical import canonical_json, digest
from strongroom.errors import KeyStoreError, PackageError
from strongroom.keys.identity import PublicIdentity, Signatures
from strongroom.keys.serving import KeyConfiguration, refused, verify_configuration
from strongroom.package.file import SealedPackage
from strongroom.package.grants import Grant
from strongroom.package.head import verify_manifest
from strongroom.package.manifest import Manifest, decode_manifest
from strongroom.package.protected import Package
from strongroom.receipts.authority import verify_authority
from strongroom.receipts.statement import Subject

FIRST_USE: Final = "first-use"

Trust = str | os.PathLike[str] | PublicIdentity | Package | SealedPackage
"""Whom to trust: an owner by its public identity, its fingerprint "identity:…" or the path of its
`.pub` file; one package by its digest "sha256:…" or itself; or "first-use"."""

MAXIMUM_SIGNATURES: Final = 8192
"""Longest text of two signatures."""

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_FINGERPRINT: Final = re.compile(r"identity:[0-9a-f]{64}")
_MAXIMUM_FILE_BYTES: Final = 16 * 2**10
_ASK: Final = "Ask the model's owner for its public identity, and pass that as trust"


@dataclass(frozen=True, slots=True)
class Trusted:
    """Whom a caller trusts, in its normal form.

    Attributes:
        owner: fingerprint of the only owner whose packages are accepted; None for any.
        package: digest of the only package that is accepted; None for any.
    """

    owner: str | None
    package: str | None

    @classmethod
    def of(cls, trust: Trust) -> Self:
        """What a caller's `trust` says; nothing at all for "first-use".

        Raises:
            PackageError: SR-PACKAGE-DIGEST for something that begins like a digest and is none.
            KeyStoreError: SR-IDENTITY-FILE for anything else, a file that holds no identity too.
        """
        if isinstance(trust, Package | SealedPackage):
            return cls(None, trust.digest)
        if isinstance(trust, PublicIdentity):
            return cls(trust.fingerprint, None)
        if isinstance(trust, str):
            if trust == FIRST_USE:
                return cls(None, None)
            if _FINGERPRINT.fullmatch(trust):
                return cls(trust, None)
            if _DIGEST.fullmatch(trust):
                return cls(None, trust)
            if trust.startswith("sha256:"):
                raise PackageError(
                    "SR-PACKAGE-DIGEST",
                    "what is to be trusted is not a package's digest",
                    'Pass "sha256:" and 64 hex digits',
                )
        return cls(_identity_in(trust).fingerprint, None)


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The texts of the chain, as a server shows them; nothing of them is checked.

    Attributes:
        manifest: canonical JSON of the package's manifest.
        owner: the owner's public identity.
        signatures: canonical JSON of the owner's signatures of the manifest.
        authority: that the owner granted the package to the server (`receipts.authority`).
        key_configuration: the server's keys (`keys.serving`).
    """

    manifest: str
    owner: str
    signatures: str
    authority: str
    key_configuration: str


@dataclass(frozen=True, slots=True)
class ProvenServer:
    """A chain that holds. Made by `verify_proof` only.

    Attributes:
        manifest: of the package that is served.
        package: its digest.
        owner: who signed it.
        server: whom the owner allows to serve it.
        generation: of the grant log by which.
        subject: what receipts say of the package.
        configuration: the server's keys.
    """

    manifest: Manifest
    package: str
    owner: PublicIdentity
    server: PublicIdentity
    generation: int
    subject: Subject
    configuration: KeyConfiguration


def verify_proof(proof: Proof, trusted: Trusted, now: datetime) -> ProvenServer:
    """Check every link of a chain.

    Args:
        trusted: whom the caller trusts; where that is nobody yet, the owner that the chain itself
            names is taken.
        now: UTC; nothing on the chain may have expired by then.

    Raises:
        PackageError: SR-PACKAGE-DIGEST, -OWNER, -SIGNATURE, -GRANT, -EXPIRED, -FILE, -VERSION.
        PolicyError: SR-PLAN-INVALID if the plan contradicts itself.
        ServerError: SR-SERVER-KEYS.
    """
    manifest, owner = verify_package(proof, trusted)
    package = digest(proof.manifest.encode())
    server = verify_authority(proof.authority, owner, package, now)
    configuration = verify_configuration(proof.key_configuration, server, package, now)
    generation = _generation(proof.authority)
    subject = Subject.of(manifest)
    return ProvenServer(manifest, package, owner, server, generation, subject, configuration)


def verify_package(proof: Proof, trusted: Trusted) -> tuple[Manifest, PublicIdentity]:
    """Check the first half of a chain: that the manifest is the trusted one, or the trusted
    owner's. It is decoded only after that.

    Raises:
        PackageError, PolicyError: as for `verify_proof`.
    """
    data = proof.manifest.encode("utf-8", "surrogatepass")
    found = digest(data)
    if trusted.package not in (None, found):
        raise PackageError(
            "SR-PACKAGE-DIGEST",
            f"this is package {found}, trusted is {trusted.package}",
            "Ask the model's owner which digest is right, and pass that one as trust",
        )
    owner = _owner(proof.owner)
    if trusted.owner not in (None, owner.fingerprint):
        raise PackageError(
            "SR-PACKAGE-OWNER",
            f"the package is signed by {owner.fingerprint}, trusted is {trusted.owner}",
            _ASK,
        )
    verify_manifest(proof.owner, _signatures(proof.signatures), owner.fingerprint, data)
    manifest = decode_manifest(data)
    if manifest.owner != owner.fingerprint:
        raise PackageError(
            "SR-PACKAGE-OWNER",
            f"the package names {manifest.owner} as its owner, and {owner.fingerprint} signed it",
            _ASK,
        )
    return manifest, owner


class _GrantShown(msgspec.Struct):
    """An authority as far as it shows the owner's grant, to the server or to a broker."""

    entry: Grant | None = None
    grant: Grant | None = None


def _generation(authority: str) -> int:
    """Of the grant in an authority that `verify_authority` accepted."""
    shown = msgspec.json.decode(authority, type=_GrantShown)
    grant = shown.entry or shown.grant
    if grant is None:
        raise refused("what it shows names no grant of the owner")
    return grant.generation


def _owner(text: str) -> PublicIdentity:
    try:
        return PublicIdentity.from_text(text)
    except KeyStoreError as error:
        raise PackageError(
            "SR-PACKAGE-OWNER", "the package comes without a valid identity of its owner", _ASK
        ) from error


def _signatures(text: str) -> Signatures:
    try:
        if len(text) > MAXIMUM_SIGNATURES:
            raise ValueError("too long")
        data = text.encode()
        signatures = msgspec.json.decode(data, type=Signatures)
        if canonical_json(signatures) != data:
            raise ValueError("not canonical")
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise PackageError(
            "SR-PACKAGE-SIGNATURE",
            "the package comes without both of its owner's signatures",
            "Fetch it again from its owner",
        ) from error
    return signatures


def _identity_in(path: str | os.PathLike[str]) -> PublicIdentity:
    """The public identity in a file of one line.

    Raises:
        KeyStoreError: SR-IDENTITY-FILE.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAXIMUM_FILE_BYTES + 1)
        text = data.decode("ascii")
    except (OSError, ValueError, TypeError) as error:
        raise KeyStoreError(
            "SR-IDENTITY-FILE",
            f"what is to be trusted ({ascii(str(path))[:100]}) is no file of a public identity",
            'Pass the owner\'s .pub file or its fingerprint "identity:…", a package or its digest '
            f'"sha256:…", or "{FIRST_USE}"',
        ) from error
    return PublicIdentity.from_text(text)
