"""What members show is held against the parts that they answer for, in their present state."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "keys" / "committee"))
sys.path.insert(0, str(Path(__file__).parents[1] / "member"))

from member_world import ask
from small_committees import (
    ENTRY,
    VENDOR_AND_ONE,
    Members,
    proposal_of,
    run_refresh,
    run_setup,
)

from strongroom import protections
from strongroom.engine import CATALOGUE, threshold
from strongroom.errors import CommitteeError
from strongroom.keys.committee.folder import (
    STATEMENT_FILE,
    CommitteeFolderWriter,
    write_refreshed,
)
from strongroom.keys.committee.statement import Committee
from strongroom.keys.query import Query
from strongroom.keys.share_proofs import ProofDemand, proof_context
from strongroom.protections.interface import SharedResult
from strongroom.server import proof_examiner
from strongroom.server.committee_documents import CommitteeDocuments
from strongroom.server.proof_examiner import ProofExaminer

PARTIAL, SHOWN, EXAMINED = b"partial", b"shown", b"examined"


class Results:
    """Two results in every partial response; the protection of a model that has them."""

    log_sigma = 12.5

    def shared_results(self, plan: Any, *, package: str) -> Results:
        return self

    def results(self, partial: bytes) -> list[SharedResult]:
        positions = np.arange(3, dtype=np.uint32)
        return [SharedResult(partial + bytes([index]), 2, positions) for index in range(2)]


@dataclass
class Engine:
    """Stands for the engine's examination."""

    found: bytes | None = EXAMINED
    unprovable: bool = False
    asked: list[dict[str, Any]] = field(default_factory=list)

    def require_provable(self, check: Any, limbs: int, log_sigma: float) -> None:
        if self.unprovable:
            raise ValueError("refreshed too often")

    def examine(self, check: Any, seed: bytes, _: int, c1: bytes, **options: Any) -> Any:
        self.asked.append({"check": check.to_bytes(), "seed": seed.hex(), "c1": c1} | options)
        found = self.found
        return None if found is None else type("Examined", (), {"to_bytes": lambda _: found})()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    found = Engine()
    manifest = type("Manifest", (), {"plan": None})
    monkeypatch.setitem(CATALOGUE, ENTRY.name, ENTRY)
    monkeypatch.setattr(threshold, "examine", found.examine)
    monkeypatch.setattr(threshold, "require_provable", found.require_provable)
    monkeypatch.setattr(proof_examiner, "decode_manifest", lambda _: manifest)
    monkeypatch.setattr(protections, "by_name", lambda _: Results())
    return found


@dataclass
class Served:
    """A committee's folder at a server, and an examiner of a model under its key."""

    folder: Path
    members: Members
    committee: Committee
    examiner: ProofExaminer

    @classmethod
    def made(cls, folder: Path) -> Served:
        members = Members(folder, VENDOR_AND_ONE)
        with CommitteeFolderWriter(folder / "committee") as writer:
            committee = run_setup(members, proposal_of(VENDOR_AND_ONE), sink=writer)
            writer.finish(committee)
        model: Any = type("Model", (), {"manifest_json": "", "protection": "fhe", "digest": ""})
        documents = CommitteeDocuments(folder / "committee")
        return cls(folder, members, committee, ProofExaminer(model, documents))

    def demand(self, query: Query, **changes: Any) -> ProofDemand:
        fields: dict[str, Any] = {
            "query": query.digest,
            "result": query.digest,
            "state": self.committee.state,
            "index": 1,
        }
        return ProofDemand(**(fields | changes))

    def examined(self, name: str = "vendor", **changes: Any) -> bytes:
        query = ask(1).query.query
        demand = self.demand(query, **changes)
        self.examiner.require_state(demand)
        return self.examiner.examine(query, demand, PARTIAL, name, SHOWN)


@pytest.fixture
def served(engine: Engine, tmp_path: Path) -> Served:
    return Served.made(tmp_path)


def test_a_proof_is_held_against_the_parts_of_its_member_and_its_result(
    served: Served, engine: Engine
) -> None:
    checks = served.members.stores["vendor"].checks(served.committee)
    answerers = served.committee.access.answerers(("vendor", "hospital"))
    query = ask(1).query.query
    assert set(answerers.values()) == {"vendor", "hospital"}
    for name in ("vendor", "hospital"):
        assert served.examined(name) == EXAMINED
        parts = [part for part, who in answerers.items() if who == name]
        asked = engine.asked[-1]
        assert asked["check"] == checks.of(parts).to_bytes()
        assert asked["seed"] == served.committee.statement.seed
        assert (asked["c1"], asked["limbs"], asked["log_sigma"]) == (PARTIAL + b"\1", 2, 12.5)
        assert asked["shown"] == SHOWN
    assert engine.asked[0]["check"] != engine.asked[1]["check"]
    contexts = [one["context"] for one in engine.asked]
    assert contexts[0] != contexts[1]
    assert len(query.active) == len(contexts)


def test_the_context_is_that_of_the_demand_and_the_member(served: Served, engine: Engine) -> None:
    query = ask(1).query.query
    demand = served.demand(query)
    served.examiner.examine(query, demand, PARTIAL, "hospital", SHOWN)
    assert engine.asked[-1]["context"] == proof_context(demand, "hospital")


def test_what_is_no_proof_is_its_members_fault(served: Served, engine: Engine) -> None:
    engine.found = None
    with pytest.raises(CommitteeError) as error:
        served.examined("hospital")
    assert (error.value.code, error.value.member) == ("SR-MEMBER-SHARE", "hospital")


def test_shares_that_can_not_be_proved_are_nobodys_fault(served: Served, engine: Engine) -> None:
    engine.unprovable = True
    with pytest.raises(CommitteeError, match="can't be proved: refreshed too often") as error:
        served.examined()
    assert (error.value.code, error.value.member) == ("SR-COMMITTEE-MISMATCH", None)


def test_a_result_that_there_is_not_is_nobodys_fault(served: Served) -> None:
    with pytest.raises(CommitteeError, match="there are 2") as error:
        served.examined(index=2)
    assert (error.value.code, error.value.member) == ("SR-MEMBER-QUERY", None)


def test_proofs_are_held_against_the_present_parts_and_no_others(
    served: Served, engine: Engine
) -> None:
    before, folder = served.committee, served.folder / "committee"
    old = (folder / STATEMENT_FILE).read_bytes()
    served.examined()
    refreshed = run_refresh(served.members, before)
    # Members are ahead of a server that was not told: no member's fault.
    with pytest.raises(CommitteeError, match="was not told") as error:
        served.examined(state=refreshed.state)
    assert (error.value.code, error.value.member) == ("SR-COMMITTEE-MISMATCH", None)
    write_refreshed(folder, refreshed, served.members.stores["vendor"].checks(refreshed))
    assert (folder / STATEMENT_FILE).read_bytes() != old
    assert served.examined(state=refreshed.state) == EXAMINED
    assert engine.asked[-1]["check"] != engine.asked[0]["check"]
    with pytest.raises(CommitteeError, match="refreshed meanwhile"):
        served.examined(state=before.state)
