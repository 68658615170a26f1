"""`strongroom keygen`: makes an identity."""

from __future__ import annotations

from typing import Annotated

import typer

from strongroom.cli import passphrase, show
from strongroom.cli.identities import CustodyOption, identity_object
from strongroom.cli.policy_options import JsonOption
from strongroom.keys.identity_store import DEFAULT_NAME, IdentityStore


def keygen_command(
    name: Annotated[str, typer.Option("--name", help="What to call it.")] = DEFAULT_NAME,
    custody: CustodyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an identity: to sign packages as their owner, and to be granted them."""
    store = IdentityStore.open(prompt=passphrase.prompt())
    with show.working("making an identity"):
        store.create(name, custody=custody)
    made = identity_object(store, name)
    if as_json:
        show.print_json(made)
        return
    show.print_table(
        f"Identity {name}",
        ("", ""),
        [
            ("fingerprint", made["fingerprint"]),
            ("public line", made["public"]),
            ("locked by", made["locked_by"]),
        ],
    )
    show.print_lines(
        [
            "Give the file with the public line to whoever shall grant you models or use yours, "
            "and tell them the fingerprint by another way, so that they can compare.",
            "If the private half is lost, so is all that only it opens: keep a backup of the "
            "folder and of what locks it.",
        ]
    )
