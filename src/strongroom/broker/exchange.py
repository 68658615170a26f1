"""The exchange with a broker: its messages, and the serving process's side of it. No network.

    1. front -> broker    POST /v1/challenge            -> Challenge
    2. front -> keeper    the nonce; the keeper attests and answers with a `ReleaseRequest`
    3. front -> broker    POST /v1/release              -> ReleaseAnswer
    4. front -> keeper    the answer; the keeper takes the file key out of it (`accept`)

The front only carries bytes: it can read the request and the answer, which hold no secret that
is not sealed to the serving process, and what it changes is noticed. For every package there is
one such exchange, before it is opened and again before its release expires. In the keeper:

    request = new_request(challenge.nonce, package.digest, identity.public, attester)
    ...     = encode_request(request)                      # what the front sends
    key     = accept(answer, request, package.owner, identity, now)
    package.open_with_key(key.file_key)                    # in the worker
    key.authority                                          # in the model's metadata
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final, Protocol, TypeVar

import msgspec

from strongroom.attestation.evidence import (
    MAXIMUM_TEXT,
    RELEASE,
    Evidence,
    evidence_digest,
    report_data,
)
from strongroom.attestation.interface import Attester, Technology
from strongroom.broker.release import ReleaseAuthority, SignedRelease, verify_released
from strongroom.canonical import Digest, canonical_json
from strongroom.errors import AttestationError, KeyStoreError, ServerError
from strongroom.keys.identity import PublicIdentity
from strongroom.moments import parse_moment
from strongroom.package.grants import FILE_KEY_BYTES, Grant

CHALLENGE_PATH: Final = "/v1/challenge"
RELEASE_PATH: Final = "/v1/release"
ABOUT_PATH: Final = "/v1/about"

MAXIMUM_REQUEST_BYTES: Final = MAXIMUM_TEXT + 16 * 2**10
MAXIMUM_ANSWER_BYTES: Final = 64 * 2**10

_WRAPPED_BYTES: Final = 1120 + FILE_KEY_BYTES + 16

Nonce = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Message = TypeVar("_Message", bound=msgspec.Struct)


class Challenge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a broker answers to the first request.

    Attributes:
        nonce: that evidence has to be bound to.
        lifetime_seconds: within which it has to be used, once.
    """

    nonce: Nonce
    lifetime_seconds: Annotated[int, msgspec.Meta(ge=1, le=3600)]


class ReleaseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a serving process asks.

    Attributes:
        nonce: of the challenge.
        package: digest of the manifest of the package that it wants to serve.
        server: its public identity, as text.
        evidence: bound to nonce and identity, for `RELEASE`.
    """

    nonce: Nonce
    package: Digest
    server: Annotated[str, msgspec.Meta(max_length=8192)]
    evidence: Evidence


class ReleaseAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a broker answers to the second.

    Attributes:
        grant: the owner's grant to the broker.
        release: the broker's word.
        wrapped: the file key by HPKE to the serving process; its context is the release.
    """

    grant: Grant
    release: SignedRelease
    wrapped: Annotated[bytes, msgspec.Meta(min_length=_WRAPPED_BYTES, max_length=_WRAPPED_BYTES)]


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a broker says of itself to everybody.

    Attributes:
        identity: its public identity, as text: what an owner grants packages to.
        policy: digest of the policy.
        development: whether it takes evidence that proves nothing.
    """

    identity: Annotated[str, msgspec.Meta(max_length=8192)]
    policy: Digest
    development: bool


class Unwrapper(Protocol):
    """Who can open what is wrapped to the serving process: its `Identity`, or a link to it."""

    @property
    def fingerprint(self) -> str:
        """Of the identity."""
        ...

    def unwrap(self, wrapped: bytes, info: bytes) -> bytes:
        """Open; raises PackageError, SR-PACKAGE-GRANT."""
        ...


@dataclass(frozen=True, slots=True)
class Released:
    """A file key that a broker released.

    Attributes:
        file_key: 32 bytes.
        authority: the text that proves to clients that this server may serve the package.
        expires: UTC; by then the process asks again, or stops serving the package.
        technology: of the evidence; "development" proves nothing, and its user must be told.
    """

    file_key: bytes = field(repr=False)
    authority: str = field(repr=False)
    expires: datetime
    technology: Technology


def new_request(
    nonce: str, package: str, server: PublicIdentity, attester: Attester
) -> ReleaseRequest:
    """A request with fresh evidence.

    Args:
        nonce: of a challenge, 64 hex digits.
        package: digest of the manifest.
        server: the identity that the key is to be wrapped to.
        attester: of this process.

    Raises:
        AttestationError: SR-ATTESTATION-EVIDENCE if there is no evidence to be had.
    """
    evidence = attester.evidence(report_data(nonce, server.fingerprint, RELEASE))
    return ReleaseRequest(nonce, package, server.to_text(), evidence)


def encode_request(request: ReleaseRequest) -> bytes:
    """The body of the request for a release."""
    return canonical_json(request)


def decode_request(body: bytes | bytearray | memoryview) -> ReleaseRequest:
    """Read an untrusted request.

    Raises:
        ServerError: SR-REQUEST-FORMAT (400).
    """
    try:
        return msgspec.json.decode(body, type=ReleaseRequest)
    except (msgspec.MsgspecError, ValueError, RecursionError, KeyStoreError) as error:
        raise ServerError(
            "SR-REQUEST-FORMAT",
            f"the request is not one for a release: {ascii(str(error))[1:-1][:200]}",
            "Ask with the same version of Strongroom as the broker's",
            http_status=400,
        ) from error


def decode_challenge(body: bytes) -> Challenge:
    """Read an untrusted challenge.

    Raises:
        ServerError: SR-SERVER-PROTOCOL.
    """
    return _decode(body, Challenge)


def decode_about(body: bytes) -> About:
    """Read what an untrusted broker says of itself.

    Raises:
        ServerError: SR-SERVER-PROTOCOL.
    """
    return _decode(body, About)


def accept(
    answer: bytes,
    request: ReleaseRequest,
    owner: PublicIdentity,
    unwrapper: Unwrapper,
    now: datetime,
    *,
    development: bool = False,
) -> Released:
    """Take the file key out of a broker's answer to this request. Trusts the owner alone.

    Args:
        answer: body of the answer, untrusted.
        request: that it must be the answer to.
        owner: of the package, as its signed manifest says.
        unwrapper: of the identity that asked.
        now: UTC.
        development: whether a release that rests on development evidence is taken.

    Raises:
        ServerError: SR-SERVER-PROTOCOL if it is no answer.
        AttestationError: SR-BROKER-REFUSED if it answers another request;
            SR-ATTESTATION-POLICY for development evidence.
        PackageError: SR-PACKAGE-SIGNATURE, -GRANT, -EXPIRED if owner or broker do not vouch for
            it, or the key does not open.
    """
    found = _decode(answer, ReleaseAnswer)
    authority = ReleaseAuthority(found.grant, found.release)
    server = verify_released(authority, owner, request.package, now, development=development)
    release = found.release.release
    if (
        server.fingerprint != unwrapper.fingerprint
        or release.nonce != request.nonce
        or release.evidence != evidence_digest(request.evidence)
    ):
        raise AttestationError(
            "SR-BROKER-REFUSED",
            "the broker's answer is to another request",
            "Ask again; if it stays, somebody between server and broker changes answers",
        )
    return Released(
        file_key=unwrapper.unwrap(found.wrapped, release.info),
        authority=canonical_json(authority).decode(),
        expires=parse_moment(release.expires),
        technology=release.summary.technology,
    )


def _decode(body: bytes, message: type[_Message]) -> _Message:
    try:
        if len(body) > MAXIMUM_ANSWER_BYTES:
            raise ValueError(f"it has {len(body)} bytes")
        return msgspec.json.decode(body, type=message)
    except (msgspec.MsgspecError, ValueError, RecursionError, KeyStoreError) as error:
        raise ServerError(
            "SR-SERVER-PROTOCOL",
            f"the broker's answer is not what the protocol says: {ascii(str(error))[1:-1][:200]}",
            "Check the URL: is a key broker there, and of this version?",
        ) from error
