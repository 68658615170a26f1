"""One request for a key: what is released, and every attack that is not."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from amd_hardware import Chip
from broker_desk import MODEL, NOW, Desk, GuestAttester

from strongroom.attestation.development import DevelopmentAttester
from strongroom.attestation.evidence import KEY_CONFIGURATION, decode_evidence, report_data
from strongroom.attestation.rules import SevSnpRule
from strongroom.attestation.verification import verify_evidence
from strongroom.broker.decision import Broker
from strongroom.broker.exchange import ReleaseRequest, accept, encode_request, new_request
from strongroom.broker.policy import BrokerPolicy, DevelopmentPolicy, ModelRule, Policy
from strongroom.broker.release import parse_server
from strongroom.broker.shelf import Shelf
from strongroom.canonical import canonical_json
from strongroom.errors import KeyStoreError, StrongroomError
from strongroom.keys.identity import Identity
from strongroom.keys.seen import Seen
from strongroom.package.file import Package, read
from strongroom.package.sharing import grant, revoke

Pack = Callable[..., Package]


def refusal(desk: Desk, package: str, **options: Any) -> tuple[str, str]:
    with pytest.raises(StrongroomError) as error:
        desk.ask(package, **options)
    return error.value.code, error.value.message


def test_an_attested_process_gets_the_key_and_opens_the_package(
    desk: Desk, pack: Pack, owner: Identity, keeper: Identity, server: Identity
) -> None:
    path = desk.folder / "model.strongroom"
    package = pack(path, keeper)
    request = desk.request(package.digest)
    answer = desk.broker.release(request)
    released = accept(canonical_json(answer), request, owner.public, server, NOW)
    opened = read(path).open_with_key(released.file_key)
    assert bytes(opened.payload["model"]) == b"weights" * 999
    assert released.technology == "sev-snp"
    assert released.expires == NOW + timedelta(days=1)
    release = answer.release.release
    assert (release.package, release.server) == (package.digest, server.public.to_text())
    assert release.summary.measurement == desk.chip.evidence(bytes(64)).report[0x90:0xC0].hex()
    assert parse_server(release.server) == server.public


def test_a_nonce_is_used_up_by_success_and_by_failure(
    desk: Desk, pack: Pack, keeper: Identity
) -> None:
    package = pack(desk.folder / "model.strongroom", keeper)
    request = desk.request(package.digest)
    desk.broker.release(request)
    with pytest.raises(StrongroomError, match="used before"):
        desk.broker.release(request)
    nonce = desk.broker.nonces.issue()
    assert refusal(desk, package.digest, nonce=nonce, changes={"measurement": b"m" * 48})[0] == (
        "SR-ATTESTATION-POLICY"
    )
    code, message = refusal(desk, package.digest, nonce=nonce)
    assert (code, "used before" in message) == ("SR-BROKER-REFUSED", True)


def test_stale_evidence_is_refused(desk: Desk, pack: Pack, keeper: Identity) -> None:
    package = pack(desk.folder / "model.strongroom", keeper)
    old = desk.request(package.digest)
    stale = msgspec.structs.replace(old, nonce=desk.broker.nonces.issue())
    with pytest.raises(
        StrongroomError, match="binding: the evidence is for another nonce"
    ) as error:
        desk.broker.release(stale)
    assert error.value.code == "SR-ATTESTATION-POLICY"


def test_evidence_of_another_process_is_refused(desk: Desk, pack: Pack, keeper: Identity) -> None:
    """Somebody relays a good process's evidence, and wants the key for itself."""
    package = pack(desk.folder / "model.strongroom", keeper)
    thief = Identity.generate("thief")
    good = desk.request(package.digest)
    stolen = msgspec.structs.replace(good, server=thief.public.to_text())
    with pytest.raises(StrongroomError, match="binding") as error:
        desk.broker.release(stolen)
    assert error.value.code == "SR-ATTESTATION-POLICY"


def test_evidence_made_for_a_key_configuration_is_refused(
    desk: Desk, pack: Pack, keeper: Identity, server: Identity
) -> None:
    package = pack(desk.folder / "model.strongroom", keeper)
    nonce = desk.broker.nonces.issue()
    evidence = desk.chip.evidence(report_data(nonce, server.fingerprint, KEY_CONFIGURATION))
    request = msgspec.structs.replace(desk.request(package.digest, nonce=nonce), evidence=evidence)
    with pytest.raises(StrongroomError, match="binding"):
        desk.broker.release(request)


@pytest.mark.parametrize(
    ("changes", "code", "factor"),
    [
        ({"policy": 0x3001F | 1 << 19}, "SR-ATTESTATION-POLICY", "debug"),
        ({"policy": 0x3001F | 1 << 18}, "SR-ATTESTATION-POLICY", "migration"),
        ({"measurement": b"m" * 48}, "SR-ATTESTATION-POLICY", "measurement"),
        ({"vmpl": 1}, "SR-ATTESTATION-POLICY", "privilege"),
        ({"chip_id": bytes(64)}, "SR-ATTESTATION-EVIDENCE", "platform"),
        (
            {"certified": {"end": NOW - timedelta(days=1)}},
            "SR-ATTESTATION-EVIDENCE",
            "validity",
        ),
    ],
)
def test_a_process_that_is_not_what_the_policy_demands_is_refused(
    desk: Desk, pack: Pack, keeper: Identity, changes: dict[str, Any], code: str, factor: str
) -> None:
    package = pack(desk.folder / "model.strongroom", keeper)
    found, message = refusal(desk, package.digest, changes=changes)
    assert (found, message.startswith(f"{factor}: ")) == (code, True)


def test_outdated_firmware_is_refused(desk: Desk, pack: Pack, keeper: Identity) -> None:
    package = pack(desk.folder / "model.strongroom", keeper)
    old = {"bootloader": 4, "tee": 1, "snp": 24, "microcode": 218}
    changes = {"firmware": old, "certified": {"firmware": old}}
    code, message = refusal(desk, package.digest, changes=changes)
    assert (code, "microcode is at 218" in message) == ("SR-ATTESTATION-POLICY", True)


def test_a_chip_of_no_known_root_is_refused(
    desk: Desk, pack: Pack, keeper: Identity, chip: Chip
) -> None:
    package = pack(desk.folder / "model.strongroom", keeper)
    other = Chip.make("Genoa")
    code, message = refusal(desk, package.digest, attester=GuestAttester(other))
    assert (code, "chain" in message) == ("SR-ATTESTATION-EVIDENCE", True)


def test_development_evidence_is_refused_by_a_production_policy(
    desk: Desk, pack: Pack, keeper: Identity
) -> None:
    package = pack(desk.folder / "model.strongroom", keeper)
    code, message = refusal(desk, package.digest, attester=DevelopmentAttester())
    assert (code, "technology" in message) == ("SR-ATTESTATION-POLICY", True)


def test_a_development_policy_says_so_in_what_it_releases(
    open_desk: Callable[[Policy], Desk],
    development: DevelopmentPolicy,
    pack: Pack,
    owner: Identity,
    keeper: Identity,
    server: Identity,
) -> None:
    desk = open_desk(development)
    package = pack(desk.folder / "model.strongroom", keeper)
    request = desk.request(package.digest, attester=DevelopmentAttester())
    answer = desk.broker.release(request)
    assert answer.release.release.summary.technology == "development"
    with pytest.raises(StrongroomError) as error:
        accept(canonical_json(answer), request, owner.public, server, NOW)
    assert error.value.code == "SR-ATTESTATION-POLICY"
    released = accept(canonical_json(answer), request, owner.public, server, NOW, development=True)
    assert released.technology == "development"
    assert refusal(desk, package.digest)[0] == "SR-ATTESTATION-POLICY"


def test_an_unknown_package_is_refused_and_only_attested_processes_learn_it(
    desk: Desk, pack: Pack, keeper: Identity
) -> None:
    known = pack(desk.folder / "model.strongroom", keeper)
    absent = "sha256:" + "0" * 64
    assert refusal(desk, absent)[0] == "SR-BROKER-REFUSED"
    for package in (known.digest, absent):
        assert refusal(desk, package, changes={"measurement": b"m" * 48})[0] == (
            "SR-ATTESTATION-POLICY"
        )


@pytest.mark.parametrize("purpose", ["serve", "open"])
def test_a_package_that_is_granted_for_another_purpose_is_refused(
    desk: Desk, pack: Pack, keeper: Identity, purpose: str
) -> None:
    package = pack(desk.folder / "model.strongroom", keeper, purpose=purpose)
    code, message = refusal(desk, package.digest)
    assert (code, "not granted" in message) == ("SR-BROKER-REFUSED", True)


def test_a_package_that_is_granted_to_another_broker_is_refused(desk: Desk, pack: Pack) -> None:
    package = pack(desk.folder / "model.strongroom", Identity.generate("another"))
    code, message = refusal(desk, package.digest)
    assert (code, "not granted" in message) == ("SR-BROKER-REFUSED", True)


def test_an_expired_grant_is_refused_and_a_release_does_not_outlive_one(
    desk: Desk, pack: Pack, keeper: Identity
) -> None:
    end = NOW + timedelta(hours=1)
    package = pack(desk.folder / "model.strongroom", keeper, expires=end)
    answer = desk.ask(package.digest)
    assert answer.release.release.expires == f"{end:%Y-%m-%dT%H:%M:%SZ}"
    desk.clock[0] = end
    code, message = refusal(desk, package.digest)
    assert (code, "ended" in message) == ("SR-BROKER-REFUSED", True)


def test_a_policy_that_ended_releases_nothing(desk: Desk, pack: Pack, keeper: Identity) -> None:
    package = pack(desk.folder / "model.strongroom", keeper)
    desk.clock[0] = NOW + timedelta(days=29, hours=23)
    answer = desk.ask(package.digest)
    assert answer.release.release.expires == f"{NOW + timedelta(days=30):%Y-%m-%dT%H:%M:%SZ}"
    desk.clock[0] = NOW + timedelta(days=30)
    assert refusal(desk, package.digest)[0] == "SR-BROKER-REFUSED"


def test_a_clock_that_was_set_back_is_refused(desk: Desk, pack: Pack, keeper: Identity) -> None:
    package = pack(desk.folder / "model.strongroom", keeper)
    desk.ask(package.digest)
    desk.clock[0] = NOW - timedelta(minutes=6)
    with pytest.raises(KeyStoreError) as error:
        desk.ask(package.digest)
    assert error.value.code == "SR-IDENTITY-CLOCK"


def test_a_model_owner_or_release_that_the_policy_does_not_name_is_refused(
    open_desk: Callable[[Policy], Desk],
    production: BrokerPolicy,
    pack: Pack,
    owner: Identity,
    keeper: Identity,
) -> None:
    rule = ModelRule(owner.fingerprint, MODEL, least_release=2)
    desk = open_desk(msgspec.structs.replace(production, models=(rule,)))
    other = pack(desk.folder / "other.strongroom", keeper, name="other", release=2)
    stranger = Identity.generate("stranger")
    foreign = pack(desk.folder / "foreign.strongroom", keeper, owner=stranger, release=2)
    old = pack(desk.folder / "old.strongroom", keeper)
    new = pack(desk.folder / "new.strongroom", keeper, release=2)
    assert "does not name model other" in refusal(desk, other.digest)[1]
    assert stranger.fingerprint in refusal(desk, foreign.digest)[1]
    assert "release 1, the policy demands 2" in refusal(desk, old.digest)[1]
    assert desk.ask(new.digest).release.release.package == new.digest


def test_an_older_release_after_a_newer_one_is_refused(
    desk: Desk, pack: Pack, keeper: Identity
) -> None:
    old = pack(desk.folder / "old.strongroom", keeper, release=3)
    new = pack(desk.folder / "new.strongroom", keeper, release=4)
    desk.ask(old.digest)
    desk.ask(new.digest)
    assert refusal(desk, old.digest)[0] == "SR-PACKAGE-ROLLBACK"


def test_a_package_that_was_replaced_is_not_the_one_that_was_asked_for(
    desk: Desk, pack: Pack, keeper: Identity
) -> None:
    path = desk.folder / "model.strongroom"
    first = pack(path, keeper)
    desk.ask(first.digest)
    second = pack(path, keeper, overwrite=True)
    assert refusal(desk, first.digest)[0] == "SR-BROKER-REFUSED"
    assert desk.ask(second.digest).release.release.package == second.digest


def test_a_revoked_broker_gets_nothing_and_the_old_file_does_not_help(
    desk: Desk, pack: Pack, owner: Identity, keeper: Identity, tmp_path: Path
) -> None:
    path = desk.folder / "model.strongroom"
    package = pack(path, keeper)
    saved = tmp_path / "saved.strongroom"
    shutil.copy(path, saved)
    desk.ask(package.digest)
    revoke(path, keeper.public, owner=owner)
    assert "not granted" in refusal(desk, package.digest)[1]
    shutil.copy(saved, path)
    assert refusal(desk, package.digest)[0] == "SR-PACKAGE-ROLLBACK"


def test_a_grant_that_comes_later_counts_without_a_restart(
    desk: Desk, pack: Pack, owner: Identity, keeper: Identity
) -> None:
    path = desk.folder / "model.strongroom"
    package = pack(path)
    assert "not granted" in refusal(desk, package.digest)[1]
    grant(path, keeper.public, owner=owner, purpose="broker")
    assert desk.ask(package.digest).release.release.package == package.digest


def test_a_damaged_package_is_none_and_the_others_stay(
    desk: Desk, pack: Pack, keeper: Identity
) -> None:
    good = pack(desk.folder / "good.strongroom", keeper)
    bad_path = desk.folder / "bad.strongroom"
    bad = pack(bad_path, keeper)
    data = bytearray(bad_path.read_bytes())
    data[len(data) // 2] ^= 1
    data[60] ^= 1
    bad_path.write_bytes(data)
    (desk.folder / "empty.strongroom").touch()
    os.symlink("nowhere", desk.folder / "broken.strongroom")
    assert refusal(desk, bad.digest)[0] == "SR-BROKER-REFUSED"
    assert desk.ask(good.digest).release.release.package == good.digest


def test_a_server_that_is_no_identity_is_refused(desk: Desk, pack: Pack, keeper: Identity) -> None:
    package = pack(desk.folder / "model.strongroom", keeper)
    for text in ("", "strongroom-identity-1 AAAA name", desk.server.public.to_text() + " "):
        request = msgspec.structs.replace(desk.request(package.digest), server=text)
        with pytest.raises(StrongroomError) as error:
            desk.broker.release(request)
        assert error.value.code == "SR-BROKER-REFUSED"


def test_neither_answer_nor_log_holds_the_file_key(
    desk: Desk,
    pack: Pack,
    owner: Identity,
    keeper: Identity,
    server: Identity,
    caplog: pytest.LogCaptureFixture,
) -> None:
    package = pack(desk.folder / "model.strongroom", keeper)
    request = desk.request(package.digest)
    with caplog.at_level(logging.DEBUG):
        answer = canonical_json(desk.broker.release(request))
    released = accept(answer, request, owner.public, server, NOW)
    key = released.file_key
    logged = "".join(str(vars(record)) for record in caplog.records)
    for text in (answer.decode(), encode_request(request).decode(), logged, repr(released)):
        assert key.hex() not in text
        assert repr(key)[2:-1] not in text
    (record,) = [one for one in caplog.records if one.message == "key released"]
    assert record.package == package.digest  # type: ignore[attr-defined]
    assert record.server == server.fingerprint  # type: ignore[attr-defined]


def test_the_request_names_what_the_attester_was_asked_for(desk: Desk, server: Identity) -> None:
    request = new_request("ab" * 32, "sha256:" + "0" * 64, server.public, GuestAttester(desk.chip))
    assert request.server == server.public.to_text()
    assert request.nonce == "ab" * 32


def test_evidence_that_real_hardware_made_for_somebody_else_is_refused(
    keeper: Identity,
    server: Identity,
    production: BrokerPolicy,
    open_desk: Callable[[Policy], Desk],
) -> None:
    """All of it holds, and the policy names its measurement; it is just not for this nonce."""
    recorded = Path(__file__).parents[1] / "attestation" / "recorded" / "sev_snp_milan.json"
    evidence = decode_evidence(recorded.read_bytes())
    date = datetime(2027, 1, 1, tzinfo=UTC)
    claims = verify_evidence(evidence, date)
    rule = SevSnpRule((claims.measurement.hex(),), {"microcode": 219})
    end = "2999-01-01T00:00:00Z"
    policy = msgspec.structs.replace(production, attestation=(rule,), not_after=end)
    desk = open_desk(policy)
    seen = Seen(None, lambda: date)
    broker = Broker(keeper, policy, Shelf(desk.folder, seen), seen)
    request = ReleaseRequest(
        broker.nonces.issue(), "sha256:" + "0" * 64, server.public.to_text(), evidence
    )
    with pytest.raises(StrongroomError) as error:
        broker.release(request)
    assert error.value.code == "SR-ATTESTATION-POLICY"
    assert error.value.message.startswith("binding: ")
    assert ";" not in error.value.message
