"""`strongroom serve`: one command that starts the front process and its workers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from strongroom.cli import show
from strongroom.cli.policy_options import JsonOption


def serve_command(
    packages: Annotated[
        list[Path], typer.Argument(metavar="PACKAGES...", help="The .strongroom files to serve.")
    ],
    tokens: Annotated[
        Path,
        typer.Option("--tokens", help="Token file; `strongroom keys token create` makes it."),
    ],
    host: Annotated[
        str, typer.Option("--host", help="Address to bind; any but loopback needs TLS.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="TCP port; 0 lets the system choose.")] = 8443,
    tls_certificate: Annotated[
        Path | None, typer.Option("--tls-cert", help="Certificate chain, PEM.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="Its private key, PEM.")] = None,
    workers: Annotated[int, typer.Option("--workers", help="Number of worker processes.")] = 2,
    threads: Annotated[
        int | None,
        typer.Option("--threads", help="Threads of one evaluation; else processors / workers."),
    ] = None,
    worker_memory_mib: Annotated[
        int,
        typer.Option("--worker-memory-mib", help="Memory that an evaluation may take, in MiB."),
    ] = 2048,
    evaluation_timeout_seconds: Annotated[
        float,
        typer.Option("--evaluation-timeout-seconds", help="After which an evaluation is ended."),
    ] = 60.0,
    key_folder: Annotated[
        Path | None,
        typer.Option("--key-folder", help="Where tenants' evaluation keys are kept."),
    ] = None,
    key_mib_per_tenant: Annotated[
        int,
        typer.Option("--key-mib-per-tenant", help="Room for one tenant's keys, in MiB."),
    ] = 4096,
    as_json: JsonOption = False,
) -> None:
    """Serve PACKAGES to whoever has a token, until it is told to stop (SIGTERM or Ctrl-C).

    Says on which URL once it answers; with --json in one JSON line.
    """
    # uvicorn and starlette are loaded for this command only.
    from strongroom.server.config import ServerConfig
    from strongroom.server.serve import announce_ready, serve

    def announce(url: str) -> None:
        if as_json:
            show.print_json({"url": url, "packages": [str(package) for package in packages]})
        else:
            announce_ready(url)

    serve(
        ServerConfig(
            packages=tuple(str(package) for package in packages),
            tokens=str(tokens),
            host=host,
            port=port,
            tls_certificate=None if tls_certificate is None else str(tls_certificate),
            tls_key=None if tls_key is None else str(tls_key),
            workers=workers,
            threads=threads,
            worker_memory_bytes=worker_memory_mib << 20,
            evaluation_timeout_seconds=evaluation_timeout_seconds,
            key_folder=None if key_folder is None else str(key_folder),
            key_bytes_per_tenant=key_mib_per_tenant << 20,
        ),
        announce=announce,
    )
