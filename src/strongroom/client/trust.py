"""Trust: which package a client talks to. It trusts an owner's package, not a server.

The rules:

1. The digest of a served package is taken here, over the manifest's text as it came. What the
   server says the digest is only has to agree with it.
2. With a digest, or a package, as `trust`, the served package is that one or is refused. What
   was pinned earlier plays no part.
3. With "first-use", a pinned package is that one or is refused. Where none is pinned, the served
   one is pinned and its digest printed once, but only after its plan satisfied the policy.
4. Only a manifest whose digest is trusted, or is about to be on first use, is decoded at all; and
   then strictly.
"""

from __future__ import annotations

import re
import sys
from typing import Final

from strongroom.canonical import digest
from strongroom.client.v2 import ModelMetadata, wrong
from strongroom.errors import PackageError
from strongroom.keys.pins import Pins
from strongroom.package.file import Package
from strongroom.package.manifest import Manifest, decode_manifest

FIRST_USE: Final = "first-use"

Trust = str | Package
"""A digest "sha256:…", a package, or "first-use"."""

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


def trusted_digest(trust: Trust) -> str | None:
    """The one digest that is trusted; None for trust on first use.

    Raises:
        PackageError: SR-PACKAGE-DIGEST if it is no digest.
    """
    if isinstance(trust, Package):
        return trust.digest
    if trust == FIRST_USE:
        return None
    if not isinstance(trust, str) or not _DIGEST.fullmatch(trust):
        raise PackageError(
            "SR-PACKAGE-DIGEST",
            "what is to be trusted is not a package's digest",
            f'Pass "sha256:" and 64 hex digits, a Package, or "{FIRST_USE}"',
        )
    return trust


class Verifier:
    """Applies the rules to one model at one server.

    Args:
        trust: what is trusted.
        pins: where first use is remembered.
        url: of the server, in normal form.
        model: name of the model.

    Raises:
        PackageError: SR-PACKAGE-DIGEST if `trust` is no digest.
    """

    def __init__(self, trust: Trust, pins: Pins, url: str, model: str) -> None:
        self._expected = trusted_digest(trust)
        self._pins = pins
        self._url = url
        self._model = model

    def manifest(self, served: ModelMetadata) -> Manifest:
        """The served manifest, if its digest is the trusted one or there is none yet.

        Raises:
            PackageError: SR-PACKAGE-DIGEST, -VERSION; SR-KEYS-* if the pins can't be read.
            ServerError: SR-SERVER-PROTOCOL if it is no manifest.
        """
        data = served.manifest.encode("utf-8", "surrogatepass")
        found = digest(data)
        if found != served.package_digest:
            raise wrong("the manifest does not have the digest that the server says")
        expected = self._expected or self._pins.get(self._url, self._model)
        if expected is not None:
            self._compare(found, expected)
        try:
            return decode_manifest(data)
        except PackageError as error:
            if error.code == "SR-PACKAGE-VERSION":
                raise
            raise wrong(f"the served package is refused: {error.message}") from error

    def accept(self, manifest_digest: str) -> None:
        """Pin a package whose plan satisfied the policy, if this is its first use.

        Raises:
            PackageError: SR-PACKAGE-DIGEST if another was pinned meanwhile.
        """
        if self._expected is not None or self._pins.get(self._url, self._model) is not None:
            return
        self._compare(manifest_digest, self._pins.pin(self._url, self._model, manifest_digest))
        print(
            f"strongroom: model {self._model} at {self._url} is trusted on first use: "
            f"{manifest_digest}. Compare the digest with the one that the model's owner gives",
            file=sys.stderr,
        )

    def _compare(self, found: str, expected: str) -> None:
        if found != expected:
            how = "trusted" if self._expected is not None else "trusted on first use"
            raise PackageError(
                "SR-PACKAGE-DIGEST",
                f"model {self._model} at {self._url} is package {found}, {how} is {expected}",
                "Ask the model's owner which digest is right, and pass that one as trust",
            )
