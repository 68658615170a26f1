"""Proofs of shares: what an asker demands of a member after it has its answer, and what it gets.

A share that is signed, well-formed and wrong makes a wrong answer, and says nothing of whose fault
that is. So whoever asked may demand a proof of every share, and who has none is named. A demand is
signed by the asker, for one result ciphertext of one query; the proof itself is the engine's, and
has two readers. Its shown half, megabytes, goes to the server, which has the result and examines
it. Its salts go to the asker, who judges what the server made of it by the share's words.

Rules:

1. Only the asker demands: its identity signed the query, and signs the demand.
2. Salts open for the query's one-time key alone. With them, guesses of a share's words could be
   tested; whoever carries them, the server above all, must not be able to.
3. A proof is of one query, result, place in it, member and state of the key, and of nothing else.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

import msgspec

from strongroom.canonical import Digest, canonical_json, digest
from strongroom.engine import threshold
from strongroom.engine.threshold import PartCheck, Proof
from strongroom.errors import CommitteeError, PackageError
from strongroom.keys.identity import Identity, PublicIdentity, Signatures
from strongroom.keys.one_time_keys import SEALING_BYTES, OneTimeKey, seal_to
from strongroom.keys.query import MAXIMUM_RESULTS, MemberName, Query

FORMAT: Final = "strongroom-proof-demand-1"
DEMAND_PURPOSE: Final = "proof demand"
"""What an asker's identity signs a demand for."""

PROOF_PURPOSE: Final = "share proof"
"""What a member's identity signs a proof for."""

MAXIMUM_SHOWN_BYTES: Final = 64 * 2**20
"""Of the shown half of a proof. The catalogue's largest ring takes a third of that."""

MAXIMUM_LINE: Final = 300
"""Characters of a server's word on why there is no proof."""

_INFO: Final = b"strongroom share proof\0"
_CONTEXT: Final = "strongroom share proof 1"
_MAXIMUM_SALTS_BYTES: Final = 4096

ResultIndex = Annotated[int, msgspec.Meta(ge=0, lt=MAXIMUM_RESULTS)]


class ProofDemand(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an asker wants to see proved.

    Attributes:
        format: of this statement.
        query, result, state: digests of the query and of the whole partial response, and that which
            members' parts belong to, as the shares have them.
        index: which result ciphertext.
    """

    format: Literal["strongroom-proof-demand-1"] = FORMAT
    query: Digest
    result: Digest
    state: Digest
    index: ResultIndex


class SignedDemand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A demand and the asker's signatures."""

    demand: ProofDemand
    signatures: Signatures

    @classmethod
    def by(cls, client: Identity, demand: ProofDemand) -> Self:
        """A demand, signed."""
        return cls(demand, client.sign(DEMAND_PURPOSE, canonical_json(demand)))

    def verify(self, client: PublicIdentity) -> None:
        """Check that this asker signed.

        Raises:
            CommitteeError: SR-MEMBER-QUERY (403).
        """
        try:
            client.verify(self.signatures, DEMAND_PURPOSE, canonical_json(self.demand))
        except PackageError as error:
            raise CommitteeError(
                "SR-MEMBER-QUERY",
                f"the demand for a proof is not signed by {client.fingerprint}, who asked",
                "Only whoever signed the query gets proofs of its shares",
                http_status=403,
            ) from error


class ProofStatement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a member signs with a proof.

    Attributes:
        query, result, state, index: as of the demand.
        member: its name.
        shown, sealed: digests of the shown half, and of the sealed salts.
    """

    query: Digest
    result: Digest
    state: Digest
    index: ResultIndex
    member: MemberName
    shown: Digest
    sealed: Digest


class SealedProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A member's proof of its share of one result, without the shown half.

    Attributes:
        query, result, state, index: as of the demand.
        member: its name.
        shown: digest of the shown half.
        sealed: the salts, by HPKE to the query's one-time key.
        signatures: the member's, of all of this.
    """

    query: Digest
    result: Digest
    state: Digest
    index: ResultIndex
    member: MemberName
    shown: Digest
    sealed: Annotated[
        bytes,
        msgspec.Meta(min_length=SEALING_BYTES, max_length=SEALING_BYTES + _MAXIMUM_SALTS_BYTES),
    ]
    signatures: Signatures

    @classmethod
    def by(
        cls, member: Identity, name: str, query: Query, demand: ProofDemand, proof: Proof
    ) -> Self:
        """Seal and sign a proof.

        Args:
            member: who proves.
            name: of that member in the committee.
            query: whose share is proved.
            demand: that is answered; of this query.
            proof: as the engine made it.

        Raises:
            CommitteeError: SR-MEMBER-QUERY if the query's one-time key is none.
        """
        try:
            sealed = seal_to(query.target, proof.salts, _INFO + proof_context(demand, name))
        except ValueError as error:
            raise CommitteeError(
                "SR-MEMBER-QUERY",
                "the query's one-time key is none",
                "Send what the client library made, unaltered",
            ) from error
        shown = digest(proof.shown)
        statement = _statement(demand, name, shown, sealed)
        return cls(
            query=demand.query,
            result=demand.result,
            state=demand.state,
            index=demand.index,
            member=name,
            shown=shown,
            sealed=sealed,
            signatures=member.sign(PROOF_PURPOSE, canonical_json(statement)),
        )

    def verify(self, member: PublicIdentity, name: str, demand: ProofDemand) -> None:
        """Check that a member sent this in answer to a demand. Whether it proves anything, only who
        opens it can tell.

        Args:
            member, name: whose proof it has to be.

        Raises:
            CommitteeError: SR-MEMBER-SHARE, with the member's name.
        """
        answers = (self.query, self.result, self.state, self.index, self.member)
        try:
            if answers != (demand.query, demand.result, demand.state, demand.index, name):
                raise PackageError("SR-PACKAGE-SIGNATURE", "it is of something else")
            statement = _statement(demand, name, self.shown, self.sealed)
            member.verify(self.signatures, PROOF_PURPOSE, canonical_json(statement))
        except PackageError as error:
            raise no_proof(name, "it is not signed by that member, or is of something else") from (
                error
            )

    def open(self, target: OneTimeKey) -> bytes:
        """The salts of a verified proof.

        Args:
            target: the query's one-time key.

        Raises:
            CommitteeError: SR-MEMBER-SHARE, with the member's name.
        """
        demand = ProofDemand(
            query=self.query, result=self.result, state=self.state, index=self.index
        )
        try:
            return target.open(self.sealed, _INFO + proof_context(demand, self.member))
        except ValueError as error:
            raise no_proof(self.member, "its salts do not open") from error


class ProofEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a server has of one member in answer to a demand.

    Attributes:
        member: its name.
        proof: None if there is none.
        examined: what the server made of its shown half, as `engine.threshold.Examined` writes it;
            empty if there is none.
        code, line: why there is none, as the server says; empty if there is one.
    """

    member: MemberName
    proof: SealedProof | None = None
    examined: bytes = b""
    code: Annotated[str, msgspec.Meta(max_length=64)] = ""
    line: Annotated[str, msgspec.Meta(max_length=MAXIMUM_LINE)] = ""


def proof_context(demand: ProofDemand, member: str) -> bytes:
    """What the proof itself is bound to, beside the numbers that it is of."""
    return canonical_json(
        [_CONTEXT, demand.query, demand.result, demand.state, demand.index, member]
    )


def require_provable(check: PartCheck, limbs: int, log_sigma: float) -> None:
    """Shares of such results can be proved against a check: see `engine.threshold`.

    Raises:
        CommitteeError: SR-COMMITTEE-MISMATCH. No member is at fault.
    """
    try:
        threshold.require_provable(check, limbs, log_sigma)
    except ValueError as error:
        raise CommitteeError(
            "SR-COMMITTEE-MISMATCH",
            f"shares of this model's results can't be proved: {error}",
            "Ask without proofs, or make a new committee and encrypt the model under its key",
        ) from error


def no_proof(member: str, what: str) -> CommitteeError:
    """The error for what a member sent as a proof."""
    return CommitteeError(
        "SR-MEMBER-SHARE",
        f"what member {member} sent does not prove its share: {what}",
        "Keep it, and ask that member's operator; meanwhile ask another set of members",
        member=member,
        http_status=502,
    )


def _statement(demand: ProofDemand, name: str, shown: str, sealed: bytes) -> ProofStatement:
    return ProofStatement(
        query=demand.query,
        result=demand.result,
        state=demand.state,
        index=demand.index,
        member=name,
        shown=shown,
        sealed=digest(sealed),
    )
