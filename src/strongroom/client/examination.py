"""Examining a server: all that a client checks before it sends anything, factor by factor.

`client.trust` refuses at the first link that does not hold, since that is enough. Here every link
is looked at that can be, for people who want to see them all. What comes after a link that is
broken is skipped: a key configuration proves nothing of a server that nobody named.

    package     the owner who is trusted signed the manifest
    model       it is the model that was asked for
    rollback    neither release nor grant is older than one that was used from here
    authority   the owner, or a broker that the owner named, allows this server to serve it
    release     the broker's release was made under the policy that was given
    keys        the server's identity signed its present keys, and they are not older than before
    attestation evidence that the process with these keys is what the policy demands
    guarantee   the guarantee statement is not weaker than what clients demand
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from strongroom import protections
from strongroom.attestation.configurations import expected_report_data
from strongroom.attestation.evidence import decode_evidence
from strongroom.attestation.interface import (
    UNPROVEN,
    Factor,
    factor,
    failed,
    passed,
    skipped,
)
from strongroom.attestation.rules import DevelopmentRule, judge
from strongroom.attestation.verification import verify_evidence
from strongroom.broker.policy import Policy as BrokerPolicy
from strongroom.broker.policy import rules_of
from strongroom.broker.release import ReleaseAuthority
from strongroom.client.v2 import ModelMetadata
from strongroom.errors import StrongroomError
from strongroom.keys.identity import PublicIdentity
from strongroom.keys.seen import Seen
from strongroom.keys.serving import KeyConfiguration, verify_configuration
from strongroom.package.grants import Grant
from strongroom.package.manifest import Manifest
from strongroom.policy import Policy
from strongroom.receipts.authority import verify_authority
from strongroom.receipts.proof import Trusted, verify_package

_AFTER_PACKAGE = ("model", "rollback", "authority", "release", "keys", "attestation", "guarantee")


class _Shown(msgspec.Struct):
    """An authority as far as it shows the owner's grant: to the server, or to a broker."""

    entry: Grant | None = None
    grant: Grant | None = None


def examine(
    served: ModelMetadata,
    model: str,
    trusted: Trusted,
    seen: Seen,
    now: datetime,
    policy: BrokerPolicy | None = None,
) -> tuple[Factor, ...]:
    """Look at everything that a server shows of a model. Remembers nothing.

    Args:
        served: from the server, untrusted.
        model: name that was asked for.
        trusted: whom the caller trusts.
        seen: what was seen before.
        now: UTC.
        policy: what attested processes must be; None if nothing is demanded of them.
    """
    try:
        manifest, owner = verify_package(served.proof, trusted)
    except StrongroomError as error:
        rest = (skipped(name, UNPROVEN) for name in _AFTER_PACKAGE)
        return (failed("package", error.message), *rest)
    signed = f"{owner.fingerprint} signed release {manifest.release}, {manifest.digest}"
    return (
        passed("package", signed),
        factor(
            "model",
            manifest.name == model,
            f"it is {model}, as the owner named it",
            f"it is the model {manifest.name}",
        ),
        *_served(served, manifest, owner, trusted, seen, now, policy),
        _guarantee(manifest),
    )


def _served(
    served: ModelMetadata,
    manifest: Manifest,
    owner: PublicIdentity,
    trusted: Trusted,
    seen: Seen,
    now: datetime,
    policy: BrokerPolicy | None,
) -> tuple[Factor, ...]:
    """From the authority on."""
    package, text = manifest.digest, served.proof.authority
    try:
        server = verify_authority(text, owner, package, now)
    except StrongroomError as error:
        names = ("release", "keys", "attestation")
        return (
            _rollback(manifest, owner, trusted, seen, None),
            failed("authority", error.message),
            *(skipped(name, UNPROVEN) for name in names),
        )
    shown = msgspec.json.decode(text, type=_Shown)
    grant = shown.entry or shown.grant
    how = "granted it to" if shown.entry else "granted it to a broker, which released it to"
    before = (
        _rollback(manifest, owner, trusted, seen, None if grant is None else grant.generation),
        passed("authority", f"the owner {how} {server.fingerprint}"),
        _release(text, shown, policy),
    )
    try:
        configuration = verify_configuration(
            served.proof.key_configuration,
            server,
            package,
            now,
            seen.key_configuration(server.fingerprint),
        )
    except StrongroomError as error:
        return (*before, failed("keys", error.message), skipped("attestation", UNPROVEN))
    key = configuration.key(now)
    return (
        *before,
        passed("keys", f"key {key.key_id} holds until {key.not_after}"),
        *_attestation(configuration, now, policy),
    )


def _rollback(
    manifest: Manifest, owner: PublicIdentity, trusted: Trusted, seen: Seen, generation: int | None
) -> Factor:
    highest = seen.release(owner.fingerprint, manifest.name)
    if trusted.package is None and manifest.release < highest:
        return failed(
            "rollback", f"it is release {manifest.release}, release {highest} was used before"
        )
    newest, _ = seen.grant_log(manifest.digest)
    if generation is not None and generation < newest:
        return failed(
            "rollback",
            f"its grant is of generation {generation}, generation {newest} was seen: it may have "
            "been revoked",
        )
    if not highest and not newest:
        return skipped("rollback", "nothing of this model was used from here before")
    return passed("rollback", "it is not older than what was used from here before")


def _release(authority: str, shown: _Shown, policy: BrokerPolicy | None) -> Factor:
    if shown.grant is None:
        return skipped("release", "the owner granted it to the server itself, not by a broker")
    release = msgspec.json.decode(authority, type=ReleaseAuthority).release.release
    text = f"released for {release.summary.technology} until {release.expires}"
    if policy is None:
        return skipped("release", f"{text}, under a policy that was not given here")
    return factor(
        "release",
        release.policy == policy.digest,
        f"{text}, under this policy",
        f"{text}, under another policy, {release.policy}",
    )


def _attestation(
    configuration: KeyConfiguration, now: datetime, policy: BrokerPolicy | None
) -> tuple[Factor, ...]:
    if configuration.evidence is None:
        if policy is None:
            return (skipped("attestation", "the server shows no evidence, and none is demanded"),)
        return (failed("attestation", "the policy demands evidence, and the server shows none"),)
    try:
        claims = verify_evidence(decode_evidence(configuration.evidence), now)
    except StrongroomError as error:
        return (failed("attestation", error.message),)
    expected = expected_report_data(configuration)
    if policy is not None:
        found = judge(rules_of(policy), claims, expected)
    else:
        # What holds of any evidence; that nobody demanded this measurement is said, not hidden.
        found = tuple(
            one
            for one in judge(DevelopmentRule((claims.measurement.hex(),)), claims, expected)
            if one.name not in ("technology", "measurement")
        )
        measured = f"{claims.measurement.hex()}, with which no policy was compared"
        found = (*found, skipped("measurement", measured))
        if claims.technology == "development":
            found = (*found, failed("technology", "development evidence proves nothing"))
    return tuple(Factor(f"attestation {one.name}", one.outcome, one.reason) for one in found)


def _guarantee(manifest: Manifest) -> Factor:
    plan = manifest.plan
    try:
        protections.by_name(plan.protection).check(plan, Policy())
    except StrongroomError as error:
        return failed("guarantee", error.message)
    return passed("guarantee", f"the {plan.protection} plan is not weaker than clients demand")
