"""`strongroom verify`: everything that a server must prove, factor by factor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from strongroom.cli import show
from strongroom.cli.policy_options import JsonOption
from strongroom.cli.token import find_token
from strongroom.errors import AttestationError, KeyStoreError, ServerError


def verify_command(
    url: Annotated[str, typer.Argument(metavar="URL", help="Of the server.")],
    model: Annotated[str, typer.Option("--model", help="Name of the model there.")],
    trust: Annotated[
        str,
        typer.Option("--trust", help="The owner's .pub file or identity:…; or a package's digest."),
    ],
    policy: Annotated[
        Path | None,
        typer.Option("--policy", help="A broker's policy that the server's evidence must satisfy."),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="File that holds the token.")
    ] = None,
    ca: Annotated[
        Path | None, typer.Option("--ca", help="PEM file of the authority to trust for TLS.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check all that a server must prove before anything is sent to it, and say of each factor
    whether it holds. Sends no row; remembers nothing. Fails if one factor does.
    """
    # httpx and the verifiers are loaded for this command only.
    from strongroom.attestation.interface import UNPROVEN, Factor, failed, passed, skipped
    from strongroom.broker.policy import read_policy
    from strongroom.client.examination import examine
    from strongroom.client.transport import Transport
    from strongroom.keys.home import home_folder
    from strongroom.keys.seen import Seen
    from strongroom.receipts.proof import FIRST_USE, Trusted

    if trust == FIRST_USE:
        raise typer.BadParameter("first use proves nothing; name the owner, or a package's digest")
    demanded = None if policy is None else read_policy(policy)
    trusted, seen = Trusted.of(trust), Seen(home_folder())
    factors: tuple[Factor, ...]
    try:
        transport = Transport(url, token=find_token(None, token_file), ca=ca)
        try:
            served = transport.model_metadata(model)
        finally:
            transport.close()
    except ServerError as error:
        if error.code != "SR-SERVER-TLS":
            raise
        factors = (failed("tls", error.message), skipped("package", UNPROVEN))
    else:
        tls = (
            passed("tls", "the connection is encrypted, the certificate trusted for this name")
            if transport.url.startswith("https://")
            else skipped("tls", "the server is on this machine")
        )
        try:
            now = seen.now()
        except KeyStoreError as error:
            factors = (tls, failed("clock", error.message), skipped("package", UNPROVEN))
        else:
            factors = (tls, *examine(served, model, trusted, seen, now, demanded))
    failures = sum(one.outcome == "fail" for one in factors)
    if as_json:
        show.print_json(
            {
                "url": url,
                "model": model,
                "holds": not failures,
                "factors": [
                    {"name": one.name, "outcome": one.outcome, "reason": one.reason}
                    for one in factors
                ],
            }
        )
    else:
        show.print_table(
            f"{model} at {url}",
            ("factor", "", "reason"),
            [(one.name, one.outcome, one.reason) for one in factors],
        )
    if failures:
        raise typer.Exit(AttestationError.exit_status)
