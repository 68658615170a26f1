"""`strongroom member` and `committee` as processes: a key made, queries answered, attacks."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from member_processes import NAMES, World, running_world
from model_owner import PASSPHRASE

from strongroom.cli import app
from strongroom.errors import CommitteeError, KeyStoreError, StrongroomError
from strongroom.keys.committee.folder import STATEMENT_FILE, checks_path
from strongroom.keys.committee.parts import MemberStore
from strongroom.keys.committee.statement import Committee
from strongroom.keys.identity import Identity
from strongroom.member import setup_desk
from strongroom.member.asking import MemberLink
from strongroom.server.gathering import GatheringError


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("committee")) as made:
        made.open()
        yield made


def test_three_processes_make_a_key_and_open_what_is_computed_under_it(world: World) -> None:
    rows = world.rows[:8]
    expected = world.model.decision_function(rows)
    for active in (("vendor", "hospital"), ("vendor", "auditor")):
        scores = world.patiently(rows, active)
        assert np.abs(scores.ravel() - expected).max() < 1e-3
    assert all("AUDIT FAILED" not in one.log() for one in world.members.values())
    assert '"audited":true' in world.members["vendor"].log()


def test_without_the_owners_member_nothing_is_opened_and_another_may_be_missing(
    world: World,
) -> None:
    rows = world.rows[:2]
    world.members["hospital"].stop()
    with pytest.raises(GatheringError) as error:
        world.query(rows, ("vendor", "hospital"))
    assert (error.value.code, error.value.members) == ("SR-MEMBER-UNREACHABLE", ("hospital",))
    world.query(rows, ("vendor", "auditor"))
    world.members["hospital"].start()
    world.patiently(rows, ("vendor", "hospital"))
    world.members["vendor"].stop()
    with pytest.raises(GatheringError) as error:
        world.query(rows, ("vendor", "hospital"))
    assert error.value.members == ("vendor",)
    with pytest.raises(GatheringError) as error:
        world.query(rows, ("hospital", "auditor"))
    assert error.value.code == "SR-MEMBER-REFUSED"
    assert {code for code, _ in error.value.failures.values()} == {"SR-COMMITTEE-ACCESS"}
    world.members["vendor"].start()
    world.patiently(rows, ("vendor", "hospital"))


def test_parts_are_refreshed_and_the_model_stays(world: World) -> None:
    before = {n: sorted(os.listdir(one.home / "parts")) for n, one in world.members.items()}
    world.run("committee", "refresh", str(world.folder / "committee"), "--identity", "owner")
    after = {n: sorted(os.listdir(one.home / "parts")) for n, one in world.members.items()}
    assert all(before[name] != after[name] and len(after[name]) == 1 for name in NAMES)
    folder = world.folder / "committee"
    committee = Committee.read(folder / STATEMENT_FILE)
    assert committee.epoch == 1
    assert [path.name for path in folder.glob("checks-*")] == [checks_path(folder, committee).name]
    for one in world.members.values():
        kept = MemberStore(one.home, passphrase=PASSPHRASE).checks(committee)
        assert kept.to_bytes() == checks_path(folder, committee).read_bytes()
    rows = world.rows[20:24]
    expected = world.model.decision_function(rows)
    assert np.abs(world.patiently(rows, ("vendor", "auditor")).ravel() - expected).max() < 1e-3


def test_a_member_that_missed_the_end_of_a_refresh_adopts_it_and_answers_again(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, hospital = world.folder / "committee", world.members["hospital"]
    refresh = ["committee", "refresh", str(folder), "--identity", "owner"]
    ask, epoch = MemberLink.ask, Committee.read(folder / STATEMENT_FILE).epoch

    async def losing(
        link: MemberLink, channel: Any, path: str, purpose: str, *a: Any, **o: Any
    ) -> Any:
        if (link.name, purpose) == ("hospital", setup_desk.REFRESH_FINISH):
            raise link._silent("the network is down")
        return await ask(link, channel, path, purpose, *a, **o)

    world.patch.setenv("STRONGROOM_HOME", str(world.folder / "home"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemberLink, "ask", losing)
        assert app.run(refresh) == CommitteeError.exit_status
    assert "Send the committee's folder to hospital" in capsys.readouterr().err
    assert Committee.read(folder / STATEMENT_FILE).epoch == epoch + 1
    rows = world.rows[20:24]
    expected = world.model.decision_function(rows)
    assert np.abs(world.patiently(rows, ("vendor", "auditor")).ravel() - expected).max() < 1e-3
    with pytest.raises(CommitteeError, match="do not add up") as error:
        world.patiently(rows, ("vendor", "hospital"))
    assert "`strongroom member adopt committee.json`" in error.value.remedy
    assert app.run(refresh) == CommitteeError.exit_status
    told = capsys.readouterr().err
    assert "member hospital refuses: [SR-COMMITTEE-SETUP]" in told
    assert "`strongroom member adopt`" in told
    adopt = ["member", "adopt", str(folder / STATEMENT_FILE)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRONGROOM_HOME", str(hospital.home))
        assert app.run(adopt) == KeyStoreError.exit_status  # it runs
        hospital.stop()
        assert app.run(adopt) == 0
        hospital.start()
    assert np.abs(world.patiently(rows, ("vendor", "hospital")).ravel() - expected).max() < 1e-3
    world.run(*refresh)


@pytest.mark.long
def test_a_member_that_moved_is_reached_where_operators_say(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, hospital, vendor = world.rows[:1], world.members["hospital"], world.members["vendor"]
    folder, before = str(world.folder / "committee"), hospital.port
    hospital.stop()
    hospital.port = 0
    hospital.start()
    try:
        assert hospital.port != before
        with pytest.raises(GatheringError) as error:
            world.query(rows, ("vendor", "hospital"))
        assert error.value.failures["hospital"][0] == "SR-MEMBER-UNREACHABLE"
        refresh = ["committee", "refresh", folder, "--identity", "owner"]
        world.patch.setenv("STRONGROOM_HOME", str(world.folder / "home"))
        assert app.run(refresh) == CommitteeError.exit_status
        moved = f"hospital={hospital.ready['url']}"
        # It answers when it has heard of both others.
        vendor.stop()
        vendor.start(None, "--peer-url", moved)
        world.moved = {"hospital": hospital.ready["url"]}
        world.patiently(rows, ("vendor", "hospital"))
        capsys.readouterr()
        world.run(*refresh, "--member-url", moved)
        world.patiently(rows, ("vendor", "hospital"))
    finally:
        world.moved = {}
        hospital.stop()
        hospital.port = before
        hospital.start()
        vendor.stop()
        vendor.start()


def test_a_wrong_url_of_a_member_is_one_clear_line(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    vendor = world.members["vendor"]
    serve = ["member", "serve", "--policy", str(vendor.folder / "policy.json"), "--port", "0"]
    serve += ["--packages", str(vendor.folder / "packages"), "--identity", "vendor", "--peer-url"]
    refresh = ["committee", "refresh", str(world.folder / "committee"), "--identity", "owner"]
    wrong = {
        "hospitl=https://h.example:1": "[SR-SERVER-CONFIG] {} names 'hospitl', who is none of ",
        "hospital=http://h.example:1": "[SR-SERVER-TLS] {} of 'hospital': plain http to h.example",
        "hospital": "{}: write NAME=URL, each name once",
    }
    itself = {"vendor=https://h.example:1": "{} names 'vendor', who is none of hospital, auditor"}
    vendor.stop()
    try:
        for home, option, words, lines in (
            (vendor.home, "--peer-url", serve, wrong | itself),
            (world.folder / "home", "--member-url", [*refresh, "--member-url"], wrong),
        ):
            world.patch.setenv("STRONGROOM_HOME", str(home))
            for given, line in lines.items():
                assert app.run([*words, given]) != 0
                shown = capsys.readouterr()
                assert (shown.out, shown.err.count("\n")) == ("", 1)
                assert line.format(option) in shown.err
    finally:
        vendor.start()


def test_a_member_that_comes_back_with_an_old_disk_refuses(world: World, tmp_path: Path) -> None:
    rows, auditor = world.rows[:1], world.members["auditor"]
    world.patiently(rows, ("vendor", "auditor"))
    auditor.stop()
    shutil.copytree(auditor.home / "ledgers", tmp_path / "backup")
    auditor.start()
    world.patiently(rows, ("vendor", "auditor"))
    threading.Event().wait(0.5)  # its peers countersign
    auditor.stop()
    shutil.rmtree(auditor.home / "ledgers")
    shutil.copytree(tmp_path / "backup", auditor.home / "ledgers")
    auditor.start()
    with pytest.raises(GatheringError) as error:
        world.patiently(rows, ("vendor", "auditor"))
    assert error.value.failures["auditor"][0] == "SR-MEMBER-ROLLBACK"
    world.query(rows, ("vendor", "hospital"))


def test_a_server_that_exchanges_rows_is_found_out_and_gets_nothing_more(world: World) -> None:
    rows = world.rows[40:44]
    active = ("vendor", "hospital")
    with pytest.raises(GatheringError) as error:
        world.query(rows, active, True)
    assert {code for code, _ in error.value.failures.values()} == {"SR-MEMBER-AUDIT"}
    assert error.value.members == active
    with pytest.raises(GatheringError, match="brought a wrong result before"):
        world.query(rows, active)
    assert "AUDIT FAILED" in world.members["hospital"].log()
    for name in active:
        one = world.members[name]
        one.stop()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("STRONGROOM_HOME", str(one.home))
            fingerprint = world.server.fingerprint
            assert app.run(["member", "pardon", fingerprint, "--identity", name]) == 0
            assert app.run(["member", "pardon", fingerprint, "--identity", name]) != 0
        one.start()


def test_logs_and_files_hold_no_part_no_share_and_no_passphrase(world: World) -> None:
    committee = Committee.read(world.folder / "committee" / STATEMENT_FILE)
    for one in world.members.values():
        names = [path for path in one.folder.rglob("*") if path.is_file()]
        written = b"".join(path.read_bytes() for path in names)
        held = MemberStore(one.home, passphrase=PASSPHRASE).open(committee, one.name)
        parts = [part.to_bytes()[-200:] for part in held.parts.values()]
        for canary in (PASSPHRASE.encode(), one.identity.to_bytes(), b"Traceback", *parts):
            assert canary not in written
            assert canary.hex().encode() not in written


@pytest.mark.parametrize(
    ("path", "content", "status", "code"),
    [
        ("/v1/share", b"x" * 100, 400, "SR-REQUEST-FORMAT"),
        ("/v1/share", b"SRCM" + b"\0" * 8, 400, "SR-REQUEST-FORMAT"),
        ("/v1/peer", b"x" * (3 << 20), 413, "SR-REQUEST-SIZE"),
        ("/v1/none", b"", 404, "SR-REQUEST-FORMAT"),
    ],
)
def test_strangers_get_one_line(
    world: World, path: str, content: bytes, status: int, code: str
) -> None:
    url = world.members["vendor"].ready["url"]
    answer = httpx.post(url + path, content=content)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    about = httpx.get(url + "/v1/about").json()
    assert about["member"] == "vendor"


def test_whoever_stands_in_for_a_member_is_one_that_does_not_answer(world: World) -> None:
    """The hospital's URL leads to the auditor: it can't sign as the hospital."""
    world.patiently(world.rows[:1], ("vendor", "hospital"))
    committee = world.keys.committee
    urls = dict(committee.urls) | {"hospital": committee.urls["auditor"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(committee), "urls", property(lambda _: urls))
        with pytest.raises(GatheringError) as error:
            world.query(world.rows[:1], ("vendor", "hospital"))
    assert (error.value.code, error.value.members) == ("SR-MEMBER-UNREACHABLE", ("hospital",))


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--policy", "none.json"), "SR-SERVER-CONFIG"),
        (("--port", "70000"), "SR-SERVER-CONFIG"),
        (("--identity", "nobody"), "SR-IDENTITY-MISSING"),
        (("--host", "0.0.0.0"), "SR-SERVER-TLS"),
        (("--tls-cert", "only.pem"), "SR-SERVER-CONFIG"),
    ],
)
def test_a_member_that_is_told_nonsense_does_not_start(
    world: World,
    tmp_path: Path,
    options: tuple[str, str],
    code: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = world.members["vendor"].folder
    arguments = {
        "--policy": str(folder / "policy.json"),
        "--packages": str(tmp_path),
        "--identity": "owner",
        "--port": "0",
    } | {options[0]: options[1]}
    world.patch.setenv("STRONGROOM_HOME", str(world.folder / "home"))
    words = [word for pair in arguments.items() for word in pair]
    assert app.run(["member", "serve", *words]) != 0
    shown = capsys.readouterr()
    assert (shown.out, f"[{code}]" in shown.err) == ("", True)


def test_a_link_needs_tls_to_another_machine() -> None:
    with pytest.raises(StrongroomError) as error:
        MemberLink(
            "vendor", Identity.generate("vendor").public, "http://10.0.0.1", timeout_seconds=1
        )
    assert error.value.code == "SR-SERVER-TLS"
