"""`strongroom receipt`: what a server signed for the answers that it gave."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from strongroom.cli import show
from strongroom.cli.policy_options import JsonOption
from strongroom.errors import AttestationError, InputError
from strongroom.receipts.proof import FIRST_USE
from strongroom.receipts.receipt import MAXIMUM_RECEIPT_BYTES, Receipt, verify_receipt

_MAXIMUM_RECEIPTS: Final = 100_000

app = typer.Typer(no_args_is_help=True, help="Check receipts of answers.")


@app.command("verify")
def verify_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Receipts, one a line.")],
    trust: Annotated[
        str,
        typer.Option("--trust", help="The owner's .pub file or identity:…; or a package's digest."),
    ],
    package: Annotated[
        Path | None, typer.Option("--package", help="Package file that they must be of.")
    ] = None,
    request: Annotated[
        Path | None, typer.Option("--request", help="Protected request that it must be of.")
    ] = None,
    response: Annotated[
        Path | None, typer.Option("--response", help="Protected response that it must be of.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check every receipt of FILE, offline. Fails at the first one that does not hold."""
    if trust == FIRST_USE:
        raise typer.BadParameter("first use proves nothing; name the owner, or a package's digest")
    sent, answered = _message(request), _message(response)
    receipts = []
    for number, line in enumerate(_lines(file), 1):
        try:
            receipts.append(
                verify_receipt(line, trust, package=package, request=sent, response=answered)
            )
        except AttestationError as error:
            raise AttestationError(
                error.code, f"{file}, line {number}: {error.message}", error.remedy
            ) from error
    if as_json:
        shown = [
            msgspec.to_builtins(one.statement)
            | {
                "owner": one.owner.fingerprint,
                "model": one.manifest.name,
                "version": one.manifest.version,
                "release": one.manifest.release,
            }
            for one in receipts
        ]
        show.print_json({"valid": True, "receipts": shown})
        return
    for one in receipts:
        _print(one)
    print(f"{len(receipts)} {'receipt holds' if len(receipts) == 1 else 'receipts hold'}")


def _print(receipt: Receipt) -> None:
    """One thing a line, never wrapped, so that digests can be copied."""
    statement, manifest = receipt.statement, receipt.manifest
    for what, value in (
        ("model", f"{manifest.name}, version {manifest.version}, release {manifest.release}"),
        ("protection", manifest.protection),
        ("answered", f"{statement.time}, by the server's clock"),
        ("owner", f"{receipt.owner.fingerprint} ({receipt.owner.name})"),
        ("server", f"{receipt.server.fingerprint} ({receipt.server.name})"),
        ("package", statement.package),
        ("plan", statement.plan),
        ("guarantee", statement.guarantee),
        ("request", statement.request),
        ("response", statement.response),
    ):
        print(f"{what:<11}{value}")
    print()


def _lines(file: Path) -> list[bytes]:
    data = _read(file, 64 * MAXIMUM_RECEIPT_BYTES)
    if not data.strip():
        raise AttestationError(
            "SR-RECEIPT-INVALID", f"{file} holds no receipt", "Name what `predict --receipt` wrote"
        )
    lines = data.removesuffix(b"\n").split(b"\n")
    if len(lines) > _MAXIMUM_RECEIPTS:
        raise InputError("SR-INPUT-FILE", f"{file} has {len(lines)} lines", "Cut it into several")
    return lines


def _message(path: Path | None) -> bytes | None:
    return None if path is None else _read(path, 1 << 30)


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise InputError(
            "SR-INPUT-FILE", f"{path} can't be read: {error.strerror or error}"
        ) from error
    if len(data) > most:
        raise InputError("SR-INPUT-FILE", f"{path} has more than {most} bytes")
    return data
