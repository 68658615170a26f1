"""Where a server keeps its tenants' key sets: folders, names, and what can be read off them.

    <folder>/                                   everything 0700 and 0600
        lock                                    held by the one server that uses the folder
        removed/                                what is being removed
        tenants/<tenant>/
            <parameters>.<key set>/             one key set; 32 hex digits
                <element>-<limbs>-<digest>.key  an evaluation key: a key file (docs/reference)
                public-<limbs>-<digest>.key     a public key, as it travelled
                used                            its time: the last use; locked during one
                uploads/<digest>.<size>         the first bytes of an object of that size

The digest is the SHA-256 of the object as it travelled. A key exists when a file has its name: it
gets there whole and is never changed, only removed. Names say everything that the server's front
has to know, so that it never looks into what a client sent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom.errors import ServerError

IDENTIFIER_BYTES: Final = 16
"""Of a key set's identifier."""

PUBLIC: Final = -1
"""Stands where an element stands, for a public key."""

USED: Final = "used"
UPLOADS: Final = "uploads"
FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600

_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PARAMETERS: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_SET: Final = re.compile(r"([a-z0-9][a-z0-9-]{0,63})\.([0-9a-f]{32})")
_KEY: Final = re.compile(r"(public|[0-9]{1,10})-([0-9]{1,3})-([0-9a-f]{64})\.key")
_UPLOAD: Final = re.compile(r"([0-9a-f]{64})\.([0-9]{1,12})")


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key of a set, as its file's name describes it.

    Attributes:
        element: Galois element, 0 for products, `PUBLIC` for a public key.
        limbs: primes that it serves.
        digest: SHA-256 of what travelled, hexadecimal.
    """

    element: int
    limbs: int
    digest: str

    @property
    def name(self) -> str:
        """Of its file."""
        kind = "public" if self.element == PUBLIC else str(self.element)
        return f"{kind}-{self.limbs}-{self.digest}.key"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Keys that a model needs, or of these the ones that are missing.

    Attributes:
        keys: (element, limbs) of evaluation keys.
        public_limbs: level of the public key; 0 for none.
    """

    keys: tuple[tuple[int, int], ...]
    public_limbs: int


@dataclass(frozen=True, slots=True)
class Upload:
    """An object that is on its way: its name, and how much of it is there.

    Attributes:
        path: of the bytes that came.
        digest: SHA-256 of the whole, hexadecimal.
        size: of the whole, in bytes.
    """

    path: Path
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class KeySetFolder:
    """The folder of one key set of one tenant; it may not exist.

    Attributes:
        path: of the folder.
        tenant: whose.
        parameters: name of the catalogue entry.
        key_set: the identifier, 32 hex digits.
    """

    path: Path
    tenant: str
    parameters: str
    key_set: str

    @property
    def used(self) -> Path:
        """The file that tells of the last use."""
        return self.path / USED

    @property
    def uploads(self) -> Path:
        """The folder of objects on their way."""
        return self.path / UPLOADS

    def upload(self, digest: str, size: int) -> Upload:
        """An object on its way, whether or not any of it has come."""
        return Upload(self.uploads / f"{digest}.{size}", digest, size)

    def pending(self) -> list[Upload]:
        """All objects on their way."""
        found = ((entry, _UPLOAD.fullmatch(entry.name)) for entry in _entries(self.uploads))
        return [Upload(Path(e.path), m[1], int(m[2])) for e, m in found if m is not None]

    def stored_keys(self) -> list[StoredKey]:
        """All keys; none if there is no such set."""
        matches = (_KEY.fullmatch(entry.name) for entry in _entries(self.path))
        return [
            StoredKey(PUBLIC if m[1] == "public" else int(m[1]), int(m[2]), m[3])
            for m in matches
            if m is not None
        ]

    def missing(self, wanted: Wanted) -> Wanted:
        """What is not there."""
        return missing_of([(key.element, key.limbs) for key in self.stored_keys()], wanted)


def missing_of(keys: Sequence[tuple[int, int]], wanted: Wanted) -> Wanted:
    """What is not among the keys of a set: a key serves fewer primes too, a public key only its
    own.

    Args:
        keys: (element, primes) of each, `PUBLIC` for the element of a public key.
    """
    limbs: dict[int, int] = {}
    for element, its_limbs in keys:
        limbs[element] = max(limbs.get(element, 0), its_limbs)
    return Wanted(
        tuple(need for need in wanted.keys if limbs.get(need[0], 0) < need[1]),
        0 if (PUBLIC, wanted.public_limbs) in keys else wanted.public_limbs,
    )


class Layout:
    """The names in a server's key folder. Makes no file and reads none but folders.

    Args:
        folder: the configured folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = folder / "lock"
        self.removed = folder / "removed"
        self.tenants = folder / "tenants"

    def tenant(self, tenant: str) -> Path:
        """The folder of a tenant.

        Raises:
            ServerError: SR-SERVER-CONFIG if it has a name that can't be a folder's.
        """
        if not _TENANT.fullmatch(tenant):
            raise ServerError(
                "SR-SERVER-CONFIG",
                "a tenant's name in the token file can't be the name of a folder",
                "Make tokens with `strongroom keys token create`",
            )
        return self.tenants / tenant

    def key_set(self, tenant: str, parameters: str, key_set: str) -> KeySetFolder:
        """The folder of a key set.

        Raises:
            ServerError: SR-KEYS-UPLOAD if parameters or identifier are no such names.
        """
        name = f"{parameters}.{key_set}"
        if not (_PARAMETERS.fullmatch(parameters) and _SET.fullmatch(name)):
            raise ServerError(
                "SR-KEYS-UPLOAD",
                "a key set's identifier is 32 hex digits, and its parameters are a name",
                "Write them as the protocol's documentation says",
                http_status=404,
            )
        return KeySetFolder(self.tenant(tenant) / name, tenant, parameters, key_set)

    def key_sets(self, tenant: str) -> list[KeySetFolder]:
        """All key sets of a tenant, by name."""
        folder = self.tenant(tenant)
        matches = sorted(
            (m[0], m[1], m[2]) for e in _entries(folder) if (m := _SET.fullmatch(e.name))
        )
        return [KeySetFolder(folder / name, tenant, p, s) for name, p, s in matches]

    def all_tenants(self) -> list[str]:
        """Every tenant that has a folder."""
        return sorted(e.name for e in _entries(self.tenants) if _TENANT.fullmatch(e.name))


def require_digest(digest: str) -> str:
    """The digest, if it is 64 lower-case hex digits.

    Raises:
        ServerError: SR-KEYS-UPLOAD.
    """
    if not _DIGEST.fullmatch(digest):
        raise ServerError(
            "SR-KEYS-UPLOAD",
            "an object's name is not the 64 hex digits of a SHA-256 digest",
            "Name it by its digest in lower case",
            http_status=404,
        )
    return digest


def make_private_folder(folder: Path) -> None:
    """Make a folder and lasting entries for it and its missing parents."""
    missing = []
    at = folder
    while not at.exists():
        missing.append(at)
        at = at.parent
    for path in reversed(missing):
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a folder's entries last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            yield from found
    except (FileNotFoundError, NotADirectoryError):
        return
