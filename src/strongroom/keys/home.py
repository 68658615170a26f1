"""The home folder: where a user's keys, identities and records of trust are kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

HOME_ENVIRONMENT: Final = "STRONGROOM_HOME"


def home_folder(path: str | os.PathLike[str] | None = None) -> Path:
    """The absolute path of the home: `path`, else $STRONGROOM_HOME, else ~/.strongroom."""
    return Path(path or os.environ.get(HOME_ENVIRONMENT) or Path.home() / ".strongroom").absolute()
