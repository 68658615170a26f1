"""`strongroom protect`: from a trained model to a package."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

import strongroom
from strongroom.cli import passphrase, show
from strongroom.cli import policy_options as options
from strongroom.cli.plan import ModelArgument, SampleOption, sample_rows
from strongroom.cli.rows_file import read_rows
from strongroom.cli.sharing import (
    ExpiresOption,
    IdentityOption,
    PurposeOption,
    later,
    moment,
    open_identity,
    public_identity,
)
from strongroom.compiler.plan import CommitteeKey
from strongroom.errors import PackageError
from strongroom.keys.identity import Identity
from strongroom.keys.identity_store import DEFAULT_NAME
from strongroom.keys.model_holder import OwnerHolder
from strongroom.keys.store import KeyStore
from strongroom.models.categories import Label
from strongroom.models.text_rows import TextRows, typed_labels
from strongroom.policy import Hidden, Policy
from strongroom.protections.interface import ModelHolder


def protect_command(
    model: ModelArgument,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The package to write, NAME.strongroom.")
    ],
    sample: SampleOption = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name to serve it under; default: the file's.")
    ] = None,
    version: Annotated[str, typer.Option("--version", help="Version of the model.")] = "1",
    release: Annotated[
        int,
        typer.Option("--release", min=1, help="Counts the model's releases; may only grow."),
    ] = 1,
    identity: IdentityOption = DEFAULT_NAME,
    recipients: Annotated[
        list[str] | None,
        typer.Option(
            "--recipient",
            metavar="FILE",
            help="Public identity to grant it to, as `strongroom keygen` makes it; again for more.",
        ),
    ] = None,
    purpose: PurposeOption = "serve",
    expires: ExpiresOption = None,
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
    members: Annotated[
        Path | None,
        typer.Option("--members", help="CSV file of rows that the model was trained on."),
    ] = None,
    nonmembers: Annotated[
        Path | None,
        typer.Option("--nonmembers", help="CSV file of rows that it was not trained on."),
    ] = None,
    label_column: Annotated[
        str | None,
        typer.Option("--label-column", help="Column of these two that holds the true answers."),
    ] = None,
    no_header: options.NoHeaderOption = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
    as_json: options.JsonOption = False,
) -> None:
    """Protect MODEL: plan it, measure that it agrees with the plain one, write a package."""
    if output.exists() and not overwrite:
        raise PackageError(
            "SR-PACKAGE-EXISTS", f"{output} exists already", "Pass --overwrite to replace it"
        )
    if output.is_dir() or not output.parent.is_dir():
        raise PackageError(
            "SR-PACKAGE-FILE", f"{output} can't be written", "Name a file in an existing folder"
        )
    granted = [public_identity(recipient) for recipient in recipients or ()]
    end = later(moment(expires))
    if not granted and (end is not None or purpose != "serve"):
        raise typer.BadParameter("--purpose and --expires go with --recipient")
    trees = options.tree_options(grid, trees_per_group, decoys)
    if label_column is not None and (members is None or nonmembers is None):
        raise typer.BadParameter("--label-column goes with --members and --nonmembers")
    policy = Policy(
        security=security,
        sanitising_bits=sanitising_bits,
        precision_bits=precision_bits,
        minimum_agreement=minimum_agreement,
        objective=objective,
        hide=hide,
    )
    inside = _labelled(members, label_column, header=not no_header)
    outside = _labelled(nonmembers, label_column, header=not no_header)
    rows = sample_rows(model, sample, protection, header=not no_header)
    owner = open_identity(identity)  # asks now, not when minutes of work are done
    holder = _holder(committee, hide, owner)
    naming = nullcontext() if rows is None else rows.naming_lines()
    with show.working("planning, and measuring on the sample"), naming:
        package = strongroom.protect(
            model,
            sample=rows,
            protection=protection,
            policy=policy,
            trees=trees,
            holder=holder,
            name=name or output.stem,
            version=version,
            release=release,
            owner=owner,
            members=inside[0],
            nonmembers=outside[0],
            member_labels=inside[1],
            nonmember_labels=outside[1],
        )
    package.save(
        output,
        owner=owner,
        recipients=granted,
        purpose=purpose,
        expires=end,
        overwrite=overwrite,
    )
    if as_json:
        show.print_json(
            {
                "package": str(output),
                "digest": package.digest,
                "owner": package.owner.to_text(),
                "manifest": package.manifest,
            }
        )
        return
    parity = package.manifest.parity
    print(
        f"agreement with the plain model {parity.agreement:.2%} of {parity.rows:,} "
        f"row{'' if parity.rows == 1 else 's'}, "
        f"largest score error {parity.max_score_error:.1e}"
    )
    if package.manifest.plan.guarantee.membership is not None:
        show.print_lines([package.manifest.plan.guarantee.training_data])
    manifest = package.manifest
    print(f"wrote {output}")
    print(f"model {manifest.name}, version {manifest.version}, release {manifest.release}")
    print(f"digest {package.digest}")
    print(f"owner {package.owner.fingerprint}")
    if isinstance(manifest.plan.holder, CommitteeKey):
        print(f"key held by committee {manifest.plan.holder.committee}")
        print(
            "Give the file to its members too: strongroom member allow. They answer only whom they"
        )
        print("enrolled: strongroom member enrol. Who serves it needs the committee's folder too.")
    print("Give the model's name to those who will ask, and your .pub file, the fingerprint or the")
    print(f"digest: strongroom predict --url URL --model {manifest.name} --trust OWNER.pub ROWS.")
    print("Servers of others need a grant: strongroom grant.")


def _holder(committee: Path | None, hide: Hidden, owner: Identity) -> ModelHolder | None:
    """Who will hold a hidden model's key; None of a model that is not hidden."""
    # Whom the owner asked to be members, it knows of a committee that it formed itself.
    named = options.committee_holder(committee, hide, owner.fingerprint)
    if named is not None or hide == "inputs":
        return named
    return OwnerHolder(KeyStore.open(prompt=passphrase.prompt()))


def _labelled(
    path: Path | None, label_column: str | None, *, header: bool
) -> tuple[TextRows | None, list[Label] | None]:
    """Rows of a file, and their labels if a column holds them."""
    if path is None:
        return None, None
    table = read_rows(path, header=header)
    if label_column is None:
        return table, None
    rows, labels = table.without(label_column)
    return rows, typed_labels(labels)
