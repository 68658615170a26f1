"""Attestation for development: where there is no hardware to ask, to try out what depends on it.

Whatever it says, it proves nothing: anybody can write such evidence. No policy that is meant for
production can name it (see `rules`), and claims that come from it carry its name along.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from strongroom.attestation.evidence import (
    REPORT_DATA_BYTES,
    DevelopmentEvidence,
    Evidence,
    malformed,
)
from strongroom.attestation.interface import Claims, factor
from strongroom.moments import parse_moment, write_moment

_LIFETIME: Final = timedelta(minutes=5)
_MEASUREMENT_BYTES: Final = 48


class DevelopmentAttester:
    """Says what it is told to say.

    Args:
        measurement: 48 bytes.
    """

    def __init__(self, measurement: bytes = bytes(_MEASUREMENT_BYTES)) -> None:
        if len(measurement) != _MEASUREMENT_BYTES:
            raise ValueError(f"a measurement has {_MEASUREMENT_BYTES} bytes")
        self._measurement = measurement

    def evidence(self, report_data: bytes) -> DevelopmentEvidence:
        """See `interface.Attester`."""
        if len(report_data) != REPORT_DATA_BYTES:
            raise ValueError(f"report data has {REPORT_DATA_BYTES} bytes")
        return DevelopmentEvidence(
            measurement=self._measurement.hex(),
            report_data=report_data.hex(),
            issued=write_moment(datetime.now(UTC)),
        )


class DevelopmentVerifier:
    """Believes what it is told, for five minutes."""

    def verify(self, evidence: Evidence, now: datetime) -> Claims:
        """See `interface.Verifier`.

        Raises:
            AttestationError: SR-ATTESTATION-EVIDENCE if it is other evidence.
        """
        if not isinstance(evidence, DevelopmentEvidence):
            raise malformed("it is not that of the development attester")
        try:
            issued = parse_moment(evidence.issued)
        except ValueError as error:
            raise malformed("it names no time") from error
        return Claims(
            technology="development",
            measurement=bytes.fromhex(evidence.measurement),
            report_data=bytes.fromhex(evidence.report_data),
            debug=False,
            migratable=False,
            not_before=issued,
            not_after=issued + _LIFETIME,
            factors=(
                factor(
                    "validity",
                    issued - _LIFETIME <= now < issued + _LIFETIME,
                    f"it was made at {evidence.issued}",
                    f"it was made at {evidence.issued}, and holds for five minutes",
                ),
            ),
        )
