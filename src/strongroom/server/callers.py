"""Who asks, and what a request's headers say."""

from __future__ import annotations

import logging

from starlette.requests import Request

from strongroom.errors import ServerError
from strongroom.server.tokens import TokenFile

_log = logging.getLogger("strongroom.server")


def tenant_of(request: Request, tokens: TokenFile) -> str:
    """Who asks. Comes before anything else, so that nobody else learns what there is.

    Raises:
        ServerError: SR-SERVER-TOKEN (401).
    """
    scheme, _, token = (single_header(request, "authorization") or "").partition(" ")
    tenant = tokens.tenant(token.strip())
    if scheme.lower() != "bearer" or tenant is None:
        _log.info("token refused")
        raise ServerError(
            "SR-SERVER-TOKEN",
            "the token is missing, unknown or revoked",
            "Send the header Authorization: Bearer with a token of this server; the command "
            "line takes it from --token-file or STRONGROOM_TOKEN",
            http_status=401,
        )
    return tenant


def single_header(request: Request, name: str) -> str | None:
    """The value of a header, or None if there is none.

    Raises:
        ServerError: SR-REQUEST-FORMAT (400) if there are several.
    """
    values = request.headers.getlist(name)
    if len(values) > 1:
        raise ServerError(
            "SR-REQUEST-FORMAT",
            f"the request has the header {name} more than once",
            "Send it once",
            http_status=400,
        )
    return values[0] if values else None
