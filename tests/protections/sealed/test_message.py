"""Sealed messages open once, at the process and for the package that they are for, unaltered."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sealed_ends import NOW, OTHER_PACKAGE, PACKAGE, Ends, secrets

from strongroom.canonical import canonical_json
from strongroom.errors import CiphertextError, InputError, ServerError, StrongroomError
from strongroom.protections.sealed.message import (
    SUITE,
    WHOLE_BYTES,
    read_header,
    request_bytes,
    response_bytes,
)
from strongroom.protections.sealed.padding import padded_bytes

SMALL, LARGE = b"x" * 300, b"y" * 100_000


def with_header(body: bytes, **fields: object) -> bytes:
    """A request with another header, of its own canonical length."""
    _, start = read_header(body)
    header = json.loads(body[8:start]) | fields
    text = canonical_json({name: value for name, value in header.items() if value is not None})
    return body[:6] + len(text).to_bytes(2, "little") + text + body[start:]


@pytest.mark.parametrize("size", [0, 1, 247, 248, 249, 4096, 60_000, 65_528, 65_529, 200_000])
def test_what_is_sealed_is_opened_and_answered(size: int) -> None:
    ends, content = Ends(), bytes(range(256)) * (size // 256 + 1)
    content = content[:size]
    pending = ends.seal(content)
    header, _ = read_header(pending.body)
    assert header.form == ("whole" if padded_bytes(size) <= WHOLE_BYTES else "stream")
    assert (header.suite, header.package, header.key) == (SUITE, PACKAGE, secrets(0).key_id)
    opened = ends.open(pending.body)
    assert opened.content == content
    assert opened.header == header
    response = opened.respond(content[::-1])
    assert pending.open_response(response) == content[::-1]
    assert len(pending.body) <= request_bytes(size)
    assert len(response) == response_bytes(size)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 70_000), st.integers(0, 70_000))
def test_lengths_of_messages_follow_from_padded_lengths_alone(one: int, other: int) -> None:
    ends = Ends()
    lengths = [len(ends.seal(bytes(size)).body) for size in (one, other)]
    if padded_bytes(one) == padded_bytes(other):
        assert lengths[0] == lengths[1]


def test_nothing_of_a_content_or_of_keys_shows() -> None:
    ends, canary = Ends(), b"canary-7f3a91" * 20
    pending = ends.seal(canary)
    response = ends.open(pending.body).respond(canary)
    assert b"canary" not in pending.body + response
    assert "canary" not in repr(pending)
    assert "canary" not in repr(ends.open(ends.seal(canary).body))
    assert ends.seal(canary).body[300:] != pending.body[300:]


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["whole", "stream"])
def test_a_flipped_bit_anywhere_in_a_request_fails_closed(content: bytes) -> None:
    ends = Ends()
    body = ends.seal(content).body
    places = {*range(0, min(len(body), 1700), 7), *range(1700, len(body), 4001), len(body) - 1}
    for place in sorted(places):
        altered = bytearray(body)
        altered[place] ^= 1 << place % 8
        with pytest.raises((CiphertextError, ServerError)) as caught:
            ends.open(bytes(altered))
        assert caught.value.code.startswith("SR-SEALED-"), place
    assert not ends.taken, "what does not open burns no identifier"
    assert ends.open(body).content == content


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["whole", "stream"])
def test_a_flipped_bit_anywhere_in_a_response_fails_closed(content: bytes) -> None:
    ends = Ends()
    pending = ends.seal(b"")
    response = ends.open(pending.body).respond(content)
    for place in [*range(0, min(len(response), 700), 5), *range(700, len(response), 3001)]:
        altered = bytearray(response)
        altered[place] ^= 1 << place % 8
        with pytest.raises(CiphertextError):
            pending.open_response(bytes(altered))


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["whole", "stream"])
def test_messages_that_are_cut_or_longer_fail_closed(content: bytes) -> None:
    ends = Ends()
    pending = ends.seal(content)
    response = ends.open(pending.body).respond(content)
    for cut in [0, 3, 7, 8, 100, 400, 1500, len(pending.body) - 16, len(pending.body) - 1]:
        with pytest.raises((CiphertextError, ServerError)):
            ends.open(pending.body[:cut])
    with pytest.raises(CiphertextError):
        ends.open(ends.seal(content).body + b"\0")
    for cut in [0, 7, 8, 60, len(response) - 16, len(response) - 1]:
        with pytest.raises(CiphertextError):
            pending.open_response(response[:cut])
    with pytest.raises(CiphertextError):
        pending.open_response(response + b"\0")


def test_a_response_opens_for_its_own_request_only() -> None:
    ends = Ends()
    one, other = ends.seal(SMALL), ends.seal(SMALL)
    answers = [ends.open(pending.body).respond(b"answer") for pending in (one, other)]
    for pending, response in ((one, answers[1]), (other, answers[0])):
        with pytest.raises(CiphertextError) as caught:
            pending.open_response(response)
        assert caught.value.code == "SR-SEALED-OPEN"
    assert one.open_response(answers[0]) == b"answer"


def test_a_replayed_request_is_refused_and_a_fresh_one_is_not() -> None:
    ends = Ends()
    pending = ends.seal(SMALL)
    ends.open(pending.body)
    with pytest.raises(ServerError) as caught:
        ends.open(pending.body)
    assert caught.value.code == "SR-SEALED-REPLAY"
    ends.open(ends.seal(SMALL).body)


def test_an_identifier_is_remembered_until_its_request_is_too_old() -> None:
    ends = Ends()
    pending = ends.seal(SMALL)
    ends.time = NOW + timedelta(minutes=4)
    ends.open(pending.body)
    (expires,) = ends.taken.values()
    ends.time = expires + timedelta(milliseconds=1)
    ends.taken.clear()
    with pytest.raises(ServerError) as caught:
        ends.open(pending.body)
    assert caught.value.code == "SR-SEALED-REPLAY"


@pytest.mark.parametrize("minutes", [-5.1, 5.1, -600, 10**6])
def test_a_wrong_clock_is_found_out(minutes: float) -> None:
    ends = Ends()
    pending = ends.seal(SMALL)
    ends.time = NOW + timedelta(minutes=minutes)
    with pytest.raises(ServerError) as caught:
        ends.open(pending.body)
    assert caught.value.code == "SR-SEALED-REPLAY"
    assert not ends.taken


@pytest.mark.parametrize("minutes", [-4.9, 4.9])
def test_clocks_may_differ_a_little(minutes: float) -> None:
    ends = Ends()
    pending = ends.seal(SMALL)
    ends.time = NOW + timedelta(minutes=minutes)
    assert ends.open(pending.body).content == SMALL


def test_a_request_for_another_package_is_refused() -> None:
    ends = Ends()
    pending = ends.seal(SMALL, OTHER_PACKAGE)
    with pytest.raises(CiphertextError) as caught:
        ends.open(pending.body)
    assert caught.value.code == "SR-SEALED-OPEN"
    with pytest.raises(CiphertextError) as caught:  # nor does it help to say so
        ends.open(with_header(pending.body, package=PACKAGE))
    assert caught.value.code == "SR-SEALED-OPEN"
    assert not ends.taken


def test_a_key_that_is_gone_is_said_to_be() -> None:
    old, now = Ends(1), Ends(2)
    with pytest.raises(ServerError) as caught:
        now.open(old.seal(SMALL).body)
    assert (caught.value.code, caught.value.http_status) == ("SR-SEALED-KEY", 409)
    assert Ends(2, 1).open(old.seal(SMALL).body).content == SMALL


def test_a_request_sealed_to_one_key_does_not_open_with_another() -> None:
    both = Ends(1, 2)
    body = both.seal(SMALL).body
    with pytest.raises(CiphertextError) as caught:
        both.open(with_header(body, key=secrets(2).key_id))
    assert caught.value.code == "SR-SEALED-OPEN"


@pytest.mark.parametrize(
    "fields",
    [
        {"sent": 1_795_435_200_001},
        {"request": 32 * "0"},
        {"form": "stream"},
        {"suite": "aes-128-gcm"},
        {"suite": None},
        {"request": 32 * "A"},
        {"request": 31 * "0"},
        {"key": "0123"},
        {"key": "../../etc/passwd"},
        {"package": "sha256:00"},
        {"sent": -1},
        {"sent": 2**60},
        {"sent": 1.5},
        {"more": 1},
    ],
    ids=str,
)
def test_an_altered_header_fails_closed(fields: dict[str, object]) -> None:
    ends = Ends()
    with pytest.raises((CiphertextError, ServerError)) as caught:
        ends.open(with_header(ends.seal(SMALL).body, **fields))
    assert caught.value.code in ("SR-SEALED-FORMAT", "SR-SEALED-OPEN")
    assert not ends.taken


def test_a_header_has_one_form() -> None:
    ends = Ends()
    body = ends.seal(SMALL).body
    _, start = read_header(body)
    loose = json.dumps(json.loads(body[8:start])).encode()
    for text in (loose, b"{}", b"[]", b"", b"\xff" * 20, b"[" * 900):
        altered = body[:6] + len(text).to_bytes(2, "little") + text + body[start:]
        with pytest.raises(CiphertextError) as caught:
            ends.open(altered)
        assert caught.value.code == "SR-SEALED-FORMAT"


def test_a_content_travels_in_the_one_form_for_its_length() -> None:
    ends = Ends()
    long = ends.seal(LARGE).body
    short = ends.seal(SMALL).body
    for body, form in ((long, "whole"), (short, "stream")):
        with pytest.raises(CiphertextError) as caught:
            ends.open(with_header(body, form=form))
        assert caught.value.code == "SR-SEALED-FORMAT"


def test_a_refusal_travels_sealed() -> None:
    ends = Ends()
    pending = ends.seal(SMALL)
    error = InputError("SR-INPUT-SHAPE", "a canary of a shape", "Send another")
    response = ends.open(pending.body).refuse(error)
    assert b"canary" not in response
    assert b"SR-INPUT" not in response
    with pytest.raises(StrongroomError) as caught:
        pending.open_response(response)
    assert caught.value.code == "SR-INPUT-SHAPE"
    assert "a canary of a shape" in caught.value.message
    assert caught.value.remedy == "Send another"


def test_a_refusal_of_an_unknown_code_is_none() -> None:
    ends = Ends()
    pending = ends.seal(SMALL)
    opened = ends.open(pending.body)
    for said in (b"", b"{}", b'{"code":"SR-NONE","message":"","remedy":""}', b"x" * 5000):
        with pytest.raises(CiphertextError) as caught:
            pending.open_response(opened._sealed(b"\1", said))
        assert caught.value.code == "SR-SEALED-FORMAT"
    with pytest.raises(CiphertextError):
        pending.open_response(opened._sealed(b"\2", b""))


def test_what_a_server_says_rewrites_no_terminal() -> None:
    ends = Ends()
    pending = ends.seal(SMALL)
    error = InputError("SR-INPUT-SHAPE", "\x1b[2J\n\u202eevil" + "x" * 10_000)
    with pytest.raises(StrongroomError) as caught:
        pending.open_response(ends.open(pending.body).refuse(error))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
