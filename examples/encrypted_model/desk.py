"""A desk: a process of a party that stays, does what it is told, line by line, and can be looked
into meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from examples.model_sharing.party import Party, RefusedError
from strongroom.errors import StrongroomError

Tasks = Mapping[str, Callable[..., dict[str, Any]]]
"""What a desk does, by the word that asks for it."""


class Desk:
    """The other end of a process that runs `work`.

    Attributes:
        pid: of the process.
    """

    def __init__(self, party: Party, process: subprocess.Popen[str]) -> None:
        self._party = party
        self._process = process
        self.pid = process.pid

    def do(self, what: str, *arguments: str | int) -> dict[str, Any]:
        """Have something done; what came of it.

        Raises:
            RefusedError: it failed.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([what, *arguments]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RefusedError.of(self._party.name, "", "its process ended")
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise RefusedError.of(self._party.name, said["code"], said["error"])
        return said


@contextmanager
def desk(party: Party, module: str, *arguments: str) -> Iterator[Desk]:
    """A process of a party until the context ends.

    Args:
        module: of this example, which calls `work`.
        arguments: of its command line.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", f"examples.encrypted_model.{module}", *arguments],
        cwd=party.folder,
        env=party.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Desk(party, process)
    finally:
        process.communicate()  # the end of its input is the end of its work


def work(tasks: Tasks) -> None:
    """Do what comes in on standard input until it ends; say what came of each."""
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        try:
            said = tasks[what](*arguments)
        except StrongroomError as error:
            said = {"code": error.code, "error": error.message}
        print(json.dumps(said), flush=True)
