"""The front's part in asking a key broker: it carries bytes between the keeper and the network."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import httpx
import msgspec

from strongroom.broker.exchange import CHALLENGE_PATH, MAXIMUM_ANSWER_BYTES, RELEASE_PATH
from strongroom.client.address import certificates, checked_url, tls_failure
from strongroom.errors import CODES, AttestationError, ServerError, StrongroomError

_TIMEOUT_SECONDS: Final = 30.0
_LONGEST_TEXT: Final = 400


class _Said(msgspec.Struct):
    error: str
    code: str


class BrokerRelay:
    """A key broker at a URL.

    Args:
        url: https, or http on this machine.
        token_file: holds the token for it; None if it asks for none.
        ca: PEM file of the only authorities to trust for it; the usual ones if None.

    Raises:
        ServerError: SR-SERVER-URL, SR-SERVER-TLS; SR-SERVER-CONFIG if the token can't be read.
    """

    def __init__(self, url: str, token_file: str | None, ca: str | None) -> None:
        headers = {"content-type": "application/json"}
        if token_file is not None:
            headers["authorization"] = f"Bearer {_token(token_file)}"
        self._client = httpx.AsyncClient(
            base_url=checked_url(url),
            verify=certificates(ca),
            headers=headers,
            timeout=_TIMEOUT_SECONDS,
            trust_env=False,
        )

    async def ask(self, body: bytes | None) -> bytes:
        """What the broker answers, unchecked.

        Args:
            body: of a request for a release; None for a challenge.

        Raises:
            ServerError: SR-SERVER-UNREACHABLE, SR-SERVER-TLS, SR-SERVER-PROTOCOL.
            AttestationError: SR-BROKER-REFUSED, with the broker's own words.
        """
        path = CHALLENGE_PATH if body is None else RELEASE_PATH
        try:
            async with self._client.stream("POST", path, content=body or b"") as response:
                content = b""
                async for part in response.aiter_bytes():
                    content += part
                    if len(content) > MAXIMUM_ANSWER_BYTES:
                        raise ServerError(
                            "SR-SERVER-PROTOCOL", "the key broker's answer has no end"
                        )
        except httpx.HTTPError as error:
            raise tls_failure(error) or ServerError(
                "SR-SERVER-UNREACHABLE",
                f"the key broker does not answer ({type(error).__name__})",
                "Check its URL, and that it runs",
                http_status=503,
            ) from error
        if response.status_code != 200:
            raise _refusal(response.status_code, content)
        return content

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _refusal(status: int, content: bytes) -> StrongroomError:
    try:
        said = msgspec.json.decode(content, type=_Said)
        known = said.code in CODES
        words = "".join(letter for letter in said.error if letter.isprintable())[:_LONGEST_TEXT]
    except msgspec.MsgspecError:
        known, words = False, ""
    if not known:
        return ServerError(
            "SR-SERVER-PROTOCOL",
            f"the key broker answers with status {status}",
            "Check the URL: is a key broker there?",
            http_status=502,
        )
    return AttestationError("SR-BROKER-REFUSED", f"the key broker says: {words.rstrip('.')}")


def _token(path: str) -> str:
    try:
        return Path(path).read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise ServerError(
            "SR-SERVER-CONFIG", f"the key broker's token in {path} can't be read"
        ) from error
