"""A member's end of making or refreshing a key: the coordinator's messages, one after the other.

    setup-begin      a proposal                        -> setup-said, the member's first message
    setup-answer     all members' messages of a round  -> setup-said, its next one
    setup-share      an item and a part                -> setup-shown, its own share of it
    setup-take       all shares of an item             -> setup-taken
    setup-finish     the committee, signed by all      -> setup-finished
    refresh-begin, refresh-answer, refresh-finish      the same for new parts of the same key

What may be made, the operator's policy says; what is said, `keys.committee`. One at a time: a
beginning ends what was under way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec

from strongroom.canonical import canonical_json
from strongroom.errors import ServerError
from strongroom.keys.committee.folder import CommitteeFolderWriter
from strongroom.keys.committee.messages import setup_error
from strongroom.keys.committee.parts import MemberStore
from strongroom.keys.committee.proposal import Terms, open_proposal
from strongroom.keys.committee.refresh import MemberRefresh
from strongroom.keys.committee.refresh_record import RefreshProposal, SignedRefreshProposal
from strongroom.keys.committee.setup import MemberSetup
from strongroom.keys.committee.statement import Committee
from strongroom.keys.identity import Identity, PublicIdentity
from strongroom.member.frames import pack_frames, unpack_frames
from strongroom.member.policy import PolicyFile, SetupRule, refused

BEGIN: Final = "setup-begin"
ANSWER: Final = "setup-answer"
SHARE: Final = "setup-share"
TAKE: Final = "setup-take"
FINISH: Final = "setup-finish"
REFRESH_BEGIN: Final = "refresh-begin"
REFRESH_ANSWER: Final = "refresh-answer"
REFRESH_FINISH: Final = "refresh-finish"
SAID: Final = "setup-said"
SHOWN: Final = "setup-shown"
TAKEN: Final = "setup-taken"
FINISHED: Final = "setup-finished"

PURPOSES: Final = frozenset(
    {BEGIN, ANSWER, SHARE, TAKE, FINISH, REFRESH_BEGIN, REFRESH_ANSWER, REFRESH_FINISH}
)
MAXIMUM_BYTES: Final = 1 << 30
"""Of a body: all shares of one key, in the largest ring."""

_DIGITS: Final = 24
_START: Final = len("sha256:")

_log = logging.getLogger("strongroom.server.member")


class WantedShare(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which share is to be shown.

    Attributes:
        item: name of an item (`keys.committee.key_items`).
        part: number of a part that the member deals.
    """

    item: Annotated[str, msgspec.Meta(max_length=40)]
    part: Annotated[int, msgspec.Meta(ge=0, le=64)]


class SetupDesk:
    """One member's setups and refreshes. For one thread at a time.

    Args:
        identity: of the member.
        policy: what the operator allows.
        store: where parts are kept.
        home: the home folder.
        committee: a committee that this member is in, by digest; raises CommitteeError.
        settled: called with a committee that was made or refreshed.
    """

    def __init__(
        self,
        identity: Identity,
        policy: PolicyFile,
        store: MemberStore,
        home: Path,
        committee: Callable[[str], Committee],
        settled: Callable[[Committee], None],
    ) -> None:
        self._identity = identity
        self._policy = policy
        self._store = store
        self._home = home
        self._committee = committee
        self._settled = settled
        self._setup: MemberSetup | None = None
        self._writer: CommitteeFolderWriter | None = None
        self._refresh: MemberRefresh | None = None

    def known(self) -> Mapping[str, PublicIdentity]:
        """Who may begin something: the coordinator whom the policy names."""
        rule = self._policy.current().setup
        if rule is None:
            return {}
        coordinator = PublicIdentity.from_text(rule.coordinator)
        return {coordinator.fingerprint: coordinator}

    def answer(self, sender: PublicIdentity, purpose: str, body: memoryview) -> tuple[str, bytes]:
        """Answer one message.

        Args:
            sender: authenticated, and the coordinator whom the policy names.
            purpose: one of `PURPOSES`.
            body: untrusted.

        Raises:
            CommitteeError: SR-MEMBER-POLICY, SR-COMMITTEE-SETUP, -ACCESS, -FILE, -MISMATCH.
            KeyStoreError: parts can't be kept.
            ServerError: SR-REQUEST-FORMAT.
        """
        if purpose == BEGIN:
            return SAID, self._begin(bytes(body))
        if purpose == REFRESH_BEGIN:
            return SAID, self._begin_refresh(bytes(body))
        if purpose in (REFRESH_ANSWER, REFRESH_FINISH):
            return self._go_on_refreshing(purpose, body)
        setup = self._setup
        if setup is None:
            raise setup_error("this member is in no setup")
        if purpose == ANSWER:
            return SAID, setup.answer(unpack_frames(body))
        if purpose == SHARE:
            wanted = _decode(body)
            return SHOWN, setup.share(wanted.item, wanted.part)
        if purpose == TAKE:
            item, *shares = unpack_frames(body)
            setup.take_shares(item.decode("ascii", "replace"), dict(enumerate(shares)))
            return TAKEN, b""
        return FINISHED, self._finish(setup, bytes(body))

    def close(self) -> None:
        """End what is under way."""
        if self._setup is not None:
            self._setup.close()
        if self._refresh is not None:
            self._refresh.close()
        if self._writer is not None:
            self._writer.__exit__(None, None, None)
        self._setup = self._refresh = self._writer = None

    def _begin(self, proposal: bytes) -> bytes:
        self.close()
        terms = open_proposal(proposal)
        self._allow(terms)
        if self._policy.current().audit_rate > 0.0:
            self._writer = CommitteeFolderWriter(keys_folder(self._home, terms.digest))
        self._setup = setup = MemberSetup(
            self._identity,
            proposal,
            self._allow,
            self._store,
            self._home / "setup",
            self._writer,
        )
        _log.info(
            "setup begun",
            extra={"coordinator": terms.coordinator.fingerprint, "proposal": terms.digest},
        )
        return setup.answer([])

    def _finish(self, setup: MemberSetup, data: bytes) -> bytes:
        committee = setup.finish(data)
        if self._writer is not None:
            self._writer.finish(committee)
        self.close()
        _log.info("committee made", extra={"committee": committee.digest})
        self._settled(committee)
        return canonical_json(committee.digest)

    def _begin_refresh(self, proposal: bytes) -> bytes:
        self.close()
        try:
            signed = msgspec.json.decode(proposal, type=SignedRefreshProposal)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise setup_error("the refresh's proposal is none") from error
        committee = self._committee(signed.proposal.committee)

        def allow(_proposal: RefreshProposal) -> None:
            self._require_rule(committee.statement.access, _fingerprints(committee))

        self._refresh = refresh = MemberRefresh(
            self._identity, committee, proposal, allow, self._store
        )
        return refresh.answer([])

    def _go_on_refreshing(self, purpose: str, body: memoryview) -> tuple[str, bytes]:
        refresh = self._refresh
        if refresh is None:
            raise setup_error("this member is in no refresh")
        if purpose == REFRESH_ANSWER:
            return SAID, refresh.answer(unpack_frames(body))
        committee = refresh.finish(bytes(body))
        self.close()
        names = {"committee": committee.digest, "state": committee.state}
        _log.info("parts refreshed", extra=names)
        self._settled(committee)
        return FINISHED, canonical_json(committee.state)

    def _allow(self, terms: Terms) -> None:
        """What the operator's policy says of a proposal.

        Raises:
            CommitteeError: SR-MEMBER-POLICY.
        """
        members = tuple(one.fingerprint for one in terms.identities.values())
        rule = self._require_rule(terms.proposal.access, members)
        if terms.coordinator.fingerprint not in self.known():
            raise refused(f"the coordinator {terms.coordinator.fingerprint} is not the policy's")
        if terms.proposal.share_budget > rule.share_budget:
            raise refused(
                f"the key would allow {terms.proposal.share_budget} results, the policy "
                f"allows {rule.share_budget}"
            )

    def _require_rule(self, access: str, members: tuple[str, ...]) -> SetupRule:
        rule = self._policy.current().setup
        if rule is None or (rule.access, rule.members) != (access, members):
            raise refused(f"the policy names no committee {access} of these members")
        return rule


def keys_folder(home: Path, proposal: str) -> Path:
    """Where a member keeps the evaluation keys that came of a proposal, for audits."""
    return home / "committee-keys" / proposal[_START : _START + _DIGITS]


def encode_shares(item: str, shares: Mapping[int, bytes]) -> bytes:
    """The body of `TAKE`."""
    return pack_frames([item.encode("ascii"), *(shares[part] for part in sorted(shares))])


def _fingerprints(committee: Committee) -> tuple[str, ...]:
    return tuple(one.fingerprint for one in committee.identities.values())


def _decode(body: memoryview) -> WantedShare:
    try:
        return msgspec.json.decode(body, type=WantedShare)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ServerError(
            "SR-REQUEST-FORMAT",
            "this names no share",
            "Check that both sides run the same version of Strongroom",
            http_status=400,
        ) from error
