"""Attacks of a server, a front before it, or a network on whom a client trusts. Each is refused,
and nothing but the question for the model's metadata has been sent by then.

A client that trusts an owner and one that trusts a digest are attacked alike: what a server shows
has to be whole for both. A digest differs in one thing: it names its release itself, so for it
there is no older release to be shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from model_owner import OWNER
from served_proofs import ProvenHost, identity, package_of
from served_worlds import World, world

from strongroom.canonical import canonical_json
from strongroom.errors import StrongroomError
from strongroom.keys.seen import Seen
from strongroom.keys.serving import issue_configuration, sign_configuration
from strongroom.receipts.proof import Proof

__all__ = ["world"]

ROW = np.array([[1.0, 2.0]])


def _show(world: World, change: Callable[[Proof], Proof]) -> None:
    """Let the server show something else from now on."""
    honest = world.server.host.proof

    def proof() -> Proof:
        return change(honest())

    world.server.host.proof = proof  # type: ignore[method-assign]


def _both_ways(world: World) -> list[dict[str, Any]]:
    return [{"trust": OWNER.public}, {"trust": world.server.package.digest}]


@pytest.mark.parametrize(
    ("missing", "code"),
    [
        ("owner", "SR-PACKAGE-OWNER"),
        ("signatures", "SR-PACKAGE-SIGNATURE"),
        ("authority", "SR-SERVER-KEYS"),
        ("key_configuration", "SR-SERVER-KEYS"),
    ],
)
def test_downgrade_by_leaving_something_out(world: World, missing: str, code: str) -> None:
    original = world.server.metadata

    def stripped() -> dict[str, Any]:
        answer = original()
        del answer["parameters"][missing]
        return answer

    world.server.metadata = stripped  # type: ignore[method-assign]
    for options in [*_both_ways(world), {"trust": "first-use"}]:
        assert world.refused(**options).code == code
    assert world.keys.pins.entries() == ()


def test_plain_model_offered_under_a_protected_name(world: World) -> None:
    def plain(request: httpx.Request) -> httpx.Response:
        tensor = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
        answer = {"name": "m", "platform": "onnxruntime", "inputs": [tensor], "outputs": [tensor]}
        return httpx.Response(200, content=json.dumps(answer).encode())

    world.server.before = plain
    for options in [*_both_ways(world), {"trust": "first-use"}]:
        assert world.refused(**options).code == "SR-SERVER-PROTOCOL"


@pytest.mark.parametrize("algorithm", ["ed25519", "ml_dsa_65"])
def test_one_signature_of_two(world: World, algorithm: str) -> None:
    """The other one is a stranger's; and then it is left out."""

    def swapped(proof: Proof) -> Proof:
        own = json.loads(proof.signatures)
        forged = json.loads(
            canonical_json(identity("stranger").sign("manifest", proof.manifest.encode()))
        )
        mixed = canonical_json(forged | {algorithm: own[algorithm]}).decode()
        return msgspec.structs.replace(proof, signatures=mixed)

    def stripped(proof: Proof) -> Proof:
        own = json.loads(proof.signatures)
        return msgspec.structs.replace(
            proof, signatures=canonical_json({algorithm: own[algorithm]}).decode()
        )

    honest = world.server.host.proof
    for change in (swapped, stripped):
        world.server.host.proof = honest  # type: ignore[method-assign]
        _show(world, change)
        for options in _both_ways(world):
            assert world.refused(**options).code == "SR-PACKAGE-SIGNATURE"


def test_signatures_of_another_purpose(world: World) -> None:
    """What the owner signs for a grant is no signature of a manifest."""

    def change(proof: Proof) -> Proof:
        signatures = OWNER.sign("grant", proof.manifest.encode())
        return msgspec.structs.replace(proof, signatures=canonical_json(signatures).decode())

    _show(world, change)
    for options in _both_ways(world):
        assert world.refused(**options).code == "SR-PACKAGE-SIGNATURE"


def test_other_owner_with_the_same_name(world: World) -> None:
    impostor = identity(OWNER.public.name)
    world.server.serve(package_of(impostor), owner=impostor)
    assert world.refused(trust=OWNER.public).code == "SR-PACKAGE-OWNER"
    # It can't put the owner's identity before a package that the owner never signed either.
    _show(world, lambda proof: msgspec.structs.replace(proof, owner=OWNER.public.to_text()))
    assert world.refused(trust=OWNER.public).code == "SR-PACKAGE-SIGNATURE"


def test_package_of_somebody_else_signed_by_the_owner_that_is_trusted(world: World) -> None:
    """The owner's signature does not make it the owner's, whoever got it."""
    stranger = identity("stranger")
    world.server.serve(package_of(stranger), owner=stranger)

    def change(proof: Proof) -> Proof:
        signatures = OWNER.sign("manifest", proof.manifest.encode())
        return msgspec.structs.replace(
            proof,
            owner=OWNER.public.to_text(),
            signatures=canonical_json(signatures).decode(),
        )

    _show(world, change)
    assert world.refused(trust=OWNER.public).code == "SR-PACKAGE-OWNER"


def test_another_model_of_the_same_owner(world: World) -> None:
    world.server.serve(package_of(name="cheap"))
    assert world.refused(trust=OWNER.public).code == "SR-PACKAGE-OWNER"


def test_older_release_replayed_after_a_newer_one_was_seen(world: World) -> None:
    world.server.serve(package_of(release=2))
    world.connect().close()
    world.server.serve(package_of(release=1))
    assert world.refused().code == "SR-PACKAGE-ROLLBACK"
    assert world.refused(trust="first-use").code == "SR-PACKAGE-ROLLBACK"
    world.server.serve(package_of(release=2))
    world.connect().close()


def test_server_without_a_grant(world: World) -> None:
    """It has the whole package, and the grant to another server."""
    package = world.server.package
    granted = ProvenHost(package).proof()
    world.server.serve(package, server=identity("thief"))
    _show(world, lambda proof: msgspec.structs.replace(proof, authority=granted.authority))
    for options in _both_ways(world):
        assert world.refused(**options).code == "SR-SERVER-KEYS"


def test_server_that_grants_itself(world: World) -> None:
    package, thief = world.server.package, identity("thief")
    forged = ProvenHost(package, owner=thief, server=thief).proof()
    _show(
        world,
        lambda proof: msgspec.structs.replace(
            proof, authority=forged.authority, key_configuration=forged.key_configuration
        ),
    )
    for options in _both_ways(world):
        assert world.refused(**options).code == "SR-PACKAGE-SIGNATURE"


def test_grant_of_another_package(world: World) -> None:
    other = ProvenHost(package_of()).proof()
    _show(world, lambda proof: msgspec.structs.replace(proof, authority=other.authority))
    for options in _both_ways(world):
        assert world.refused(**options).code == "SR-PACKAGE-GRANT"


def test_grant_for_something_else(world: World) -> None:
    """A key broker may hold the file key; it may not serve."""
    world.server.serve(world.server.package, purpose="broker")
    for options in _both_ways(world):
        assert world.refused(**options).code == "SR-PACKAGE-GRANT"


def test_expired_grant(world: World) -> None:
    begun = datetime.now(UTC) - timedelta(days=2)
    world.server.serve(world.server.package, time=begun, lasts=timedelta(days=1))
    for options in _both_ways(world):
        assert world.refused(**options).code == "SR-PACKAGE-EXPIRED"


def test_revoked_server_that_shows_its_old_grant(world: World) -> None:
    """To who has seen the grants after the rotation; nobody else can know."""
    package = world.server.package
    world.server.serve(package, generation=2)
    world.connect().close()
    world.server.serve(package, server=identity("revoked"), generation=1)
    for options in _both_ways(world):
        assert world.refused(**options).code == "SR-PACKAGE-ROLLBACK"


def test_key_configuration_rolled_back(world: World) -> None:
    host = world.server.host
    old = host.proof()
    host.rotate_keys()
    world.connect().close()
    _show(
        world, lambda proof: msgspec.structs.replace(proof, key_configuration=old.key_configuration)
    )
    for options in _both_ways(world):
        assert world.refused(**options).code == "SR-SERVER-KEYS"


def test_front_that_puts_its_own_serving_key(world: World) -> None:
    """Signed by itself; under the server's name; and inside the server's own signed text."""
    front = ProvenHost(world.server.package, server=identity("front"))
    theirs = front.proof().key_configuration

    def named_as_the_server(_: Proof) -> str:
        digest = world.server.package.digest
        configuration = issue_configuration(
            world.server.host.server,
            [front.secrets.key],
            [digest],
            counter=10**6,
            now=datetime.now(UTC),
        )
        return sign_configuration(front.server, configuration)

    def inside(proof: Proof) -> str:
        text = json.loads(proof.key_configuration)
        text["configuration"]["keys"] = json.loads(theirs)["configuration"]["keys"]
        return canonical_json(text).decode()

    honest = world.server.host.proof
    for forge in (lambda proof: theirs, named_as_the_server, inside):
        world.server.host.proof = honest  # type: ignore[method-assign]
        _show(
            world,
            lambda proof, forge=forge: msgspec.structs.replace(
                proof, key_configuration=forge(proof)
            ),
        )
        for options in [*_both_ways(world), {"trust": "first-use"}]:
            assert world.refused(**options).code == "SR-SERVER-KEYS"


def test_key_configuration_of_another_package(world: World) -> None:
    other = ProvenHost(package_of()).proof()
    _show(
        world,
        lambda proof: msgspec.structs.replace(proof, key_configuration=other.key_configuration),
    )
    for options in _both_ways(world):
        assert world.refused(**options).code == "SR-SERVER-KEYS"


def test_key_configuration_from_the_future(world: World) -> None:
    ahead = datetime.now(UTC) + timedelta(minutes=6)
    later = ProvenHost(world.server.package, time=ahead).proof()
    _show(
        world,
        lambda proof: msgspec.structs.replace(proof, key_configuration=later.key_configuration),
    )
    assert world.refused().code == "SR-SERVER-KEYS"


def test_wrong_clock(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is set back, so that an expired grant would hold again."""
    begun = datetime.now(UTC) - timedelta(days=2)
    world.connect().close()
    world.server.serve(world.server.package, time=begun, lasts=timedelta(days=1))
    assert world.refused().code == "SR-PACKAGE-EXPIRED"
    behind = Seen(None, lambda: begun + timedelta(hours=1))
    behind._file = world.keys.seen._file
    monkeypatch.setattr(world.keys, "_seen", behind)
    for options in _both_ways(world):
        assert world.refused(**options).code == "SR-IDENTITY-CLOCK"


def test_other_package_after_the_client_was_opened(world: World) -> None:
    """A running client goes on with the package that it was opened for, or not at all."""
    with world.connect() as client:
        world.server.serve(package_of(release=2))
        with pytest.raises(StrongroomError) as caught:
            client._serving.refresh()
        assert caught.value.code == "SR-PACKAGE-DIGEST"


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "{" * 10_000, '{"kind":"none"}'])
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("owner", "SR-PACKAGE-OWNER"),
        ("signatures", "SR-PACKAGE-SIGNATURE"),
        ("authority", "SR-SERVER-KEYS"),
        ("key_configuration", "SR-SERVER-KEYS"),
    ],
)
def test_malformed_texts(world: World, name: str, code: str, text: str) -> None:
    _show(world, lambda proof: msgspec.structs.replace(proof, **{name: text}))
    assert world.refused().code == code


def test_honest_server_is_accepted_in_both_ways(world: World) -> None:
    """Or the tests above would pass for another reason."""
    for options in _both_ways(world):
        with world.connect(**options) as client:
            assert client.decision_function(ROW).shape == (1,)
