"""Records of a package: small canonical JSON texts, each with exactly one form.

Untrusted bytes are decoded by their type, with every length and number bounded by it, written
again and compared: what is not exactly canonical is refused, so that a digest or a signature of
the bytes is one of the value.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from strongroom.canonical import canonical_json
from strongroom.errors import PackageError

FETCH_AGAIN: Final = "Fetch the package again from its owner"

Record = TypeVar("Record", bound=msgspec.Struct)


def decode_record(data: bytes, record: type[Record], what: str, most: int) -> Record:
    """Read an untrusted record.

    Args:
        what: names it in errors: "the grant log".
        most: bytes that are parsed at all.

    Raises:
        PackageError: SR-PACKAGE-FILE.
    """
    if len(data) > most:
        raise malformed(f"{what} has {len(data)} bytes, more than {most}")
    try:
        value = msgspec.json.decode(data, type=record)
        canonical = canonical_json(value)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise malformed(f"{what} is not valid: {one_line(error)}") from error
    if canonical != data:
        raise malformed(f"{what} is not in canonical form")
    return value


def malformed(what: str) -> PackageError:
    """The error for a package that is not what the format says."""
    return PackageError("SR-PACKAGE-FILE", what, FETCH_AGAIN)


def one_line(error: Exception) -> str:
    """What a parser says, fit to be shown: what is refused may quote itself."""
    return ascii(str(error))[1:-1][:200]
