"""`strongroom member init`, `join`, `server`, `enrol`, `remove`, `allow`: a member's policy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from strongroom.cli import show
from strongroom.cli.policy_options import JsonOption
from strongroom.cli.sharing import moment, public_identity
from strongroom.keys.committee.access import Access
from strongroom.keys.identity import PublicIdentity
from strongroom.member.policy import (
    ClientRule,
    MemberPolicy,
    PackageRule,
    SetupRule,
    read_policy,
    write_policy,
)
from strongroom.moments import parse_moment, write_moment
from strongroom.package.file import read

PolicyOption = Annotated[Path, typer.Option("--policy", help="The operator's policy, a JSON file.")]
DailyOption = Annotated[
    int | None,
    typer.Option("--queries-per-day", help="Result ciphertexts that it gets in a UTC day."),
]
UntilOption = Annotated[
    str | None,
    typer.Option(
        "--until",
        metavar="WHEN",
        help="Last day, 2027-01-31, or time, 2027-01-31T12:00:00Z, in UTC; or 30d, 12h from now.",
    ),
]


def init_command(
    policy: PolicyOption,
    until: Annotated[
        str, typer.Option("--until", metavar="WHEN", help="When the whole policy ends.")
    ],
    audit_rate: Annotated[
        float,
        typer.Option(
            "--audit-rate",
            help="Share of the results that are computed again, 0 to 1. One false result that is "
            "not gives a server with a client on its side all of this member's parts.",
        ),
    ] = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Write a policy that allows nothing yet."""
    end = _end(until)
    if end is None or not 0.0 <= audit_rate <= 1.0:
        raise typer.BadParameter(f"--audit-rate is {audit_rate}: choose a share from 0 to 1")
    if parse_moment(end) <= datetime.now(UTC):
        raise typer.BadParameter(f"--until {until[:40]!r} is over: such a policy allows nothing")
    made = MemberPolicy(format="strongroom-member-policy-1", not_after=end, audit_rate=audit_rate)
    write_policy(policy, made, replace=False)
    _tell(policy, f"wrote {policy}: it allows nothing, and ends at {end}", as_json)


def join_command(
    policy: PolicyOption,
    access: Annotated[
        str,
        typer.Option(
            "--access", help='Who decrypts: "vendor AND 1-of-2(hospital, auditor)", for example.'
        ),
    ],
    coordinator: Annotated[
        str, typer.Option("--coordinator", help="File with the coordinator's public identity.")
    ],
    member: Annotated[
        list[str],
        typer.Option(
            "--member", metavar="NAME=FILE", help="A member's name and its public identity."
        ),
    ],
    share_budget: Annotated[
        int,
        typer.Option("--share-budget", help="The most shares of results that the key may allow."),
    ] = 2**20,
    as_json: JsonOption = False,
) -> None:
    """Allow this member to take part in making, and refreshing, the key of one committee."""
    structure = Access.parse(access)
    files = named_files(member, structure)
    rule = SetupRule(
        public_identity(coordinator).to_text(),
        str(structure),
        tuple(public_identity(files[name]).fingerprint for name in structure.members),
        share_budget,
    )
    _change(policy, lambda before: msgspec.structs.replace(before, setup=rule))
    _tell(policy, f"this member may help to make the key of {structure}", as_json)


def server_command(
    server: Annotated[
        str, typer.Argument(metavar="SERVER", help="File with the server's public identity.")
    ],
    policy: PolicyOption,
    as_json: JsonOption = False,
) -> None:
    """Let SERVER bring results."""
    found = public_identity(server)

    def change(before: MemberPolicy) -> MemberPolicy:
        if found.fingerprint in before.server_identities:
            return before
        return msgspec.structs.replace(before, servers=(*before.servers, found.to_text()))

    _change(policy, change)
    _tell(policy, f"{found.name} ({found.fingerprint}) may bring results", as_json)


def enrol_command(
    client: Annotated[
        str, typer.Argument(metavar="CLIENT", help="File with the client's public identity.")
    ],
    policy: PolicyOption,
    package: Annotated[
        list[str] | None,
        typer.Option("--package", metavar="DIGEST", help="It may ask these only."),
    ] = None,
    queries_per_day: DailyOption = None,
    until: UntilOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let CLIENT ask; who is enrolled already gets these terms instead."""
    found = public_identity(client)
    packages = None if package is None else tuple(package)
    rule = ClientRule(found.to_text(), packages, queries_per_day, _end(until))

    def change(before: MemberPolicy) -> MemberPolicy:
        others = without_client(before, found.fingerprint).clients
        return msgspec.structs.replace(before, clients=(*others, rule))

    _change(policy, change)
    _tell(policy, f"enrolled {found.name} ({found.fingerprint})", as_json)


def remove_command(
    client: Annotated[
        str,
        typer.Argument(metavar="CLIENT", help="A fingerprint, or a file with its identity."),
    ],
    policy: PolicyOption,
    as_json: JsonOption = False,
) -> None:
    """Answer CLIENT no more. What it asked, it knows."""
    fingerprint = client if client.startswith("identity:") else public_identity(client).fingerprint
    before = read_policy(policy)
    after = without_client(before, fingerprint)
    if after == before:
        raise typer.BadParameter(f"{fingerprint} is not enrolled in {policy}")
    _change(policy, lambda _: after)
    _tell(policy, f"removed {fingerprint}", as_json)


def allow_command(
    file: Annotated[
        Path, typer.Argument(metavar="PACKAGE", help="The .strongroom file of the model.")
    ],
    policy: PolicyOption,
    queries_per_day: DailyOption = None,
    until: UntilOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let results of PACKAGE be opened. The file has to be in the member's folder of packages."""
    package = read(file)
    rule = PackageRule(package.digest, package.manifest.name, queries_per_day, _end(until))

    def change(before: MemberPolicy) -> MemberPolicy:
        others = tuple(one for one in before.packages if one.package != package.digest)
        return msgspec.structs.replace(before, packages=(*others, rule))

    _change(policy, change)
    _tell(policy, f"allowed {package.manifest.name} ({package.digest})", as_json)


def named_files(options: list[str], access: Access) -> dict[str, str]:
    """The files of --member NAME=FILE, one for each member of an access structure."""
    found: dict[str, str] = {}
    for option in options:
        name, sign, file = option.partition("=")
        if not sign or name in found:
            raise typer.BadParameter(f"--member {option[:80]!r}: write NAME=FILE, each name once")
        found[name] = file
    if set(found) != set(access.members):
        raise typer.BadParameter(f"--member: name each of {', '.join(access.members)} once")
    return found


def without_client(policy: MemberPolicy, fingerprint: str) -> MemberPolicy:
    """The same policy, less one client."""
    kept = tuple(rule for rule in policy.clients if _fingerprint(rule) != fingerprint)
    return msgspec.structs.replace(policy, clients=kept)


def _fingerprint(rule: ClientRule) -> str:
    return PublicIdentity.from_text(rule.identity).fingerprint


def _end(until: str | None) -> str | None:
    end = moment(until, option="--until")
    return None if end is None else write_moment(end)


def _change(path: Path, change: Callable[[MemberPolicy], MemberPolicy]) -> None:
    write_policy(path, change(read_policy(path)), replace=True)


def _tell(path: Path, line: str, as_json: bool) -> None:
    if as_json:
        show.print_json({"policy": str(path), "done": line})
    else:
        show.print_lines([line])
