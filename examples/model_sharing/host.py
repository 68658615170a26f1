"""The host: runs `strongroom serve` with an identity of its own, and can be looked into."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from examples.model_sharing.party import Party, RefusedError

TOKENS = "tokens.json"
LOG = "server.log"

_READY = "strongroom serving on "


@dataclass(frozen=True, slots=True)
class Hosted:
    """A server that answers.

    Attributes:
        port: on loopback.
        front: process id of the process that the network reaches.
        behind: process ids of the others by what they are: "keeper", "worker".
    """

    port: int
    front: int
    behind: dict[str, list[int]]


@contextmanager
def hosted(host: Party, packages: Sequence[Path], options: Sequence[str] = ()) -> Iterator[Hosted]:
    """Serve packages until the context ends. Without TLS: that would hide from the wire what is
    sealed, and what is not.

    Args:
        options: of `strongroom serve`, beside the usual ones.

    Raises:
        RefusedError: the server refused to start; with what it said.
    """
    shown = " ".join([*(path.name for path in packages), *options])
    host.say(f"  {host.name}$ strongroom serve {shown} --tokens {TOKENS}")
    command = [sys.executable, "-m", "strongroom.cli", "serve", *map(str, packages)]
    command += ["--tokens", TOKENS, "--port", "0", "--workers", "1", *options]
    with (host.folder / LOG).open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=host.folder,
            env=host.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        if not line.startswith(_READY):
            process.wait()
            raise _refusal(host, (host.folder / LOG).read_text())
        yield Hosted(int(line.rpartition(":")[2]), process.pid, _behind(process.pid))
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _behind(front: int) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for pid in Path(f"/proc/{front}/task/{front}/children").read_text().split():
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        module = next((part for part in command if part.startswith(b"strongroom.server.")), b"")
        found.setdefault(module.decode().rpartition(".")[2], []).append(int(pid))
    return found


def _refusal(host: Party, log: str) -> RefusedError:
    """From the last line of what it said: "error: [SR-…] …"."""
    last = log.strip().splitlines()[-1]
    code, _, message = last.partition("[")[2].partition("] ")
    return RefusedError.of(host.name, code, message)
