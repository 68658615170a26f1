"""Demanding that members prove what they answered, once there is an answer.

A share that is signed, well-formed and wrong makes a wrong answer. So an asker demands proofs of
the shares of some of its answers, by lot. It decides when the answer is there: nobody knows before
which answers are looked at. It does not look at the answer for it: a server that adds to what it
shows, and sees that a demand comes, would learn something of a score.

The rules:

1. Members show their proofs to the server, which has the result and examines them; the asker judges
   what comes of it by the words of each share and the salts that only it gets. A server that
   examines wrongly can make a proof look like none, as it can withhold it.
2. A proof is of the query, the result, the place in it, the member and the state of the key that
   the share is of, and signed by the member.
3. A member proves its share, or it does not: a refusal, and silence, prove nothing. Whether it was
   the member that was silent, or the server that kept its answer, nobody can tell from here; so the
   text says which of the two it was that no proof came, or one that does not hold.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from numpy.typing import NDArray

from strongroom.client.committees import Queries, text_of
from strongroom.client.timings import Timings
from strongroom.client.transport import Transport
from strongroom.client.v2 import wrong
from strongroom.engine import threshold
from strongroom.errors import CommitteeError, PolicyError
from strongroom.keys.one_time_keys import OneTimeKey
from strongroom.keys.query import SealedShare, SignedQuery
from strongroom.keys.share_proofs import ProofDemand, ProofEntry, SealedProof, no_proof

_ENTRY_BYTES: Final = 16_384
"""Of a proof and its signatures in JSON, beside what was examined."""

_BUSY: Final = "SR-REQUEST-BUSY"
_PAUSES_SECONDS: Final = (1.0, 3.0)
_draw: Final = secrets.SystemRandom()


@dataclass(frozen=True, slots=True)
class OpenedAnswer:
    """An answer whose shares were opened.

    Attributes:
        body: the protected request, as it was sent.
        query: of it.
        target: the query's one-time key.
        shares: verified, of each member of the active set.
        words: of each member, those of each result.
    """

    body: bytes
    query: SignedQuery
    target: OneTimeKey
    shares: Sequence[SealedShare]
    words: Sequence[Sequence[NDArray[Any]]] = field(repr=False)


class ShareChecks:
    """Demands proofs of the shares of one model's answers. Not for several threads at once.

    Args:
        transport: to the server.
        queries: signs demands, and knows the committee.
        model: its name.
        package: its digest.
        rate: share of answers whose shares are demanded to be proved, from 0 to 1.

    Raises:
        PolicyError: SR-POLICY-VALUE for another rate.
    """

    def __init__(
        self, transport: Transport, queries: Queries, *, model: str, package: str, rate: float
    ) -> None:
        if not 0.0 <= rate <= 1.0:
            raise PolicyError(
                "SR-POLICY-VALUE", f"share_checks is {rate:g}", "Choose a number from 0 to 1"
            )
        self._transport = transport
        self._queries = queries
        self._model = model
        self._package = package
        self._rate = rate

    def drawn(self) -> bool:
        """Whether the answer that is here now shall be checked."""
        return _draw.random() < self._rate

    def unproved(
        self, answer: OpenedAnswer, indices: Sequence[int]
    ) -> tuple[dict[str, str], Timings]:
        """Demand proofs of the shares of an answer.

        Args:
            indices: of the results.

        Returns:
            Who did not prove its share, and what came instead; and where the time went.

        Raises:
            ServerError: SR-SERVER-PROTOCOL; what the server says, or that it does not answer.
            CommitteeError: SR-COMMITTEE-*, SR-MEMBER-QUERY: why it examines no proofs at all.
        """
        faults: dict[str, str] = {}
        timings = Timings()
        for index in indices:
            demand, entries, spent = self._demanded(answer, index)
            timings += spent
            for place, entry in enumerate(entries):
                if (proof := entry.proof) is None:
                    said = self._transport.quoted(entry.line) or "nothing"
                    faults.setdefault(entry.member, f"no proof came, and the server says: {said}")
                    continue
                try:
                    self._verify(answer, place, demand, proof, entry.examined)
                except CommitteeError as error:
                    faults.setdefault(entry.member, error.message)
        return faults, timings

    def _demanded(
        self, answer: OpenedAnswer, index: int
    ) -> tuple[ProofDemand, Sequence[ProofEntry], Timings]:
        """What comes of a demand. A member that is busy is asked again: it proves one share at a
        time, and any number of demands for one share get one proof."""
        signed = self._queries.demand(answer.shares[0], index)
        limit, timings = _limit(answer, index), Timings()
        for pause in (*_PAUSES_SECONDS, None):
            exchange = self._transport.infer(
                self._model,
                answer.body,
                self._package,
                limit,
                query=text_of(answer.query),
                proof_demand=text_of(signed),
            )
            timings += exchange.timings
            try:
                entries = msgspec.json.decode(exchange.content, type=tuple[ProofEntry, ...])
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                raise wrong("what came as proofs can't be read") from error
            if [entry.member for entry in entries] != list(answer.query.query.active):
                raise wrong("the proofs are not those of the members that were asked")
            if pause is None or all(entry.code != _BUSY for entry in entries):
                break
            time.sleep(pause)
        return signed.demand, entries, timings

    def _verify(
        self,
        answer: OpenedAnswer,
        place: int,
        demand: ProofDemand,
        proof: SealedProof,
        examined: bytes,
    ) -> None:
        """Whether one member proved its share; raises SR-MEMBER-SHARE if not."""
        committee, name = self._queries.committee, answer.shares[place].member
        words = answer.words[place][demand.index]
        proof.verify(committee.identities[name], name, demand)
        try:
            found = threshold.Examined.from_bytes(examined, *words.shape)
        except ValueError as error:
            raise wrong("what the server examined has another length than proofs have") from error
        if not found.proves(committee.parameters, words, proof.open(answer.target)):
            raise no_proof(name, "it does not hold for the share that was given")


def not_proved(query: SignedQuery, faults: Mapping[str, str]) -> CommitteeError:
    """The error for members that did not prove their shares.

    Args:
        faults: what came instead, by member.
    """
    names = ", ".join(faults)
    why = "; ".join(faults.values())
    error = CommitteeError(
        "SR-MEMBER-SHARE",
        f"{'member' if len(faults) == 1 else 'members'} {names} did not prove "
        f"{'its share' if len(faults) == 1 else 'their shares'} of the result of query "
        f"{query.query.digest}: {why}",
        "Take the answer for wrong, and ask that member's operator; meanwhile ask another set of "
        "members",
        member=next(iter(faults)),
        http_status=502,
    )
    error.members = tuple(faults)
    return error


def _limit(answer: OpenedAnswer, index: int) -> int:
    """Largest answer to a demand."""
    limbs, positions = answer.words[0][index].shape
    in_base64 = 4 * (threshold.examined_bytes(limbs, positions) + 2) // 3
    return len(answer.shares) * (in_base64 + _ENTRY_BYTES)
