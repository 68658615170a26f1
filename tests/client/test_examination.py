"""Examining a server: every factor is named, and what is broken hides nothing that can be seen."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from model_owner import OWNER
from served_proofs import FILE_KEY, ProvenHost, identity, now
from sklearn.linear_model import LogisticRegression

sys.path.insert(0, str(Path(__file__).parents[1] / "attestation"))

from amd_hardware import FIRMWARE, MEASUREMENT, Chip

import strongroom
from strongroom.attestation.configurations import attest_configurations
from strongroom.attestation.development import DevelopmentAttester
from strongroom.attestation.evidence import Evidence
from strongroom.attestation.interface import Factor
from strongroom.attestation.rules import DevelopmentRule, SevSnpRule
from strongroom.attestation.sev_snp import SevSnpVerifier
from strongroom.attestation.verification import verify_evidence
from strongroom.broker.policy import BrokerPolicy, DevelopmentPolicy, ModelRule
from strongroom.broker.release import Release, ReleaseAuthority, SignedRelease, Summary
from strongroom.canonical import canonical_json
from strongroom.client import examination
from strongroom.client.examination import examine
from strongroom.client.v2 import ModelMetadata
from strongroom.keys.identity import Identity
from strongroom.keys.seen import Seen
from strongroom.keys.serving import evidence_binding, issue_configuration, sign_configuration
from strongroom.moments import write_moment
from strongroom.package.grants import GrantLog
from strongroom.package.protected import Package
from strongroom.policy import Policy
from strongroom.receipts.proof import Proof, Trusted

BROKER = identity("broker")


@pytest.fixture(scope="module")
def chip() -> Chip:
    return Chip.make("Milan")


@pytest.fixture(autouse=True)
def _own_root(chip: Chip, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chip of the tests counts as AMD's."""

    def verify(evidence: Evidence, moment: datetime) -> Any:
        if isinstance(evidence, type(chip.evidence(bytes(64)))):
            return SevSnpVerifier(chip.roots).verify(evidence, moment)
        return verify_evidence(evidence, moment)

    monkeypatch.setattr(examination, "verify_evidence", verify)


@dataclass
class Guest:
    chip: Chip
    changes: dict[str, Any] = field(default_factory=dict)

    def evidence(self, report_data: bytes) -> Evidence:
        return self.chip.evidence(report_data, **self.changes)


@dataclass
class Examined:
    """A host, and what examining it says."""

    host: ProvenHost
    seen: Seen = field(default_factory=lambda: Seen(None))
    trusted: Trusted = field(default_factory=lambda: Trusted(OWNER.fingerprint, None))

    def factors(self, proof: Proof | None = None, **options: Any) -> tuple[Factor, ...]:
        shown = proof or self.host.proof()
        return examine(
            ModelMetadata(shown, self.host.package.digest),
            options.get("model", "m"),
            self.trusted,
            self.seen,
            options.get("now", now()),
            options.get("policy"),
        )

    def outcomes(self, proof: Proof | None = None, **options: Any) -> dict[str, str]:
        return {one.name: one.outcome for one in self.factors(proof, **options)}

    def failing(self, proof: Proof | None = None, **options: Any) -> list[str]:
        outcomes = self.outcomes(proof, **options)
        return [name for name, outcome in outcomes.items() if outcome == "fail"]

    def attested(self, attester: Any, *, server: Identity | None = None) -> Proof:
        """The proof, with evidence in its key configuration."""
        host = self.host
        bare = issue_configuration(
            host.server,
            [host.secrets.key],
            [host.package.digest],
            counter=host.counter,
            now=host.time,
        )
        attest = attest_configurations(attester, (server or host.server).public)
        whole = msgspec.structs.replace(bare, evidence=attest(evidence_binding(bare)))
        return msgspec.structs.replace(
            host.proof(), key_configuration=sign_configuration(host.server, whole)
        )

    def released(self, policy: str, technology: Any = "sev-snp", by: Identity = BROKER) -> Proof:
        """The proof, with a broker's release for authority."""
        host, digest = self.host, self.host.package.digest
        log = GrantLog.begin(host.owner, digest, FILE_KEY, now=host.time)
        log = log.with_grant(host.owner, BROKER.public, "broker", FILE_KEY, now=host.time)
        release = Release(
            format=1,
            package=digest,
            server=host.server.public.to_text(),
            nonce="00" * 32,
            issued=write_moment(host.time),
            expires=write_moment(host.time + timedelta(hours=1)),
            summary=Summary(technology, MEASUREMENT.hex()),
            evidence="sha256:" + "0" * 64,
            policy=policy,
        )
        authority = ReleaseAuthority(log.entries[-1], SignedRelease.by(by, release))
        return msgspec.structs.replace(host.proof(), authority=canonical_json(authority).decode())


@pytest.fixture(scope="module")
def package() -> Package:
    """A model whose plan clients accept."""
    rows = np.random.default_rng(7).normal(size=(100, 3))
    model = LogisticRegression().fit(rows, rows.sum(axis=1) > 0)
    return strongroom.protect(model, sample=rows, name="m", release=3, owner=OWNER)


@pytest.fixture
def examined(package: Package) -> Examined:
    return Examined(ProvenHost(package))


def terms() -> dict[str, Any]:
    return {
        "models": (ModelRule(OWNER.fingerprint, "m"),),
        "not_after": write_moment(now() + timedelta(days=30)),
    }


@pytest.fixture
def policy() -> BrokerPolicy:
    rule = SevSnpRule((MEASUREMENT.hex(),), dict(FIRMWARE))  # type: ignore[arg-type]
    return BrokerPolicy(attestation=(rule,), **terms())


def test_a_server_that_is_granted_passes_and_says_what_was_not_looked_at(
    examined: Examined,
) -> None:
    assert examined.outcomes() == {
        "package": "pass",
        "model": "pass",
        "rollback": "skipped",
        "authority": "pass",
        "release": "skipped",
        "keys": "pass",
        "attestation": "skipped",
        "guarantee": "pass",
    }
    assert all(one.reason for one in examined.factors())


def test_a_package_of_somebody_else_fails_and_the_rest_is_skipped(examined: Examined) -> None:
    examined.trusted = Trusted(identity("other").fingerprint, None)
    outcomes = examined.outcomes()
    assert outcomes.pop("package") == "fail"
    assert set(outcomes.values()) == {"skipped"}
    examined.trusted = Trusted(None, "sha256:" + "0" * 64)
    assert examined.failing() == ["package"]


@pytest.mark.parametrize("link", ["signatures", "owner", "manifest"])
def test_a_link_to_the_owner_that_is_missing_fails(examined: Examined, link: str) -> None:
    proof = msgspec.structs.replace(examined.host.proof(), **{link: ""})
    assert examined.failing(proof) == ["package"]


def test_a_broken_authority_fails_and_the_keys_are_not_believed(examined: Examined) -> None:
    for text in ("", "{}", examined.host.proof().authority[:-1]):
        proof = msgspec.structs.replace(examined.host.proof(), authority=text)
        outcomes = examined.outcomes(proof)
        assert examined.failing(proof) == ["authority"]
        assert (outcomes["keys"], outcomes["attestation"]) == ("skipped", "skipped")
        assert outcomes["guarantee"] == "pass"


def test_an_expired_grant_fails(examined: Examined) -> None:
    examined.host.lasts = timedelta(hours=1)
    assert examined.failing() == []
    assert examined.failing(now=now() + timedelta(hours=2)) == ["authority"]


def test_keys_of_another_server_or_older_than_before_fail(examined: Examined) -> None:
    other = ProvenHost(examined.host.package, server=identity("other"))
    proof = msgspec.structs.replace(
        examined.host.proof(), key_configuration=other.proof().key_configuration
    )
    assert examined.failing(proof) == ["keys"]
    examined.seen.saw_key_configuration(examined.host.server.fingerprint, 10**6)
    assert examined.failing() == ["keys"]
    assert examined.outcomes()["attestation"] == "skipped"


def test_an_older_release_or_grant_than_before_fails(examined: Examined) -> None:
    examined.seen.saw_release(OWNER.fingerprint, "m", 3)
    assert examined.outcomes()["rollback"] == "pass"
    examined.seen.saw_release(OWNER.fingerprint, "m", 4)
    assert examined.failing() == ["rollback"]
    again = Examined(examined.host)
    again.seen.saw_grant_log(examined.host.package.digest, 2, 1)
    assert again.failing() == ["rollback"]


def test_another_model_than_the_one_that_was_asked_for_fails(examined: Examined) -> None:
    assert examined.failing(model="other") == ["model"]


def test_a_guarantee_below_what_clients_demand_fails() -> None:
    rows = np.random.default_rng(7).normal(size=(100, 3))
    model = LogisticRegression().fit(rows, rows.sum(axis=1) > 0)
    weak = Policy(decryption_bits=10)
    package = strongroom.protect(model, sample=rows, name="m", owner=OWNER, policy=weak)
    assert Examined(ProvenHost(package)).failing() == ["guarantee"]


def test_evidence_that_the_policy_demands_passes_factor_by_factor(
    examined: Examined, chip: Chip, policy: BrokerPolicy
) -> None:
    outcomes = examined.outcomes(examined.attested(Guest(chip)), policy=policy)
    attested = {name: one for name, one in outcomes.items() if name.startswith("attestation ")}
    assert attested == {
        "attestation chain": "pass",
        "attestation validity": "pass",
        "attestation revocation": "skipped",
        "attestation signature": "pass",
        "attestation platform": "pass",
        "attestation binding": "pass",
        "attestation debug": "pass",
        "attestation migration": "pass",
        "attestation measurement": "pass",
        "attestation firmware": "pass",
        "attestation privilege": "pass",
    }


def test_missing_evidence_fails_where_a_policy_demands_it(
    examined: Examined, policy: BrokerPolicy
) -> None:
    assert examined.failing(policy=policy) == ["attestation"]


def test_evidence_of_another_process_or_other_keys_fails_by_its_binding(
    examined: Examined, chip: Chip, policy: BrokerPolicy
) -> None:
    foreign = examined.attested(Guest(chip), server=identity("other"))
    assert examined.failing(foreign, policy=policy) == ["attestation binding"]

    class Old:
        """Evidence of an earlier configuration, shown again."""

        def evidence(self, report_data: bytes) -> Evidence:
            return chip.evidence(bytes(64))

    assert examined.failing(examined.attested(Old()), policy=policy) == ["attestation binding"]


def test_evidence_that_is_not_what_is_demanded_fails(
    examined: Examined, chip: Chip, policy: BrokerPolicy
) -> None:
    debugged = examined.attested(Guest(chip, {"policy": 0x3001F | 1 << 19}))
    assert examined.failing(debugged, policy=policy) == ["attestation debug"]
    assert examined.failing(debugged) == ["attestation debug"]
    other = examined.attested(Guest(chip, {"measurement": b"m" * 48}))
    assert examined.failing(other, policy=policy) == ["attestation measurement"]
    assert examined.outcomes(other)["attestation measurement"] == "skipped"
    assert examined.failing(other) == []


def test_evidence_that_can_not_be_read_fails(examined: Examined, policy: BrokerPolicy) -> None:
    host = examined.host
    bare = issue_configuration(
        host.server, [host.secrets.key], [host.package.digest], counter=9999, now=host.time
    )
    text = sign_configuration(host.server, msgspec.structs.replace(bare, evidence="none"))
    proof = msgspec.structs.replace(host.proof(), key_configuration=text)
    for one in (None, policy):
        assert examined.failing(proof, policy=one) == ["attestation"]


def test_development_evidence_fails_unless_the_policy_is_for_development(
    examined: Examined, policy: BrokerPolicy
) -> None:
    proof = examined.attested(DevelopmentAttester())
    assert examined.failing(proof) == ["attestation technology"]
    assert examined.failing(proof, policy=policy) == ["attestation technology"]
    development = DevelopmentPolicy(development=DevelopmentRule(("00" * 48,)), **terms())
    assert examined.failing(proof, policy=development) == []


def test_a_brokers_release_is_compared_with_the_policy(
    examined: Examined, chip: Chip, policy: BrokerPolicy
) -> None:
    proof = examined.released(policy.digest)
    outcomes = examined.outcomes(proof)
    assert (outcomes["authority"], outcomes["release"]) == ("pass", "skipped")
    configured = msgspec.structs.replace(
        proof, key_configuration=examined.attested(Guest(chip)).key_configuration
    )
    assert examined.failing(configured, policy=policy) == []
    other = msgspec.structs.replace(
        examined.released("sha256:" + "0" * 64), key_configuration=configured.key_configuration
    )
    assert examined.failing(other, policy=policy) == ["release"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda examined, digest: examined.released(digest, by=identity("stranger")),
        lambda examined, digest: examined.released(digest, technology="development"),
    ],
    ids=["another broker", "development"],
)
def test_a_release_that_does_not_hold_is_no_authority(
    examined: Examined, policy: BrokerPolicy, spoil: Callable[[Examined, str], Proof]
) -> None:
    assert examined.failing(spoil(examined, policy.digest)) == ["authority"]
