"""Package: a protected model in memory, new or opened, with its weights in the clear."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from strongroom.compiler.plan import Plan
from strongroom.errors import PackageError
from strongroom.keys.identity import Identity, PublicIdentity
from strongroom.keys.identity_store import IdentityStore
from strongroom.package.encryption import (
    Encryption,
    check_stream,
    ciphertext_bytes,
    new_file_key,
)
from strongroom.package.grants import GrantLog, Purpose
from strongroom.package.head import Statement
from strongroom.package.manifest import Manifest, Parity, encode_manifest, new_manifest
from strongroom.package.payload import Payload, PayloadStream
from strongroom.package.writing import Ciphertext, exists_already, write_file


@dataclass(frozen=True, slots=True)
class Package:
    """A protected model. Made by `create`, `strongroom.protect`, or by opening a file.

    Attributes:
        manifest: what the package says of itself.
        payload: what the server side of the protection needs, by the name of the segment; holds
            the weights. Of an opened package these are views of locked memory.
        salt: random bytes that belong to the payload's digest.
        owner: whose package it is; the manifest names its fingerprint.
    """

    manifest: Manifest
    payload: Payload = field(repr=False)
    salt: bytes = field(repr=False)
    owner: PublicIdentity

    @classmethod
    def create(
        cls,
        *,
        name: str,
        plan: Plan,
        payload: Payload,
        parity: Parity,
        version: str = "1",
        release: int = 1,
        owner: PublicIdentity | Identity | None = None,
    ) -> Package:
        """A new package around a plan and its payload.

        Args:
            owner: whose it is; the identity "default" of the key store if None.

        Raises:
            PackageError: SR-PACKAGE-NAME, SR-PLAN-INVALID, SR-PACKAGE-PAYLOAD.
            KeyStoreError: SR-IDENTITY-MISSING if there is no default identity.
        """
        public = public_owner(owner)
        stream = PayloadStream(payload)
        manifest = new_manifest(
            name=name,
            version=version,
            release=release,
            plan=plan,
            parity=parity,
            owner=public.fingerprint,
            payload_digest=stream.digest(),
            payload_bytes=stream.length,
        )
        return cls(manifest, dict(payload), stream.salt, public)

    def __repr__(self) -> str:
        return f"Package({self.manifest.name!r}, {self.digest})"

    @property
    def digest(self) -> str:
        """Digest of the canonical manifest, "sha256:…": what a client trusts."""
        return self.manifest.digest

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        owner: Identity | None = None,
        recipients: Sequence[PublicIdentity] = (),
        purpose: Purpose = "serve",
        expires: datetime | None = None,
        overwrite: bool = False,
    ) -> None:
        """Encrypt, sign and write the file, atomically and durably, under a fresh file key.

        Saving a package again, even under the same path, begins a new grant log of generation
        1; to go on with the one in a file there is `package.sharing`.

        Args:
            path: of the file.
            owner: the package's owner, who signs; the identity "default" of the key store if
                None, opened with $STRONGROOM_PASSPHRASE or the keyring.
            recipients: to whom it is granted besides.
            purpose: what for: "serve", "open" or "broker".
            expires: when these grants end, with a time zone; None for never.
            overwrite: whether a file that is there is replaced.

        Raises:
            PackageError: SR-PACKAGE-OWNER if the package is of another owner; SR-PACKAGE-EXISTS;
                SR-PACKAGE-GRANT if a grant can't be; SR-PACKAGE-PAYLOAD if the payload changed
                since the package was made; SR-PACKAGE-FILE if it can't be written.
            KeyStoreError: SR-IDENTITY-MISSING, and why the identity does not open.
        """
        target = Path(path)
        if not overwrite and os.path.lexists(target):  # found out before anything is asked for
            raise exists_already(target)
        signer = IdentityStore.open().identity() if owner is None else owner
        check_owner(signer, self.manifest)
        manifest_json = encode_manifest(self.manifest)
        file_key, now = new_file_key(), datetime.now(UTC)
        log = GrantLog.begin(signer, self.digest, file_key, now=now)
        for recipient in recipients:
            log = log.with_grant(signer, recipient, purpose, file_key, now=now, expires=expires)
        stream = PayloadStream(self.payload, self.salt)
        encryption = Encryption(
            stream.chunks(),
            file_key,
            self.manifest.package_id,
            stream_digest=self.manifest.payload_digest if stream.immutable else None,
        )
        write_file(
            target,
            manifest_json=manifest_json,
            statement=Statement.of(signer, manifest_json),
            log=log,
            ciphertext=checked(encryption, stream.length, self.manifest),
            owner=signer,
            replace=overwrite,
        )


def public_owner(owner: PublicIdentity | Identity | None) -> PublicIdentity:
    """The public half of an owner; of the identity "default" of the key store if None.

    Raises:
        KeyStoreError: SR-IDENTITY-MISSING if there is no default identity.
    """
    if owner is None:
        return IdentityStore.open().public()
    return owner.public if isinstance(owner, Identity) else owner


def check_owner(owner: Identity, manifest: Manifest) -> None:
    """Refuse to sign for a package of somebody else.

    Raises:
        PackageError: SR-PACKAGE-OWNER.
    """
    if owner.fingerprint != manifest.owner:
        raise PackageError(
            "SR-PACKAGE-OWNER",
            f"the package is owned by {manifest.owner}, not by {owner.fingerprint}",
            "Use the identity with which the model was protected",
        )


def checked(encryption: Encryption, stream_bytes: int, manifest: Manifest) -> Ciphertext:
    """What is encrypted, refused at its end if it is not the payload that the manifest names."""

    def found() -> str:
        check_stream(
            manifest.payload_bytes, manifest.payload_digest, stream_bytes, encryption.stream_digest
        )
        return encryption.ciphertext_digest

    return Ciphertext(encryption, ciphertext_bytes(stream_bytes), found)
