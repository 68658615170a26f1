"""Attacks on receipts: of a server or a front on the client that asks for one, and of anybody on
whoever is shown one later."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pytest
from model_owner import OWNER
from served_proofs import HOST, REQUEST, RESPONSE, ProvenHost, identity, package_of
from served_worlds import World, world

from strongroom.canonical import canonical_json, digest
from strongroom.errors import AttestationError, StrongroomError
from strongroom.receipts.receipt import Receipt, verify_receipt
from strongroom.receipts.statement import Statement

__all__ = ["world"]

ROW = np.array([[1.0, 2.0]])
OTHER_ROW = np.array([[3.0, 4.0]])


@pytest.fixture(scope="module")
def host() -> ProvenHost:
    return ProvenHost(package_of())


@pytest.fixture(scope="module")
def receipt(host: ProvenHost) -> Receipt:
    return host.receipt()


def _invalid(text: str, **options: Any) -> str:
    with pytest.raises(AttestationError) as caught:
        verify_receipt(text, options.pop("trust", OWNER.public), **options)
    assert caught.value.code == "SR-RECEIPT-INVALID"
    return caught.value.message


def _with(receipt: Receipt, change: Callable[[dict[str, Any]], None]) -> str:
    fields = json.loads(receipt.text)
    change(fields)
    return canonical_json(fields).decode()


def _signed(host: ProvenHost, receipt: Receipt, **fields: Any) -> str:
    """The receipt with another statement, which the server's own serving key signs."""
    statement = msgspec.structs.replace(receipt.statement, **fields)

    def change(all_fields: dict[str, Any]) -> None:
        signatures = host.secrets.sign("receipt", canonical_json(statement))
        all_fields["statement"] = msgspec.to_builtins(statement)
        all_fields["signatures"] = msgspec.to_builtins(signatures)

    return _with(receipt, change)


def _content(body: bytes) -> bytes:
    """The protected request in the body of a V2 request: it comes last, behind its length."""
    end = next(
        place
        for place in range(len(body) - 4)
        if int.from_bytes(body[place : place + 4], "little") == len(body) - place - 4
    )
    return body[end + 4 :]


# On a client that asks for a receipt.


def _asked(world: World, receipt_of_answer: Callable[[str], str | None]) -> StrongroomError:
    """The error of a call whose answer comes with another receipt than it should."""

    def change(header: dict[str, Any], rest: bytes) -> tuple[dict[str, Any], bytes]:
        shown = receipt_of_answer(header["parameters"].pop("receipt"))
        if shown is not None:
            header["parameters"]["receipt"] = shown
        return header, rest

    with world.connect(receipts=True) as client:
        world.server.change = change
        asked = len(world.server.requests)
        with pytest.raises(StrongroomError) as caught:
            client.decision_function(ROW)
        posts = [one.method for one in world.server.requests[asked:]].count("POST")
        assert posts == 1  # what failed is not asked again
        assert client.receipts == ()
    return caught.value


def test_honest_receipts_are_kept_by_the_client(world: World) -> None:
    with world.connect(receipts=True) as client:
        client.decision_function(np.concatenate([ROW, OTHER_ROW, ROW, ROW]))
        kept = client.receipts
    assert len(kept) == 2
    contents = [_content(body) for body in world.server.bodies[1:]]
    assert [one.statement.request for one in kept] == [digest(content) for content in contents]
    for one, content in zip(kept, contents, strict=True):
        assert verify_receipt(one.text, OWNER.public, request=content) == one
    with world.connect() as client:
        client.decision_function(ROW)
        assert client.receipts == ()


def test_answer_without_a_receipt(world: World) -> None:
    assert _asked(world, lambda text: None).code == "SR-RECEIPT-INVALID"


def test_receipt_of_another_request(world: World) -> None:
    host = world.server.host
    stale = host.statement(b"another request", b"another response")
    assert "request" in str(_asked(world, lambda text: stale))


def test_receipt_of_another_response(world: World) -> None:
    """The server answers, and vouches for something else."""
    seen: list[bytes] = []

    def other(text: str) -> str:
        statement = json.loads(text)["statement"]
        seen.append(text.encode())
        changed = Statement(**statement | {"response": "sha256:" + "0" * 64})
        signatures = world.server.host.secrets.sign("receipt", canonical_json(changed))
        both = {"statement": changed, "signatures": signatures}
        return canonical_json(msgspec.to_builtins(both)).decode()

    assert "another response" in str(_asked(world, other))
    assert seen


def test_response_replayed_to_another_request(world: World) -> None:
    """A front keeps an answer with its receipt, and gives both to the next request."""
    kept: list[tuple[dict[str, Any], bytes]] = []
    with world.connect(receipts=True) as client:

        def keep(header: dict[str, Any], rest: bytes) -> tuple[dict[str, Any], bytes]:
            if not kept:
                kept.append((header, rest))
                return header, rest
            old, body = kept[0]
            return old | {"id": header["id"]}, body

        world.server.change = keep
        client.decision_function(ROW)
        with pytest.raises(AttestationError, match="another request"):
            client.decision_function(OTHER_ROW)


def test_receipt_of_another_package(world: World) -> None:
    host = ProvenHost(package_of())
    host.secrets = world.server.host.secrets
    statement = json.loads(host.statement(REQUEST, RESPONSE))["statement"]

    def other(text: str) -> str:
        own = json.loads(text)["statement"]
        changed = Statement(
            **own | {name: statement[name] for name in ("package", "plan", "guarantee")}
        )
        signatures = host.secrets.sign("receipt", canonical_json(changed))
        both = {"statement": changed, "signatures": signatures}
        return canonical_json(msgspec.to_builtins(both)).decode()

    assert "another package" in str(_asked(world, other))


def test_receipt_of_a_serving_key_that_nobody_published(world: World) -> None:
    front = ProvenHost(world.server.package, server=identity("front"))

    def other(text: str) -> str:
        own = Statement(**json.loads(text)["statement"] | {"key_id": front.secrets.key_id})
        signatures = front.secrets.sign("receipt", canonical_json(own))
        both = {"statement": own, "signatures": signatures}
        return canonical_json(msgspec.to_builtins(both)).decode()

    assert "none of the server's" in str(_asked(world, other))


def test_receipt_of_another_time(world: World) -> None:
    for minutes in (-6, 6):
        moment = datetime.now(UTC) + timedelta(minutes=minutes)

        def other(text: str, moment: datetime = moment) -> str:
            stated = json.loads(text)["statement"]
            changed = Statement(**stated | {"time": moment.strftime("%Y-%m-%dT%H:%M:%SZ")})
            signatures = world.server.host.secrets.sign("receipt", canonical_json(changed))
            both = {"statement": changed, "signatures": signatures}
            return canonical_json(msgspec.to_builtins(both)).decode()

        assert _asked(world, other).code == "SR-RECEIPT-INVALID"


@pytest.mark.parametrize("text", ["", "{}", "null", "{" * 10_000, "x" * 16_000])
def test_what_is_no_receipt(world: World, text: str) -> None:
    assert _asked(world, lambda _: text).code == "SR-RECEIPT-INVALID"


def test_keys_that_were_exchanged_meanwhile_are_fetched_and_verified(world: World) -> None:
    with world.connect(receipts=True) as client:
        world.server.host.rotate_keys()
        client.decision_function(ROW)
        (kept,) = client.receipts
        assert kept.statement.key_id == world.server.host.secrets.key_id
        verify_receipt(kept.text, OWNER.public)
        gets = [request.method for request in world.server.requests].count("GET")
        assert gets == 2


# On whoever is shown a receipt.


@pytest.mark.parametrize("algorithm", ["ed25519", "ml_dsa_65"])
def test_one_signature_of_two(receipt: Receipt, algorithm: str) -> None:
    forged = identity("stranger").sign("receipt", canonical_json(receipt.statement))
    other = msgspec.to_builtins(forged)

    def mixed(fields: dict[str, Any]) -> None:
        fields["signatures"] = other | {algorithm: fields["signatures"][algorithm]}

    def stripped(fields: dict[str, Any]) -> None:
        fields["signatures"] = {algorithm: fields["signatures"][algorithm]}

    assert "not signed" in _invalid(_with(receipt, mixed))
    assert "malformed" in _invalid(_with(receipt, stripped))


@pytest.mark.parametrize("link", ["signatures", "authority", "key_configuration"])
def test_one_signature_of_two_in_the_chain(host: ProvenHost, receipt: Receipt, link: str) -> None:
    def change(fields: dict[str, Any]) -> None:
        text = json.loads(fields["proof"][link])
        place = {"signatures": text, "authority": text.get("entry"), "key_configuration": text}
        target = place[link] if link == "signatures" else place[link]["signatures"]
        target["ml_dsa_65"] = msgspec.to_builtins(identity("stranger").sign("grant", b""))[
            "ml_dsa_65"
        ]
        fields["proof"][link] = canonical_json(text).decode()

    _invalid(_with(receipt, change))


@pytest.mark.parametrize("purpose", ["key-configuration", "manifest", "grant", "head"])
def test_signature_that_was_made_for_something_else(
    host: ProvenHost, receipt: Receipt, purpose: str
) -> None:
    def change(fields: dict[str, Any]) -> None:
        signatures = host.secrets.sign(purpose, canonical_json(receipt.statement))
        fields["signatures"] = msgspec.to_builtins(signatures)

    assert "not signed" in _invalid(_with(receipt, change))


def test_signature_of_the_servers_identity_instead_of_its_serving_key(receipt: Receipt) -> None:
    def change(fields: dict[str, Any]) -> None:
        signatures = HOST.sign("receipt", canonical_json(receipt.statement))
        fields["signatures"] = msgspec.to_builtins(signatures)

    assert "not signed" in _invalid(_with(receipt, change))


def test_receipt_of_an_expired_grant_at_the_time_of_the_answer(host: ProvenHost) -> None:
    """The server went on after its grant had ended, with keys that were still its own."""
    brief = ProvenHost(host.package, lasts=timedelta(hours=1))
    good = brief.receipt(brief.time + timedelta(minutes=59))
    verify_receipt(good.text, OWNER.public)
    late = brief.time + timedelta(minutes=61)
    text = _signed(brief, good, time=late.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert "ended" in _invalid(text)


def test_receipt_of_a_time_at_which_its_key_was_not_in_use(
    host: ProvenHost, receipt: Receipt
) -> None:
    for hours in (-1, 13):
        moment = host.time + timedelta(hours=hours)
        _invalid(_signed(host, receipt, time=moment.strftime("%Y-%m-%dT%H:%M:%SZ")))


def test_times_that_there_are_not(host: ProvenHost, receipt: Receipt) -> None:
    for time in ("2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:61:00Z"):
        _invalid(_signed(host, receipt, time=time))


@pytest.mark.parametrize("name", ["package", "plan", "guarantee"])
def test_receipt_of_another_package_plan_or_guarantee(
    host: ProvenHost, receipt: Receipt, name: str
) -> None:
    text = _signed(host, receipt, **{name: "sha256:" + "0" * 64})
    assert "another package, plan or guarantee" in _invalid(text)


def test_receipt_that_names_another_server(host: ProvenHost, receipt: Receipt) -> None:
    text = _signed(host, receipt, server=identity("stranger").fingerprint)
    assert "another server" in _invalid(text)


def test_other_owner_with_the_same_name(host: ProvenHost) -> None:
    """A whole receipt of an impostor, with a package, a server and keys of its own."""
    impostor = identity(OWNER.public.name)
    forged = ProvenHost(package_of(impostor), owner=impostor).receipt()
    verify_receipt(forged.text, impostor.public)
    assert "signed by" in _invalid(forged.text)


def test_chain_with_a_link_of_another_receipt(host: ProvenHost, receipt: Receipt) -> None:
    other = ProvenHost(package_of(), server=identity("other-host")).receipt()
    for link in json.loads(receipt.text)["proof"]:
        theirs = json.loads(other.text)["proof"][link]
        if theirs == json.loads(receipt.text)["proof"][link]:
            assert link == "owner"
            continue

        def change(fields: dict[str, Any], link: str = link, theirs: str = theirs) -> None:
            fields["proof"][link] = theirs

        _invalid(_with(receipt, change))


def test_chain_with_a_link_left_out(receipt: Receipt) -> None:
    for link in json.loads(receipt.text)["proof"]:

        def without(fields: dict[str, Any], link: str = link) -> None:
            del fields["proof"][link]

        def empty(fields: dict[str, Any], link: str = link) -> None:
            fields["proof"][link] = ""

        _invalid(_with(receipt, without))
        _invalid(_with(receipt, empty))


def test_flipped_bit_anywhere(receipt: Receipt) -> None:
    """Every eleventh character, so that each field is met many times. One thing may be changed: the
    name beside the owner's keys, which is a comment."""
    text = receipt.text
    name = text.index(f' {OWNER.public.name}"', text.index('"owner":"strongroom-identity-1 '))
    comment = range(name + 1, name + 1 + len(OWNER.public.name))
    for place in range(0, len(text), 11):
        flipped = text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :]
        if place not in comment:
            _invalid(flipped)
