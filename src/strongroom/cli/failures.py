"""What a person or a program sees when a command fails: one line, one code, one exit status."""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from typing import TextIO

import typer

from strongroom.errors import StrongroomError

USAGE_STATUS = 2
INTERRUPTED_STATUS = 130


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
    if isinstance(failure, StrongroomError):
        code, sentence, status = failure.code, str(failure), failure.exit_status
    elif isinstance(failure, typer.TyperException):
        code, status = "SR-USAGE", failure.exit_code
        sentence = f"[{code}] {_one_line(failure.format_message())}"
        if status == USAGE_STATUS:
            sentence = f"{sentence.rstrip('.')}. See `{program} --help`."
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
        print(json.dumps({"error": sentence.removeprefix(f"[{code}] "), "code": code}))
    return status


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
