"""Whom a client trusts: the rules of `client.trust`, one test or more each."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from fake_server import FakeServer
from model_owner import OWNER
from served_proofs import identity, package_of

from strongroom.canonical import canonical_json, digest
from strongroom.client.client import Client
from strongroom.errors import PolicyError, StrongroomError
from strongroom.keys.store import KeyStore
from strongroom.package.file import read

Connect = Callable[..., Client]


def _refused(call: Callable[[], object]) -> StrongroomError:
    with pytest.raises(StrongroomError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return caught.value


def _nothing_sent(server: FakeServer) -> bool:
    return {request.method for request in server.requests} <= {"GET"}


def _everywhere(server: FakeServer) -> list[Any]:
    """Every way of trusting what is served."""
    return [OWNER.public, server.package.digest, server.package, "first-use"]


def test_the_owner_can_be_named_in_every_way(
    connect: Connect, server: FakeServer, tmp_path: Path
) -> None:
    path = tmp_path / "vendor.pub"
    path.write_text(OWNER.public.to_text() + "\n")
    for trust in (OWNER.public, OWNER.fingerprint, path, str(path)):
        with connect(trust=trust) as client:
            assert client.owner == OWNER.public
            assert client.server == server.host.server.public
            assert client.plan == server.package.manifest.plan


def test_an_owners_next_release_is_served_without_a_word(
    connect: Connect, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = KeyStore.in_memory()
    connect(trust=OWNER.public, keys=keys).close()
    server.serve(package_of(release=2))
    with connect(trust=OWNER.public, keys=keys) as client:
        assert client.manifest.release == 2
    assert capsys.readouterr().err == ""


def test_a_trusted_digest_leaves_nothing_on_the_disk(
    connect: Connect, server: FakeServer, home: Path
) -> None:
    before = sorted(home.rglob("*"))
    with connect(trust=server.package.digest, keys=KeyStore.in_memory()) as client:
        assert client.package_digest == server.package.digest
    assert sorted(home.rglob("*")) == before


def test_requests_are_bound_to_the_package_that_was_verified(
    connect: Connect, server: FakeServer, protection: Any
) -> None:
    with connect(trust="first-use"):
        assert protection.packages == [server.package.digest]


def test_a_package_can_be_trusted_itself_and_as_a_file(
    connect: Connect, server: FakeServer, tmp_path: Path
) -> None:
    server.package.save(tmp_path / "m.strongroom", owner=OWNER)
    for trust in (server.package, read(tmp_path / "m.strongroom")):
        with connect(trust=trust) as client:
            assert client.plan == server.package.manifest.plan


def test_another_package_than_the_trusted_one_is_refused(
    connect: Connect, server: FakeServer
) -> None:
    error = _refused(lambda: connect(trust="sha256:" + "0" * 64))
    assert error.code == "SR-PACKAGE-DIGEST"
    assert server.package.digest in str(error)
    assert [request.method for request in server.requests] == ["GET"]


@pytest.mark.parametrize(
    ("trust", "code"),
    [
        ("", "SR-IDENTITY-FILE"),
        ("sha256:1234", "SR-PACKAGE-DIGEST"),
        ("SHA256:" + "0" * 64, "SR-IDENTITY-FILE"),
        ("identity:1234", "SR-IDENTITY-FILE"),
        ("no-such-file.pub", "SR-IDENTITY-FILE"),
        (None, "SR-IDENTITY-FILE"),
        (7, "SR-IDENTITY-FILE"),
    ],
)
def test_what_can_not_be_trusted_is_refused_before_the_server_is_asked(
    connect: Connect, server: FakeServer, trust: Any, code: str
) -> None:
    assert _refused(lambda: connect(trust=trust)).code == code
    assert server.requests == []


def test_first_use_pins_the_owner_and_says_so_once(
    connect: Connect, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = KeyStore.in_memory()
    connect(trust="first-use", keys=keys).close()
    said = capsys.readouterr()
    assert OWNER.fingerprint in said.err
    assert said.out == ""
    server.serve(package_of(release=2))
    connect(trust="first-use", keys=keys).close()
    assert capsys.readouterr().err == ""
    assert [pin.owner for pin in keys.pins.entries()] == [OWNER.fingerprint]


def test_after_first_use_another_owner_is_refused(connect: Connect, server: FakeServer) -> None:
    keys = KeyStore.in_memory()
    connect(trust="first-use", keys=keys).close()
    other = identity("other")
    server.serve(package_of(other), owner=other)
    assert _refused(lambda: connect(trust="first-use", keys=keys)).code == "SR-PACKAGE-OWNER"
    connect(trust=server.package.digest, keys=keys).close()
    connect(trust=other.public, keys=keys).close()


def test_the_pin_is_kept_between_processes(
    connect: Connect, server: FakeServer, home: Path
) -> None:
    connect(trust="first-use", keys=None, passphrase="p").close()
    other = identity("other")
    server.serve(package_of(other), owner=other)
    error = _refused(lambda: connect(trust="first-use", keys=None, passphrase="p"))
    assert error.code == "SR-PACKAGE-OWNER"
    assert (home / "known_owners.json").exists()


def test_a_plan_below_the_policy_is_refused_and_nothing_of_it_remembered(
    connect: Connect, server: FakeServer, protection: Any
) -> None:
    keys = KeyStore.in_memory()
    server.serve(package_of(release=9))
    protection.problem = PolicyError("SR-PLAN-FLOODING", "floods too little")
    assert _refused(lambda: connect(trust="first-use", keys=keys)).code == "SR-PLAN-FLOODING"
    assert keys.pins.entries() == ()
    assert keys.seen.release(OWNER.fingerprint, "m") == 0
    assert keys.seen.key_configuration(server.host.server.fingerprint) == 0


def test_the_digest_is_taken_here_not_from_the_server(connect: Connect, server: FakeServer) -> None:
    trusted = server.package.digest
    server.serve(package_of(payload={"model": b"other"}))
    original = server.metadata

    def lying() -> Any:
        answer = original()
        answer["parameters"]["package_digest"] = trusted
        return answer

    server.metadata = lying  # type: ignore[method-assign]
    for trust in (trusted, *_everywhere(server)):
        assert _refused(lambda trust=trust: connect(trust=trust)).code == "SR-SERVER-PROTOCOL"


def _serve_manifest(server: FakeServer, data: bytes) -> None:
    """A manifest that its owner signed, whatever it is."""
    proof = server.host.proof()
    signatures = canonical_json(OWNER.sign("manifest", data)).decode()
    changed = msgspec.structs.replace(proof, manifest=data.decode(), signatures=signatures)
    parameters = msgspec.to_builtins(changed) | {"package_digest": digest(data)}

    def before(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200, content=json.dumps({"name": "m", "parameters": parameters}).encode()
        )

    server.before = before


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "{" * 100_000, '{"format_version":1}'])
def test_what_an_owner_signed_and_is_no_manifest_is_refused_and_not_pinned(
    connect: Connect, server: FakeServer, text: str
) -> None:
    keys = KeyStore.in_memory()
    _serve_manifest(server, text.encode())
    for trust in (OWNER.public, "first-use"):
        assert _refused(lambda trust=trust: connect(trust=trust)).code == "SR-PACKAGE-FILE"
    assert keys.pins.entries() == ()


def test_a_manifest_of_a_newer_version_says_so(connect: Connect, server: FakeServer) -> None:
    _serve_manifest(server, canonical_json({"format_version": 9}))
    assert _refused(lambda: connect(trust=OWNER.public)).code == "SR-PACKAGE-VERSION"


def test_a_white_space_more_is_another_package(connect: Connect, server: FakeServer) -> None:
    _serve_manifest(server, canonical_json(server.package.manifest) + b" ")
    assert _refused(connect).code == "SR-PACKAGE-DIGEST"
    assert _refused(lambda: connect(trust=OWNER.public)).code == "SR-PACKAGE-FILE"


def test_the_model_has_the_name_that_was_asked_for(connect: Connect, server: FakeServer) -> None:
    server.serve(package_of(name="other"))
    for trust in _everywhere(server):
        error = _refused(lambda trust=trust: connect(trust=trust))
        assert error.code == "SR-PACKAGE-OWNER"
        assert "the model other" in str(error)


def test_releases_grants_and_keys_are_remembered_once_they_were_used(
    connect: Connect, server: FakeServer
) -> None:
    keys = KeyStore.in_memory()
    server.serve(package_of(release=4), generation=3, counter=77)
    connect(trust=OWNER.public, keys=keys).close()
    assert keys.seen.release(OWNER.fingerprint, "m") == 4
    assert keys.seen.grant_log(server.package.digest) == (3, 0)
    assert keys.seen.key_configuration(server.host.server.fingerprint) == server.host.counter


def test_what_the_owner_saw_of_the_grant_log_does_not_shut_out_its_servers(
    connect: Connect, server: FakeServer
) -> None:
    keys = KeyStore.in_memory()
    keys.seen.saw_grant_log(server.package.digest, 1, 5)
    connect(trust=OWNER.public, keys=keys).close()
    assert keys.seen.grant_log(server.package.digest) == (1, 5)


def test_a_digest_names_its_release_itself(connect: Connect, server: FakeServer) -> None:
    keys = KeyStore.in_memory()
    old = server.package
    server.serve(package_of(release=2))
    connect(trust=OWNER.public, keys=keys).close()
    server.serve(old)
    connect(trust=old.digest, keys=keys).close()
    assert _refused(lambda: connect(trust=OWNER.public, keys=keys)).code == "SR-PACKAGE-ROLLBACK"


def test_a_grant_that_ends_is_good_until_it_does(connect: Connect, server: FakeServer) -> None:
    host = server.host
    server.serve(
        server.package, time=host.time - timedelta(hours=1), lasts=timedelta(hours=1, minutes=1)
    )
    connect(trust=OWNER.public).close()
    server.serve(server.package, time=host.time - timedelta(hours=2), lasts=timedelta(hours=1))
    for trust in _everywhere(server):
        assert _refused(lambda trust=trust: connect(trust=trust)).code == "SR-PACKAGE-EXPIRED"
    assert _nothing_sent(server)


def test_failures_name_the_model_and_the_server(connect: Connect) -> None:
    error = _refused(lambda: connect(trust=identity("other").public))
    assert "model m at http://127.0.0.1:8443" in str(error)
