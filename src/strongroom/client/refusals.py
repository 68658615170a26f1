"""Refusals: turning a server's error answer into one of our errors, trusting nothing in it."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from strongroom.client.v2 import wrong
from strongroom.errors import CODES, CommitteeError, ServerError

MAXIMUM_REFUSAL_BYTES: Final = 64 * 2**10
"""Longest error answer that is read."""

_LONGEST_TEXT: Final = 600

# A server has no say about the caller's rows, keys, policy or command line.
_SERVERS_OWN: Final = (
    "SR-SERVER-",
    "SR-REQUEST-",
    "SR-WORKER-",
    "SR-CIPHERTEXT-",
    "SR-PACKAGE-",
    "SR-SEALED-",
    # of keys at a server, not of the caller's key store
    "SR-KEYS-HOLDER",
    "SR-KEYS-MISSING",
    "SR-KEYS-UPLOAD",
    "SR-KEYS-QUOTA",
    "SR-KEYS-SPACE",
)

_COMMITTEES: Final = ("SR-COMMITTEE-", "SR-MEMBER-")
_MOST_MEMBERS: Final = 16


class _Refusal(msgspec.Struct):
    error: str
    code: str = ""
    members: tuple[str, ...] = ()


def refusal(status: int, body: bytes, token: str | None) -> ServerError | CommitteeError:
    """The error for an answer whose status is not 200.

    Args:
        status: of HTTP.
        body: {"error": text, "code": code}, supposedly.
        token: the client's, removed from the text should the server quote it.
    """
    if 300 <= status < 400:
        return wrong(f"the server redirects (HTTP status {status}), which is not followed")
    try:
        found = msgspec.json.decode(body, type=_Refusal)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return wrong(f"the server answers with HTTP status {status} and no explanation")
    text = one_line(found.error, token)
    if found.code in CODES and found.code.startswith(_SERVERS_OWN):
        text = text.removeprefix(f"[{found.code}] ").rstrip(". ")
        return ServerError(found.code, f"the server says: {text}", http_status=status)
    if found.code in CODES and found.code.startswith(_COMMITTEES):
        text = text.removeprefix(f"[{found.code}] ").rstrip(". ")
        error = CommitteeError(found.code, f"the server says: {text}", http_status=status)
        error.members = tuple(one_line(name, token) for name in found.members[:_MOST_MEMBERS])
        error.member = error.members[0] if error.members else None
        return error
    return wrong(f"the server answers with HTTP status {status}, saying: {text.rstrip('. ')}")


def one_line(text: str, token: str | None) -> str:
    """Untrusted text as one printable line of bounded length, without the token.

    Control characters could rewrite a terminal, and so could marks that turn its direction.
    """
    if token:
        text = text.replace(token, "***")
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    line = re.sub(r"\s+", " ", printable).strip()
    return line if len(line) <= _LONGEST_TEXT else line[:_LONGEST_TEXT] + "…"
