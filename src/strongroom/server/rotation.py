"""The serving keys that a server has at one time, and the configurations that announce them.

A key is newest for a *lifetime*, and opens what was sealed to it for an *overlap* longer; then its
private half is dropped, and what was recorded of the exchanges under it opens to nobody any more.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec

from strongroom.attestation.evidence import KEY_CONFIGURATION, evidence_text, report_data
from strongroom.attestation.interface import Attester
from strongroom.keys.identity import Identity
from strongroom.keys.serving import (
    KeyConfiguration,
    ServingSecrets,
    evidence_binding,
    issue_configuration,
    sign_configuration,
)

_MOST_KEYS: Final = 4


class Rotation:
    """Serving keys, newest first. Not thread-safe.

    Args:
        identity: the server's; signs configurations.
        lifetime: how long a key is the newest.
        overlap: how long it opens requests after that.
        attester: makes the evidence in each configuration; None where there is none to give.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        lifetime: timedelta,
        overlap: timedelta,
        attester: Attester | None = None,
    ) -> None:
        self._identity = identity
        self._lifetime = lifetime
        self._overlap = overlap
        self._attester = attester
        self._keys: list[ServingSecrets] = []
        self._packages: set[str] = set()
        self._counter = 0

    def advance(self, now: datetime) -> bool:
        """Make a new key if it is time for one, and drop what is over.

        Returns:
            Whether a key came or went, so that a new configuration is due.
        """
        kept = [key for key in self._keys if not key.expired(now)]
        if not kept or now >= self._next(kept[0]):
            # In whole seconds, as texts hold it.
            start = now.replace(microsecond=0)
            fresh = ServingSecrets.generate(start, start + self._lifetime + self._overlap)
            kept = [fresh, *kept][:_MOST_KEYS]
        changed = kept != self._keys
        self._keys = kept
        return changed

    def seconds_until_next(self, now: datetime) -> float:
        """How long until `advance` makes a key."""
        if not self._keys:
            return 0.0
        return max(0.0, (self._next(self._keys[0]) - now).total_seconds())

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages that configurations name, ascending."""
        return tuple(sorted(self._packages))

    def add_package(self, digest: str) -> bool:
        """Name a package in every configuration from now on; false if it is named already."""
        new = digest not in self._packages
        self._packages.add(digest)
        return new

    def secrets(self, key_id: str, now: datetime) -> ServingSecrets | None:
        """The key of that identifier; None if there is none, or its time is over."""
        found = (key for key in self._keys if key.key_id == key_id and not key.expired(now))
        return next(found, None)

    def signing(self, now: datetime) -> ServingSecrets:
        """The key that signs receipts: the oldest that is still valid, since every client whose
        configuration is not out of date knows that one. `advance` has to have been called."""
        return next(key for key in reversed(self._keys) if now < key.valid[1])

    def configuration(self, now: datetime) -> str | None:
        """A freshly signed configuration; None as long as there is no package to name. Raises
        AttestationError, SR-ATTESTATION-EVIDENCE, if there is no evidence to be had.

        Its counter is above that of each one before; a server that starts again goes on by the
        clock.
        """
        if not self._packages:
            return None
        self._counter = max(self._counter + 1, int(now.timestamp() * 1000))
        configuration = issue_configuration(
            self._identity,
            [key.key for key in self._keys],
            self.packages,
            counter=self._counter,
            now=now,
        )
        return sign_configuration(self._identity, self._with_evidence(configuration))

    def _with_evidence(self, configuration: KeyConfiguration) -> KeyConfiguration:
        if self._attester is None:
            return configuration
        nonce = evidence_binding(configuration).hex()
        bound = report_data(nonce, self._identity.fingerprint, KEY_CONFIGURATION)
        evidence = evidence_text(self._attester.evidence(bound))
        return msgspec.structs.replace(configuration, evidence=evidence)

    def _next(self, key: ServingSecrets) -> datetime:
        return key.valid[0] + self._lifetime
