"""File keys that a key broker released to this server, and the exchanges about them under way.

The keeper asks and judges, the front carries bytes (`broker.exchange`). A release holds for a time;
when half of it is over, another is asked for, and asked for again every minute until it comes or
the time is over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from strongroom.attestation.interface import Attester
from strongroom.broker.exchange import (
    Released,
    ReleaseRequest,
    accept,
    decode_challenge,
    encode_request,
    new_request,
)
from strongroom.errors import StrongroomError
from strongroom.keys.identity import Identity, PublicIdentity

_RETRY: Final = timedelta(minutes=1)

Ask = Callable[[str, bytes | None], None]
"""Has the broker asked about a package: for a challenge, or with the body of a request."""


@dataclass(slots=True)
class _Exchange:
    """One package's.

    Attributes:
        owner: who must have granted it to the broker.
        request: that the broker was asked; None while a challenge is awaited, or nothing.
        under_way: whether an answer is awaited.
        released: what the last exchange led to.
        renew_at: when the next one begins.
    """

    owner: PublicIdentity
    request: ReleaseRequest | None = None
    under_way: bool = False
    released: Released | None = None
    renew_at: datetime | None = None


class Releases:
    """All releases of one server. Not thread-safe.

    Args:
        identity: the server's.
        attester: says what this process is.
        ask: see `Ask`; its answer comes by `heard`.
        development: whether releases that rest on development evidence are taken.
    """

    def __init__(
        self, identity: Identity, attester: Attester, ask: Ask, *, development: bool
    ) -> None:
        self._identity = identity
        self._attester = attester
        self._ask = ask
        self._development = development
        self._exchanges: dict[str, _Exchange] = {}

    def held(self, package: str, now: datetime) -> Released | None:
        """The release of a package, if there is one that holds."""
        exchange = self._exchanges.get(package)
        if exchange is None or exchange.released is None or now >= exchange.released.expires:
            return None
        return exchange.released

    def begin(self, package: str, owner: PublicIdentity) -> None:
        """Begin an exchange about a package, unless one is under way."""
        exchange = self._exchanges.setdefault(package, _Exchange(owner))
        if not exchange.under_way:
            exchange.owner, exchange.request, exchange.under_way = owner, None, True
            self._ask(package, None)

    def heard(self, package: str, content: bytes, now: datetime) -> Released | None:
        """Go on with an exchange.

        Args:
            content: what the broker answered, untrusted.

        Returns:
            The release, if that was the end of it.

        Raises:
            StrongroomError: the exchange is over without one.
        """
        exchange = self._exchanges.get(package)
        if exchange is None or not exchange.under_way:
            return None
        try:
            if exchange.request is None:
                nonce = decode_challenge(content).nonce
                exchange.request = new_request(
                    nonce, package, self._identity.public, self._attester
                )
                self._ask(package, encode_request(exchange.request))
                return None
            released = accept(
                content,
                exchange.request,
                exchange.owner,
                self._identity,
                now,
                development=self._development,
            )
        except StrongroomError:
            self.failed(package, now)
            raise
        exchange.under_way, exchange.released = False, released
        exchange.renew_at = now + (released.expires - now) / 2
        return released

    def failed(self, package: str, now: datetime) -> None:
        """End an exchange; what was released before stays so for its time."""
        exchange = self._exchanges[package]
        exchange.under_way = False
        if exchange.released is not None:
            exchange.renew_at = now + _RETRY

    def renew(self, now: datetime) -> None:
        """Begin the exchanges whose time has come."""
        for package, exchange in self._exchanges.items():
            if exchange.renew_at is not None and now >= exchange.renew_at:
                self.begin(package, exchange.owner)

    def seconds_until_next(self, now: datetime) -> float:
        """How long until `renew` has something to do; a day if nothing is known of."""
        times = [
            one.renew_at
            for one in self._exchanges.values()
            if one.renew_at is not None and not one.under_way
        ]
        return min((max(0.0, (at - now).total_seconds()) for at in times), default=86_400.0)
