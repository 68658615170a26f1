"""Writes docs/errors.md from `strongroom.errors`; `make format` runs it."""

from __future__ import annotations

import inspect
from pathlib import Path

from strongroom.errors import CODES, StrongroomError

PAGE = Path(__file__).resolve().parent.parent / "docs" / "errors.md"

HEAD = """\
# Error codes

Every error is one line on standard error, `error: [CODE] what is wrong. What to do.`, and a
`StrongroomError` in Python with `code`, `message` and `remedy`. With `--json` a command also
prints `{"error": …, "code": …}` on standard output. Codes never change their meaning. No error
holds a value of a row, a key or a weight.

Set `STRONGROOM_DEBUG=1` to see a traceback as well; a traceback may show what rows hold.
"""


def page() -> str:
    """The page's text."""
    lines = [HEAD, "## Exit statuses", "", "| status | class | meaning |", "|---|---|---|"]
    lines += ["| 0 | | done |", "| 1 | | a fault of Strongroom itself |"]
    lines += ["| 2 | | the command line is wrong |"]
    lines += [
        f"| {kind.exit_status} | `{kind.__name__}` | {_first_line(kind)} |"
        for kind in sorted(StrongroomError.__subclasses__(), key=lambda kind: kind.exit_status)
    ]
    lines += ["| 130 | | interrupted |", "", "## Codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| `{code}` | {meaning} |" for code, meaning in CODES.items()]
    return "\n".join(lines) + "\n"


def _first_line(kind: type[StrongroomError]) -> str:
    return (inspect.getdoc(kind) or "").splitlines()[0].rstrip(".")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
