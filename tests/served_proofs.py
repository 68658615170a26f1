"""Owners, servers and what they show: whole proofs in memory, and ways to spoil them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from model_owner import OWNER

from strongroom.canonical import canonical_json
from strongroom.canonical import digest as digest_of
from strongroom.compiler.plan import Plan
from strongroom.keys.identity import Identity
from strongroom.keys.serving import ServingSecrets, issue_configuration, sign_configuration
from strongroom.package.grants import GrantLog, Purpose
from strongroom.package.manifest import Manifest, Parity, encode_manifest
from strongroom.package.protected import Package
from strongroom.receipts.authority import grant_authority
from strongroom.receipts.proof import Proof, Trusted, verify_proof
from strongroom.receipts.receipt import Receipt, complete_receipt
from strongroom.receipts.statement import Subject, make_receipt

FILE_KEY = bytes(32)
REQUEST, RESPONSE = b"protected request", b"protected response"
PLAN = Path(__file__).parent / "package" / "plan.json"
HOST = Identity(bytes(range(255, 95, -1)), "host")


@cache
def identity(name: str) -> Identity:
    """One identity of a name, for all tests of a process."""
    return Identity.generate(name)


def now() -> datetime:
    return datetime.now(UTC)


def package_of(owner: Identity = OWNER, **fields: Any) -> Package:
    """A package of an owner, around a plan that is never run; fields as of `Package.create`."""
    usual: dict[str, Any] = {
        "name": "m",
        "plan": msgspec.json.decode(PLAN.read_bytes(), type=Plan),
        "payload": {"model": b"weights"},
        "parity": Parity(rows=171, agreement=1.0, max_score_error=0.0001),
    }
    return Package.create(**usual | fields, owner=owner.public)


@dataclass
class ProvenHost:
    """A server to which an owner granted a package, and what it shows.

    `time` is when everything was made; `lasts` how long the grant holds from then on.
    """

    package: Package
    owner: Identity = field(default=OWNER)
    server: Identity = field(default=HOST)
    time: datetime = field(default_factory=now)
    lasts: timedelta | None = None
    purpose: Purpose = "serve"
    generation: int = 1
    counter: int = 1000
    secrets: ServingSecrets = field(init=False)

    def __post_init__(self) -> None:
        self.rotate_keys()

    def rotate_keys(self) -> None:
        """Fresh serving keys; the counter grows."""
        self.secrets = ServingSecrets.generate(self.time, self.time + timedelta(hours=12))
        self.counter += 1

    @property
    def manifest(self) -> Manifest:
        return self.package.manifest

    def proof(self, manifest: bytes | None = None) -> Proof:
        """What a model's metadata shows; of another text than the package's manifest, if given."""
        data = encode_manifest(self.manifest) if manifest is None else manifest
        digest = digest_of(data)
        expires = None if self.lasts is None else self.time + self.lasts
        log = GrantLog.begin(
            self.owner, digest, FILE_KEY, now=self.time, generation=self.generation
        ).with_grant(
            self.owner, self.server.public, self.purpose, FILE_KEY, now=self.time, expires=expires
        )
        configuration = issue_configuration(
            self.server, [self.secrets.key], [digest], counter=self.counter, now=self.time
        )
        return Proof(
            manifest=data.decode(),
            owner=self.owner.public.to_text(),
            signatures=canonical_json(self.owner.sign("manifest", data)).decode(),
            authority=grant_authority(log.entries[-1]),
            key_configuration=sign_configuration(self.server, configuration),
        )

    def statement(self, request: bytes, response: bytes, when: datetime | None = None) -> str:
        """What goes along with an answer."""
        subject = Subject.of(self.manifest)
        moment = self.time if when is None else when
        fingerprint = self.server.fingerprint
        return make_receipt(self.secrets, fingerprint, subject, request, response, moment)

    def receipt(self, when: datetime | None = None) -> Receipt:
        """Of the one exchange of these tests, as a client completes it."""
        moment = self.time if when is None else when
        proof = self.proof()
        proven = verify_proof(proof, Trusted(self.owner.fingerprint, None), moment)
        return complete_receipt(
            self.statement(REQUEST, RESPONSE, moment),
            proof,
            proven,
            request=REQUEST,
            response=RESPONSE,
            now=moment,
        )
