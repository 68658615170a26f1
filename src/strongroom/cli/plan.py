"""`strongroom plan`: what a protection would cost and promise, before a key is made."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from strongroom import protections
from strongroom.cli import depth_lines, plan_page, show, statement
from strongroom.cli import policy_options as options
from strongroom.cli.output_file import require_ending, require_writable, write_output
from strongroom.cli.rows_file import read_rows
from strongroom.compiler.depth import RingDepth, levels_used, ring_depths
from strongroom.compiler.holding import ONE_OWNER
from strongroom.compiler.plan import NetworkLayout, Plan, SealedLayout
from strongroom.models.text_rows import TextRows
from strongroom.package.build import candidates, suiting
from strongroom.policy import Policy
from strongroom.protections.sealed.statement import NAME as SEALED

ModelArgument = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="The trained model: .onnx, .skops, or a tree model's .json, .ubj or .txt.",
    ),
]
SampleOption = Annotated[
    Path | None,
    typer.Option(
        "--sample",
        help="CSV file of typical rows, for example the training rows. Without one, an ONNX model "
        "is asked with named tensors (protection sealed).",
    ),
]


def plan_command(
    model: ModelArgument,
    sample: SampleOption = None,
    protection: options.ProtectionOption = "fhe",
    security: options.SecurityOption = options.DEFAULT.security,
    sanitising_bits: options.LambdaOption = options.DEFAULT.sanitising_bits,
    precision_bits: options.PrecisionOption = options.DEFAULT.precision_bits,
    minimum_agreement: options.AgreementOption = options.DEFAULT.minimum_agreement,
    objective: options.ObjectiveOption = options.DEFAULT.objective,
    grid: options.GridOption = None,
    trees_per_group: options.GroupOption = None,
    decoys: options.DecoysOption = None,
    hide: options.HideOption = options.DEFAULT.hide,
    committee: options.CommitteeOption = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Draw the plan on a page, NAME.html.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the page.")] = False,
    no_header: options.NoHeaderOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Say what protecting MODEL would cost and promise. Makes no key, and writes no package.

    The page of --html is for the owner: it says what each layer takes.
    """
    if html is not None:
        require_ending(html, ".html", "a page is written as HTML")
        require_writable(html, overwrite=overwrite)
    trees = options.tree_options(grid, trees_per_group, decoys)
    policy = Policy(
        security=security,
        sanitising_bits=sanitising_bits,
        precision_bits=precision_bits,
        minimum_agreement=minimum_agreement,
        objective=objective,
        hide=hide,
    )
    holder = options.committee_holder(committee, hide)
    rows = sample_rows(model, sample, protection, header=not no_header)
    with show.working("planning"), nullcontext() if rows is None else rows.naming_lines():
        planned = candidates(
            model,
            sample=rows,
            protection=protection,
            policy=policy,
            trees=trees,
            holding=ONE_OWNER if holder is None else holder.holding,
        )
        found = suiting(planned, protections.by_name(protection), holder)
        plans = [candidate.plan for candidate in found]
        plan = plans[0]
        depths = ring_depths(policy) if isinstance(plan.layout, NetworkLayout) else ()
        if html is not None:
            if isinstance(plan.layout, SealedLayout):
                raise typer.BadParameter("--html draws plans of protections that compute encrypted")
            drawn = plan_page.PlannedModel(model.name, plans, found[0].stages(), depths)
            write_output(html, plan_page.page(drawn), overwrite=overwrite)
    if as_json:
        show.print_json(_object(plans, depths) | ({"html": str(html)} if html else {}))
        return
    holding = statement.holding_of(plan)
    show.print_lines([f"{model.name}: {statement.model_line(plan)}"])
    if len(plans) > 1:
        shown = statement.candidate_rows(plans)
        show.print_table(
            f"Candidates, the best for {objective} first ({len(shown)} of {len(plans)}); "
            "rows: how many share a ciphertext",
            statement.CANDIDATE_HEAD,
            shown,
        )
    show.print_table(
        f"Predicted costs ({', '.join(filter(None, (plan.protection, plan.parameters)))})",
        ("what", "predicted"),
        statement.cost_rows(plan),
    )
    show.print_table(
        "Who sees what",
        ("", "the server", "the asker"),
        statement.visibility_rows(plan.guarantee, holding),
    )
    show.print_lines(statement.sentences(plan.guarantee, holding))
    show.print_lines(depth_lines.lines(plan, depths))
    if html is not None:
        print(f"wrote {html}")


def sample_rows(
    model: Path, sample: Path | None, protection: str, *, header: bool
) -> TextRows | None:
    """The rows of the sample; None where there is none, and model and protection do without."""
    protections.by_name(protection)
    if sample is not None:
        return read_rows(sample, header=header)
    if protection != SEALED:
        raise typer.BadParameter(f"protection {protection} needs --sample FILE")
    if model.is_file() and model.suffix.lower() != ".onnx":
        raise typer.BadParameter(
            f"a model of rows needs --sample FILE; only an .onnx file does without, and {model} "
            "is none"
        )
    return None


def _object(plans: Sequence[Plan], depths: Sequence[RingDepth]) -> dict[str, Any]:
    layout = plans[0].layout
    others = [
        {
            "parameters": plan.parameters,
            "rows_per_ciphertext": plan.rows_at_once,
            "costs": plan.costs,
        }
        for plan in plans
    ]
    found: dict[str, Any] = {"plan": plans[0], "candidates": others}
    if isinstance(layout, NetworkLayout):
        found["depth"] = {
            "levels": levels_used(layout),
            "square_layers_that_fit": {str(d.ring_degree): d.square_layers for d in depths},
        }
    return found
