"""Quotas and eviction: what one tenant's keys can do to another's, which is nothing."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from small_key_sets import (
    NAME,
    UPLOAD_SECONDS,
    client_keys,
    folder_of,
    objects,
    open_store,
    send,
    send_all,
    wanted,
    words,
)

from strongroom.engine import catalogued
from strongroom.errors import KeyStoreError, ServerError
from strongroom.keys import server_store
from strongroom.keys.key_sets import ClientKeySet
from strongroom.keys.server_layout import KeySetFolder, Wanted
from strongroom.keys.server_objects import object_sizes
from strongroom.keys.server_sets import WorkerKeySets
from strongroom.keys.server_store import ServerKeyStore

pytestmark = pytest.mark.usefixtures("small_ring")

Open = Callable[..., ServerKeyStore]


@pytest.fixture
def set_bytes() -> int:
    """What a set of two evaluation keys and a public key takes."""
    sizes = dict(object_sizes(catalogued(NAME)))
    source = client_keys(1)
    return sum(sizes[len(content)] for content in objects(source))


@pytest.fixture
def key_bytes() -> int:
    """What an evaluation key takes on its way and after."""
    size, stored = object_sizes(catalogued(NAME))[-1]
    return size + stored


@pytest.fixture
def opening(tmp_path: Path) -> Iterator[Open]:
    opened: list[ServerKeyStore] = []

    def run(**limits: int) -> ServerKeyStore:
        opened.append(open_store(tmp_path / "keys", **limits))
        return opened[-1]

    yield run
    for store in opened:
        store.close()


def is_whole(store: ServerKeyStore, folder: KeySetFolder, source: ClientKeySet) -> bool:
    return folder.missing(wanted(source.needs)) == Wanted((), 0)


def age(folder: KeySetFolder, seconds: float) -> None:
    moment = time.time() - seconds
    os.utime(folder.used, (moment, moment))


def test_a_full_quota_costs_the_tenants_own_set_that_was_not_used_for_longest(
    opening: Open, set_bytes: int, key_bytes: int
) -> None:
    store = opening(tenant_bytes=3 * set_bytes + key_bytes)
    sources = [client_keys(1) for _ in range(4)]
    folders = [send_all(store, "clinic", source) for source in sources[:3]]
    for folder, seconds in zip(folders, (10, 30, 20), strict=True):
        age(folder, seconds)
    folders.append(send_all(store, "clinic", sources[3]))
    there = [is_whole(store, *pair) for pair in zip(folders, sources, strict=True)]
    assert there == [True, False, True, True]


def test_asking_what_is_missing_counts_as_a_use(
    opening: Open, set_bytes: int, key_bytes: int
) -> None:
    store = opening(tenant_bytes=2 * set_bytes + key_bytes)
    first, second, third = (client_keys(1) for _ in range(3))
    folders = [send_all(store, "clinic", source) for source in (first, second)]
    age(folders[0], 30)
    age(folders[1], 20)
    store.missing(folders[0], wanted(first.needs))
    send_all(store, "clinic", third)
    assert is_whole(store, folders[0], first)
    assert not folders[1].path.exists()


def test_a_tenant_can_not_crowd_out_anothers_keys(
    opening: Open, set_bytes: int, key_bytes: int
) -> None:
    store = opening(tenant_bytes=set_bytes + key_bytes)
    victim = client_keys(1)
    folder = send_all(store, "clinic", victim)
    age(folder, 10**6)
    greedy = [send_all(store, "greedy", client_keys(1)) for _ in range(4)]
    assert is_whole(store, folder, victim)
    assert [one.path.exists() for one in greedy] == [False, False, False, True]
    # Nor does the greedy one's full quota keep the other from growing.
    other = client_keys(1)
    assert is_whole(store, send_all(store, "clinic", other), other)


def test_a_tenant_can_not_see_or_use_anothers_keys_with_a_stolen_identifier(
    opening: Open, tmp_path: Path
) -> None:
    store = opening()
    victim = client_keys(1)
    send_all(store, "clinic", victim)
    stolen = folder_of(store, "thief", victim)
    assert store.missing(stolen, wanted(victim.needs)) == wanted(victim.needs)
    assert store.sets("thief") == []
    content = objects(victim)[1]
    state = store.state(stolen, hashlib.sha256(content).hexdigest())
    assert (state.received_bytes, state.stored) == (0, False)
    sets = WorkerKeySets(tmp_path / "keys", 1 << 30)
    with sets.of("clinic") as keys:  # so that the worker has it open
        keys.open(victim.identifier, victim.needs)
    with sets.of("thief") as keys, pytest.raises(KeyStoreError) as caught:
        keys.open(victim.identifier, victim.needs)
    assert caught.value.code == "SR-KEYS-MISSING"


def test_a_tenant_can_not_overwrite_or_remove_anothers_keys(opening: Open, tmp_path: Path) -> None:
    store = opening()
    victim, thief = client_keys(1), client_keys(1)
    folder = send_all(store, "clinic", victim)
    stolen = folder_of(store, "thief", victim)
    for content in objects(thief):
        send(store, stolen, content)
    sets = WorkerKeySets(tmp_path / "keys", 1 << 30)

    def seen_by(tenant: str) -> dict[int, bytes]:
        with sets.of(tenant) as keys:
            return words(keys.open(victim.identifier, victim.needs).evaluation_keys, [0])

    theirs = seen_by("clinic")
    assert seen_by("thief") != theirs
    store.delete(stolen)
    assert is_whole(store, folder, victim)
    assert seen_by("clinic") == theirs


def test_keys_that_are_being_computed_with_are_not_evicted(
    opening: Open, tmp_path: Path, set_bytes: int, key_bytes: int
) -> None:
    store = opening(tenant_bytes=set_bytes + key_bytes)
    used = client_keys(1)
    folder = send_all(store, "clinic", used)
    age(folder, 10**6)
    sets = WorkerKeySets(tmp_path / "keys", 1 << 30)
    more = client_keys(1)
    with sets.of("clinic") as keys:
        keys.open(used.identifier, used.needs)
        age(folder, 10**6)
        with pytest.raises(ServerError) as caught:
            send_all(store, "clinic", more)
        assert (caught.value.code, caught.value.http_status) == ("SR-KEYS-QUOTA", 413)
        assert is_whole(store, folder, used)
    assert is_whole(store, send_all(store, "clinic", more), more)
    assert not folder.path.exists()


def test_keys_that_are_being_sent_are_not_evicted(
    opening: Open, monkeypatch: pytest.MonkeyPatch, set_bytes: int, key_bytes: int
) -> None:
    store = opening(tenant_bytes=set_bytes + key_bytes)
    first, second = client_keys(1), client_keys(1)
    folder = folder_of(store, "clinic", first)
    with store.sending(folder):
        send_all(store, "clinic", first)
        with pytest.raises(ServerError, match="no old key set"):
            send_all(store, "clinic", second)
    with pytest.raises(ServerError, match="no old key set"):  # the next chunk may be on its way
        send_all(store, "clinic", second)
    assert is_whole(store, folder, first)
    monkeypatch.setattr(server_store, "_PAUSE_SECONDS", 0.0)
    assert is_whole(store, send_all(store, "clinic", second), second)


def test_what_can_not_fit_is_refused_and_costs_nothing(opening: Open, set_bytes: int) -> None:
    store = opening(tenant_bytes=set_bytes)
    small, source = client_keys(), client_keys(1)
    kept = folder_of(store, "clinic", small)
    send(store, kept, small.public_key())
    age(kept, 10**6)
    for content in objects(source)[:2]:
        send(store, folder_of(store, "clinic", source), content)
    with pytest.raises(ServerError) as caught:
        send(store, folder_of(store, "clinic", source), objects(source)[2])
    assert caught.value.code == "SR-KEYS-QUOTA"
    assert kept.path.exists()


def test_a_partial_upload_counts_as_the_key_that_it_will_be(opening: Open, key_bytes: int) -> None:
    store = opening(tenant_bytes=2 * key_bytes)
    folder = folder_of(store, "clinic", client_keys())
    size = object_sizes(catalogued(NAME))[-1][0]
    for name in ("a", "b"):
        store.append(folder, name * 64, size, 0, b"x")
    assert store.sets("clinic")[0].bytes == 2 * key_bytes
    with pytest.raises(ServerError) as caught:
        store.append(folder, "c" * 64, size, 0, b"x")
    assert caught.value.code == "SR-KEYS-QUOTA"
    store.discard(folder, "a" * 64, size)
    store.append(folder, "c" * 64, size, 0, b"x")


def test_an_upload_that_does_not_go_on_expires(opening: Open, key_bytes: int) -> None:
    store = opening(tenant_bytes=key_bytes)
    size = object_sizes(catalogued(NAME))[-1][0]
    stale = store.folder("clinic", NAME, "0" * 32)
    store.append(stale, "a" * 64, size, 0, b"x")
    path = stale.upload("a" * 64, size).path
    fresh = store.folder("clinic", NAME, "1" * 32)
    moment = time.time() - UPLOAD_SECONDS + 60
    os.utime(path, (moment, moment))
    with store.sending(stale), pytest.raises(ServerError):
        store.append(fresh, "b" * 64, size, 0, b"x")
    os.utime(path, (moment - 120, moment - 120))
    with pytest.raises(ServerError):  # it is being sent just now
        store.append(fresh, "b" * 64, size, 0, b"x")
    store._last_sent.clear()
    store.append(fresh, "b" * 64, size, 0, b"x")
    assert not stale.path.exists()


def test_the_servers_disk_limit_refuses_everybody_and_evicts_nobody(
    opening: Open, set_bytes: int, key_bytes: int
) -> None:
    store = opening(total_bytes=2 * set_bytes + key_bytes)
    sources = {tenant: client_keys(1) for tenant in ("clinic", "bank")}
    folders = {tenant: send_all(store, tenant, one) for tenant, one in sources.items()}
    for tenant in ("clinic", "third"):
        with pytest.raises(ServerError) as caught:
            send_all(store, tenant, client_keys(1))
        assert (caught.value.code, caught.value.http_status) == ("SR-KEYS-SPACE", 507)
    assert all(is_whole(store, folders[tenant], one) for tenant, one in sources.items())


def test_a_full_disk_is_said_and_leaves_the_store_as_it_was(
    opening: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opening()
    source = client_keys()
    folder = folder_of(store, "clinic", source)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ServerError) as caught:
            send(store, folder, source.public_key())
        assert caught.value.code == "SR-KEYS-SPACE"
    assert send(store, folder, source.public_key()).stored


def test_a_restarted_server_counts_what_is_there(
    tmp_path: Path, set_bytes: int, key_bytes: int
) -> None:
    first = client_keys(1)
    with closing(open_store(tmp_path)) as store:
        folder = send_all(store, "clinic", first)
        (described,) = store.sets("clinic")
        assert (described.parameters, len(described.keys)) == (NAME, 2)
        assert described.key_set == first.identifier.hex()
    with closing(open_store(tmp_path, total_bytes=set_bytes + key_bytes // 2)) as store:
        assert is_whole(store, folder, first)
        assert store.sets("clinic") == [described]
        with pytest.raises(ServerError) as caught:
            send_all(store, "bank", client_keys(1))
        assert caught.value.code == "SR-KEYS-SPACE"


def test_room_that_was_given_counts_before_the_first_byte_is_on_the_disk(
    opening: Open, set_bytes: int, key_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, quick = (client_keys(1) for _ in range(2))
    public_key, key, *_ = objects(slow)
    store = opening(total_bytes=len(public_key) + key_bytes + key_bytes // 2)
    send(store, folder_of(store, "slow", slow), public_key)
    begun = server_store._append
    refused: list[str] = []

    def append(*arguments: Any) -> None:
        monkeypatch.setattr(server_store, "_append", begun)
        with pytest.raises(ServerError) as caught:
            send(store, folder_of(store, "quick", quick), objects(quick)[1])
        refused.append(caught.value.code)
        begun(*arguments)

    monkeypatch.setattr(server_store, "_append", append)
    send(store, folder_of(store, "slow", slow), key)
    assert refused == ["SR-KEYS-SPACE"]


def test_tenants_that_send_at_the_same_time_do_not_exceed_the_disk_limit(
    opening: Open, set_bytes: int, key_bytes: int
) -> None:
    store = opening(total_bytes=3 * set_bytes)
    sources = {f"tenant-{number}": client_keys(1) for number in range(6)}
    whole: list[str] = []
    refused: list[str] = []

    def run(tenant: str) -> None:
        try:
            send_all(store, tenant, sources[tenant])
        except ServerError as error:
            refused.append(error.code)
        else:
            whole.append(tenant)

    threads = [threading.Thread(target=run, args=(tenant,)) for tenant in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(refused) <= {"SR-KEYS-SPACE"}
    taken = sum(one.bytes for tenant in sources for one in store.sets(tenant))
    assert taken <= 3 * set_bytes
    for tenant in whole:
        assert is_whole(store, folder_of(store, tenant, sources[tenant]), sources[tenant])
