"""The serving keys of one server, as a client holds them: verified, cached, fetched again.

The rules:

1. A key that is handed out comes from a proof (`client.trust`) that was verified less than a minute
   ago, so that a key or a grant that ends is not used for long after.
2. A proof that does not hold any more is fetched again, once, before the call fails: servers
   exchange their keys every few hours.
3. A server that does not know the key of a request says so before it opens anything
   (SR-SEALED-KEY). Then the proof is fetched again and the request sealed afresh, once a call.
   Nothing that happens after an answer has begun to be decoded leads to a repetition.
4. What is fetched again must be of the package that the client was opened for.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final

from strongroom.client.transport import Transport
from strongroom.client.trust import Verifier
from strongroom.client.v2 import ModelMetadata
from strongroom.errors import PackageError, ServerError
from strongroom.keys.serving import ServingKey
from strongroom.receipts.proof import Proof, ProvenServer

_VERIFIED_SECONDS: Final = 60.0


class ServingKeys:
    """What one client knows of the server that it asks. Not for several threads at once.

    Args:
        transport: to the server.
        verifier: judges what the server shows.
        model: name of the model.
        served: the metadata that the client was opened with.

    Raises:
        PackageError, PolicyError, ServerError, KeyStoreError: as `Verifier.verify`.
    """

    def __init__(
        self, transport: Transport, verifier: Verifier, model: str, served: ModelMetadata
    ) -> None:
        self._transport = transport
        self._verifier = verifier
        self._model = model
        self._served = served
        self._verify(served, None)

    @property
    def proof(self) -> Proof:
        """What the server showed last."""
        return self._served.proof

    @property
    def proven(self) -> ProvenServer:
        """What came of verifying it."""
        return self._proven

    def now(self) -> datetime:
        """The time by which the server is judged, UTC; see `Verifier.now`."""
        return self._verifier.now()

    def current(self) -> ServingKey:
        """The key to seal to now.

        Raises:
            PackageError, ServerError, KeyStoreError: the server can't be reached, or what it
                shows does not hold.
        """
        if time.monotonic() - self._verified_at > _VERIFIED_SECONDS:
            try:
                self._verify(self._served, self._proven.package)
            except (PackageError, ServerError):
                self.refresh()
        return self._key

    def refresh(self) -> None:
        """Fetch the proof again, and verify it.

        Raises:
            PackageError, ServerError, KeyStoreError: as for `current`.
        """
        self._verify(self._transport.model_metadata(self._model), self._proven.package)
        self._verifier.accept(self._proven)

    def _verify(self, served: ModelMetadata, package: str | None) -> None:
        proven = self._verifier.verify(served, package)
        self._key = proven.configuration.key(self.now())
        self._served, self._proven = served, proven
        self._verified_at = time.monotonic()
