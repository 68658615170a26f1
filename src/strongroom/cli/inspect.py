"""`strongroom inspect`: what a package file says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from strongroom.cli import show, statement
from strongroom.cli.policy_options import JsonOption
from strongroom.package.file import SealedPackage, read

PackageArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A .strongroom file.")]


def inspect_command(file: PackageArgument, as_json: JsonOption = False) -> None:
    """Show what a package says of itself: model, digest, owner, agreement, costs. Needs no key."""
    package = read(file)
    if as_json:
        show.print_json(
            {
                "digest": package.digest,
                "owner": package.owner.to_text(),
                "generation": package.log.generation,
                "grants": len(package.grants),
                "manifest": package.manifest,
            }
        )
        return
    print(f"digest {package.digest}")  # never wrapped, so that it can be copied
    show.print_table(str(file), ("", ""), _rows(package))
    show.print_table(
        f"Predicted costs ({package.manifest.protection})",
        ("what", "predicted"),
        statement.cost_rows(package.manifest.plan),
    )


def _rows(package: SealedPackage) -> list[tuple[str, str]]:
    manifest = package.manifest
    return [
        ("model", f"{manifest.name}, version {manifest.version}, release {manifest.release}"),
        ("created", f"{manifest.created} by Strongroom {manifest.strongroom_version}"),
        ("takes and gives", statement.model_line(manifest.plan)),
        ("protection", f"{manifest.protection}, {manifest.plan.guarantee.security}"),
        (
            "agreement with the plain model",
            f"{manifest.parity.agreement:.4%} of {manifest.parity.rows:,} "
            f"row{'' if manifest.parity.rows == 1 else 's'}, "
            f"largest score error {manifest.parity.max_score_error:.1e}",
        ),
        ("payload", show.byte_count(manifest.payload_bytes) + ", encrypted: holds the weights"),
        ("owner, who signed it", f"{package.owner.name} {package.owner.fingerprint}"),
        (
            "granted",
            f"{len(package.log.in_force())} grants, see `strongroom recipients`; "
            f"generation {package.log.generation}",
        ),
        ("package id", manifest.package_id),
    ]
