"""One request for a file key: everything that must hold, and then the release.

In this order, each before the next is looked at, and nothing is released unless all hold:

1. The nonce is of this broker, fresh, and not used before. It is used up now.
2. The policy holds at this time.
3. The evidence holds, is bound to this nonce and to the identity that asks, and is what the
   policy demands. So nobody who did not attest learns which packages there are.
4. The broker has the package, the policy names its model and its release, and no newer release
   or grant log of it was seen.
5. The owner granted it to the broker, for "broker", and the grant has not ended.

Then the file key is unwrapped, wrapped to the identity that asks, and never written anywhere.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from strongroom.attestation.evidence import (
    RELEASE,
    Evidence,
    evidence_digest,
    report_data,
)
from strongroom.attestation.interface import Claims, require
from strongroom.attestation.rules import judge
from strongroom.attestation.verification import verify_evidence
from strongroom.broker.exchange import ReleaseAnswer, ReleaseRequest
from strongroom.broker.nonces import Nonces
from strongroom.broker.policy import Policy, rules_of
from strongroom.broker.release import FORMAT, Release, SignedRelease, Summary, parse_server
from strongroom.broker.shelf import Shelf
from strongroom.errors import AttestationError, PackageError
from strongroom.keys.identity import Identity, PublicIdentity
from strongroom.keys.seen import Seen
from strongroom.moments import parse_moment, write_moment
from strongroom.package.file import SealedPackage
from strongroom.package.grants import Grant, Purpose

_FOR_BROKERS: Final[tuple[Purpose, ...]] = ("broker",)

_log = logging.getLogger("strongroom.server.broker")


class Broker:
    """Decides. Safe for threads.

    Args:
        identity: that packages are granted to.
        policy: what must hold.
        shelf: the packages.
        seen: releases and the time, as seen before.
        nonces: that were given out.
        verify: judges evidence.
    """

    def __init__(
        self,
        identity: Identity,
        policy: Policy,
        shelf: Shelf,
        seen: Seen,
        *,
        nonces: Nonces | None = None,
        verify: Callable[[Evidence, datetime], Claims] = verify_evidence,
    ) -> None:
        self._identity = identity
        self._policy = policy
        self._shelf = shelf
        self._seen = seen
        self._verify = verify
        self.nonces = Nonces() if nonces is None else nonces

    @property
    def identity(self) -> PublicIdentity:
        """Whom packages are granted to."""
        return self._identity.public

    @property
    def policy(self) -> Policy:
        """What must hold."""
        return self._policy

    def release(self, request: ReleaseRequest) -> ReleaseAnswer:
        """The file key of a package, wrapped to who asks, with the broker's word.

        Raises:
            AttestationError: SR-BROKER-REFUSED; SR-ATTESTATION-EVIDENCE, -POLICY, naming every
                factor that fails.
            PackageError: SR-PACKAGE-ROLLBACK.
            KeyStoreError: SR-IDENTITY-CLOCK.
            ServerError: SR-REQUEST-BUSY, SR-BROKER-CONFIG.
        """
        self.nonces.use(request.nonce)
        now = self._seen.now()
        self._policy.require_valid(now)
        server = parse_server(request.server)
        if server is None:
            raise _refused("the server's identity is none", "Send the line of its public identity")
        claims = self._attested(request, server, now)
        package = self._shelf.find(request.package)
        self._require_model(package)
        grant = self._grant(package, now)
        release = Release(
            format=FORMAT,
            package=package.digest,
            server=server.to_text(),
            nonce=request.nonce,
            issued=write_moment(now),
            expires=self._expiry(grant, now),
            summary=Summary.of(claims),
            evidence=evidence_digest(request.evidence),
            policy=self._policy.digest,
        )
        file_key = self._identity.unwrap(grant.wrapped, grant.info)
        wrapped = server.wrap(file_key, release.info)
        _log.info(
            "key released",
            extra={
                "package": package.digest,
                "model": package.manifest.name,
                "server": server.fingerprint,
                "technology": claims.technology,
                "measurement": claims.measurement.hex(),
                "expires": release.expires,
            },
        )
        return ReleaseAnswer(grant, SignedRelease.by(self._identity, release), wrapped)

    def _attested(self, request: ReleaseRequest, server: PublicIdentity, now: datetime) -> Claims:
        claims = self._verify(request.evidence, now)
        expected = report_data(request.nonce, server.fingerprint, RELEASE)
        require(judge(rules_of(self._policy), claims, expected))
        return claims

    def _require_model(self, package: SealedPackage) -> None:
        manifest, owner = package.manifest, package.owner.fingerprint
        least = self._policy.least_release(owner, manifest.name)
        if least is None:
            raise _refused(
                f"the policy does not name model {manifest.name} of {owner}",
                "Ask the owner for a policy that does",
            )
        if manifest.release < least:
            raise _refused(
                f"model {manifest.name} has release {manifest.release}, the policy demands {least}",
                "Serve a newer release",
            )
        self._seen.saw_release(owner, manifest.name, manifest.release)

    def _grant(self, package: SealedPackage, now: datetime) -> Grant:
        try:
            return package.grant_for(self._identity.fingerprint, _FOR_BROKERS, now)
        except PackageError as error:
            raise _refused(error.message, error.remedy) from error

    def _expiry(self, grant: Grant, now: datetime) -> str:
        ends = [now + timedelta(seconds=self._policy.release_seconds)]
        ends.append(parse_moment(self._policy.not_after))
        if grant.expires is not None:
            ends.append(parse_moment(grant.expires))
        return write_moment(min(ends))


def _refused(what: str, remedy: str) -> AttestationError:
    return AttestationError("SR-BROKER-REFUSED", what, remedy)
