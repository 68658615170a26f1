"""`strongroom identity`: the identities of this machine's user."""

from __future__ import annotations

from typing import Annotated

import typer

from strongroom.cli import passphrase, show
from strongroom.cli.keys import YesOption, require_yes
from strongroom.cli.policy_options import JsonOption
from strongroom.errors import KeyStoreError
from strongroom.keys.custody import describe_lock
from strongroom.keys.home import home_folder
from strongroom.keys.identity_store import DEFAULT_NAME, IdentityStore

app = typer.Typer(no_args_is_help=True, help="Identities: who signs packages and is granted them.")

CustodyOption = Annotated[
    str | None,
    typer.Option(
        "--custody",
        metavar="HOW",
        help="What locks it: passphrase, keyring, pkcs11:token=LABEL;object=LABEL or kms:KEY. "
        "Passphrases and PINs are asked for, or come from the environment.",
    ),
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="As `identity list` shows it.")]


@app.command("list")
def list_command(as_json: JsonOption = False) -> None:
    """List the identities in $STRONGROOM_HOME, or ~/.strongroom. Opens none."""
    store = IdentityStore.open()
    found = [identity_object(store, name) for name in store.names()]
    home = str(home_folder())
    if as_json:
        show.print_json({"home": home, "identities": found})
        return
    if not found:
        show.print_lines([f"no identities in {home}; `strongroom keygen` makes one"])
        return
    show.print_table(
        f"Identities in {home}",
        ("name", "fingerprint", "locked by"),
        [(one["name"], one["fingerprint"], one["locked_by"]) for one in found],
    )


@app.command("show")
def show_command(
    name: NameArgument = DEFAULT_NAME,
    line: Annotated[
        bool, typer.Option("--public", help="Print the public line and nothing else.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what may be said of an identity; the private half is never shown."""
    store = IdentityStore.open()
    if line:
        print(store.public(name).to_text())
        return
    one = identity_object(store, name)
    if as_json:
        show.print_json(one)
        return
    show.print_table(
        f"Identity {one['name']}",
        ("", ""),
        [
            ("fingerprint", one["fingerprint"]),
            ("public line", one["public"]),
            ("created", one["created"]),
            ("locked by", one["locked_by"]),
            ("with", one["parameters"] or "nothing else"),
        ],
    )


@app.command("lock")
def lock_command(
    name: NameArgument = DEFAULT_NAME,
    custody: CustodyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lock an identity under another passphrase, or in another way. Its keys stay the same."""
    store = IdentityStore.open(prompt=passphrase.prompt())
    store.lock(name, custody=custody or "passphrase")
    one = identity_object(store, name)
    if as_json:
        show.print_json(one)
    else:
        show.print_lines([f"{name} is now locked by {one['locked_by']}"])


@app.command("remove")
def remove_command(name: NameArgument, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Remove an identity for good, and with it all that only it opens."""
    store = IdentityStore.open()
    require_yes(f"Remove the identity {name} and all that only it opens, for good?", given=yes)
    store.remove(name)
    if as_json:
        show.print_json({"removed": name})
    else:
        show.print_lines([f"removed {name}"])


def identity_object(store: IdentityStore, name: str) -> dict[str, str]:
    """What a program is told of an identity."""
    header = store.header(name)
    locked_by, parameters = describe_lock(header.unlock)
    try:
        fingerprint = store.public(name).fingerprint
    except KeyStoreError as error:
        if error.code != "SR-IDENTITY-MISSING":
            raise
        fingerprint = ""  # keygen ended between its two files; the next use writes the other
    return {
        "name": name,
        "fingerprint": fingerprint,
        "public": str(store.public_path(name)),
        "created": header.created,
        "locked_by": locked_by,
        "parameters": parameters,
    }
