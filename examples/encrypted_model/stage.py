"""The parties, their members, and what came of what they tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from examples.encrypted_model.member import Member
from examples.model_sharing.party import Party, RefusedError, Say

Attempt = dict[str, str]


@dataclass
class Stage:
    """The parties, and what came of what they tried.

    Attributes:
        members: of vendor, hospital and auditor, by name.
        attempts: who tried what, in order, and how it ended: "done", or the code of the refusal.
    """

    vendor: Party
    hospital: Party
    auditor: Party
    cloud: Party
    say: Say
    seed: int
    members: dict[str, Member] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def parties(self) -> tuple[Party, ...]:
        """All of them."""
        return self.vendor, self.hospital, self.auditor, self.cloud

    def tried(self, party: Party, what: str, act: Callable[[], Any]) -> Any:
        """Have a party try something; what came of it, or None if it was refused."""
        result, ended = None, "done"
        try:
            result = act()
        except RefusedError as refusal:
            ended = refusal.code
            self.say(f"  {refusal.message}")
        self.attempts.append({"party": party.name, "tried": what, "ended": ended})
        self.say(f"{party.name}: {what}: {ended}")
        return result


@contextmanager
def staged(folder: Path, say: Say, seed: int) -> Iterator[Stage]:
    """A folder for each party; members that still run are stopped when the context ends."""

    def party(name: str) -> Party:
        return Party(name, folder.resolve() / name, say)

    stage = Stage(
        party("vendor"), party("hospital"), party("auditor"), party("cloud"), say=say, seed=seed
    )
    stage.members = {one.name: Member(one) for one in stage.parties[:-1]}
    try:
        yield stage
    finally:
        for one in stage.members.values():
            one.stop()
