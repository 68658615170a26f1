"""One exchange about a model under a committee's key: server, members, and the asker who opens.

What comes back are the results' declared part and a share of each member that was asked, sealed to
a key of this query. Every share is verified to be of the member, the query and one and the same
result before any is opened; the results are the sum of all of them.
"""

from __future__ import annotations

import struct
import time
from typing import Any, Final

import msgspec

from strongroom.client.asking import Answered, Asker
from strongroom.client.committees import Queries, query_text
from strongroom.client.serving_keys import ServingKeys
from strongroom.client.timings import Timings
from strongroom.client.transport import Exchange, Transport
from strongroom.client.v2 import wrong
from strongroom.errors import CommitteeError
from strongroom.keys.one_time_keys import OneTimeKey
from strongroom.keys.query import SealedShare, SignedQuery
from strongroom.protections.interface import SharedClientSide

_LENGTH: Final = struct.Struct("<I")
_FAILURES: Final = ("SR-MEMBER-UNREACHABLE", "SR-MEMBER-REFUSED")
_SHARE_BYTES: Final = 16_384
"""Of a sealed share and its signatures in JSON, beside its words."""

_WORDS_IN_JSON: Final = 11
"""Bytes of a word of eight in base64, rounded up."""


class SharedAsker(Asker):
    """Asks one model whose results members of a committee open. Not for several threads at once.

    Args:
        transport: to the server.
        side: of the protection.
        serving: the server's keys.
        queries: signs what members are asked.
        model: its name.
        receipts: whether a receipt is asked for, and an answer without one refused.
    """

    def __init__(
        self,
        transport: Transport,
        side: SharedClientSide,
        serving: ServingKeys,
        queries: Queries,
        *,
        model: str,
        receipts: bool,
    ) -> None:
        members = len(queries.committee.access.members)
        words = side.words_per_request
        super().__init__(
            transport,
            side,
            serving,
            None,
            model=model,
            response_bytes=side.shown_bytes_per_request
            + members * (_SHARE_BYTES + _WORDS_IN_JSON * words)
            + _LENGTH.size,
            receipts=receipts,
        )
        self._shared = side
        self._queries = queries

    def ask(self, asked: Any) -> Answered:
        """See `Asker.ask`.

        Raises:
            CommitteeError: SR-MEMBER-*: which member did not answer or refused, and why;
                SR-MEMBER-SHARE, naming whose share is none.
        """
        started = time.perf_counter()
        encoded = self._side.encode(asked)
        encode_seconds = time.perf_counter() - started
        failures: list[CommitteeError] = []
        for active in self._queries.active_sets():
            started = time.perf_counter()
            pending = self._shared.encrypt(encoded)
            target = OneTimeKey()
            query = self._queries.signed(pending.body, pending.results, target, active)
            encrypt_seconds = time.perf_counter() - started
            try:
                exchange = self._asked(pending.body, query)
            except CommitteeError as error:
                known = [name for name in error.members if name in active]
                if error.code not in _FAILURES or not known:
                    raise
                for name in known:
                    self._queries.failed(name)
                failures.append(error)
                continue
            break
        else:
            raise failures[0]
        received = time.perf_counter()
        shown, shares = _split(exchange)
        receipt = self._receipt_of(pending.body, shown, exchange) if self._receipts else None
        content = self._shared.open(pending, shown, self._opened(query, shares, target, pending))
        timings = Timings(
            encode_seconds=encode_seconds,
            encrypt_seconds=encrypt_seconds,
            send_seconds=exchange.send_seconds,
            queue_seconds=exchange.queue_seconds,
            compute_seconds=exchange.compute_seconds,
            receive_seconds=exchange.receive_seconds,
            decrypt_seconds=time.perf_counter() - received,
            bytes_sent=exchange.bytes_sent,
            bytes_received=exchange.bytes_received,
            requests=1 + len(failures),
        )
        return Answered(content, timings, receipt)

    def _asked(self, body: bytes, query: SignedQuery) -> Exchange:
        return self._transport.infer(
            self._model,
            body,
            self._serving.proven.package,
            self._response_bytes,
            receipt=self._receipts,
            query=query_text(query),
        )

    def _opened(
        self, query: SignedQuery, shares: tuple[SealedShare, ...], target: OneTimeKey, pending: Any
    ) -> list[Any]:
        """The words of all shares: of each member, those of each result."""
        asked, committee = query.query, self._queries.committee
        if [share.member for share in shares] != list(asked.active):
            raise wrong("the shares are not those of the members that were asked")
        for share in shares:
            identity = committee.identities[share.member]
            # One result for all: words of several do not add up to anything.
            share.verify(identity, share.member, asked.digest, shares[0].result)
            if share.state != shares[0].state:
                raise wrong("the shares are of parts before and after a refresh")
        shapes = self._shared.share_shapes(pending)
        return [share.open(target, shapes) for share in shares]


def _split(exchange: Exchange) -> tuple[bytes, tuple[SealedShare, ...]]:
    content = exchange.content
    if len(content) < _LENGTH.size:
        raise wrong("a shared answer is cut off")
    (length,) = _LENGTH.unpack_from(content)
    end = _LENGTH.size + length
    if end > len(content):
        raise wrong("a shared answer is cut off")
    try:
        shares = msgspec.json.decode(content[end:], type=tuple[SealedShare, ...])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise wrong("the shares of an answer can't be read") from error
    return content[_LENGTH.size : end], shares
