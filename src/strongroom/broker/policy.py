"""What an owner demands before a broker releases a key: a file that people write.

Two formats, and no way from one to the other:

    "format": "strongroom-broker-policy-1"               for production: hardware only
    "format": "strongroom-broker-development-policy-1"   for trying out: proves nothing

There is no field in the first that names the development attester, so no value of any field can
let it in; and what was released under the second says so, in the release itself.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec

from strongroom.attestation.rules import DevelopmentRule, Rule
from strongroom.canonical import canonical_json, digest
from strongroom.errors import AttestationError, ServerError
from strongroom.keys.identity import Fingerprint
from strongroom.moments import Moment, parse_moment

_MAXIMUM_BYTES: Final = 2**20
_WEEK_SECONDS: Final = 7 * 86_400

ReleaseSeconds = Annotated[int, msgspec.Meta(ge=60, le=_WEEK_SECONDS)]


class ModelRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model whose keys may be released.

    Attributes:
        owner: fingerprint of the identity that signs its packages.
        name: in the manifest.
        least_release: release counter below which none is served any more.
    """

    owner: Fingerprint
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    least_release: Annotated[int, msgspec.Meta(ge=1, le=2**53)] = 1


class _Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What both kinds of policy say.

    Attributes:
        models: of which keys may be released.
        not_before: UTC, from when on the policy holds; None for always.
        not_after: UTC, from when on nothing is released any more.
        release_seconds: for how long a release holds; then the process attests again.
    """

    models: Annotated[tuple[ModelRule, ...], msgspec.Meta(min_length=1, max_length=1024)]
    not_after: Moment
    not_before: Moment | None = None
    release_seconds: ReleaseSeconds = 86_400

    def __post_init__(self) -> None:
        end = parse_moment(self.not_after)
        if self.not_before is not None and parse_moment(self.not_before) >= end:
            raise ValueError("not_after is not after not_before")
        if len({(one.owner, one.name) for one in self.models}) != len(self.models):
            raise ValueError("a model is named twice")

    @property
    def digest(self) -> str:
        """Names the policy: the digest of its canonical form."""
        return digest(canonical_json(self))

    def least_release(self, owner: str, name: str) -> int | None:
        """The least release of a model, or None if the policy does not name it."""
        for one in self.models:
            if (one.owner, one.name) == (owner, name):
                return one.least_release
        return None

    def require_valid(self, now: datetime) -> None:
        """Nothing, if the policy holds now.

        Raises:
            AttestationError: SR-BROKER-REFUSED.
        """
        started = self.not_before is None or now >= parse_moment(self.not_before)
        if not started or now >= parse_moment(self.not_after):
            raise AttestationError(
                "SR-BROKER-REFUSED",
                f"the policy holds from {self.not_before or 'ever'} to {self.not_after}",
                "Ask the owner for a new policy",
            )


class BrokerPolicy(_Terms, frozen=True, tag_field="format", tag="strongroom-broker-policy-1"):
    """A policy for production.

    Attributes:
        attestation: what must hold of the process, one rule a technology.
    """

    attestation: Annotated[tuple[Rule, ...], msgspec.Meta(min_length=1, max_length=2)]

    def __post_init__(self) -> None:
        super().__post_init__()
        if len({type(one) for one in self.attestation}) != len(self.attestation):
            raise ValueError("a technology is named twice")


class DevelopmentPolicy(
    _Terms, frozen=True, tag_field="format", tag="strongroom-broker-development-policy-1"
):
    """A policy for trying out.

    Attributes:
        development: what a process must say of itself.
    """

    development: DevelopmentRule


Policy = BrokerPolicy | DevelopmentPolicy


def rules_of(policy: Policy) -> tuple[Rule, ...] | DevelopmentRule:
    """What must hold of a process, as `attestation.rules.judge` takes it."""
    return policy.attestation if isinstance(policy, BrokerPolicy) else policy.development


def read_policy(path: Path) -> Policy:
    """Read a policy.

    Raises:
        ServerError: SR-BROKER-CONFIG.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAXIMUM_BYTES + 1)
    except OSError as error:
        raise ServerError(
            "SR-BROKER-CONFIG",
            f"the policy {path} can't be read ({error.strerror})",
            "Check its path and permissions",
        ) from error
    try:
        if len(text) > _MAXIMUM_BYTES:
            raise ValueError(f"it is larger than {_MAXIMUM_BYTES} bytes")
        policy: Policy = msgspec.json.decode(text, type=Policy)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ServerError(
            "SR-BROKER-CONFIG", f"the policy {path} is wrong: {error}", "Correct that field"
        ) from error
    return policy
