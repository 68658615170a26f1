"""One exchange about a model under a committee's key: server, members, and the asker who opens.

What comes back are the results' declared part and a share of each member that was asked, sealed to
a key of this query. Every share is verified to be of the member, the query and one and the same
result before any is opened; the results are the sum of all of them.

A share can be all that and wrong. Of some answers, by lot, the members have to prove theirs
(`share_checks`), and who does not is named; a set of members without it is asked then, if there is
one. What an answer says plays no part in this.
"""

from __future__ import annotations

import logging
import struct
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from strongroom.client.asking import Answered, Asker
from strongroom.client.committees import Queries, text_of
from strongroom.client.serving_keys import ServingKeys
from strongroom.client.share_checks import OpenedAnswer, ShareChecks, not_proved
from strongroom.client.timings import Timings
from strongroom.client.transport import Exchange, Transport
from strongroom.client.v2 import wrong
from strongroom.engine import threshold
from strongroom.errors import CommitteeError
from strongroom.keys.one_time_keys import OneTimeKey
from strongroom.keys.query import SealedShare, SignedQuery, no_share
from strongroom.models.feature_columns import RowRefused
from strongroom.protections.interface import SharedClientSide

_LENGTH: Final = struct.Struct("<I")
_FAILURES: Final = ("SR-MEMBER-UNREACHABLE", "SR-MEMBER-REFUSED")
_NO_SHARE: Final = "SR-MEMBER-SHARE"
_SHARE_BYTES: Final = 16_384
"""Of a sealed share and its signatures in JSON, beside its words."""

_WORDS_IN_JSON: Final = 11
"""Bytes of a word of eight in base64, rounded up."""

_log: Final = logging.getLogger("strongroom.client")


class SharedAsker(Asker):
    """Asks one model whose results members of a committee open. Not for several threads at once.

    Args:
        transport: to the server.
        side: of the protection.
        serving: the server's keys.
        queries: signs what members are asked.
        checks: demands proofs of what they answer.
        model: its name.
        receipts: whether a receipt is asked for, and an answer without one refused.
    """

    def __init__(
        self,
        transport: Transport,
        side: SharedClientSide,
        serving: ServingKeys,
        queries: Queries,
        checks: ShareChecks,
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
        self._checks = checks

    def ask(self, asked: Any) -> Answered:
        """See `Asker.ask`.

        Raises:
            CommitteeError: SR-MEMBER-*: which member did not answer or refused, and why;
                SR-MEMBER-SHARE, naming whose share is none, or is not proved.
            ServerError: SR-SERVER-PROTOCOL, also if the answer can't be one and all members proved
                their shares.
        """
        started = time.perf_counter()
        encoded = self._side.encode(asked)
        spent = Timings(encode_seconds=time.perf_counter() - started)
        failures: list[CommitteeError] = []
        for active in self._queries.active_sets():
            wrong_shares = {n for one in failures if one.code == _NO_SHARE for n in one.members}
            if not wrong_shares.isdisjoint(active):
                continue
            try:
                answered = self._answered(encoded, active)
            except _NextSetError as failed:
                spent += failed.timings
                failures.append(failed.error)
                continue
            return replace(answered, timings=spent + answered.timings)
        raise _nobody(failures)

    def _answered(self, encoded: Any, active: tuple[str, ...]) -> Answered:
        """What one set of members answers.

        Raises:
            _NextSetError: nothing, but another set may.
        """
        started = time.perf_counter()
        pending = self._shared.encrypt(encoded)
        target = OneTimeKey()
        query = self._queries.signed(pending.body, pending.results, target, active)
        timings = Timings(encrypt_seconds=time.perf_counter() - started)
        exchange = self._asked(pending.body, query)
        timings += exchange.timings
        received = time.perf_counter()
        shown, shares = _split(exchange)
        self._require(query, shares)
        receipt = self._receipt_of(pending.body, shown, exchange) if self._receipts else None
        shapes = self._shared.share_shapes(pending)
        try:
            words = [share.open(target, shapes) for share in shares]
            impossible = self._impossible(pending, shown, shares, words)
        except CommitteeError as error:
            raise self._next_set(error, timings) from error
        checked, proved = Timings(), self._checks.drawn()
        if proved:
            answer = OpenedAnswer(pending.body, query, target, shares, words)
            faults, checked = self._checks.unproved(answer, range(pending.results))
            if faults:
                raise self._next_set(not_proved(query, faults), timings + checked)
        content = self._content(pending, shown, words, impossible=impossible, proved=proved)
        here = time.perf_counter() - received - checked.waited_seconds
        return Answered(content, timings + checked + Timings(decrypt_seconds=here), receipt)

    def _asked(self, body: bytes, query: SignedQuery) -> Exchange:
        active = query.query.active
        try:
            return self._transport.infer(
                self._model,
                body,
                self._serving.proven.package,
                self._response_bytes,
                receipt=self._receipts,
                query=text_of(query),
            )
        except CommitteeError as error:
            known = [name for name in error.members if name in active]
            if error.code not in _FAILURES or not known:
                raise
            for name in known:
                self._queries.failed(name)
            raise _NextSetError(error, Timings(requests=1)) from error

    def _require(self, query: SignedQuery, shares: tuple[SealedShare, ...]) -> None:
        """Whose the shares are, and that they belong together."""
        asked, committee = query.query, self._queries.committee
        if [share.member for share in shares] != list(asked.active):
            raise wrong("the shares are not those of the members that were asked")
        for share in shares:
            identity = committee.identities[share.member]
            # One result for all: words of several do not add up to anything.
            share.verify(identity, share.member, asked.digest, shares[0].result)
            if share.state != shares[0].state:
                raise wrong("the shares are of parts before and after a refresh")

    def _impossible(
        self, pending: Any, shown: bytes, shares: Sequence[SealedShare], words: Sequence[Any]
    ) -> bool:
        """Whether the answer can't be one. What is done next does not depend on it: a server that
        adds to what it shows would see on which side of a bound a score is.

        Raises:
            CommitteeError: SR-MEMBER-SHARE for words that are not below their primes.
        """
        try:
            return self._shared.impossible(pending, shown, words)
        except threshold.ShareError as error:
            raise no_share(shares[error.share].member, "its words are out of range") from error

    def _next_set(self, error: CommitteeError, timings: Timings) -> _NextSetError:
        """Go on without the members whose fault it is."""
        for name in error.members:
            self._queries.unproved(name)
        _log.warning("%s", error.message)
        return _NextSetError(error, timings)

    def _content(
        self, pending: Any, shown: bytes, words: Sequence[Any], *, impossible: bool, proved: bool
    ) -> Any:
        """The scores, or the error for what can't be some."""
        try:
            content = self._shared.open(pending, shown, words)
        except RowRefused as refusal:
            if not proved:
                raise
            what = f"{refusal.what}; all members proved their shares of it"
            raise RowRefused(refusal.code, refusal.row, what, refusal.remedy) from None
        if impossible and not proved:
            raise CommitteeError(
                "SR-MEMBER-SHARE",
                "a score is larger than the plan allows: a member's share, or the server's result, "
                "is wrong",
                "Ask again with share_checks=1 (--check-shares 1): members whose shares are wrong "
                "are then named, and others asked",
                http_status=502,
            )
        if impossible:
            raise wrong(
                "a score is larger than the plan allows, and all members proved their shares, so "
                "the server computed something else than the model"
            )
        return content


def _nobody(failures: Sequence[CommitteeError]) -> CommitteeError:
    """The error when no set of members answered: a wrong share, or else what all of them say."""
    for error in failures:
        if error.code == _NO_SHARE:
            return error
    first, *others = failures
    said = dict.fromkeys(one.message for one in others if one.message != first.message)
    error = CommitteeError(
        first.code,
        "; of another set of members, ".join((first.message, *said)),
        "Ask the operators of these members",
        http_status=first.http_status,
    )
    error.members = tuple(dict.fromkeys(name for one in failures for name in one.members))
    error.member = next(iter(error.members), None)
    return error


class _NextSetError(Exception):
    """A set of members did not answer; another may.

    Attributes:
        error: what is raised if there is none.
        timings: what it took.
    """

    def __init__(self, error: CommitteeError, timings: Timings) -> None:
        super().__init__(error.code)
        self.error = error
        self.timings = timings


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
