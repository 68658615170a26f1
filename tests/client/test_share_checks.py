"""Who answers garbage is named, and nobody else; what the server does is not put on members."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from committee_world import MODULUS, PACKAGE, SCORE, NumberExamined, Pending, Side, World
from small_committees import ENTRY, identity

from strongroom.canonical import digest
from strongroom.client.share_checks import ShareChecks
from strongroom.engine import CATALOGUE, threshold
from strongroom.engine.threshold import Proof
from strongroom.errors import CommitteeError, PolicyError, ServerError, StrongroomError
from strongroom.keys.share_proofs import SealedProof
from strongroom.models.feature_columns import RowRefused

GARBAGE = MODULUS // 2
FIRST, SECOND = ("vendor", "hospital"), ("vendor", "auditor")
OTHER = "sha256:" + "9" * 64


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CATALOGUE, ENTRY.name, ENTRY)
        yield World.made(tmp_path_factory.mktemp("committee"))


@pytest.fixture
def world(setup: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The committee of all tests, with members that behave."""

    monkeypatch.setattr(threshold, "Examined", NumberExamined)
    monkeypatch.setattr(threshold, "examined_bytes", lambda *_: 32)
    return World(setup.committee)


def fault(world: World, rate: float = 1.0, results: int = 1) -> StrongroomError:
    """What is raised, where the other set of members is of no use."""
    world.silent.setdefault("auditor", "member auditor does not answer")
    with pytest.raises(StrongroomError) as error:
        world.asker(rate).ask(results)
    assert "\n" not in str(error.value)
    return error.value


def test_answers_that_can_be_some_are_not_looked_into_unless_it_is_wished(world: World) -> None:
    answered = world.asker().ask(1)
    assert (answered.content, answered.timings.requests) == ([SCORE], 1)
    assert world.demands == []


def test_members_that_answer_right_prove_it(world: World) -> None:
    answered = world.asker(1.0).ask(2)
    assert (answered.content, answered.timings.requests) == ([SCORE] * 2, 3)
    assert world.demands == [(name, index) for index in (0, 1) for name in FIRST]


def test_a_share_of_answers_is_drawn_after_they_came(world: World) -> None:
    asker = world.asker(0.5)
    for _ in range(60):
        asker.ask(1)
    proved = len(world.demands) // 2
    assert 10 < proved < 50
    assert len(world.queries_seen) == 60


@pytest.mark.parametrize("way", ["made up", "of another share"])
@pytest.mark.parametrize("name", FIRST)
def test_a_member_answering_garbage_is_identified_and_the_others_are_not(
    world: World, name: str, way: str
) -> None:
    """Also where the answer looks as if it could be one: only a demand tells."""
    world.adds[name] = 5
    if way == "of another share":
        world.lies.add(name)
    assert world.asker().ask(1).content == [SCORE + 5]
    error = fault(world)
    assert isinstance(error, CommitteeError)
    assert (error.code, error.members) == ("SR-MEMBER-SHARE", (name,))
    assert f"member {name} did not prove its share of the result of query sha256:" in error.message
    assert FIRST[name == FIRST[0]] not in error.message


def test_all_who_answer_garbage_are_named(world: World) -> None:
    world.adds = dict.fromkeys(FIRST, 5)
    error = fault(world)
    assert isinstance(error, CommitteeError)
    assert error.members == FIRST
    assert error.member == "vendor"


def test_when_a_share_is_not_proved_another_set_is_asked(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.adds["hospital"] = 5
    asker = world.asker(1.0)
    answered = asker.ask(2)
    assert answered.content == [SCORE] * 2
    assert answered.timings.requests == 6
    assert world.queries_seen == [FIRST, SECOND]
    both = [(name, index) for index in (0, 1) for name in (*FIRST, *SECOND)]
    assert sorted(world.demands) == sorted(both)
    (warning,) = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert "hospital" in warning
    assert "vendor" not in warning
    asker.ask(1)
    assert world.queries_seen[-1] == SECOND


def test_what_an_asker_does_next_says_nothing_of_the_answer(world: World) -> None:
    """A server that adds to what it shows would see on which side of a bound a score is."""
    for rate, demands in ((0.0, []), (1.0, [(name, 0) for name in FIRST])):
        for world.result_adds in (0, GARBAGE):
            world.queries_seen.clear()
            world.demands.clear()
            try:
                assert world.asker(rate).ask(1).content == [SCORE]
            except StrongroomError:
                assert world.result_adds == GARBAGE
            assert (world.queries_seen, world.demands) == ([FIRST], demands)


@pytest.mark.parametrize("name", FIRST)
def test_an_answer_that_can_not_be_one_is_never_given(world: World, name: str) -> None:
    world.adds[name] = GARBAGE
    error = fault(world, 0.0)
    assert isinstance(error, CommitteeError)
    assert (error.code, error.members) == ("SR-MEMBER-SHARE", ())
    assert "share_checks=1" in error.remedy
    assert world.demands == []
    found = fault(world)
    assert isinstance(found, CommitteeError)
    assert found.members == (name,)


def test_where_no_set_is_left_the_error_names_who_did_not_prove(world: World) -> None:
    world.adds["vendor"] = GARBAGE
    error = fault(world)
    assert isinstance(error, CommitteeError)
    assert (error.code, error.members) == ("SR-MEMBER-SHARE", ("vendor",))
    assert world.queries_seen == [FIRST]  # the other set has the vendor too
    world.adds = {"hospital": GARBAGE, "auditor": GARBAGE}
    world.queries_seen.clear()
    error = fault(world)
    assert isinstance(error, CommitteeError)
    assert (error.code, error.members) == ("SR-MEMBER-SHARE", ("hospital",))
    assert world.queries_seen == [FIRST, SECOND]


def test_when_nobody_answers_the_error_says_why_of_every_set(world: World) -> None:
    def down(*args: Any, **options: Any) -> Any:
        name = msgspec.json.decode(options["query"])["query"]["active"][-1]
        raise CommitteeError(
            "SR-MEMBER-UNREACHABLE", f"the server says: member {name} does not answer", member=name
        )

    world.infer = down  # type: ignore[method-assign]
    with pytest.raises(CommitteeError) as error:
        world.asker().ask(1)
    assert (error.value.code, error.value.members) == (
        "SR-MEMBER-UNREACHABLE",
        ("hospital", "auditor"),
    )
    assert error.value.message == (
        "the server says: member hospital does not answer; of another set of members, "
        "the server says: member auditor does not answer"
    )


def test_a_refused_or_missing_proof_proves_nothing(world: World) -> None:
    world.silent["hospital"] = "member hospital refuses: [SR-MEMBER-QUERY] not remembered"
    error = fault(world)
    assert isinstance(error, CommitteeError)
    assert (error.code, error.members) == ("SR-MEMBER-SHARE", ("hospital",))
    # Whether that is the member's word, nobody knows here.
    assert "no proof came, and the server says: member hospital refuses" in error.message
    world.silent["hospital"] = ""
    assert "the server says: nothing" in fault(world).message


def test_a_member_that_is_busy_is_asked_again_for_the_same_proof(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("strongroom.client.share_checks.time.sleep", pauses.append)
    world.busy["hospital"] = 2
    answered = world.asker(1.0).ask(1)
    assert (answered.content, answered.timings.requests, len(pauses)) == ([SCORE], 4, 2)
    assert world.queries_seen == [FIRST]
    world.busy["hospital"] = 3
    error = fault(world)
    assert isinstance(error, CommitteeError)
    assert error.members == ("hospital",)


def another(**changes: Any) -> Any:
    """A proof by the right member, of something else."""

    def altered(name: str, sealed: SealedProof, query: Any, demand: Any, proof: Any) -> Any:
        if name != "hospital":
            return sealed
        asked = msgspec.structs.replace(demand, **changes)
        return SealedProof.by(identity("hospital"), "hospital", query, asked, proof)

    return altered


def unsigned(name: str, sealed: SealedProof, *_: Any) -> SealedProof:
    if name != "hospital":
        return sealed
    return msgspec.structs.replace(sealed, sealed=sealed.sealed[:-1] + b"\0")


def of_the_vendor(name: str, sealed: SealedProof, query: Any, demand: Any, proof: Any) -> Any:
    if name != "hospital":
        return sealed
    return SealedProof.by(identity("vendor"), "hospital", query, demand, proof)


def other_salts(name: str, sealed: SealedProof, query: Any, demand: Any, proof: Any) -> Any:
    if name != "hospital":
        return sealed
    other = Proof(proof.shown, bytes(768))
    return SealedProof.by(identity("hospital"), "hospital", query, demand, other)


@pytest.mark.parametrize(
    "altered",
    [
        another(query=OTHER),
        another(result=OTHER),
        another(index=1),
        another(state=OTHER),
        of_the_vendor,
        unsigned,
        other_salts,
    ],
    ids=["query", "result", "index", "state", "member", "altered", "salts"],
)
def test_a_proof_of_anything_else_is_none(world: World, altered: Any) -> None:
    world.altered = altered
    error = fault(world)
    assert isinstance(error, CommitteeError)
    assert (error.code, error.members) == ("SR-MEMBER-SHARE", ("hospital",))


def test_when_all_prove_the_fault_is_the_servers(world: World) -> None:
    world.result_adds = GARBAGE
    error = fault(world)
    assert isinstance(error, ServerError)
    assert "all members proved their shares" in error.message
    assert world.queries_seen == [FIRST]  # nothing is asked again


def test_a_row_that_is_too_large_is_still_the_rows_fault_and_says_that_all_proved(
    world: World,
) -> None:
    class Far(Side):
        def open(self, pending: Pending, shown: bytes, words: Any) -> Any:
            raise RowRefused("SR-INPUT-RANGE", 3, " has a score that is too large", "Check it")

        def impossible(self, pending: Pending, shown: bytes, words: Any) -> bool:
            return True

    with pytest.raises(RowRefused, match="too large; all members proved their shares") as error:
        world.asker(1.0, side=Far()).ask(1)
    assert error.value.row == 3
    world.adds["hospital"] = 5
    with pytest.raises(RowRefused):  # the auditor in its place
        world.asker(1.0, side=Far()).ask(1)
    assert world.queries_seen == [FIRST, FIRST, SECOND]


def test_a_server_that_examines_no_proofs_accuses_nobody(world: World) -> None:
    """It was not told of a refresh, or shares of this model can't be proved."""
    world.refuses = CommitteeError("SR-COMMITTEE-MISMATCH", "the server says: refreshed meanwhile")
    error = fault(world)
    assert isinstance(error, CommitteeError)
    assert (error.code, error.members) == ("SR-COMMITTEE-MISMATCH", ())
    assert world.queries_seen == [FIRST]


def test_a_server_that_examines_wrongly_can_withhold_proofs_and_forge_none(world: World) -> None:
    world.examines = lambda examined: bytes(32)
    error = fault(world)
    assert isinstance(error, CommitteeError)
    assert error.members == FIRST
    world.examines = lambda examined: examined[:-1]
    error = fault(world)
    assert (type(error), error.code) == (ServerError, "SR-SERVER-PROTOCOL")


@pytest.mark.parametrize(
    "cut",
    [
        lambda content: b"",
        lambda content: content[:10],
        lambda content: content[:-1],
        lambda content: content + b"x",
        lambda content: content.replace(b'"hospital"', b'"auditor_"'),
        lambda content: content.replace(b'"examined"', b'"examine_"'),
        lambda content: b"[]",
    ],
    ids=["empty", "head", "end", "more", "another member", "another field", "nobody"],
)
def test_an_answer_to_a_demand_that_is_none_is_the_servers_fault(world: World, cut: Any) -> None:
    infer = world.infer

    def altered(*args: Any, **options: Any) -> Any:
        exchange = infer(*args, **options)
        demanded = options.get("proof_demand")
        return replace(exchange, content=cut(exchange.content)) if demanded else exchange

    world.infer = altered  # type: ignore[method-assign]
    error = fault(world)
    assert (type(error), error.code) == (ServerError, "SR-SERVER-PROTOCOL")


def test_words_out_of_range_are_their_senders(world: World) -> None:
    class Strict(Side):
        def impossible(self, pending: Pending, shown: bytes, words: Any) -> bool:
            for place, its in enumerate(words):
                if int(its[0][0, 0]) % 2**64 >= MODULUS:
                    cause = StrongroomError("SR-CIPHERTEXT-RANGE", "too large")
                    raise threshold.ShareError(place, cause)  # type: ignore[arg-type]
            return super().impossible(pending, shown, words)

    given = world._given

    def too_large(name: str, body: bytes, index: int) -> Any:
        return given(name, body, index) + MODULUS * (name in spoils)

    world._given = too_large  # type: ignore[method-assign]
    spoils = {"hospital"}
    assert world.asker(side=Strict()).ask(1).content == [SCORE]
    assert world.queries_seen == [FIRST, SECOND]
    spoils = {"vendor"}
    with pytest.raises(CommitteeError, match="out of range") as error:
        world.asker(side=Strict()).ask(1)
    assert (error.value.code, error.value.members) == ("SR-MEMBER-SHARE", ("vendor",))


def test_a_demand_is_about_the_query_and_result_that_were_answered(world: World) -> None:
    seen: list[tuple[str, str, str]] = []
    proofs = world._proofs

    def noted(signed: Any, body: bytes, demand: Any) -> bytes:
        seen.append((demand.demand.query, demand.demand.result, demand.demand.state))
        assert demand.demand.query == signed.query.digest
        assert signed.query.input == digest(body)
        return proofs(signed, body, demand)

    world._proofs = noted  # type: ignore[method-assign]
    asker = world.asker(1.0)
    asker.ask(1)
    asker.ask(1)
    assert len(set(seen)) == 2
    assert {state for _, _, state in seen} == {world.committee.state}


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    nothing: Any = None
    with pytest.raises(PolicyError) as error:
        ShareChecks(nothing, nothing, model="m", package=PACKAGE, rate=rate)
    assert error.value.code == "SR-POLICY-VALUE"
