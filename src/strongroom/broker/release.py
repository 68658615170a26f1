"""A release: a broker's signed word that a server may serve a package, until a time.

It stands in for a grant of the owner's: the owner grants the package to the broker, for "broker",
and the broker releases it to a process that attested itself. Whoever checks it needs nothing but
the owner's identity:

1. The owner signed the grant to the broker, it is for "broker", of this package, and holds now.
2. The broker signed the release, which is of the same package, and holds now.
3. It does not rest on development evidence, unless the one who checks takes that.

It names the server's identity, and says on which evidence and under which policy it was made.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Final, Self

import msgspec

from strongroom.attestation.interface import Claims, Technology
from strongroom.canonical import Digest, canonical_json
from strongroom.errors import AttestationError, KeyStoreError, PackageError
from strongroom.keys.identity import Identity, PublicIdentity, Signatures
from strongroom.moments import Moment, parse_moment
from strongroom.package.grants import Grant, verify_grant

FORMAT: Final = 1
PURPOSE: Final = "release"
"""What a broker's identity signs a release for."""

_CLOCK_SKEW: Final = timedelta(minutes=5)
_WRAPPING_CONTEXT: Final = b"strongroom release\0"


class Summary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the broker saw of the serving process.

    Attributes:
        technology: that vouches for it; "development" vouches for nothing.
        measurement: in hex.
        registers: of TDX, RTMR0 to RTMR3, in hex.
        firmware: security versions by part.
        status: of TDX, Intel's word for the TCB.
    """

    technology: Technology
    measurement: Annotated[str, msgspec.Meta(max_length=128)]
    registers: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=128)], ...], msgspec.Meta(max_length=4)
    ] = ()
    firmware: Annotated[
        dict[Annotated[str, msgspec.Meta(max_length=40)], int], msgspec.Meta(max_length=16)
    ] = {}
    status: Annotated[str, msgspec.Meta(max_length=64)] = ""

    @classmethod
    def of(cls, claims: Claims) -> Self:
        """The summary of verified claims."""
        return cls(
            technology=claims.technology,
            measurement=claims.measurement.hex(),
            registers=tuple(one.hex() for one in claims.registers),
            firmware=claims.firmware,
            status=claims.status,
        )


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a broker states.

    Attributes:
        format: version of this format.
        package: digest of the package's manifest.
        server: the serving process's public identity, as text.
        nonce: of the challenge that it answered, in hex.
        issued, expires: UTC.
        summary: what the broker saw.
        evidence: digest of the evidence.
        policy: digest of the policy.
    """

    format: Annotated[int, msgspec.Meta(ge=1, le=FORMAT)]
    package: Digest
    server: Annotated[str, msgspec.Meta(max_length=8192)]
    nonce: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    issued: Moment
    expires: Moment
    summary: Summary
    evidence: Digest
    policy: Digest

    def __post_init__(self) -> None:
        if parse_moment(self.expires) <= parse_moment(self.issued):
            raise ValueError("expires is not after issued")
        if PublicIdentity.from_text(self.server).to_text() != self.server:
            raise ValueError("server is not in canonical form")

    @property
    def identity(self) -> PublicIdentity:
        """Of the server."""
        return PublicIdentity.from_text(self.server)

    @property
    def info(self) -> bytes:
        """The context under which the file key is wrapped: the whole release."""
        return _WRAPPING_CONTEXT + canonical_json(self)


class SignedRelease(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A release with its broker's signatures."""

    release: Release
    signatures: Signatures

    @classmethod
    def by(cls, broker: Identity, release: Release) -> Self:
        """A release, signed."""
        return cls(release, broker.sign(PURPOSE, canonical_json(release)))


class ReleaseAuthority(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="release"
):
    """The owner granted the package to a broker, which released it to the server.

    Attributes:
        grant: the broker's entry of the package's grant log.
        release: the broker's word.
    """

    grant: Grant
    release: SignedRelease


def verify_release(
    signed: SignedRelease,
    broker: PublicIdentity,
    package: str,
    now: datetime,
    *,
    development: bool = False,
) -> PublicIdentity:
    """Check a release by itself: rules 2 and 3.

    Args:
        broker: that the owner granted the package to.
        package: digest of its manifest.
        now: UTC.
        development: whether evidence that proves nothing is enough.

    Returns:
        The identity of the server that may serve the package.

    Raises:
        PackageError: SR-PACKAGE-SIGNATURE if the broker did not sign it, SR-PACKAGE-GRANT if it
            is of another package, SR-PACKAGE-EXPIRED if it does not hold now.
        AttestationError: SR-ATTESTATION-POLICY for development evidence.
    """
    release = signed.release
    broker.verify(signed.signatures, PURPOSE, canonical_json(release))
    if release.package != package:
        raise PackageError(
            "SR-PACKAGE-GRANT",
            f"the broker released another package, {release.package}",
            "Ask the server's operator to have this one released",
        )
    if not parse_moment(release.issued) - _CLOCK_SKEW <= now < parse_moment(release.expires):
        raise PackageError(
            "SR-PACKAGE-EXPIRED",
            f"the broker's release holds from {release.issued} to {release.expires}",
            "Ask the server's operator to attest again, and compare the clocks",
        )
    if release.summary.technology == "development" and not development:
        raise AttestationError(
            "SR-ATTESTATION-POLICY",
            "the release rests on development evidence, which proves nothing",
            "Serve on hardware that attests, and give the broker a production policy",
        )
    return release.identity


def verify_released(
    authority: ReleaseAuthority,
    owner: PublicIdentity,
    package: str,
    now: datetime,
    *,
    development: bool = False,
) -> PublicIdentity:
    """Check grant and release: rules 1 to 3. Arguments and errors as of `verify_release`."""
    grant = authority.grant
    verify_grant(grant, owner, package)
    if grant.purpose != "broker":
        raise PackageError(
            "SR-PACKAGE-GRANT",
            f'the package is granted for "{grant.purpose}" to who released it, not for "broker"',
            "Ask the package's owner for a grant to the broker",
        )
    if not grant.holds(now):
        raise PackageError(
            "SR-PACKAGE-EXPIRED",
            f"the broker's grant ended at {grant.expires}",
            "Ask the package's owner to grant it anew",
        )
    return verify_release(authority.release, grant.identity, package, now, development=development)


def parse_server(text: str) -> PublicIdentity | None:
    """The identity in a canonical line; None if it is none."""
    try:
        found = PublicIdentity.from_text(text)
    except KeyStoreError:
        return None
    return found if found.to_text() == text else None
