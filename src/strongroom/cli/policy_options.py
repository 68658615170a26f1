"""The options that `plan` and `protect` share: those that make a `Policy`, and a few more."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from strongroom.policy import Policy, Security

DEFAULT: Final = Policy()

SecurityOption = Annotated[
    Security, typer.Option("--security", help="Security level of every parameter set.")
]
LambdaOption = Annotated[
    int,
    typer.Option(
        "--lambda",
        help="Bits by which responses hide the weights from askers; 0 trusts the askers.",
    ),
]
PrecisionOption = Annotated[
    int,
    typer.Option("--precision-bits", help="Least bits that a score keeps, of the largest score."),
]
AgreementOption = Annotated[
    float,
    typer.Option(
        "--minimum-agreement", help="Least share of the sample's rows that must predict the same."
    ),
]
ProtectionOption = Annotated[
    str, typer.Option("--protection", help="How the model is guarded: fhe.")
]
NoHeaderOption = Annotated[
    bool, typer.Option("--no-header", help="The CSV file has no line of column names.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]
