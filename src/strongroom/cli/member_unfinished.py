"""`strongroom member adopt` and `discard`: what ended without this member, or never did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strongroom.cli import show
from strongroom.cli.keys import YesOption, require_yes
from strongroom.cli.passphrase import prompt
from strongroom.cli.policy_options import JsonOption
from strongroom.keys.committee.parts import MemberStore
from strongroom.keys.home import home_folder

if TYPE_CHECKING:
    from strongroom.member.unfinished import Unfinished


def adopt_command(
    statement: Annotated[
        Path,
        typer.Argument(
            metavar="COMMITTEE",
            help="committee.json, from the coordinator's folder or any other member. What lies "
            "beside it of that folder, checks and evaluation keys, is taken too.",
        ),
    ],
    checks: Annotated[
        Path | None,
        typer.Argument(metavar="CHECKS", help="The checks of its parts, where they lie elsewhere."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Take the end of a setup or a refresh that this member signed and did not hear of.

    The parts that it made for it count from then on, and those that they replace are destroyed.
    Nobody needs to be trusted for the files: all members signed them. The member must not run
    meanwhile.
    """
    from strongroom.member.unfinished import adopt

    found = adopt(MemberStore(prompt=prompt()), home_folder(), statement, checks)
    committee = found.committee
    if as_json:
        show.print_json(
            {
                "committee": committee.digest,
                "refreshes": committee.epoch,
                "changed": found.changed,
                "evaluation_keys": found.keys,
            }
        )
        return
    did = "adopted" if found.changed else "had already"
    lines = [f"{did} committee {committee.digest}, refreshes: {committee.epoch}"]
    if not found.keys:
        lines.append(
            "there are no evaluation keys here, without which this member audits nothing: adopt "
            "committee.json in the committee's whole folder"
        )
    show.print_lines(lines)


def discard_command(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Of the parts, as this command lists them without."),
    ] = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Destroy the parts NAME, whose setup or refresh never ended; without NAME, list such parts.

    Only if nobody has committee.json with that end: neither the coordinator nor any member. If
    somebody has it, these are the parts that count, and `strongroom member adopt` keeps them.
    Without them this member answers no more, and if the others can't decrypt without it, all
    models under that key are lost. The member must not run meanwhile.
    """
    from strongroom.member.unfinished import discard, find_unfinished, list_unfinished

    store = MemberStore(prompt=prompt())
    if name is None:
        _list(list_unfinished(store), as_json)
        return
    parts = find_unfinished(store, name)
    require_yes(f"{_meaning(parts)} Destroy {name} for good?", given=yes)
    discard(store, home_folder(), parts)
    if as_json:
        show.print_json({"discarded": name})
    else:
        show.print_lines([f"discarded {name}"])


def _meaning(parts: Unfinished) -> str:
    if parts.committee is None:
        return (
            "If everybody signed that setup, and anybody has its committee.json, these are this "
            "member's parts of that key: without them it never answers, and what it is needed for "
            "is lost. `strongroom member adopt committee.json` keeps them."
        )
    return (
        "If anybody has committee.json with one refresh more than this member, these are its only "
        "parts that still count: without them it never answers again, and what it is needed for "
        "is lost. `strongroom member adopt committee.json` keeps them. If nobody has, every member "
        "has to discard its own."
    )


def _list(found: tuple[Unfinished, ...], as_json: bool) -> None:
    home = str(home_folder())
    if as_json:
        show.print_json(
            {
                "home": home,
                "unfinished": [{"name": one.name, "committee": one.committee} for one in found],
            }
        )
    elif not found:
        show.print_lines([f"no parts in {home} wait for the end of a setup or a refresh"])
    else:
        show.print_table(
            f"Parts in {home} that wait for an end",
            ("name", "of a", "of committee"),
            [
                (one.name, "setup" if one.committee is None else "refresh", one.committee or "")
                for one in found
            ],
        )
