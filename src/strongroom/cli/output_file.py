"""Output files of the commands: written whole or not at all, readable by their owner alone."""

from __future__ import annotations

from pathlib import Path

from strongroom.durable import write_durably
from strongroom.errors import InputError

_OVERWRITE = "Choose another file, or pass --overwrite to replace it"


def require_ending(path: Path, ending: str, what: str) -> None:
    """Refuse an output file whose name says that it is something else.

    Args:
        ending: with its dot.
        what: is written, as the beginning of a sentence.

    Raises:
        InputError: SR-INPUT-FILE.
    """
    if path.suffix.lower() != ending:
        raise InputError(
            "SR-INPUT-FILE",
            f"{what}, and {path} has another ending",
            f"Name a file that ends in {ending}",
        )


def require_writable(path: Path, *, overwrite: bool) -> None:
    """Refuse an output file that can't be written, before any work is done for it.

    Raises:
        InputError: SR-INPUT-FILE.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(
            "SR-INPUT-FILE", f"{path} can't be written", "Name a file in an existing folder"
        )
    if path.exists() and not overwrite:
        raise InputError("SR-INPUT-FILE", f"{path} exists already", _OVERWRITE)


def write_output(path: Path, text: str, *, overwrite: bool) -> None:
    """Write the file whole or not at all.

    Raises:
        InputError: SR-INPUT-FILE.
    """
    try:
        write_durably(path, [text.encode()], replace=overwrite, mode=0o600)
    except FileExistsError as failure:
        raise InputError("SR-INPUT-FILE", f"{path} exists already", _OVERWRITE) from failure
    except OSError as failure:
        raise InputError(
            "SR-INPUT-FILE", f"{path} can't be written: {failure.strerror or 'disk error'}"
        ) from failure
