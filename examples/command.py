"""The applications' command lines: typed options, and one clear line for whatever goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from strongroom.cli import failures

ThreadsOption = Annotated[
    int, typer.Option("--threads", min=1, max=256, help="Threads of the server for one request.")
]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of training, and of the rows asked.")
]
FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        help="An empty or new folder that keeps what each party wrote, to be looked at; else a "
        "temporary one is used.",
    ),
]


def run(command: Callable[..., Any], program: str, arguments: Sequence[str]) -> int:
    """Run one command; returns the exit status.

    Args:
        command: typed for typer.
        program: how a person calls it, for help and failures.
        arguments: of the command line, without the program.
    """
    failures.plain_warnings()
    app = typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command()(command)
    try:
        status = app(args=list(arguments), prog_name=program, standalone_mode=False)
    except (Exception, KeyboardInterrupt) as failure:
        return failures.report(failure, as_json="--json" in arguments, program=program)
    return status if isinstance(status, int) else 0
