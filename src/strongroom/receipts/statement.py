"""What a server states of one answer, and how it signs that.

A statement names, each by its SHA-256, the protected request and response as they travelled, the
package, its plan and its guarantee statement; when it was answered; and the serving key that signs
it. It is made in the worker that computed the answer, under the receipt keys of the serving key
to which requests are sealed at that time. What makes these keys worth anything is not in it:
`receipts.proof`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Self

import msgspec

from strongroom.canonical import Digest, canonical_json, digest
from strongroom.errors import AttestationError
from strongroom.keys.identity import Fingerprint, Signatures
from strongroom.keys.serving import KeyId, ServingSecrets
from strongroom.moments import Moment, write_moment
from strongroom.package.manifest import Manifest

FORMAT: Final = 1
"""Version of the format of statements and receipts."""

PURPOSE: Final = "receipt"
"""What a serving key signs a statement for."""

MAXIMUM_STATEMENT_BYTES: Final = 16 * 2**10
"""Longest signed statement that is parsed at all."""


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a server says that it answered.

    Attributes:
        format: version of this format.
        request, response: digests of the protected request and response.
        package: digest of the package that answered.
        plan, guarantee: digests of the canonical JSON of its plan and guarantee statement.
        time: when it was answered, UTC, by the server's clock.
        key_id: of the serving key that signs.
        server: fingerprint of the server's identity.
    """

    format: Annotated[int, msgspec.Meta(ge=1, le=FORMAT)]
    request: Digest
    response: Digest
    package: Digest
    plan: Digest
    guarantee: Digest
    time: Moment
    key_id: KeyId
    server: Fingerprint


class SignedStatement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A statement with both signatures: what travels with an answer.

    Attributes:
        statement: what is stated.
        signatures: by the serving key that it names.
    """

    statement: Statement
    signatures: Signatures


@dataclass(frozen=True, slots=True)
class Subject:
    """What a package contributes to each statement about it.

    Attributes:
        package, plan, guarantee: digests, see `Statement`.
    """

    package: str
    plan: str
    guarantee: str

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Of a package, by its manifest."""
        guarantee = digest(canonical_json(manifest.plan.guarantee))
        return cls(manifest.digest, manifest.plan_digest, guarantee)


def make_receipt(
    secrets: ServingSecrets,
    server: str,
    subject: Subject,
    request: bytes | memoryview,
    response: bytes | memoryview,
    now: datetime,
) -> str:
    """State an answer and sign it: the text of the V2 response parameter `receipt`.

    Takes about a millisecond, and a few more for messages of megabytes.

    Args:
        secrets: the serving key that is used now.
        server: fingerprint of the server's identity.
        subject: of the package that answered.
        request, response: the protected ones, as they travel: the content of the BYTES tensor.
        now: UTC.

    Returns:
        Canonical JSON of a `SignedStatement`.
    """
    statement = Statement(
        format=FORMAT,
        request=digest(request),
        response=digest(response),
        package=subject.package,
        plan=subject.plan,
        guarantee=subject.guarantee,
        time=write_moment(now),
        key_id=secrets.key_id,
        server=server,
    )
    signatures = secrets.sign(PURPOSE, canonical_json(statement))
    return canonical_json(SignedStatement(statement, signatures)).decode()


def read_statement(text: str) -> SignedStatement:
    """Read an untrusted signed statement; its signatures are not checked yet.

    Raises:
        AttestationError: SR-RECEIPT-INVALID.
    """
    if len(text) > MAXIMUM_STATEMENT_BYTES:
        raise invalid(f"the statement has {len(text)} characters")
    try:
        data = text.encode()
        signed = msgspec.json.decode(data, type=SignedStatement)
        canonical = canonical_json(signed)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise invalid("the statement is malformed") from error
    if canonical != data:
        raise invalid("the statement is not in canonical form")
    return signed


def invalid(what: str) -> AttestationError:
    """The error for a receipt that does not hold."""
    return AttestationError(
        "SR-RECEIPT-INVALID",
        f"the receipt does not hold: {what}",
        "Rely on it for nothing, and ask whoever gave it for the original",
    )
