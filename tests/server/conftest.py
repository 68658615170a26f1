"""A server in a process of its own, and requests to it made by hand."""

from __future__ import annotations

import json
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from strongroom.server.tokens import create_token

SOURCES = Path(__file__).parents[2] / "src"

sys.path.insert(0, str(Path(__file__).parent))


@dataclass
class RunningServer:
    """A server process. `call` sends one protected request in the binary form."""

    process: subprocess.Popen[str]
    url: str
    token: str
    folder: Path
    verify: Any = True
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(
            base_url=self.url,
            verify=self.verify,
            timeout=30,
            headers={"authorization": f"Bearer {self.token}"},
        )

    @property
    def port(self) -> int:
        return httpx.URL(self.url).port or 0

    def call(
        self, content: bytes, model: str = "obedient", client: httpx.Client | None = None
    ) -> httpx.Response:
        head, body = binary_body(content)
        return (client or self.client).post(
            f"/v2/models/{model}/infer",
            content=body,
            headers={"inference-header-content-length": str(head)},
        )

    def answer(self, content: bytes, client: httpx.Client | None = None) -> bytes:
        response = self.call(content, client=client)
        assert response.status_code == 200, response.text
        return binary_answer(response)

    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


def binary_body(
    content: bytes, *, element: int | None = None, declared: int | None = None, **extra: Any
) -> tuple[int, bytes]:
    """Length of the JSON, and a body with the binary extension; lengths may be made to lie."""
    tensor = struct.pack("<I", len(content) if element is None else element) + content
    document = {
        "inputs": [
            {
                "name": "protected_request",
                "shape": [1],
                "datatype": "BYTES",
                "parameters": {"binary_data_size": len(tensor) if declared is None else declared},
            }
        ],
        "parameters": {"binary_data_output": True},
        **extra,
    }
    head = json.dumps(document).encode()
    return len(head), head + tensor


def binary_answer(response: httpx.Response) -> bytes:
    """The protected response in a body with the binary extension, every length checked."""
    end = int(response.headers["inference-header-content-length"])
    head, rest = json.loads(response.content[:end]), response.content[end:]
    (output,) = head["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == (
        "protected_response",
        "BYTES",
        [1],
    )
    assert output["parameters"]["binary_data_size"] == len(rest)
    assert struct.unpack_from("<I", rest) == (len(rest) - 4,)
    return rest[4:]


def start_process(config: dict[str, Any], folder: Path) -> subprocess.Popen[str]:
    """Start a server from a configuration; its log goes to a file."""
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    with (folder / "server.log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "strongroom.server", str(path)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | {"PYTHONPATH": f"{SOURCES}:{Path(__file__).parent}"},
        )


def ready_line(process: subprocess.Popen[str], seconds: float = 30) -> str:
    """The first line of standard output; empty if the process ended without one."""
    lines: queue.Queue[str] = queue.Queue()
    assert process.stdout is not None
    read = process.stdout.readline
    threading.Thread(target=lambda: lines.put(read()), daemon=True).start()
    return lines.get(timeout=seconds)


@pytest.fixture(scope="session")
def binary() -> Callable[..., tuple[int, bytes]]:
    return binary_body


@pytest.fixture(scope="session")
def parse_answer() -> Callable[[httpx.Response], bytes]:
    return binary_answer


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunningServer]]:
    """Starts a server with the given fields of its configuration; all end with the module."""
    running: list[RunningServer] = []

    def _start(verify: Any = True, folder: Path | None = None, **fields: Any) -> RunningServer:
        folder = folder or tmp_path_factory.mktemp("server")
        tokens = folder / "tokens.json"
        token = create_token(tokens, "hospital")
        config = {
            "packages": ["obedient"],
            "tokens": str(tokens),
            "port": 0,
            "workers": 1,
            "loader": "misbehaving_models:open_model",
            "identity": None,
            "worker_memory_bytes": 256 << 20,
        }
        process = start_process(config | fields, folder)
        line = ready_line(process)
        assert line.startswith("strongroom serving on "), (folder / "server.log").read_text()
        server = RunningServer(process, line.split()[-1], token, folder, verify)
        running.append(server)
        return server

    yield _start
    for server in running:
        server.client.close()
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait(10)
        if server.process.stdout:
            server.process.stdout.close()


@pytest.fixture(scope="module")
def server(start: Callable[..., RunningServer]) -> RunningServer:
    """One server for all tests of a module that leave it as it was."""
    return start(workers=2, queue_length=4, packages=["obedient", "obedient@2", "other"])


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Starts a server that must refuse to start: its exit status and standard error."""

    def _refused(**fields: Any) -> tuple[int, str]:
        tokens = tmp_path / "tokens.json"
        create_token(tokens, "hospital")
        config = {
            "packages": ["obedient"],
            "tokens": str(tokens),
            "port": 0,
            "workers": 1,
            "loader": "misbehaving_models:open_model",
            "identity": None,
        }
        process = start_process(config | fields, tmp_path)
        output, _ = process.communicate(timeout=30)
        assert output == ""
        return process.returncode, (tmp_path / "server.log").read_text()

    return _refused


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Waits for a condition, at most a minute."""

    def _eventually(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true"
            time.sleep(0.02)

    return _eventually
