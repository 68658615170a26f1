"""`strongroom member`: holds parts of a committee's key, and gives shares of results."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from strongroom.cli import member_policy, member_unfinished, show
from strongroom.cli.member_urls import moved_urls
from strongroom.cli.passphrase import prompt
from strongroom.cli.policy_options import JsonOption
from strongroom.errors import KeyStoreError
from strongroom.keys.committee.parts import MemberStore
from strongroom.keys.home import home_folder
from strongroom.keys.identity_store import IdentityStore

app = typer.Typer(
    no_args_is_help=True, help="A member of a committee: holds parts of a key, gives shares."
)
app.command("init")(member_policy.init_command)
app.command("join")(member_policy.join_command)
app.command("server")(member_policy.server_command)
app.command("enrol")(member_policy.enrol_command)
app.command("remove")(member_policy.remove_command)
app.command("allow")(member_policy.allow_command)
app.command("adopt")(member_unfinished.adopt_command)
app.command("discard")(member_unfinished.discard_command)

IdentityOption = Annotated[
    str, typer.Option("--identity", help="Name of the member's identity in the key store.")
]


@app.command("serve")
def serve_command(
    policy: member_policy.PolicyOption,
    packages: Annotated[
        Path, typer.Option("--packages", help="Folder of packages whose results may be opened.")
    ],
    identity: IdentityOption = "default",
    host: Annotated[
        str, typer.Option("--host", help="Address to bind; any but loopback needs TLS.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="TCP port; 0 lets the system choose.")] = 8445,
    tls_certificate: Annotated[
        Path | None, typer.Option("--tls-cert", help="Certificate chain, PEM.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="Its private key, PEM.")] = None,
    peers_ca: Annotated[
        Path | None, typer.Option("--peers-ca", help="Certificates to trust for members, PEM.")
    ] = None,
    peer_url: Annotated[
        list[str] | None,
        typer.Option(
            "--peer-url",
            metavar="NAME=URL",
            help="Where another member is reached that is not where the committee's statement "
            "says; again for more. It has to sign as the same member.",
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option("--threads", help="Threads of an evaluation that is computed again.")
    ] = 2,
    as_json: JsonOption = False,
) -> None:
    """Answer servers, other members and the coordinator, until told to stop.

    Says on which URL once it answers. When this process stops, so does every model that needs it.
    """
    # uvicorn and starlette are loaded for this command only.
    from strongroom.member.serve import MemberConfig, announce_ready, serve_member

    config = MemberConfig(
        policy=str(policy),
        packages=str(packages),
        host=host,
        port=port,
        tls_certificate=None if tls_certificate is None else str(tls_certificate),
        tls_key=None if tls_key is None else str(tls_key),
        peers_ca=None if peers_ca is None else str(peers_ca),
        peer_urls=moved_urls("--peer-url", peer_url),
        threads=threads,
    )
    asks = prompt()
    opened = IdentityStore.open(prompt=asks).identity(identity)
    store = MemberStore(prompt=asks)

    def announce(url: str) -> None:
        if as_json:
            committees = [one.digest for one in store.committees()]
            show.print_json({"url": url, "identity": opened.fingerprint, "committees": committees})
        else:
            announce_ready(url)

    serve_member(config, opened, store, announce=announce)


@app.command("pardon")
def pardon_command(
    server: Annotated[
        str, typer.Argument(metavar="SERVER", help="Fingerprint of the server, identity:…")
    ],
    identity: IdentityOption = "default",
    as_json: JsonOption = False,
) -> None:
    """Trust SERVER again, which brought a wrong result. The member must not run meanwhile."""
    from strongroom.member.ledger import Ledger
    from strongroom.member.seats import ledger_path, member_budget

    public = IdentityStore.open().public(identity)
    pardoned = []
    for committee in MemberStore().committees():
        name = committee.name_of(public.fingerprint)
        if name is None:
            continue
        path = ledger_path(home_folder(), committee.digest)
        with Ledger(path, committee.digest, name, member_budget(committee)) as ledger:
            if ledger.pardon(server, datetime.now(UTC)):
                pardoned.append(committee.digest)
    if not pardoned:
        raise KeyStoreError(
            "SR-KEYS-FILE",
            f"no ledger here says that {server[:80]} brought a wrong result",
            "Copy its fingerprint from the member's log",
        )
    if as_json:
        show.print_json({"server": server, "committees": pardoned})
    else:
        show.print_lines([f"pardoned {server}"])
