"""A party's member: runs `strongroom member serve`, and can be stopped and looked into."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from examples.model_sharing.party import Party, RefusedError

POLICY = "policy.json"
PACKAGES = "packages"
LOG = "member.log"


class Member:
    """A member of the committee, of one party.

    Args:
        party: whose it is.
    """

    def __init__(self, party: Party) -> None:
        self.party = party
        self._process: subprocess.Popen[str] | None = None
        self._port = 0
        self.url = ""
        (party.folder / PACKAGES).mkdir()

    @property
    def pid(self) -> int | None:
        """Of its process; None while it is stopped."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it, where it was before if it ran before.

        Raises:
            RefusedError: it did not start.
        """
        party = self.party
        words = ["member", "serve", "--policy", POLICY, "--packages", PACKAGES]
        party.say(f"  {party.name}$ strongroom {' '.join(words)}")
        command = [sys.executable, "-m", "strongroom.cli", *words, "--port", str(self._port)]
        with (party.folder / LOG).open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--json"],
                cwd=party.folder,
                env=party.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        said: dict[str, Any] = json.loads(self._process.stdout.readline() or "{}")
        if "url" not in said:
            self.stop()
            log_lines = (party.folder / LOG).read_text().splitlines()
            raise RefusedError.of(party.name, said.get("code", ""), log_lines[-1])
        self.url = said["url"]
        self._port = int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        """Stop it."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
