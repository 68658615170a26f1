"""`strongroom plan`: what a protection would cost and promise, before a key is made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import strongroom
from strongroom.cli import policy_options as options
from strongroom.cli import show, statement
from strongroom.cli.rows_file import read_rows
from strongroom.policy import Policy

ModelArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="The trained model: .onnx, .skops, or a tree model's .json, .ubj or .txt.",
    ),
]
SampleOption = Annotated[
    Path, typer.Option("--sample", help="CSV file of typical rows, for example the training rows.")
]


def plan_command(
    model: ModelArgument,
    sample: SampleOption,
    protection: options.ProtectionOption = "fhe",
    security: options.SecurityOption = options.DEFAULT.security,
    sanitising_bits: options.LambdaOption = options.DEFAULT.sanitising_bits,
    precision_bits: options.PrecisionOption = options.DEFAULT.precision_bits,
    minimum_agreement: options.AgreementOption = options.DEFAULT.minimum_agreement,
    objective: options.ObjectiveOption = options.DEFAULT.objective,
    grid: options.GridOption = None,
    trees_per_group: options.GroupOption = None,
    decoys: options.DecoysOption = None,
    no_header: options.NoHeaderOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Say what protecting MODEL would cost and promise. Writes nothing, makes no key."""
    trees = options.tree_options(grid, trees_per_group, decoys)
    policy = Policy(
        security=security,
        sanitising_bits=sanitising_bits,
        precision_bits=precision_bits,
        minimum_agreement=minimum_agreement,
        objective=objective,
    )
    rows = read_rows(sample, header=not no_header)
    with show.working("planning"):
        candidates = strongroom.plans(
            model, sample=rows, protection=protection, policy=policy, trees=trees
        )
    plan = candidates[0]
    if as_json:
        others = [
            {
                "parameters": candidate.parameters,
                "rows_per_ciphertext": candidate.layout.rows_per_ciphertext,
                "costs": candidate.costs,
            }
            for candidate in candidates
        ]
        show.print_json({"plan": plan, "candidates": others})
        return
    show.print_lines([f"{model.name}: {statement.model_line(plan)}"])
    if len(candidates) > 1:
        shown = statement.candidate_rows(candidates)
        show.print_table(
            f"Candidates, the best for {objective} first ({len(shown)} of {len(candidates)}); "
            "rows: how many share a ciphertext",
            statement.CANDIDATE_HEAD,
            shown,
        )
    show.print_table(
        f"Predicted costs ({plan.protection}, {plan.parameters})",
        ("what", "predicted"),
        statement.cost_rows(plan),
    )
    show.print_table(
        "Who sees what", ("", "the server", "the asker"), statement.visibility_rows(plan.guarantee)
    )
    show.print_lines(statement.sentences(plan.guarantee))
