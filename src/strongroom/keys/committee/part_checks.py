"""The checks of all parts of a committee's key: what a share of a result can be proved against.

A check (`engine.share_checks`) binds a part in public and says nothing of it. That of a sum of
parts is the sum of theirs, so whoever has them all checks a proof of any member. Their digest is
in what all members sign: of the setup's in the statement, of each refresh's in its record.

    magic   4  "SRPC"
    version 2  1
    parts   2  how many
    bytes   4  of a check; all have the same length
    checks     one after the other, in the order of the parts

Little-endian.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from strongroom.durable import write_durably
from strongroom.engine.threshold import KeyPart, PartCheck
from strongroom.errors import CiphertextError, CommitteeError
from strongroom.keys.committee.statement import PUBLIC_MODE, Committee, file_error

MAXIMUM_CHECKS_BYTES: Final = 32 * 2**20
"""Of the checks of all parts of one key, in the largest ring."""

_HEADER: Final = struct.Struct("<4sHHI")
_MAGIC: Final = b"SRPC"
_VERSION: Final = 1


@dataclass(frozen=True)
class PartChecks:
    """The checks of a key's parts in one state.

    Attributes:
        checks: by number of the part.
    """

    checks: tuple[PartCheck, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes, hexadecimal, as a statement or a record has it."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def of(self, parts: Sequence[int]) -> PartCheck:
        """The check of the sum of some parts.

        Args:
            parts: numbers of one or more, each once.

        Raises:
            ValueError: there are none, or one twice.
        """
        if not parts or len(set(parts)) != len(parts):
            raise ValueError("one or more parts, each once")
        first, *others = (self.checks[part] for part in parts)
        for other in others:
            first = first.plus(other)
        return first

    def changed(self, changes: Iterable[tuple[int, int, PartCheck]]) -> PartChecks:
        """The checks after a refresh; they have the same sum.

        Args:
            changes: for each pair of parts the one that gains, the one that loses, and the check
                of what they gain and lose.
        """
        checks = list(self.checks)
        for add, subtract, change in changes:
            checks[add] = checks[add].plus(change)
            checks[subtract] = checks[subtract].minus(change)
        return PartChecks(tuple(checks))

    def misfit(
        self,
        parts: Mapping[int, KeyPart],
        answered: Iterable[Sequence[int]],
        seed: bytes,
        public_limbs: int,
    ) -> Sequence[int] | None:
        """Whether a member could not prove a share although it is right.

        Each check may fit its part, and the sum of several not theirs: errors that their dealers
        chose to add up are beyond the bound. A member that signs for such checks looks like one
        that answers wrongly.

        Args:
            parts: of the member, by number.
            answered: the sets of parts that it may have to answer for (`Access.answered_by`).
            seed: the committee's common randomness.
            public_limbs: of the public key.

        Returns:
            The first set that does not fit; None if all do.
        """
        for numbers in answered:
            held = [parts[number] for number in numbers]
            if not self.of(numbers).is_of_sum(held, seed, public_limbs):
                return numbers
        return None

    def to_bytes(self) -> bytes:
        """As a file has them, and as they are fetched."""
        written = [check.to_bytes() for check in self.checks]
        header = _HEADER.pack(_MAGIC, _VERSION, len(written), len(written[0]))
        return b"".join((header, *written))

    @classmethod
    def from_bytes(cls, committee: Committee, data: bytes) -> Self:
        """The checks of a committee's parts in its present state.

        Args:
            committee: verified; its members signed the digest of the checks.
            data: untrusted.

        Raises:
            CommitteeError: SR-COMMITTEE-FILE if they are not those.
        """
        if hashlib.sha256(data).hexdigest() != committee.checks_digest:
            raise checks_error("they are not those that the members signed last")
        parts = len(committee.access.parts())
        limbs = committee.statement.public_limbs
        # What all members signed is well-formed, unless all of them deviate.
        if len(data) < _HEADER.size:
            raise checks_error("they are cut off")
        magic, version, count, size = _HEADER.unpack_from(data)
        body = memoryview(data)[_HEADER.size :]
        if (magic, version, count) != (_MAGIC, _VERSION, parts) or len(body) != count * size:
            raise checks_error("they are written in a form that is not known here")
        try:
            return cls(
                tuple(
                    PartCheck.from_bytes(
                        committee.parameters, limbs, bytes(body[at * size : (at + 1) * size])
                    )
                    for at in range(count)
                )
            )
        except CiphertextError as error:
            raise checks_error(error.message) from error

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all; one that is there is replaced.

        Raises:
            CommitteeError: SR-COMMITTEE-FILE.
        """
        try:
            write_durably(path, [self.to_bytes()], replace=True, mode=PUBLIC_MODE)
        except OSError as error:
            raise file_error(f"{path} can't be written: {error.strerror or error}") from error

    @classmethod
    def read(cls, path: Path, committee: Committee) -> Self:
        """Read a file of them.

        Raises:
            CommitteeError: SR-COMMITTEE-FILE.
        """
        try:
            with path.open("rb") as file:
                data = file.read(MAXIMUM_CHECKS_BYTES + 1)
        except OSError as error:
            raise checks_error(f"{path} can't be read: {error.strerror or error}") from error
        try:
            return cls.from_bytes(committee, data)
        except CommitteeError as error:
            raise checks_error(f"{path}: {error.message}") from error


def checks_error(what: str) -> CommitteeError:
    """The error for checks that can't be used. Shares are given without them, and not proved."""
    return CommitteeError(
        "SR-COMMITTEE-FILE",
        f"the checks of the key's parts can't be used: {what}",
        "Copy the committee's whole folder again from its coordinator; a member takes them from "
        "there with `strongroom member adopt FOLDER/committee.json`",
    )
