"""Receipts: a signed statement of one answer, with the whole proof of who signed it.

Rules, by which a receipt is judged, offline and years later alike:

1. It is in canonical form, and of bounded size.
2. The chain from the trusted owner to the server's key configuration holds at the time that the
   statement names: the grant had not expired then.
3. The serving key that the statement names is in that configuration and was valid then; both of
   its signatures, made for receipts and nothing else, are on the statement.
4. The package, plan and guarantee that the statement names are those of the signed manifest, and
   the server is the one that the chain leads to.

What it shows then: the server to which the owner granted this package says that it answered this
request with this response at this time. The time is the server's word.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

import msgspec

from strongroom.canonical import canonical_json, digest
from strongroom.errors import StrongroomError
from strongroom.keys.identity import PublicIdentity, Signatures
from strongroom.keys.serving import CLOCK_SKEW
from strongroom.moments import parse_moment
from strongroom.package.file import read as read_package
from strongroom.package.manifest import MAXIMUM_MANIFEST_BYTES, Manifest
from strongroom.receipts.proof import Proof, ProvenServer, Trust, Trusted, verify_proof
from strongroom.receipts.statement import (
    FORMAT,
    PURPOSE,
    SignedStatement,
    Statement,
    Subject,
    invalid,
    read_statement,
)

MAXIMUM_RECEIPT_BYTES: Final = 2 * MAXIMUM_MANIFEST_BYTES + 2 * 2**20
"""Longest receipt that is parsed at all; the manifest in it is its bulk."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Annotated[int, msgspec.Meta(ge=1, le=FORMAT)]
    proof: Proof
    statement: Statement
    signatures: Signatures


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt that holds. Made by `complete_receipt` and `verify_receipt` only.

    Attributes:
        statement: what the server says that it answered.
        manifest: of the package.
        owner: who signed the package, and granted it.
        server: whose serving key signed the statement.
        text: canonical JSON, to keep and to hand on: about 60 KiB, and the manifest.
    """

    statement: Statement
    manifest: Manifest
    owner: PublicIdentity
    server: PublicIdentity
    text: str

    def __repr__(self) -> str:
        return f"Receipt({self.manifest.name!r}, {self.statement.time}, {self.statement.response})"


def complete_receipt(
    text: str, proof: Proof, proven: ProvenServer, *, request: bytes, response: bytes, now: datetime
) -> Receipt:
    """Make a receipt of what came with an answer, after all that a client can check of it.

    Args:
        text: the response parameter `receipt`.
        proof: what the server showed, and
        proven: what came of verifying it.
        request, response: the protected ones, as they travelled.
        now: UTC; the statement's time may differ by five minutes.

    Raises:
        AttestationError: SR-RECEIPT-INVALID.
    """
    signed = read_statement(text)
    _check(signed, proven)
    _check_messages(signed.statement, request, response)
    if abs(parse_moment(signed.statement.time) - now) > CLOCK_SKEW:
        raise invalid(f"it says that it was answered at {signed.statement.time}")
    file = _File(FORMAT, proof, signed.statement, signed.signatures)
    kept = canonical_json(file).decode("utf-8", "surrogatepass")
    return Receipt(signed.statement, proven.manifest, proven.owner, proven.server, kept)


def verify_receipt(
    text: str | bytes,
    trust: Trust,
    *,
    package: str | os.PathLike[str] | None = None,
    request: bytes | None = None,
    response: bytes | None = None,
) -> Receipt:
    """Hold a receipt to the rules above; needs no network and no key.

    Args:
        text: the receipt.
        trust: the owner's public identity, its fingerprint or its `.pub` file; or the package or
            its digest.
        package: a package file that it must be a receipt of.
        request, response: protected messages that it must be a receipt of.

    Raises:
        AttestationError: SR-RECEIPT-INVALID, whatever is wrong with the receipt.
        KeyStoreError, PackageError: `trust` or the package file can't be read.
    """
    trusted = Trusted.of(trust)
    if trusted == Trusted(None, None):
        raise invalid("there is no first use of a receipt: trust names the owner")
    file = _read(text)
    try:
        when = parse_moment(file.statement.time)
        proven = verify_proof(file.proof, trusted, when)
    except ValueError as error:
        raise invalid("its time is none") from error
    except StrongroomError as error:
        raise invalid(error.message) from error
    _check(SignedStatement(file.statement, file.signatures), proven)
    _check_messages(file.statement, request, response)
    if package is not None and (of := read_package(package).digest) != proven.package:
        raise invalid(f"it is of package {proven.package}, not of {of}")
    kept = text if isinstance(text, str) else text.decode()
    return Receipt(file.statement, proven.manifest, proven.owner, proven.server, kept)


def _read(text: str | bytes) -> _File:
    if len(text) > MAXIMUM_RECEIPT_BYTES:
        raise invalid(f"it has {len(text)} characters")
    try:
        data = text.encode() if isinstance(text, str) else text
        file = msgspec.json.decode(data, type=_File)
        canonical = canonical_json(file)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise invalid("it is malformed") from error
    if canonical != data:
        raise invalid("it is not in canonical form")
    return file


def _check(signed: SignedStatement, proven: ProvenServer) -> None:
    statement = signed.statement
    key = proven.configuration.by_id(statement.key_id)
    if key is None:
        raise invalid(f"serving key {statement.key_id} is none of the server's")
    try:
        when = parse_moment(statement.time)
    except ValueError as error:
        raise invalid("its time is none") from error
    if not parse_moment(key.not_before) - CLOCK_SKEW <= when <= parse_moment(key.not_after):
        raise invalid(f"serving key {statement.key_id} was not in use at {statement.time}")
    try:
        key.public.verify(signed.signatures, PURPOSE, canonical_json(statement))
    except StrongroomError as error:
        raise invalid("it is not signed by the serving key that it names") from error
    if statement.server != proven.server.fingerprint:
        raise invalid("it names another server than the owner granted the package to")
    if Subject(statement.package, statement.plan, statement.guarantee) != proven.subject:
        raise invalid("it is of another package, plan or guarantee")


def _check_messages(statement: Statement, request: bytes | None, response: bytes | None) -> None:
    for what, content, stated in (
        ("request", request, statement.request),
        ("response", response, statement.response),
    ):
        if content is not None and digest(content) != stated:
            raise invalid(f"it is of another {what}")
