"""What a member signed for and never saw the end of: adopting what came of it, or giving it up.

A member keeps its new parts on its disk before it signs for them, and hears last of all that
everybody has signed. If it does not hear, only what all members signed tells whether these parts
count, and anybody may bring that: it is public, signed, and of use only where its parts are.

A member that missed the end of a setup lacks the evaluation keys too, for audits; they are in the
folder that the coordinator wrote.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from strongroom.engine import KeyCache
from strongroom.errors import CommitteeError
from strongroom.keys.committee.folder import (
    PUBLIC_FILE,
    CommitteeFolderWriter,
    CommitteeKeys,
    checks_path,
)
from strongroom.keys.committee.part_checks import PartChecks
from strongroom.keys.committee.parts import MemberStore
from strongroom.keys.committee.setup_record import words_digest
from strongroom.keys.committee.statement import Committee, file_error
from strongroom.member.journal import Journal
from strongroom.member.seats import ledger_path
from strongroom.member.setup_desk import keys_folder


@dataclass(frozen=True, slots=True)
class Adopted:
    """What came of adopting.

    Attributes:
        committee: as this member has it now.
        changed: whether it knew less before.
        keys: whether it has the evaluation keys, which audits take.
    """

    committee: Committee
    changed: bool
    keys: bool


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Parts that wait for the end of what they were made in.

    Attributes:
        name: as `MemberStore.discard` takes it. It begins with digits of the committee's digest.
        committee: whose parts were to be refreshed; None if they are of a setup.
    """

    name: str
    committee: str | None


def adopt(store: MemberStore, home: Path, path: Path, checks: Path | None = None) -> Adopted:
    """Keep what all members signed, and destroy what it replaces.

    Args:
        store: of the member.
        home: of the member; it must not run.
        path: of committee.json. Checks and evaluation keys are taken from the files beside it,
            where they are there.
        checks: file of the checks of its parts, where that is elsewhere.

    Raises:
        CommitteeError: SR-COMMITTEE-FILE, SR-COMMITTEE-ACCESS; see `MemberStore.keep_committee`.
        KeyStoreError: SR-KEYS-FILE if the member runs; SR-KEYS-*.
    """
    committee = Committee.read(path)
    beside = checks_path(path.parent, committee)
    if checks is None and beside.exists():
        checks = beside
    brought = None if checks is None else PartChecks.read(checks, committee)
    before = store.committees()
    with _at_rest(home, committee.digest):
        store.keep_committee(committee, brought)
    keys = _keep_keys(path.parent, keys_folder(home, committee.statement.proposal), committee)
    return Adopted(committee, committee not in before, keys)


def list_unfinished(store: MemberStore) -> tuple[Unfinished, ...]:
    """All parts that wait for an end."""
    committees = {store.committee_path(one.digest).stem: one.digest for one in store.committees()}
    found = ((name, name.partition("-")[0]) for name in store.unfinished())
    return tuple(Unfinished(name, committees.get(digits)) for name, digits in found)


def find_unfinished(store: MemberStore, name: str) -> Unfinished:
    """The parts of one name that wait for an end.

    Raises:
        CommitteeError: SR-COMMITTEE-FILE if there are none.
    """
    for one in list_unfinished(store):
        if one.name == name:
            return one
    raise CommitteeError(
        "SR-COMMITTEE-FILE",
        f"{name[:80]!a} names no parts that wait for the end of a setup or a refresh",
        "Run `strongroom member discard` without a name, which lists them",
    )


def discard(store: MemberStore, home: Path, parts: Unfinished) -> None:
    """Destroy parts that wait for an end.

    Args:
        home: of the member; it must not run.

    Raises:
        CommitteeError: SR-COMMITTEE-FILE if they are gone.
        KeyStoreError: SR-KEYS-FILE if the member runs; SR-KEYS-PERMISSIONS, -LOCKED.
    """
    with contextlib.nullcontext() if parts.committee is None else _at_rest(home, parts.committee):
        store.discard(parts.name)


@contextlib.contextmanager
def _at_rest(home: Path, committee: str) -> Iterator[None]:
    """While no process answers for this committee: it would go on with the parts that it has."""
    path = ledger_path(home, committee)
    if not path.exists():
        yield
        return
    with Journal(path):
        yield


def _keep_keys(source: Path, target: Path, committee: Committee) -> bool:
    if target.is_dir() or not (source / PUBLIC_FILE).exists():
        return target.is_dir()
    with (
        CommitteeKeys(source, KeyCache(0)) as keys,
        CommitteeFolderWriter(target) as writer,
    ):
        writer.add_public(keys.public_key)
        for made in committee.statement.keys:
            key = keys.evaluation_keys.key(made.element)
            if words_digest(key) != made.digest:
                raise file_error(f"a key in {source} is not the one that the members signed")
            writer.add(key)
        writer.finish(committee)
    return True
