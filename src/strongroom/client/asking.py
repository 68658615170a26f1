"""One protected exchange, from what is asked to what is answered.

What may be repeated, each once, and nothing else; all of it happens before anything of an answer
is decoded, and depends on nothing secret:

- Where the server lacks evaluation keys (SR-KEYS-MISSING), they are sent, and then the same bytes.
- Where it does not know the key that a request is sealed to (SR-SEALED-KEY), its present keys are
  fetched and verified, and what is asked is sealed afresh.

Where a receipt comes, it is checked before the answer is opened: an answer with a receipt that does
not hold is none.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from strongroom.client.key_upload import KeyUpload
from strongroom.client.serving_keys import ServingKeys
from strongroom.client.timings import Timings
from strongroom.client.transport import Exchange, Transport
from strongroom.errors import ServerError
from strongroom.protections.interface import ClientSide, PendingRequest
from strongroom.receipts.receipt import Receipt, complete_receipt
from strongroom.receipts.statement import invalid, read_statement


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer.

    Attributes:
        content: what the protection's client side makes of the response.
        timings: where the time went.
        receipt: where one was asked for.
    """

    content: Any
    timings: Timings
    receipt: Receipt | None


class Asker:
    """Asks one model. Not for several threads at once.

    Args:
        transport: to the server.
        side: of the protection.
        serving: the server's keys.
        upload: sends evaluation keys; None where the model needs none.
        model: its name.
        response_bytes: largest protected response that is accepted.
        receipts: whether a receipt is asked for, and an answer without one refused.
    """

    def __init__(
        self,
        transport: Transport,
        side: ClientSide[Any, Any],
        serving: ServingKeys,
        upload: KeyUpload | None,
        *,
        model: str,
        response_bytes: int,
        receipts: bool,
    ) -> None:
        self._transport = transport
        self._side = side
        self._serving = serving
        self._upload = upload
        self._model = model
        self._response_bytes = response_bytes
        self._receipts = receipts
        self.key_bytes_sent = 0 if upload is None else upload.send_missing()

    def ask(self, asked: Any) -> Answered:
        """One exchange.

        Args:
            asked: what the side's `encode` takes.

        Raises:
            InputError, ServerError, CiphertextError, PackageError, KeyStoreError: see `Client`.
            AttestationError: SR-RECEIPT-INVALID.
        """
        started = time.perf_counter()
        encoded = self._side.encode(asked)
        encode_seconds = time.perf_counter() - started
        try:
            pending, exchange, encrypt_seconds = self._exchange(encoded)
        except ServerError as error:
            if error.code != "SR-SEALED-KEY":
                raise
            self._serving.refresh()
            pending, exchange, encrypt_seconds = self._exchange(encoded)
        received = time.perf_counter()
        # A failure from here on ends the call. It must not lead to a repetition: see
        # `Transport._patiently`.
        receipt = None
        if self._receipts:
            receipt = self._receipt_of(pending.body, exchange.content, exchange)
        content = self._side.decrypt(pending, exchange.content)
        timings = exchange.timings + Timings(
            encode_seconds=encode_seconds,
            encrypt_seconds=encrypt_seconds,
            decrypt_seconds=time.perf_counter() - received,
        )
        return Answered(content, timings, receipt)

    def _exchange(self, encoded: Any) -> tuple[PendingRequest, Exchange, float]:
        started = time.perf_counter()
        pending: PendingRequest = self._side.encrypt(encoded)
        encrypt_seconds = time.perf_counter() - started
        try:
            exchange = self._send(pending.body)
        except ServerError as error:
            if error.code != "SR-KEYS-MISSING" or self._upload is None:
                raise
            self.key_bytes_sent += self._upload.send_missing()
            exchange = self._send(pending.body)
        return pending, exchange, encrypt_seconds

    def _send(self, body: bytes) -> Exchange:
        return self._transport.infer(
            self._model,
            body,
            self._serving.proven.package,
            self._response_bytes,
            receipt=self._receipts,
        )

    def _receipt_of(self, request: bytes, response: bytes, exchange: Exchange) -> Receipt:
        """The receipt that came with an answer, checked."""
        if exchange.receipt is None:
            raise invalid("the answer came without one")
        key_id = read_statement(exchange.receipt).statement.key_id
        if self._serving.proven.configuration.by_id(key_id) is None:
            self._serving.refresh()  # the server has exchanged its keys since
        return complete_receipt(
            exchange.receipt,
            self._serving.proof,
            self._serving.proven,
            request=request,
            response=response,
            now=self._serving.now(),
        )
