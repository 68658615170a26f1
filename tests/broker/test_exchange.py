"""The serving process's side: an answer is taken only if owner and broker vouch for it, to this
request, for this identity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from broker_desk import NOW, Desk

from strongroom.broker.exchange import (
    MAXIMUM_ANSWER_BYTES,
    ReleaseAnswer,
    ReleaseRequest,
    accept,
    decode_about,
    decode_challenge,
    decode_request,
    encode_request,
)
from strongroom.broker.release import (
    ReleaseAuthority,
    SignedRelease,
    Summary,
    verify_release,
    verify_released,
)
from strongroom.canonical import canonical_json
from strongroom.errors import ServerError, StrongroomError
from strongroom.keys.identity import Identity
from strongroom.package.file import Package, read

replace = msgspec.structs.replace


@dataclass
class Exchanged:
    """One exchange that went well."""

    package: Package
    request: ReleaseRequest
    answer: ReleaseAnswer


@pytest.fixture
def exchanged(desk: Desk, pack: Callable[..., Package], keeper: Identity) -> Exchanged:
    package = pack(desk.folder / "model.strongroom", keeper)
    request = desk.request(package.digest)
    return Exchanged(package, request, desk.broker.release(request))


@pytest.fixture
def take(exchanged: Exchanged, owner: Identity, server: Identity) -> Callable[..., Any]:
    """Takes an answer, with changes to who takes it."""

    def _take(answer: ReleaseAnswer, **changes: Any) -> Any:
        return accept(
            canonical_json(answer),
            changes.get("request", exchanged.request),
            changes.get("owner", owner).public,
            changes.get("server", server),
            changes.get("now", NOW),
        )

    return _take


def code_of(call: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    with pytest.raises(StrongroomError) as error:
        call(*arguments, **options)
    return error.value.code


def test_the_authority_of_an_answer_leads_from_the_owner_to_the_server(
    exchanged: Exchanged, take: Callable[..., Any], owner: Identity, server: Identity
) -> None:
    released = take(exchanged.answer)
    authority = msgspec.json.decode(released.authority, type=ReleaseAuthority)
    assert canonical_json(authority).decode() == released.authority
    found = verify_released(authority, owner.public, exchanged.package.digest, NOW)
    assert found == server.public


def test_an_answer_to_another_request_is_refused(
    exchanged: Exchanged, take: Callable[..., Any], desk: Desk
) -> None:
    other = desk.request(exchanged.package.digest)
    assert code_of(take, exchanged.answer, request=other) == "SR-BROKER-REFUSED"
    reused = replace(other, nonce=exchanged.request.nonce)
    assert code_of(take, exchanged.answer, request=reused) == "SR-BROKER-REFUSED"


def test_an_answer_for_another_process_is_refused(
    exchanged: Exchanged, take: Callable[..., Any]
) -> None:
    other = Identity.generate("other")
    assert code_of(take, exchanged.answer, server=other) == "SR-BROKER-REFUSED"


def test_an_answer_for_a_package_of_another_owner_is_refused(
    exchanged: Exchanged, take: Callable[..., Any]
) -> None:
    code = code_of(take, exchanged.answer, owner=Identity.generate("other"))
    assert code in ("SR-PACKAGE-SIGNATURE", "SR-PACKAGE-GRANT")


def test_an_answer_for_another_package_is_refused(
    exchanged: Exchanged, take: Callable[..., Any]
) -> None:
    other = replace(exchanged.request, package="sha256:" + "0" * 64)
    assert code_of(take, exchanged.answer, request=other) == "SR-PACKAGE-GRANT"


def test_an_answer_is_refused_after_its_end_and_before_its_beginning(
    exchanged: Exchanged, take: Callable[..., Any]
) -> None:
    for moment in (NOW + timedelta(days=1), NOW - timedelta(minutes=6)):
        assert code_of(take, exchanged.answer, now=moment) == "SR-PACKAGE-EXPIRED"


@pytest.mark.parametrize(
    "change",
    [
        {"expires": "2999-01-01T00:00:00Z"},
        {"nonce": "00" * 32},
        {"policy": "sha256:" + "0" * 64},
        {"evidence": "sha256:" + "0" * 64},
        {"summary": Summary("tdx", "00" * 48)},
        {"server": Identity.generate("other").public.to_text()},
    ],
)
def test_a_release_that_was_changed_is_not_signed(
    exchanged: Exchanged, take: Callable[..., Any], change: dict[str, Any]
) -> None:
    signed = exchanged.answer.release
    changed = replace(signed, release=replace(signed.release, **change))
    answer = replace(exchanged.answer, release=changed)
    assert code_of(take, answer) == "SR-PACKAGE-SIGNATURE"


def test_one_signature_of_two_is_not_enough(exchanged: Exchanged, take: Callable[..., Any]) -> None:
    signed = exchanged.answer.release
    other = Identity.generate("other").sign("release", canonical_json(signed.release))
    for field in ("ed25519", "ml_dsa_65"):
        mixed = replace(signed.signatures, **{field: getattr(other, field)})
        answer = replace(exchanged.answer, release=replace(signed, signatures=mixed))
        assert code_of(take, answer) == "SR-PACKAGE-SIGNATURE"


def test_a_release_by_somebody_whom_the_owner_did_not_name_is_refused(
    exchanged: Exchanged, take: Callable[..., Any]
) -> None:
    stranger = Identity.generate("stranger")
    release = SignedRelease.by(stranger, exchanged.answer.release.release)
    assert code_of(take, replace(exchanged.answer, release=release)) == "SR-PACKAGE-SIGNATURE"


def test_a_grant_that_is_not_for_a_broker_releases_nothing(
    desk: Desk,
    pack: Callable[..., Package],
    exchanged: Exchanged,
    owner: Identity,
    keeper: Identity,
) -> None:
    """A recipient that may serve must not hand the model on as if it were a broker."""
    path = desk.folder / "serve.strongroom"
    package = pack(path, keeper, purpose="serve")
    release = replace(exchanged.answer.release.release, package=package.digest)
    for grant in read(path).grants:
        authority = ReleaseAuthority(grant, SignedRelease.by(keeper, release))
        if grant.purpose == "owner":
            authority = replace(authority, release=SignedRelease.by(owner, release))
        code = code_of(verify_released, authority, owner.public, package.digest, NOW)
        assert code == "SR-PACKAGE-GRANT"


def test_an_ended_grant_to_the_broker_ends_its_releases(
    desk: Desk, pack: Callable[..., Package], owner: Identity, keeper: Identity
) -> None:
    end = NOW + timedelta(hours=1)
    package = pack(desk.folder / "short.strongroom", keeper, expires=end)
    answer = desk.ask(package.digest)
    longer = replace(answer.release.release, expires="2999-01-01T00:00:00Z")
    authority = ReleaseAuthority(answer.grant, SignedRelease.by(keeper, longer))
    verify_released(authority, owner.public, package.digest, NOW)
    code = code_of(verify_released, authority, owner.public, package.digest, end)
    assert code == "SR-PACKAGE-EXPIRED"


def test_a_wrapped_key_opens_under_its_own_release_only(
    exchanged: Exchanged, take: Callable[..., Any], keeper: Identity
) -> None:
    answer = exchanged.answer
    later = replace(answer.release.release, policy="sha256:" + "0" * 64)
    moved = replace(answer, release=SignedRelease.by(keeper, later))
    assert code_of(take, moved) == "SR-PACKAGE-GRANT"
    damaged = replace(answer, wrapped=answer.wrapped[:-1] + bytes((answer.wrapped[-1] ^ 1,)))
    assert code_of(take, damaged) == "SR-PACKAGE-GRANT"


def test_a_release_under_development_evidence_is_refused_unless_it_is_wanted(
    exchanged: Exchanged, keeper: Identity, server: Identity
) -> None:
    summary = Summary("development", "00" * 48)
    release = replace(exchanged.answer.release.release, summary=summary)
    signed, package = SignedRelease.by(keeper, release), exchanged.package.digest
    code = code_of(verify_release, signed, keeper.public, package, NOW)
    assert code == "SR-ATTESTATION-POLICY"
    found = verify_release(signed, keeper.public, package, NOW, development=True)
    assert found == server.public


def test_requests_read_back(exchanged: Exchanged) -> None:
    assert decode_request(encode_request(exchanged.request)) == exchanged.request


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"\xff", b"[" * 9999, b'{"nonce":"00"}', b"x" * (MAXIMUM_ANSWER_BYTES + 1)],
)
def test_what_is_no_message_is_refused(
    body: bytes, exchanged: Exchanged, owner: Identity, server: Identity
) -> None:
    with pytest.raises(ServerError) as request:
        decode_request(body)
    assert (request.value.code, request.value.http_status) == ("SR-REQUEST-FORMAT", 400)
    for decode in (decode_challenge, decode_about):
        assert code_of(decode, body) == "SR-SERVER-PROTOCOL"
    code = code_of(accept, body, exchanged.request, owner.public, server, NOW)
    assert code == "SR-SERVER-PROTOCOL"


@pytest.mark.parametrize("field", ["nonce", "server", "expires"])
def test_a_release_with_a_field_of_another_form_is_no_answer(
    exchanged: Exchanged, owner: Identity, server: Identity, field: str
) -> None:
    document = msgspec.to_builtins(exchanged.answer)
    document["release"]["release"][field] = "2020-01-01T00:00:00Z" if field == "expires" else "x"
    code = code_of(accept, canonical_json(document), exchanged.request, owner.public, server, NOW)
    assert code == "SR-SERVER-PROTOCOL"


def test_the_front_learns_no_key_from_what_it_carries(
    exchanged: Exchanged, take: Callable[..., Any]
) -> None:
    released = take(exchanged.answer)
    carried = encode_request(exchanged.request) + canonical_json(exchanged.answer)
    assert released.file_key not in carried
    assert released.file_key.hex().encode() not in carried
