"""Key sets are their tenant's: who lists, uses, removes and crowds out what."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import httpx
from key_exchanges import (
    ROTATING,
    Server,
    another_tenant,
    ask,
    client_keys,
    error_of,
    missing,
    path_of,
    put,
    send,
    send_all,
    words_digest,
)
from key_models import PARAMETERS

from strongroom.engine import catalogued
from strongroom.keys.key_sets import ClientKeySet
from strongroom.keys.server_objects import object_sizes


def test_without_a_token_there_is_one_answer_for_any_key_set(
    server: Server, source: ClientKeySet
) -> None:
    send_all(server, source)
    with httpx.Client(base_url=server.url) as nobody:
        answers = [nobody.get("/v2/keys")]
        for path in (path_of(source), f"/v2/keys/{PARAMETERS}/{'0' * 32}", "/v2/keys/x/y"):
            name = "ab" * 32
            answers += [
                nobody.post(f"{path}/missing", json={"keys": [], "public_limbs": 0}),
                nobody.get(f"{path}/objects/{name}"),
                nobody.put(f"{path}/objects/{name}", content=b"x"),
                nobody.delete(path),
            ]
    assert {error_of(answer) for answer in answers} == {(401, "SR-SERVER-TOKEN")}
    assert len({answer.content for answer in answers}) == 1


def test_a_tenant_can_not_use_see_or_overwrite_anothers_keys(
    server: Server, source: ClientKeySet, parse_answer: Any
) -> None:
    made = send_all(server, source)
    digest = words_digest(made)
    name = hashlib.sha256(made[0]).hexdigest()
    with another_tenant(server, "thief") as thief:
        assert missing(server, source, 1, client=thief)["public_limbs"] == 1
        assert error_of(ask(server, source, "1", thief)) == (424, "SR-KEYS-MISSING")
        state = thief.get(f"{path_of(source)}/objects/{name}").json()
        assert state == {"received_bytes": 0, "stored": False}
        assert thief.get("/v2/keys").json()["key_sets"] == []
        # Under the stolen name, keys of their own.
        other = client_keys(1)
        theirs = other.evaluation_key(other.needs.keys[0])
        for content in (other.public_key(), theirs):
            send(server, source, content, thief)
        assert parse_answer(ask(server, source, "1", thief)) == words_digest([theirs])
        assert parse_answer(ask(server, source, "1")) == digest
        assert thief.delete(path_of(source)).status_code == 200
        assert parse_answer(ask(server, source, "1")) == digest


def test_a_tenant_sees_and_removes_its_own_sets(server: Server, source: ClientKeySet) -> None:
    with another_tenant(server, "owner") as owner:
        send(server, source, source.public_key(), owner)
        (begun,) = owner.get("/v2/keys").json()["key_sets"]
        assert (begun["keys"], begun["models"]) == ([], [])
        send_all(server, source, owner)
        listed = owner.get("/v2/keys").json()
        (one,) = listed["key_sets"]
        assert (one["parameters"], one["key_set"]) == (PARAMETERS, source.identifier.hex())
        assert one["keys"] == [[need.element, need.limbs] for need in source.needs.keys]
        assert one["public_limbs"] == [1]
        assert one["models"] == [{"name": "rotating", "version": "1"}]
        assert listed["bytes"] == one["bytes"] > 100_000
        assert listed["bytes_limit"] > listed["bytes"]
        assert owner.delete(path_of(source)).json() == {}
        assert owner.get("/v2/keys").json()["key_sets"] == []
        assert error_of(ask(server, source, "1", owner)) == (424, "SR-KEYS-MISSING")


def test_a_full_quota_evicts_the_tenants_own_oldest_set(
    start: Callable[..., Server], parse_answer: Any
) -> None:
    sources = [client_keys(1), client_keys(1)]
    sizes = dict(object_sizes(catalogued(PARAMETERS)))
    size = len(sources[0].evaluation_key(sources[0].needs.keys[0]))
    one_set = sizes[size] + len(sources[0].public_key())
    fields = ROTATING | {"key_bytes_per_tenant": one_set + size + sizes[size] - 1}
    server = start(**fields)
    with another_tenant(server, "bystander") as bystander:
        theirs = send_all(server, sources[0], bystander)
        send_all(server, sources[0])
        response = put(server, sources[1], sources[1].evaluation_key(sources[1].needs.keys[0]))
        # The first set was sent a moment ago, so it is not evicted yet.
        assert error_of(response) == (413, "SR-KEYS-QUOTA")
        server.stop()
        server = start(folder=server.folder, **fields)
        made = send_all(server, sources[1])
        assert parse_answer(ask(server, sources[1], "1")) == words_digest(made)
        assert error_of(ask(server, sources[0], "1")) == (424, "SR-KEYS-MISSING")
        bystander.base_url = server.url
        assert parse_answer(ask(server, sources[0], "1", bystander)) == words_digest(theirs)
    assert "key set evicted" in server.log()
