"""Who gets anything of a member: the first questions about a query, whatever is asked about it.

1. The server that brings it was not caught at a wrong result before. (That it is one of those whom
   the operator named, the channel has checked.)
2. The query is of this committee.
3. An enrolled client signed it.
"""

from __future__ import annotations

from strongroom.errors import CommitteeError
from strongroom.keys.identity import PublicIdentity
from strongroom.keys.query import SignedQuery
from strongroom.member.ledger import Ledger
from strongroom.member.policy import ClientRule, MemberPolicy


def admit(
    server: PublicIdentity,
    signed: SignedQuery,
    *,
    committee: str,
    ledger: Ledger,
    policy: MemberPolicy,
) -> tuple[PublicIdentity, ClientRule]:
    """The client that signed a query, and what it may ask.

    Args:
        server: who brings it, authenticated, and named by the policy.
        signed: untrusted.
        committee: digest of the member's committee.

    Raises:
        CommitteeError: SR-MEMBER-AUDIT, SR-COMMITTEE-MISMATCH, SR-MEMBER-POLICY, SR-MEMBER-QUERY.
    """
    found = ledger.deviation(server.fingerprint)
    if found is not None:
        raise CommitteeError(
            "SR-MEMBER-AUDIT",
            f"this server brought a wrong result before, to query {found.query}",
            "Let the member's operator look into it, and pardon the server if it may go on",
            http_status=403,
        )
    query = signed.query
    if query.committee != committee:
        raise CommitteeError(
            "SR-COMMITTEE-MISMATCH",
            f"the query is for committee {query.committee}, this is {committee}",
            "Ask the members of that committee",
        )
    identity, client = policy.client(query.client)
    signed.verify(identity)
    return identity, client
