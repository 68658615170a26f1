"""Proactive refresh: new parts of the same key (Herzberg, Jarecki, Krawczyk, Yung, CRYPTO 1995).

Whoever steals parts from one member today and from another next year must not have the key. So the
members change all parts, in a way that the sum keeps, and destroy the old ones: parts from before
and after do not go together. The public key, the evaluation keys and the encrypted models stay.

For every pair of parts a random seed is drawn; what it expands to, a uniform polynomial, is added
to one of them and subtracted from the other, so the sum of all changes is zero. The dealer of the
pair's first part draws the seed and seals it to every other holder of either part, under one-time
keys, so that no later theft opens it from a recording; it commits to it before everybody, so that
all holders of a part change it alike. Parts of which a thief holds none change by polynomials that
it knows nothing of but their sum.

So that shares can be proved afterwards too, the dealer shows everybody a check of the polynomial
(`part_checks`); who has the seed compares. One part's check gains what the other's loses, and the
sum of all checks stays what it was: nobody gets another sample of the key itself.

    proposal -> refresh-key -> refresh-deal -> confirm -> committee with one more record

A member keeps its new parts beside the old ones before it signs, and destroys the old ones when
everybody has signed. Until then the old ones are those that answer, so a refresh that is not
finished changes nothing. All who answer one query must answer from one state, which
`Committee.state` names. A member that signed and never saw the end does not sign another refresh
of the same state (`MemberStore.require_settled`): with two, some could end up with parts of one and
some of the other, and the key would be lost.

Not for: a member that shall leave, or another access structure (old holders would have to be
trusted to forget); make a new committee and encrypt the model anew. The budget of shares is the
key's and does not start again.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence

from strongroom.canonical import canonical_json, digest
from strongroom.engine.threshold import KeyPart, PartCheck
from strongroom.keys.committee.messages import (
    SEED_BYTES,
    Body,
    Confirm,
    DealtSeed,
    RefreshDeal,
    RefreshKey,
    SealedSeed,
    setup_error,
)
from strongroom.keys.committee.part_checks import PartChecks
from strongroom.keys.committee.parts import MemberStore
from strongroom.keys.committee.refresh_record import (
    RefreshProposal,
    RefreshView,
    pairs_dealt_by,
    readers,
    seed_commitment,
)
from strongroom.keys.committee.statement import (
    REFRESH_PURPOSE,
    Committee,
    RefreshRecord,
    file_error,
)
from strongroom.keys.identity import Identity
from strongroom.keys.one_time_keys import OneTimeKey, seal_to


class MemberRefresh:
    """One member in one refresh. Not for several threads; ends with the first fault.

        answer([])       a one-time key
        answer(keys)     the seeds that this member deals
        answer(deals)    new parts are kept; the signatures of the record
        finish(committee) everybody has signed: the old parts are destroyed

    Args:
        identity: the member's own.
        committee: as it is now; verified.
        proposal: untrusted bytes.
        allow: the operator's policy; raises CommitteeError to refuse.
        store: where the parts are kept.

    Raises:
        CommitteeError: SR-COMMITTEE-SETUP, SR-COMMITTEE-ACCESS; SR-COMMITTEE-FILE if the checks of
            the parts can't be used; what `allow` raises.
    """

    def __init__(
        self,
        identity: Identity,
        committee: Committee,
        proposal: bytes,
        allow: Callable[[RefreshProposal], None],
        store: MemberStore,
    ) -> None:
        self._view = view = RefreshView(committee, proposal, store.checks(committee))
        if (name := committee.name_of(identity.fingerprint)) is None:
            raise setup_error(f"it has no member {identity.fingerprint}")
        allow(view.proposal)
        store.require_settled(committee)
        self._name = name
        self._parameters = committee.parameters
        self._common_seed = bytes.fromhex(committee.statement.seed)
        self._public_limbs = committee.statement.public_limbs
        self._identity = identity
        self._store = store
        self._own = b""
        self._one_time_key = OneTimeKey()
        self._seeds: dict[tuple[int, int], bytes] = {}
        self._record: RefreshRecord | None = None
        self._steps: Iterator[Callable[[Sequence[bytes]], Body]] = iter(
            (self._key, self._deal, self._confirm)
        )

    @property
    def name(self) -> str:
        """This member's, in the committee."""
        return self._name

    def answer(self, messages: Sequence[bytes]) -> bytes:
        """Take all members' messages of a round and say what this member says in the next.

        Args:
            messages: untrusted, one from each member in the committee's order; none at first.

        Raises:
            CommitteeError: SR-COMMITTEE-SETUP; SR-COMMITTEE-FILE and KeyStoreError if parts can't
                be opened or kept.
        """
        try:
            if self._own and self._own not in messages:
                raise setup_error("its own message is not among those that came back", self._name)
            if (step := next(self._steps, None)) is None:
                raise setup_error("it has ended", self._name)
            self._own = self._view.transcript.say(self._identity, self._name, step(messages))
        except BaseException:
            self.close()
            raise
        return self._own

    def finish(self, committee: bytes) -> Committee:
        """Take the committee with the record that all members signed, and destroy the old parts.

        Raises:
            CommitteeError: SR-COMMITTEE-FILE if not all signed; SR-COMMITTEE-SETUP if it is not
                about what was signed here.
            KeyStoreError: the store can't be changed.
        """
        found = Committee.from_bytes(committee)
        before = self._view.committee
        same = found.statement == before.statement and found.refreshes[:-1] == before.refreshes
        if not same or not found.refreshes or found.refreshes[-1].record != self._record:
            raise setup_error("its record is not the one that was signed here")
        self._store.keep_committee(found)
        self.close()
        return found

    def close(self) -> None:
        """End it. Without everybody's signatures the old parts stay those that count."""
        self._steps = iter(())
        self._seeds.clear()

    def _key(self, messages: Sequence[bytes]) -> Body:
        if messages:
            raise setup_error("messages came before the first round")
        return RefreshKey(self._one_time_key.public)

    def _deal(self, messages: Sequence[bytes]) -> Body:
        self._view.take_keys(messages)
        access = self._view.committee.access
        before = self._view.transcript.digest
        dealt = []
        for add, subtract in pairs_dealt_by(access, self._name):
            seed = secrets.token_bytes(SEED_BYTES)
            self._seeds[add, subtract] = seed
            sealed = tuple(
                SealedSeed(holder, self._seal(before, holder, add, subtract))
                for holder in readers(access, add, subtract)
            )
            check = self._check(seed).to_bytes()
            dealt.append(DealtSeed(add, subtract, seed_commitment(seed), check, sealed))
        return RefreshDeal(tuple(dealt))

    def _confirm(self, messages: Sequence[bytes]) -> Body:
        before = self._view.transcript.digest
        for dealer, deal in self._view.take_deals(messages).items():
            for one in deal.seeds:
                for sealed in one.sealed:
                    if sealed.holder == self._name:
                        seed = self._open(before, dealer, one, sealed)
                        self._require_checked(dealer, one, seed)
                        self._seeds[one.add, one.subtract] = seed
        del self._one_time_key  # a recording of this refresh can't be opened any more
        committee = self._view.committee
        self._store.require_settled(committee)
        held = self._store.open(committee, self._name)
        if self._misfit(self._store.checks(committee), held.parts) is not None:
            raise file_error(f"the parts of {self._name} are not those of the key", self._name)
        record, checks = self._view.record(), self._view.checks
        text = canonical_json(record)
        parts = {number: self._changed(number, part) for number, part in held.parts.items()}
        if (misfit := self._misfit(checks, parts)) is not None:
            raise setup_error(f"the new checks of parts {misfit} do not fit, at {self._name}")
        # On disk before it is signed for, as in a setup.
        self._store.keep_parts(committee.digest, digest(text), self._name, parts, checks)
        self._seeds.clear()
        self._record = record
        return Confirm(self._identity.sign(REFRESH_PURPOSE, text))

    def _seal(self, before: str, holder: str, add: int, subtract: int) -> bytes:
        info = self._view.seed_info(before, self._name, holder, add, subtract)
        try:
            return seal_to(self._view.one_time_key(holder), self._seeds[add, subtract], info)
        except ValueError:
            raise setup_error("its one-time key is none", holder) from None

    def _open(self, before: str, dealer: str, one: DealtSeed, sealed: SealedSeed) -> bytes:
        info = self._view.seed_info(before, dealer, self._name, one.add, one.subtract)
        try:
            seed = self._one_time_key.open(sealed.sealed, info)
        except ValueError:
            what = f"the seed that it sealed to {self._name} does not open"
            raise setup_error(what, dealer) from None
        if not hmac.compare_digest(seed_commitment(seed), one.commitment):
            what = f"the seed that it sealed to {self._name} is not the one that it was bound to"
            raise setup_error(what, dealer)
        return seed

    def _check(self, seed: bytes) -> PartCheck:
        return PartCheck.of_part(
            KeyPart.expanded(self._parameters, seed), self._common_seed, self._public_limbs
        )

    def _require_checked(self, dealer: str, one: DealtSeed, seed: bytes) -> None:
        change = KeyPart.expanded(self._parameters, seed)
        check = self._view.change(one.add, one.subtract)
        if not check.is_of(change, self._common_seed, self._public_limbs):
            what = f"its check is not of the seed that it sealed to {self._name}"
            raise setup_error(what, dealer)

    def _misfit(self, checks: PartChecks, parts: Mapping[int, KeyPart]) -> Sequence[int] | None:
        answered = self._view.committee.access.answered_by(self._name)
        return checks.misfit(parts, answered, self._common_seed, self._public_limbs)

    def _changed(self, number: int, part: KeyPart) -> KeyPart:
        return part.shifted(
            [seed for (add, _), seed in self._seeds.items() if add == number],
            [seed for (_, subtract), seed in self._seeds.items() if subtract == number],
        )
