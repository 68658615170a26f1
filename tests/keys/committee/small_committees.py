"""Committees in memory, over a ring that is small but inside the security table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from strongroom.canonical import canonical_json
from strongroom.engine import CatalogueEntry, catalogued, rotation_element
from strongroom.keys.committee.access import Access
from strongroom.keys.committee.coordinator import Coordinator
from strongroom.keys.committee.messages import Message, SignedMessage
from strongroom.keys.committee.parts import HeldParts, MemberStore
from strongroom.keys.committee.proposal import SignedProposal, Terms, propose
from strongroom.keys.committee.refresh import MemberRefresh
from strongroom.keys.committee.refresh_coordinator import RefreshCoordinator
from strongroom.keys.committee.refresh_record import RefreshProposal, propose_refresh
from strongroom.keys.committee.setup import MemberSetup
from strongroom.keys.committee.setup_record import KeySink
from strongroom.keys.committee.statement import Committee
from strongroom.keys.identity import Identity
from strongroom.protections.interface import KeyNeed, KeyNeeds

NAME: Final = "n12-committees"
ENTRY: Final = CatalogueEntry(
    NAME, 2**12, (1073692673, 1073668097), (68719403009,), "classical-128"
)
NOW: Final = datetime(2026, 11, 23, 4, 30, tzinfo=UTC)
VENDOR_AND_ONE: Final = "vendor AND 1-of-2(hospital, auditor)"
TWO_OF_THREE: Final = "2-of-3(a, b, c)"
PASSPHRASE: Final = "of the tests' parts"

Alter = Callable[[str, str, bytes], bytes]
"""Gets a round, a member's name and its message; returns what arrives instead."""


@cache
def identity(name: str) -> Identity:
    """A member's identity, the same for the whole run."""
    return Identity.generate(name)


def needs(*steps: int, products: bool = True) -> KeyNeeds:
    """Products if they are wanted, rotations by some steps, and a public key, at two primes."""
    elements = {rotation_element(catalogued(NAME), step) for step in steps}
    if products:
        elements.add(0)
    return KeyNeeds(NAME, tuple(KeyNeed(element, 2) for element in sorted(elements)), 2)


def allow_everything(_terms: Terms) -> None:
    """The policy of a member that takes part in anything."""


def proposal_of(
    text: str, wanted: KeyNeeds | None = None, *, share_budget: int = 1000
) -> SignedProposal:
    """A proposal for some members, by the owner."""
    access = Access.parse(text)
    seats = {name: (identity(name).public, f"http://{name}.test:8443") for name in access.members}
    return propose(
        identity("owner"), access, seats, wanted or needs(1), now=NOW, share_budget=share_budget
    )


class Members:
    """All members of a committee, each with a store and a working folder of its own."""

    def __init__(self, folder: Path, text: str) -> None:
        self.folder = folder
        self.names = Access.parse(text).members
        self.stores = {
            name: MemberStore(folder / name / "home", passphrase=PASSPHRASE) for name in self.names
        }

    def setups(self, proposal: bytes) -> dict[str, MemberSetup]:
        """Everybody at the beginning of a setup."""
        return {
            name: MemberSetup(
                identity(name),
                proposal,
                allow_everything,
                self.stores[name],
                self.folder / name / "work",
            )
            for name in self.names
        }

    def refreshes(self, committee: Committee, proposal: bytes) -> dict[str, MemberRefresh]:
        """Everybody at the beginning of a refresh."""

        def allow(_proposal: RefreshProposal) -> None:
            """Anything."""

        return {
            name: MemberRefresh(identity(name), committee, proposal, allow, self.stores[name])
            for name in self.names
        }

    def coordinator(self, committee: Committee, proposal: bytes) -> RefreshCoordinator:
        """The coordinator of a refresh, with the first member's copy of the checks."""
        return RefreshCoordinator(committee, proposal, self.stores[self.names[0]].checks(committee))

    def held(self, committee: Committee) -> dict[str, HeldParts]:
        """Everybody's parts."""
        return {name: self.stores[name].open(committee, name) for name in self.names}


def unaltered(_round: str, _name: str, message: bytes) -> bytes:
    """What an honest network does."""
    return message


def next_round(coordinator: Coordinator, setups: dict[str, MemberSetup], alter: Alter) -> None:
    """One round, its messages as `alter` leaves them."""
    messages = []
    for name, setup in setups.items():
        said = setup.answer(coordinator.messages)
        messages.append(alter(round_of(said), name, said))
    coordinator.take(messages)


def gather(coordinator: Coordinator, setups: dict[str, MemberSetup]) -> None:
    """The shares of all items that are waited for, to everybody."""
    access = coordinator.terms.access
    for item in coordinator.wanted:
        shares = {
            part: setups[access.dealer(part)].share(item.name, part)
            for part in range(len(access.parts()))
        }
        coordinator.take_shares(item.name, shares)
        for setup in setups.values():
            setup.take_shares(item.name, shares)


def until(
    members: Members, proposal: SignedProposal, last: str
) -> tuple[Coordinator, dict[str, MemberSetup]]:
    """An honest setup whose next answers are to the messages of a round."""
    coordinator = Coordinator(identity("owner"), proposal)
    setups = members.setups(coordinator.proposal)
    while not coordinator.messages or round_of(coordinator.messages[0]) != last:
        next_round(coordinator, setups, unaltered)
        gather(coordinator, setups)
    return coordinator, setups


def run_setup(
    members: Members,
    proposal: SignedProposal,
    *,
    sink: KeySink | None = None,
    alter: Alter = unaltered,
) -> Committee:
    """A whole setup in memory."""
    coordinator = Coordinator(identity("owner"), proposal, sink)
    setups = members.setups(coordinator.proposal)
    while not coordinator.finished:
        next_round(coordinator, setups, alter)
        gather(coordinator, setups)
    data = coordinator.committee.to_bytes()
    for setup in setups.values():
        setup.finish(data)
    return coordinator.committee


def run_refresh(members: Members, committee: Committee) -> Committee:
    """A whole refresh in memory."""
    proposal = propose_refresh(identity("owner"), committee, now=NOW)
    coordinator = members.coordinator(committee, proposal)
    refreshes = members.refreshes(committee, proposal)
    while not coordinator.finished:
        coordinator.take([one.answer(coordinator.messages) for one in refreshes.values()])
    data = coordinator.committee.to_bytes()
    for one in refreshes.values():
        one.finish(data)
    return coordinator.committee


def round_of(message: bytes) -> str:
    """The tag of a message's body."""
    return str(msgspec.json.decode(message)["message"]["body"]["type"])


def resigned(message: bytes, signer: str, change: Callable[[Message], Message]) -> bytes:
    """A changed message, signed as a deviating member would."""
    signed = msgspec.json.decode(message, type=SignedMessage)
    changed = change(signed.message)
    signatures = identity(signer).sign("committee message", canonical_json(changed))
    return canonical_json(SignedMessage(changed, signatures))
