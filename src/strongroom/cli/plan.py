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
    Path, typer.Argument(metavar="MODEL", help="The trained model: .onnx or .skops.")
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
    no_header: options.NoHeaderOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Say what protecting MODEL would cost and promise. Writes nothing, makes no key."""
    table = read_rows(sample, header=not no_header)
    policy = Policy(
        security=security, sanitising_bits=sanitising_bits, precision_bits=precision_bits
    )
    plan = strongroom.plan(model, sample=table.values, protection=protection, policy=policy)
    table.require_names(plan.input.names)
    if as_json:
        show.print_json({"plan": plan})
        return
    show.print_lines([f"{model.name}: {statement.model_line(plan)}"])
    show.print_table(
        f"Predicted costs ({plan.protection}, {plan.parameters})",
        ("what", "predicted"),
        statement.cost_rows(plan.costs),
    )
    show.print_table(
        "Who sees what", ("", "the server", "the asker"), statement.visibility_rows(plan.guarantee)
    )
    show.print_lines(statement.sentences(plan.guarantee))
