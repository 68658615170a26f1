"""A committee's keys on disk, as a server maps them.

    <folder>/
        committee.json                        what all members signed, see `statement`
        public.key                            the collective public key, serialised
        checks-<digest>.bin                   the checks of all parts, see `part_checks`
        <element>-<limbs>-<digest>.key        an evaluation key each: a key file (docs/reference)

A key's digest is of its words, as the statement and the index of the key file have it, so that a
file which was exchanged is noticed when it is opened. The folder gets its name when it is whole.

A refresh changes the statement and the checks. The new checks are beside the old ones, under their
own digest, before the statement names them, and the old ones go after that: whenever a process
ends, or the folder is copied, what the statement names is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from strongroom.durable import PARTIAL_PREFIX, PARTIAL_SUFFIX, write_durably
from strongroom.engine import (
    KeyCache,
    KeyFile,
    MappedKeys,
    PublicKey,
    SwitchingKey,
    public_key_bytes,
    public_key_from_bytes,
    public_key_to_bytes,
    write_key_file,
)
from strongroom.errors import CiphertextError, CommitteeError
from strongroom.keys.committee.part_checks import PartChecks
from strongroom.keys.committee.setup_record import words_digest
from strongroom.keys.committee.statement import Committee, MadeKey, file_error
from strongroom.keys.permissions import make_folder
from strongroom.keys.server_layout import StoredKey, Wanted, missing_of, sync_folder
from strongroom.keys.server_sets import OpenSet, UnionOfKeys, missing_keys
from strongroom.protections.interface import KeyNeeds

STATEMENT_FILE: Final = "committee.json"
PUBLIC_FILE: Final = "public.key"

_CHECKS_FILES: Final = "checks-*.bin"


def require_free(folder: Path) -> None:
    """That nothing is where a committee's folder shall be.

    Raises:
        CommitteeError: SR-COMMITTEE-FILE.
    """
    if os.path.lexists(folder):
        raise CommitteeError(
            "SR-COMMITTEE-FILE", f"{folder} exists already", "Choose another folder"
        )


class CommitteeFolderWriter:
    """Writes a folder key by key; a `KeySink`. Nothing is at its place before `finish`.

    Args:
        folder: where it shall be; must not exist.

    Raises:
        CommitteeError: SR-COMMITTEE-FILE if it exists.
    """

    def __init__(self, folder: Path) -> None:
        require_free(folder)
        self._folder = folder
        name = f"{PARTIAL_PREFIX}{secrets.token_hex(8)}{PARTIAL_SUFFIX}"
        self._partial = folder.parent / name
        make_folder(self._partial)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove what was not finished."""
        shutil.rmtree(self._partial, ignore_errors=True)

    def add_public(self, key: PublicKey) -> None:
        """Write the public key."""
        with _writing(self._folder):
            write_durably(self._partial / PUBLIC_FILE, [public_key_to_bytes(key)], replace=False)

    def add_checks(self, checks: PartChecks) -> None:
        """Write the checks of all parts."""
        checks.write(_checks_path(self._partial, checks.digest))

    def add(self, key: SwitchingKey) -> None:
        """Write an evaluation key."""
        name = StoredKey(key.element, key.limbs, words_digest(key)).name
        with _writing(self._folder):
            write_key_file(self._partial / name, key.parameters, [key])

    def finish(self, committee: Committee) -> None:
        """Write the statement and give the folder its name.

        Raises:
            CommitteeError: SR-COMMITTEE-FILE; also if it was made by another meanwhile.
        """
        committee.write(self._partial / STATEMENT_FILE)
        with _writing(self._folder):
            sync_folder(self._partial)
            # A folder that is there and not empty is never replaced by one that is moved.
            os.rename(self._partial, self._folder)
            sync_folder(self._folder.parent)


class CommitteeKeys:
    """A committee's keys from its folder, mapped when they are used. Safe for several threads.

    Args:
        folder: that a `CommitteeFolderWriter` wrote.
        cache: how much stays mapped; shared with other key sets.
        owner: fingerprint that the coordinator must have; see `Committee.verify`.

    Raises:
        CommitteeError: SR-COMMITTEE-FILE if it is damaged or not signed; SR-COMMITTEE-MISMATCH.
        KeyStoreError: SR-KEYS-FILE, SR-KEYS-PERMISSIONS for a key file.
    """

    def __init__(self, folder: Path, cache: KeyCache, *, owner: str | None = None) -> None:
        self._committee = committee = Committee.read(folder / STATEMENT_FILE, owner=owner)
        self._public_key = _public_key(folder / PUBLIC_FILE, committee)
        self._limbs = {key.element: key.limbs for key in committee.statement.keys}
        self._files: dict[int, MappedKeys] = {}
        try:
            for key in committee.statement.keys:
                name = StoredKey(key.element, key.limbs, key.digest).name
                self._files[key.element] = _mapped(folder / name, committee, key, cache)
        except BaseException:
            self.close()
            raise
        self._evaluation_keys = UnionOfKeys(committee.parameters, self._files)

    @property
    def committee(self) -> Committee:
        """What the members signed; verified."""
        return self._committee

    @property
    def public_key(self) -> PublicKey:
        """The collective public key."""
        return self._public_key

    @property
    def evaluation_keys(self) -> UnionOfKeys:
        """All evaluation keys, as a `KeySource`."""
        return self._evaluation_keys

    def open(self, needs: KeyNeeds) -> OpenSet:
        """The keys that a model needs, as an `OpenKeySet`.

        Raises:
            CommitteeError: SR-COMMITTEE-MISMATCH for a model over other parameters.
            KeyStoreError: SR-KEYS-MISSING, naming what the committee did not make.
        """
        committee = self._committee
        if needs.parameters != committee.statement.parameters:
            raise CommitteeError(
                "SR-COMMITTEE-MISMATCH",
                f"the model needs keys for {needs.parameters}, and the committee has some for "
                f"{committee.statement.parameters}",
                "Use the committee that the model was protected for",
            )
        keys = tuple((need.element, need.limbs) for need in needs.keys)
        wanted = missing_of(list(self._limbs.items()), Wanted(keys, 0))
        if wanted.keys:
            raise missing_keys(committee.parameters, wanted)
        chosen = {element: self._files[element] for element, _ in keys}
        return OpenSet(UnionOfKeys(committee.parameters, chosen), self._public_key)

    def close(self) -> None:
        """Close all files; keys that somebody holds stay good."""
        for file in self._files.values():
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class CommitteeKeySets:
    """The `KeySets` of a model under a committee's key: one set, for whoever asks. That a request
    names it is compared where the request is read."""

    def __init__(self, keys: CommitteeKeys) -> None:
        self._keys = keys

    def open(self, key_set: bytes, needs: KeyNeeds) -> OpenSet:
        """See `protections.interface.KeySets.open`, and `CommitteeKeys.open`."""
        return self._keys.open(needs)


def read_public_key(folder: Path, *, owner: str | None = None) -> tuple[Committee, PublicKey]:
    """A committee and its public key: all that encrypting a model under it takes.

    Raises:
        CommitteeError: SR-COMMITTEE-FILE, SR-COMMITTEE-MISMATCH.
    """
    committee = Committee.read(folder / STATEMENT_FILE, owner=owner)
    return committee, _public_key(folder / PUBLIC_FILE, committee)


def checks_path(folder: Path, committee: Committee) -> Path:
    """Where the checks of a committee's present parts are."""
    return _checks_path(folder, committee.checks_digest)


def read_checks(folder: Path, committee: Committee) -> PartChecks:
    """The checks of a committee's present parts.

    Args:
        folder: of the committee.
        committee: as its statement in the folder is; verified.

    Raises:
        CommitteeError: SR-COMMITTEE-FILE.
    """
    return PartChecks.read(checks_path(folder, committee), committee)


def write_refreshed(folder: Path, committee: Committee, checks: PartChecks) -> None:
    """Put what came of a refresh into the committee's folder.

    Args:
        committee: with the refresh's record.
        checks: of the new parts.

    Raises:
        CommitteeError: SR-COMMITTEE-FILE; then the folder is as it was, or has the new statement.
    """
    present = checks_path(folder, committee)
    checks.write(present)
    committee.write(folder / STATEMENT_FILE)
    with _writing(folder):
        for path in folder.glob(_CHECKS_FILES):
            if path != present:
                path.unlink(missing_ok=True)


def _checks_path(folder: Path, digest: str) -> Path:
    return folder / f"checks-{digest}.bin"


def _public_key(path: Path, committee: Committee) -> PublicKey:
    parameters, limbs = committee.parameters, committee.statement.public_limbs
    try:
        with path.open("rb") as file:
            data = file.read(public_key_bytes(parameters, limbs) + 1)
    except OSError as error:
        raise file_error(f"{path} can't be read: {error.strerror or error}") from error
    if hashlib.sha256(data).hexdigest() != committee.statement.public_key:
        raise file_error(f"{path} is not the public key that the members signed")
    try:
        return public_key_from_bytes(parameters, data, limbs=limbs)
    except CiphertextError as error:
        raise file_error(f"{path} is no public key") from error


def _mapped(path: Path, committee: Committee, key: MadeKey, cache: KeyCache) -> MappedKeys:
    parameters = committee.parameters
    with contextlib.closing(KeyFile(path, parameters)) as file:
        found = {element: entry.digest.hex() for element, entry in file.entries.items()}
    if found != {key.element: key.digest}:
        raise file_error(f"{path} is not the key that the members signed")
    return MappedKeys(path, parameters, cache)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise file_error(f"{folder} can't be written: {error.strerror or error}") from error
