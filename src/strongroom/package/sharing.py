"""Sharing: to whom a package is granted, changed in place by its owner.

    grant     one more entry in the log; the payload is not encrypted anew
    rotate    the payload under a fresh key; everybody whose grant has not ended keeps it
    revoke    the same without one recipient

Rules:

1. The package stays the same: manifest, digest, and the owner's signatures of them.
2. The file is replaced whole, or not at all. Of two changes at one time one waits for the other.
3. Nothing is signed that was not checked: the encrypted payload is hashed on its way into the
   new file, and a payload that is encrypted anew is compared with the manifest.
4. An older log than one that this owner made or saw is not continued (`keys.seen`): a copy from
   before a revocation would give the revoked recipient its key back.

Whoever could open a package before it was revoked has what it opened, and can open the old file.
Revoking keeps what comes later: the next file has another key.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from strongroom.errors import PackageError
from strongroom.keys.home import home_folder
from strongroom.keys.identity import Identity, PublicIdentity
from strongroom.keys.seen import Seen
from strongroom.moments import parse_moment
from strongroom.package.encryption import (
    Encryption,
    Hashed,
    new_file_key,
    unverified_stream,
)
from strongroom.package.file import SealedPackage, read
from strongroom.package.grants import OWNER, GrantLog, Purpose
from strongroom.package.head import Statement
from strongroom.package.protected import check_owner, checked
from strongroom.package.writing import Ciphertext, write_file


@dataclass(frozen=True, slots=True)
class Recipient:
    """One grant that counts, as it can be seen without a key.

    Attributes:
        identity: to whom.
        purpose: what for.
        granted: when, UTC.
        expires: when it ends, UTC, or None.
        ended: whether it has.
    """

    identity: PublicIdentity
    purpose: Purpose
    granted: str
    expires: str | None
    ended: bool


def recipients(path: str | os.PathLike[str], *, now: datetime | None = None) -> list[Recipient]:
    """Who can do what with a package, the owner first. Opens nothing.

    Raises:
        PackageError: as `read`.
    """
    return listed(read(path), datetime.now(UTC) if now is None else now)


def listed(package: SealedPackage, now: datetime) -> list[Recipient]:
    """The same of a package that was read."""
    return [
        Recipient(one.identity, one.purpose, one.granted, one.expires, not one.holds(now))
        for one in package.log.in_force()
    ]


def grant(
    path: str | os.PathLike[str],
    recipient: PublicIdentity,
    *,
    owner: Identity,
    purpose: Purpose = "serve",
    expires: datetime | None = None,
    seen: Seen | None = None,
) -> SealedPackage:
    """Grant a package to one more recipient, or anew to one that has a grant for this purpose.

    Args:
        path: of the file, which is replaced.
        owner: of the package.
        purpose: "serve", "open" or "broker".
        expires: when it ends, with a time zone; None for never.
        seen: what this owner remembers; that of the key store if None.

    Raises:
        PackageError: SR-PACKAGE-OWNER, SR-PACKAGE-GRANT, SR-PACKAGE-ROLLBACK, SR-PACKAGE-PAYLOAD,
            and as `read`.
        KeyStoreError: SR-IDENTITY-CLOCK.
    """
    with _changing(path, owner, seen) as (package, now):
        own = package.grant_for(owner.fingerprint, OWNER, now)
        file_key = owner.unwrap(own.wrapped, own.info)
        log = package.log.with_grant(owner, recipient, purpose, file_key, now=now, expires=expires)
        with package.ciphertext() as parts:
            _replace(package, log, _copied(package, parts), owner)
    return _written(path, seen)


def rotate(
    path: str | os.PathLike[str], *, owner: Identity, seen: Seen | None = None
) -> SealedPackage:
    """Encrypt the payload anew under a fresh key; grants that have ended are left out.

    Args and Raises: see `grant`.
    """
    return _encrypt_anew(path, owner, seen, without=None)


def revoke(
    path: str | os.PathLike[str],
    recipient: PublicIdentity | str,
    *,
    owner: Identity,
    seen: Seen | None = None,
) -> SealedPackage:
    """Take all grants of one recipient away, and encrypt the payload anew under a fresh key.

    Args:
        recipient: a public identity, or its fingerprint "identity:…".

    Raises:
        PackageError: SR-PACKAGE-GRANT if it has no grant, or is the owner; else see `grant`.
    """
    fingerprint = recipient if isinstance(recipient, str) else recipient.fingerprint
    return _encrypt_anew(path, owner, seen, without=fingerprint)


def _encrypt_anew(
    path: str | os.PathLike[str], owner: Identity, seen: Seen | None, *, without: str | None
) -> SealedPackage:
    with _changing(path, owner, seen) as (package, now):
        if without is not None:
            _check_revocable(package, without)
        own = package.grant_for(owner.fingerprint, OWNER, now)
        old_key, new_key = owner.unwrap(own.wrapped, own.info), new_file_key()
        generation = package.log.generation + 1
        log = GrantLog.begin(owner, package.digest, new_key, now=now, generation=generation)
        for one in package.log.in_force()[1:]:
            if one.holds(now) and one.identity.fingerprint != without:
                expires = None if one.expires is None else parse_moment(one.expires)
                log = log.with_grant(
                    owner, one.identity, one.purpose, new_key, now=now, expires=expires
                )
        manifest = package.manifest
        with package.ciphertext() as parts:
            stream = unverified_stream(parts, old_key, manifest.package_id)
            encryption = Encryption(stream, new_key, manifest.package_id)
            _replace(package, log, checked(encryption, manifest.payload_bytes, manifest), owner)
    return _written(path, seen)


def _check_revocable(package: SealedPackage, fingerprint: str) -> None:
    if fingerprint == package.owner.fingerprint:
        raise PackageError("SR-PACKAGE-GRANT", "the owner's own grant can't be revoked")
    if all(one.identity.fingerprint != fingerprint for one in package.grants):
        raise PackageError(
            "SR-PACKAGE-GRANT",
            f"there is no grant to {fingerprint[:80]}",
            "See `strongroom recipients`",
        )


@contextlib.contextmanager
def _changing(
    path: str | os.PathLike[str], owner: Identity, seen: Seen | None
) -> Iterator[tuple[SealedPackage, datetime]]:
    """A package that its owner is about to change, and the time; others wait."""
    seen = _usual(seen)
    target = Path(path).resolve()  # a link keeps pointing to the file
    try:
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise PackageError(
            "SR-PACKAGE-FILE", f"{target} can't be read: {error.strerror or error}"
        ) from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        package = read(target)
        check_owner(owner, package.manifest)
        now = seen.now(max(parse_moment(one.granted) for one in package.grants))
        seen.saw_grant_log(package.digest, package.log.generation, len(package.grants))
        yield package, now
    finally:
        os.close(folder)


def _copied(package: SealedPackage, parts: Iterator[memoryview]) -> Ciphertext:
    """The encrypted payload as it is, hashed while it is copied."""
    copy = Hashed(parts)

    def found() -> str:
        package.head.check_ciphertext(copy.digest)
        return copy.digest

    return Ciphertext(copy, package.head.ciphertext_bytes, found)


def _replace(
    package: SealedPackage, log: GrantLog, ciphertext: Ciphertext, owner: Identity
) -> None:
    write_file(
        package.path,
        manifest_json=package.manifest_json,
        statement=Statement(owner=package.owner.to_text(), signatures=package.signatures),
        log=log,
        ciphertext=ciphertext,
        owner=owner,
        replace=True,
        mode=stat.S_IMODE(package.path.stat().st_mode),
    )


def _written(path: str | os.PathLike[str], seen: Seen | None) -> SealedPackage:
    """The new file, read as anybody would, and remembered."""
    package = read(path)
    _usual(seen).saw_grant_log(package.digest, package.log.generation, len(package.grants))
    return package


def _usual(seen: Seen | None) -> Seen:
    return Seen(home_folder()) if seen is None else seen
