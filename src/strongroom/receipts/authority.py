"""Authority: the proof that a server may serve a package, which its owner signed.

A server shows it in a model's metadata, as a canonical JSON text of one of these kinds:

    {"kind": "grant", "entry": …}    an entry of the package's grant log, for the server's identity
    {"kind": "release", "grant": …, "release": …}    an entry for a broker, and the broker's word
                                                     that it released the package to the server

Rules:

1. The entry is signed by the package's owner, by both algorithms, and is of this package.
2. It allows serving: its purpose is "serve", "open" or "owner". For a broker's word it is
   "broker", and `broker.release` has the rules for the rest.
3. It has not ended.

What follows is an identity, and that alone: `keys.serving` says which keys it has at present.
Whether the owner has revoked the grant since can't be seen from an entry by itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from strongroom.broker.release import ReleaseAuthority, verify_released
from strongroom.canonical import canonical_json
from strongroom.errors import PackageError
from strongroom.keys.identity import PublicIdentity
from strongroom.keys.serving import refused
from strongroom.package.grants import MAY_SERVE, Grant, verify_grant
from strongroom.package.records import decode_record

MAXIMUM_TEXT: Final = 64 * 2**10
"""Longest authority that is parsed at all."""


class GrantAuthority(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="grant"
):
    """The owner granted the package to the server itself.

    Attributes:
        entry: of the package's grant log.
    """

    entry: Grant


def grant_authority(entry: Grant) -> str:
    """The text that shows a grant to the server itself."""
    return canonical_json(GrantAuthority(entry)).decode()


def verify_authority(
    text: str, owner: PublicIdentity, package: str, now: datetime
) -> PublicIdentity:
    """Read an untrusted authority and hold it to the rules above.

    Args:
        text: as the server sent it.
        owner: of the package, whom the caller trusts.
        package: digest of its manifest.
        now: UTC.

    Returns:
        The identity of the server that may serve the package.

    Raises:
        PackageError: SR-PACKAGE-SIGNATURE if the owner did not sign it, SR-PACKAGE-GRANT if it is
            of another package or for something else, SR-PACKAGE-EXPIRED if it has ended.
        AttestationError: SR-ATTESTATION-POLICY if a broker released it for development evidence.
        ServerError: SR-SERVER-KEYS if it is no authority.
    """
    data = text.encode("utf-8", "surrogatepass")
    authority: GrantAuthority | ReleaseAuthority
    try:
        if data.startswith(b'{"entry":'):  # canonical JSON: keys are in their order
            authority = decode_record(data, GrantAuthority, "the authority", MAXIMUM_TEXT)
        else:
            authority = decode_record(data, ReleaseAuthority, "the authority", MAXIMUM_TEXT)
    except PackageError as error:
        raise refused("what it shows is no grant of the package") from error
    if isinstance(authority, ReleaseAuthority):
        return verify_released(authority, owner, package, now)
    return _of_grant(authority.entry, owner, package, now)


def _of_grant(entry: Grant, owner: PublicIdentity, package: str, now: datetime) -> PublicIdentity:
    verify_grant(entry, owner, package)
    if entry.purpose not in MAY_SERVE:
        raise PackageError(
            "SR-PACKAGE-GRANT",
            f'the package is granted to the server for "{entry.purpose}", not to be served',
            "Ask the package's owner for a grant",
        )
    if not entry.holds(now):
        raise PackageError(
            "SR-PACKAGE-EXPIRED",
            f"the server's grant ended at {entry.expires}",
            "Ask the package's owner to grant it anew",
        )
    return entry.identity
