"""What a server's front has of a committee: its statement, its public key, the checks of its parts.

A refresh changes statement and checks in the folder, and proofs of shares are held against the
present ones. So the statement is read again when its file was exchanged, and the checks with it;
the committee itself, and its key, stay.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from strongroom.errors import CommitteeError
from strongroom.keys.committee.folder import (
    PUBLIC_FILE,
    STATEMENT_FILE,
    checks_path,
    read_checks,
)
from strongroom.keys.committee.part_checks import PartChecks
from strongroom.keys.committee.statement import Committee

_log: Final = logging.getLogger("strongroom.server.committees")


class CommitteeDocuments:
    """The documents in one committee's folder. Safe for threads; reads files.

    Args:
        folder: of the committee.

    Raises:
        CommitteeError: SR-COMMITTEE-FILE, SR-COMMITTEE-ACCESS.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read_as = _stamp(folder / STATEMENT_FILE)
        self._committee = Committee.read(folder / STATEMENT_FILE)
        self._checks: tuple[str, PartChecks] | None = None
        self.public_key: Final = _content(folder / PUBLIC_FILE)

    def committee(self) -> Committee:
        """The committee as it is now; verified.

        Raises:
            CommitteeError: SR-COMMITTEE-FILE, also if the folder holds another committee now.
        """
        path = self._folder / STATEMENT_FILE
        stamp = _stamp(path)
        if stamp != self._read_as:
            committee = Committee.read(path)
            if committee.digest != self._committee.digest:
                raise _unreadable(path, "it is of another committee than when the server started")
            self._committee, self._read_as = committee, stamp
        return self._committee

    def checks(self) -> PartChecks:
        """The checks of the present parts.

        Raises:
            CommitteeError: SR-COMMITTEE-FILE.
        """
        committee = self.committee()
        if self._checks is None or self._checks[0] != committee.state:
            try:
                self._checks = committee.state, read_checks(self._folder, committee)
            except CommitteeError as error:
                _log.error("checks can't be read", extra={"reason": error.message})
                path = checks_path(self._folder, committee)
                raise _unreadable(path, "it is missing or damaged") from error
        return self._checks[1]


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    return found.st_mtime_ns, found.st_size, found.st_ino


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error


def _unreadable(path: Path, what: str) -> CommitteeError:
    # Askers are told this: not where the server has it.
    return CommitteeError(
        "SR-COMMITTEE-FILE",
        f"{path.name} of the committee's folder can't be read: {what}",
        "Let the server's operator fetch the folder again from the committee's coordinator",
        http_status=503,
    )
