"""The options `--member-url` and `--peer-url`: where a member is reached that moved."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from strongroom.keys.committee.access import NAME_PATTERN

MemberUrlOption = Annotated[
    list[str] | None,
    typer.Option(
        "--member-url",
        metavar="NAME=URL",
        help="Where a member is reached that is not where the committee's statement says; "
        "again for more. It has to sign as the same member.",
    ),
]


def moved_urls(option: str, given: list[str] | None) -> dict[str, str]:
    """URLs by name of the member.

    Args:
        option: the name of the option.
        given: its values.

    Raises:
        BadParameter: a value is none, or a name is there twice.
        ServerError: SR-SERVER-URL, SR-SERVER-TLS.
    """
    if not given:
        return {}
    # Loads an HTTP client.
    from strongroom.member.addresses import require_urls

    urls: dict[str, str] = {}
    for one in given:
        name, sign, url = one.partition("=")
        if not sign or not re.fullmatch(NAME_PATTERN, name) or name in urls:
            # Not quoted: people put passwords into URLs.
            raise typer.BadParameter(f"{option}: write NAME=URL, each name once")
        urls[name] = url
    require_urls(urls, option)
    return urls
