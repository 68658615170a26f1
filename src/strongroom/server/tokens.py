"""Bearer tokens: a file of SHA-256 hashes, each of one random token of one tenant.

A token holds 256 random bits, so a plain hash of it is as good as a slow one: there is nothing
to guess. The file never holds a token; `create_token` returns it once. A server re-reads the
file when it changes, and lets nobody in while the file is missing, damaged or readable by others.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import logging
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from strongroom.errors import ServerError

_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PREFIX: Final = "sr_"
_ID_DIGITS: Final = 12

_log = logging.getLogger("strongroom.server")


class TokenEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One token as the file knows it.

    Attributes:
        id: the first digits of `sha256`; names the token without revealing it.
        tenant: whose it is.
        sha256: hash of the token, hexadecimal.
        created: time of creation, ISO 8601, UTC.
    """

    id: str
    tenant: str
    sha256: str
    created: str


class _TokenTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["strongroom-tokens-1"] = "strongroom-tokens-1"
    tokens: tuple[TokenEntry, ...] = ()


def create_token(path: str | Path, tenant: str) -> str:
    """Make a token for a tenant and add its hash to the file, which is made if it is missing.

    Returns:
        The token. It can't be shown again.

    Raises:
        ServerError: SR-SERVER-CONFIG for a tenant's name that is not 1 to 64 letters, digits,
            dots, dashes and underscores, or for a file that can't be read or written.
    """
    if not _TENANT.fullmatch(tenant):
        raise ServerError(
            "SR-SERVER-CONFIG",
            "the tenant's name is not 1 to 64 letters, digits, dots, dashes or underscores",
            "Choose such a name",
        )
    token = _PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(token.encode()).hexdigest()
    entry = TokenEntry(
        id=digest[:_ID_DIGITS],
        tenant=tenant,
        sha256=digest,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    path = Path(path)
    with _locked(path):
        _write(path, (*_read_or_empty(path), entry))
    return token


def token_id(token: str) -> str:
    """The identifier under which a token is listed and revoked."""
    return hashlib.sha256(token.encode()).hexdigest()[:_ID_DIGITS]


def revoke_token(path: str | Path, token_id: str) -> TokenEntry:
    """Remove a token by its id; a running server refuses it from its next request on.

    Raises:
        ServerError: SR-SERVER-TOKEN if there is none of that id; SR-SERVER-CONFIG for a file
            that can't be read or written.
    """
    path = Path(path)
    with _locked(path):
        entries = _read(path)
        for entry in entries:
            if entry.id == token_id:
                _write(path, tuple(other for other in entries if other is not entry))
                return entry
    raise ServerError(
        "SR-SERVER-TOKEN", f"the file {path} has no token {token_id!r}", "List the tokens' ids"
    )


def list_tokens(path: str | Path) -> tuple[TokenEntry, ...]:
    """All tokens of a file, in order of creation.

    Raises:
        ServerError: SR-SERVER-CONFIG for a file that can't be read.
    """
    return _read(Path(path))


class TokenFile:
    """The token file of a running server, re-read when it changes."""

    def __init__(self, path: str | Path) -> None:
        """Read the file. Raises ServerError SR-SERVER-CONFIG if it can't be used."""
        self._path = Path(path)
        self._version = _version(self._path)
        self._entries = _digests(_read(self._path))

    def tenant(self, token: str) -> str | None:
        """The tenant of a token, or None if nobody has it.

        Compares with every entry in constant time, so that the time tells nothing of how much of
        a hash was right, nor of which entry it was.
        """
        self._refresh()
        presented = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        found: str | None = None
        for digest, tenant in self._entries:
            if hmac.compare_digest(digest, presented):
                found = tenant
        return found

    def _refresh(self) -> None:
        version = _version(self._path)
        if version == self._version:
            return
        self._version = version
        try:
            self._entries = _digests(_read(self._path))
        except ServerError as error:
            self._entries = ()
            _log.error("token file refused, nobody is let in", extra={"reason": str(error)})
        else:
            _log.info("token file read again", extra={"tokens": len(self._entries)})


def _version(path: Path) -> tuple[int, int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _digests(entries: tuple[TokenEntry, ...]) -> tuple[tuple[bytes, str], ...]:
    return tuple((bytes.fromhex(entry.sha256), entry.tenant) for entry in entries)


def _read(path: Path) -> tuple[TokenEntry, ...]:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read()
    except OSError as error:
        raise ServerError(
            "SR-SERVER-CONFIG",
            f"the token file {path} can't be read ({error.strerror})",
            "Create a token first, or correct the path",
        ) from error
    if mode & 0o077:
        raise ServerError(
            "SR-SERVER-CONFIG",
            f"the token file {path} can be read or written by others (mode {mode:04o})",
            "Set its mode to 0600",
        )
    try:
        table = msgspec.json.decode(text, type=_TokenTable)
        for entry in table.tokens:
            if len(bytes.fromhex(entry.sha256)) != hashlib.sha256().digest_size:
                raise ValueError("a hash of another length")
            if not _TENANT.fullmatch(entry.tenant):
                raise ValueError("a tenant's name that none has")
    except (msgspec.MsgspecError, ValueError) as error:
        raise ServerError(
            "SR-SERVER-CONFIG",
            f"the token file {path} is damaged ({error})",
            "Restore it, or create the tokens anew",
        ) from error
    return table.tokens


def _read_or_empty(path: Path) -> tuple[TokenEntry, ...]:
    return _read(path) if path.exists() else ()


def _write(path: Path, entries: tuple[TokenEntry, ...]) -> None:
    text = msgspec.json.format(msgspec.json.encode(_TokenTable(tokens=entries)), indent=2)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(text + b"\n")
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ServerError(
            "SR-SERVER-CONFIG",
            f"the token file {path} can't be written ({error.strerror})",
            "Check the permissions of its directory",
        ) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # The directory is locked, not the file: the file is replaced, which would lose its lock.
    try:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ServerError(
            "SR-SERVER-CONFIG",
            f"the directory of the token file {path} can't be opened ({error.strerror})",
            "Make the directory first",
        ) from error
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
        os.fsync(directory)
    finally:
        os.close(directory)
