"""Sealed messages: a request that one serving process opens, and a response that one asker opens
(docs/reference/protocol.md, "Sealed exchange").

A request, integers little-endian:

    magic          4  "SRSQ"
    version        2  1
    header length  2
    header            canonical JSON: `RequestHeader`
    sealed            HPKE (RFC 9180, base mode) to the serving key; `info` is a label and all
                      before; inside: response key (32), then
                        form "whole":  the padded content
                        form "stream": body key (32)
    body              of form "stream": the padded content by Cobblestone-256 under the body key;
                      its context is a label and the SHA-256 of all before

A response:

    magic          4  "SRSP"
    version        2  1
    reserved       2  0
    body              by Cobblestone-256 under the response key; its context is a label and the
                      SHA-256 of the whole request; inside, padded: status (1), then the content or,
                      of a refusal, canonical JSON: code, message, remedy

The rules that a request is held to, in this order:

1. It is canonical: one request, one sequence of bytes. Up to 64 KiB of padded content travel whole,
   more as a stream.
2. It is for the package that this process serves.
3. It was sent within the window around this process's time: later it would be forgotten.
4. Its serving key is there.
5. It opens.
6. It was not opened before. This comes last, so that nobody burns an identifier without its key.

The response key is used once, for one response: a response opens for the request it answers, or not
at all. Nothing here says what the contents are.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

import msgspec

from strongroom.canonical import Digest, canonical_json
from strongroom.errors import CODES, CiphertextError, ServerError, StrongroomError
from strongroom.keys.identity import PublicIdentity
from strongroom.protections.interface import OpeningKey, OpeningKeys
from strongroom.protections.sealed.padding import padded_bytes, padding_of, unpadded
from strongroom.protections.sealed.streams import (
    KEY_BYTES,
    Bytes,
    decrypt,
    encrypt,
    encrypted_bytes,
)

SUITE: Final = "x-wing,hkdf-sha256,aes-256-gcm,cobblestone-256"
"""The one suite, by the names of its parts."""

WINDOW: Final = timedelta(minutes=5)
"""How far the clocks of asker and server may differ."""

WHOLE_BYTES: Final = 64 * 2**10
"""Padded content up to this length is sealed by HPKE itself."""

_REQUEST: Final = b"SRSQ"
_RESPONSE: Final = b"SRSP"
_VERSION: Final = 1
_PREFIX: Final = struct.Struct("<4sHH")
_INFO: Final = b"strongroom sealed request\0"
_BODY: Final = b"strongroom sealed body\0"
_ANSWER: Final = b"strongroom sealed response\0"
_HPKE_BYTES: Final = 1120 + 16
_MAXIMUM_HEADER_BYTES: Final = 1024
_MAXIMUM_REFUSAL_BYTES: Final = 4096
_LONGEST_TEXT: Final = 600
_DONE, _REFUSED = b"\0", b"\1"

KeyId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")]
RequestId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]


class RequestHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request says in the clear.

    Attributes:
        form: how the content travels.
        key: identifier of the serving key.
        package: digest of the package that is asked.
        request: 16 random bytes in hex.
        sent: the asker's time, milliseconds since 1970, UTC.
        suite: `SUITE`.
    """

    form: Literal["whole", "stream"]
    key: KeyId
    package: Digest
    request: RequestId
    sent: Annotated[int, msgspec.Meta(ge=0, le=2**48)]
    suite: Literal["x-wing,hkdf-sha256,aes-256-gcm,cobblestone-256"]


# Of texts and integers this writes canonical JSON, as `canonical` does, in a tenth of the time.
_encoder: Final = msgspec.json.Encoder(order="sorted")
_header_decoder: Final = msgspec.json.Decoder(RequestHeader)


class _Refusal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    code: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class PendingSealed:
    """A sealed request, and what opens its response.

    Attributes:
        body: the bytes to send.
        request_id: as in the header.
    """

    body: bytes
    request_id: str
    _response_key: bytes = field(repr=False)

    def open_response(self, response: Bytes) -> memoryview:
        """The content of the response to this request.

        Raises:
            CiphertextError: SR-SEALED-FORMAT; SR-SEALED-OPEN, also of another request's response.
            ServerError: the server could not answer, and says with which code.
        """
        view = memoryview(response)
        if len(view) < _PREFIX.size or _PREFIX.unpack_from(view) != (_RESPONSE, _VERSION, 0):
            raise _malformed("a response does not begin as it must")
        context = _answer_context(self.body)
        plain = decrypt(self._response_key, context, view[_PREFIX.size :])
        content = unpadded(plain)
        if len(content) == 0 or content[0] > _REFUSED[0]:
            raise _malformed("a response has no status that is known here")
        if content[0] == _REFUSED[0]:
            raise _refusal(content[1:])
        return content[1:]


@dataclass(frozen=True, slots=True)
class OpenedRequest:
    """A request that was opened.

    Attributes:
        content: what was sealed.
        header: what was in the clear, and is authenticated.
    """

    content: memoryview = field(repr=False)
    header: RequestHeader
    _response_key: bytes = field(repr=False)
    _context: bytes = field(repr=False)

    def respond(self, content: Bytes) -> bytes:
        """The response with a content. For each request one response, or one refusal."""
        return self._sealed(_DONE, content)

    def refuse(self, error: StrongroomError) -> bytes:
        """The response that says what is wrong with the content."""
        said = _Refusal(error.code, error.message[:_LONGEST_TEXT], error.remedy[:_LONGEST_TEXT])
        return self._sealed(_REFUSED, canonical_json(said))

    def _sealed(self, status: bytes, content: Bytes) -> bytes:
        head, tail = padding_of(len(status) + len(content))
        return encrypt(
            self._response_key,
            self._context,
            (head, status, content, tail),
            before=_PREFIX.pack(_RESPONSE, _VERSION, 0),
        )


def seal_request(
    key_id: str, key: PublicIdentity, content: Bytes, *, package: str, now: datetime
) -> PendingSealed:
    """Seal a content to a serving process. Every call draws fresh keys and a fresh identifier.

    Args:
        key_id: identifier of the serving key.
        key: its public keys, `ServingKey.public`.
        package: digest of the package that is asked.
        now: UTC.
    """
    head, tail = padding_of(len(content))
    whole = len(head) + len(content) + len(tail) <= WHOLE_BYTES
    header = RequestHeader(
        form="whole" if whole else "stream",
        key=key_id,
        package=package,
        request=secrets.token_hex(16),
        sent=_milliseconds(now),
        suite="x-wing,hkdf-sha256,aes-256-gcm,cobblestone-256",
    )
    text = _encoder.encode(header)
    prefix = _PREFIX.pack(_REQUEST, _VERSION, len(text)) + text
    response_key = secrets.token_bytes(KEY_BYTES)
    if whole:
        sealed = key.wrap(b"".join((response_key, head, content, tail)), _INFO + prefix)
        return PendingSealed(prefix + sealed, header.request, response_key)
    body_key = secrets.token_bytes(KEY_BYTES)
    before = prefix + key.wrap(response_key + body_key, _INFO + prefix)
    body = encrypt(body_key, _body_context(before), (head, content, tail), before=before)
    return PendingSealed(body, header.request, response_key)


def open_request(
    request: Bytes, keys: OpeningKeys, *, package: str, now: datetime, window: timedelta = WINDOW
) -> OpenedRequest:
    """Open a request, by the rules above.

    Args:
        package: digest of the package that this process serves.
        now: UTC.
        window: how far before or after `now` the request may have been sent.

    Raises:
        CiphertextError: SR-SEALED-FORMAT; SR-SEALED-OPEN if it does not open, or is for another
            package.
        ServerError: SR-SEALED-KEY if its serving key is not there, SR-SEALED-REPLAY.
    """
    view = memoryview(request)
    header, start = read_header(view)
    if header.package != package:
        raise CiphertextError(
            "SR-SEALED-OPEN",
            "a sealed request is for another package",
            "Connect again, so that the client reads what is served now",
        )
    sent = timedelta(milliseconds=header.sent)
    if abs(sent - timedelta(milliseconds=_milliseconds(now))) > window:
        raise _replayed("was sent too long ago, or in the future", "Set this machine's clock")
    key = keys.opening_key(header.key)
    if key is None:
        raise ServerError(
            "SR-SEALED-KEY",
            f"there is no serving key {header.key} here any more",
            "Read the server's key configuration again, and seal the request afresh",
            http_status=409,
        )
    response_key, content = _opened(view, header, start, key)
    if keys.seen(header.request, datetime.fromtimestamp(header.sent / 1000, UTC) + window):
        raise _replayed("was opened before", "Seal the request afresh")
    return OpenedRequest(content, header, response_key, _answer_context(view))


def read_header(request: Bytes) -> tuple[RequestHeader, int]:
    """What a request says in the clear, not authenticated, and at which byte what is sealed begins.

    Raises:
        CiphertextError: SR-SEALED-FORMAT.
    """
    view = memoryview(request)
    if len(view) < _PREFIX.size:
        raise _malformed(f"{len(view)} bytes are too few")
    magic, version, length = _PREFIX.unpack_from(view)
    if magic != _REQUEST:
        raise _malformed("it does not begin as a sealed request does")
    if version != _VERSION:
        raise _malformed(f"version {version} is not known here")
    start = _PREFIX.size + length
    if length > _MAXIMUM_HEADER_BYTES or start > len(view):
        raise _malformed(f"its header claims {length} bytes")
    text = bytes(view[_PREFIX.size : start])
    try:
        header = _header_decoder.decode(text)
        canonical = _encoder.encode(header)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _malformed("its header is none") from error
    if canonical != text:
        raise _malformed("its header is not in canonical form")
    return header, start


def request_bytes(content_bytes: int) -> int:
    """The most bytes of a request with a content of that length."""
    padded = padded_bytes(content_bytes)
    before = _PREFIX.size + _MAXIMUM_HEADER_BYTES + _HPKE_BYTES
    if padded <= WHOLE_BYTES:
        return before + KEY_BYTES + padded
    return before + 2 * KEY_BYTES + encrypted_bytes(padded)


def response_bytes(content_bytes: int) -> int:
    """The bytes of a response with a content of that length; a refusal has no more than 5 KiB."""
    return _PREFIX.size + encrypted_bytes(padded_bytes(1 + content_bytes))


def _opened(
    view: memoryview, header: RequestHeader, start: int, key: OpeningKey
) -> tuple[bytes, memoryview]:
    """The response key and the content of a request."""
    info = _INFO + bytes(view[:start])
    if header.form == "whole":
        if len(view) > start + _HPKE_BYTES + KEY_BYTES + WHOLE_BYTES:
            raise _malformed("a content of that length travels as a stream")
        plain = memoryview(key.open(bytes(view[start:]), info))
        return bytes(plain[:KEY_BYTES]), unpadded(plain[KEY_BYTES:])
    end = start + _HPKE_BYTES + 2 * KEY_BYTES
    if len(view) <= end + encrypted_bytes(WHOLE_BYTES):
        raise _malformed("a content of that length travels whole")
    both = key.open(bytes(view[start:end]), info)
    body = decrypt(both[KEY_BYTES:], _body_context(view[:end]), view[end:])
    return both[:KEY_BYTES], unpadded(body)


def _body_context(before: Bytes) -> bytes:
    return _BODY + hashlib.sha256(before).digest()


def _answer_context(request: Bytes) -> bytes:
    return _ANSWER + hashlib.sha256(request).digest()


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _refusal(content: memoryview) -> StrongroomError:
    """The error that a server sealed; what it says is bounded, and one line of printable text."""
    try:
        if len(content) > _MAXIMUM_REFUSAL_BYTES:
            raise ValueError
        said = msgspec.json.decode(content, type=_Refusal)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _malformed("a refusal is none") from error
    if said.code not in CODES:
        raise _malformed("a refusal has no code that is known here")
    message, remedy = (
        "".join(letter for letter in text[:_LONGEST_TEXT] if letter.isprintable())
        for text in (said.message, said.remedy)
    )
    return ServerError(said.code, f"the server says: {message}", remedy, http_status=400)


def _replayed(what: str, remedy: str) -> ServerError:
    return ServerError("SR-SEALED-REPLAY", f"a sealed request {what}", remedy, http_status=409)


def _malformed(what: str) -> CiphertextError:
    return CiphertextError(
        "SR-SEALED-FORMAT",
        f"malformed sealed message: {what}",
        "Send what the client library made, unaltered",
    )
