"""`strongroom inspect`: what a package file says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import strongroom
from strongroom.cli import show, statement
from strongroom.cli.policy_options import JsonOption
from strongroom.package.manifest import Manifest

PackageArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A .strongroom file.")]


def inspect_command(file: PackageArgument, as_json: JsonOption = False) -> None:
    """Show the manifest of a package: model, digest, measured agreement, predicted costs."""
    package = strongroom.load(file)
    if as_json:
        show.print_json({"digest": package.digest, "manifest": package.manifest})
        return
    print(f"digest {package.digest}")  # never wrapped, so that it can be copied
    show.print_table(str(file), ("", ""), _rows(package.manifest))
    show.print_table(
        f"Predicted costs ({package.manifest.protection}, {package.manifest.plan.parameters})",
        ("what", "predicted"),
        statement.cost_rows(package.manifest.plan),
    )


def _rows(manifest: Manifest) -> list[tuple[str, str]]:
    return [
        ("model", f"{manifest.name}, version {manifest.version}, release {manifest.release}"),
        ("created", f"{manifest.created} by Strongroom {manifest.strongroom_version}"),
        ("takes and gives", statement.model_line(manifest.plan)),
        ("protection", f"{manifest.protection}, {manifest.plan.guarantee.security}"),
        (
            "agreement with the plain model",
            f"{manifest.parity.agreement:.4%} of {manifest.parity.rows:,} rows, "
            f"largest score error {manifest.parity.max_score_error:.1e}",
        ),
        ("payload", show.byte_count(manifest.payload_bytes) + ", not encrypted: holds the weights"),
        ("package id", manifest.package_id),
    ]
