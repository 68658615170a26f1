"""The grant log: who holds the key of a package's payload, for what, and until when.

The payload is encrypted once, under a *file key*. An entry of the log, a *grant*, wraps that key
to one identity and says what it is for. Entries are only ever appended; to take a grant away, the
payload is encrypted anew under another file key, and a new log begins: a new *generation*.

Rules. What breaks one of them is refused, whole:

1. Every entry is signed by the package's owner, by both algorithms, over all its other fields.
   Every entry names the package by its manifest's digest: one from another package is none here.
2. Entries count from 1, and each names the digest of the one before, the first that of the
   manifest: none can be left out, exchanged or moved. (That the last ones are there is what the
   file's signed head says; see `package.head`.)
3. Every entry names the generation of its log.
4. The first entry is the owner's own, for "owner", without an end, and calls it what the package's
   statement does, whose name nothing else signs; there is no other of that kind.
5. The file key is wrapped with all other fields of the entry as the context, so that a wrapping
   opens in its own entry and nowhere else.
6. Of several entries of one identity for one purpose the last counts.
7. A grant ends at the second that it names. An end binds honest software, and a broker: whoever
   opened a package before can have kept what it saw.

Example: the vendor encrypts and signs `model.strongroom`; entry 1 is its own. Entry 2 grants
"serve" to a hospital's server until the end of the year. The hospital's server opens the payload
in January: refused, SR-PACKAGE-EXPIRED. Its administrator copies the wrapped key of entry 2 into
an entry without an end: not signed by the vendor, refused, and it would not open either.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Final, Literal

import msgspec

from strongroom.canonical import Digest, canonical_json, digest
from strongroom.errors import KeyStoreError, PackageError
from strongroom.keys.identity import Identity, PublicIdentity, Signatures
from strongroom.moments import Moment, parse_moment, write_moment
from strongroom.package.records import FETCH_AGAIN, malformed

Purpose = Literal["owner", "serve", "open", "broker"]
"""What a grant is for: "serve" lets a server open the payload to answer requests, "open" lets its
holder do that and load the payload, "broker" lets a key broker hold the file key for others.
"owner" may do everything, and is the owner's alone."""

GRANTABLE: Final[tuple[Purpose, ...]] = ("serve", "open", "broker")
"""The purposes that an owner can grant to others."""

MAY_SERVE: Final[tuple[Purpose, ...]] = ("serve", "open", "owner")
"""Purposes of which each is enough to serve a model."""

OWNER: Final[tuple[Purpose, ...]] = ("owner",)
"""The purpose of the owner's own entry."""

MAY_OPEN: Final[tuple[Purpose, ...]] = ("open", "owner")
"""Purposes of which each is enough to load a payload."""

FILE_KEY_BYTES: Final = 32
MAXIMUM_ENTRIES: Final = 4096
MAXIMUM_LOG_BYTES: Final = 64 * 2**20
MAXIMUM_GENERATION: Final = 2**53

_SIGNATURE_PURPOSE: Final = "grant"
_WRAPPING_CONTEXT: Final = b"strongroom grant\0"
_WRAPPED_BYTES: Final = 1120 + FILE_KEY_BYTES + 16
"""Of HPKE: X-Wing's encapsulated key, the file key, a tag of AES-256-GCM."""


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of a grant log. Made by `GrantLog.with_grant`, or read.

    Attributes:
        number: place in the log, from 1.
        package: digest of the package's manifest.
        generation: of the log.
        recipient: text of the public identity that the file key is wrapped to.
        purpose: what it is for.
        expires: UTC, from when on it does not hold any more; None for never.
        granted: UTC, when it was made.
        wrapped: the file key by HPKE, 1168 bytes.
        previous: digest of the entry before, of the manifest for the first.
        signatures: the owner's, over everything else.
    """

    number: Annotated[int, msgspec.Meta(ge=1, le=MAXIMUM_ENTRIES)]
    package: Digest
    generation: Annotated[int, msgspec.Meta(ge=1, le=MAXIMUM_GENERATION)]
    recipient: Annotated[str, msgspec.Meta(max_length=8192)]
    purpose: Purpose
    expires: Moment | None
    granted: Moment
    wrapped: Annotated[bytes, msgspec.Meta(min_length=_WRAPPED_BYTES, max_length=_WRAPPED_BYTES)]
    previous: Digest
    signatures: Signatures

    def __post_init__(self) -> None:
        granted = parse_moment(self.granted)
        if self.expires is not None and parse_moment(self.expires) <= granted:
            raise ValueError("expires is not after granted")
        try:
            canonical = _identity(self.recipient).to_text()
        except KeyStoreError as error:
            raise ValueError(error.message) from error
        if canonical != self.recipient:
            raise ValueError("recipient is not in canonical form")

    @property
    def identity(self) -> PublicIdentity:
        """To whom it is granted."""
        return _identity(self.recipient)

    @property
    def digest(self) -> str:
        """Of the whole entry: what the next one names."""
        return digest(canonical_json(self))

    @property
    def info(self) -> bytes:
        """The context under which the file key is wrapped."""
        fields = msgspec.to_builtins(self)
        del fields["wrapped"], fields["signatures"]
        return _WRAPPING_CONTEXT + canonical_json(fields)

    def holds(self, now: datetime) -> bool:
        """Whether it has not ended."""
        return self.expires is None or now < parse_moment(self.expires)


def verify_grant(grant: Grant, owner: PublicIdentity, package: str) -> None:
    """Check one entry outside of its log: rules 1 and 4. Who needs to know that it is still in
    force, and is the last one, needs the log.

    Args:
        owner: of the package.
        package: digest of its manifest.

    Raises:
        PackageError: SR-PACKAGE-SIGNATURE if it is not signed by the owner, SR-PACKAGE-GRANT if
            it is of another package or not one that could be.
    """
    if grant.package != package:
        raise PackageError(
            "SR-PACKAGE-GRANT",
            f"entry {grant.number} of the grant log is of another package, {grant.package}",
            FETCH_AGAIN,
        )
    owners = grant.identity.fingerprint == owner.fingerprint and grant.expires is None
    if (grant.purpose == "owner") != (grant.number == 1) or (grant.number == 1 and not owners):
        raise PackageError(
            "SR-PACKAGE-GRANT",
            f'entry {grant.number} of the grant log is for "{grant.purpose}": the first must be '
            "the owner's own, and no other",
            FETCH_AGAIN,
        )
    owner.verify(grant.signatures, _SIGNATURE_PURPOSE, _unsigned(grant))


class _Context(msgspec.Struct):
    package: Digest
    purpose: Purpose
    expires: Moment | None


def package_of(info: bytes, now: datetime) -> str:
    """The package that a wrapping's context (`Grant.info`) is of: what a process that opens
    wrappings for others looks at first, so that it opens none of another kind. The context is part
    of the wrapping: who asks can't make an ended grant, or one to a broker, look like another.

    Raises:
        PackageError: SR-PACKAGE-GRANT if it is the context of no grant by which a package may be
            served, SR-PACKAGE-EXPIRED if that has ended.
    """
    try:
        if not info.startswith(_WRAPPING_CONTEXT):
            raise ValueError("it begins otherwise")
        context = msgspec.json.decode(info[len(_WRAPPING_CONTEXT) :], type=_Context)
        ended = context.expires is not None and now >= parse_moment(context.expires)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _refused("what was wrapped is no file key", FETCH_AGAIN) from error
    if context.purpose not in MAY_SERVE:
        raise _refused(
            f'the package is granted for "{context.purpose}", not to be served',
            "Ask the package's owner for a grant",
        )
    if ended:
        raise PackageError(
            "SR-PACKAGE-EXPIRED",
            f"the grant ended at {context.expires}",
            "Ask the package's owner for a new one",
        )
    return context.package


class GrantLog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All grants of one generation of a package.

    Attributes:
        generation: from 1; one more each time that the payload is encrypted anew.
        entries: in their order.
    """

    generation: Annotated[int, msgspec.Meta(ge=1, le=MAXIMUM_GENERATION)]
    entries: Annotated[tuple[Grant, ...], msgspec.Meta(min_length=1, max_length=MAXIMUM_ENTRIES)]

    @classmethod
    def begin(
        cls, owner: Identity, package: str, file_key: bytes, *, now: datetime, generation: int = 1
    ) -> GrantLog:
        """A new log with the owner's own entry.

        Args:
            package: digest of the manifest.
            file_key: 32 random bytes, of this generation alone.
        """
        first = _signed(
            owner,
            {
                "number": 1,
                "package": package,
                "generation": generation,
                "recipient": owner.public.to_text(),
                "purpose": "owner",
                "expires": None,
                "granted": write_moment(now),
                "previous": package,
            },
            file_key,
        )
        return cls(generation=generation, entries=(first,))

    def with_grant(
        self,
        owner: Identity,
        recipient: PublicIdentity,
        purpose: Purpose,
        file_key: bytes,
        *,
        now: datetime,
        expires: datetime | None = None,
    ) -> GrantLog:
        """The log with one more entry.

        Raises:
            PackageError: SR-PACKAGE-GRANT if the purpose can't be granted, the end is not after
                now, or the log is full.
        """
        last = self.entries[-1]
        if purpose not in GRANTABLE:
            raise _refused(
                f"{str(purpose)[:40]!a} is nothing that can be granted",
                f"Choose one of: {', '.join(GRANTABLE)}",
            )
        if len(self.entries) == MAXIMUM_ENTRIES:
            raise _refused(
                f"the grant log has {MAXIMUM_ENTRIES} entries, the most that it can hold",
                "Rotate the package: grants that have ended or were replaced are left out",
            )
        granted, end = write_moment(now), None if expires is None else write_moment(expires)
        if end is not None and parse_moment(end) <= parse_moment(granted):
            raise _refused(f"a grant can't end at {end}: it is {granted} now", "Choose a later end")
        entry = _signed(
            owner,
            {
                "number": last.number + 1,
                "package": last.package,
                "generation": self.generation,
                "recipient": recipient.to_text(),
                "purpose": purpose,
                "expires": end,
                "granted": granted,
                "previous": last.digest,
            },
            file_key,
        )
        return msgspec.structs.replace(self, entries=(*self.entries, entry))

    def verify(self, owner: PublicIdentity, package: str) -> None:
        """Check rules 1 to 4. Opens nothing: anybody can.

        Args:
            owner: of the package.
            package: digest of its manifest.

        Raises:
            PackageError: SR-PACKAGE-SIGNATURE, SR-PACKAGE-GRANT; SR-PACKAGE-FILE if the chain is
                broken.
        """
        if self.entries[0].recipient != owner.to_text():
            raise malformed("the grant log does not begin with the owner as its statement names it")
        previous = package
        for number, entry in enumerate(self.entries, 1):
            if (entry.number, entry.generation) != (number, self.generation):
                raise malformed(
                    f"entry {number} of the grant log is entry {entry.number} of generation "
                    f"{entry.generation}, not of {self.generation}"
                )
            verify_grant(entry, owner, package)
            if entry.previous != previous:
                raise malformed(
                    f"entry {number} of the grant log does not follow the one before it"
                )
            previous = entry.digest

    @property
    def last_digest(self) -> str:
        """Digest of the last entry."""
        return self.entries[-1].digest

    def in_force(self) -> tuple[Grant, ...]:
        """The entries that count by rule 6, in their order; some may have ended."""
        last = {(entry.identity.fingerprint, entry.purpose): entry for entry in self.entries}
        return tuple(sorted(last.values(), key=lambda entry: entry.number))

    def grant_for(self, fingerprint: str, purposes: Collection[Purpose], now: datetime) -> Grant:
        """The grant by which an identity may do something.

        Args:
            fingerprint: of the identity.
            purposes: of which each is enough: `MAY_SERVE`, `MAY_OPEN`, or ("broker",).

        Raises:
            PackageError: SR-PACKAGE-GRANT if there is none, SR-PACKAGE-EXPIRED if it has ended.
        """
        own = [one for one in self.in_force() if one.identity.fingerprint == fingerprint]
        fitting = [one for one in own if one.purpose in purposes]
        if not fitting:
            has = ", ".join(f'"{one.purpose}"' for one in own)
            needed = " or ".join(f'"{one}"' for one in sorted(purposes) if one != "owner")
            raise PackageError(
                "SR-PACKAGE-GRANT",
                f"the package is not granted to {fingerprint} for {needed}"
                + (f", only for {has}" if own else ""),
                "Ask the package's owner for a grant",
            )
        for one in fitting:
            if one.holds(now):
                return one
        raise PackageError(
            "SR-PACKAGE-EXPIRED",
            f"the grant to {fingerprint} ended at {fitting[-1].expires}",
            "Ask the package's owner for a new one",
        )


def _signed(owner: Identity, fields: dict[str, object], file_key: bytes) -> Grant:
    """An entry: the file key wrapped under the other fields, all of it signed."""
    if len(file_key) != FILE_KEY_BYTES:
        raise ValueError(f"a file key has {FILE_KEY_BYTES} bytes, not {len(file_key)}")
    recipient = _identity(str(fields["recipient"]))
    wrapped = recipient.wrap(file_key, _WRAPPING_CONTEXT + canonical_json(fields))
    unsigned = msgspec.to_builtins({**fields, "wrapped": wrapped})
    signatures = owner.sign(_SIGNATURE_PURPOSE, canonical_json(unsigned))
    return msgspec.convert({**unsigned, "signatures": msgspec.to_builtins(signatures)}, Grant)


def _unsigned(grant: Grant) -> bytes:
    fields = msgspec.to_builtins(grant)
    del fields["signatures"]
    return canonical_json(fields)


@lru_cache(maxsize=256)  # parsing takes a tenth of a millisecond, and each is asked several times
def _identity(text: str) -> PublicIdentity:
    return PublicIdentity.from_text(text)


def _refused(what: str, remedy: str) -> PackageError:
    return PackageError("SR-PACKAGE-GRANT", what, remedy)
