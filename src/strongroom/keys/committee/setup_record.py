"""The public side of a setup: what everybody who sees the messages checks and computes.

Each member and the coordinator have one, and none of them takes another's word for anything in it.

Rules. What breaks one of them ends the setup, naming whose message or share it was:

1. Contributions to the common randomness are committed to before any is shown. So as long as one
   member draws its own at random, nobody has chosen the public polynomials of the keys.
2. Shares of keys are committed to, by everybody, before any is shown. So nobody chooses its share
   after seeing others': no member can make the sum a key of its own.
3. A share counts for what its dealer signed the digest of, and for nothing else.
4. Every key is summed here from all shares; what others computed is not asked.
5. The second shares of the key for products are of the first ones' sum as it was computed here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from strongroom.canonical import canonical_json, digest
from strongroom.engine import (
    PublicKey,
    SwitchingKey,
    public_key_to_bytes,
    threshold,
)
from strongroom.errors import CiphertextError
from strongroom.keys.committee.key_items import (
    CHECK_NAME,
    PRODUCTS_NAME,
    PUBLIC_NAME,
    SECOND_NAME,
    KeyItem,
    first_items,
    second_items,
    share_digest,
)
from strongroom.keys.committee.messages import (
    Agree,
    Commit,
    Confirm,
    Offer,
    Reveal,
    Second,
    Transcript,
    setup_error,
)
from strongroom.keys.committee.part_checks import PartChecks
from strongroom.keys.committee.proposal import FORMAT, Terms
from strongroom.keys.committee.statement import MadeKey, Statement

_COMMITMENT: Final = b"strongroom committee contribution\0"
_SEED: Final = b"strongroom committee seed\0"


class KeySink(Protocol):
    """Who wants the keys as they are made, one after the other: a folder on disk."""

    def add_public(self, key: PublicKey) -> None:
        """The collective public key; comes first."""

    def add_checks(self, checks: PartChecks) -> None:
        """The checks of all parts; come next."""

    def add(self, key: SwitchingKey) -> None:
        """An evaluation key; it is let go after the call."""


class SetupRecord:
    """What was said and shown so far.

    Args:
        terms: of the proposal.
        sink: gets the keys; None if nobody wants them.
    """

    def __init__(self, terms: Terms, sink: KeySink | None = None) -> None:
        self.terms = terms
        self.transcript = Transcript(terms.digest, terms.identities)
        self._sink = sink
        self._commits: dict[str, Commit] = {}
        self._seed = b""
        self._digests: dict[tuple[str, int], str] = {}
        self._wanted: dict[str, KeyItem] = {}
        self._first_sum = b""
        self._public_key = ""
        self._public_shares: tuple[bytes, ...] = ()
        self._checks: PartChecks | None = None
        self._keys: dict[int, MadeKey] = {}

    @property
    def seed(self) -> bytes:
        """The common randomness, 32 bytes; nothing before it is known."""
        return self._seed

    @property
    def wanted(self) -> tuple[KeyItem, ...]:
        """Items whose shares may be taken now, and have not been; in their order."""
        return tuple(self._wanted.values())

    @property
    def first_sum(self) -> bytes:
        """The first step of the key for products, as it was summed here."""
        return self._first_sum

    @property
    def checks(self) -> PartChecks:
        """The checks of all parts, when all shares have come."""
        assert self._checks is not None
        return self._checks

    def one_time_key(self, member: str) -> bytes:
        """The public half of a member's one-time key."""
        return self._commits[member].one_time_key

    def take_commits(self, messages: Sequence[bytes]) -> None:
        """The first round, untrusted. This and the others raise SR-COMMITTEE-SETUP."""
        self._commits = self.transcript.take(Commit, messages)

    def take_reveals(self, messages: Sequence[bytes]) -> None:
        """The second round."""
        reveals = self.transcript.take(Reveal, messages)
        for name, said in reveals.items():
            if commitment(self.terms, name, said.contribution) != self._commits[name].contribution:
                raise setup_error("it shows another contribution than it was bound to", name)
        contributions = b"".join(said.contribution for said in reveals.values())
        self._seed = hashlib.sha256(_SEED + contributions).digest()

    def take_offers(self, messages: Sequence[bytes]) -> dict[str, Offer]:
        """The third round; after it the first items' shares may come."""
        offers = self.transcript.take(Offer, messages)
        access, items = self.terms.access, first_items(self.terms)
        for name, offer in offers.items():
            dealt = access.dealt_by(name)
            addressed = [(i, holder) for i in dealt for holder in access.parts()[i][1:]]
            if [(one.part, one.holder) for one in offer.parts] != addressed:
                raise setup_error("it does not offer its parts to their holders", name)
            self._expect(name, items, offer.shares)
        return offers

    def take_agrees(self, messages: Sequence[bytes]) -> None:
        """The fourth round, and the sixth: everybody is shown the same digests of shares."""
        self.transcript.take(Agree, messages)

    def take_seconds(self, messages: Sequence[bytes]) -> None:
        """The fifth round; after it the shares of `second_items` may come."""
        self.require_complete()
        for name, second in self.transcript.take(Second, messages).items():
            self._expect(name, second_items(self.terms), second.shares)

    def take_confirms(self, messages: Sequence[bytes]) -> dict[str, Confirm]:
        """The last round."""
        return self.transcript.take(Confirm, messages)

    def take_shares(self, name: str, shares: Mapping[int, bytes]) -> None:
        """All parts' shares of one item, untrusted; of the key that they make only digests stay.

        Args:
            name: of an item in `wanted`.
            shares: by number of the part.

        Raises:
            CommitteeError: SR-COMMITTEE-SETUP, naming whose share is wrong.
        """
        if (item := self._wanted.get(name)) is None:
            raise setup_error(f"shares of {name[:40]!a} came, which nobody waits for")
        parts = range(len(self.terms.access.parts()))
        if list(shares) != list(parts):
            raise setup_error(f"shares of {name} came for some parts only")
        for part in parts:
            if share_digest(part, shares[part]) != self._digests[name, part]:
                dealer = self.terms.access.dealer(part)
                raise setup_error(
                    f"its share of {item.describe(self.terms)} is not the one that it was bound to",
                    dealer,
                )
        try:
            self._combine(item, list(shares.values()))
        except threshold.ShareError as error:
            dealer = self.terms.access.dealer(error.share)
            what = f"its share of {item.describe(self.terms)} is none: {error.message}"
            raise setup_error(what, dealer) from error
        del self._wanted[name]

    def require_complete(self) -> None:
        """All shares that were waited for have come.

        Raises:
            CommitteeError: SR-COMMITTEE-SETUP.
        """
        if self._wanted:
            missing = next(iter(self._wanted.values()))
            raise setup_error(f"shares of {missing.describe(self.terms)} are missing")

    def statement(self) -> Statement:
        """What came of it, when all keys are made.

        Raises:
            CommitteeError: SR-COMMITTEE-SETUP if shares are missing.
        """
        self.require_complete()
        proposal = self.terms.proposal
        return Statement(
            format=FORMAT,
            access=proposal.access,
            members=proposal.members,
            coordinator=proposal.coordinator,
            parameters=proposal.parameters,
            parameters_digest=self.terms.parameters.digest.hex(),
            public_limbs=proposal.public_limbs,
            public_key=self._public_key,
            keys=tuple(self._keys[key.element] for key in proposal.keys),
            checks=self.checks.digest,
            share_budget=proposal.share_budget,
            created=proposal.created,
            seed=self._seed.hex(),
            proposal=self.terms.digest,
            transcript=self.transcript.digest,
        )

    def _expect(self, name: str, items: Sequence[KeyItem], digests: Sequence[str]) -> None:
        places = [(item.name, part) for item in items for part in self.terms.access.dealt_by(name)]
        if len(digests) != len(places):
            raise setup_error(f"it is bound to {len(digests)} shares, not {len(places)}", name)
        self._digests.update(zip(places, digests, strict=True))
        self._wanted.update((item.name, item) for item in items)

    def _combine(self, item: KeyItem, shares: Sequence[bytes]) -> None:
        parameters, limbs = self.terms.parameters, item.limbs
        if item.name == PUBLIC_NAME:
            key = threshold.combine_public_key(parameters, self._seed, limbs, shares)
            self._public_key = hashlib.sha256(public_key_to_bytes(key)).hexdigest()
            self._public_shares = tuple(shares)
            if self._sink is not None:
                self._sink.add_public(key)
        elif item.name == CHECK_NAME:
            self._check(shares)
        elif item.name == PRODUCTS_NAME:
            self._first_sum = threshold.combine_round_one(parameters, limbs, shares)
        elif item.name == SECOND_NAME:
            self._made(
                threshold.combine_relinearisation_key(parameters, limbs, self._first_sum, shares)
            )
        else:
            self._made(
                threshold.combine_galois_key(parameters, self._seed, item.element, limbs, shares)
            )

    def _check(self, shares: Sequence[bytes]) -> None:
        if not self._public_shares:
            raise setup_error(f"shares of {CHECK_NAME} came before those of {PUBLIC_NAME}")
        pairs = enumerate(zip(self._public_shares, shares, strict=True))
        self._checks = checks = PartChecks(
            tuple(self._check_of(part, public, share) for part, (public, share) in pairs)
        )
        self._public_shares = ()
        if self._sink is not None:
            self._sink.add_checks(checks)

    def _check_of(self, part: int, public: bytes, share: bytes) -> threshold.PartCheck:
        limbs = self.terms.proposal.public_limbs
        try:
            return threshold.PartCheck.from_shares(
                self.terms.parameters, self._seed, limbs, public, share
            )
        except CiphertextError as error:
            raise threshold.ShareError(part, error) from error

    def _made(self, key: SwitchingKey) -> None:
        self._keys[key.element] = MadeKey(key.element, key.limbs, words_digest(key))
        if self._sink is not None:
            self._sink.add(key)


def commitment(terms: Terms, member: str, contribution: bytes) -> str:
    """What binds a member to its contribution before it shows it."""
    return digest(_COMMITMENT + canonical_json([terms.digest, member]) + contribution)


def words_digest(key: SwitchingKey) -> str:
    """SHA-256 of a key's words in hexadecimal, as the index of a key file has it."""
    return hashlib.sha256(key.native.words.astype("<u8", copy=False).data).hexdigest()
