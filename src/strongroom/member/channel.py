"""Signed messages between coordinator, server and members: mutual authentication without a PKI.

A request and its answer are one HTTP exchange (`member.messages`).

Rules, in the order in which a reader applies them:

1. The head is well-formed, within its limits, for this reader, and of a purpose that belongs here.
2. Its sender is one of those whom the reader knows, and signed it, by both algorithms.
3. It is at most five minutes old, or ahead, and the nonce did not come before.
4. The body is the one that it names.
5. An answer is of whoever was asked, names the question, and so can't be one to another.

Nonces are remembered in memory. Whoever repeats a message to a process that was started since gains
nothing: a query gets the bytes that it got, a log's head is countersigned once more, and a setup
does not outlive its process.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

import msgspec

from strongroom.canonical import canonical_json, digest
from strongroom.errors import CODES, CommitteeError, ServerError
from strongroom.keys.identity import PublicIdentity, Signatures
from strongroom.keys.query import milliseconds
from strongroom.member.messages import (
    SIGNED_FOR,
    Head,
    Refusal,
    SignedHead,
    malformed,
    read_head,
    read_message,
    require_body,
    unsigned,
    verify_head,
    write_message,
)

REFUSAL: Final = "refusal"
"""Purpose of an answer that says why there is none."""

WINDOW_MILLISECONDS: Final = 5 * 60 * 1000


class Signer(Protocol):
    """Who signs messages: an `Identity`, or a link to a process that holds one."""

    @property
    def public(self) -> PublicIdentity:
        """The public half."""
        ...

    def sign(self, purpose: str, message: bytes) -> Signatures:
        """Sign a message for a purpose."""
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is on its way.

    Attributes:
        head: of the message.
        recipient: who has to answer.
        content: the bytes to send.
    """

    head: Head
    recipient: PublicIdentity
    content: bytes


@dataclass(frozen=True, slots=True)
class Begun:
    """A request of which the head has come, verified.

    Attributes:
        head: of the message.
        sender: who signed it.
        start: where the body begins.
    """

    head: Head
    sender: PublicIdentity
    start: int

    def body(self, content: bytes | bytearray | memoryview) -> memoryview:
        """The body in the whole message: rule 4.

        Raises:
            CommitteeError: SR-MEMBER-QUERY if it is not the one that was signed.
        """
        body = memoryview(content).cast("B")[self.start :]
        require_body(self.head, body)
        return body


class Channel:
    """One party's end: signs what it sends, verifies what it gets. Safe for threads.

    Args:
        signer: the party's identity.
        now: its time, UTC.
        capacity: requests that are taken within ten minutes; more are refused.
    """

    def __init__(
        self,
        signer: Signer,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        capacity: int = 1 << 20,
    ) -> None:
        self._signer = signer
        self._now = now
        self._capacity = capacity
        self._nonces: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def public(self) -> PublicIdentity:
        """The party's public identity."""
        return self._signer.public

    def ask(self, recipient: PublicIdentity, purpose: str, body: bytes) -> Asked:
        """A request to somebody."""
        head = self._head(recipient.fingerprint, purpose, body, None)
        return Asked(head, recipient, self._signed(head, body))

    def begin(
        self,
        content: bytes | bytearray | memoryview,
        known: Mapping[str, PublicIdentity],
        purposes: Collection[str],
    ) -> Begun | None:
        """Read the head of an untrusted request: rules 1 to 3. The body may still be on its way, so
        that nothing large is read of strangers.

        Args:
            content: the first bytes of the message.
            known: who may ask, by fingerprint.
            purposes: that belong here.

        Returns:
            None if the head has not come as a whole.

        Raises:
            ServerError: SR-REQUEST-FORMAT (400) for what is no such message; SR-REQUEST-BUSY.
            CommitteeError: SR-MEMBER-POLICY (403) for a sender who is not known;
                SR-MEMBER-QUERY for signature, time or nonce.
        """
        found = read_head(content)
        if found is None:
            return None
        signed, start = found
        head = signed.head
        if head.recipient != self._signer.public.fingerprint or head.answers is not None:
            raise malformed("it is for somebody else")
        if head.purpose not in purposes:
            raise malformed(f"nothing here is for the purpose {head.purpose}")
        sender = known.get(head.sender)
        if sender is None:
            raise CommitteeError(
                "SR-MEMBER-POLICY",
                f"{head.sender} is not known here",
                "Ask the operator of this member to name that identity",
                http_status=403,
            )
        verify_head(signed, sender)
        self._require_fresh(head)
        return Begun(head, sender, start)

    def answer(self, begun: Begun, purpose: str, body: bytes) -> bytes:
        """The content of an answer."""
        head = self._head(begun.head.sender, purpose, body, begun.head.digest)
        return self._signed(head, body)

    def refuse(self, begun: Begun, refusal: Refusal) -> bytes:
        """The content of a refusal."""
        return self.answer(begun, REFUSAL, canonical_json(refusal))

    def accept(self, asked: Asked, content: bytes, purpose: str) -> memoryview:
        """Read an untrusted answer: rules 1, 2, 4 and 5. Its time is within that of the exchange.

        Args:
            purpose: that it must have.

        Returns:
            Its body.

        Raises:
            ServerError: SR-SERVER-PROTOCOL (502) if it is not an answer of whoever was asked.
            CommitteeError: SR-MEMBER-REFUSED if it is a refusal, with code and line of it.
        """
        try:
            signed, body = read_message(content)
            head = signed.head
            verify_head(signed, asked.recipient)
            require_body(head, body)
        except (ServerError, CommitteeError) as error:
            raise _no_answer(error.message) from error
        its = (head.sender, head.recipient, head.answers)
        if its != (asked.recipient.fingerprint, asked.head.sender, asked.head.digest):
            raise _no_answer("it answers something else")
        if head.purpose == REFUSAL:
            raise Refused(_refusal(body))
        if head.purpose != purpose:
            raise _no_answer("it is for another purpose")
        return body

    def _head(self, recipient: str, purpose: str, body: bytes, answers: str | None) -> Head:
        return Head(
            purpose=purpose,
            sender=self._signer.public.fingerprint,
            recipient=recipient,
            nonce=secrets.token_hex(16),
            sent=milliseconds(self._now()),
            body=digest(body),
            answers=answers,
        )

    def _signed(self, head: Head, body: bytes) -> bytes:
        signatures = self._signer.sign(SIGNED_FOR, canonical_json(head))
        return write_message(SignedHead(head, signatures), body)

    def _require_fresh(self, head: Head) -> None:
        now = milliseconds(self._now())
        if abs(head.sent - now) > WINDOW_MILLISECONDS:
            raise unsigned(f"the message was sent {(now - head.sent) // 1000} seconds ago")
        name = head.sender + head.nonce
        with self._lock:
            while self._nonces and next(iter(self._nonces.values())) < now:
                self._nonces.popitem(last=False)
            if name in self._nonces:
                raise unsigned("the message came before")
            if len(self._nonces) >= self._capacity:
                raise ServerError(
                    "SR-REQUEST-BUSY",
                    f"{self._capacity} messages came within ten minutes",
                    "Try again a little later",
                    http_status=503,
                )
            # Longer than it could be repeated, whichever of the two clocks is ahead.
            self._nonces[name] = now + 2 * WINDOW_MILLISECONDS


class Refused(CommitteeError):
    """Somebody signed that there is no answer: SR-MEMBER-REFUSED.

    Attributes:
        refusal: what was signed.
    """

    def __init__(self, refusal: Refusal, member: str | None = None) -> None:
        who = "whoever was asked" if member is None else f"member {member}"
        super().__init__(
            "SR-MEMBER-REFUSED",
            f"{who} refuses: [{refusal.code}] {refusal.message.rstrip('.')}",
            member=member,
            http_status=refusal.status,
        )
        self.refusal = refusal


def _refusal(body: memoryview) -> Refusal:
    try:
        found = msgspec.json.decode(body, type=Refusal)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _no_answer("it refuses without saying why") from error
    if found.code not in CODES:
        raise _no_answer("it refuses with a code that is none")
    line = "".join(letter for letter in found.message if letter.isprintable())
    return msgspec.structs.replace(found, message=line)


def _no_answer(what: str) -> ServerError:
    return ServerError(
        "SR-SERVER-PROTOCOL",
        f"the answer is not one of whoever was asked: {what}",
        "Check the URL: is that member there?",
        http_status=502,
    )
