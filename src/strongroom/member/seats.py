"""A member's seats: one for each committee that it holds parts of, and what it answers there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from strongroom.canonical import canonical_json
from strongroom.engine import threshold
from strongroom.errors import CommitteeError
from strongroom.keys.committee.part_checks import PartChecks
from strongroom.keys.committee.parts import HeldParts
from strongroom.keys.committee.statement import Committee
from strongroom.keys.identity import Identity, PublicIdentity
from strongroom.member.given_shares import GivenShares
from strongroom.member.ledger import Ledger
from strongroom.member.peers import ADVANCE, WITNESSED, decode_advance, decode_recall
from strongroom.member.policy import PolicyFile
from strongroom.member.proof_request import ANSWER as PROOF
from strongroom.member.proof_request import decode_proof_request
from strongroom.member.proofs import Prover, part_prover
from strongroom.member.share_request import ANSWER, decode_share_request
from strongroom.member.shares import Judge, Models
from strongroom.member.witness import Standing, Witness

_DIGITS: Final = 24
_START: Final = len("sha256:")


class Seat:
    """This member's place in one committee. Safe for threads.

    Args:
        identity: of the member.
        held: its parts.
        checks: reads the checks of the committee's parts in the state of these.
        home: the home folder; the ledger is below it.
        policy: what the operator allows.
        models: the packages of this committee.
        now: the time, UTC, which does not go back while the process runs.

    Raises:
        KeyStoreError: SR-KEYS-FILE, SR-KEYS-PERMISSIONS for the ledger.
    """

    def __init__(
        self,
        identity: Identity,
        held: HeldParts,
        checks: Callable[[], PartChecks],
        home: Path,
        policy: PolicyFile,
        models: Models,
        now: Callable[[], datetime],
    ) -> None:
        committee = held.committee
        self.committee: Final = committee
        self.member: Final = held.member
        budget = member_budget(committee)
        self.ledger: Final = Ledger(
            ledger_path(home, committee.digest), committee.digest, held.member, budget
        )
        peers = {name: one for name, one in committee.identities.items() if name != held.member}
        self.peers: Final[Mapping[str, PublicIdentity]] = peers
        self.standing: Final = Standing(identity, self.ledger, peers)
        self._witness = Witness(identity, committee.digest, self.ledger)
        self._given = GivenShares()
        self._judge = Judge(
            identity,
            committee.digest,
            committee.state,
            committee.access,
            held,
            threshold.decryption_share,
            self.ledger,
            policy,
            models,
            self._given,
            require_witnesses=self.standing.require,
            now=now,
        )
        self._prover = Prover(
            identity,
            held.member,
            committee.digest,
            committee.state,
            self._given,
            part_prover(held, checks),
            self.ledger,
            policy,
            models,
        )

    @property
    def judge(self) -> Judge:
        """Answers requests for shares."""
        return self._judge

    @property
    def prover(self) -> Prover:
        """Answers demands for proofs of shares."""
        return self._prover

    @property
    def witness(self) -> Witness:
        """Countersigns peers' logs."""
        return self._witness

    def close(self) -> None:
        """Let another process have the ledger; forget what was given."""
        self.ledger.close()
        self._given.close()


class Seats:
    """All seats of one process. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seats: dict[str, Seat] = {}

    def take(self, seat: Seat) -> None:
        """Answer for a committee from now on."""
        with self._lock:
            self._seats[seat.committee.digest] = seat

    def leave(self, committee: str) -> Seat | None:
        """Answer for a committee no more; its seat, for its user to close."""
        with self._lock:
            return self._seats.pop(committee, None)

    def all(self) -> list[Seat]:
        """All of them."""
        with self._lock:
            return list(self._seats.values())

    def find(self, committee: str) -> Seat:
        """The seat in a committee.

        Raises:
            CommitteeError: SR-COMMITTEE-MISMATCH.
        """
        with self._lock:
            found = self._seats.get(committee)
        if found is None:
            raise CommitteeError(
                "SR-COMMITTEE-MISMATCH",
                f"this is no member of committee {committee}",
                "Ask the members of that committee",
            )
        return found

    def peer_identities(self) -> dict[str, PublicIdentity]:
        """Members of all committees but this one, by fingerprint."""
        return {
            identity.fingerprint: identity
            for seat in self.all()
            for identity in seat.peers.values()
        }

    def share(self, sender: PublicIdentity, purpose: str, body: memoryview) -> tuple[str, bytes]:
        """Answer a request for a share; see `Judge.answer`."""
        request = decode_share_request(body)
        seat = self.find(request.query.query.committee)
        return ANSWER, seat.judge.answer(sender, request)

    def proof(self, sender: PublicIdentity, purpose: str, body: memoryview) -> tuple[str, bytes]:
        """Answer a demand for a proof; see `Prover.answer`."""
        request = decode_proof_request(body)
        seat = self.find(request.query.query.committee)
        return PROOF, seat.prover.answer(sender, request)

    def peer(self, sender: PublicIdentity, purpose: str, body: memoryview) -> tuple[str, bytes]:
        """Answer a peer about its log.

        Raises:
            CommitteeError: SR-MEMBER-ROLLBACK, SR-MEMBER-QUERY, SR-COMMITTEE-MISMATCH.
        """
        if purpose == ADVANCE:
            advance = decode_advance(body)
            seat = self.find(advance.head.head.committee)
            name = _name(seat.committee, sender)
            seen = seat.witness.countersign(name, sender, advance)
        else:
            seat = self.find(decode_recall(body).committee)
            seen = seat.witness.seen(_name(seat.committee, sender))
        return WITNESSED, canonical_json(seen)


def member_budget(committee: Committee) -> int:
    """Result ciphertexts that one member may answer: all of them together stay within what smudging
    was sized for."""
    return committee.statement.share_budget // len(committee.access.members)


def ledger_path(home: Path, committee: str) -> Path:
    """Where the ledger of a committee is, or would be."""
    return home / "ledgers" / committee[_START : _START + _DIGITS] / "ledger.log"


def _name(committee: Committee, sender: PublicIdentity) -> str:
    name = committee.name_of(sender.fingerprint)
    if name is None:
        raise CommitteeError(
            "SR-COMMITTEE-MISMATCH",
            f"{sender.fingerprint} is no member of this committee",
            "Ask the members of your own",
        )
    return name
