"""`strongroom export-manifest`: a package for tools of OpenSSF Model Signing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Final

import typer

from strongroom.cli import passphrase, show
from strongroom.cli.output_file import require_writable, write_output
from strongroom.cli.policy_options import JsonOption
from strongroom.errors import KeyStoreError
from strongroom.package.model_signing import (
    model_signing_statement,
    read_signing_key,
    signed_bundle,
)

PASSPHRASE_ENVIRONMENT: Final = "STRONGROOM_SIGNING_PASSPHRASE"


def export_manifest_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .strongroom file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, JSON.")],
    signing_key: Annotated[
        Path | None,
        typer.Option(
            "--signing-key",
            metavar="PEM",
            help="Private key on P-256, P-384 or P-521 that signs it; else it is not signed.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a manifest of FILE as OpenSSF Model Signing has it, for tools that know only that.

    With a key it is what `model_signing verify key` verifies. It holds until the file is granted,
    revoked or rotated again.
    """
    require_writable(output, overwrite=overwrite)
    key = None if signing_key is None else read_signing_key(signing_key, lambda: _of(signing_key))
    with show.working("reading"):
        statement = model_signing_statement(file)
    content = statement if key is None else signed_bundle(statement, key)
    write_output(output, content.decode(), overwrite=overwrite)
    digest = json.loads(statement)["predicate"]["resources"][0]["digest"]
    if as_json:
        show.print_json(
            {
                "package": str(file),
                "file_sha256": digest,
                "signed": key is not None,
                "output": str(output),
            }
        )
    else:
        print(f"wrote {output}, {'not ' if key is None else ''}signed, of the file {digest}")


def _of(signing_key: Path) -> str:
    if given := os.environ.get(PASSPHRASE_ENVIRONMENT):
        return given
    ask = passphrase.prompt()
    if ask is None:
        raise KeyStoreError(
            "SR-KEYS-LOCKED", f"{signing_key} is encrypted", f"Set {PASSPHRASE_ENVIRONMENT}"
        )
    return ask(f"Passphrase of {signing_key}")
