"""`strongroom keys`: the asker's keys, and the tokens of a server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from strongroom.cli import show
from strongroom.cli.policy_options import JsonOption
from strongroom.keys.store import KeyDescription, KeyStore
from strongroom.server.tokens import (
    TokenEntry,
    create_token,
    list_tokens,
    revoke_token,
    token_id,
)

app = typer.Typer(no_args_is_help=True, help="Keys of this machine's user, and tokens of a server.")
token_app = typer.Typer(no_args_is_help=True, help="Tokens that let tenants use a server.")
app.add_typer(token_app, name="token")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="As `keys list` shows it.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
TokensOption = Annotated[Path, typer.Option("--tokens", help="Token file of the server.")]


@app.command("list")
def list_command(as_json: JsonOption = False) -> None:
    """List the keys in $STRONGROOM_HOME, or ~/.strongroom. Opens none."""
    store = KeyStore.open()
    entries = store.entries()
    if as_json:
        show.print_json({"home": str(store.home), "keys": [_key_object(one) for one in entries]})
        return
    if not entries:
        show.print_lines([f"no keys in {store.home}; the first `strongroom predict` makes one"])
        return
    show.print_table(
        f"Keys in {store.home}",
        ("name", "created", "locked by"),
        [(one.name, one.created, one.locked_by) for one in entries],
    )


@app.command("show")
def show_command(name: NameArgument, as_json: JsonOption = False) -> None:
    """Show what may be said of a key; the key itself is never shown."""
    one = KeyStore.open().describe(name)
    if as_json:
        show.print_json(_key_object(one))
        return
    show.print_table(
        one.name,
        ("", ""),
        [
            ("created", one.created),
            ("locked by", one.locked_by),
            ("key derivation", one.parameters or "none"),
        ],
    )


@app.command("delete")
def delete_command(
    name: NameArgument,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a key for good. The next prediction makes a new one."""
    store = KeyStore.open()
    one = store.describe(name)
    require_yes(f"Delete the key {one.name} for good?", given=yes)
    store.delete(one.name)
    if as_json:
        show.print_json({"deleted": one.name})
    else:
        show.print_lines([f"deleted {one.name}"])


def require_yes(question: str, *, given: bool) -> None:
    """Ask a person who is there, unless the answer was given on the command line."""
    if given:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody is there to confirm; pass --yes")
    typer.confirm(question, abort=True, err=True)


@token_app.command("create")
def create_token_command(
    tokens: TokensOption,
    tenant: Annotated[str, typer.Option("--tenant", help="Whose token it is.")],
    as_json: JsonOption = False,
) -> None:
    """Make a token for a tenant; it is shown this once, the file keeps a hash."""
    token = create_token(tokens, tenant)
    if as_json:
        show.print_json(
            {"tenant": tenant, "token": token, "id": token_id(token), "tokens": str(tokens)}
        )
    else:
        print(token)


@token_app.command("list")
def list_tokens_command(tokens: TokensOption, as_json: JsonOption = False) -> None:
    """List the tokens of a file: ids, tenants, times."""
    entries = list_tokens(tokens)
    if as_json:
        show.print_json({"tokens": [_token_object(one) for one in entries]})
        return
    show.print_table(
        f"Tokens in {tokens}",
        ("id", "tenant", "created"),
        [(one.id, one.tenant, one.created) for one in entries],
    )


@token_app.command("revoke")
def revoke_token_command(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="As `keys token list` shows it.")],
    tokens: TokensOption,
    as_json: JsonOption = False,
) -> None:
    """Revoke a token; a running server refuses it from its next request on."""
    entry = revoke_token(tokens, identifier)
    if as_json:
        show.print_json({"revoked": _token_object(entry)})
    else:
        show.print_lines([f"revoked {entry.id} of {entry.tenant}"])


def _key_object(one: KeyDescription) -> dict[str, str]:
    return {
        "name": one.name,
        "created": one.created,
        "locked_by": one.locked_by,
        "parameters": one.parameters,
    }


def _token_object(one: TokenEntry) -> dict[str, str]:
    return {"id": one.id, "tenant": one.tenant, "created": one.created}
