"""What a person or a program sees when a command fails: one line, one code, one exit status."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import traceback
import warnings
from typing import TextIO

import typer

from strongroom.cli.option_names import with_options
from strongroom.errors import InputError, StrongroomError

USAGE_STATUS = 2
INTERRUPTED_STATUS = 130

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def report(failure: BaseException, *, as_json: bool, program: str = "strongroom") -> int:
    """Tell about a failure and give the exit status that goes with it.

    One line `error: [CODE] …` on standard error; with `as_json` also one JSON object on standard
    output. A traceback only where STRONGROOM_DEBUG is 1: it may show what rows hold.
    """
    if isinstance(failure, KeyboardInterrupt | typer.Abort):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED_STATUS
    if os.environ.get("STRONGROOM_DEBUG") == "1":
        traceback.print_exception(failure)
    if isinstance(failure, OSError) and failure.errno in _FULL:
        # Files that are named are refused where they are written; this is what has no name.
        failure = InputError(
            "SR-INPUT-FILE",
            f"standard output or a temporary file can't be written: {failure.strerror}",
            "Make room, or write elsewhere",
        )
    if isinstance(failure, StrongroomError):
        code, sentence, status = failure.code, line(failure), failure.exit_status
    elif isinstance(failure, typer.TyperException):
        code, status = "SR-USAGE", failure.exit_code
        sentence = f"[{code}] {_one_line(failure.format_message())}"
        if status == USAGE_STATUS:
            context = getattr(failure, "ctx", None)
            command = context.command_path if context is not None else program
            sentence += "" if sentence.endswith(("?", ".")) else "."
            sentence += f" See `{command} --help`."
        if not failure.format_message():  # the help that was printed already says what to do
            return status
    else:
        code, status = "SR-INTERNAL", 1
        sentence = (
            f"[{code}] an unexpected fault of Strongroom itself: {type(failure).__name__}. "
            "Set STRONGROOM_DEBUG=1 to see where."
        )
    print(f"error: {sentence}", file=sys.stderr)
    if as_json:
        # Where nothing can be written, the line and the status are all that there is to say.
        with contextlib.suppress(OSError):
            print(json.dumps({"error": sentence.removeprefix(f"[{code}] "), "code": code}))
            sys.stdout.flush()
    return status


def line(error: StrongroomError) -> str:
    """An error in the words of the command line: `[CODE] …`."""
    message, remedy = (with_options(error.code, part) for part in (error.message, error.remedy))
    return f"[{error.code}] {message}." + (f" {remedy}." if remedy else "")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def warn_in_one_line(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Replaces `warnings.showwarning`: a person needs neither the file nor the source line."""
    print(f"warning: {_one_line(str(message))}", file=file or sys.stderr)


def plain_warnings() -> None:
    """Show warnings as one line each, those of the libraries' own future not at all."""
    warnings.showwarning = warn_in_one_line
    for category in (DeprecationWarning, FutureWarning, PendingDeprecationWarning):
        warnings.simplefilter("ignore", category)
