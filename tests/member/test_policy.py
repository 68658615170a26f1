"""A policy allows what it names; a member joins the committee that its operator named."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from member_world import CLIENT, IDENTITIES, NOW, OTHER, SERVER, policy

from strongroom.canonical import canonical_json
from strongroom.cli import app
from strongroom.engine import CATALOGUE, CatalogueEntry
from strongroom.errors import StrongroomError
from strongroom.keys.committee.access import Access
from strongroom.keys.committee.parts import MemberStore
from strongroom.keys.committee.proposal import propose
from strongroom.keys.identity import Identity
from strongroom.member import setup_desk
from strongroom.member.frames import MOST_FRAMES, pack_frames, unpack_frames
from strongroom.member.policy import PolicyFile, SetupRule, read_policy, write_policy
from strongroom.protections.interface import KeyNeeds

ACCESS = "vendor AND 1-of-2(hospital, auditor)"


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.update(format="strongroom-member-policy-2"),
        lambda fields: fields.pop("not_after"),
        lambda fields: fields.update(not_after="2026-13-01T00:00:00Z"),
        lambda fields: fields.update(audit_rate=1.5),
        lambda fields: fields.update(audit_rate=-0.1),
        lambda fields: fields.update(servers=["cloud"]),
        lambda fields: fields.update(servers=fields["servers"] * 2),
        lambda fields: fields.update(clients=fields["clients"] * 2),
        lambda fields: fields.update(packages=fields["packages"] * 2),
        lambda fields: fields["clients"][0].update(queries_per_day=0),
        lambda fields: fields["clients"][0].update(queries_a_day=3),
        lambda fields: fields.update(unwitnessed=0),
        lambda fields: fields.update(everything=True),
    ],
)
def test_a_policy_with_a_mistake_is_refused_whole(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    path = tmp_path / "policy.json"
    fields = json.loads(canonical_json(policy()))
    change(fields)
    path.write_text(json.dumps(fields))
    with pytest.raises(StrongroomError) as error:
        read_policy(path)
    assert error.value.code == "SR-SERVER-CONFIG"
    assert str(path) in error.value.message


def test_a_policy_that_is_broken_later_is_not_replaced_by_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    write_policy(path, policy(), replace=False)
    file = PolicyFile(path)
    assert file.current() == policy()
    with pytest.raises(StrongroomError):
        write_policy(path, policy(), replace=False)
    path.write_text("{}")
    with pytest.raises(StrongroomError):
        file.current()
    path.unlink()
    with pytest.raises(StrongroomError):
        file.current()


def test_the_command_line_writes_what_the_operator_says(tmp_path: Path) -> None:
    path, files = tmp_path / "policy.json", {}
    for identity in (SERVER, CLIENT, OTHER, *IDENTITIES.values()):
        files[identity.public.name] = tmp_path / f"{identity.public.name}.pub"
        files[identity.public.name].write_text(identity.public.to_text())
    at = ("--policy", str(path))

    def run(*words: str) -> int:
        return app.run(["member", *words, *at])

    assert run("init", "--until", "30d", "--audit-rate", "0.2") == 0
    assert run("init", "--until", "30d") != 0
    assert run("server", str(files["cloud"])) == run("server", str(files["cloud"])) == 0
    assert run("enrol", str(files["ward"]), "--queries-per-day", "5", "--until", "7d") == 0
    assert run("enrol", str(files["stranger"])) == 0
    assert run("enrol", str(files["ward"]), "--queries-per-day", "9") == 0
    members = [w for name in IDENTITIES for w in ("--member", f"{name}={files[name]}")]
    owner = ("--coordinator", str(files["stranger"]))
    assert run("join", "--access", ACCESS, *owner, *members, "--share-budget", "99") == 0
    assert run("join", "--access", ACCESS, *owner, *members[2:]) != 0
    found = read_policy(path)
    assert found.audit_rate == 0.2
    assert list(found.server_identities) == [SERVER.fingerprint]
    assert found.client(CLIENT.fingerprint)[1].queries_per_day == 9
    assert found.setup is not None
    assert found.setup.members == tuple(one.fingerprint for one in IDENTITIES.values())
    assert run("remove", str(files["ward"])) == 0
    assert run("remove", CLIENT.fingerprint) != 0
    assert run("remove", OTHER.fingerprint) == 0
    assert read_policy(path).clients == ()


class Joining:
    """A member at the beginning of a setup, under a policy."""

    def __init__(self, folder: Path, **rule: Any) -> None:
        self.owner = Identity.generate("owner")
        fields = {
            "coordinator": self.owner.public.to_text(),
            "access": ACCESS,
            "members": tuple(one.fingerprint for one in IDENTITIES.values()),
            "share_budget": 1000,
        }
        path = folder / "policy.json"
        write_policy(path, policy(setup=SetupRule(**(fields | rule))), replace=False)

        def none(committee: str) -> Any:
            raise AssertionError(committee)

        store = MemberStore(folder / "home", passphrase="a passphrase")
        self.desk = setup_desk.SetupDesk(
            IDENTITIES["vendor"], PolicyFile(path), store, folder / "home", none, none
        )

    def propose(self, access: str = ACCESS, share_budget: int = 1000, **people: Identity) -> bytes:
        identities = IDENTITIES | people
        structure = Access.parse(access)
        seats = {n: (identities[n].public, "http://127.0.0.1:9") for n in structure.members}
        needs = KeyNeeds("n12-joining", (), 1)
        signed = propose(
            people.get("owner", self.owner),
            structure,
            seats,
            needs,
            now=datetime.now(UTC),
            share_budget=share_budget,
        )
        return canonical_json(signed)

    def begin(self, proposal: bytes) -> tuple[str, bytes]:
        view = memoryview(proposal)
        return self.desk.answer(self.owner.public, setup_desk.BEGIN, view)


@pytest.fixture
def parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    primes = (1073692673, 1073668097), (68719403009,)
    monkeypatch.setitem(
        CATALOGUE, "n12-joining", CatalogueEntry("n12-joining", 2**12, *primes, "classical-128")
    )


@pytest.mark.usefixtures("parameters")
def test_a_member_takes_part_in_what_its_operator_named(tmp_path: Path) -> None:
    joining = Joining(tmp_path)
    assert joining.begin(joining.propose())[0] == setup_desk.SAID
    joining.desk.close()


@pytest.mark.usefixtures("parameters")
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"access": "1-of-2(hospital, auditor)"}, "SR-MEMBER-POLICY"),
        ({"access": "vendor AND 2-of-2(hospital, auditor)"}, "SR-MEMBER-POLICY"),
        ({"hospital": OTHER}, "SR-MEMBER-POLICY"),
        ({"share_budget": 1001}, "SR-MEMBER-POLICY"),
        ({"owner": OTHER}, "SR-MEMBER-POLICY"),
    ],
)
def test_a_member_joins_nothing_by_accident(
    tmp_path: Path, changes: dict[str, Any], code: str
) -> None:
    joining = Joining(tmp_path)
    with pytest.raises(StrongroomError) as error:
        joining.begin(joining.propose(**changes))
    assert error.value.code == code
    with pytest.raises(StrongroomError) as error:
        joining.desk.answer(joining.owner.public, setup_desk.ANSWER, memoryview(pack_frames([])))
    assert error.value.code == "SR-COMMITTEE-SETUP"


def test_without_a_rule_nobody_may_begin_anything(tmp_path: Path) -> None:
    joining = Joining(tmp_path)
    assert list(joining.desk.known()) == [joining.owner.fingerprint]
    write_policy(tmp_path / "policy.json", policy(), replace=True)
    assert joining.desk.known() == {}
    end = NOW + timedelta(days=30)
    assert read_policy(tmp_path / "policy.json").not_after == f"{end:%Y-%m-%dT%H:%M:%SZ}"


def test_pieces_come_apart_as_they_were_put_together() -> None:
    pieces = [b"", b"one", b"\0" * 1000]
    packed = pack_frames(pieces)
    assert unpack_frames(packed) == pieces
    too_many = pack_frames([b""] * (MOST_FRAMES + 1))
    for bad in (b"", packed[:-1], packed + b"\0", packed[:10], b"\xff" * 20, too_many):
        with pytest.raises(StrongroomError) as error:
            unpack_frames(bad)
        assert error.value.code == "SR-REQUEST-FORMAT"
