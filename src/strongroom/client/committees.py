"""Committees as an asker sees them: verified, and asked by signed queries.

The rules:

1. The committee is the one that the signed plan names by its digest; its statement is signed by
   all members; the public key is the one that plan and statement name. So a server can't put
   another key in front of an asker.
2. Each query names the members that it asks. The smallest sets are tried in the committee's
   order, those without members that failed before first.
3. When members fail, rows are encrypted anew for another set, and that is another query. It happens
   before anything of an answer is opened, once for each set; what can't be opened is never asked
   again by itself (see `Transport`), but where a member is at fault (see `share_checks`).
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from strongroom.canonical import canonical_json, digest
from strongroom.client.transport import Transport
from strongroom.compiler.plan import CommitteeKey
from strongroom.engine import PublicKey, public_key_bytes, public_key_from_bytes
from strongroom.errors import CiphertextError, CommitteeError
from strongroom.keys.committee.statement import MAXIMUM_COMMITTEE_BYTES, Committee
from strongroom.keys.identity import Identity
from strongroom.keys.one_time_keys import OneTimeKey
from strongroom.keys.query import Query, SealedShare, SignedQuery, milliseconds
from strongroom.keys.query_counters import QueryCounters
from strongroom.keys.share_proofs import ProofDemand, SignedDemand

_AVOIDED_SECONDS: Final = 60.0
"""So long after a member failed it is asked last."""


def fetch_committee(transport: Transport, holder: CommitteeKey) -> tuple[Committee, PublicKey]:
    """The committee that a plan names, and its public key.

    Raises:
        ServerError: the server does not answer.
        CommitteeError: SR-COMMITTEE-MISMATCH, SR-COMMITTEE-FILE: it shows another one.
    """
    path = f"/v2/committees/{holder.committee}"
    committee = Committee.from_bytes(transport.ask("GET", path, MAXIMUM_COMMITTEE_BYTES))
    statement = committee.statement
    if (committee.digest, statement.public_key) != (holder.committee, holder.public_key):
        raise _another("it shows another committee than the one that the plan names")
    parameters, limbs = committee.parameters, statement.public_limbs
    data = transport.ask("GET", f"{path}/public-key", public_key_bytes(parameters, limbs))
    if hashlib.sha256(data).hexdigest() != holder.public_key:
        raise _another("it shows another public key than the one that the plan names")
    try:
        return committee, public_key_from_bytes(parameters, data, limbs=limbs)
    except CiphertextError as error:
        raise _another("the committee's public key can't be read") from error


class Queries:
    """Makes an asker's queries at one committee. Not for several threads at once.

    Args:
        identity: of the asker, that the members enrolled.
        committee: verified.
        package: digest of the package that is asked.
        home: where counters are kept; None keeps them in memory.
    """

    def __init__(
        self, identity: Identity, committee: Committee, package: str, home: Path | None
    ) -> None:
        self._identity = identity
        self._committee = committee
        self._package = package
        self._counters = QueryCounters(home, identity.fingerprint, committee.digest)
        self._failed: dict[str, float] = {}

    @property
    def committee(self) -> Committee:
        """Whose members are asked."""
        return self._committee

    def active_sets(self) -> Iterator[tuple[str, ...]]:
        """Sets of members to ask, the one to ask first at first."""
        now = time.monotonic()
        sets = self._committee.access.smallest_sets()
        tried: set[tuple[str, ...]] = set()
        while left := [one for one in sets if one not in tried]:
            chosen = min(left, key=lambda one: self._failures(one, now))
            tried.add(chosen)
            yield chosen

    def failed(self, member: str) -> None:
        """A member did not answer, or refused."""
        self._failed[member] = max(self._failed.get(member, 0.0), time.monotonic())

    def unproved(self, member: str) -> None:
        """A member did not prove its share: it is asked last from now on."""
        self._failed[member] = math.inf

    def signed(
        self, request: bytes, results: int, target: OneTimeKey, active: tuple[str, ...]
    ) -> SignedQuery:
        """A query for the results of a protected request.

        Args:
            request: whole.
            results: how many result ciphertexts it has.
            target: that shares are sealed to, for this query only.
            active: who is asked.
        """
        query = Query(
            committee=self._committee.digest,
            package=self._package,
            client=self._identity.fingerprint,
            input=digest(request),
            blocks=results,
            target=target.public,
            counter=self._counters.next(),
            active=active,
            issued=milliseconds(datetime.now(UTC)),
        )
        return SignedQuery.by(self._identity, query)

    def demand(self, share: SealedShare, index: int) -> SignedDemand:
        """A demand for proofs of this share and the others of an answer to this asker's query.

        Args:
            index: which result ciphertext.
        """
        demand = ProofDemand(query=share.query, result=share.result, state=share.state, index=index)
        return SignedDemand.by(self._identity, demand)

    def _failures(self, active: tuple[str, ...], now: float) -> int:
        return sum(
            name in self._failed and now - self._failed[name] < _AVOIDED_SECONDS for name in active
        )


def text_of(signed: SignedQuery | SignedDemand) -> str:
    """As a request carries it."""
    return canonical_json(signed).decode()


def _another(what: str) -> CommitteeError:
    return CommitteeError(
        "SR-COMMITTEE-MISMATCH",
        f"the server does not have the model's committee: {what}",
        "Ask the model's owner where the model is served",
    )
