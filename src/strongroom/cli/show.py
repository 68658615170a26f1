"""Showing results: tables for people, one JSON object for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

_KIBI = 1024


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
    for column in head:
        table.add_column(escape(column), overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    out = console()
    out.print(table)
    out.print()


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
