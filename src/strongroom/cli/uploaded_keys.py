"""`strongroom keys uploaded`: the asker's evaluation keys at a server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from strongroom.cli import show
from strongroom.cli.keys import YesOption, require_yes
from strongroom.cli.policy_options import JsonOption
from strongroom.cli.token import find_token
from strongroom.client.refusals import one_line
from strongroom.client.transport import Transport
from strongroom.client.uploaded_keys import UploadedSet, delete_key_set, uploaded_keys
from strongroom.engine import catalogued
from strongroom.engine.galois import describe_element
from strongroom.errors import PolicyError

_NAMED_AT_MOST: Final = 8

app = typer.Typer(no_args_is_help=True, help="Evaluation keys of this machine's user at a server.")

UrlArgument = Annotated[str, typer.Argument(metavar="URL", help="The server, https://host:port.")]
TokenFileOption = Annotated[
    Path | None, typer.Option("--token-file", help="File that holds the token.")
]
CaOption = Annotated[
    Path | None, typer.Option("--ca", help="PEM file of the authority to trust for TLS.")
]


@app.command("list")
def list_uploaded_command(
    url: UrlArgument,
    token_file: TokenFileOption = None,
    ca: CaOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the key sets that the token's tenant has at a server. Opens no key here."""
    with _connected(url, token_file, ca) as transport:
        found = uploaded_keys(transport)
    if as_json:
        show.print_json(
            {
                "url": transport.url,
                "key_sets": found.key_sets,
                "bytes": found.bytes,
                "bytes_limit": found.bytes_limit,
            }
        )
        return
    if not found.key_sets:
        show.print_lines([f"no keys at {transport.url}; a model that needs some brings them there"])
        return
    show.print_table(
        f"Keys at {transport.url}: {show.byte_count(found.bytes)} of "
        f"{show.byte_count(found.bytes_limit)}",
        ("set", "parameters", "size", "last used", "keys", "models that need no more"),
        [
            (
                one.key_set,
                one.parameters,
                show.byte_count(one.bytes),
                one.last_used,
                _said_of_keys(one),
                ", ".join(one_line(f"{m.name} ({m.version})", None) for m in one.models) or "none",
            )
            for one in found.key_sets
        ],
    )


@app.command("delete")
def delete_uploaded_command(
    url: UrlArgument,
    sets: Annotated[
        list[str], typer.Argument(metavar="SETS...", help="As `keys uploaded list` shows them.")
    ],
    token_file: TokenFileOption = None,
    ca: CaOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete key sets at a server. A client that needs one again sends it again."""
    with _connected(url, token_file, ca) as transport:
        found = uploaded_keys(transport).key_sets
        chosen = [one for one in found if one.key_set in sets]
        for name in sets:
            if not any(one.key_set == name for one in chosen):
                raise typer.BadParameter(f"there is no key set {ascii(name)[:80]} at the server")
        size = show.byte_count(sum(one.bytes for one in chosen))
        require_yes(f"Delete these keys, {size}, at {transport.url}?", given=yes)
        for one in chosen:
            delete_key_set(transport, one)
    if as_json:
        show.print_json({"url": transport.url, "deleted": [one.key_set for one in chosen]})
    else:
        show.print_lines(f"deleted {one.key_set}, {show.byte_count(one.bytes)}" for one in chosen)


@contextmanager
def _connected(url: str, token_file: Path | None, ca: Path | None) -> Iterator[Transport]:
    with closing(Transport(url, token=find_token(None, token_file), ca=ca)) as transport:
        yield transport


def _said_of_keys(one: UploadedSet) -> str:
    """What the keys of a set are for, the first few by name."""
    try:
        parameters = catalogued(one.parameters)
    except PolicyError:  # of another release of the server
        return f"{len(one.keys)} keys"
    elements = [element for element, _ in one.keys[:_NAMED_AT_MOST]]
    named = [describe_element(parameters, element) for element in elements] or ["none yet"]
    more = len(one.keys) - _NAMED_AT_MOST
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")
