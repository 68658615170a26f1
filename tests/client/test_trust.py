"""Which package is talked to: the digest rules, one test each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from strongroom.canonical import canonical_json, digest
from strongroom.client.client import Client
from strongroom.errors import PackageError, PolicyError, StrongroomError
from strongroom.keys.store import KeyStore
from strongroom.package.file import Package

Connect = Callable[..., Client]


def _refused(call: Callable[[], object]) -> StrongroomError:
    with pytest.raises(StrongroomError) as caught:
        call()
    return caught.value


def _other(package: Package) -> Package:
    return Package.create(
        name="m", plan=package.manifest.plan, payload=b"other", parity=package.manifest.parity
    )


def test_the_trusted_digest_is_accepted_and_nothing_is_pinned(
    connect: Connect, server: object, home: Path
) -> None:
    with connect(trust=server.package.digest, keys=KeyStore.in_memory()) as client:  # type: ignore[attr-defined]
        assert client.package_digest == server.package.digest  # type: ignore[attr-defined]
    assert not home.exists()


def test_requests_are_bound_to_the_package_that_was_verified(
    connect: Connect, server: object, protection: Any
) -> None:
    with connect(trust="first-use"):
        assert protection.packages == [server.package.digest]  # type: ignore[attr-defined]


def test_a_package_can_be_trusted_itself(connect: Connect, server: object) -> None:
    with connect(trust=server.package) as client:  # type: ignore[attr-defined]
        assert client.plan == server.package.manifest.plan  # type: ignore[attr-defined]


def test_another_package_is_refused_and_nothing_is_sent(connect: Connect, server: object) -> None:
    error = _refused(lambda: connect(trust="sha256:" + "0" * 64))
    assert error.code == "SR-PACKAGE-DIGEST"
    assert server.package.digest in str(error)  # type: ignore[attr-defined]
    assert [request.method for request in server.requests] == ["GET"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("trust", ["", "sha256:1234", "SHA256:" + "0" * 64, "yes", None, 7])
def test_what_is_no_digest_is_refused_before_the_server_is_asked(
    connect: Connect, server: object, trust: object
) -> None:
    assert _refused(lambda: connect(trust=trust)).code == "SR-PACKAGE-DIGEST"
    assert server.requests == []  # type: ignore[attr-defined]


def test_first_use_pins_and_says_so_once(
    connect: Connect, server: object, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = KeyStore.in_memory()
    connect(trust="first-use", keys=keys).close()
    said = capsys.readouterr()
    assert server.package.digest in said.err  # type: ignore[attr-defined]
    assert said.out == ""
    connect(trust="first-use", keys=keys).close()
    assert capsys.readouterr().err == ""


def test_after_first_use_another_package_is_refused(connect: Connect, server: object) -> None:
    keys = KeyStore.in_memory()
    connect(trust="first-use", keys=keys).close()
    server.package = _other(server.package)  # type: ignore[attr-defined]
    assert _refused(lambda: connect(trust="first-use", keys=keys)).code == "SR-PACKAGE-DIGEST"
    connect(trust=server.package.digest, keys=keys).close()  # type: ignore[attr-defined]


def test_the_pin_is_kept_between_processes(connect: Connect, server: object, home: Path) -> None:
    connect(trust="first-use", keys=None, passphrase="p").close()
    server.package = _other(server.package)  # type: ignore[attr-defined]
    error = _refused(lambda: connect(trust="first-use", keys=None, passphrase="p"))
    assert error.code == "SR-PACKAGE-DIGEST"
    assert (home / "known_packages.json").exists()


def test_a_plan_below_the_policy_is_refused_and_not_pinned(
    connect: Connect, protection: object
) -> None:
    keys = KeyStore.in_memory()
    protection.problem = PolicyError("SR-PLAN-FLOODING", "floods too little")  # type: ignore[attr-defined]
    assert _refused(lambda: connect(trust="first-use", keys=keys)).code == "SR-PLAN-FLOODING"
    assert keys.pins.entries() == ()


def test_the_digest_is_taken_here_not_from_the_server(connect: Connect, server: object) -> None:
    trusted, evil = server.package.digest, _other(server.package)  # type: ignore[attr-defined]
    server.package = evil  # type: ignore[attr-defined]
    original = server.metadata  # type: ignore[attr-defined]

    def lying() -> object:
        answer = original()
        answer["parameters"]["package_digest"] = trusted
        return answer

    server.metadata = lying  # type: ignore[attr-defined]
    for trust in (trusted, evil.digest, "first-use"):
        assert _refused(lambda trust=trust: connect(trust=trust)).code == "SR-SERVER-PROTOCOL"


def _serve_text(server: object, text: str) -> None:
    def before(request: httpx.Request) -> httpx.Response:
        parameters = {"manifest": text, "package_digest": digest(text.encode())}
        return httpx.Response(
            200, content=json.dumps({"name": "m", "parameters": parameters}).encode()
        )

    server.before = before  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "{" * 100_000, '{"format_version":1}'])
def test_a_manifest_that_is_none_is_refused_and_not_pinned(
    connect: Connect, server: object, text: str
) -> None:
    keys = KeyStore.in_memory()
    _serve_text(server, text)
    assert _refused(lambda: connect(trust="first-use", keys=keys)).code == "SR-SERVER-PROTOCOL"
    assert keys.pins.entries() == ()


def test_a_manifest_of_a_newer_version_says_so(connect: Connect, server: object) -> None:
    _serve_text(server, canonical_json({"format_version": 9}).decode())
    with pytest.raises(PackageError) as caught:
        connect(trust="first-use")
    assert caught.value.code == "SR-PACKAGE-VERSION"


def test_a_white_space_more_is_another_digest(connect: Connect, server: object) -> None:
    data = canonical_json(server.package.manifest).decode()  # type: ignore[attr-defined]
    _serve_text(server, data + " ")
    assert _refused(lambda: connect()).code == "SR-PACKAGE-DIGEST"
