"""`strongroom`: puts the commands together and turns every failure into one line and a status."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from strongroom.cli import (
    broker,
    committee,
    compare,
    demo,
    explain,
    export,
    failures,
    identities,
    inspect,
    keygen,
    keys,
    member,
    plan,
    predict,
    protect,
    receipt,
    serve,
    sharing,
    uploaded_keys,
    verify,
)

app = typer.Typer(
    name="strongroom",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("keygen")(keygen.keygen_command)
app.add_typer(identities.app, name="identity")
app.command("plan")(plan.plan_command)
app.command("protect")(protect.protect_command)
app.command("inspect")(inspect.inspect_command)
app.command("explain")(explain.explain_command)
app.command("recipients")(sharing.recipients_command)
app.command("grant")(sharing.grant_command)
app.command("revoke")(sharing.revoke_command)
app.command("rotate")(sharing.rotate_command)
app.command("export-manifest")(export.export_manifest_command)
app.command("serve")(serve.serve_command)
app.command("broker")(broker.broker_command)
app.add_typer(member.app, name="member")
app.add_typer(committee.app, name="committee")
app.command("predict")(predict.predict_command)
app.add_typer(receipt.app, name="receipt")
app.command("verify")(verify.verify_command)
app.command("compare")(compare.compare_command)
app.add_typer(keys.app, name="keys")
keys.app.add_typer(uploaded_keys.app, name="uploaded")
app.command("demo")(demo.demo_command)


def _show_version(wanted: bool) -> None:
    if wanted:
        try:
            found = version("strongroom")
        except PackageNotFoundError:  # run from a source tree
            found = "from source"
        print(f"strongroom {found}")
        raise typer.Exit()


@app.callback()
def _root(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Serve machine-learning models encrypted."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line, without the program's name; returns the exit status."""
    failures.plain_warnings()
    try:
        status = app(args=list(arguments), prog_name="strongroom", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as failure:
        return failures.report(failure, as_json="--json" in arguments)
    if status == failures.INTERRUPTED_STATUS:  # Typer turns an interrupt into this status
        return failures.report(KeyboardInterrupt(), as_json=False)
    return status if isinstance(status, int) else 0


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run(sys.argv[1:]))
