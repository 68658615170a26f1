"""The server's log: one JSON object a line on standard error, never any content of a request.

Exceptions are logged by type and frames. Their texts are left out: a text such as "invalid
literal ..." would quote what a client sent.
"""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "taskName"}


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON: time, level, event, and its `extra` fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without a newline."""
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage().strip(),
        }
        extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
        line.update(extra)
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = exception_type(record.exc_info[1])
            line["frames"] = exception_frames(record.exc_info[1])
        return msgspec.json.encode(line, enc_hook=repr).decode()


def exception_type(error: BaseException) -> str:
    """The full name of an exception's type."""
    return f"{type(error).__module__}.{type(error).__qualname__}"


def exception_frames(error: BaseException) -> tuple[str, ...]:
    """Where an exception came from, innermost last: "file:line function", at most 50."""
    frames = traceback.extract_tb(error.__traceback__)[-50:]
    return tuple(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)


def start_log() -> None:
    """Send the server's records, and uvicorn's and asyncio's warnings, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name, level in (
        ("strongroom.server", logging.INFO),
        ("uvicorn", logging.WARNING),
        ("uvicorn.error", logging.WARNING),
        ("asyncio", logging.WARNING),
    ):
        logger = logging.getLogger(name)
        logger.handlers = [] if name == "uvicorn.error" else [handler]
        logger.propagate = name == "uvicorn.error"
        logger.setLevel(level)
