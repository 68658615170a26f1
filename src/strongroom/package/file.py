"""Reading a package: first everything that needs no key, then, with one, the payload.

Rules, in the order in which a reader applies them; what breaks one is refused:

1. The file holds the five sections, nothing else, each within its limits (`package.sections`).
2. The manifest is canonical and consistent in itself (`package.manifest`).
3. Its owner signed it, by both algorithms (`package.head`).
4. The grant log belongs to it and is whole (`package.grants`), and the head, which the owner
   signed too, names log and payload (`package.head`).
5. To open it somebody needs a grant for that purpose which has not ended. The clock that judges
   it must not be behind the time at which the grant was made.
6. The payload opens under the key that the grant wraps, to its end, and is the one that the
   manifest names (`package.encryption`). Nothing of it is used before.

Rules 1 to 4 hold for every `SealedPackage` that `read` returns: who has one can rely on its
manifest, owner and grants. That they are the newest is not in the file: `keys.seen` remembers.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Literal, Protocol

from strongroom.errors import KeyStoreError, PackageError, PolicyError
from strongroom.keys.home import home_folder
from strongroom.keys.identity import Identity, PublicIdentity, Signatures
from strongroom.keys.identity_store import IdentityStore
from strongroom.keys.seen import Seen
from strongroom.moments import parse_moment
from strongroom.package.encryption import (
    Hashed,
    ciphertext_bytes,
    open_stream,
)
from strongroom.package.grants import (
    FILE_KEY_BYTES,
    MAXIMUM_LOG_BYTES,
    MAY_OPEN,
    MAY_SERVE,
    Grant,
    GrantLog,
    Purpose,
)
from strongroom.package.head import (
    MAXIMUM_HEAD_BYTES,
    MAXIMUM_STATEMENT_BYTES,
    Contents,
    Head,
    Statement,
)
from strongroom.package.manifest import Manifest, decode_manifest
from strongroom.package.payload import split_stream
from strongroom.package.protected import Package
from strongroom.package.records import decode_record, malformed
from strongroom.package.sections import Sections, opened, payload_parts, read_sections

CLOCK_TOLERANCE: Final = timedelta(minutes=5)
"""How far an honest clock may be behind that of the owner."""


class Opener(Protocol):
    """Who can open a package: an `Identity`, or a link to a process that holds one."""

    @property
    def fingerprint(self) -> str:
        """Of the identity to which packages are granted."""
        ...

    def unwrap(self, wrapped: bytes, info: bytes) -> bytes:
        """Open what was wrapped to it; raises PackageError, SR-PACKAGE-GRANT."""
        ...


@dataclass(frozen=True, slots=True)
class SealedPackage:
    """A package as a file: signed, granted, its payload still encrypted. Made by `read`.

    Attributes:
        path: of the file.
        manifest: what the package says of itself.
        manifest_json: its exact canonical bytes, which the owner signed.
        owner: who signed it.
        signatures: of the manifest.
        log: all grants of this generation.
        head: what the file holds, as the owner signed it.
    """

    path: Path
    manifest: Manifest
    manifest_json: bytes = field(repr=False)
    owner: PublicIdentity
    signatures: Signatures = field(repr=False)
    log: GrantLog = field(repr=False)
    head: Contents

    @property
    def digest(self) -> str:
        """Digest of the manifest, "sha256:…": what a client trusts."""
        return self.head.package

    @property
    def grants(self) -> tuple[Grant, ...]:
        """All entries of the grant log."""
        return self.log.entries

    def grant_for(
        self, fingerprint: str, purposes: Collection[Purpose], now: datetime | None = None
    ) -> Grant:
        """The grant by which an identity may do something: rule 5.

        Args:
            fingerprint: of the identity.
            purposes: of which each is enough: `grants.MAY_SERVE`, `MAY_OPEN`, or ("broker",).
            now: the time; of the system's clock if None.

        Raises:
            PackageError: SR-PACKAGE-GRANT if there is none, SR-PACKAGE-EXPIRED if it has ended.
            KeyStoreError: SR-IDENTITY-CLOCK if it ends, and the clock is behind its beginning.
        """
        moment = datetime.now(UTC) if now is None else now
        grant = self.log.grant_for(fingerprint, purposes, moment)
        if grant.expires is not None and moment < parse_moment(grant.granted) - CLOCK_TOLERANCE:
            raise KeyStoreError(
                "SR-IDENTITY-CLOCK",
                f"the clock says {moment:%Y-%m-%dT%H:%M:%SZ}, the grant was made at "
                f"{grant.granted}: whether it has ended can't be told",
                "Set the clock of this machine",
            )
        return grant

    def open(
        self,
        opener: Opener,
        *,
        purpose: Literal["serve", "open"] = "open",
        now: datetime | None = None,
    ) -> Package:
        """Open the payload into locked memory.

        Args:
            opener: to whom the package must be granted.
            purpose: what for: to answer requests, or to have it.
            now: the time; of the system's clock if None.

        Raises:
            PackageError: SR-PACKAGE-GRANT, SR-PACKAGE-EXPIRED; SR-PACKAGE-PAYLOAD if the payload
                does not open or is another; SR-PACKAGE-FILE if the file is not the one any more.
            KeyStoreError: SR-IDENTITY-CLOCK.
        """
        purposes = MAY_SERVE if purpose == "serve" else MAY_OPEN
        with _naming(self.path):
            grant = self.grant_for(opener.fingerprint, purposes, now)
        return self.open_with_key(opener.unwrap(grant.wrapped, grant.info))

    def open_with_key(self, file_key: bytes) -> Package:
        """Open the payload with a file key that a broker released. **Nothing is asked about
        grants**: whoever released the key answers for that.

        Raises:
            PackageError: SR-PACKAGE-PAYLOAD, SR-PACKAGE-FILE.
        """
        if len(file_key) != FILE_KEY_BYTES:
            raise PackageError("SR-PACKAGE-GRANT", f"a file key has {len(file_key)} bytes")
        with _naming(self.path), self.ciphertext() as parts:
            stream = open_stream(
                parts,
                file_key,
                self.manifest.package_id,
                stream_bytes=self.manifest.payload_bytes,
                stream_digest=self.manifest.payload_digest,
            )
        salt, payload = split_stream(stream)
        return Package(self.manifest, payload, salt, self.owner)

    @contextmanager
    def ciphertext(self) -> Iterator[Iterator[memoryview]]:
        """The encrypted payload of the file, if it still is the one that was read.

        Raises:
            PackageError: SR-PACKAGE-FILE.
        """
        with opened(self.path) as file:
            sections = read_sections(file, self.path)
            if _head(sections).contents != self.head:
                raise PackageError(
                    "SR-PACKAGE-FILE",
                    f"{self.path} was replaced after it was read",
                    "Try again",
                )
            yield payload_parts(file, self.path, sections)

    def verify_payload(self) -> None:
        """Check the encrypted payload against the head, without a key; reads all of it.

        Raises:
            PackageError: SR-PACKAGE-PAYLOAD if it is another, SR-PACKAGE-FILE.
        """
        with _naming(self.path), self.ciphertext() as parts:
            passing = Hashed(parts)
            for _ in passing:
                pass
            self.head.check_ciphertext(passing.digest)


def read(path: str | os.PathLike[str], *, verify_payload: bool = False) -> SealedPackage:
    """Read a package as far as that needs no key. Nothing in the file is executed.

    Args:
        verify_payload: compare the digest of the encrypted payload with the head too, which
            reads the whole file; who opens it finds out anyway.

    Raises:
        PackageError: SR-PACKAGE-VERSION if a newer version wrote it; SR-PACKAGE-SIGNATURE if a
            signature is missing or wrong; SR-PACKAGE-GRANT; SR-PACKAGE-FILE for anything else
            that is not as it must be; SR-PACKAGE-PAYLOAD, with `verify_payload`.
        PolicyError: SR-PLAN-INVALID if the plan in it contradicts itself.
    """
    source = Path(path)
    with opened(source) as file:
        sections = read_sections(file, source)
    with _naming(source):
        package = _checked(source, sections)
    if verify_payload:
        package.verify_payload()
    return package


def _checked(source: Path, sections: Sections) -> SealedPackage:
    """Rules 2 to 4."""
    manifest_json = sections.bodies[b"MANI"]
    manifest = decode_manifest(manifest_json)
    statement = decode_record(
        sections.bodies[b"SIGN"], Statement, "the owner's statement", MAXIMUM_STATEMENT_BYTES
    )
    owner = statement.verify(manifest.owner, manifest_json)
    log = decode_record(sections.bodies[b"GRNT"], GrantLog, "the grant log", MAXIMUM_LOG_BYTES)
    log.verify(owner, manifest.digest)
    head = _head(sections)
    head.verify(owner, manifest.digest, log, sections.payload_bytes)
    if sections.payload_bytes != ciphertext_bytes(manifest.payload_bytes):
        raise malformed(
            f"the encrypted payload has {sections.payload_bytes} bytes, for the payload in the "
            f"manifest it must have {ciphertext_bytes(manifest.payload_bytes)}"
        )
    return SealedPackage(
        path=source,
        manifest=manifest,
        manifest_json=manifest_json,
        owner=owner,
        signatures=statement.signatures,
        log=log,
        head=head.contents,
    )


def load(
    path: str | os.PathLike[str], identity: Identity | None = None, *, seen: Seen | None = None
) -> Package:
    """Open a package for oneself, with its weights: a grant for "open" is needed.

    Args:
        path: of the file.
        identity: to whom it is granted; the identity "default" of the key store if None, opened
            with $STRONGROOM_PASSPHRASE or the keyring.
        seen: what was seen before; that of the key store if None.

    Raises:
        PackageError: as `read` and `SealedPackage.open`; SR-PACKAGE-ROLLBACK if a newer grant log
            of this package was seen.
        KeyStoreError: SR-IDENTITY-MISSING, SR-IDENTITY-CLOCK, and why the identity does not open.
    """
    package = read(path)
    marks = Seen(home_folder()) if seen is None else seen
    with _naming(package.path):
        marks.saw_grant_log(package.digest, package.log.generation, len(package.grants))
    opener = IdentityStore.open().identity() if identity is None else identity
    return package.open(opener, purpose="open", now=marks.now())


@contextmanager
def _naming(source: Path) -> Iterator[None]:
    """Has errors say of which file they speak: there may be several."""
    try:
        yield
    except (PackageError, PolicyError) as error:
        if error.message.startswith(str(source)):
            raise
        raise type(error)(error.code, f"{source}: {error.message}", error.remedy) from error


def _head(sections: Sections) -> Head:
    return decode_record(sections.bodies[b"HEAD"], Head, "the file's head", MAXIMUM_HEAD_BYTES)
