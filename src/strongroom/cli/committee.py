"""`strongroom committee`: has a committee make a key that nobody holds alone, or refresh it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from strongroom import protections
from strongroom.cli import policy_options as options
from strongroom.cli import show
from strongroom.cli.member_policy import named_files
from strongroom.cli.member_urls import MemberUrlOption, moved_urls
from strongroom.cli.plan import ModelArgument
from strongroom.cli.rows_file import read_rows
from strongroom.cli.sharing import open_identity, public_identity
from strongroom.compiler.holding import SHARE_BUDGET, KeyHolding
from strongroom.compiler.plan import Plan, SealedLayout
from strongroom.errors import CommitteeError, PolicyError
from strongroom.keys.committee.access import Access
from strongroom.keys.committee.coordinator import Coordinator
from strongroom.keys.committee.folder import (
    STATEMENT_FILE,
    CommitteeFolderWriter,
    checks_path,
    read_checks,
    require_free,
    write_refreshed,
)
from strongroom.keys.committee.proposal import propose
from strongroom.keys.committee.refresh_coordinator import RefreshCoordinator
from strongroom.keys.committee.refresh_record import propose_refresh
from strongroom.keys.committee.statement import Committee
from strongroom.keys.identity import PublicIdentity
from strongroom.keys.identity_store import DEFAULT_NAME
from strongroom.package.build import candidates
from strongroom.policy import Policy
from strongroom.protections.interface import KeyNeeds

app = typer.Typer(no_args_is_help=True, help="Committees: keys that nobody holds alone.")

FolderArgument = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="That `committee create` wrote.")
]
IdentityOption = Annotated[
    str, typer.Option("--identity", metavar="NAME", help="The coordinator's identity.")
]
CaOption = Annotated[
    Path | None, typer.Option("--ca", help="Certificates to trust for the members, PEM.")
]


@app.command("create")
def create_command(
    model: ModelArgument,
    output: Annotated[
        Path, typer.Option("--output", help="Folder to write the statement and the keys to.")
    ],
    sample: Annotated[Path, typer.Option("--sample", help="CSV file of typical rows.")],
    access: Annotated[
        str,
        typer.Option(
            "--access", help='Who decrypts: "vendor AND 1-of-2(hospital, auditor)", for example.'
        ),
    ],
    member: Annotated[
        list[str],
        typer.Option(
            "--member",
            metavar="NAME=FILE@URL",
            help="A member's name, its public identity, and where it is reached.",
        ),
    ],
    share_budget: Annotated[
        int,
        typer.Option(
            "--share-budget",
            help="Shares of results that the key shall allow in its life, the same number from "
            "each member.",
        ),
    ] = SHARE_BUDGET,
    security: options.SecurityOption = options.DEFAULT.security,
    sanitising_bits: options.LambdaOption = options.DEFAULT.sanitising_bits,
    precision_bits: options.PrecisionOption = options.DEFAULT.precision_bits,
    objective: options.ObjectiveOption = options.DEFAULT.objective,
    grid: options.GridOption = None,
    trees_per_group: options.GroupOption = None,
    decoys: options.DecoysOption = None,
    no_header: options.NoHeaderOption = False,
    identity: IdentityOption = DEFAULT_NAME,
    ca: CaOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Have the members make a key that fits MODEL: with the evaluation keys that its plan needs.

    MODEL is only planned here, and leaves this machine in no form. Protect it afterwards for this
    committee, with the same options.
    """
    from strongroom.member.coordinating import Coordinating

    require_free(output)
    structure = Access.parse(access)
    seats = _seats(member, structure)
    policy = Policy(
        security=security,
        sanitising_bits=sanitising_bits,
        precision_bits=precision_bits,
        objective=objective,
        hide="model",
    )
    with show.working("planning"):
        plan = candidates(
            model,
            sample=read_rows(sample, header=not no_header),
            policy=policy,
            trees=options.tree_options(grid, trees_per_group, decoys),
            holding=KeyHolding(len(structure.parts()), share_budget),
        )[0].plan
    coordinator_identity = open_identity(identity)
    proposal = propose(
        coordinator_identity,
        structure,
        seats,
        committee_needs(plan),
        now=datetime.now(UTC),
        share_budget=share_budget,
    )

    async def run(writer: CommitteeFolderWriter) -> Committee:
        coordinator = Coordinator(coordinator_identity, proposal, writer)
        authorities = None if ca is None else str(ca)
        async with Coordinating(coordinator_identity, seats, ca=authorities) as carrying:
            return await carrying.create(coordinator, writer.finish)

    with show.working("the members make a key"), CommitteeFolderWriter(output) as writer:
        committee = asyncio.run(run(writer))
    _tell(output, committee, as_json)


@app.command("refresh")
def refresh_command(
    folder: FolderArgument,
    identity: IdentityOption = DEFAULT_NAME,
    ca: CaOption = None,
    member_url: MemberUrlOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Have the members change all their parts. Key, evaluation keys and encrypted models stay.

    In FOLDER the file of checks changes, and committee.json. Copy both, in this order, to where
    the model is served.
    """
    from strongroom.member.addresses import moved_members, reached_at
    from strongroom.member.coordinating import Coordinating

    given = moved_urls("--member-url", member_url)
    before = Committee.read(folder / STATEMENT_FILE)
    checks = read_checks(folder, before)
    moved = moved_members([before.identities], given, "--member-url")
    urls = reached_at(before.identities, before.urls, moved)
    seats = {name: (one, urls[name]) for name, one in before.identities.items()}
    coordinator_identity = open_identity(identity)
    formed_by = PublicIdentity.from_text(before.statement.coordinator)
    if coordinator_identity.public != formed_by:
        raise CommitteeError(
            "SR-COMMITTEE-MISMATCH",
            f"the committee was formed by {formed_by.fingerprint}, and this is "
            f"{coordinator_identity.fingerprint}",
            "Let the one who formed it run this, or name that identity with --identity",
        )
    proposal = propose_refresh(coordinator_identity, before, now=datetime.now(UTC))

    async def run() -> Committee:
        coordinator = RefreshCoordinator(before, proposal, checks)
        authorities = None if ca is None else str(ca)
        async with Coordinating(coordinator_identity, seats, ca=authorities) as carrying:
            return await carrying.refresh(proposal, coordinator, partial(write_refreshed, folder))

    with show.working("the members change their parts"):
        after = asyncio.run(run())
    _tell(folder, after, as_json)
    if not as_json:
        show.print_lines(
            [
                f"Copy {checks_path(folder, after).name}, and then {STATEMENT_FILE}, to where the "
                "model is served."
            ]
        )


@app.command("show")
def show_command(folder: FolderArgument, as_json: options.JsonOption = False) -> None:
    """Check all signatures of a committee, and say what it is."""
    _tell(folder, Committee.read(folder / STATEMENT_FILE), as_json)


def committee_needs(plan: Plan) -> KeyNeeds:
    """The keys that a committee has to make for a hidden model, the public key among them.

    Raises:
        PolicyError: SR-PLAN-HIDING if it is none.
    """
    needs = protections.by_name(plan.protection).key_needs(plan)
    layout = plan.layout
    if needs is None or isinstance(layout, SealedLayout) or not layout.hidden:
        raise PolicyError("SR-PLAN-HIDING", "the plan of this model hides no weights")
    # Weights and rows are encrypted under it, at the plan's first level.
    return KeyNeeds(needs.parameters, needs.keys, max(needs.public_limbs, layout.input_limbs))


def _seats(options_given: list[str], access: Access) -> dict[str, tuple[PublicIdentity, str]]:
    files = named_files(options_given, access)
    seats = {}
    for name in access.members:
        file, sign, url = files[name].rpartition("@")
        if not sign or not url.startswith(("https://", "http://")):
            raise typer.BadParameter(f"--member {name}: write NAME=FILE@https://machine:port")
        seats[name] = (public_identity(file), url)
    return seats


def _tell(folder: Path, committee: Committee, as_json: bool) -> None:
    statement = committee.statement
    if as_json:
        show.print_json(
            {
                "folder": str(folder),
                "committee": committee.digest,
                "access": statement.access,
                "members": {n: one.fingerprint for n, one in committee.identities.items()},
                "parameters": statement.parameters,
                "public_key": statement.public_key,
                "evaluation_keys": len(statement.keys),
                "checks": committee.checks_digest,
                "share_budget": statement.share_budget,
                "refreshes": committee.epoch,
                "created": msgspec.to_builtins(statement.created),
            }
        )
        return
    show.print_table(
        f"Committee in {folder}",
        ("", ""),
        [
            ("committee", committee.digest),
            ("who decrypts", statement.access),
            *((f"member {n}", one.fingerprint) for n, one in committee.identities.items()),
            ("parameters", statement.parameters),
            ("evaluation keys", str(len(statement.keys))),
            ("shares that it allows", str(statement.share_budget)),
            ("refreshes", str(committee.epoch)),
        ],
    )
