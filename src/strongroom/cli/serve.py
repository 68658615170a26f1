"""`strongroom serve`: one command that starts the front process and its workers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from strongroom.cli import show
from strongroom.cli.member_urls import MemberUrlOption, moved_urls
from strongroom.cli.policy_options import JsonOption
from strongroom.errors import ServerError

if TYPE_CHECKING:
    from strongroom.server.model import ModelDescription

_MOST_MIB: Final = 1 << 26
_LEAST_WORKER_MIB: Final = 16
_ATTESTATIONS: Final[dict[str, Literal["tsm", "development"]]] = {
    "tsm": "tsm",
    "development": "development",
}


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
    identity: Annotated[
        str,
        typer.Option("--identity", help="Identity to serve as; the packages are granted to it."),
    ] = "default",
    attestation: Annotated[
        str | None,
        typer.Option(
            "--attestation",
            help="Evidence to show: tsm (an SEV-SNP or TDX guest) or development (no proof).",
        ),
    ] = None,
    attestation_certificates: Annotated[
        Path | None,
        typer.Option("--attestation-certificates", help="AMD's three certificates, PEM."),
    ] = None,
    attestation_collateral: Annotated[
        Path | None, typer.Option("--attestation-collateral", help="Intel's collateral, JSON.")
    ] = None,
    broker: Annotated[
        str | None,
        typer.Option(
            "--broker",
            help="URL of a key broker that releases the packages to evidence; no --identity then.",
        ),
    ] = None,
    broker_token: Annotated[
        Path | None, typer.Option("--broker-token", help="File that holds the broker's token.")
    ] = None,
    broker_ca: Annotated[
        Path | None, typer.Option("--broker-ca", help="Certificates to trust for it, PEM.")
    ] = None,
    committees: Annotated[
        list[Path] | None,
        typer.Option(
            "--committee",
            metavar="FOLDER",
            help="Statement and keys of a committee that holds a model's key; again for more.",
        ),
    ] = None,
    member_timeout_seconds: Annotated[
        float,
        typer.Option("--member-timeout-seconds", help="After which a member counts as down."),
    ] = 30.0,
    member_ca: Annotated[
        Path | None, typer.Option("--member-ca", help="Certificates to trust for members, PEM.")
    ] = None,
    member_url: MemberUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve PACKAGES to whoever has a token, until it is told to stop (SIGTERM or Ctrl-C).

    The identity is opened by a process of its own: with STRONGROOM_PASSPHRASE, the system's
    keyring, or a passphrase that it asks for. `strongroom keygen` makes one.

    Says once it answers on which URL, and by which names the models are asked; with --json in
    one JSON line.
    """
    # uvicorn and starlette are loaded for this command only.
    from strongroom.server.config import ServerConfig
    from strongroom.server.serve import announce_ready, serve

    _require_mib("--worker-memory-mib", worker_memory_mib, _LEAST_WORKER_MIB)
    _require_mib("--key-mib-per-tenant", key_mib_per_tenant, 1)
    if broker is not None and attestation is None:
        raise ServerError(
            "SR-SERVER-CONFIG",
            "--broker releases packages to evidence, and there is no --attestation",
            "Pass --attestation tsm in an SEV-SNP or TDX guest, or development to try it out",
        )

    def announce(models: Sequence[ModelDescription], url: str) -> None:
        if not as_json:
            announce_ready(models, url)
            return
        served = [
            {
                "name": one.name,
                "version": one.version,
                "protection": one.protection,
                "digest": one.digest,
            }
            for one in models
        ]
        files = [str(package) for package in packages]
        show.print_json({"url": url, "packages": files, "models": served})

    serve(
        ServerConfig(
            packages=tuple(str(package) for package in packages),
            tokens=str(tokens),
            host=host,
            port=port,
            tls_certificate=_text(tls_certificate),
            tls_key=_text(tls_key),
            workers=workers,
            threads=threads,
            worker_memory_bytes=worker_memory_mib << 20,
            evaluation_timeout_seconds=evaluation_timeout_seconds,
            key_folder=_text(key_folder),
            key_bytes_per_tenant=key_mib_per_tenant << 20,
            identity=identity,
            attestation=_attestation(attestation),
            attestation_certificates=_text(attestation_certificates),
            attestation_collateral=_text(attestation_collateral),
            broker=broker,
            broker_token=_text(broker_token),
            broker_ca=_text(broker_ca),
            committees=tuple(str(folder) for folder in committees or ()),
            member_timeout_seconds=member_timeout_seconds,
            member_ca=_text(member_ca),
            member_urls=moved_urls("--member-url", member_url),
        ),
        announce=announce,
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _require_mib(option: str, mebibytes: int, least: int) -> None:
    """The configuration's bounds, in the option's unit."""
    if not least <= mebibytes <= _MOST_MIB:
        raise ServerError(
            "SR-SERVER-CONFIG",
            f"{option} is {mebibytes}",
            f"Choose a value from {least} to {_MOST_MIB}",
        )


def _attestation(text: str | None) -> Literal["tsm", "development"] | None:
    if text is not None and text not in _ATTESTATIONS:
        raise typer.BadParameter(f"--attestation is {text[:40]!r}: choose tsm or development")
    return None if text is None else _ATTESTATIONS[text]
