"""A member proves a share to who asked for it, once it was given, and to nobody else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from member_world import (
    ACCESS,
    CLIENT,
    IDENTITIES,
    LIMBS,
    OTHER,
    POSITIONS,
    SECRETS,
    SERVER,
    Asked,
    Member,
    ask,
    evaluated,
    number_proof,
    number_share,
    policy,
)

from strongroom.canonical import digest
from strongroom.engine.threshold import Proof
from strongroom.errors import CommitteeError, StrongroomError
from strongroom.keys.one_time_keys import OneTimeKey
from strongroom.keys.query import SignedQuery
from strongroom.member.policy import ClientRule
from strongroom.member.proof_request import (
    decode_proof_answer,
    decode_proof_request,
    encode_proof_answer,
    encode_proof_request,
)

Start = Callable[..., Member]
STATES = {"vendor": "sha256:" + "4" * 64, "hospital": "sha256:" + "5" * 64}


def refusal(member: Member, asked: Asked, **options: Any) -> tuple[str, str]:
    with pytest.raises(StrongroomError) as error:
        member.prove(asked, **options)
    assert "\n" not in str(error.value)
    return error.value.code, error.value.message


def test_a_share_that_was_given_is_proved_to_who_asked(member: Start) -> None:
    asked = ask(1, results=2)
    for name in asked.query.query.active:
        one = member(name)
        words = one.answer(asked).open(asked.key, [(LIMBS, POSITIONS)] * 2)
        for index in (0, 1):
            sealed = one.prove(asked, index)
            sealed.verify(IDENTITIES[name].public, name, asked.demand(index).demand)
            assert sealed.state == one.state
            assert (len(one.shown), len(sealed.open(asked.key))) == (32_000, 768)
            kept = one.given.find(asked.query.query.digest, index)
            assert kept is not None
            assert (kept.words == words[index]).all()
        assert one.ledger.spent == 2


def test_the_same_demand_gets_the_same_proof_and_every_result_another(member: Start) -> None:
    one, asked, later = member(), ask(1, results=2), ask(2)
    one.answer(asked)
    one.answer(later)

    def both_halves(of: Asked, index: int = 0) -> tuple[bytes, bytes]:
        salts = one.prove(of, index).open(of.key)
        return one.shown, salts

    first = both_halves(asked)
    # However often, and whether the share is asked for again between.
    one.answer(asked)
    assert all(both_halves(asked) == first for _ in range(5))
    for other in (both_halves(asked, 1), both_halves(later)):
        assert all(one != another for one, another in zip(first, other, strict=True))


def test_a_machine_that_computes_wrongly_once_shows_no_second_proof(
    member: Start, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two, of which the open rounds differ, anybody computes the parts."""
    one, asked = member(), ask(1)
    one.answer(asked)
    one.prove(asked)
    prove = one.prover._prove

    def faulty(*args: Any, **options: Any) -> Proof:
        proof = prove(*args, **options)
        return Proof(bytes([proof.shown[0] ^ 1]) + proof.shown[1:], proof.salts)

    monkeypatch.setattr(one.prover, "_prove", faulty)
    code, text = refusal(one, asked)
    assert (code, "differs from the one before" in text) == ("SR-MEMBER-SHARE", True)
    assert any("PROOF WITHHELD" in record.getMessage() for record in caplog.records)
    monkeypatch.setattr(one.prover, "_prove", prove)
    assert refusal(one, asked)[0] == "SR-MEMBER-QUERY"  # forgotten for good


def test_who_carries_a_proof_can_not_test_guesses_of_words_with_it(member: Start) -> None:
    """The half that says how is sealed; without it nobody can judge the other."""
    one, asked = member(), ask(1)
    one.answer(asked)
    sealed = one.prove(asked)
    salts = sealed.open(asked.key)
    body = encode_proof_answer(sealed, one.shown)
    assert salts[:32] not in body
    with pytest.raises(CommitteeError):
        sealed.open(OneTimeKey())


def test_what_is_shown_is_what_was_signed(member: Start) -> None:
    one, asked = member(), ask(1)
    one.answer(asked)
    good = encode_proof_answer(one.prove(asked), one.shown)
    decode_proof_answer(good, "vendor")
    for bad in (b"", b"\0" * 4, b"\xff\xff\xff\xff", good[:-1], good + b"\0", good[4:], good[:50]):
        with pytest.raises(CommitteeError) as error:
            decode_proof_answer(bad, "vendor")
        assert (error.value.code, error.value.member) == ("SR-MEMBER-SHARE", "vendor")


def test_a_demand_by_anybody_but_who_asked_is_refused(member: Start) -> None:
    one, asked = member(), ask(1)
    one.allow(
        policy(clients=(ClientRule(CLIENT.public.to_text()), ClientRule(OTHER.public.to_text())))
    )
    one.answer(asked)
    for stranger in (OTHER, SERVER, IDENTITIES["hospital"]):
        code, message = refusal(one, asked, demand=asked.demand(client=stranger))
        assert (code, "who asked" in message) == ("SR-MEMBER-QUERY", True)
    # Nor with a query of its own over the same rows, which this member never answered.
    theirs = ask(1, OTHER, request=asked.request)
    code, message = refusal(one, theirs, demand=theirs.demand(client=OTHER))
    assert (code, "is remembered" in message) == ("SR-MEMBER-QUERY", True)
    assert one.prove(asked).member == "vendor"


def test_a_client_that_was_removed_gets_no_more_proofs(member: Start) -> None:
    one, asked = member(), ask(1)
    one.answer(asked)
    one.allow(policy(clients=()))
    assert refusal(one, asked)[0] == "SR-MEMBER-POLICY"


def test_a_demand_about_another_query_result_or_place_is_refused(member: Start) -> None:
    one, asked, other = member(), ask(1), ask(2)
    one.answer(asked)
    assert refusal(one, other)[0] == "SR-MEMBER-QUERY"
    assert refusal(one, asked, index=1)[0] == "SR-MEMBER-QUERY"
    for changes in (
        {"query": other.query.query.digest},
        {"result": digest(other.partial)},
        {"state": STATES["vendor"]},
    ):
        assert refusal(one, asked, demand=asked.demand(**changes))[0] == "SR-MEMBER-QUERY"
    # The server brings another result, with a demand that the client signed for that one.
    partial = evaluated(b"something else")
    demand = asked.demand(result=digest(partial))
    code, message = refusal(one, asked, demand=demand, partial=partial)
    assert (code, "is remembered" in message) == ("SR-MEMBER-QUERY", True)
    assert refusal(one, asked, partial=partial)[0] == "SR-MEMBER-QUERY"


def test_a_query_that_was_changed_is_refused(member: Start) -> None:
    one, asked, thief = member(), ask(1), OneTimeKey()
    one.answer(asked)
    altered = SignedQuery(
        msgspec.structs.replace(asked.query.query, target=thief.public), asked.query.signatures
    )
    assert refusal(one, asked, query=altered)[0] == "SR-MEMBER-QUERY"
    demand = asked.demand(query=altered.query.digest)
    assert refusal(one, asked, query=altered, demand=demand)[0] == "SR-MEMBER-QUERY"


def test_a_share_that_was_not_given_is_not_proved(member: Start) -> None:
    one, asked = member(), ask(1)
    code, message = refusal(one, asked)
    assert (code, "are not proved any more" in message) == ("SR-MEMBER-QUERY", True)

    def none(*_: Any, **__: Any) -> Any:
        raise ValueError("no memory")

    failing = member("hospital", make_share=none)
    with pytest.raises(ValueError, match="no memory"):
        failing.answer(asked)
    assert refusal(failing, asked)[0] == "SR-MEMBER-QUERY"


def test_after_a_restart_it_says_so_in_one_line(member: Start) -> None:
    one, asked = member(), ask(1)
    first = one.answer(asked)
    one.restart()
    assert one.answer(asked) == first  # the ledger has the sealed share, and no words
    code, message = refusal(one, asked)
    assert code == "SR-MEMBER-QUERY"
    assert "before this member was started or its parts refreshed, or long ago, are not" in message


def test_a_server_that_was_caught_gets_no_proofs(member: Start) -> None:
    one, asked = member(), ask(1)
    one.answer(asked)
    one.allow(policy(audit_rate=1.0))
    with pytest.raises(CommitteeError):
        one.answer(ask(2), partial=b"SRRS" + b"w" * 32)
    assert refusal(one, asked)[0] == "SR-MEMBER-AUDIT"


def test_a_member_whose_parts_are_damaged_says_that_it_is_its_own_fault(
    member: Start, caplog: pytest.LogCaptureFixture
) -> None:
    def damaged(parts: Any, c1: bytes, **options: Any) -> Any:
        return number_share([part + 1 for part in parts], c1, **options)

    one, asked = member(make_share=damaged), ask(1)
    one.answer(asked)
    with caplog.at_level(logging.DEBUG), pytest.raises(CommitteeError) as error:
        one.prove(asked)
    assert (error.value.code, error.value.member) == ("SR-MEMBER-SHARE", "vendor")
    assert any(one.levelno == logging.ERROR for one in caplog.records)
    told = str(error.value) + "".join(str(vars(record)) for record in caplog.records)
    assert all(str(secret) not in told for secret in SECRETS.values())
    assert error.value.__cause__ is None
    assert error.value.__context__ is None


def test_no_log_holds_words_or_the_secret_of_a_proof(
    member: Start, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[bytes] = []

    def proof(parts: Any, words: Any, *, secret: bytes, context: bytes) -> Proof:
        seen.extend((words.tobytes(), secret))
        return number_proof(parts, words, secret=secret, context=context)

    one, asked = member(make_proof=proof), ask(1)
    with caplog.at_level(logging.DEBUG):
        one.answer(asked)
        sealed = one.prove(asked)
    written = one.ledger._journal.path.read_bytes()
    logged = "".join(str(vars(record)) for record in caplog.records).encode()
    assert len(seen) == 2
    for canary in seen:
        answer = encode_proof_answer(sealed, one.shown)
        for place in (written, logged, answer, repr(one.prover).encode()):
            assert canary not in place
            assert canary.hex().encode() not in place
    assert "share proved" in [record.message for record in caplog.records]


def test_the_proof_is_bound_to_query_result_place_member_and_state(member: Start) -> None:
    contexts: list[bytes] = []

    def proof(parts: Any, words: Any, *, secret: bytes, context: bytes) -> Proof:
        contexts.append(context)
        return number_proof(parts, words, secret=secret, context=context)

    asked = ask(1, results=2)
    for name, state in STATES.items():
        one = member(name, make_proof=proof, state=state)
        one.answer(asked)
        for index in (0, 1):
            one.prove(asked, index, demand=asked.demand(index, state=state))
        assert state.encode() in contexts[-1]
    assert len(set(contexts)) == 4
    for context in contexts:
        assert asked.query.query.digest.encode() in context
        assert digest(asked.partial).encode() in context


def test_a_member_that_was_not_needed_has_nothing_to_prove(member: Start) -> None:
    one, asked = member("auditor"), ask(1, active=ACCESS.members)
    assert refusal(one, asked)[0] == "SR-MEMBER-QUERY"


def test_a_request_that_is_none_is_refused_in_one_line() -> None:
    asked = ask(1)
    good = encode_proof_request(asked.query, asked.demand(), asked.partial)
    decode_proof_request(good)
    for bad in (b"", b"\0" * 4, b"\xff\xff\xff\xff", good[:-1], good + b"\0", good[4:]):
        with pytest.raises(StrongroomError) as error:
            decode_proof_request(bad)
        assert error.value.code == "SR-REQUEST-FORMAT"
        assert "\n" not in str(error.value)
