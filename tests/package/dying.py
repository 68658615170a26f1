"""Processes that kill themselves, or are killed, while they write a package.

Run as a script: FOLDER, with the tests on the path. Forks a child for each case, since starting
Python costs more than all of them; prints one JSON line of what was found after each.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from file_parts import OWNER, RECIPIENT

from strongroom.compiler.plan import Plan
from strongroom.keys.seen import Seen
from strongroom.package.file import load, read
from strongroom.package.manifest import Parity
from strongroom.package.protected import Package
from strongroom.package.sharing import grant, rotate

MEGABYTES = 24
MOMENTS = ("write", "fsync", "move")


def package_of(payload: bytes) -> Package:
    """A package with this payload."""
    plan = msgspec.json.decode(Path(__file__).with_name("plan.json").read_bytes(), type=Plan)
    parity = Parity(rows=3, agreement=1.0, max_score_error=0.0)
    return Package.create(name="m", plan=plan, payload={"m": payload}, parity=parity, owner=OWNER)


def die_at(moment: str, operation: Callable[[], object]) -> None:
    """Run an operation and kill this process at one of its steps."""
    names = {"write": ("fdopen",), "fsync": ("fsync",), "move": ("replace", "link")}
    for name in names[moment]:
        original = getattr(os, name)

        def die(*arguments: Any, original: Any = original, **options: Any) -> Any:
            if moment == "write" and arguments[1] != "wb":
                return original(*arguments, **options)
            if moment == "write":
                file = original(*arguments, **options)
                file.write(b"half of it")
                file.flush()
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(os, name, die)
    operation()


def forked(run: Callable[[], object]) -> int:
    """The process in which something runs."""
    if child := os.fork():
        return child
    try:
        run()
    finally:
        os._exit(3)


def main(folder: Path) -> None:
    """All cases, one line each."""
    path = folder / "m.strongroom"
    small = package_of(b"weights" * 9)
    operations: dict[str, Callable[[], object]] = {
        "save": lambda: small.save(path, owner=OWNER),
        "overwrite": lambda: small.save(path, owner=OWNER, overwrite=True),
        "grant": lambda: grant(path, RECIPIENT.public, owner=OWNER, seen=Seen(None)),
        "rotate": lambda: rotate(path, owner=OWNER, seen=Seen(None)),
    }
    for name, operation in operations.items():
        for moment in MOMENTS:
            for left in folder.iterdir():
                left.unlink()
            if name != "save":
                small.save(path, owner=OWNER)
            before = path.read_bytes() if path.exists() else None
            child = forked(lambda moment=moment, run=operation: die_at(moment, run))  # type: ignore[misc]
            status = os.waitpid(child, 0)[1]
            after = path.read_bytes() if path.exists() else None
            report(
                case=f"{name} killed at {moment}",
                killed=os.WIFSIGNALED(status),
                same=before == after,
                left=sorted(one.name for one in folder.iterdir() if one != path),
            )
    for left in folder.iterdir():
        left.unlink()
    large = package_of(os.urandom(1 << 20) * MEGABYTES)
    large.save(path, owner=OWNER)
    draw = random.Random(0)
    for turn in range(8):
        generation = read(path).log.generation
        child = forked(operations["rotate"])
        time.sleep(draw.uniform(0.0, 0.12))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        whole = load(path, OWNER, seen=Seen(None)) == large
        report(
            case=f"rotation {turn} killed at a random moment",
            whole=whole,
            step=read(path).log.generation - generation,
        )


def report(**fields: object) -> None:
    """One line."""
    print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
