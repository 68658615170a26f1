"""A member's side of the setup: it makes its parts and shares, and signs what came of it.

The secret key is never anywhere: each part is drawn by its dealer and shown to its other holders
alone, sealed to a one-time key. Rounds, after Mouchet, Troncoso-Pastoriza, Bossuat and Hubaux
("Multiparty homomorphic encryption from ring-learning-with-errors", eprint 2020/304), with
commitments in front of everything that could be chosen after others' (rules: `setup_record`):

    answer([])        a commitment to a contribution, and a one-time key
    answer(commits)   the contribution
    answer(reveals)   sealed parts, and digests of all first shares
    answer(offers)    agreement: from now on `share` shows them, and `take_shares` takes everybody's
    answer(agrees)    when all are taken, digests of the second shares of the key for products
    answer(seconds)   agreement: the same for these
    answer(agrees)    when all are taken, the signatures of the statement
    finish(committee) all members' signatures: the committee exists

Without a key for products there is no second round. A setup runs once, forwards, in one process:
whatever is wrong ends it, and a process that ends loses it, so that nobody gets a second answer
about one part by turning back. What may remain is sealed parts that no committee names.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from strongroom.canonical import canonical_json, digest
from strongroom.engine import threshold
from strongroom.errors import StrongroomError
from strongroom.keys.committee.key_items import (
    CHECK_NAME,
    PRODUCTS_NAME,
    PUBLIC_NAME,
    KeyItem,
    ShareFolder,
    first_items,
    second_items,
)
from strongroom.keys.committee.messages import (
    CONTRIBUTION_BYTES,
    Agree,
    Body,
    Commit,
    Confirm,
    Offer,
    Reveal,
    SealedPart,
    Second,
    setup_error,
)
from strongroom.keys.committee.parts import MemberStore
from strongroom.keys.committee.proposal import Terms, open_proposal, refused
from strongroom.keys.committee.setup_record import KeySink, SetupRecord, commitment
from strongroom.keys.committee.statement import STATEMENT_PURPOSE, Committee, Statement
from strongroom.keys.identity import Identity
from strongroom.keys.one_time_keys import OneTimeKey, seal_to

_PART_CONTEXT: Final = "strongroom committee part 1"
Allow = Callable[[Terms], None]
"""What the operator's policy says of a proposal: returns if the member may take part, raises
CommitteeError (SR-MEMBER-POLICY) if not."""


class MemberSetup:
    """One member in one setup. Not for several threads.

    Args:
        identity: the member's own.
        proposal: untrusted bytes of a `SignedProposal`.
        allow: the operator's policy.
        store: where the parts are kept.
        work: folder for own shares while the setup runs; what is in it is removed.
        sink: gets the collective keys, if this member wants them (for audits).

    Raises:
        CommitteeError: SR-COMMITTEE-SETUP if the proposal is wrong, or has no seat for this
            identity; what `allow` raises.
    """

    def __init__(
        self,
        identity: Identity,
        proposal: bytes,
        allow: Allow,
        store: MemberStore,
        work: Path,
        sink: KeySink | None = None,
    ) -> None:
        self._identity = identity
        self._terms = terms = open_proposal(proposal)
        name = terms.name_of(identity.fingerprint)
        if name is None:
            raise refused(f"it has no seat for {identity.fingerprint}")
        self._name = name
        allow(terms)
        self._store = store
        self._record = SetupRecord(terms, sink)
        self._shares = ShareFolder(work)
        self._own = b""
        self._statement: Statement | None = None
        self._contribution = secrets.token_bytes(CONTRIBUTION_BYTES)
        self._one_time_key = OneTimeKey()
        self._parts: dict[int, threshold.KeyPart] = {}
        self._rounds: dict[int, threshold.RelinearisationRound] = {}
        self._shown: frozenset[str] = frozenset()
        second = (self._second, self._agree_again) if second_items(terms) else ()
        self._steps: Iterator[Callable[[Sequence[bytes]], Body]] = iter(
            (self._commit, self._reveal, self._offer, self._agree, *second, self._confirm)
        )

    @property
    def name(self) -> str:
        """This member's, in the committee."""
        return self._name

    @property
    def terms(self) -> Terms:
        """What was proposed."""
        return self._terms

    @property
    def wanted(self) -> tuple[KeyItem, ...]:
        """Items whose shares `take_shares` waits for, in their order."""
        return self._record.wanted

    def answer(self, messages: Sequence[bytes]) -> bytes:
        """Take all members' messages of a round and say what this member says in the next.

        Args:
            messages: untrusted, one from each member in the committee's order; none at first.

        Returns:
            A `SignedMessage`.

        Raises:
            CommitteeError: SR-COMMITTEE-SETUP; the setup has ended then. SR-COMMITTEE-FILE and
                KeyStoreError if parts can't be kept.
        """
        try:
            if self._own and self._own not in messages:
                raise setup_error("its own message is not among those that came back", self._name)
            if (step := next(self._steps, None)) is None:
                raise setup_error("it has ended", self._name)
            self._own = self._record.transcript.say(self._identity, self._name, step(messages))
        except BaseException:
            self.close()
            raise
        return self._own

    def share(self, item: str, part: int) -> bytes:
        """An own share, when everybody is bound to theirs.

        Args:
            item: name of an item.
            part: that this member deals.

        Raises:
            CommitteeError: SR-COMMITTEE-SETUP if there is none to be shown (yet).
        """
        try:
            if item not in self._shown:
                raise KeyError(item)
            return self._shares.get(item, part)
        except KeyError:
            raise setup_error(f"it has no share of {item[:40]!a} to show", self._name) from None

    def take_shares(self, item: str, shares: Mapping[int, bytes]) -> None:
        """All parts' shares of one item; see `SetupRecord.take_shares`.

        Raises:
            CommitteeError: SR-COMMITTEE-SETUP, naming whose share is wrong; the setup has ended.
        """
        try:
            self._record.take_shares(item, shares)
            if item in (PUBLIC_NAME, CHECK_NAME):
                self._require_fitting(item, shares)
        except BaseException:
            self.close()
            raise

    def finish(self, committee: bytes) -> Committee:
        """Take the committee that all members signed, untrusted, and keep it.

        Raises:
            CommitteeError: SR-COMMITTEE-FILE if it is not signed by all; SR-COMMITTEE-SETUP if
                it is another one.
            KeyStoreError: it can't be kept.
        """
        found = Committee.from_bytes(committee)
        if found.statement != self._statement:
            raise setup_error("its statement is not the one that was signed here")
        self._store.keep_committee(found)
        self.close()
        return found

    def close(self) -> None:
        """End it: nothing is shown or said any more. What was signed before stays signed."""
        self._shown = frozenset()
        self._steps = iter(())
        self._parts.clear()
        self._rounds.clear()
        self._shares.clear()

    def _commit(self, messages: Sequence[bytes]) -> Body:
        if messages:
            raise setup_error("messages came before the first round")
        bound = commitment(self._terms, self._name, self._contribution)
        return Commit(bound, self._one_time_key.public)

    def _reveal(self, messages: Sequence[bytes]) -> Body:
        self._record.take_commits(messages)
        return Reveal(self._contribution)

    def _offer(self, messages: Sequence[bytes]) -> Body:
        self._record.take_reveals(messages)
        dealt = self._terms.access.dealt_by(self._name)
        for part in dealt:
            self._parts[part] = threshold.KeyPart.generate(self._terms.parameters)
        sealed = [self._seal(part) for part in dealt]
        digests = [
            self._shares.put(item, part, self._make_share(item, part))
            for item in first_items(self._terms)
            for part in dealt
        ]
        return Offer(tuple(one for some in sealed for one in some), tuple(digests))

    def _agree(self, messages: Sequence[bytes]) -> Body:
        before = self._record.transcript.digest
        offers = self._record.take_offers(messages)
        for dealer, offer in offers.items():
            for one in offer.parts:
                if one.holder == self._name:
                    self._parts[one.part] = self._open(before, dealer, one)
        del self._one_time_key  # a recording of this round can't be opened any more
        self._shown = frozenset(item.name for item in self._record.wanted)
        return Agree()

    def _second(self, messages: Sequence[bytes]) -> Body:
        self._record.take_agrees(messages)
        self._record.require_complete()
        (item,) = second_items(self._terms)
        digests = [
            self._shares.put(item, part, state.finish(self._record.first_sum))
            for part, state in self._rounds.items()
        ]
        self._rounds.clear()
        return Second(tuple(digests))

    def _agree_again(self, messages: Sequence[bytes]) -> Body:
        self._record.take_seconds(messages)
        self._shown |= {item.name for item in self._record.wanted}
        return Agree()

    def _confirm(self, messages: Sequence[bytes]) -> Body:
        self._record.take_agrees(messages)
        self._statement = self._record.statement()
        text = canonical_json(self._statement)
        name = digest(text)
        # On disk before it is signed for: everybody's signatures say that all parts are kept.
        parts = dict(sorted(self._parts.items()))
        self._store.keep_parts(name, name, self._name, parts, self._record.checks)
        self._parts.clear()
        return Confirm(self._identity.sign(STATEMENT_PURPOSE, text))

    def _make_share(self, item: KeyItem, part: int) -> bytes:
        secret, seed = self._parts[part], self._record.seed
        if item.name == PUBLIC_NAME:
            return threshold.public_key_share(secret, seed, item.limbs)
        if item.name == CHECK_NAME:
            return threshold.public_key_share(secret, threshold.check_seed(seed), item.limbs)
        if item.name == PRODUCTS_NAME:
            state, share = threshold.RelinearisationRound.begin(secret, seed, item.limbs)
            self._rounds[part] = state
            return share
        return threshold.galois_key_share(secret, seed, item.element, item.limbs)

    def _seal(self, part: int) -> list[SealedPart]:
        secret = self._parts[part].to_bytes()
        before = self._record.transcript.digest
        sealed = []
        for holder in self._terms.access.parts()[part][1:]:
            info = self._info(before, part, self._name, holder)
            try:
                data = seal_to(self._record.one_time_key(holder), secret, info)
            except ValueError:
                raise setup_error("its one-time key is none", holder) from None
            sealed.append(SealedPart(part, holder, data))
        return sealed

    def _open(self, before: str, dealer: str, one: SealedPart) -> threshold.KeyPart:
        info = self._info(before, one.part, dealer, self._name)
        try:
            secret = self._one_time_key.open(one.sealed, info)
            return threshold.KeyPart.from_bytes(self._terms.parameters, secret)
        except (ValueError, StrongroomError):
            what = f"the part that it sealed to {self._name} does not open"
            raise setup_error(what, dealer) from None

    def _info(self, before: str, part: int, dealer: str, holder: str) -> bytes:
        return canonical_json([_PART_CONTEXT, self._terms.digest, before, part, dealer, holder])

    def _require_fitting(self, name: str, shares: Mapping[int, bytes]) -> None:
        """Parts that others dealt are those that public key and checks were made with."""
        (item,) = (one for one in first_items(self._terms) if one.name == name)
        seed = self._record.seed
        if name == CHECK_NAME:
            seed = threshold.check_seed(seed)
        for part in self._terms.access.held_by(self._name):
            secret, share = self._parts[part], shares[part]
            if not threshold.is_public_key_share_of(secret, seed, item.limbs, share):
                what = (
                    f"the part that it sealed to {self._name} is not the one in "
                    f"{item.describe(self._terms)}"
                )
                raise setup_error(what, self._terms.access.dealer(part))
        if name == CHECK_NAME:
            self._require_provable()

    def _require_provable(self) -> None:
        access, limbs = self._terms.access, self._terms.proposal.public_limbs
        answered = access.answered_by(self._name)
        checks, seed = self._record.checks, self._record.seed
        if (misfit := checks.misfit(self._parts, answered, seed, limbs)) is not None:
            dealers = {access.dealer(part) for part in misfit} - {self._name}
            what = f"the checks of parts {misfit} do not fit together, at {self._name}"
            raise setup_error(what, dealers.pop() if len(dealers) == 1 else None)
