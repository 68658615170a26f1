"""A model under a committee's key, through server, members and client, each a process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from canaries import COLUMNS, Needle, found_in_memory
from member_processes import HIDE, SOURCES, World, running_world
from model_owner import PASSPHRASE, write_identity

from strongroom import Client, Identity, KeyStore
from strongroom.client.committees import text_of
from strongroom.compiler.plan import CommitteeKey
from strongroom.errors import CommitteeError, ServerError, StrongroomError
from strongroom.keys.share_proofs import SignedDemand
from strongroom.server.tokens import create_token

COMMITTEES = "/v2/committees/"


@dataclass
class Cloud:
    """The server that holds the encrypted model."""

    process: subprocess.Popen[str]
    url: str
    token: str
    folder: Path

    def log(self) -> str:
        return (self.folder / "log").read_text()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("committee")) as made:
        yield made


@pytest.fixture(scope="module")
def cloud(world: World) -> Iterator[Cloud]:
    folder = world.folder / "cloud"
    write_identity(folder / "home", world.server)
    token = create_token(folder / "tokens.json", "ward")
    config = {
        "packages": [str(world.folder / "diagnosis.strongroom")],
        "tokens": str(folder / "tokens.json"),
        "port": 0,
        "workers": 1,
        "identity": world.server.public.name,
        "committees": [str(world.folder / "committee")],
        "member_timeout_seconds": 20.0,
    }
    (folder / "config.json").write_text(json.dumps(config))
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(SOURCES),
        "STRONGROOM_HOME": str(folder / "home"),
        "STRONGROOM_PASSPHRASE": PASSPHRASE,
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "strongroom.server", str(folder / "config.json")],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=folder,
            env=environment,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("strongroom serving on "), (folder / "log").read_text()
    yield Cloud(process, line.split()[3], token, folder)
    process.terminate()
    process.wait(30)
    process.stdout.close()


def client(world: World, cloud: Cloud, identity: Identity, **options: Any) -> Client:
    return Client(
        cloud.url,
        model="diagnosis",
        token=cloud.token,
        trust=world.owner.public,
        policy=HIDE,
        keys=KeyStore.in_memory(),
        identity=identity,
        **options,
    )


def test_members_open_the_answers_of_a_client_that_they_enrolled(
    world: World, cloud: Cloud
) -> None:
    rows = world.rows[:8]
    with client(world, cloud, world.client, receipts=True) as asking:
        world.wait_for_members(lambda: asking.predict(rows[:1]))
        assert (asking.predict(rows) == world.model.predict(rows)).all()
        scores = asking.decision_function(rows)
        assert len(asking.receipts) == 1
        assert asking.key_bytes_sent == 0
        assert asking.timings.bytes_received < 100_000
    assert np.abs(scores - world.model.decision_function(rows)).max() < 1e-3


def test_a_client_that_no_member_enrolled_is_refused_by_name(world: World, cloud: Cloud) -> None:
    with (
        client(world, cloud, Identity.generate("stranger")) as asking,
        pytest.raises(CommitteeError, match="vendor") as error,
    ):
        asking.predict(world.rows[:1])
    assert error.value.code == "SR-MEMBER-REFUSED"
    assert "vendor" in error.value.members


def test_another_member_takes_the_place_of_one_that_is_down(world: World, cloud: Cloud) -> None:
    rows = world.rows[10:12]
    with client(world, cloud, world.client) as asking:
        world.wait_for_members(lambda: asking.predict(rows))
        world.members["hospital"].stop()
        try:
            assert (asking.predict(rows) == world.model.predict(rows)).all()
            # A new query with new ciphertexts; the next goes to who answered at once.
            assert asking.timings.requests == 2
            asking.predict(rows)
            assert asking.timings.requests == 1
        finally:
            world.members["hospital"].start()


def test_when_the_owners_member_stops_so_does_the_model(world: World, cloud: Cloud) -> None:
    rows = world.rows[:1]
    with client(world, cloud, world.client) as asking:
        world.members["vendor"].stop()
        try:
            with pytest.raises(CommitteeError, match="vendor") as error:
                asking.predict(rows)
            assert error.value.code == "SR-MEMBER-UNREACHABLE"
            assert error.value.members == ("vendor",)
        finally:
            world.members["vendor"].start()
        world.wait_for_members(lambda: asking.predict(rows))


def test_a_request_without_a_query_is_refused_before_members_hear_of_it(
    world: World, cloud: Cloud
) -> None:
    with client(world, cloud, world.client) as asking:
        side = asking._side
        body = side.encrypt(side.encode(world.rows[:1])).body
        with pytest.raises(ServerError, match="without a signed query"):
            asking._transport.infer("diagnosis", body, asking.package_digest, 1 << 20)


def test_a_request_under_another_key_is_refused(world: World, cloud: Cloud) -> None:
    with client(world, cloud, world.client) as asking:
        side = asking._side
        body = bytearray(side.encrypt(side.encode(world.rows[:1])).body)
        body[60:76] = bytes(16)  # the key set's identifier
        with pytest.raises(StrongroomError) as error:
            asking._transport.infer("diagnosis", bytes(body), asking.package_digest, 1 << 20)
    assert error.value.code == "SR-KEYS-HOLDER"


def test_a_server_shows_its_committees_to_who_has_a_token_and_no_others(
    world: World, cloud: Cloud
) -> None:
    holder = world.package.manifest.plan.holder
    assert isinstance(holder, CommitteeKey)
    path = cloud.url + COMMITTEES + holder.committee
    assert httpx.get(path).status_code == 401
    headers = {"authorization": f"Bearer {cloud.token}"}
    statement = httpx.get(path, headers=headers)
    assert statement.content == (world.folder / "committee" / "committee.json").read_bytes()
    key = httpx.get(path + "/public-key", headers=headers)
    assert key.content == (world.folder / "committee" / "public.key").read_bytes()
    other = httpx.get(cloud.url + COMMITTEES + "sha256:" + "0" * 64, headers=headers)
    assert (other.status_code, other.json()["code"]) == (404, "SR-COMMITTEE-MISMATCH")


def test_members_prove_their_shares_to_whoever_asked(world: World, cloud: Cloud) -> None:
    rows = world.rows[30:34]
    with client(world, cloud, world.client, share_checks=1.0) as asking:
        world.wait_for_members(lambda: asking.predict(rows[:1]))
        assert (asking.predict(rows) == world.model.predict(rows)).all()
        assert asking.timings.requests == 2  # the rows, and the demand
        # Of the proofs, ten megabytes, there come the digests that the server made of them.
        assert 10**5 < asking.timings.bytes_received < 10**6
    assert all("share proved" in world.members[name].log() for name in ("vendor", "hospital"))
    assert all("SHARE NOT PROVED" not in one.log() for one in world.members.values())


@pytest.mark.long
def test_a_member_whose_parts_are_damaged_is_identified_and_another_takes_its_place(
    world: World, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    rows, hospital = world.rows[40:48], world.members["hospital"]
    hospital.stop()
    hospital.damage_parts()
    hospital.start()
    try:
        with client(world, cloud, world.client, share_checks=1.0) as asking:
            world.wait_for_members(lambda: asking.predict(rows))
            warnings = [r.getMessage() for r in caplog.records if r.name == "strongroom.client"]
            assert any("hospital" in one and "vendor" not in one for one in warnings)
            assert (asking.predict(rows) == world.model.predict(rows)).all()
            assert asking.timings.requests == 2  # it is asked last from now on
    finally:
        hospital.stop()
        hospital.restore_parts()
        hospital.start()
    assert "SHARE NOT PROVED" in hospital.log()
    assert "SHARE NOT PROVED" not in world.members["vendor"].log()


@pytest.mark.parametrize("way", ["noise", "offset"])
def test_a_member_answering_garbage_is_identified(world: World, cloud: Cloud, way: str) -> None:
    """Also if every answer with its share looks as if it could be one."""
    rows, vendor = world.rows[50:54], world.members["vendor"]
    vendor.stop()
    vendor.start(way)
    try:
        with client(world, cloud, world.client, share_checks=1.0) as asking:
            with pytest.raises(CommitteeError) as error:
                world.wait_for_members(lambda: asking.predict(rows))
            assert error.value.code == "SR-MEMBER-SHARE"
            assert error.value.members == ("vendor",)
            assert "did not prove" in error.value.message
    finally:
        vendor.stop()
        vendor.start()


@pytest.mark.long
def test_shares_are_proved_after_a_refresh_too(world: World, cloud: Cloud) -> None:
    rows = world.rows[60:64]
    with client(world, cloud, world.client, share_checks=1.0) as asking:
        world.wait_for_members(lambda: asking.predict(rows))
        world.run("committee", "refresh", str(world.folder / "committee"), "--identity", "owner")
        # Neither client nor server were started again, and the server has the new folder.
        predicted = world.wait_for_members(lambda: asking.predict(rows))
    assert (predicted == world.model.predict(rows)).all()


def test_demands_of_anybody_else_or_about_anything_else_get_no_proof(
    world: World, cloud: Cloud
) -> None:
    stranger = Identity.generate("stranger")
    with client(world, cloud, world.client, share_checks=1.0) as asking:
        world.wait_for_members(lambda: asking.predict(world.rows[:1]))
        transport, seen = asking._transport, []
        infer = transport.infer

        def noted(model: str, body: bytes, *args: Any, **options: Any) -> Any:
            if options.get("proof_demand"):
                seen.append((body, options["query"], options["proof_demand"]))
            return infer(model, body, *args, **options)

        transport.infer = noted  # type: ignore[method-assign]
        asking.predict(world.rows[:1])
        ((body, query, text),) = seen
        demand = msgspec.json.decode(text, type=SignedDemand).demand

        def demanded(signed: SignedDemand) -> bytes:
            exchange = infer(
                "diagnosis",
                body,
                asking.package_digest,
                1 << 28,
                query=query,
                proof_demand=text_of(signed),
            )
            return exchange.content

        assert demanded(SignedDemand.by(stranger, demand)).count(b'"proof":null') == 2
        elsewhere = msgspec.structs.replace(demand, index=1)
        assert demanded(SignedDemand.by(world.client, elsewhere)).count(b'"proof":null') == 2
        other = msgspec.structs.replace(demand, result="sha256:" + "0" * 64)
        with pytest.raises(CommitteeError, match="another result"):
            demanded(SignedDemand.by(world.client, other))
        with pytest.raises(ServerError, match="what came as a demand for a proof is none"):
            infer("diagnosis", body, asking.package_digest, 1, query=query, proof_demand="{}")


@pytest.mark.long
def test_a_share_that_was_given_before_a_restart_is_not_proved_any_more(
    world: World, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    rows, hospital = world.rows[:1], world.members["hospital"]
    with client(world, cloud, world.client, share_checks=1.0) as asking:
        world.wait_for_members(lambda: asking.predict(rows))
        demand = asking._transport.infer

        def restarting(*args: Any, **options: Any) -> Any:
            if options.get("proof_demand") and not restarted:
                hospital.stop()
                hospital.start()
                restarted.append(True)
            return demand(*args, **options)

        restarted: list[bool] = []
        asking._transport.infer = restarting  # type: ignore[method-assign]
        # Another set is asked, with the auditor in its place.
        assert (asking.predict(rows) == world.model.predict(rows)).all()
    (warning,) = [r.getMessage() for r in caplog.records if r.name == "strongroom.client"]
    assert "member hospital did not prove its share" in warning
    assert "before this member was started" in warning


def test_neither_weights_nor_rows_nor_answers_are_in_the_servers_processes(
    world: World, cloud: Cloud
) -> None:
    rows = np.random.default_rng().uniform(0.2, 0.8, (2, world.rows.shape[1]))
    rows = world.rows.min(axis=0) + rows * np.ptp(world.rows, axis=0)
    with client(world, cloud, world.client) as asking:
        world.wait_for_members(lambda: asking.predict(rows))
        scores = asking.decision_function(rows)
    scaler, regression = (step for _, step in world.model.steps)
    numbers = {
        "weights": regression.coef_.ravel()[COLUMNS],
        "folded weights": (regression.coef_.ravel() / scaler.scale_)[COLUMNS],
        "rows": rows[0, COLUMNS],
        "scores": scores.ravel(),
    }
    needles = [
        Needle(name, np.float64(value).tobytes())
        for name, values in numbers.items()
        for value in values
    ]
    front = cloud.process.pid
    children = Path(f"/proc/{front}/task/{front}/children").read_text().split()
    assert len(children) == 2  # the keeper and the worker
    found, looked_at = found_in_memory([front, *map(int, children)], needles)
    assert not found
    assert looked_at > 10**7
