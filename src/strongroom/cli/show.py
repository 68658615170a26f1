"""Showing results: tables for people, one JSON object for programs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

_KIBI = 1024
_COPIED = re.compile(r"(?:identity|sha256):[0-9a-f]{64}")
"""What people copy out of a table: never cut in two, whatever the width."""

_PADDING = 3
"""Of a column of a table, at most."""


def print_json(result: Mapping[str, Any]) -> None:
    """One line with one JSON object on standard output; structs are written as objects."""
    print(msgspec.json.encode(result).decode(), flush=True)


def console(*, stderr: bool = False) -> Console:
    """A console that marks up nothing on its own and is wide enough where nobody watches."""
    made = Console(stderr=stderr, highlight=False)
    if not made.is_terminal:
        made.width = 100
    return made


def print_table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A titled table; cells are text, never markup."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_header=any(head),
        show_edge=False,
    )
    cells = [tuple(row) for row in rows]
    for column in head:
        table.add_column(escape(column), overflow="fold")
    for row in cells:
        table.add_row(*(escape(cell) for cell in row))
    out = console()
    out.width = max(out.width, _width_for_copied([tuple(head), *cells]))
    out.print(table)
    out.print()


def _width_for_copied(cells: Sequence[Sequence[str]]) -> int:
    """The width of a table in which nothing is cut that is copied; 0 if there is no such thing.

    A terminal that is narrower breaks the lines itself, and copies them whole.
    """
    widths = []
    for column in zip(*cells, strict=True):
        copied = [len(one) for cell in column for one in _COPIED.findall(cell)]
        # A comma or a full stop may follow.
        widths.append((max(copied) + 1, True) if copied else (max(map(len, column)), False))
    if not any(copied for _, copied in widths):
        return 0
    return sum(width + _PADDING for width, _ in widths)


def print_lines(lines: Iterable[str]) -> None:
    """Sentences, one paragraph each, wrapped at the width of the terminal."""
    out = console()
    for line in lines:
        out.print(escape(line))


@contextmanager
def working(what: str) -> Iterator[None]:
    """Shows a person at a terminal that something is being done."""
    watched = console(stderr=True)
    with watched.status(f"{what} …") if watched.is_terminal else nullcontext():
        yield


def byte_count(count: int) -> str:
    """A size for people: 512 B, 36.5 KiB, 1.2 GiB."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < _KIBI:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= _KIBI
    return f"{size:.1f} TiB"


def milliseconds(duration: float) -> str:
    """A duration for people."""
    return f"{duration:.2f} ms" if duration < 1000 else f"{duration / 1000:.2f} s"
