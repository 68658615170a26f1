"""A server of key sets in a process of its own, which may be killed, and a client process."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
from key_fakes import PARAMETERS, needs, plain
from model_owner import PASSPHRASE as IDENTITY_PASSPHRASE

from strongroom.client.client import Client
from strongroom.engine import catalogued, public_key_bytes, switching_key_bytes
from strongroom.server.tokens import create_token

ROWS: Final = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
CHUNK_BYTES: Final = 60_000
START_SECONDS: Final = 120.0  # the machine may be busy

_HERE: Final = Path(__file__).parent
PYTHON_PATH: Final = f"{_HERE.parents[1] / 'src'}:{_HERE}"


def total_bytes(model: str = "m") -> int:
    """What a set for a model takes on the wire."""
    parameters, needed = catalogued(PARAMETERS), needs(model)
    keys = sum(switching_key_bytes(parameters, need.limbs) for need in needed.keys)
    return keys + public_key_bytes(parameters, needed.public_limbs)


def ask(client: Client, model: str = "m") -> None:
    np.testing.assert_allclose(client.decision_function(ROWS), plain(model, ROWS), atol=1e-3)


class KeyServer:
    """A server process that may be killed and started again on its port."""

    def __init__(self, folder: Path, packages: list[str], **fields: Any) -> None:
        self.folder = folder
        self.token = create_token(folder / "tokens.json", "clinic")
        self._config = {
            "packages": packages,
            "tokens": str(folder / "tokens.json"),
            "port": 0,
            "workers": 1,
            "loader": "key_fakes:open_model",
            "identity": "default",
            "key_chunk_bytes": CHUNK_BYTES,
        } | fields
        self.url = ""
        self.start()

    def start(self) -> None:
        config = self.folder / "config.json"
        config.write_text(json.dumps(self._config))
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "strongroom.server", str(config)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ
                | {"PYTHONPATH": PYTHON_PATH, "STRONGROOM_PASSPHRASE": IDENTITY_PASSPHRASE},
            )
        lines: queue.Queue[str] = queue.Queue()
        assert self.process.stdout is not None
        read = self.process.stdout.readline
        threading.Thread(target=lambda: lines.put(read()), daemon=True).start()
        line = lines.get(timeout=START_SECONDS)
        assert line.startswith("strongroom serving on "), self.log()
        self.url = line.split()[-1]
        self._config["port"] = httpx.URL(self.url).port

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(START_SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    def confirmed_bytes(self) -> int:
        """Of all chunks that were taken."""
        # The last line may be on its way.
        lines = [line for line in self.log().splitlines() if line.endswith("}")]
        chunks = [line for line in map(json.loads, lines) if line["event"] == "chunk"]
        return sum(line["request_bytes"] for line in chunks if line["status"] == 200)

    def pids(self) -> list[int]:
        front = self.process.pid
        children = Path(f"/proc/{front}/task/{front}/children").read_text().split()
        return [front, *map(int, children)]


def client_process(server: KeyServer, digest: str, pause_seconds: float) -> subprocess.Popen[str]:
    """A client that sends the keys of model m, with a pause before each chunk, and asks once."""
    command = [sys.executable, str(_HERE / "uploading_client.py"), server.url, server.token]
    return subprocess.Popen(
        [*command, digest, str(pause_seconds)],
        env=os.environ | {"PYTHONPATH": PYTHON_PATH},
        stdout=subprocess.PIPE,
        text=True,
    )
