"""A real server: front process and workers in a folder of their own."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from model_owner import OWNER, PASSPHRASE, write_identity

from strongroom import Package
from strongroom.cli.demo_server import write_certificate
from strongroom.server.tokens import create_token

SOURCES = Path(__file__).parents[2] / "src"
START_SECONDS = 60.0  # the machine may be busy


@dataclass
class RunningServer:
    """A server process and its folder.

    Attributes:
        url: where it listens.
        token: of the tenant "hospital".
        certificate: the authority to trust; None for plain http.
    """

    process: subprocess.Popen[str]
    url: str
    token: str
    folder: Path
    certificate: Path | None
    config: dict[str, Any]
    environment: dict[str, str] = field(repr=False)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def children(self) -> list[psutil.Process]:
        """The keeper and the workers."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def workers(self) -> list[psutil.Process]:
        return [child for child in self.children() if "strongroom.server.worker" in _line(child)]

    def worker_pids(self) -> set[int]:
        return {worker.pid for worker in self.workers()}

    def pids(self) -> list[int]:
        """Front first, then the keeper and the workers."""
        return [self.process.pid, *sorted(child.pid for child in self.children())]

    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's lines of one event."""
        lines = (json.loads(line) for line in self.log().splitlines() if line.startswith("{"))
        return [line for line in lines if line["event"] == name]

    def kill(self) -> None:
        """SIGKILL to the front; its keeper and its workers must follow it."""
        children = self.children()
        self.process.kill()
        self.process.wait(20)
        _, alive = psutil.wait_procs(children, timeout=20)
        assert not alive, "a keeper or a worker outlived its front"

    def start_again(self) -> None:
        """Start a new front on the same port, with the same files."""
        self.config["port"] = self.port
        self.process, url = _launch(self.folder, self.config, self.environment)
        assert url == self.url

    def stop(self) -> int:
        """SIGTERM, and what the front then exits with."""
        if self.process.poll() is None:
            for worker in self.workers():
                worker.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        if self.process.stdout is not None:
            self.process.stdout.close()
        return self.process.wait(30)


def _line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has ended
        return []


def start_server(
    folder: Path,
    packages: list[Package],
    *,
    tls: bool = False,
    environment: dict[str, str] | None = None,
    **fields: Any,
) -> RunningServer:
    """Serve packages from a folder; see `write_server`."""
    config, surroundings = write_server(folder, packages)
    config |= fields
    certificate = folder / "certificate.pem" if tls else None
    if certificate is not None:
        write_certificate(certificate, folder / "key.pem")
        config |= {"tls_certificate": str(certificate), "tls_key": str(folder / "key.pem")}
    token = create_token(folder / "tokens.json", "hospital")
    surroundings |= environment or {}
    process, url = _launch(folder, config, surroundings)
    return RunningServer(process, url, token, folder, certificate, config, surroundings)


def write_server(folder: Path, packages: list[Package]) -> tuple[dict[str, Any], dict[str, str]]:
    """Write packages and a token into an empty folder, which is also to be the server's home,
    working and temporary folder.

    Returns:
        A configuration, and the environment to run it in.
    """
    (folder / "tmp").mkdir()
    paths = []
    for package in packages:
        paths.append(str(folder / f"{package.manifest.name}.strongroom"))
        package.save(paths[-1], owner=OWNER)
    tokens = folder / "tokens.json"
    create_token(tokens, "nobody")
    config: dict[str, Any] = {
        "packages": paths,
        "tokens": str(tokens),
        "port": 0,
        "identity": "default",
        "workers": 1,
        "request_bytes": 8 << 20,
    }
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("STRONGROOM_")
    }
    environment |= {
        "PYTHONPATH": str(SOURCES),
        "HOME": str(folder),
        "TMPDIR": str(folder / "tmp"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "STRONGROOM_PASSPHRASE": PASSPHRASE,
    }
    write_identity(folder / ".strongroom")
    return config, environment


def run_server(
    folder: Path, config: dict[str, Any], environment: dict[str, str]
) -> subprocess.Popen[str]:
    """Start a server's process; it may refuse to serve. Its log is server.log in the folder."""
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    with (folder / "server.log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "strongroom.server", str(path)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        )


def _launch(
    folder: Path, config: dict[str, Any], environment: dict[str, str]
) -> tuple[subprocess.Popen[str], str]:
    process = run_server(folder, config, environment)
    lines: queue.Queue[str] = queue.Queue()
    assert process.stdout is not None
    read = process.stdout.readline
    threading.Thread(target=lambda: lines.put(read()), daemon=True).start()
    line = lines.get(timeout=START_SECONDS).strip()
    assert line.startswith("strongroom serving on "), (folder / "server.log").read_text()
    return process, line.split()[-1]


def eventually(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds:g} seconds: {what}"
        time.sleep(0.02)


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but the log, with its contents."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "server.log"
    }
