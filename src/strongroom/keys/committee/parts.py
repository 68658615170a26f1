"""What a member keeps: its parts of a committee's key, sealed, and what the committee signed.

    $STRONGROOM_HOME, or ~/.strongroom
        parts/                                         0700
            <committee>-<state>.key                    0600, see `keys.sealing`
        committees/
            <committee>.json                           what all members signed
            <committee>-<state>.checks                 public, see `part_checks`

Names are the first 24 hex digits of digests; `state` is the digest that parts and checks belong
to: of the statement, later of the last refresh. Both are written before their holder signs for
them, so whoever has everybody's signatures knows that all parts are on disk, and the statement is
replaced, in one step, when those of its state are there. Parts that nobody else confirmed are never
opened: a committee whose statement was not signed by all is none. Whatever a process that ended
left of an earlier state goes when the parts are opened next.

A file that is destroyed is unlinked. What a disk keeps of it stays sealed: with a lock in a
keyring, a token or a key service its key is gone too; under a passphrase it is as safe as that.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec

from strongroom.canonical import Digest, canonical_json
from strongroom.engine.threshold import KeyPart
from strongroom.errors import CommitteeError, StrongroomError
from strongroom.keys.committee.messages import PartNumber
from strongroom.keys.committee.part_checks import PartChecks
from strongroom.keys.committee.proposal import MemberName
from strongroom.keys.committee.statement import Committee, file_error
from strongroom.keys.custody import Custody, Prompt
from strongroom.keys.custody_choices import Choice
from strongroom.keys.home import home_folder
from strongroom.keys.permissions import PRIVATE, check_folder, make_folder
from strongroom.keys.sealed_files import SealedFiles
from strongroom.keys.sealing import MAXIMUM_SECRET_BYTES

_DIGITS: Final = 24
_START: Final = len("sha256:")
_SUFFIX: Final = ".json"
_CHECKS_SUFFIX: Final = ".checks"


class _SealedPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    part: PartNumber
    secret: bytes


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a sealed file holds."""

    committee: Digest
    state: Digest
    member: MemberName
    parts: Annotated[tuple[_SealedPart, ...], msgspec.Meta(min_length=1)]


@dataclass(frozen=True, slots=True)
class HeldParts:
    """A member's parts, opened. Never shown, never pickled.

    Attributes:
        committee: whose key they are of.
        member: name of the holder.
        parts: by number.
    """

    committee: Committee
    member: str
    parts: Mapping[int, KeyPart]

    def __repr__(self) -> str:
        return f"HeldParts({self.member!r}, parts {', '.join(map(str, self.parts))})"

    def __reduce__(self) -> str:
        raise TypeError("parts of a key are not pickled")

    def answering(self, active: Sequence[str]) -> list[KeyPart]:
        """The parts that this member answers for in an active set; often none.

        Raises:
            CommitteeError: SR-COMMITTEE-ACCESS if the set is not allowed.
        """
        return [self.parts[part] for part in self.numbers_answering(active)]

    def numbers_answering(self, active: Sequence[str]) -> tuple[int, ...]:
        """The numbers of the parts that this member answers for in an active set.

        Raises:
            CommitteeError: SR-COMMITTEE-ACCESS if the set is not allowed.
        """
        answerers = self.committee.access.answerers(active)
        return tuple(part for part, name in answerers.items() if name == self.member)


class MemberStore:
    """A member's committees and parts below one home. Holds no part between two calls.

    Args:
        home: the home folder; $STRONGROOM_HOME, else ~/.strongroom, if None.
        passphrase: that locks the parts; else $STRONGROOM_PASSPHRASE, or the prompt.
        prompt: asks a person for a passphrase, or for the PIN of a token.
        choice: what locks new files, as of `keys.custody_choices`; see `keys.custody` if None.

    Raises:
        KeyStoreError: SR-KEYS-PERMISSIONS if other users of the machine have access.
    """

    def __init__(
        self,
        home: str | os.PathLike[str] | None = None,
        *,
        passphrase: str | None = None,
        prompt: Prompt | None = None,
        choice: Choice | None = None,
    ) -> None:
        self._home = home_folder(home)
        self._files = SealedFiles(self._home, "parts", one_passphrase=True)
        self._custody = Custody(passphrase, prompt, subject="the parts of committees' keys")
        self._choice = choice
        self._files.check()

    def __repr__(self) -> str:
        return f"MemberStore({str(self._home)!r})"

    def keep_parts(
        self,
        committee: str,
        state: str,
        member: str,
        parts: Mapping[int, KeyPart],
        checks: PartChecks,
    ) -> None:
        """Seal parts durably, and keep all parts' checks: after this its holder may sign for them.

        Args:
            committee: digest of the statement.
            state: digest that the parts belong to.
            checks: of the parts of all members.

        Raises:
            CommitteeError: SR-COMMITTEE-FILE if there are parts for that state already, or the
                checks can't be written.
            KeyStoreError: SR-KEYS-LOCKED, -PASSPHRASE, -PERMISSIONS, -FILE, -CUSTODY.
        """
        sealed = tuple(_SealedPart(number, part.to_bytes()) for number, part in parts.items())
        secret = canonical_json(_Sealed(committee, state, member, sealed))
        if len(secret) > MAXIMUM_SECRET_BYTES:
            raise file_error(f"the parts of {member} take {len(secret)} bytes", member)
        try:
            self._files.create(_name(committee, state), secret, self._custody, self._choice)
        except FileExistsError:
            raise file_error(f"{member} has parts for this state already", member) from None
        # In this order: parts whose checks are missing were not signed for, and can be discarded.
        path = self._checks_path(committee, state)
        make_folder(path.parent)
        checks.write(path)

    def keep_committee(self, committee: Committee, checks: PartChecks | None = None) -> None:
        """Keep what all members signed, and destroy the parts of the states that it replaces.

        Parts that may yet count stay: those of a refresh that this statement does not know of.

        Args:
            checks: of its present parts, where those that are here may be lost.

        Raises:
            CommitteeError: SR-COMMITTEE-FILE if there are no parts for it here, or no checks, if
                it is older than what is kept, or if the file can't be written.
            KeyStoreError: SR-KEYS-PERMISSIONS, -FILE, -LOCKED.
            ValueError: the checks are of other parts.
        """
        committee.verify()
        if checks is not None and checks.digest != committee.checks_digest:
            raise ValueError("these are the checks of other parts")
        if _name(committee.digest, committee.state) not in self._files.names():
            raise file_error("no parts for its state are held here")
        path = self.committee_path(committee.digest)
        make_folder(path.parent)
        if path.exists():
            kept = Committee.read(path)
            if committee.refreshes[: kept.epoch] != kept.refreshes:
                raise file_error("it knows less of its refreshes than is known here")
        if checks is not None:
            checks.write(self._checks_path(committee.digest, committee.state))
        self.checks(committee)
        committee.write(path)
        self._destroy_replaced(committee)

    def require_settled(self, committee: Committee) -> None:
        """Refuse a refresh while another that was signed for here may have been finished elsewhere.

        Raises:
            CommitteeError: SR-COMMITTEE-SETUP.
        """
        known = {_name(committee.digest, state) for state in committee.states}
        ours = (n for n in self._files.names() if n.startswith(_digits(committee.digest)))
        if unsettled := sorted(set(ours) - known):
            raise CommitteeError(
                "SR-COMMITTEE-SETUP",
                # A member's refusal carries this line alone.
                f"an earlier refresh was signed here, and its end is not known: {unsettled[0]}; "
                "`strongroom member adopt` takes it, `strongroom member discard` gives it up",
                "Fetch committee.json from its coordinator or another member, and keep it with "
                "`strongroom member adopt committee.json`; if nobody has it with one refresh more, "
                f"run `strongroom member discard {unsettled[0]}` at every member",
            )

    def unfinished(self) -> tuple[str, ...]:
        """Names of sealed parts that no kept committee has, now or before: of setups and refreshes
        that were signed for here, and whose end is not known."""
        known = {_name(one.digest, state) for one in self.committees() for state in one.states}
        return tuple(name for name in self._files.names() if name not in known)

    def discard(self, name: str) -> None:
        """Destroy sealed parts that `unfinished` names. If a committee was finished with them
        elsewhere after all, this member's parts of its key are lost.

        Raises:
            CommitteeError: SR-COMMITTEE-FILE if it names none of these.
            KeyStoreError: SR-KEYS-PERMISSIONS, -FILE, -LOCKED.
        """
        if name not in self.unfinished():
            raise file_error(f"{name[:80]!a} names no parts that are unfinished")
        _unlink(self._committees / f"{name}{_CHECKS_SUFFIX}")
        self._files.delete(name, self._custody)

    def checks(self, committee: Committee) -> PartChecks:
        """The checks of all parts of the committee's key, in its present state.

        Args:
            committee: verified.

        Raises:
            CommitteeError: SR-COMMITTEE-FILE if they are not here, or not those that all signed.
        """
        return PartChecks.read(self._checks_path(committee.digest, committee.state), committee)

    def committee_path(self, committee: str) -> Path:
        """Where the statement of a committee is, or would be."""
        return self._committees / f"{_digits(committee)}{_SUFFIX}"

    def committees(self) -> list[Committee]:
        """All committees that this member holds parts of, checked; by digest.

        Raises:
            CommitteeError: SR-COMMITTEE-FILE, naming the file that does not hold.
            KeyStoreError: SR-KEYS-PERMISSIONS, SR-KEYS-FILE.
        """
        if not check_folder(self._committees, PRIVATE):
            return []
        found = [Committee.read(path) for path in sorted(self._committees.glob(f"*{_SUFFIX}"))]
        held = self._files.names()
        return [one for one in found if _name(one.digest, one.state) in held]

    def open(self, committee: Committee, member: str) -> HeldParts:
        """A member's parts of the committee's key, in its present state; older ones are destroyed.

        Args:
            committee: verified.

        Raises:
            CommitteeError: SR-COMMITTEE-FILE if there are none, or they are not all that the
                access structure gives this member.
            KeyStoreError: SR-KEYS-LOCKED, -PASSPHRASE, -PERMISSIONS, -FILE, -CUSTODY.
        """
        name = _name(committee.digest, committee.state)
        data = self._files.open(name, self._custody)
        if data is None:
            raise file_error(f"no parts of {member} for its state are held here", member)
        try:
            sealed = msgspec.json.decode(data, type=_Sealed)
            parts = {
                one.part: KeyPart.from_bytes(committee.parameters, one.secret)
                for one in sealed.parts
            }
        except (msgspec.MsgspecError, ValueError, RecursionError, StrongroomError):
            raise file_error(f"the parts in {name} are no parts", member) from None
        whose = (sealed.committee, sealed.state, sealed.member)
        expected = (committee.digest, committee.state, member)
        if whose != expected or tuple(parts) != committee.access.held_by(member):
            raise file_error(f"the parts in {name} are not those of {member}", member)
        self._destroy_replaced(committee)  # of a refresh whose end was interrupted
        return HeldParts(committee, member, parts)

    def destroy(self, committee: str) -> None:
        """Remove a committee's parts and statement for good: its models stop without this member.

        Raises:
            KeyStoreError: SR-KEYS-PERMISSIONS, -FILE, -LOCKED.
        """
        for name in self._files.names():
            if name.startswith(_digits(committee)):
                self._files.delete(name, self._custody)
        _unlink(self.committee_path(committee))
        for path in self._committees.glob(f"{_digits(committee)}-*{_CHECKS_SUFFIX}"):
            _unlink(path)

    @property
    def _committees(self) -> Path:
        return self._home / "committees"

    def _checks_path(self, committee: str, state: str) -> Path:
        return self._committees / f"{_name(committee, state)}{_CHECKS_SUFFIX}"

    def _destroy_replaced(self, committee: Committee) -> None:
        replaced = {_name(committee.digest, state) for state in committee.states[:-1]}
        for name in replaced & set(self._files.names()):
            self._files.delete(name, self._custody)
        for name in replaced:
            _unlink(self._committees / f"{name}{_CHECKS_SUFFIX}")


def require_committee(committee: Committee, digest: str, public_key: str) -> None:
    """The committee is the one that a package's plan names.

    Args:
        digest: of the statement, as the plan has it.
        public_key: SHA-256 of the serialised public key, as the plan has it.

    Raises:
        CommitteeError: SR-COMMITTEE-MISMATCH.
    """
    if (committee.digest, committee.statement.public_key) != (digest, public_key):
        raise CommitteeError(
            "SR-COMMITTEE-MISMATCH",
            f"the model is encrypted under the key of {digest[:19]}…, and this committee is "
            f"{committee.digest[:19]}…",
            "Use the committee that the model was protected for",
        )


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise file_error(f"{path} can't be removed: {error.strerror or error}") from error


def _digits(digest: str) -> str:
    return digest[_START : _START + _DIGITS]


def _name(committee: str, state: str) -> str:
    return f"{_digits(committee)}-{_digits(state)}"
