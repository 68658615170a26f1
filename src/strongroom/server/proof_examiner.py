"""Examining proofs of shares: the server's part, which has the result that they are about.

What a member shows of its proof is held against the checks of the parts that it answers for, which
all members signed, and the result. What comes of it says nothing of the share: the asker, who has
the words and the salts, tells from it whether the proof holds. The asker does not get the result,
whose second polynomial could tell about weights' ciphertexts.
"""

from __future__ import annotations

from strongroom import protections
from strongroom.engine import threshold
from strongroom.errors import CommitteeError
from strongroom.keys.query import Query
from strongroom.keys.share_proofs import ProofDemand, no_proof, proof_context, require_provable
from strongroom.package.manifest import decode_manifest
from strongroom.server.committee_documents import CommitteeDocuments
from strongroom.server.model import ModelDescription


class ProofExaminer:
    """Examines proofs about one model's results. Safe for threads; computes for a second.

    Args:
        model: that a worker opened and described.
        documents: of its committee.
    """

    def __init__(self, model: ModelDescription, documents: CommitteeDocuments) -> None:
        plan = decode_manifest(model.manifest_json.encode()).plan
        self._results = protections.by_name(model.protection).shared_results(
            plan, package=model.digest
        )
        self._documents = documents

    def require_state(self, demand: ProofDemand) -> None:
        """The checks that are here are of the parts that the demand is about.

        Raises:
            CommitteeError: SR-COMMITTEE-MISMATCH (409), SR-COMMITTEE-FILE.
        """
        state = self._documents.committee().state
        if demand.state != state:
            raise CommitteeError(
                "SR-COMMITTEE-MISMATCH",
                f"the shares are of parts in state {demand.state}, and the server has the checks "
                f"of state {state}: they were refreshed meanwhile, or the server was not told",
                "Ask again, or have the committee's folder at the server replaced",
                http_status=409,
            )

    def examine(
        self, query: Query, demand: ProofDemand, partial: bytes, member: str, shown: bytes
    ) -> bytes:
        """What the asker needs of one member's proof, as `threshold.Examined` writes it.

        Args:
            query: that was answered.
            demand: about this query and this result, in the present state.
            partial: the whole partial response.
            member: who shows it.
            shown: untrusted.

        Raises:
            CommitteeError: SR-MEMBER-SHARE if that is no proof, or not of these parts;
                SR-MEMBER-QUERY if there is no such result; SR-COMMITTEE-MISMATCH if such shares
                can't be proved; SR-COMMITTEE-FILE.
        """
        results = self._results.results(partial)
        if demand.index >= len(results):
            raise CommitteeError(
                "SR-MEMBER-QUERY",
                f"the demand is about result {demand.index}, and there are {len(results)}",
                "Demand proofs of results that there are",
            )
        result, committee = results[demand.index], self._documents.committee()
        answerers = committee.access.answerers(query.active)
        check = self._documents.checks().of([p for p, who in answerers.items() if who == member])
        require_provable(check, result.limbs, self._results.log_sigma)
        examined = threshold.examine(
            check,
            bytes.fromhex(committee.statement.seed),
            committee.statement.public_limbs,
            result.second,
            limbs=result.limbs,
            positions=result.positions,
            log_sigma=self._results.log_sigma,
            context=proof_context(demand, member),
            shown=shown,
        )
        if examined is None:
            raise no_proof(member, "it is none, or not of the parts that the member answers for")
        return examined.to_bytes()
