"""`strongroom broker`: releases file keys to processes that attest themselves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from strongroom.cli import show
from strongroom.cli.passphrase import prompt
from strongroom.cli.policy_options import JsonOption


def broker_command(
    policy: Annotated[Path, typer.Option("--policy", help="What the owner demands, a JSON file.")],
    packages: Annotated[
        Path, typer.Option("--packages", help="Folder of packages that are granted to the broker.")
    ],
    identity: Annotated[
        str, typer.Option("--identity", help="Name of the broker's identity in the key store.")
    ] = "default",
    tokens: Annotated[
        Path | None,
        typer.Option("--tokens", help="Token file; without one everybody may ask."),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to bind; any but loopback needs TLS.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="TCP port; 0 lets the system choose.")] = 8444,
    tls_certificate: Annotated[
        Path | None, typer.Option("--tls-cert", help="Certificate chain, PEM.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="Its private key, PEM.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Release keys of PACKAGES to processes that prove what they are, until told to stop.

    Says on which URL once it answers. A development policy lets any process have the keys; the
    broker, and all that it releases, say so.
    """
    # uvicorn and starlette are loaded for this command only.
    from strongroom.broker.policy import DevelopmentPolicy, read_policy
    from strongroom.broker.serve import BrokerConfig, announce_ready, serve_broker
    from strongroom.keys.identity_store import IdentityStore

    config = BrokerConfig(
        policy=str(policy),
        packages=str(packages),
        tokens=None if tokens is None else str(tokens),
        host=host,
        port=port,
        tls_certificate=None if tls_certificate is None else str(tls_certificate),
        tls_key=None if tls_key is None else str(tls_key),
    )
    development = isinstance(read_policy(policy), DevelopmentPolicy)
    if development:
        print(
            "warning: DEVELOPMENT POLICY: whoever asks gets the keys; for trying out only",
            file=sys.stderr,
        )
    opened = IdentityStore.open(prompt=prompt()).identity(identity)

    def announce(url: str) -> None:
        if as_json:
            show.print_json(
                {"url": url, "identity": opened.fingerprint, "development": development}
            )
        else:
            announce_ready(url)

    serve_broker(config, opened, announce=announce)
