"""`strongroom compare`: the plain model against the protected one, on a file of rows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray

import strongroom
from strongroom import protections
from strongroom.cli import compare_plot, failures, passphrase, show
from strongroom.cli.output_file import require_ending, require_writable, write_output
from strongroom.cli.policy_options import DEFAULT, AgreementOption, JsonOption, NoHeaderOption
from strongroom.cli.predict import say_keys_sent
from strongroom.cli.rows_file import read_rows
from strongroom.cli.sharing import open_identity
from strongroom.cli.token import find_token
from strongroom.client.client import Client
from strongroom.client.progress import RowProgress
from strongroom.compiler.plan import Plan
from strongroom.errors import PolicyError
from strongroom.keys.identity_store import DEFAULT_NAME
from strongroom.keys.store import KeyStore
from strongroom.models.graph import Graph
from strongroom.models.load import import_model
from strongroom.models.plain import plain_predictions
from strongroom.models.text_rows import TextRows
from strongroom.package.parity import agreeing, plain_scores, protected_scores
from strongroom.policy import Policy

QUANTILES: Final = (0.5, 0.9, 0.99, 0.999)
_NAMED_ROWS: Final = 20
_PLOT: Final = ".svg"


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Plain and protected answers for the same rows.

    Attributes:
        package_digest: of the protected model.
        plain, protected: raw scores, shape (n, outputs).
        agree: which rows predict the same, shape (n,).
        lines: of the rows in their file, counted from 1.
        score_error: that the plan declares.
    """

    package_digest: str
    plain: NDArray[np.float64]
    protected: NDArray[np.float64]
    agree: NDArray[np.bool_]
    lines: Sequence[int]
    score_error: float

    @property
    def agreement(self) -> float:
        """Share of rows that predict the same."""
        return float(np.mean(self.agree))

    @property
    def disagreeing(self) -> list[int]:
        """Rows that predict something else, counted from 0."""
        return [int(row) for row in np.flatnonzero(~self.agree)]

    @property
    def disagreeing_lines(self) -> list[int]:
        """The same by their lines."""
        return [self.lines[row] for row in self.disagreeing]

    @property
    def differences(self) -> NDArray[np.float64]:
        """Largest |protected - plain| score of each row, shape (n,)."""
        return np.asarray(np.abs(self.protected - self.plain).max(axis=1))

    def quantiles(self) -> dict[float, float]:
        """Of the differences: the share `q` of the rows lies at or below `quantiles()[q]`."""
        found = np.quantile(self.differences, QUANTILES, method="higher")
        return dict(zip(QUANTILES, found.tolist(), strict=True))


def compare_command(
    source: Annotated[
        str, typer.Argument(metavar="FILE|URL", help="A .strongroom file, or a server's URL.")
    ],
    rows: Annotated[Path, typer.Argument(metavar="ROWS", help="CSV file of the rows to compare.")],
    model: Annotated[
        Path, typer.Option("--model", help="The plain model, as it was given to `protect`.")
    ],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Plot of the differences, NAME.svg.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="With a URL: name of the model there.")
    ] = None,
    trust: Annotated[
        str,
        typer.Option(
            "--trust",
            help="With a URL: the owner's .pub file or identity:…; a digest; first-use.",
        ),
    ] = "first-use",
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="With a URL: file that holds the token.")
    ] = None,
    ca: Annotated[
        Path | None, typer.Option("--ca", help="PEM file of the authority to trust for TLS.")
    ] = None,
    minimum_agreement: AgreementOption = DEFAULT.minimum_agreement,
    no_header: NoHeaderOption = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run ROWS through the plain and the protected model and show how far they differ. Fails if
    fewer rows predict the same than must.

    A package file is run here, encrypted, with a key that is thrown away. Rows are named by their
    lines in the file; what they hold is never shown.
    """
    served = source.startswith(("http://", "https://"))
    if served and name is None:
        raise typer.BadParameter("a URL needs --name NAME, and --model is the file of the model")
    if output is not None:
        require_ending(output, _PLOT, "a plot is written as SVG")
        require_writable(output, overwrite=overwrite)
    policy = Policy(minimum_agreement=minimum_agreement)
    table = read_rows(rows, header=not no_header)
    graph = import_model(model)
    if served:
        keys = KeyStore.open(prompt=passphrase.prompt())
        token = find_token(None, token_file)
        with Client(source, model=name or "", token=token, trust=trust, keys=keys, ca=ca) as client:
            checked = _checked(table, graph, client.plan)
            say_keys_sent(client)
            with table.naming_lines():
                protected = client.scores(table)
            plan, digest = client.plan, client.package_digest
    else:
        package = strongroom.load(source, open_identity(DEFAULT_NAME))
        plan, digest = package.manifest.plan, package.digest
        checked = _checked(table, graph, plan)
        with table.naming_lines():
            protected = _local_scores(package, checked)
    comparison = Comparison(
        package_digest=digest,
        plain=plain_scores(graph, checked),
        protected=protected,
        agree=agreeing(
            plan.output,
            protected,
            plain_predictions(model, graph, checked),
            plan.costs.score_error,
        ),
        lines=table.lines,
        score_error=plan.costs.score_error,
    )
    if output is not None:
        write_output(output, _plot(model.name, comparison), overwrite=overwrite)
    failure = _disagreement(comparison, policy)
    if as_json:
        show.print_json(_object(comparison, output) | _failed(failure))
    else:
        show.print_table(f"{model.name}: plain against protected", ("", ""), _rows(comparison))
        if output is not None:
            print(f"wrote {output}")
    if failure is not None:
        print(f"error: {failures.line(failure)}", file=sys.stderr)
        raise typer.Exit(failure.exit_status)


def _disagreement(comparison: Comparison, policy: Policy) -> PolicyError | None:
    """Why the comparison fails; None if enough rows agree."""
    if comparison.agreement >= policy.minimum_agreement:
        return None
    return PolicyError(
        "SR-POLICY-PARITY",
        f"{len(comparison.disagreeing):,} of {len(comparison.agree):,} rows predict something else "
        f"than the plain model; {policy.minimum_agreement:.2%} must predict the same",
        "Check that --model is the model that was protected, and that the rows are like its sample",
    )


def _failed(failure: PolicyError | None) -> dict[str, str]:
    """What a program is told in addition, as of every failure."""
    if failure is None:
        return {}
    prefix = f"[{failure.code}] "
    return {"error": failures.line(failure).removeprefix(prefix), "code": failure.code}


def _checked(table: TextRows, graph: Graph, plan: Plan) -> NDArray[np.float64]:
    """The rows as both models take them; refuses a model that can't be the protected one."""
    ours = (graph.input.columns, graph.output.task, graph.output.outputs, graph.output.classes)
    theirs = (plan.input.columns, plan.output.task, plan.output.outputs, plan.output.classes)
    for what, here, there in zip(
        ("columns", "task", "scores", "classes"), ours, theirs, strict=True
    ):
        if here != there:
            raise typer.BadParameter(
                f"--model is not the model that was protected: its {what} are others"
            )
    return plan.input.rows(table)


def _local_scores(package: strongroom.Package, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    plan = package.manifest.plan
    # The key is thrown away and the answers stay here: what the owner chose is good enough.
    demands = {
        demand: getattr(plan.guarantee, demand)
        for demand in Policy.__struct_fields__
        if plan.guarantee.ring_degree and hasattr(plan.guarantee, demand)
    }
    keys = None
    if plan.holder is not None:
        # Nobody else's key opens what a hidden model answers.
        keys = KeyStore.open(prompt=passphrase.prompt())
    with RowProgress(len(rows)) as progress:
        return protected_scores(
            protections.by_name(plan.protection),
            plan,
            package.payload,
            rows,
            msgspec.convert(demands, Policy),
            keys=keys,
            package=package.digest,
            advance=progress.advance,
        )


def _rows(comparison: Comparison) -> list[tuple[str, str]]:
    differences, disagreeing = comparison.differences, comparison.disagreeing_lines
    beyond = int(np.sum(differences > comparison.score_error))
    named = ", ".join(str(line) for line in disagreeing[:_NAMED_ROWS])
    if len(disagreeing) > _NAMED_ROWS:
        named += f" and {len(disagreeing) - _NAMED_ROWS:,} more"
    return [
        (
            "predictions equal to the plain model's",
            f"{comparison.agreement:.2%} of {len(differences):,} rows",
        ),
        ("lines that disagree", named or "none"),
        ("largest score difference", f"{differences.max():.1e}"),
        *(
            (f"{100 * share:g}% of the rows differ by at most", f"{difference:.1e}")
            for share, difference in comparison.quantiles().items()
        ),
        ("declared score error", f"{comparison.score_error:.1e}"),
        ("rows beyond the declared error", f"{beyond:,}"),
    ]


def _object(comparison: Comparison, output: Path | None) -> dict[str, Any]:
    differences = comparison.differences
    found = {
        "rows": len(differences),
        "agreement": comparison.agreement,
        "disagreeing_rows": comparison.disagreeing,
        "disagreeing_lines": comparison.disagreeing_lines,
        "max_score_difference": float(differences.max()),
        "score_difference_quantiles": {
            f"{share:g}": difference for share, difference in comparison.quantiles().items()
        },
        "declared_score_error": comparison.score_error,
        "rows_beyond_declared_error": int(np.sum(differences > comparison.score_error)),
        "package_digest": comparison.package_digest,
    }
    return found if output is None else found | {"plot": str(output)}


def _plot(name: str, comparison: Comparison) -> str:
    return compare_plot.picture(
        f"{name}: plain against protected",
        f"{comparison.agreement:.2%} of {len(comparison.agree):,} rows predict the same; largest "
        f"score difference {comparison.differences.max():.1e}, declared "
        f"{comparison.score_error:.1e}",
        comparison.plain,
        comparison.protected,
        comparison.agree,
        comparison.score_error,
        comparison.lines,
    )
