"""Evidence in a key configuration: that the process which serves now is what it should be.

A server that attests puts evidence into each key configuration that it signs. It is bound to
everything else in the configuration (`keys.serving.evidence_binding`), so to the serving keys, in
the place of a nonce: who seals to one of these keys seals to the process that attested.
"""

from __future__ import annotations

from collections.abc import Callable

from strongroom.attestation.evidence import (
    KEY_CONFIGURATION,
    evidence_text,
    report_data,
)
from strongroom.attestation.interface import Attester
from strongroom.keys.identity import PublicIdentity
from strongroom.keys.serving import KeyConfiguration, evidence_binding


def attest_configurations(attester: Attester, server: PublicIdentity) -> Callable[[bytes], str]:
    """What adds evidence to the configurations of a server: from 32 bytes, what
    `evidence_binding` gives, to the text of evidence.

    Args:
        attester: of the process that holds the serving keys.
        server: the identity that signs the configurations.
    """

    def attest(binding: bytes) -> str:
        data = report_data(binding.hex(), server.fingerprint, KEY_CONFIGURATION)
        return evidence_text(attester.evidence(data))

    return attest


def expected_report_data(configuration: KeyConfiguration) -> bytes:
    """What the evidence in a verified configuration has to be bound to.

    Raises:
        KeyStoreError: SR-IDENTITY-FILE; never of a configuration that was verified.
    """
    server = PublicIdentity.from_text(configuration.server).fingerprint
    return report_data(evidence_binding(configuration).hex(), server, KEY_CONFIGURATION)
