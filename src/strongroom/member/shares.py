"""Judging a request for a share, and giving it.

In this order, each before the next is looked at, and the first that fails is the refusal:

1. The server that brings the result was not caught at a wrong one before.
2. The query is of this committee, and an enrolled client signed it (both: `admission`).
3. The operator allows that client and that package now, and so many results.
4. The active set may decrypt, names this member, and leaves it something to answer.
5. The query is not too old.
6. The package is one under this committee's key, and the result has the form, the level and the
   number of ciphertexts that its plan and the query say. Where this member audits at all, the
   client's rows came along with it.
7. The ledger: the counter, an answer that was given before, the budget, the day; and the peers have
   countersigned enough.
8. The audit, for a share of the queries that nobody can tell beforehand: the result is computed
   again, and every byte compared.

Then the share is computed, sealed, signed, written down, given, and kept in memory to be proved.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from strongroom.canonical import canonical_json, digest
from strongroom.errors import CiphertextError, CommitteeError
from strongroom.keys.committee.access import Access
from strongroom.keys.identity import Identity, PublicIdentity
from strongroom.keys.query import Query, SealedShare, milliseconds
from strongroom.member.admission import admit
from strongroom.member.days import DailyLimits
from strongroom.member.given_shares import GivenShares
from strongroom.member.ledger import Ledger, Wanted
from strongroom.member.policy import MemberPolicy, PolicyFile, refused
from strongroom.member.share_request import ShareRequest
from strongroom.protections.interface import SharedResult

_AHEAD_MILLISECONDS: Final = 5 * 60 * 1000

_log = logging.getLogger("strongroom.server.member")

Part = TypeVar("Part")
Part_co = TypeVar("Part_co", covariant=True)
Part_contra = TypeVar("Part_contra", contravariant=True)


class Model(Protocol):
    """What a member knows of a package."""

    @property
    def log_sigma(self) -> float:
        """Base-2 logarithm of the smudging that its plan says."""
        ...

    def results(self, partial: memoryview) -> Sequence[SharedResult]:
        """The results in a partial response.

        Raises:
            CiphertextError: it is not one of this package.
        """
        ...

    def expected(self, request: memoryview) -> bytes:
        """The partial response to a protected request, computed here.

        Raises:
            CiphertextError: the request is not one of this package.
            StrongroomError: it can't be computed here.
        """
        ...


class Models(Protocol):
    """The packages whose results this member answers."""

    def find(self, package: str) -> Model:
        """One package. Raises CommitteeError: SR-MEMBER-POLICY, SR-COMMITTEE-MISMATCH."""
        ...


class Holding(Protocol[Part_co]):
    """A member's parts of a committee's key; `keys.committee.parts.HeldParts` is one."""

    @property
    def member(self) -> str:
        """Name of the member."""
        ...

    def answering(self, active: Sequence[str]) -> Sequence[Part_co]:
        """The parts that it answers for in an active set."""
        ...


class ShareMaker(Protocol[Part_contra]):
    """`engine.threshold.decryption_share`."""

    def __call__(
        self,
        parts: Sequence[Part_contra],
        c1: bytes,
        *,
        limbs: int,
        positions: NDArray[np.uint32],
        log_sigma: float,
    ) -> NDArray[np.uint64]:
        """Words of shape (limbs, positions)."""
        ...


class Judge:
    """Answers requests for shares. Safe for threads.

    Args:
        identity: of the member.
        committee: digest of the committee's statement.
        state: digest that the parts belong to: the same, or that of the last refresh.
        access: its access structure.
        holding: the member's parts.
        make_share: computes with them.
        ledger: what was answered before.
        policy: what the operator allows.
        models: the packages.
        given: keeps what is given, for proofs.
        require_witnesses: raises if the peers have not countersigned enough of the log.
        now: the time, UTC, which does not go back while the process runs.
    """

    def __init__(
        self,
        identity: Identity,
        committee: str,
        state: str,
        access: Access,
        holding: Holding[Part],
        make_share: ShareMaker[Part],
        ledger: Ledger,
        policy: PolicyFile,
        models: Models,
        given: GivenShares,
        *,
        require_witnesses: Callable[[MemberPolicy], None],
        now: Callable[[], datetime],
    ) -> None:
        self._identity = identity
        self._committee = committee
        self._state = state
        self._access = access
        self._member = holding.member
        self._ledger = ledger
        self._policy = policy
        self._models = models
        self._given = given
        self._require_witnesses = require_witnesses
        self._now = now
        # A query is audited or not however often it is brought, and nobody outside can tell which.
        self._audit_key = secrets.token_bytes(32)

        def words(
            active: Sequence[str], results: Sequence[SharedResult], log_sigma: float
        ) -> _Words:
            parts = holding.answering(active)
            return [
                make_share(
                    parts,
                    result.second,
                    limbs=result.limbs,
                    positions=result.positions,
                    log_sigma=log_sigma,
                )
                for result in results
            ]

        def answers_for(active: Sequence[str]) -> int:
            return len(holding.answering(active))

        self._words = words
        self._answers_for = answers_for

    def answer(self, server: PublicIdentity, request: ShareRequest) -> bytes:
        """The share that a server asks for: a `SealedShare` in canonical JSON.

        Args:
            server: who asks, authenticated, and named by the policy.
            request: untrusted.

        Raises:
            CommitteeError: why there is none: SR-MEMBER-AUDIT, -QUERY, -POLICY, -BUDGET,
                -ROLLBACK, -UNREACHABLE; SR-COMMITTEE-ACCESS, -MISMATCH.
            ServerError: SR-REQUEST-BUSY, SR-SERVER-CONFIG.
            CiphertextError: the result has not the form that the plan says.
            KeyStoreError: SR-IDENTITY-CLOCK, SR-KEYS-FILE.
        """
        policy, now = self._policy.current(), self._now()
        query = request.query.query
        _, client = admit(
            server,
            request.query,
            committee=self._committee,
            ledger=self._ledger,
            policy=policy,
        )
        package = policy.package(client, query.package, now)
        if query.blocks > policy.results_per_query:
            raise refused(
                f"the query wants {query.blocks} results, allowed are {policy.results_per_query}"
            )
        self._require_active(query)
        model = self._models.find(query.package)
        results = model.results(request.partial)
        if len(results) != query.blocks:
            raise _wrong_query(f"{len(results)} results came, the query wants {query.blocks}")
        self._require_rows(request, policy)
        wanted = Wanted(
            query=query.digest,
            result=request.result,
            client=query.client,
            counter=query.counter,
            package=query.package,
            server=server.fingerprint,
            cost=query.blocks,
        )
        limits = DailyLimits(client.queries_per_day, package.queries_per_day)
        given = self._ledger.begin(wanted, now, limits)
        if isinstance(given, bytes):
            _log.info("share repeated", extra={"client": query.client, "query": query.digest})
            return given
        with given:
            self._require_young(query, policy, now)
            self._require_witnesses(policy)
            audited = self._audited(query, policy)
            if audited:
                self._audit(model, request, wanted)
            words = self._words(query.active, results, model.log_sigma)
            share = SealedShare.by(
                self._identity, self._member, query, request.result, self._state, words
            )
            answer = canonical_json(share)
            given.commit(answer, audited=audited)
            self._given.keep(query.digest, request.result, words)
        _log.info(
            "share given",
            extra={
                "client": query.client,
                "package": query.package,
                "server": server.fingerprint,
                "query": query.digest,
                "counter": query.counter,
                "results": query.blocks,
                "audited": audited,
                "budget_left": self._ledger.budget - self._ledger.spent,
            },
        )
        return answer

    def _require_active(self, query: Query) -> None:
        self._access.require(query.active)
        if self._member not in query.active:
            raise _wrong_query(f"the query does not ask member {self._member}")
        if self._answers_for(query.active) == 0:
            raise _wrong_query(f"the query asks more members than it takes: {self._member} too")

    def _require_young(self, query: Query, policy: MemberPolicy, now: datetime) -> None:
        age = milliseconds(now) - query.issued
        if not -_AHEAD_MILLISECONDS <= age <= policy.query_age_seconds * 1000:
            raise _wrong_query(
                f"the query was issued {age // 1000} seconds ago, "
                f"allowed are {policy.query_age_seconds}"
            )

    def _require_rows(self, request: ShareRequest, policy: MemberPolicy) -> None:
        """Nothing, if the rows came along. Whether this query is audited does not matter: who is
        asked for them in an audit alone leaves them out with results that are wrong, is refused
        when it would have been caught, and answered otherwise."""
        if policy.audit_rate > 0.0 and not request.input:
            raise CommitteeError(
                "SR-MEMBER-AUDIT",
                "this member computes results again, and the request's rows did not come along",
                "Let the server bring them",
                http_status=403,
            )

    def _audited(self, query: Query, policy: MemberPolicy) -> bool:
        number = hmac.digest(self._audit_key, query.digest.encode(), hashlib.sha256)[:8]
        return int.from_bytes(number) < policy.audit_rate * 2.0**64

    def _audit(self, model: Model, request: ShareRequest, wanted: Wanted) -> None:
        """Compute the result again, and refuse this server from now on if it is another."""
        try:
            expected = model.expected(request.input)
        except CiphertextError:
            # An honest server would have got no result from rows that can't be computed with.
            expected = b""
        if expected == request.partial:
            return
        self._ledger.record_deviation(wanted, digest(expected), self._now())
        _log.error(
            "AUDIT FAILED: a server brought a wrong result; it gets no more shares",
            extra={
                "server": wanted.server,
                "client": wanted.client,
                "package": wanted.package,
                "query": wanted.query,
                "result": wanted.result,
                "expected": digest(expected),
            },
        )
        raise CommitteeError(
            "SR-MEMBER-AUDIT",
            "the result is not what the package makes of the client's rows",
            "Tell the operators of all members, and ask nothing more of this server",
            http_status=403,
        )


_Words = list[NDArray[np.uint64]]


def _wrong_query(what: str) -> CommitteeError:
    return CommitteeError(
        "SR-MEMBER-QUERY", what, "Make a new query as the plan says", http_status=403
    )
