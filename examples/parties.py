"""The parties of an application, each a process of its own with a folder of its own.

- The *owner* has the training data and the model. It writes a package, hands that to the server and
  a few words to the asker: the model's name, the package's digest.
- The *server* computes. It is started as anybody would start it, by `strongroom serve`.
- The *asker* is the process that this module is called in. It has the rows and the keys.

Owner and server never run at one time, and no party reads another's folder.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from strongroom import Client, KeyStore, Policy, PublicIdentity
from strongroom.cli.demo_server import RunningServer, fresh_home, running_server
from strongroom.errors import InputError

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = "model.strongroom"


SERVER_LINE = "server.pub"
"""The server's public identity, which its operator sent to the owner."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Where each party keeps what it has, and the homes of those who have an identity."""

    owner: Path
    server: Path
    asker: Path
    owner_home: dict[str, str] = field(repr=False)
    server_home: dict[str, str] = field(repr=False)


@contextmanager
def kept_folder(kept: Path | None) -> Iterator[Path]:
    """An empty folder for an application.

    Args:
        kept: which; None: a temporary one, gone when the context ends.

    Raises:
        InputError: SR-INPUT-FILE if there is something already, or it can't be made.
    """
    if kept is None:
        with tempfile.TemporaryDirectory(prefix="strongroom-example-") as name:
            yield Path(name)
        return
    try:
        kept.mkdir(exist_ok=True, mode=0o700)
        occupied = any(kept.iterdir())
    except OSError as error:
        raise InputError(
            "SR-INPUT-FILE", f"{kept} can't be used ({error.strerror})", "Name a new folder"
        ) from error
    if occupied:
        raise InputError("SR-INPUT-FILE", f"{kept} is not empty", "Name a new folder")
    yield kept


@contextmanager
def folders(kept: Path | None) -> Iterator[Folders]:
    """A folder for each party.

    Args:
        kept: where to make them; None: they are gone when the context ends.

    Raises:
        InputError: see `kept_folder`.
    """
    with kept_folder(kept) as folder:
        yield _made(folder)


def _made(folder: Path) -> Folders:
    owner, server, asker = (folder / party for party in ("owner", "server", "asker"))
    for party in (owner, server, asker):
        party.mkdir(mode=0o700)
    _, owner_home = fresh_home(owner / "home")
    identity, server_home = fresh_home(server / "home")
    (owner / SERVER_LINE).write_text(identity.public.to_text())
    return Folders(owner, server, asker, owner_home, server_home)


def server_identity(folder: Path) -> PublicIdentity:
    """To whom the owner grants its package.

    Args:
        folder: the owner's.
    """
    return PublicIdentity.from_text((folder / SERVER_LINE).read_text())


def run_owner(module: str, made: Folders, *arguments: str) -> dict[str, Any]:
    """Let the owner train and protect, in a process of its own.

    Args:
        module: that is run with the owner's folder and the arguments, writes `model.strongroom`
            there, and prints what the asker has to know as one JSON object.

    Returns:
        What it printed.

    Raises:
        typer.Exit: with the owner's exit status; it has said why itself.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, str(made.owner.resolve()), *arguments],
        cwd=PROJECT,
        env=os.environ | made.owner_home,
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise typer.Exit(done.returncode)
    handed_over: dict[str, Any] = json.loads(done.stdout)
    return handed_over


@contextmanager
def served(made: Folders, threads: int) -> Iterator[RunningServer]:
    """Hand the package to the server, and start it.

    Raises:
        ServerError: SR-SERVER-CONFIG if it does not start.
    """
    package = made.server / PACKAGE
    shutil.copyfile(made.owner / PACKAGE, package)
    with running_server([package], made.server, threads=threads, home=made.server_home) as server:
        yield server


@contextmanager
def asking(
    server: RunningServer, made: Folders, handed_over: dict[str, Any], policy: Policy
) -> Iterator[Client]:
    """A client that trusts the digest that the owner handed over; its keys are sealed on disk.

    Raises:
        StrongroomError: as `strongroom.Client`.
    """
    with Client(
        server.url,
        model=handed_over["model"],
        trust=handed_over["digest"],
        token=server.token,
        ca=server.certificate,
        policy=policy,
        keys=KeyStore.open(made.asker / "keys", passphrase=secrets.token_urlsafe(24)),
        timeout_seconds=300.0,
        progress=False,
    ) as client:
        yield client
