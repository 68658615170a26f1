"""A party: a folder, a home for its identity, a passphrase that nobody else has.

What a party does is done by processes of its own, with its own home: `strongroom` on its command
line, or a module of this example. Files that it is given are copies.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from examples.parties import PROJECT
from strongroom.errors import CODES, StrongroomError

Say = Callable[[str], None]


class RefusedError(StrongroomError):
    """What a process of a party ended with."""

    @classmethod
    def of(cls, party: str, code: str, message: str) -> RefusedError:
        """The error again, as the process printed it; SR-INTERNAL if it left no code."""
        return cls(code if code in CODES else "SR-INTERNAL", f"{party}: {message.rstrip('.')}")


@dataclass(frozen=True)
class Party:
    """Somebody with a machine.

    Attributes:
        name: as the others call it.
        folder: all that it has.
        say: told each command, before it runs.
    """

    name: str
    folder: Path
    say: Say = field(repr=False)
    _passphrase: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, mode=0o700)

    @property
    def home(self) -> Path:
        """Its STRONGROOM_HOME."""
        return self.folder / "home"

    @property
    def public(self) -> Path:
        """The line that it gives to the others, once it has an identity."""
        return self.home / "identities" / "default.pub"

    @property
    def environment(self) -> dict[str, str]:
        """Of its processes: its home and passphrase, and nobody else's."""
        kept = {name: value for name, value in os.environ.items() if "STRONGROOM" not in name}
        # This folder's `examples` is not installed, and a process of a party runs elsewhere.
        given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        path = os.pathsep.join([str(PROJECT), *(str(Path(one).resolve()) for one in given if one)])
        own = {"STRONGROOM_HOME": str(self.home), "STRONGROOM_PASSPHRASE": self._passphrase}
        return kept | own | {"PYTHONPATH": path}

    def strongroom(self, *arguments: str | Path) -> dict[str, Any]:
        """Run `strongroom`; what it said.

        Raises:
            RefusedError: it failed.
        """
        shown = [one.name if isinstance(one, Path) else one for one in arguments]
        self.say(f"  {self.name}$ strongroom {' '.join(shown)}")
        return self._run(["strongroom.cli", *map(str, arguments), "--json"])

    def module(self, name: str, *arguments: str | Path) -> dict[str, Any]:
        """Run one of this example's modules; what it said.

        Raises:
            RefusedError: it failed.
        """
        return self._run([f"examples.model_sharing.{name}", *map(str, arguments), "--json"])

    def give(self, file: Path, to: Party, name: str | None = None) -> Path:
        """Hand a copy of a file to another party; where that has it then."""
        copy = to.folder / (name or file.name)
        shutil.copyfile(file, copy)
        return copy

    def _run(self, command: Sequence[str]) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        try:
            said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        except (json.JSONDecodeError, IndexError):
            raise RefusedError.of(self.name, "", done.stderr.strip()[-500:]) from None
        if done.returncode:
            raise RefusedError.of(self.name, said["code"], said["error"])
        return said
