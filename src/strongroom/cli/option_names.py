"""What messages of the library call a parameter, as the command line calls it.

The library names parameters and fields of its Python objects. Who typed a command has options, so
those names are replaced in the errors that speak of them; all other errors stay as they are, since
they may quote names of files and columns.
"""

from __future__ import annotations

import re
from typing import Final

_CODES: Final = frozenset(
    {
        "SR-POLICY-VALUE",
        "SR-POLICY-PARITY",
        "SR-POLICY-PRECISION",
        "SR-PLAN-GUARANTEE",
        "SR-PACKAGE-OWNER",
        "SR-SERVER-CONFIG",
        "SR-SERVER-TLS",
        "SR-BROKER-CONFIG",
        "SR-KEYS-LOCKED",
        "SR-KEYS-CUSTODY",
    }
)

_FIELDS: Final = {
    "sanitising_bits": "--lambda",
    "precision_bits": "--precision-bits",
    "minimum_agreement": "--minimum-agreement",
    "tls_certificate": "--tls-cert",
    "tls_key": "--tls-key",
    "key_folder": "--key-folder",
    "evaluation_timeout_seconds": "--evaluation-timeout-seconds",
    "timeout_seconds": "--timeout-seconds",
    "attestation_certificates": "--attestation-certificates",
    "attestation_collateral": "--attestation-collateral",
    "broker_token": "--broker-token",
    "broker_ca": "--broker-ca",
    "member_timeout_seconds": "--member-timeout-seconds",
    "member_ca": "--member-ca",
    "member_urls": "--member-url",
    "peer_urls": "--peer-url",
}
"""Names that are no words of a sentence."""

_WORDS: Final = ("workers", "threads", "port")
"""Names that are; replaced at the beginning of a message only, before " is "."""

_PHRASES: Final = {
    "or pass passphrase=": "or run the command on a terminal, where it asks",
    "with ca= for": "with --ca for",
    "pass that as trust": "pass that as --trust",
    "ask with a policy whose protection is": "pass --protection",
}

_FIELD: Final = re.compile(
    # Not as a part of a path or of another name.
    rf"(?:policy field )?(?<![\w./'\"-])({'|'.join(_FIELDS)})(?![\w./'\"-])"
)
_WORD: Final = re.compile(rf"^({'|'.join(_WORDS)})(?= is )")


def with_options(code: str, text: str) -> str:
    """A message or a remedy with options in place of the names that Python has for them.

    Args:
        code: of the error.
        text: the one or the other.
    """
    if code not in _CODES:
        return text
    for phrase, typed in _PHRASES.items():
        text = text.replace(phrase, typed)
    text = _FIELD.sub(lambda found: _FIELDS[found[1]], text)
    return _WORD.sub(lambda found: f"--{found[1]}", text)
