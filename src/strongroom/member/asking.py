"""Asking a member over HTTP: one signed message there, one back.

Nothing of the answer is believed but what the member signed; everything else is a member that does
not answer.
"""

from __future__ import annotations

import asyncio
from typing import Final

import httpx

from strongroom.client.address import certificates, checked_url, tls_failure
from strongroom.errors import CommitteeError, ServerError
from strongroom.keys.identity import PublicIdentity
from strongroom.member.channel import Channel, Refused

SHARE_PATH: Final = "/v1/share"
PROOF_PATH: Final = "/v1/proof"
PEER_PATH: Final = "/v1/peer"
SETUP_PATH: Final = "/v1/setup"
ABOUT_PATH: Final = "/v1/about"

CONTENT_TYPE: Final = "application/x-strongroom-message"


class MemberLink:
    """The way to one member.

    Args:
        name: of the member.
        identity: that must sign its answers.
        url: https, or http on this machine.
        timeout_seconds: for connecting, and for one answer.
        ca: PEM file of the only authorities to trust for it; the usual ones if None.

    Raises:
        ServerError: SR-SERVER-URL, SR-SERVER-TLS.
    """

    def __init__(
        self,
        name: str,
        identity: PublicIdentity,
        url: str,
        *,
        timeout_seconds: float,
        ca: str | None = None,
    ) -> None:
        self.name: Final = name
        self.identity: Final = identity
        self._client = httpx.AsyncClient(
            base_url=checked_url(url),
            verify=certificates(ca),
            headers={"content-type": CONTENT_TYPE},
            timeout=timeout_seconds,
            trust_env=False,
        )

    async def ask(
        self,
        channel: Channel,
        path: str,
        purpose: str,
        body: bytes,
        *,
        answer: str,
        answer_bytes: int,
    ) -> memoryview:
        """Ask, and verify the answer.

        Args:
            channel: of whoever asks.
            purpose: of the message.
            answer: purpose that the answer must have.
            answer_bytes: largest answer that is read.

        Raises:
            CommitteeError: SR-MEMBER-UNREACHABLE, or what the member refuses with
                (`channel.Refused`, SR-MEMBER-REFUSED); both name the member.
        """
        # Signatures and digests take milliseconds, and others wait for the loop.
        asked = await asyncio.to_thread(channel.ask, self.identity, purpose, body)
        content = bytearray()
        try:
            async with self._client.stream("POST", path, content=asked.content) as response:
                async for part in response.aiter_bytes():
                    content += part
                    if len(content) > answer_bytes:
                        raise self._silent("its answer has no end")
        except httpx.HTTPError as error:
            failure = tls_failure(error)
            what = type(error).__name__ if failure is None else failure.message
            raise self._silent(what) from error
        try:
            return await asyncio.to_thread(channel.accept, asked, bytes(content), answer)
        except Refused as error:
            raise Refused(error.refusal, self.name) from error
        except ServerError as error:
            status = f"status {response.status_code}, and " if response.status_code != 200 else ""
            raise self._silent(f"{status}{error.message}") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _silent(self, what: str) -> CommitteeError:
        return CommitteeError(
            "SR-MEMBER-UNREACHABLE",
            f"member {self.name} does not answer ({what})",
            "Ask another set of members, or that member's operator",
            member=self.name,
            http_status=503,
        )
