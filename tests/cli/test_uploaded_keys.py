"""`strongroom keys uploaded`: what a person sees of the keys at a server, and what is deleted."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest

from strongroom.cli import app
from strongroom.engine import CATALOGUE, catalogued, conjugation_element, rotation_element

PARAMETERS = next(name for name, entry in CATALOGUE.items() if entry.special_primes)


def key_set(number: int, parameters: str, elements: list[int], **models: str) -> dict[str, Any]:
    return {
        "parameters": parameters,
        "key_set": f"{number:032x}",
        "bytes": number << 20,
        "keys": [[element, 2] for element in elements],
        "public_limbs": [1],
        "last_used": "2026-11-22T10:00:00+00:00",
        "models": [{"name": name, "version": version} for name, version in models.items()],
    }


class Server(BaseHTTPRequestHandler):
    """Answers with what it is told, and writes down what was to be deleted."""

    key_sets: ClassVar[list[dict[str, Any]]] = []
    deleted: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        listing = {"key_sets": self.key_sets, "bytes": 3 << 20, "bytes_limit": 4 << 30}
        self._answer(listing if self.path == "/v2/keys" else {})

    def do_DELETE(self) -> None:
        self.deleted.append(self.path)
        self._answer({})

    def _answer(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    parameters = catalogued(PARAMETERS)
    steps = [rotation_element(parameters, step) for step in range(1, 12)]
    Server.key_sets = [
        key_set(1, PARAMETERS, [0, conjugation_element(parameters), steps[0]], scoring="1"),
        key_set(2, "of-another-release", [0, 5]),
        key_set(3, PARAMETERS, steps, **{"\x1b[31mred": "2"}),
    ]
    Server.deleted = []
    server = HTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_sets_are_shown_with_size_keys_and_models(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert app.run(["keys", "uploaded", "list", url]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "3.0 MiB of 4.0 GiB" in shown
    assert "1.0 MiB" in shown
    assert "products" in shown
    assert "rotation by 1" in shown
    assert "and 3 more" in shown
    assert "2 keys" in shown
    assert "\x1b" not in shown


def test_programs_get_elements_and_models(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["keys", "uploaded", "list", url, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["url"] == url
    assert (found["bytes"], found["bytes_limit"]) == (3 << 20, 4 << 30)
    assert found["key_sets"] == Server.key_sets


def test_only_the_named_set_is_deleted_and_only_after_a_yes(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{2:032x}"
    assert app.run(["keys", "uploaded", "delete", url, name]) == 2
    assert "--yes" in capsys.readouterr().err
    assert app.run(["keys", "uploaded", "delete", url, name, "f" * 32, "--yes"]) == 2
    assert f"there is no key set '{'f' * 32}'" in capsys.readouterr().err
    assert Server.deleted == []
    assert app.run(["keys", "uploaded", "delete", url, name, "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"url": url, "deleted": [name]}
    assert Server.deleted == [f"/v2/keys/of-another-release/{name}"]


def test_a_server_without_keys_says_so(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    Server.key_sets = []
    assert app.run(["keys", "uploaded", "list", url]) == 0
    assert "no keys at" in capsys.readouterr().out
