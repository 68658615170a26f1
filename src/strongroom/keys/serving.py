"""Serving keys: what requests are sealed to, and how a client knows that they are the server's.

A server makes fresh keys as it starts and every few hours, and never writes their private halves
anywhere. It publishes them in a *key configuration*, which its identity signs. That this identity
may serve the model at all is another question: `receipts.authority` answers it, and comes first.

A serving key is three key pairs, those of an identity (`keys.identity`): requests are sealed to
its X-Wing key, its Ed25519 and ML-DSA-65 keys sign receipts. It grants nothing and owns nothing.

Rules, by which a client judges a key configuration:

1. It is signed, by both algorithms, by the server that the owner granted the model to, and says
   itself that it is that server's.
2. It names the package that the client asks.
3. Its counter is not below the highest that the client has seen of this server.
4. It was issued at most five minutes in the client's future, and one of its keys is valid now.
5. A key is named by a digest of itself: an identifier can't be put on another key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final, Self

import msgspec

from strongroom.canonical import Digest, canonical_json
from strongroom.errors import CiphertextError, KeyStoreError, PackageError, ServerError
from strongroom.keys.identity import Identity, PublicIdentity, Signatures
from strongroom.moments import Moment, parse_moment, write_moment

FORMAT: Final = 1
"""Version of the key configuration's format."""

PURPOSE: Final = "key-configuration"
"""What a server's identity signs a key configuration for."""

MAXIMUM_TEXT: Final = 184 * 2**10
"""Longest key configuration that is parsed at all; evidence is its bulk."""

CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far the clocks of a client and a server may differ."""


_KEY_CONTEXT: Final = b"strongroom serving key\0"
_EVIDENCE_CONTEXT: Final = b"strongroom key configuration evidence\0"
_MAXIMUM_KEYS: Final = 4
MAXIMUM_PACKAGES: Final = 256
_REMEDY: Final = "Ask the server's operator; nothing has been sent"

KeyId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")]


class ServingKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The public half of a serving key. Made by `ServingSecrets.generate`, or read.

    Attributes:
        key_id: the first 16 hex digits of a SHA-256 of `keys`.
        keys: Ed25519, ML-DSA-65, ML-KEM-768 and X25519 public keys, as in an identity.
        not_before, not_after: UTC, between which it is used.
    """

    key_id: KeyId
    keys: Annotated[bytes, msgspec.Meta(min_length=3200, max_length=3200)]
    not_before: Moment
    not_after: Moment

    def __post_init__(self) -> None:
        if self.key_id != _key_id(self.keys):
            raise ValueError("key_id is not that of the keys")
        if not parse_moment(self.not_before) < parse_moment(self.not_after):
            raise ValueError("not_after is not after not_before")

    @property
    def public(self) -> PublicIdentity:
        """The keys, parsed: `wrap` seals to them, `verify` checks what they signed.

        Keep it: parsing takes a tenth of a millisecond.

        Raises:
            KeyStoreError: SR-IDENTITY-FILE if they are no keys; never of a configuration that
                `verify_configuration` returned.
        """
        return PublicIdentity(self.keys, self.key_id)


class ServingSecrets:
    """A serving key with its private halves; shows none of them.

    Args:
        secret: 160 bytes: the seeds of an identity.
        not_before, not_after: UTC, whole seconds.
    """

    def __init__(self, secret: bytes, not_before: datetime, not_after: datetime) -> None:
        self._identity = Identity(secret, "serving")
        keys = self._identity.public.keys
        self._key = ServingKey(
            _key_id(keys), keys, write_moment(not_before), write_moment(not_after)
        )
        self._valid = (not_before, not_after)

    @classmethod
    def generate(cls, not_before: datetime, not_after: datetime) -> Self:
        """A fresh key; every seed comes from the operating system."""
        return cls(Identity.generate("serving").to_bytes(), not_before, not_after)

    def __repr__(self) -> str:
        return f"ServingSecrets({self._key.key_id})"

    def __reduce__(self) -> str:
        raise TypeError("a serving key is not pickled: its private halves would go along")

    @property
    def key(self) -> ServingKey:
        """What is published."""
        return self._key

    @property
    def key_id(self) -> str:
        """Of the public half."""
        return self._key.key_id

    @property
    def valid(self) -> tuple[datetime, datetime]:
        """From when and until when it is used."""
        return self._valid

    def expired(self, now: datetime) -> bool:
        """Whether not even a client whose clock is slow may use it any more."""
        return now > self._valid[1] + CLOCK_SKEW

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """Open what was sealed to this key (HPKE).

        Raises:
            CiphertextError: SR-SEALED-OPEN if it is for another key or context, or damaged.
        """
        try:
            return self._identity.unwrap(sealed, info)
        except PackageError:
            raise CiphertextError(
                "SR-SEALED-OPEN",
                f"what was sealed to serving key {self.key_id} does not open in this place",
                "Seal the request again",
            ) from None

    def sign(self, purpose: str, message: bytes) -> Signatures:
        """Sign by both receipt keys."""
        return self._identity.sign(purpose, message)

    def to_bytes(self) -> bytes:
        """The seeds, 160 bytes: for the link between a server's own processes."""
        return self._identity.to_bytes()


class KeyConfiguration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The serving keys of a server, as its identity signs them.

    Attributes:
        format: version of this format.
        server: the server's public identity, as text.
        counter: grows with each configuration; milliseconds since 1970 at issue, or more.
        issued: UTC.
        keys: newest first.
        packages: digests of the packages that are served, ascending.
        evidence: what the serving process shows of itself, as a text that `attestation` reads,
            or None.
    """

    format: Annotated[int, msgspec.Meta(ge=1, le=FORMAT)]
    server: Annotated[str, msgspec.Meta(max_length=8192)]
    counter: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    issued: Moment
    keys: Annotated[tuple[ServingKey, ...], msgspec.Meta(min_length=1, max_length=_MAXIMUM_KEYS)]
    packages: Annotated[tuple[Digest, ...], msgspec.Meta(min_length=1, max_length=MAXIMUM_PACKAGES)]
    evidence: Annotated[str, msgspec.Meta(max_length=128 * 2**10)] | None = None

    def __post_init__(self) -> None:
        parse_moment(self.issued)
        if tuple(sorted(set(self.packages))) != self.packages:
            raise ValueError("packages are not in ascending order, or one is there twice")
        if len({key.key_id for key in self.keys}) != len(self.keys):
            raise ValueError("a key is there twice")

    def key(self, now: datetime) -> ServingKey:
        """The newest key that is valid.

        Raises:
            ServerError: SR-SERVER-KEYS if none is.
        """
        for key in self.keys:
            if parse_moment(key.not_before) - CLOCK_SKEW <= now < parse_moment(key.not_after):
                return key
        raise refused(f"none of the server's keys is valid at {write_moment(now)}")

    def by_id(self, key_id: str) -> ServingKey | None:
        """The key of that identifier, valid or not; None if there is none."""
        return next((key for key in self.keys if key.key_id == key_id), None)


class _Signed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    configuration: KeyConfiguration
    signatures: Signatures


def evidence_binding(configuration: KeyConfiguration) -> bytes:
    """What evidence in a configuration has to be bound to: 32 bytes that follow from all else in
    it, the keys and the server's identity among them."""
    rest = canonical_json(msgspec.structs.replace(configuration, evidence=None))
    return hashlib.sha256(_EVIDENCE_CONTEXT + rest).digest()


def issue_configuration(
    identity: Identity,
    keys: Sequence[ServingKey],
    packages: Sequence[str],
    *,
    counter: int,
    now: datetime,
) -> KeyConfiguration:
    """A configuration without evidence, not signed yet.

    Args:
        keys: newest first.
        packages: digests, in any order.
        counter: above that of every configuration before.
    """
    return KeyConfiguration(
        format=FORMAT,
        server=identity.public.to_text(),
        counter=counter,
        issued=write_moment(now),
        keys=tuple(keys),
        packages=tuple(sorted(set(packages))),
    )


def sign_configuration(identity: Identity, configuration: KeyConfiguration) -> str:
    """The text of a configuration with its server's signatures: what the server publishes."""
    signatures = identity.sign(PURPOSE, canonical_json(configuration))
    return canonical_json(_Signed(configuration, signatures)).decode()


def verify_configuration(
    text: str, server: PublicIdentity, digest: str, now: datetime, least_counter: int = 0
) -> KeyConfiguration:
    """Read an untrusted key configuration and hold it to the rules above.

    Args:
        text: as the server sent it.
        server: who may serve the package, from `receipts.authority.verify_authority`.
        digest: of the package that is asked.
        now: UTC.
        least_counter: the highest counter seen of this server, from `keys.seen`.

    Raises:
        ServerError: SR-SERVER-KEYS, whatever is wrong.
    """
    signed = _read(text)
    configuration = signed.configuration
    if not _names(configuration.server, server):
        raise refused("its key configuration is that of another identity")
    try:
        server.verify(signed.signatures, PURPOSE, canonical_json(configuration))
    except PackageError as error:
        raise refused("its key configuration is not signed by its identity") from error
    if digest not in configuration.packages:
        raise refused("its key configuration is not for this package")
    if configuration.counter < least_counter:
        raise refused(
            f"its key configuration (counter {configuration.counter}) is older than one that was "
            f"seen ({least_counter})"
        )
    if parse_moment(configuration.issued) > now + CLOCK_SKEW:
        raise refused(f"its key configuration was issued in the future ({configuration.issued})")
    configuration.key(now)
    return configuration


def refused(what: str) -> ServerError:
    """The error of a server that does not prove its keys."""
    return ServerError("SR-SERVER-KEYS", f"the server does not prove its keys: {what}", _REMEDY)


def _read(text: str) -> _Signed:
    if len(text) > MAXIMUM_TEXT:
        raise refused(f"its key configuration has {len(text)} characters")
    try:
        data = text.encode()
        signed = msgspec.json.decode(data, type=_Signed)
        canonical = canonical_json(signed)
        for key in signed.configuration.keys:
            PublicIdentity(key.keys, key.key_id)
    except (msgspec.MsgspecError, KeyStoreError, ValueError, RecursionError) as error:
        raise refused("its key configuration is not one") from error
    if canonical != data:
        raise refused("its key configuration is not in canonical form")
    return signed


def _names(text: str, server: PublicIdentity) -> bool:
    try:
        return PublicIdentity.from_text(text) == server
    except KeyStoreError:
        return False


def _key_id(keys: bytes) -> str:
    return hashlib.sha256(_KEY_CONTEXT + keys).hexdigest()[:16]
