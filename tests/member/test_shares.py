"""What a member gives, and what it refuses: each attack on a request for a share."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
import pytest
from member_world import (
    ACCESS,
    CLIENT,
    COMMITTEE,
    IDENTITIES,
    NOW,
    OTHER,
    PACKAGE,
    SECRETS,
    SERVER,
    Member,
    ask,
    evaluated,
    number_share,
    opened,
    policy,
)

from strongroom.canonical import digest
from strongroom.errors import CiphertextError, StrongroomError
from strongroom.keys.identity import Identity
from strongroom.keys.one_time_keys import OneTimeKey
from strongroom.keys.query import SignedQuery, milliseconds
from strongroom.member.policy import ClientRule, PackageRule
from strongroom.member.share_request import decode_share_request

Start = Callable[..., Member]


def refusal(member: Member, asked: Any, **options: Any) -> tuple[str, str]:
    with pytest.raises(StrongroomError) as error:
        member.answer(asked, **options)
    return error.value.code, error.value.message


def altered(query: SignedQuery, **changes: Any) -> SignedQuery:
    """The same signatures over something else."""
    return SignedQuery(msgspec.structs.replace(query.query, **changes), query.signatures)


def test_the_shares_of_an_allowed_set_add_up_for_the_client_alone(member: Start) -> None:
    asked = ask(1)
    total = np.zeros((2, 3), dtype=np.uint64)
    for name in asked.query.query.active:
        share = member(name).answer(asked)
        result = digest(asked.partial)
        share.verify(IDENTITIES[name].public, name, asked.query.query.digest, result)
        total += opened(share, asked.key)[0]
    assert (total == sum(SECRETS.values())).all()


def test_a_client_with_another_key_learns_nothing(member: Start) -> None:
    asked = ask(1)
    share = member().answer(asked)
    with pytest.raises(StrongroomError, match="does not open"):
        share.open(OneTimeKey(), [(2, 3)])
    other = ask(2)
    with pytest.raises(StrongroomError, match="does not open"):
        share.open(other.key, [(2, 3)])


def test_the_server_substitutes_the_target_key(member: Start) -> None:
    asked, thief = ask(1), OneTimeKey()
    query = altered(asked.query, target=thief.public)
    code, message = refusal(member(), asked, query=query)
    assert (code, "is not the one that" in message) == ("SR-MEMBER-QUERY", True)


@pytest.mark.parametrize(
    "changes",
    [
        {"counter": 2},
        {"active": ("vendor", "auditor")},
        {"blocks": 2},
        {"issued": milliseconds(NOW) + 1},
        {"input": digest(b"SRRQ other rows")},
    ],
)
def test_whatever_of_a_query_is_changed_the_signature_is_not_of_it(
    member: Start, changes: dict[str, Any]
) -> None:
    asked = ask(1, results=changes.get("blocks", 1))
    query = altered(ask(1).query, **changes)
    request = b"SRRQ other rows" if "input" in changes else asked.request
    code, _ = refusal(member(), asked, query=query, request=request, partial=evaluated(request))
    assert code == "SR-MEMBER-QUERY"


def test_a_query_that_somebody_else_signed_is_refused(member: Start) -> None:
    one, asked = member(), ask(1)
    forged = SignedQuery(asked.query.query, ask(1, OTHER).query.signatures)
    assert refusal(one, asked, query=forged)[0] == "SR-MEMBER-QUERY"
    assert refusal(one, ask(1, OTHER))[0] == "SR-MEMBER-POLICY"


def test_the_server_submits_a_weight_and_the_audit_catches_it(member: Start) -> None:
    auditor = member()
    auditor.allow(policy(audit_rate=1.0))
    asked = ask(1)
    weight = b"SRRS" + b"w" * 32
    code, _ = refusal(auditor, asked, partial=weight)
    assert code == "SR-MEMBER-AUDIT"
    # From then on the server gets nothing, not even what is right, and not after a restart.
    assert refusal(auditor, asked)[0] == "SR-MEMBER-AUDIT"
    auditor.restart()
    assert refusal(auditor, ask(2))[0] == "SR-MEMBER-AUDIT"
    assert auditor.ledger.spent == 0
    assert auditor.ledger.pardon(SERVER.fingerprint, NOW)
    auditor.restart()
    assert auditor.answer(ask(3)).member == "vendor"


def test_the_server_submits_another_clients_input_and_the_audit_catches_it(
    member: Start,
) -> None:
    auditor = member()
    auditor.allow(policy(audit_rate=1.0))
    victim, accomplice = ask(1, request=b"SRRQ the victim's rows"), ask(2)
    assert refusal(auditor, accomplice, partial=victim.partial)[0] == "SR-MEMBER-AUDIT"
    # Nor can the rows be exchanged: the accomplice did not sign them.
    fresh = member("hospital")
    code, message = refusal(fresh, accomplice, partial=victim.partial, request=victim.request)
    assert (code, "not those that the client's query names" in message) == ("SR-MEMBER-QUERY", True)


def test_rows_that_can_not_be_computed_with_have_no_result(member: Start) -> None:
    auditor = member()
    auditor.allow(policy(audit_rate=1.0))
    assert refusal(auditor, ask(1, request=b"nonsense"))[0] == "SR-MEMBER-AUDIT"


def test_a_server_that_leaves_the_rows_out_is_refused_by_a_member_that_audits(
    member: Start,
) -> None:
    auditor = member()
    auditor.allow(policy(audit_rate=1.0))
    asked = ask(1)
    assert refusal(auditor, asked, request=b"")[0] == "SR-MEMBER-AUDIT"
    assert auditor.answer(asked).member == "vendor"


def test_leaving_the_rows_out_does_not_tell_which_wrong_results_would_be_caught(
    member: Start,
) -> None:
    auditor = member()
    auditor.allow(policy(audit_rate=0.05))
    weight = b"SRRS" + b"w" * 32
    codes = {refusal(auditor, ask(n), partial=weight, request=b"")[0] for n in range(1, 41)}
    assert codes == {"SR-MEMBER-AUDIT"}
    assert auditor.ledger.spent == 0


def test_whether_a_query_is_audited_does_not_change_when_it_is_brought_again(
    member: Start,
) -> None:
    def none(*parts: Any, **options: Any) -> Any:
        raise CiphertextError("SR-CIPHERTEXT-RANGE", "no share")

    one = member(make_share=none)
    one.allow(policy(audit_rate=0.5))
    outcomes = []
    for counter in range(1, 41):
        asked, before = ask(counter), one.models.model.evaluations
        for _ in range(3):
            assert refusal(one, asked)[0] == "SR-CIPHERTEXT-RANGE"
        audits = one.models.model.evaluations - before
        assert audits in (0, 3)
        outcomes.append(audits == 3)
    assert 5 < sum(outcomes) < 35


def test_a_repeated_request_gets_the_same_bytes_and_costs_nothing(member: Start) -> None:
    one = member()
    asked = ask(1)
    first = one.answer(asked)
    assert one.answer(asked) == first
    one.restart()
    assert one.answer(asked) == first
    assert one.ledger.spent == 1
    one.clock[0] = NOW + timedelta(hours=2)
    assert one.answer(asked) == first


def test_an_altered_request_gets_nothing(member: Start) -> None:
    one = member()
    asked = ask(1)
    one.answer(asked)
    code, message = refusal(one, asked, partial=b"SRRS" + b"x" * 32)
    assert (code, "another result" in message) == ("SR-MEMBER-QUERY", True)
    again = ask(1)  # the same counter, freshly signed
    assert refusal(one, again)[0] == "SR-MEMBER-QUERY"
    one.restart()
    assert refusal(one, again)[0] == "SR-MEMBER-QUERY"
    assert refusal(one, asked, partial=b"SRRS" + b"x" * 32)[0] == "SR-MEMBER-QUERY"
    assert one.ledger.spent == 1


def test_a_changed_active_set_gets_no_second_answer(member: Start) -> None:
    """The client asks other members under the same counter: that is another query."""
    vendor = member()
    vendor.answer(ask(1))
    code, message = refusal(vendor, ask(1, active=("vendor", "auditor")))
    assert (code, "used for another query" in message) == ("SR-MEMBER-QUERY", True)
    assert vendor.answer(ask(2, active=("vendor", "auditor"))).member == "vendor"


@pytest.mark.parametrize(
    ("active", "code"),
    [
        (("hospital", "auditor"), "SR-COMMITTEE-ACCESS"),
        (("vendor",), "SR-COMMITTEE-ACCESS"),
        (("hospital", "vendor"), "SR-COMMITTEE-ACCESS"),
        (("vendor", "hospital", "nobody"), "SR-COMMITTEE-ACCESS"),
        (("vendor", "auditor"), "SR-MEMBER-QUERY"),
    ],
)
def test_a_set_that_may_not_decrypt_or_does_not_name_the_member_is_refused(
    member: Start, active: tuple[str, ...], code: str
) -> None:
    assert refusal(member("hospital"), ask(1, active=active))[0] == code


def test_a_member_that_is_not_needed_says_so(member: Start) -> None:
    asked = ask(1, active=ACCESS.members)
    code, message = refusal(member("auditor"), asked)
    assert (code, "more members than it takes" in message) == ("SR-MEMBER-QUERY", True)


def test_what_the_policy_does_not_name_is_refused(member: Start) -> None:
    one = member()
    other = "sha256:" + "00" * 32
    assert refusal(one, ask(1, package=other))[0] == "SR-MEMBER-POLICY"
    assert refusal(one, ask(1, committee=other))[0] == "SR-COMMITTEE-MISMATCH"
    one.allow(policy(results_per_query=2))
    assert refusal(one, ask(1, results=3))[0] == "SR-MEMBER-POLICY"
    one.allow(policy(clients=(ClientRule(CLIENT.public.to_text(), packages=(other,)),)))
    assert refusal(one, ask(1))[0] == "SR-MEMBER-POLICY"


@pytest.mark.parametrize("where", ["policy", "client", "package"])
def test_what_has_ended_is_refused(member: Start, where: str) -> None:
    end = f"{NOW + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    changes = {
        "policy": {"not_after": end},
        "client": {"clients": (ClientRule(CLIENT.public.to_text(), not_after=end),)},
        "package": {"packages": (PackageRule(PACKAGE, not_after=end),)},
    }
    one = member()
    one.allow(policy(**changes[where]))
    one.answer(ask(1))
    one.clock[0] = NOW + timedelta(hours=1)
    later = ask(2, issued=milliseconds(one.clock[0]))
    assert refusal(one, later) == ("SR-MEMBER-POLICY", refusal(one, later)[1])
    assert end in refusal(one, later)[1]


def test_a_client_that_was_removed_gets_nothing_from_the_next_query_on(member: Start) -> None:
    one = member()
    asked = ask(1)
    one.answer(asked)
    one.allow(policy(clients=()))
    assert refusal(one, asked)[0] == "SR-MEMBER-POLICY"
    assert refusal(one, ask(2))[0] == "SR-MEMBER-POLICY"


def test_an_old_query_is_not_answered_for_the_first_time(member: Start) -> None:
    one = member()
    asked = ask(1)
    one.clock[0] = NOW + timedelta(minutes=11)
    code, message = refusal(one, asked)
    assert (code, "660 seconds ago" in message) == ("SR-MEMBER-QUERY", True)
    one.clock[0] = NOW - timedelta(minutes=6)
    assert refusal(one, asked)[0] == "SR-MEMBER-QUERY"
    assert one.ledger.spent == 0


def test_another_number_of_results_than_the_query_wants_is_refused(member: Start) -> None:
    asked = ask(1, results=2)
    code, message = refusal(member(), asked, partial=evaluated(asked.request, 3))
    assert (code, "3 results came" in message) == ("SR-MEMBER-QUERY", True)


def test_a_share_that_fails_to_be_made_costs_nothing_and_frees_the_counter(
    member: Start,
) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise ValueError("no memory")

    one = member(make_share=failing)
    with pytest.raises(ValueError, match="no memory"):
        one.answer(ask(1))
    assert one.ledger.spent == 0
    one.make_share = number_share
    one.restart()
    assert one.answer(ask(1)).member == "vendor"


def test_one_request_at_a_time_is_decided_and_many_threads_stay_within_the_budget(
    member: Start,
) -> None:
    barrier = threading.Barrier(8)

    def slow(*args: Any, **options: Any) -> Any:
        barrier.wait(10)
        return number_share(*args, **options)

    one = member(budget=8, make_share=slow)
    asked = [ask(counter) for counter in range(1, 21)]

    def attempt(which: Any) -> str:
        try:
            one.answer(which)
        except StrongroomError as error:
            return error.code
        return "given"

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(attempt, asked))
    assert sorted(outcomes) == ["SR-MEMBER-BUDGET"] * 12 + ["given"] * 8
    assert one.ledger.spent == 8


def test_the_same_query_twice_at_once_is_computed_once(member: Start) -> None:
    started, go = threading.Event(), threading.Event()

    def slow(*args: Any, **options: Any) -> Any:
        started.set()
        go.wait(10)
        return number_share(*args, **options)

    one = member(make_share=slow)
    asked = ask(1)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(one.answer, asked)
        started.wait(10)
        assert refusal(one, asked)[0] == "SR-REQUEST-BUSY"
        go.set()
        assert one.answer(asked) == first.result() if first.done() else first.result()
    assert one.ledger.spent == 1


def test_a_member_answering_garbage_is_identified(member: Start) -> None:
    """Whoever changes a share, the signature says whose it is, or that it is nobody's."""
    vendor, hospital = member("vendor"), member("hospital")
    asked = ask(1)
    result = digest(asked.partial)
    share = vendor.answer(asked)
    spoilt = msgspec.structs.replace(share, sealed=share.sealed[:-1] + b"\0")
    for wrong, name in ((spoilt, "vendor"), (hospital.answer(asked), "vendor")):
        with pytest.raises(StrongroomError) as error:
            wrong.verify(IDENTITIES[name].public, name, asked.query.query.digest, result)
        assert error.value.code == "SR-MEMBER-SHARE"
        assert error.value.member == name  # type: ignore[attr-defined]
    with pytest.raises(StrongroomError) as error:
        share.open(asked.key, [(2, 4)])
    assert (error.value.code, "vendor" in error.value.message) == ("SR-MEMBER-SHARE", True)


def test_neither_answer_ledger_nor_log_holds_a_part_or_a_share(
    member: Start, caplog: pytest.LogCaptureFixture
) -> None:
    one = member()
    asked = ask(1)
    with caplog.at_level(logging.DEBUG):
        share = one.answer(asked)
        refusal(one, ask(2), partial=b"SRRS")
    (words,) = share.open(asked.key, [(2, 3)])
    written = one.ledger._journal.path.read_bytes()
    logged = "".join(str(vars(record)) for record in caplog.records)
    canaries = [words.astype("<u8").tobytes(), str(SECRETS[0]).encode(), one.identity.to_bytes()]
    for canary in canaries:
        for place in (
            written,
            logged.encode(),
            msgspec.json.encode(share),
            repr(one.judge).encode(),
        ):
            assert canary not in place
            assert canary.hex().encode() not in place
    assert COMMITTEE.encode() in written
    (record,) = [one for one in caplog.records if one.message == "share given"]
    assert record.client == CLIENT.fingerprint  # type: ignore[attr-defined]


def test_a_request_that_is_none_is_refused_in_one_line() -> None:
    good = ask(1).body()
    for bad in (b"", b"\0" * 4, b"\xff\xff\xff\xff", good[:-1], good + b"\0", good[4:]):
        with pytest.raises(StrongroomError) as error:
            decode_share_request(bad)
        assert error.value.code in ("SR-REQUEST-FORMAT", "SR-MEMBER-QUERY")
        assert "\n" not in str(error.value)
    changed = good.replace(b'"blocks":1', b'"blocks":0')
    with pytest.raises(StrongroomError, match="blocks"):
        decode_share_request(changed)


def test_an_identity_of_another_name_is_the_same_client(member: Start) -> None:
    again = Identity(CLIENT.to_bytes(), "renamed")
    assert member().answer(ask(1, again)).member == "vendor"
