"""The keeper: what workers get of it, what the front sees, and that nothing goes on without it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import pty
import re
import secrets
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import keeper_models
import pytest

from strongroom.canonical import canonical_json
from strongroom.errors import ServerError
from strongroom.keys.identity import Identity, PublicIdentity
from strongroom.keys.identity_store import IdentityStore
from strongroom.keys.serving import KeyConfiguration, verify_configuration
from strongroom.package.grants import GrantLog
from strongroom.receipts.authority import verify_authority
from strongroom.receipts.statement import PURPOSE, read_statement
from strongroom.server.clock import Clock
from strongroom.server.keeper_link import KeeperLink
from strongroom.server.keeper_messages import Server, encode, packet_pair
from strongroom.server.replay import create_window
from strongroom.server.tokens import create_token

SOURCES = Path(__file__).parents[2] / "src"
PASSPHRASE = "a passphrase of the server"
NEEDLE_BYTES = 16


@dataclass
class Granted:
    """A home with the server's identity, and the log by which a model is granted to it."""

    home: Path
    server: PublicIdentity
    seeds: bytes
    owner: Identity
    file_key: bytes
    log: Path

    def grant(self, path: Path, *, ends: timedelta | None = None, times: int = 1) -> Path:
        now = datetime.now(UTC)
        log = GrantLog.begin(self.owner, keeper_models.PACKAGE, self.file_key, now=now)
        expires = None if ends is None else now + ends
        for _ in range(times):
            log = log.with_grant(
                self.owner, self.server, "serve", self.file_key, now=now, expires=expires
            )
        keeper_models.write_log(path, log)
        return path

    @property
    def fields(self) -> dict[str, object]:
        return {
            "packages": [str(self.log)],
            "loader": "keeper_models:open_model",
            "identity": "default",
            "home": str(self.home),
        }


@pytest.fixture(scope="module")
def granted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Granted]:
    folder = tmp_path_factory.mktemp("granted")
    identity = IdentityStore.open(folder / "home", passphrase=PASSPHRASE).create("default")
    found = Granted(
        folder / "home",
        identity.public,
        identity.to_bytes(),
        Identity.generate("vendor"),
        secrets.token_bytes(32),
        folder / "log.json",
    )
    found.grant(found.log)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRONGROOM_PASSPHRASE", PASSPHRASE)
        yield found


@pytest.fixture(scope="module")
def kept(start, granted):
    return start(workers=2, **granted.fields)


def parameters(server) -> dict[str, str]:
    response = server.client.get("/v2/models/granted")
    assert response.status_code == 200
    return response.json()["parameters"]


def configuration(server, granted: Granted, least: int = 0) -> KeyConfiguration:
    shown, now = parameters(server), datetime.now(UTC)
    who = verify_authority(shown["authority"], granted.owner.public, keeper_models.PACKAGE, now)
    assert who == granted.server
    return verify_configuration(shown["key_configuration"], who, keeper_models.PACKAGE, now, least)


def ask(server, *words: object) -> bytes:
    response = server.call(" ".join(map(str, words)).encode(), model="granted")
    assert response.status_code == 200, response.text
    end = int(response.headers["inference-header-content-length"])
    return response.content[end + 4 :]


def children(pid: int) -> dict[int, str]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(one): Path(f"/proc/{one}/cmdline").read_text() for one in found}


def keeper_of(server) -> int:
    (found,) = [
        pid for pid, line in children(server.process.pid).items() if "server.keeper" in line
    ]
    return found


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def in_memory(pid: int, needles: dict[str, bytes]) -> set[str]:
    """Which needles are in a process's writable memory."""
    found = set()
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            start, end = (int(text, 16) for text in span.split("-"))
            try:
                memory.seek(start)
                content = memory.read(end - start)
            except (OSError, ValueError, OverflowError):
                continue
            found |= {name for name, needle in needles.items() if needle in content}
    return found


def test_workers_open_what_is_wrapped_to_the_servers_identity(kept, granted) -> None:
    assert ask(kept, "fingerprint") == granted.server.fingerprint.encode()
    assert keeper_models.mixed(ask(kept, "file-key")) == granted.file_key


def test_a_client_can_verify_the_key_configuration_in_the_metadata(kept, granted) -> None:
    found = configuration(kept, granted)
    assert found.packages == (keeper_models.PACKAGE,)
    assert len(found.keys) == 1
    assert abs(found.counter / 1000 - time.time()) < 600


def test_what_is_sealed_to_the_published_key_opens_in_a_worker(kept, granted) -> None:
    key = configuration(kept, granted).key(datetime.now(UTC))
    sealed = key.public.wrap(b"a secret of the asker", b"test")
    assert ask(kept, "open", key.key_id, sealed.hex()) == b"a secret of the asker"
    assert ask(kept, "opening-key", "0" * 16) == b"none"


def test_a_request_is_taken_once_whichever_worker_it_comes_to(kept) -> None:
    identifier, until = secrets.token_hex(16), time.time() + 300
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: ask(kept, "sleep", 0.3), range(2)))
        assert len(set(answers)) == 2, "both workers are needed"
        waiting = pool.submit(ask, kept, "sleep", 0.5)
        time.sleep(0.1)
        first = ask(kept, "seen", identifier, until).split()
        busy = waiting.result().split()[0]
        assert first[0] != busy
        assert first[1] == b"False"
        found = set()
        while len(found) < 2:
            again = pool.submit(ask, kept, "seen", identifier, until)
            also = pool.submit(ask, kept, "seen", identifier, until)
            for pid, seen in (again.result().split(), also.result().split()):
                assert seen == b"True"
                found.add(pid)


def test_of_many_that_take_one_request_at_once_one_is_first(kept) -> None:
    identifier, until = secrets.token_hex(16), time.time() + 300
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(kept, "seen", identifier, until), range(32)))
    assert sum(answer.endswith(b"False") for answer in answers) == 1


def test_a_full_replay_window_takes_no_request(start, granted) -> None:
    server = start(replay_capacity=3, **granted.fields)
    for _ in range(3):
        assert ask(server, "seen", secrets.token_hex(16), time.time() + 300).endswith(b"False")
    response = server.call(
        f"seen {secrets.token_hex(16)} {time.time() + 300}".encode(), model="granted"
    )
    assert (response.status_code, response.json()["code"]) == (503, "SR-REQUEST-BUSY")


def test_metadata_show_new_keys_without_a_restart(start, granted, eventually) -> None:
    server = start(serving_key_seconds=2, serving_key_overlap_seconds=3600, **granted.fields)
    first = configuration(server, granted)
    eventually(lambda: len(configuration(server, granted).keys) > 1)
    second = configuration(server, granted, first.counter)
    assert second.counter > first.counter
    assert first.keys[0] in second.keys
    assert second.keys[0] != first.keys[0]
    for key in (first.keys[0], second.keys[0]):
        assert ask(server, "open", key.key_id, key.public.wrap(b"x", b"test").hex()) == b"x"
    # Receipts are signed by a key that a client with the older configuration knows.
    assert ask(server, "signing-key").decode() in {key.key_id for key in first.keys}


def test_an_answer_comes_with_a_receipt_where_one_is_asked_for(kept, granted, binary) -> None:
    content = b"sleep 0"
    head, body = binary(content, parameters={"binary_data_output": True, "receipt": True})
    response = kept.client.post(
        "/v2/models/granted/infer",
        content=body,
        headers={"inference-header-content-length": str(head)},
    )
    assert response.status_code == 200, response.text
    end = int(response.headers["inference-header-content-length"])
    shown = httpx.Response(200, content=response.content[:end]).json()["parameters"]
    signed = read_statement(shown["receipt"])
    digests = [
        "sha256:" + hashlib.sha256(one).hexdigest()
        for one in (content, response.content[end + 4 :])
    ]
    assert [signed.statement.request, signed.statement.response] == digests
    assert signed.statement.server == granted.server.fingerprint
    key = configuration(kept, granted).by_id(signed.statement.key_id)
    assert key is not None
    key.public.verify(signed.signatures, PURPOSE, canonical_json(signed.statement))


def test_an_answer_without_a_receipt_where_none_is_asked_for(kept) -> None:
    response = kept.call(b"sleep 0", model="granted")
    assert b"receipt" not in response.content


def test_a_server_without_keys_refuses_to_sign(server, binary) -> None:
    head, body = binary(b"pid", parameters={"receipt": True})
    response = server.client.post(
        "/v2/models/obedient/infer",
        content=body,
        headers={"inference-header-content-length": str(head)},
    )
    assert (response.status_code, response.json()["code"]) == (400, "SR-SERVER-KEYS")


def test_a_grant_that_ends_while_it_is_served_ends_the_serving(start, granted, tmp_path) -> None:
    log = granted.grant(tmp_path / "short.json", ends=timedelta(seconds=5))
    server = start(**granted.fields | {"packages": [str(log)]})
    assert server.call(b"sleep 0", model="granted").status_code == 200
    time.sleep(5)
    response = server.call(b"sleep 0", model="granted")
    assert (response.status_code, response.json()["code"]) == (403, "SR-PACKAGE-EXPIRED")


def test_the_front_holds_no_private_key(kept, granted) -> None:
    key = configuration(kept, granted).keys[0]
    serving = keeper_models.mixed(ask(kept, "opening-key", key.key_id))
    assert len(serving) == len(granted.seeds) == 160
    needles = {"file key": granted.file_key, "published key": key.keys[:64]}
    for start in range(0, 160, NEEDLE_BYTES):
        needles[f"identity {start}"] = granted.seeds[start : start + NEEDLE_BYTES]
        needles[f"serving {start}"] = serving[start : start + NEEDLE_BYTES]
    needles["base64"] = needles["published key"]
    private = set(needles) - {"published key", "base64"}
    assert in_memory(kept.process.pid, needles) & private == set()
    found = in_memory(keeper_of(kept), needles)
    assert {"identity 0", "serving 0"} <= found, "the search is blind"
    worker = int(ask(kept, "pid"))
    assert "file key" in in_memory(worker, needles)
    assert not any(name.startswith("identity") for name in in_memory(worker, needles))


def test_workers_do_not_get_the_passphrase(kept) -> None:
    assert ask(kept, "variable", "STRONGROOM_PASSPHRASE") == b"absent"
    assert ask(kept, "variable", "PATH") != b"absent"


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
def test_a_worker_can_make_no_socket(kept, family) -> None:
    assert ask(kept, "socket", int(family)) == str(errno.EPERM).encode()


def test_the_keeper_has_no_network_and_its_memory_is_closed(kept) -> None:
    status = Path(f"/proc/{keeper_of(kept)}/status").read_text()
    assert re.search(r"^Seccomp:\s+2$", status, re.M)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.M)
    limits = Path(f"/proc/{keeper_of(kept)}/limits").read_text()
    assert re.search(r"^Max core file size\s+0\s+0", limits, re.M)
    # A process that is not dumpable belongs to root as far as /proc is concerned.
    assert Path(f"/proc/{keeper_of(kept)}/mem").stat().st_uid == 0


def test_without_its_keeper_a_server_answers_nothing_and_ends(start, granted, eventually) -> None:
    server = start(workers=2, **granted.fields)
    keeper = keeper_of(server)
    assert ask(server, "seen", secrets.token_hex(16), time.time() + 300).endswith(b"False")
    os.kill(keeper, signal.SIGKILL)
    eventually(lambda: gone(keeper))
    identifier = secrets.token_hex(16)
    while server.process.poll() is None:
        try:
            response = server.call(f"seen {identifier} {time.time() + 300}".encode(), "granted")
        except httpx.HTTPError:
            break
        assert response.status_code != 200
        assert response.json()["code"] == "SR-WORKER-LOST"
    assert server.process.wait(30) == 9
    assert "SR-WORKER-LOST" in server.log()


def test_the_keeper_ends_with_the_front(start, granted, eventually) -> None:
    server = start(**granted.fields)
    pids = list(children(server.process.pid))
    assert len(pids) == 2
    server.stop(signal.SIGKILL)
    eventually(lambda: all(gone(pid) for pid in pids))


def test_the_keeper_ends_with_a_server_that_drains(start, granted, eventually) -> None:
    server = start(**granted.fields)
    pids = list(children(server.process.pid))
    assert server.stop() == 0
    assert all(gone(pid) for pid in pids)


def test_a_worker_that_dies_gets_a_link_in_its_place(start, granted, eventually) -> None:
    server = start(**granted.fields)
    identifier, until = secrets.token_hex(16), time.time() + 300
    pid, seen = ask(server, "seen", identifier, until).split()
    os.kill(int(pid), signal.SIGKILL)
    eventually(lambda: gone(int(pid)))
    eventually(lambda: server.call(b"sleep 0", model="granted").status_code == 200)
    again, seen_now = ask(server, "seen", identifier, until).split()
    assert (again != pid, seen, seen_now) == (True, b"False", b"True")


def test_a_wrong_passphrase_is_said_by_the_server(refused, granted, monkeypatch) -> None:
    monkeypatch.setenv("STRONGROOM_PASSPHRASE", "another")
    status, said = refused(**granted.fields)
    assert status == 8
    assert "SR-KEYS-PASSPHRASE" in said
    assert "Traceback" not in said


def test_a_passphrase_is_asked_for_at_the_terminal(granted, tmp_path, monkeypatch) -> None:
    tokens = tmp_path / "tokens.json"
    create_token(tokens, "clinic")
    config = tmp_path / "config.json"
    config.write_text(json.dumps(granted.fields | {"tokens": str(tokens), "port": 0, "workers": 1}))
    environment = os.environ | {"PYTHONPATH": f"{SOURCES}:{Path(__file__).parent}"}
    del environment["STRONGROOM_PASSPHRASE"]
    pid, terminal = pty.fork()
    if pid == 0:
        command = [sys.executable, "-m", "strongroom.server", str(config)]
        os.execve(sys.executable, command, environment)
    try:
        shown = read_until(terminal, b"Passphrase")
        os.write(terminal, PASSPHRASE.encode() + b"\n")
        shown += read_until(terminal, b"serving on http")
        assert PASSPHRASE.encode() not in shown
        os.write(terminal, b"\x03")  # Ctrl-C
        assert os.waitpid(pid, 0)[1] == 0
    finally:
        os.close(terminal)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def read_until(terminal: int, text: bytes) -> bytes:
    shown, deadline = b"", time.monotonic() + 60
    while text not in shown:
        assert time.monotonic() < deadline, shown
        ready, _, _ = select.select([terminal], [], [], 1)
        shown += os.read(terminal, 4096) if ready else b""
    return shown


def test_an_identity_that_is_not_there_is_said_by_the_server(refused, granted) -> None:
    status, said = refused(**granted.fields | {"identity": "nobody"})
    assert "SR-IDENTITY-MISSING" in said
    assert "Traceback" not in said
    assert status == 8


def test_a_clock_that_was_set_back_is_said_by_the_server(refused, granted, tmp_path) -> None:
    home = tmp_path / "home"
    IdentityStore.open(home, passphrase=PASSPHRASE).create("default")
    (home / "seen.json").write_bytes(
        canonical_json(
            {
                "format_version": 1,
                "grant_logs": {},
                "key_configurations": {},
                "latest": "2999-01-01T00:00:00Z",
                "releases": {},
            }
        )
    )
    (home / "seen.json").chmod(0o600)
    status, said = refused(**granted.fields | {"home": str(home)})
    assert "SR-IDENTITY-CLOCK" in said
    assert status == 8


def test_the_keeper_opens_file_keys_and_nothing_else(kept, granted) -> None:
    wrapped = granted.server.wrap(b"something else", b"another context")
    response = kept.call(
        f"unwrap {wrapped.hex()} {b'another context'.hex()}".encode(), model="granted"
    )
    assert response.status_code == 500
    assert response.json()["code"] == "SR-PACKAGE-GRANT"


def test_a_worker_whose_keeper_is_gone_takes_no_request() -> None:
    worker, keeper = packet_pair()
    window = create_window(10, 3_600_000)

    def greet() -> None:
        keeper.recv(100)
        answer = Server("identity:" + "0" * 64, int(time.time() * 1000), False)
        socket.send_fds(keeper, [encode(answer)], [window])

    with ThreadPoolExecutor(1) as pool:
        greeted = pool.submit(greet)
        link = KeeperLink(worker, Clock())
        greeted.result()
    expires = datetime.now(UTC) + timedelta(minutes=5)
    assert link.seen("01" * 16, expires) is False
    assert link.seen("01" * 16, expires) is True
    keeper.close()
    for _ in range(2):
        with pytest.raises(ServerError) as caught:
            link.seen("02" * 16, expires)
        assert caught.value.code == "SR-WORKER-LOST"


def test_a_server_with_an_identity_and_no_granted_model_starts(start, granted) -> None:
    server = start(identity="default", home=str(granted.home))
    assert server.answer(b"pid")


def test_a_server_does_not_go_back_to_an_older_grant_log(start, refused, granted, tmp_path) -> None:
    home = shutil.copytree(granted.home, tmp_path / "home")
    fields = granted.fields | {"home": str(home)}
    newer = granted.grant(tmp_path / "newer.json", times=2)
    assert start(**fields | {"packages": [str(newer)]}).stop() == 0
    status, said = refused(**fields)
    assert "SR-PACKAGE-ROLLBACK" in said
    assert status != 0
    assert start(**fields | {"packages": [str(newer)]}).stop() == 0


def test_a_worker_that_takes_the_place_of_another_does_not_go_back_either(
    start, granted, tmp_path, eventually
) -> None:
    home = shutil.copytree(granted.home, tmp_path / "home")
    path = granted.grant(tmp_path / "log.json", times=2)
    server = start(**granted.fields | {"home": str(home), "packages": [str(path)]})
    pid = int(ask(server, "pid"))
    granted.grant(path)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: "SR-PACKAGE-ROLLBACK" in server.log())
