"""Judging a demand for a proof of a share, and proving it.

In this order, and the first that fails is the refusal:

1. The server was not caught at a wrong result, and an enrolled client signed the query
   (`admission`).
2. The same client signed the demand. It is of that query, of the result that came along
   (`proof_request`), and of the state that this member's parts are in.
3. This member gave a share of that result to that query, since it was started, and remembers it.
4. The package is known here, and the demand names one of its results.

Then the proof is made, its salts sealed to the query's one-time key, and signed. It says nothing
beyond the share itself, whoever demands it and however often: each share has one proof, made of
randomness that was drawn with it. So no budget is spent, and nothing is written down.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from strongroom.engine import threshold
from strongroom.engine.threshold import Proof
from strongroom.errors import CommitteeError
from strongroom.keys.committee.part_checks import PartChecks
from strongroom.keys.committee.parts import HeldParts
from strongroom.keys.identity import Identity, PublicIdentity
from strongroom.keys.share_proofs import SealedProof, proof_context, require_provable
from strongroom.member.admission import admit
from strongroom.member.given_shares import GivenShare, GivenShares
from strongroom.member.ledger import Ledger
from strongroom.member.policy import PolicyFile
from strongroom.member.proof_request import ProofRequest, encode_proof_answer
from strongroom.member.shares import Models
from strongroom.protections.interface import SharedResult

_log: Final = logging.getLogger("strongroom.server.member")


class ShareProver(Protocol):
    """Proves words by a member's parts; `part_prover` makes one."""

    def __call__(
        self,
        active: Sequence[str],
        result: SharedResult,
        words: NDArray[np.uint64],
        *,
        log_sigma: float,
        secret: bytes,
        context: bytes,
    ) -> Proof:
        """The proof.

        Args:
            active: the set of members that the query asks.
            result: that was answered.
            words: that were given, shape (limbs, positions).
            log_sigma: base-2 logarithm of the smudging in them.
            secret: 32 bytes that the proof is drawn from.
            context: that it is bound to.

        Raises:
            ValueError: the words are not of this member's parts: there is nothing to prove.
            CommitteeError: SR-COMMITTEE-FILE, SR-COMMITTEE-MISMATCH: not what it takes to prove.
        """
        ...


class Prover:
    """Answers demands for proofs. Safe for threads.

    Args:
        identity: of the member.
        member: its name in the committee.
        committee: digest of the committee's statement.
        state: digest that its parts belong to.
        given: the shares that it gave.
        prove: proves them.
        ledger: which servers were caught.
        policy: what the operator allows.
        models: the packages.
    """

    def __init__(
        self,
        identity: Identity,
        member: str,
        committee: str,
        state: str,
        given: GivenShares,
        prove: ShareProver,
        ledger: Ledger,
        policy: PolicyFile,
        models: Models,
    ) -> None:
        self._identity = identity
        self._member = member
        self._committee = committee
        self._state = state
        self._given = given
        self._prove = prove
        self._ledger = ledger
        self._policy = policy
        self._models = models

    def answer(self, server: PublicIdentity, request: ProofRequest) -> bytes:
        """The proof that a client demands, as `decode_proof_answer` reads it.

        Args:
            server: who brings the demand, authenticated, and named by the policy.
            request: untrusted.

        Raises:
            CommitteeError: why there is none: SR-MEMBER-QUERY, also for a share that is not
                remembered; SR-MEMBER-SHARE, the share can't be proved; SR-MEMBER-AUDIT, -POLICY;
                SR-COMMITTEE-MISMATCH; SR-COMMITTEE-FILE.
            CiphertextError: the result has not the form that the plan says.
        """
        client, _ = admit(
            server,
            request.query,
            committee=self._committee,
            ledger=self._ledger,
            policy=self._policy.current(),
        )
        request.demand.verify(client)
        query, demand = request.query.query, request.demand.demand
        if demand.state != self._state:
            raise _unknown(f"the demand is about parts in another state than {self._state}")
        given = self._given.find(demand.query, demand.index)
        if given is None or given.result != demand.result:
            raise _unknown("no share of this result to this query is remembered")
        try:
            proof = self._proof(request, given)
        finally:
            given.wipe()
        if not self._given.settle(demand.query, demand.index, proof.challenge):
            _log.error(
                "PROOF WITHHELD: it is not the one that was made before; this machine computes "
                "wrongly",
                extra={"client": query.client, "package": query.package, "query": demand.query},
            )
            raise self._unprovable("its proof differs from the one before")
        sealed = SealedProof.by(self._identity, self._member, query, demand, proof)
        _log.info(
            "share proved",
            extra={
                "client": query.client,
                "package": query.package,
                "server": server.fingerprint,
                "query": demand.query,
                "index": demand.index,
                "bytes": len(proof.shown),
            },
        )
        return encode_proof_answer(sealed, proof.shown)

    def _proof(self, request: ProofRequest, given: GivenShare) -> Proof:
        query, demand = request.query.query, request.demand.demand
        model = self._models.find(query.package)
        result = model.results(request.partial)[demand.index]
        try:
            return self._prove(
                query.active,
                result,
                given.words,
                log_sigma=model.log_sigma,
                secret=bytes(given.secret),
                context=proof_context(demand, self._member),
            )
        except ValueError:
            _log.error(
                "SHARE NOT PROVED: it is not what this member's parts make of the result",
                extra={"client": query.client, "package": query.package, "query": demand.query},
            )
        # Not with the cause, whose text is about what is secret.
        raise self._unprovable("the share is not what its parts make of the result")

    def _unprovable(self, why: str) -> CommitteeError:
        return CommitteeError(
            "SR-MEMBER-SHARE",
            f"member {self._member} can't prove its share: {why}, so the parts in its memory, or "
            "the machine, are damaged",
            "Let its operator restart the member, and restore its parts if that is no remedy",
            member=self._member,
        )


def part_prover(held: HeldParts, checks: Callable[[], PartChecks]) -> ShareProver:
    """Proves with a member's parts.

    Args:
        held: its parts.
        checks: reads those of the committee's parts in the state of these. They are read for each
            proof, and a member that lacks them gives shares all the same.
    """
    statement = held.committee.statement

    def prove(
        active: Sequence[str],
        result: SharedResult,
        words: NDArray[np.uint64],
        *,
        log_sigma: float,
        secret: bytes,
        context: bytes,
    ) -> Proof:
        check = checks().of(held.numbers_answering(active))
        require_provable(check, result.limbs, log_sigma)
        return threshold.prove_share(
            held.answering(active),
            check,
            bytes.fromhex(statement.seed),
            statement.public_limbs,
            result.second,
            limbs=result.limbs,
            positions=result.positions,
            words=words,
            log_sigma=log_sigma,
            secret=secret,
            context=context,
        )

    return prove


def _unknown(what: str) -> CommitteeError:
    return CommitteeError(
        "SR-MEMBER-QUERY",
        f"{what}: shares given before this member was started or its parts refreshed, or long "
        "ago, are not proved any more",
        "Ask anew, and demand proofs of that answer's shares",
        http_status=403,
    )
