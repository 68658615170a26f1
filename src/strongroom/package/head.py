"""The two signed records around the payload: who owns the package, and what the file holds now.

The *statement* carries the owner's public identity and signatures of the manifest. It never
changes. The *head* is the last section, and made anew whenever the grant log or the payload is:
it names both, so that a log that lacks its last entries, or a log and a payload of different
generations, are seen by anybody without a key.

Rules:

1. The manifest names its owner by fingerprint. The statement's identity has that fingerprint and
   signed the manifest's canonical bytes, by both algorithms, for "manifest".
2. The head is signed by the same identity, by both algorithms, for "head".
3. The head names the manifest's digest; the log's generation, its number of entries and the
   digest of the last; digest and length of the encrypted payload. All of it is so.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from strongroom.canonical import Digest, canonical_json
from strongroom.errors import KeyStoreError, PackageError
from strongroom.keys.identity import Identity, PublicIdentity, Signatures
from strongroom.package.grants import (
    MAXIMUM_ENTRIES,
    MAXIMUM_GENERATION,
    GrantLog,
)
from strongroom.package.records import FETCH_AGAIN, malformed

MAXIMUM_STATEMENT_BYTES: Final = 2**14
MAXIMUM_HEAD_BYTES: Final = 2**14

_MANIFEST_PURPOSE: Final = "manifest"
_HEAD_PURPOSE: Final = "head"


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The owner, and its word for the manifest.

    Attributes:
        owner: text of its public identity.
        signatures: of the manifest's canonical bytes.
    """

    owner: Annotated[str, msgspec.Meta(max_length=8192)]
    signatures: Signatures

    @classmethod
    def of(cls, owner: Identity, manifest_json: bytes) -> Statement:
        """Sign a manifest."""
        signatures = owner.sign(_MANIFEST_PURPOSE, manifest_json)
        return cls(owner=owner.public.to_text(), signatures=signatures)

    def verify(self, fingerprint: str, manifest_json: bytes) -> PublicIdentity:
        """The owner, if it signed the manifest: rule 1.

        Args:
            fingerprint: that the manifest names.

        Raises:
            PackageError: SR-PACKAGE-SIGNATURE if it is another, or didn't sign it;
                SR-PACKAGE-FILE if it is none.
        """
        return verify_manifest(self.owner, self.signatures, fingerprint, manifest_json)


def verify_manifest(
    owner: str, signatures: Signatures, fingerprint: str, manifest_json: bytes
) -> PublicIdentity:
    """The owner of a manifest, if it is the one that the manifest names and signed it.

    Args:
        owner: text of a public identity.
        fingerprint: of the owner, as the manifest names it.
        manifest_json: the manifest's canonical bytes.

    Raises:
        PackageError: SR-PACKAGE-SIGNATURE, SR-PACKAGE-FILE.
    """
    try:
        identity = PublicIdentity.from_text(owner)
    except KeyStoreError as error:
        raise malformed(f"the package's owner is none: {error.message}") from error
    if identity.to_text() != owner:
        raise malformed("the package's owner is not in canonical form")
    if identity.fingerprint != fingerprint:
        raise PackageError(
            "SR-PACKAGE-SIGNATURE",
            f"the manifest names {fingerprint} as its owner, it comes with {identity.fingerprint}",
            FETCH_AGAIN,
        )
    identity.verify(signatures, _MANIFEST_PURPOSE, manifest_json)
    return identity


class Contents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file holds at present.

    Attributes:
        package: digest of the manifest.
        generation, entries: of the grant log.
        last_entry: digest of its last entry.
        ciphertext_digest, ciphertext_bytes: of the encrypted payload.
    """

    package: Digest
    generation: Annotated[int, msgspec.Meta(ge=1, le=MAXIMUM_GENERATION)]
    entries: Annotated[int, msgspec.Meta(ge=1, le=MAXIMUM_ENTRIES)]
    last_entry: Digest
    ciphertext_digest: Digest
    ciphertext_bytes: Annotated[int, msgspec.Meta(ge=1, le=2**53)]

    def check_ciphertext(self, found: str) -> None:
        """Compare the digest of an encrypted payload.

        Raises:
            PackageError: SR-PACKAGE-PAYLOAD.
        """
        if found != self.ciphertext_digest:
            raise PackageError(
                "SR-PACKAGE-PAYLOAD",
                f"the encrypted payload has digest {found}, the file's head names "
                f"{self.ciphertext_digest}",
                FETCH_AGAIN,
            )


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents, and the owner's word for them.

    Attributes:
        contents: what the file holds.
        signatures: of the canonical bytes of the contents.
    """

    contents: Contents
    signatures: Signatures

    @classmethod
    def of(
        cls,
        owner: Identity,
        package: str,
        log: GrantLog,
        *,
        ciphertext_digest: str,
        ciphertext_bytes: int,
    ) -> Head:
        """Sign what a file holds.

        Args:
            package: digest of the manifest.
        """
        contents = Contents(
            package=package,
            generation=log.generation,
            entries=len(log.entries),
            last_entry=log.last_digest,
            ciphertext_digest=ciphertext_digest,
            ciphertext_bytes=ciphertext_bytes,
        )
        return cls(
            contents=contents, signatures=owner.sign(_HEAD_PURPOSE, canonical_json(contents))
        )

    def verify(
        self, owner: PublicIdentity, package: str, log: GrantLog, ciphertext_bytes: int
    ) -> None:
        """Check rules 2 and 3, all but the digest of the payload.

        Args:
            package: digest of the manifest.
            log: the grant log, not necessarily checked yet.
            ciphertext_bytes: that the file has.

        Raises:
            PackageError: SR-PACKAGE-SIGNATURE if it is not signed so, SR-PACKAGE-FILE if the file
                holds something else.
        """
        owner.verify(self.signatures, _HEAD_PURPOSE, canonical_json(self.contents))
        said = self.contents
        for what, named, found in (
            ("manifest", said.package, package),
            ("generation of the grant log", said.generation, log.generation),
            ("number of grants", said.entries, len(log.entries)),
            ("last grant", said.last_entry, log.last_digest),
            ("length of the encrypted payload", said.ciphertext_bytes, ciphertext_bytes),
        ):
            if named != found:
                raise malformed(
                    f"the file's head names another {what} ({named}) than the file has ({found})"
                )
