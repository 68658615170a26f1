"""Asking a person for a passphrase, and for nothing else."""

from __future__ import annotations

import getpass
import sys

from strongroom.keys.custody import Prompt


def prompt() -> Prompt | None:
    """A hidden question on the terminal, or None where nobody is there to answer."""
    if sys.stdin.isatty() and sys.stderr.isatty():
        return lambda question: getpass.getpass(f"{question}: ", stream=sys.stderr)
    return None
