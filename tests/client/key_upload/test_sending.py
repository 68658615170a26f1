"""Key sets from a real client to a real server: once, when they are missing, one at a time."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from key_servers import ROWS, ask, client_process, total_bytes

from strongroom.client.key_spool import KeySpool
from strongroom.errors import ServerError
from strongroom.keys.key_sets import ClientKeySet
from strongroom.package.protected import Package


def test_a_set_is_sent_once_and_grows_by_what_another_model_needs(serve: Any, connect: Any) -> None:
    server = serve()
    with connect(server) as client:
        assert client.key_bytes_sent == total_bytes("m")
        ask(client)
    with connect(server) as client:
        ask(client)
        assert client.key_bytes_sent == 0
    with connect(server, "grown") as client:
        assert client.key_bytes_sent == total_bytes("grown") - total_bytes("m")
        ask(client, "grown")
    server.kill()
    server.start()
    for model in ("m", "grown"):
        with connect(server, model) as client:
            ask(client, model)
            assert client.key_bytes_sent == 0
    assert list((Path(os.environ["STRONGROOM_HOME"]) / "sending").iterdir()) == []


def test_processes_that_send_one_set_at_the_same_time_all_succeed(
    serve: Any, packages: dict[str, Package], connect: Any
) -> None:
    server = serve()
    with connect(server):
        pass  # makes the secret that all share
    with connect(server) as client:
        client.delete_keys()
    processes = [client_process(server, packages["m"].digest, 0.0) for _ in range(3)]
    assert [process.wait(150) for process in processes] == [0, 0, 0]
    for process in processes:
        process.communicate()


def test_keys_that_were_evicted_are_sent_again_by_themselves(serve: Any, connect: Any) -> None:
    server = serve()
    with connect(server) as client, connect(server) as other:
        ask(client)
        other.delete_keys()
        ask(client)
        assert client.key_bytes_sent == 2 * total_bytes()
        ask(client)
        assert client.key_bytes_sent == 2 * total_bytes()


def test_a_server_that_always_misses_keys_is_asked_twice_and_no_more(
    serve: Any, connect: Any
) -> None:
    server = serve()
    asked: list[str] = []

    class Liar(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if not request.url.path.endswith("/infer"):
                return super().handle_request(request)
            asked.append(request.read().hex())
            body = json.dumps({"error": "[SR-KEYS-MISSING] lacks all.", "code": "SR-KEYS-MISSING"})
            return httpx.Response(424, stream=httpx.ByteStream(body.encode()))

    with connect(server, transport=Liar()) as client:
        with pytest.raises(ServerError) as caught:
            client.predict(ROWS)
        assert caught.value.code == "SR-KEYS-MISSING"
        assert client.key_bytes_sent == total_bytes()
    assert len(asked) == 2
    assert asked[0][-100_000:] == asked[1][-100_000:], "the same ciphertext"


def test_only_keys_that_the_model_needs_are_made_whatever_a_server_asks_for(
    serve: Any, connect: Any
) -> None:
    server = serve()
    wanted: list[Any] = []

    class Greedy(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response = super().handle_request(request)
            if not request.url.path.endswith("/missing"):
                return response
            found = json.loads(response.read())
            found["keys"] += [[element, 4] for element in range(3, 99, 2)] + [[0, 4]]
            found["chunk_bytes"] = 2**50
            wanted.append(found)
            return httpx.Response(200, stream=httpx.ByteStream(json.dumps(found).encode()))

    with pytest.raises(ServerError) as caught:
        connect(server, transport=Greedy())
    assert caught.value.code == "SR-REQUEST-SIZE", "chunks are bounded here, too"
    server = serve(key_chunk_bytes=4 << 20)
    with connect(server, transport=Greedy()) as client:
        assert client.key_bytes_sent == total_bytes()


def test_a_refusal_for_lack_of_room_reaches_the_caller(serve: Any, connect: Any) -> None:
    server = serve(key_bytes_per_tenant=500_000)
    with pytest.raises(ServerError) as caught:
        connect(server)
    assert (caught.value.code, caught.value.http_status) == ("SR-KEYS-QUOTA", 413)
    server = serve(key_bytes_total=500_000)
    with pytest.raises(ServerError) as caught:
        connect(server)
    assert (caught.value.code, caught.value.http_status) == ("SR-KEYS-SPACE", 507)


def test_never_more_than_one_key_is_held(
    serve: Any, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    events: list[str] = []
    make = ClientKeySet.evaluation_key

    def evaluation_key(self: ClientKeySet, need: Any) -> bytes:
        events.append("make")
        return make(self, need)

    drop = KeySpool.drop

    def dropped(self: KeySpool, name: str) -> None:
        events.append("sent")
        drop(self, name)

    monkeypatch.setattr(ClientKeySet, "evaluation_key", evaluation_key)
    monkeypatch.setattr(KeySpool, "drop", dropped)
    with connect(server):
        assert events == ["sent", "make", "sent", "make", "sent"]


def test_a_spooled_key_is_read_back_only_whole(tmp_path: Path) -> None:
    spool = KeySpool(tmp_path)
    assert spool.read("a", 3) is None
    assert spool.keep("a", b"key") == b"key"
    assert spool.keep("a", b"yek") == b"key", "the first one counts"
    assert spool.read("a", 3) == b"key"
    (tmp_path / "sending" / "a").write_bytes(bytes(32) + b"key")
    assert spool.read("a", 3) is None
    assert spool.keep("a", b"new") == b"new"
    spool.drop("a")
    assert spool.read("a", 3) is None
    assert KeySpool(None).keep("a", b"key") == b"key"
    assert KeySpool(None).read("a", 3) is None
