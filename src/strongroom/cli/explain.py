"""`strongroom explain`: the guarantee statement of a package, in sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from strongroom.cli import show, statement
from strongroom.cli.policy_options import JsonOption
from strongroom.cli.token import find_token
from strongroom.client.transport import Transport
from strongroom.package.file import read
from strongroom.package.manifest import Manifest, decode_manifest


def explain_command(
    source: Annotated[
        str, typer.Argument(metavar="FILE|URL", help="A .strongroom file, or a server's URL.")
    ],
    model: Annotated[
        str | None, typer.Option("--model", help="With a URL: name of the model there.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="With a URL: file that holds the token.")
    ] = None,
    ca: Annotated[
        Path | None, typer.Option("--ca", help="PEM file of the authority to trust for TLS.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say who sees what of rows, answers and weights, and what is not promised.

    What a server says of itself is shown as it says it; compare the digest, or the owner, with
    what the model's owner gives. Of a file the signatures are checked.
    """
    if source.startswith(("http://", "https://")):
        if model is None:
            raise typer.BadParameter("a URL needs --model NAME")
        manifest = _served(source, model, find_token(None, token_file), ca)
    else:
        manifest = read(source).manifest
    guarantee, holding = manifest.plan.guarantee, statement.holding_of(manifest.plan)
    said = statement.sentences(guarantee, holding)
    if as_json:
        show.print_json(
            {
                "digest": manifest.digest,
                "owner": manifest.owner,
                "guarantee": guarantee,
                "sentences": said,
            }
        )
        return
    show.print_table(
        f"{manifest.name}: who sees what",
        ("", "the server", "the asker"),
        statement.visibility_rows(guarantee, holding),
    )
    show.print_lines(said)
    print(f"digest {manifest.digest}")
    print(f"owner {manifest.owner}")


def _served(url: str, model: str, token: str | None, ca: Path | None) -> Manifest:
    transport = Transport(url, token=token, ca=ca)
    try:
        served = transport.model_metadata(model)
    finally:
        transport.close()
    return decode_manifest(served.proof.manifest.encode("utf-8", "surrogatepass"))
