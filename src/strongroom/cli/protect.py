"""`strongroom protect`: from a trained model to a package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import strongroom
from strongroom.cli import policy_options as options
from strongroom.cli import show
from strongroom.cli.plan import ModelArgument, SampleOption
from strongroom.cli.rows_file import read_rows
from strongroom.errors import PackageError
from strongroom.policy import Policy


def protect_command(
    model: ModelArgument,
    sample: SampleOption,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The package to write, NAME.strongroom.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="Name to serve it under; default: the file's.")
    ] = None,
    version: Annotated[str, typer.Option("--version", help="Version of the model.")] = "1",
    protection: options.ProtectionOption = "fhe",
    security: options.SecurityOption = options.DEFAULT.security,
    sanitising_bits: options.LambdaOption = options.DEFAULT.sanitising_bits,
    precision_bits: options.PrecisionOption = options.DEFAULT.precision_bits,
    minimum_agreement: options.AgreementOption = options.DEFAULT.minimum_agreement,
    no_header: options.NoHeaderOption = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Protect MODEL: plan it, measure that it agrees with the plain one, write a package."""
    if output.exists() and not overwrite:
        raise PackageError(
            "SR-PACKAGE-EXISTS", f"{output} exists already", "Pass --overwrite to replace it"
        )
    table = read_rows(sample, header=not no_header)
    policy = Policy(
        security=security,
        sanitising_bits=sanitising_bits,
        precision_bits=precision_bits,
        minimum_agreement=minimum_agreement,
    )
    package = strongroom.protect(
        model,
        sample=table.values,
        protection=protection,
        policy=policy,
        name=name or output.stem,
        version=version,
    )
    table.require_names(package.manifest.plan.input.names)
    package.save(output, overwrite=overwrite)
    if as_json:
        show.print_json(
            {"package": str(output), "digest": package.digest, "manifest": package.manifest}
        )
        return
    parity = package.manifest.parity
    print(
        f"agreement with the plain model {parity.agreement:.2%} of {parity.rows} rows, "
        f"largest score error {parity.max_score_error:.1e}"
    )
    print(f"wrote {output}")
    print(f"digest {package.digest}")
    print("Give the digest to those who will ask the model; they pass it as --trust.")
