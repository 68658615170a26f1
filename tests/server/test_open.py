"""What a worker does with the path of a package: granted, ended, revoked, and to nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import pytest
from model_owner import OWNER
from sklearn.linear_model import LogisticRegression

import strongroom
from strongroom.canonical import canonical_json, digest
from strongroom.compiler.plan import Visibility
from strongroom.errors import StrongroomError
from strongroom.keys.identity import Identity
from strongroom.package.protected import Package
from strongroom.package.sharing import revoke
from strongroom.receipts.authority import verify_authority
from strongroom.server.clock import Clock
from strongroom.server.keeper_link import KeeperLink
from strongroom.server.model import Means
from strongroom.server.open import open_served

HOST = Identity.generate("host")
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def package() -> Package:
    rows = np.random.default_rng(0).normal(size=(60, 3))
    return strongroom.protect(
        LogisticRegression().fit(rows, rows[:, 0] > 0), sample=rows, name="small"
    )


@pytest.fixture
def saved(package: Package, tmp_path: Path) -> Callable[..., str]:
    def save(**options: Any) -> str:
        path = tmp_path / "small.strongroom"
        package.save(path, owner=OWNER, overwrite=True, **options)
        return str(path)

    return save


class SteppedClock(Clock):
    """A clock that is ahead by what a test says."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


class Link:
    """A keeper in this process, without a broker."""

    has_broker = False

    def __init__(self, identity: Identity) -> None:
        self.fingerprint = identity.fingerprint
        self.unwrap = identity.unwrap


def means(identity: Identity | None = HOST, **fields: Any) -> Means:
    usual: dict[str, Any] = {
        "clock": SteppedClock(),
        "has_network": False,
        "threads": 1,
        "again": False,
    }
    keeper = None if identity is None else Link(identity)
    return Means(cast("KeeperLink | None", keeper), **usual | fields)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(StrongroomError) as caught:
        call()
    return caught.value.code


def test_a_granted_package_is_described_with_the_owners_word(saved, package) -> None:
    path = saved(recipients=[HOST.public], expires=datetime.now(UTC) + DAY)
    model = open_served(path, means())
    assert (model.digest, model.owner) == (package.digest, OWNER.public.to_text())
    now = datetime.now(UTC)
    who = verify_authority(model.authority, OWNER.public, package.digest, now)
    assert who == HOST.public
    ends = model.ends()
    assert ends is not None
    assert timedelta(hours=23) < ends - now < DAY
    assert model.subject is not None
    assert model.subject.package == package.digest


def test_the_owner_serves_its_own_package(saved) -> None:
    model = open_served(saved(), means(OWNER))
    assert model.ends() is None


def test_a_package_that_is_granted_to_others_is_not_served(saved) -> None:
    path = saved(recipients=[Identity.generate("other").public])
    assert refusal(lambda: open_served(path, means())) == "SR-PACKAGE-GRANT"


def test_a_grant_to_a_broker_is_not_served(saved) -> None:
    path = saved(recipients=[HOST.public], purpose="broker")
    assert refusal(lambda: open_served(path, means())) == "SR-PACKAGE-GRANT"


def test_a_server_without_identity_says_that_it_can_open_nothing(saved) -> None:
    assert refusal(lambda: open_served(saved(), means(None))) == "SR-SERVER-CONFIG"


@pytest.mark.parametrize(
    ("inputs", "refused"),
    [
        ("hidden", False),
        ("hidden-while-computing", False),
        ("serving-process", True),
        ("visible", True),
    ],
)
def test_a_process_with_a_network_serves_only_what_it_does_not_see(
    package: Package, tmp_path: Path, inputs: Visibility, refused: bool
) -> None:
    plan = package.manifest.plan
    seen = msgspec.structs.replace(plan.guarantee, inputs_from_server=inputs)
    plan = msgspec.structs.replace(plan, guarantee=seen)
    manifest = msgspec.structs.replace(
        package.manifest, plan=plan, plan_digest=digest(canonical_json(plan))
    )
    path = tmp_path / "stated.strongroom"
    replace(package, manifest=manifest).save(path, owner=OWNER)
    if refused:
        call = partial(open_served, str(path), means(OWNER, has_network=True))
        assert refusal(call) == "SR-SERVER-CONFIG"
    else:
        assert open_served(str(path), means(OWNER, has_network=True)).ends() is None


def test_a_grant_that_has_ended_is_not_served(saved) -> None:
    path = saved(recipients=[HOST.public], expires=datetime.now(UTC) + DAY)
    late = SteppedClock()
    late.ahead = DAY + timedelta(seconds=1)
    assert refusal(lambda: open_served(path, means(clock=late))) == "SR-PACKAGE-EXPIRED"


def test_a_worker_that_comes_after_the_end_keeps_the_other_models_going(saved) -> None:
    path = saved(recipients=[HOST.public], expires=datetime.now(UTC) + DAY)
    first = open_served(path, means())
    late = SteppedClock()
    late.ahead = DAY + timedelta(seconds=1)
    again = open_served(path, means(clock=late, again=True))
    assert (again.digest, again.manifest_json) == (first.digest, first.manifest_json)
    with pytest.raises(StrongroomError) as caught:
        again.answer(b"anything")
    assert (caught.value.code, caught.value.http_status) == ("SR-PACKAGE-EXPIRED", 403)


def test_a_worker_that_comes_after_the_grant_was_revoked_answers_so(saved) -> None:
    path = saved(recipients=[HOST.public])
    open_served(path, means())
    revoke(path, HOST.public, owner=OWNER)
    assert refusal(lambda: open_served(path, means())) == "SR-PACKAGE-GRANT"
    again = open_served(path, means(again=True))
    assert refusal(lambda: again.answer(b"anything")) == "SR-PACKAGE-GRANT"


def test_a_damaged_package_is_refused_whenever_it_is_loaded(saved) -> None:
    path = Path(saved(recipients=[HOST.public]))
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    for again in (False, True):
        code = refusal(lambda again=again: open_served(str(path), means(again=again)))
        assert code.startswith("SR-PACKAGE-")
