"""What an asker takes for its model's committee, and for its members' shares."""

from __future__ import annotations

import hashlib
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "keys" / "committee"))

from small_committees import ENTRY, VENDOR_AND_ONE, Members, identity, proposal_of, run_setup

from strongroom import Identity
from strongroom.client.committees import Queries, fetch_committee
from strongroom.client.shared_asking import SharedAsker
from strongroom.compiler.plan import CommitteeKey
from strongroom.engine import CATALOGUE, SecretKey, catalogued, public_key_to_bytes
from strongroom.errors import CommitteeError, StrongroomError
from strongroom.keys.committee.folder import PUBLIC_FILE, CommitteeFolderWriter
from strongroom.keys.committee.statement import Committee
from strongroom.keys.one_time_keys import OneTimeKey
from strongroom.keys.query import SealedShare, SignedQuery

ASKER = Identity.generate("ward")
PACKAGE, RESULT, OTHER = ("sha256:" + digit * 64 for digit in "123")
STATE = "sha256:" + "4" * 64
WORDS = [np.arange(6, dtype=np.uint64).reshape(2, 3)]


@dataclass
class Shown:
    """A server that shows a committee: a `Transport` as far as that needs one."""

    committee: Committee
    public_key: bytes
    asked: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, limit: int) -> bytes:
        self.asked.append(path)
        content = self.public_key if path.endswith("/public-key") else self.committee.to_bytes()
        assert len(content) <= limit
        return content


@pytest.fixture(autouse=True)
def small_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOGUE, ENTRY.name, ENTRY)


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    with CommitteeFolderWriter(tmp_path / "committee") as writer:
        members = Members(tmp_path, VENDOR_AND_ONE)
        committee = run_setup(members, proposal_of(VENDOR_AND_ONE), sink=writer)
        writer.finish(committee)
    return Shown(committee, (tmp_path / "committee" / PUBLIC_FILE).read_bytes())


def holder(committee: Committee) -> CommitteeKey:
    statement = committee.statement
    return CommitteeKey(committee.digest, statement.public_key, statement.share_budget)


def test_the_committee_that_the_plan_names_is_taken(shown: Shown) -> None:
    transport: Any = shown
    committee, key = fetch_committee(transport, holder(shown.committee))
    assert committee == shown.committee
    assert public_key_to_bytes(key) == shown.public_key


def test_a_server_can_not_put_a_key_of_its_own_in_front_of_an_asker(shown: Shown) -> None:
    named = holder(shown.committee)
    limbs = shown.committee.statement.public_limbs
    own = SecretKey.generate(catalogued(ENTRY.name)).public_key(limbs)
    shown.public_key = public_key_to_bytes(own)
    transport: Any = shown
    with pytest.raises(CommitteeError, match="another public key") as error:
        fetch_committee(transport, named)
    assert error.value.code == "SR-COMMITTEE-MISMATCH"
    # Not even with a plan that names the key, since the members did not sign for it.
    digest = hashlib.sha256(shown.public_key).hexdigest()
    with pytest.raises(CommitteeError, match="another committee"):
        fetch_committee(transport, msgspec.structs.replace(named, public_key=digest))


def test_another_committee_is_not_taken(shown: Shown) -> None:
    transport: Any = shown
    with pytest.raises(CommitteeError, match="another committee"):
        fetch_committee(
            transport, msgspec.structs.replace(holder(shown.committee), committee=OTHER)
        )
    assert not any(path.endswith("public-key") for path in shown.asked)


class Sides:
    """A protection's side that takes any share of two primes and three coefficients."""

    shown_bytes_per_request = words_per_request = 100

    def share_shapes(self, _pending: Any) -> list[tuple[int, int]]:
        return [(2, 3)]


def opened(
    shown: Shown, tmp_path: Path, *changes: tuple[int, dict[str, Any]]
) -> list[list[np.ndarray[Any, Any]]]:
    """What an asker makes of two members' shares, some of them other than they should be."""
    queries = Queries(ASKER, shown.committee, PACKAGE, tmp_path / "asker")
    side: Any = Sides()
    nothing: Any = None
    asker = SharedAsker(nothing, side, nothing, queries, nothing, model="m", receipts=False)
    target = OneTimeKey()
    query = queries.signed(b"rows", 1, target, ("vendor", "hospital"))
    shares = []
    for place, name in enumerate(query.query.active):
        options: dict[str, Any] = {"by": name, "name": name, "result": RESULT, "state": STATE}
        for where, change in changes:
            options |= change if where == place else {}
        asked = options.get("query", query.query)
        shares.append(
            SealedShare.by(
                *(identity(options["by"]), options["name"], asked, options["result"]),
                state=options["state"],
                words=WORDS,
            )
        )
    asker._require(query, tuple(shares))
    return [share.open(target, side.share_shapes(None)) for share in shares]


def test_shares_of_all_members_open(shown: Shown, tmp_path: Path) -> None:
    words = opened(shown, tmp_path)
    assert len(words) == 2
    assert all((its[0] == WORDS[0]).all() for its in words)


@pytest.mark.parametrize(
    "change",
    [
        {"by": "auditor"},
        {"by": "auditor", "name": "auditor"},
        {"result": OTHER},
        {"state": OTHER},
    ],
    ids=["signed by another", "another member", "another result", "parts before a refresh"],
)
def test_a_share_that_does_not_belong_is_not_opened(
    shown: Shown, tmp_path: Path, change: dict[str, Any]
) -> None:
    with pytest.raises(StrongroomError):
        opened(shown, tmp_path, (1, change))


def test_a_share_for_an_earlier_query_is_not_opened(shown: Shown, tmp_path: Path) -> None:
    queries = Queries(ASKER, shown.committee, PACKAGE, tmp_path / "earlier")
    earlier: SignedQuery = queries.signed(b"rows", 1, OneTimeKey(), ("vendor", "hospital"))
    with pytest.raises(CommitteeError) as error:
        opened(shown, tmp_path, (1, {"query": earlier.query}))
    assert error.value.code == "SR-MEMBER-SHARE"
    assert error.value.member == "hospital"


def test_members_that_failed_are_asked_last(shown: Shown, tmp_path: Path) -> None:
    queries = Queries(ASKER, shown.committee, PACKAGE, tmp_path / "asker")
    sets = [("vendor", "hospital"), ("vendor", "auditor")]
    assert list(queries.active_sets()) == sets
    queries.failed("hospital")
    assert list(queries.active_sets()) == sets[::-1]


def test_a_member_that_did_not_prove_its_share_stays_the_last(
    shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = Queries(ASKER, shown.committee, PACKAGE, tmp_path / "asker")
    sets = [("vendor", "hospital"), ("vendor", "auditor")]
    queries.unproved("hospital")
    queries.failed("hospital")
    now = time.monotonic()
    monkeypatch.setattr("strongroom.client.committees.time.monotonic", lambda: now + 10**6)
    assert list(queries.active_sets()) == sets[::-1]
