"""Messages hold for one sender, one recipient, one purpose, one time, and one answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from strongroom.errors import StrongroomError
from strongroom.keys.identity import Identity, PublicIdentity
from strongroom.member.channel import Channel, Refused
from strongroom.member.messages import Refusal

ALICE, BOB, EVE = (Identity.generate(name) for name in ("alice", "bob", "eve"))
NOW = datetime(2026, 11, 23, tzinfo=UTC)
KNOWN = {ALICE.fingerprint: ALICE.public}


class Ends:
    """Alice asks Bob."""

    def __init__(self) -> None:
        self.clock = [NOW]
        self.alice = Channel(ALICE, lambda: NOW)
        self.bob = Channel(BOB, lambda: self.clock[0])

    def take(self, content: Any, known: dict[str, PublicIdentity] = KNOWN) -> bytes | None:
        """The body of a message to Bob; None if its head has not come."""
        begun = self.bob.begin(content, known, {"greet"})
        return None if begun is None else bytes(begun.body(content))

    def code(self, content: Any, known: dict[str, PublicIdentity] = KNOWN) -> str:
        with pytest.raises(StrongroomError) as error:
            self.take(content, known)
        assert "\n" not in str(error.value)
        return error.value.code


@pytest.fixture
def ends() -> Ends:
    return Ends()


def test_a_question_and_its_answer_arrive(ends: Ends) -> None:
    asked = ends.alice.ask(BOB.public, "greet", b"hello")
    begun = ends.bob.begin(asked.content, KNOWN, {"greet"})
    assert begun is not None
    assert bytes(begun.body(asked.content)) == b"hello"
    assert begun.sender == ALICE.public
    answer = ends.bob.answer(begun, "greeting", b"good day")
    assert bytes(ends.alice.accept(asked, answer, "greeting")) == b"good day"


def test_the_sender_is_known_before_the_body_has_come(ends: Ends) -> None:
    content = ends.alice.ask(BOB.public, "greet", b"x" * 10_000_000).content
    heads = [ends.bob.begin(content[:length], KNOWN, {"greet"}) for length in (0, 11, 3000)]
    assert heads == [None, None, None]
    begun = ends.bob.begin(content[:8000], KNOWN, {"greet"})
    assert begun is not None
    with pytest.raises(StrongroomError, match="not the one that was signed"):
        begun.body(content[:-1])
    assert len(begun.body(content)) == 10_000_000


def test_a_message_comes_once(ends: Ends) -> None:
    content = ends.alice.ask(BOB.public, "greet", b"").content
    assert ends.bob.begin(content, KNOWN, {"greet"}) is not None
    assert ends.code(content) == "SR-MEMBER-QUERY"
    ends.clock[0] = NOW + timedelta(minutes=4)
    assert ends.code(content) == "SR-MEMBER-QUERY"


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_message_of_another_time_is_refused(ends: Ends, minutes: int) -> None:
    ends.clock[0] = NOW + timedelta(minutes=minutes)
    assert ends.code(ends.alice.ask(BOB.public, "greet", b"").content) == "SR-MEMBER-QUERY"


def test_strangers_other_recipients_and_other_purposes_are_refused(ends: Ends) -> None:
    eve = Channel(EVE, lambda: NOW)
    assert ends.code(eve.ask(BOB.public, "greet", b"").content) == "SR-MEMBER-POLICY"
    assert ends.code(ends.alice.ask(EVE.public, "greet", b"").content) == "SR-REQUEST-FORMAT"
    assert ends.code(ends.alice.ask(BOB.public, "leave", b"").content) == "SR-REQUEST-FORMAT"
    # Eve says that she is Alice.
    pretended = {EVE.fingerprint: ALICE.public}
    assert ends.code(eve.ask(BOB.public, "greet", b"").content, pretended) == "SR-MEMBER-QUERY"


def test_an_altered_byte_anywhere_is_noticed(ends: Ends) -> None:
    content = ends.alice.ask(BOB.public, "greet", b"hello").content
    for place in [*range(0, 80), *range(80, len(content), 97), len(content) - 1]:
        changed = bytearray(content)
        changed[place] ^= 1
        try:
            taken = ends.take(changed)
        except StrongroomError:
            continue
        assert taken is None  # its head seems to go on


@pytest.mark.parametrize("content", [b"GET / HTTP/1.1", b"SRCM" + b"\xff" * 8, b"\0" * 12])
def test_what_is_no_message_is_refused_at_once(ends: Ends, content: bytes) -> None:
    assert ends.code(content) == "SR-REQUEST-FORMAT"


def test_an_answer_is_to_this_question_and_of_whoever_was_asked(ends: Ends) -> None:
    first, second = (ends.alice.ask(BOB.public, "greet", text) for text in (b"1", b"2"))
    begun = ends.bob.begin(first.content, KNOWN, {"greet"})
    assert begun is not None
    answer = ends.bob.answer(begun, "greeting", b"")
    forged = Channel(EVE, lambda: NOW).answer(begun, "greeting", b"")
    cases = (
        (second, answer, "greeting"),
        (first, forged, "greeting"),
        (first, answer, "farewell"),
        (first, answer + b"more", "greeting"),
        (first, first.content, "greet"),
        (first, b"", "greeting"),
        (first, b'{"error": "no", "code": "SR-MEMBER-REFUSED"}', "greeting"),
    )
    for asked, content, purpose in cases:
        with pytest.raises(StrongroomError) as error:
            ends.alice.accept(asked, content, purpose)
        assert error.value.code == "SR-SERVER-PROTOCOL"


def test_a_refusal_is_signed_too(ends: Ends) -> None:
    asked = ends.alice.ask(BOB.public, "greet", b"")
    begun = ends.bob.begin(asked.content, KNOWN, {"greet"})
    assert begun is not None
    content = ends.bob.refuse(begun, Refusal("SR-MEMBER-BUDGET", "nothing\nleft"))
    with pytest.raises(Refused) as error:
        ends.alice.accept(asked, content, "greeting")
    assert error.value.refusal == Refusal("SR-MEMBER-BUDGET", "nothingleft")
    unknown = ends.bob.refuse(begun, Refusal("SR-NO-SUCH-CODE", "?"))
    with pytest.raises(StrongroomError) as failure:
        ends.alice.accept(asked, unknown, "greeting")
    assert failure.value.code == "SR-SERVER-PROTOCOL"


def test_too_many_messages_are_put_off(ends: Ends) -> None:
    bob = Channel(BOB, lambda: ends.clock[0], capacity=2)
    for _ in range(2):
        assert bob.begin(ends.alice.ask(BOB.public, "greet", b"").content, KNOWN, {"greet"})
    with pytest.raises(StrongroomError) as error:
        bob.begin(ends.alice.ask(BOB.public, "greet", b"").content, KNOWN, {"greet"})
    assert error.value.code == "SR-REQUEST-BUSY"
    late = ends.clock[0] = NOW + timedelta(minutes=11)
    later = Channel(ALICE, lambda: late)
    assert bob.begin(later.ask(BOB.public, "greet", b"").content, KNOWN, {"greet"})
