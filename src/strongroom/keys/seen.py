"""Seen: the highest of what was seen already, so that nobody is shown less than before.

`seen.json` beside the keys, see `keys.record_file`. The rules:

1. Time: a clock that is more than five minutes behind the latest time it ever showed, or behind
   a time that a signature vouches for, is wrong, and nothing that can expire is used under it.
   Looking for that may be left out within a second of looking, while the clock goes on.
2. A release of an owner's model, a package's grant log, and a server's key configuration are
   never older than one that was used before.
3. Under which protection an owner's model was used, so that another does not come unnoticed.
4. What is checked has been verified before: a forged number would otherwise shut out true ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import msgspec

from strongroom.canonical import Digest
from strongroom.errors import KeyStoreError, PackageError, ServerError
from strongroom.keys.identity import Fingerprint
from strongroom.keys.record_file import RecordFile

TOLERANCE: Final = timedelta(minutes=5)
"""How far a clock may be behind: clocks are set back a little by those who keep them right."""

_STEP: Final = timedelta(minutes=1)
_CHECKED: Final = timedelta(seconds=1)
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_MAXIMUM_NUMBER: Final = 2**63 - 1

_Text = Annotated[str, msgspec.Meta(max_length=2048)]
_Number = Annotated[int, msgspec.Meta(ge=0, le=_MAXIMUM_NUMBER)]
_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class _Marks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The high-water marks.

    Attributes:
        latest: time that the clock showed, UTC.
        releases: highest release by owner, then by the model's name.
        protections: name of the protection that was accepted last, by the same.
        grant_logs: (generation, entries) by the manifest's digest.
        key_configurations: highest counter by the server's fingerprint.
    """

    format_version: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    latest: _Time | None = None
    releases: dict[Fingerprint, dict[_Text, _Number]] = {}
    protections: dict[Fingerprint, dict[_Text, _Text]] = {}
    grant_logs: dict[Digest, tuple[_Number, _Number]] = {}
    key_configurations: dict[Fingerprint, _Number] = {}


class Seen:
    """The high-water marks below one home, or in memory only; safe for threads.

    Args:
        home: the key store's home; None keeps them in memory.
        clock: gives the machine's time in UTC.
    """

    def __init__(
        self, home: Path | None, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        loss = "it is not known what was seen before"
        self._file = RecordFile(home, "seen.json", _Marks(), loss)
        self._clock = clock
        # When it was found right last, by the clock itself and by one that nobody sets.
        self._right: tuple[datetime, float] | None = None

    def now(self, at_least: datetime | None = None) -> datetime:
        """The time, in UTC, if the clock can be right.

        Args:
            at_least: a time, with its zone, that something signed vouches for.

        Raises:
            KeyStoreError: SR-IDENTITY-CLOCK if the clock is more than five minutes behind;
                SR-KEYS-PERMISSIONS, SR-KEYS-FILE.
        """
        now = self._clock()
        if at_least is not None and now < at_least - TOLERANCE:
            raise KeyStoreError(
                "SR-IDENTITY-CLOCK",
                f"the clock says {now:{_TIME}}, before {at_least:{_TIME}} when this was signed",
                "Set the machine's clock",
            )
        if self._was_right(now):
            return now
        if self._moves(now):
            with self._file.exclusively():
                if self._moves(now):
                    latest = now.replace(microsecond=0)
                    self._file.replace(msgspec.structs.replace(self._file.read(), latest=latest))
        self._right = now, time.monotonic()
        return now

    def release(self, owner: str, model: str) -> int:
        """The highest release seen of an owner's model, 0 if none."""
        return self._file.read().releases.get(owner, {}).get(model, 0)

    def saw_release(self, owner: str, model: str, release: int) -> None:
        """Remember a release.

        Args:
            owner: fingerprint.
            model: name in the manifest.

        Raises:
            PackageError: SR-PACKAGE-ROLLBACK if a higher one was seen.
            KeyStoreError: SR-KEYS-PERMISSIONS, SR-KEYS-FILE.
        """

        def check(marks: _Marks) -> bool:
            highest = marks.releases.get(owner, {}).get(model, 0)
            if release < highest:
                raise _rolled_back(f"model {model} has release {release}, seen was {highest}")
            return release > highest

        def change(marks: _Marks) -> _Marks:
            models = {**marks.releases.get(owner, {}), model: release}
            return msgspec.structs.replace(marks, releases={**marks.releases, owner: models})

        self._raise(check, change)

    def protection(self, owner: str, model: str) -> str | None:
        """The protection under which an owner's model was used, None if it was not."""
        return self._file.read().protections.get(owner, {}).get(model)

    def saw_protection(self, owner: str, model: str, protection: str) -> None:
        """Remember under which protection an owner's model is used from now on.

        Raises:
            KeyStoreError: SR-KEYS-PERMISSIONS, SR-KEYS-FILE.
        """

        def check(marks: _Marks) -> bool:
            return marks.protections.get(owner, {}).get(model) != protection

        def change(marks: _Marks) -> _Marks:
            models = {**marks.protections.get(owner, {}), model: protection}
            return msgspec.structs.replace(marks, protections={**marks.protections, owner: models})

        self._raise(check, change)

    def grant_log(self, manifest_digest: str) -> tuple[int, int]:
        """Generation and number of entries of the newest grant log seen, zeros if none."""
        return self._file.read().grant_logs.get(manifest_digest, (0, 0))

    def saw_grant_log(self, manifest_digest: str, generation: int, entries: int) -> None:
        """Remember how long a grant log is.

        Raises:
            PackageError: SR-PACKAGE-ROLLBACK if a later generation, or more entries of this
                one, were seen.
            KeyStoreError: SR-KEYS-PERMISSIONS, SR-KEYS-FILE.
        """
        found = (generation, entries)

        def check(marks: _Marks) -> bool:
            newest = marks.grant_logs.get(manifest_digest, (0, 0))
            if found < newest:
                raise _rolled_back(
                    f"the grant log is at generation {generation} with {entries} entries, "
                    f"seen was generation {newest[0]} with {newest[1]}"
                )
            return found > newest

        def change(marks: _Marks) -> _Marks:
            logs = {**marks.grant_logs, manifest_digest: found}
            return msgspec.structs.replace(marks, grant_logs=logs)

        self._raise(check, change)

    def key_configuration(self, server: str) -> int:
        """The highest counter seen of a server's key configurations, 0 if none."""
        return self._file.read().key_configurations.get(server, 0)

    def saw_key_configuration(self, server: str, counter: int) -> None:
        """Remember a server's key configuration.

        Args:
            server: fingerprint of its identity.

        Raises:
            ServerError: SR-SERVER-KEYS if a higher counter was seen.
            KeyStoreError: SR-KEYS-PERMISSIONS, SR-KEYS-FILE.
        """

        def check(marks: _Marks) -> bool:
            highest = marks.key_configurations.get(server, 0)
            if counter < highest:
                raise ServerError(
                    "SR-SERVER-KEYS",
                    f"the server shows a key configuration ({counter}) older than one that was "
                    f"seen ({highest})",
                    "Ask the server's operator; somebody may be replaying old keys",
                )
            return counter > highest

        def change(marks: _Marks) -> _Marks:
            counters = {**marks.key_configurations, server: counter}
            return msgspec.structs.replace(marks, key_configurations=counters)

        self._raise(check, change)

    def _was_right(self, now: datetime) -> bool:
        """Whether the file was looked at a moment ago: reading it costs as much as sealing."""
        if self._right is None:
            return False
        found, passed = self._right[0], time.monotonic() - self._right[1]
        return found <= now < found + _CHECKED and passed < _CHECKED.total_seconds()

    def _moves(self, now: datetime) -> bool:
        """Whether the mark has to move; a small step is not worth a write."""
        latest = self._file.read().latest
        if latest is None:
            return True
        if now < latest - TOLERANCE:
            where = "" if self._file.path is None else f", or remove latest from {self._file.path}"
            raise KeyStoreError(
                "SR-IDENTITY-CLOCK",
                f"the clock says {now:{_TIME}}, but has shown {latest:{_TIME}} before",
                f"Set the machine's clock{where} if it was ahead then",
            )
        return now >= latest + _STEP

    def _raise(self, check: Callable[[_Marks], bool], change: Callable[[_Marks], _Marks]) -> None:
        if not check(self._file.read()):
            return
        with self._file.exclusively():
            marks = self._file.read()
            if check(marks):
                self._file.replace(change(marks))


def _rolled_back(what: str) -> PackageError:
    return PackageError(
        "SR-PACKAGE-ROLLBACK",
        f"{what}: an older package is offered than one that was used before",
        "Fetch the present one from its owner",
    )
