"""The endpoints of key sets, over real connections to a real server."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from key_models import PARAMETERS, needs

from strongroom.engine import SecretKey, catalogued, switching_key_from_bytes
from strongroom.keys.key_sets import ClientKeySet
from strongroom.keys.server_objects import object_sizes
from strongroom.server.tokens import create_token

Server = Any


@pytest.fixture(scope="module")
def server(start: Callable[..., Server]) -> Server:
    return start(
        loader="key_models:open_model",
        packages=["rotating"],
        workers=2,
        key_chunk_bytes=100_000,
        read_timeout_seconds=2,
    )


@pytest.fixture
def source() -> ClientKeySet:
    return ClientKeySet(SecretKey.generate(catalogued(PARAMETERS)), needs(1))


def path_of(source: ClientKeySet) -> str:
    return f"/v2/keys/{PARAMETERS}/{source.identifier.hex()}"


def missing(server: Server, source: ClientKeySet, *steps: int, client: Any = None) -> Any:
    wanted = needs(*steps)
    document = {
        "keys": [[need.element, need.limbs] for need in wanted.keys],
        "public_limbs": wanted.public_limbs,
    }
    response = (client or server.client).post(f"{path_of(source)}/missing", json=document)
    assert response.status_code == 200, response.text
    return response.json()


def headers_of(chunk: bytes, offset: int, size: int) -> dict[str, str]:
    digest = base64.b64encode(hashlib.sha256(chunk).digest()).decode()
    span = f"{offset}-{offset + len(chunk) - 1}" if chunk else "*"
    return {"content-range": f"bytes {span}/{size}", "content-digest": f"sha-256=:{digest}:"}


def put(
    server: Server,
    source: ClientKeySet,
    content: bytes,
    offset: int = 0,
    length: int = 100_000,
    client: Any = None,
    **changes: str,
) -> httpx.Response:
    chunk = content[offset : offset + length]
    headers = headers_of(chunk, offset, len(content)) | {
        name.replace("_", "-"): value for name, value in changes.items()
    }
    name = hashlib.sha256(content).hexdigest()
    return (client or server.client).put(
        f"{path_of(source)}/objects/{name}", content=chunk, headers=headers
    )


def send(server: Server, source: ClientKeySet, content: bytes, client: Any = None) -> None:
    for offset in range(0, len(content), 100_000):
        response = put(server, source, content, offset, client=client)
        assert response.status_code == 200, response.text
    assert response.json() == {"received_bytes": len(content), "stored": True}


def send_all(server: Server, source: ClientKeySet, client: Any = None) -> list[bytes]:
    made = [source.evaluation_key(need) for need in source.needs.keys]
    for content in [source.public_key(), *made]:
        send(server, source, content, client)
    return made


def ask(server: Server, source: ClientKeySet, steps: str, client: Any = None) -> httpx.Response:
    return server.call(source.identifier + steps.encode(), "rotating", client)


def error_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def words_digest(made: list[bytes]) -> bytes:
    found = hashlib.sha256()
    for content in made:
        found.update(switching_key_from_bytes(catalogued(PARAMETERS), content).native.words)
    return found.digest()


def another_tenant(server: Server, tenant: str) -> httpx.Client:
    token = create_token(server.folder / "tokens.json", tenant)
    return httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {token}"})


def test_a_set_is_asked_for_sent_and_used(
    server: Server, source: ClientKeySet, parse_answer: Any
) -> None:
    asked = missing(server, source, 1)
    assert asked == {
        "keys": [[need.element, need.limbs] for need in source.needs.keys],
        "public_limbs": 1,
        "chunk_bytes": 100_000,
    }
    refused = ask(server, source, "1")
    assert error_of(refused) == (424, "SR-KEYS-MISSING")
    assert "the public key, rotation by 1 step." in refused.json()["error"]
    made = send_all(server, source)
    asked = missing(server, source, 1)
    assert (asked["keys"], asked["public_limbs"]) == ([], 0)
    for _ in range(4):
        assert parse_answer(ask(server, source, "1")) == words_digest(made)
    refused = ask(server, source, "1,7")
    assert error_of(refused) == (424, "SR-KEYS-MISSING")
    assert "lacks rotation by 7 steps." in refused.json()["error"]


def test_an_upload_goes_on_where_it_stopped(server: Server, source: ClientKeySet) -> None:
    content = source.evaluation_key(source.needs.keys[0])
    url = f"{path_of(source)}/objects/{hashlib.sha256(content).hexdigest()}"
    assert server.client.get(url).json() == {"received_bytes": 0, "stored": False}
    assert put(server, source, content).json() == {"received_bytes": 100_000, "stored": False}
    assert put(server, source, content, 50_000).json()["received_bytes"] == 150_000
    assert put(server, source, content).json()["received_bytes"] == 150_000
    assert error_of(put(server, source, content, 150_001)) == (409, "SR-KEYS-UPLOAD")
    assert error_of(put(server, source, content, len(content))) == (409, "SR-KEYS-UPLOAD")
    assert server.client.get(url).json() == {"received_bytes": 150_000, "stored": False}
    for offset in range(150_000, len(content), 100_000):
        last = put(server, source, content, offset)
    assert last.json() == {"received_bytes": len(content), "stored": True}
    for offset in (0, len(content)):  # the answer was lost, say
        assert put(server, source, content, offset).json()["stored"]
    assert server.client.get(url).json()["stored"]
    assert missing(server, source, 1)["keys"] == []


def test_a_corrupted_chunk_is_refused_and_can_be_sent_again(
    server: Server, source: ClientKeySet
) -> None:
    content = source.evaluation_key(source.needs.keys[0])
    good = headers_of(content[:100_000], 0, len(content))["content-digest"]
    damaged = b"x" + content[1:]
    name = hashlib.sha256(content).hexdigest()
    response = server.client.put(
        f"{path_of(source)}/objects/{name}",
        content=damaged[:100_000],
        headers=headers_of(damaged[:100_000], 0, len(content)) | {"content-digest": good},
    )
    assert error_of(response) == (400, "SR-KEYS-UPLOAD")
    send(server, source, content)


def test_an_object_that_is_not_its_digest_is_forgotten(
    server: Server, source: ClientKeySet
) -> None:
    content = source.evaluation_key(source.needs.keys[0])
    damaged = content[:-1] + bytes([content[-1] ^ 1])
    name = hashlib.sha256(content).hexdigest()
    url = f"{path_of(source)}/objects/{name}"
    for offset in range(0, len(content), 100_000):
        chunk = damaged[offset : offset + 100_000]
        response = server.client.put(
            url, content=chunk, headers=headers_of(chunk, offset, len(content))
        )
    assert error_of(response) == (400, "SR-KEYS-UPLOAD")
    assert server.client.get(url).json() == {"received_bytes": 0, "stored": False}
    send(server, source, content)


def test_an_object_that_is_no_key_is_forgotten(server: Server, source: ClientKeySet) -> None:
    good = source.evaluation_key(source.needs.keys[0])
    for bad, code in (
        (good[:80] + b"\xff" * (len(good) - 80), "SR-CIPHERTEXT-RANGE"),
        (b"\0" * len(good), "SR-CIPHERTEXT-FORMAT"),
    ):
        for offset in range(0, len(bad), 100_000):
            response = put(server, source, bad, offset)
        assert error_of(response) == (400, code)
        url = f"{path_of(source)}/objects/{hashlib.sha256(bad).hexdigest()}"
        assert server.client.get(url).json() == {"received_bytes": 0, "stored": False}
    assert len(missing(server, source, 1)["keys"]) == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"content_range": ""}, (400, "SR-KEYS-UPLOAD")),
        ({"content_range": "bytes 0-1/2"}, (400, "SR-KEYS-UPLOAD")),
        ({"content_range": "bytes 0-99999/99999"}, (400, "SR-KEYS-UPLOAD")),
        ({"content_range": "bytes 99999-0/200000"}, (400, "SR-KEYS-UPLOAD")),
        ({"content_range": "bytes -0-99999/200000"}, (400, "SR-KEYS-UPLOAD")),
        ({"content_range": "bytes 0-99999/100000"}, (400, "SR-KEYS-UPLOAD")),
        ({"content_range": "bytes 0-99999/" + "9" * 12}, (413, "SR-KEYS-UPLOAD")),
        ({"content_range": "bytes 0-99999/" + "9" * 13}, (400, "SR-KEYS-UPLOAD")),
        ({"content_digest": ""}, (400, "SR-KEYS-UPLOAD")),
        ({"content_digest": "sha-256=:x:"}, (400, "SR-KEYS-UPLOAD")),
        ({"content_digest": "md5=:" + "A" * 43 + "=:"}, (400, "SR-KEYS-UPLOAD")),
        ({"authorization": "Bearer x"}, (401, "SR-SERVER-TOKEN")),
    ],
)
def test_a_chunk_that_breaks_the_protocol_leaves_nothing(
    server: Server, source: ClientKeySet, changes: dict[str, str], expected: tuple[int, str]
) -> None:
    content = source.evaluation_key(source.needs.keys[0])
    assert error_of(put(server, source, content, **changes)) == expected
    assert not list((server.folder / "evaluation-keys").rglob(f"*{source.identifier.hex()}*"))


def test_a_body_that_is_too_large_is_refused_before_it_is_read(
    server: Server, source: ClientKeySet
) -> None:
    content = source.evaluation_key(source.needs.keys[0])
    assert error_of(put(server, source, content, length=100_001)) == (413, "SR-REQUEST-SIZE")
    big = {"keys": [[3, 1]] * 200_000, "public_limbs": 1}
    response = server.client.post(f"{path_of(source)}/missing", json=big)
    assert error_of(response) == (413, "SR-REQUEST-SIZE")


@pytest.mark.parametrize(
    "document",
    [
        "{",
        "[]",
        '{"keys":[[1,2]]}',
        '{"keys":[[-1,2]],"public_limbs":1}',
        '{"keys":[[1,0]],"public_limbs":1}',
        '{"keys":[[1,256]],"public_limbs":1}',
        '{"keys":[1],"public_limbs":1}',
        '{"keys":[],"public_limbs":1,"more":1}',
    ],
)
def test_a_list_of_needs_that_is_none_is_refused(
    server: Server, source: ClientKeySet, document: str
) -> None:
    response = server.client.post(f"{path_of(source)}/missing", content=document)
    assert error_of(response) == (400, "SR-KEYS-UPLOAD")


def test_paths_that_name_no_key_set_lead_nowhere(server: Server) -> None:
    name = "ab" * 32
    for path in (
        f"/v2/keys/{PARAMETERS}/xyz",
        f"/v2/keys/..%2f..%2fetc/{'0' * 32}",
        f"/v2/keys/{PARAMETERS.upper()}/{'0' * 32}",
    ):
        for method, tail in (("GET", f"/objects/{name}"), ("DELETE", ""), ("POST", "/missing")):
            response = server.client.request(method, path + tail, content=b"{}")
            assert response.status_code == 404, (method, path)
    bad = f"/v2/keys/{PARAMETERS}/{'0' * 32}/objects/{'AB' * 32}"
    assert error_of(server.client.get(bad)) == (404, "SR-KEYS-UPLOAD")


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
        other = ClientKeySet(SecretKey.generate(catalogued(PARAMETERS)), needs(1))
        theirs = other.evaluation_key(other.needs.keys[0])
        for content in (other.public_key(), theirs):
            send(server, source, content, thief)
        assert parse_answer(ask(server, source, "1", thief)) == words_digest([theirs])
        assert parse_answer(ask(server, source, "1")) == digest
        assert thief.delete(path_of(source)).status_code == 200
        assert parse_answer(ask(server, source, "1")) == digest


def test_a_tenant_sees_and_removes_its_own_sets(server: Server, source: ClientKeySet) -> None:
    with another_tenant(server, "owner") as owner:
        send_all(server, source, owner)
        listed = owner.get("/v2/keys").json()
        (one,) = listed["key_sets"]
        assert (one["parameters"], one["key_set"]) == (PARAMETERS, source.identifier.hex())
        assert one["keys"] == 1
        assert listed["bytes"] == one["bytes"] > 100_000
        assert listed["bytes_limit"] > listed["bytes"]
        assert owner.delete(path_of(source)).json() == {}
        assert owner.get("/v2/keys").json()["key_sets"] == []
        assert error_of(ask(server, source, "1", owner)) == (424, "SR-KEYS-MISSING")


def test_two_clients_that_send_one_set_at_the_same_time_both_succeed(
    server: Server, source: ClientKeySet, parse_answer: Any
) -> None:
    same = [source.public_key(), source.evaluation_key(source.needs.keys[0])]
    others = [source.public_key(), source.evaluation_key(source.needs.keys[0])]

    def run(objects: list[bytes]) -> None:
        with httpx.Client(base_url=server.url, headers=server.client.headers, timeout=30) as own:
            for content in objects:
                at = 0
                while at < len(content):
                    response = put(server, source, content, at, client=own)
                    if response.status_code == 409 and not missing(server, source, 1)["keys"]:
                        break
                    assert response.status_code == 200, response.text
                    at = response.json()["received_bytes"]

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(run, objects) for objects in (same, same, others)]:
            done.result()
    answer = parse_answer(ask(server, source, "1"))
    assert answer in (words_digest(same[1:]), words_digest(others[1:]))


def test_a_worker_that_is_killed_while_it_takes_a_key_costs_a_repetition(
    server: Server, source: ClientKeySet, parse_answer: Any
) -> None:
    content = source.evaluation_key(source.needs.keys[0])
    stop = threading.Event()
    front = server.process.pid

    def killer() -> None:
        # A few times: workers that are replaced need a moment to become ready.
        for _ in range(200):
            if stop.wait(0.01):
                return
            children = Path(f"/proc/{front}/task/{front}/children").read_text().split()
            for pid in children:
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    continue

    thread = threading.Thread(target=killer)
    for offset in range(0, len(content) - 100_000, 100_000):
        assert put(server, source, content, offset).status_code == 200
    thread.start()
    last = len(content) - len(content) % 100_000
    responses = [put(server, source, content, last) for _ in range(3)]
    stop.set()
    thread.join()
    for response in responses:
        assert response.status_code in (200, 502, 503), response.text
    for _ in range(200):
        response = put(server, source, content, len(content))
        if response.status_code == 200:
            break
    assert response.json()["stored"]
    deadline = time.monotonic() + 10.0
    while "worker replaced" not in server.log() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "worker replaced" in server.log()
    send(server, source, source.public_key())
    assert parse_answer(ask(server, source, "1")) == words_digest([content])


def test_keys_survive_a_restart_and_a_kill(
    start: Callable[..., Server], source: ClientKeySet, parse_answer: Any
) -> None:
    fields = {
        "loader": "key_models:open_model",
        "packages": ["rotating"],
        "key_chunk_bytes": 100_000,
    }
    server = start(**fields)
    made = send_all(server, source)
    later = source.evaluation_key(needs(2).keys[0])
    put(server, source, later)
    for number in (signal.SIGTERM, signal.SIGKILL):
        server.stop(number)
        server = start(folder=server.folder, **fields)
        assert missing(server, source, 1)["keys"] == []
        assert parse_answer(ask(server, source, "1")) == words_digest(made)
    assert put(server, source, later, 100_000).json()["received_bytes"] == 200_000


def test_a_full_quota_evicts_the_tenants_own_oldest_set(
    start: Callable[..., Server], parse_answer: Any
) -> None:
    sources = [ClientKeySet(SecretKey.generate(catalogued(PARAMETERS)), needs(1)) for _ in range(2)]
    sizes = dict(object_sizes(catalogued(PARAMETERS)))
    size = len(sources[0].evaluation_key(sources[0].needs.keys[0]))
    one_set = sizes[size] + len(sources[0].public_key())
    fields = {
        "loader": "key_models:open_model",
        "packages": ["rotating"],
        "key_bytes_per_tenant": one_set + size + sizes[size] - 1,
    }
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


def test_a_server_without_models_that_take_keys_has_no_key_folder(
    start: Callable[..., Server], source: ClientKeySet
) -> None:
    server = start(loader="key_models:open_model", packages=["keyless"])
    assert server.client.get("/v2/keys").json()["key_sets"] == []
    response = put(server, source, source.public_key())
    assert error_of(response) == (404, "SR-KEYS-UPLOAD")
    assert not (server.folder / "evaluation-keys").exists()


def test_mapped_keys_do_not_count_as_a_workers_memory(
    start: Callable[..., Server], source: ClientKeySet, parse_answer: Any
) -> None:
    server = start(
        loader="key_models:open_model",
        packages=["rotating"],
        worker_memory_bytes=16 << 20,
        key_cache_bytes=256 << 20,
    )
    steps = list(range(1, 33))
    grown = ClientKeySet(source._secret, needs(*steps))
    made = send_all(server, grown)
    sizes = dict(object_sizes(catalogued(PARAMETERS)))
    assert sum(sizes[len(content)] for content in made) > 20 << 20
    asked = ",".join(map(str, steps))
    pid = parse_answer(ask(server, grown, asked + " pid"))
    assert parse_answer(ask(server, grown, asked)) == words_digest(made)
    assert parse_answer(ask(server, grown, asked + " pid")) == pid
