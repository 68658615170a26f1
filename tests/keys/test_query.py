"""Queries and shares hold for what they name; counters are used once."""

from __future__ import annotations

import multiprocessing
import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from strongroom.canonical import canonical_json
from strongroom.errors import StrongroomError
from strongroom.keys import query_counters
from strongroom.keys.identity import Identity
from strongroom.keys.one_time_keys import OneTimeKey
from strongroom.keys.query import Query, SealedShare, SignedQuery, milliseconds
from strongroom.keys.query_counters import RUN, QueryCounters

CLIENT, MEMBER, OTHER = (Identity.generate(name) for name in ("ward", "vendor", "other"))
DIGEST = "sha256:" + "1" * 64
RESULT = "sha256:" + "2" * 64
COMMITTEE = "sha256:" + "3" * 64


def query(**changes: Any) -> Query:
    fields = {
        "committee": COMMITTEE,
        "package": DIGEST,
        "client": CLIENT.fingerprint,
        "input": DIGEST,
        "blocks": 2,
        "target": OneTimeKey().public,
        "counter": 1,
        "active": ("vendor", "hospital"),
        "issued": 1_795_000_000_000,
    }
    return Query(**(fields | changes))


def test_a_query_comes_back_from_json_with_its_digest() -> None:
    signed = SignedQuery.by(CLIENT, query())
    again = msgspec.json.decode(canonical_json(signed), type=SignedQuery)
    assert again == signed
    assert again.query.digest == signed.query.digest
    again.verify(CLIENT.public)


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.pop("format"),
        lambda fields: fields.update(format="strongroom-query-2"),
        lambda fields: fields.update(blocks=0),
        lambda fields: fields.update(counter=0),
        lambda fields: fields.update(counter=1.5),
        lambda fields: fields.update(target="AAAA"),
        lambda fields: fields.update(active=[]),
        lambda fields: fields.update(active=["vendor", "vendor"]),
        lambda fields: fields.update(active=["../vendor"]),
        lambda fields: fields.update(client="ward"),
        lambda fields: fields.update(input="sha256:0"),
        lambda fields: fields.update(more=1),
        lambda fields: fields.update(issued=-1),
    ],
)
def test_what_is_no_query_is_not_read(change: Callable[[dict[str, Any]], Any]) -> None:
    fields = msgspec.json.decode(canonical_json(query()))
    change(fields)
    if "format" not in fields:  # the one field that may be left out
        assert msgspec.json.decode(msgspec.json.encode(fields), type=Query).format
        return
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(fields), type=Query)


def test_only_the_asker_signs_and_every_field_counts() -> None:
    with pytest.raises(ValueError, match="another asker"):
        SignedQuery.by(OTHER, query())
    signed = SignedQuery.by(CLIENT, query())
    with pytest.raises(StrongroomError) as error:
        signed.verify(OTHER.public)
    assert error.value.code == "SR-MEMBER-QUERY"
    for changes in ({"counter": 2}, {"blocks": 1}, {"active": ("vendor",)}, {"package": RESULT}):
        other = msgspec.structs.replace(signed.query, **changes)
        assert other.digest != signed.query.digest
        with pytest.raises(StrongroomError):
            SignedQuery(other, signed.signatures).verify(CLIENT.public)
    # A signature for another purpose is none.
    elsewhere = CLIENT.sign("release", canonical_json(signed.query))
    with pytest.raises(StrongroomError):
        SignedQuery(signed.query, elsewhere).verify(CLIENT.public)


def test_a_share_opens_for_its_query_result_and_member_alone() -> None:
    key = OneTimeKey()
    asked = query(target=key.public)
    words = [np.arange(6, dtype=np.uint64).reshape(2, 3) + 2**60, np.ones((2, 1), np.uint64)]
    share = SealedShare.by(MEMBER, "vendor", asked, RESULT, COMMITTEE, words)
    share.verify(MEMBER.public, "vendor", asked.digest, RESULT)
    opened = share.open(key, [(2, 3), (2, 1)])
    assert all((one == other).all() for one, other in zip(opened, words, strict=True))
    stale = msgspec.structs.replace(share, state=DIGEST)
    with pytest.raises(StrongroomError):
        stale.verify(MEMBER.public, "vendor", asked.digest, RESULT)
    for wrong in (
        msgspec.structs.replace(share, member="hospital"),
        msgspec.structs.replace(share, result=DIGEST),
        msgspec.structs.replace(share, query=DIGEST),
        msgspec.structs.replace(share, sealed=share.sealed[:-1] + b"\0"),
    ):
        with pytest.raises(StrongroomError) as error:
            wrong.open(key, [(2, 3), (2, 1)])
        assert error.value.code == "SR-MEMBER-SHARE"
        with pytest.raises(StrongroomError):
            wrong.verify(MEMBER.public, "vendor", asked.digest, RESULT)
    with pytest.raises(StrongroomError, match="bytes"):
        share.open(key, [(2, 3)])
    with pytest.raises(StrongroomError, match="vendor"):
        share.verify(OTHER.public, "vendor", asked.digest, RESULT)


def test_a_target_that_is_no_key_is_refused() -> None:
    with pytest.raises(StrongroomError) as error:
        SealedShare.by(MEMBER, "vendor", query(target=b"\xff" * 1216), RESULT, COMMITTEE, [])
    assert error.value.code == "SR-MEMBER-QUERY"


def test_a_one_time_key_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="one-time"):
        pickle.dumps(OneTimeKey())


def test_milliseconds_need_a_time_zone() -> None:
    assert milliseconds(datetime(1970, 1, 2, tzinfo=UTC)) == 86_400_000
    with pytest.raises(ValueError, match="time zone"):
        milliseconds(datetime(1970, 1, 2))


def _counted(home: Path, count: int, client: str) -> list[int]:
    counters = QueryCounters(home, client, COMMITTEE)
    return [counters.next() for _ in range(count)]


def test_counters_are_used_once_by_threads_and_processes(tmp_path: Path) -> None:
    home = tmp_path / "home"
    counters = QueryCounters(home, CLIENT.fingerprint, COMMITTEE)
    with ThreadPoolExecutor(4) as pool:
        used = list(pool.map(lambda _: counters.next(), range(200)))
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as processes:
        for found in processes.starmap(_counted, [(home, 100, CLIENT.fingerprint)] * 2):
            assert found == sorted(found)
            used += found
    assert len(set(used)) == 400
    assert _counted(home, 1, CLIENT.fingerprint)[0] not in used


def test_committees_and_askers_have_counters_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    first = QueryCounters(tmp_path / "home", CLIENT.fingerprint, COMMITTEE)
    assert [first.next(), first.next()] == [1, 2]
    assert QueryCounters(tmp_path / "home", CLIENT.fingerprint, RESULT).next() == 1
    assert QueryCounters(tmp_path / "home", OTHER.fingerprint, COMMITTEE).next() == 1
    assert QueryCounters(tmp_path / "home", CLIENT.fingerprint, COMMITTEE).next() == RUN + 1


def test_counters_go_on_above_those_of_a_home_that_was_lost(tmp_path: Path) -> None:
    before = _counted(tmp_path / "lost", 3, CLIENT.fingerprint)
    time.sleep(0.2)
    assert min(_counted(tmp_path / "new", 3, CLIENT.fingerprint)) > max(before)


def test_what_is_left_of_a_run_is_not_used_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Members count numbers far below the highest as used up.
    counters = QueryCounters(tmp_path / "home", CLIENT.fingerprint, COMMITTEE)
    first = counters.next()
    monkeypatch.setattr(query_counters, "_FRESH_SECONDS", 0.0)
    time.sleep(0.1)
    assert counters.next() > first + RUN
