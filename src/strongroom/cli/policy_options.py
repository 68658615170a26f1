"""The options that `plan` and `protect` share: those that make a `Policy` and the dials of trees,
and a few more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from strongroom.keys.committee.holder import CommitteeHolder
from strongroom.models.trees.options import GridChoice, TreeOptions
from strongroom.policy import Hidden, Objective, Policy, Security

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
ObjectiveOption = Annotated[
    Objective,
    typer.Option("--objective", help="What to plan for: one row soon, many rows, or few bytes."),
]
GridOption = Annotated[
    GridChoice | None,
    typer.Option("--grid", help="Trees: which cut points askers see; default: the model's."),
]
GroupOption = Annotated[
    int | None,
    typer.Option("--trees-per-group", help="Trees: so many share a grid of their own."),
]
DecoysOption = Annotated[
    int | None,
    typer.Option("--decoys", help="Trees: of a padded grid, decoys for each cut point."),
]
ProtectionOption = Annotated[
    str, typer.Option("--protection", help="How the model is guarded: fhe or sealed.")
]
HideOption = Annotated[
    Hidden,
    typer.Option("--hide", help="What is encrypted on the server: inputs; or model, weights too."),
]
CommitteeOption = Annotated[
    Path | None,
    typer.Option(
        "--committee",
        metavar="FOLDER",
        help="Of --hide model: who holds the key, as `strongroom committee create` wrote it; "
        "else you alone.",
    ),
]
NoHeaderOption = Annotated[
    bool, typer.Option("--no-header", help="The CSV file has no line of column names.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]


def committee_holder(
    folder: Path | None, hide: Hidden, owner: str | None = None
) -> CommitteeHolder | None:
    """The committee that will hold a model's key; None if none is named.

    Args:
        owner: fingerprint that its coordinator must have; anybody's if None.

    Raises:
        CommitteeError: SR-COMMITTEE-FILE, SR-COMMITTEE-MISMATCH, SR-COMMITTEE-ACCESS.
    """
    if folder is None:
        return None
    if hide != "model":
        raise typer.BadParameter("--committee goes with --hide model")
    return CommitteeHolder(folder, owner=owner)


def tree_options(
    grid: GridChoice | None, trees_per_group: int | None, decoys: int | None
) -> TreeOptions | None:
    """The dials of trees; None if all are as usual.

    Raises:
        PolicyError: SR-POLICY-VALUE.
    """
    if decoys is not None and grid != "padded":
        raise typer.BadParameter("--decoys goes with --grid padded")
    if grid is None and trees_per_group is None:
        return None
    usual = TreeOptions()
    return TreeOptions(
        grid=grid or usual.grid,
        trees_per_group=trees_per_group,
        decoys=usual.decoys if decoys is None else decoys,
    )
