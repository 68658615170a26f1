"""Where a command finds the token for a server."""

from __future__ import annotations

import os
from pathlib import Path

from strongroom.errors import ServerError

ENVIRONMENT = "STRONGROOM_TOKEN"


def find_token(given: str | None, file: Path | None) -> str | None:
    """The token: as given, else from a file, else from STRONGROOM_TOKEN, else none.

    Raises:
        ServerError: SR-SERVER-TOKEN if the file can't be read or is empty.
    """
    if given is not None:
        return given
    if file is None:
        return os.environ.get(ENVIRONMENT) or None
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as failure:
        raise ServerError(
            "SR-SERVER-TOKEN", f"the token file {file} can't be read", "Name the file of one token"
        ) from failure
    if not token:
        raise ServerError(
            "SR-SERVER-TOKEN", f"the token file {file} is empty", "Put the token into it"
        )
    return token
