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

    Says once it answers on which URL, and of which models it holds keys. A development policy lets
    any process have the keys; the broker, and all that it releases, say so.
    """
    # uvicorn and starlette are loaded for this command only.
    from strongroom.broker.policy import DevelopmentPolicy, read_policy
    from strongroom.broker.serve import BrokerConfig, announce_ready, serve_broker
    from strongroom.broker.shelf import Shelf
    from strongroom.keys.home import home_folder
    from strongroom.keys.identity_store import IdentityStore
    from strongroom.keys.seen import Seen

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
        held = [
            package
            for package in Shelf(packages, Seen(home_folder())).packages()
            if any(
                (one.identity.fingerprint, one.purpose) == (opened.fingerprint, "broker")
                for one in package.log.in_force()
            )
        ]
        if as_json:
            names = [{"name": one.manifest.name, "digest": one.digest} for one in held]
            show.print_json(
                {
                    "url": url,
                    "identity": opened.fingerprint,
                    "development": development,
                    "packages": names,
                }
            )
        else:
            announce_ready(url)
            for one in held:
                manifest = one.manifest
                print(f" model {manifest.name}, release {manifest.release}", flush=True)
        if not held:
            print(
                f"warning: no package in {packages} is granted to {identity} for the purpose "
                "broker; one that is put there counts from then on",
                file=sys.stderr,
            )

    serve_broker(config, opened, announce=announce)
