"""`strongroom grant`, `revoke`, `recipients` and `rotate`: who can do what with a package."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from strongroom.cli import passphrase, show
from strongroom.cli.policy_options import JsonOption
from strongroom.errors import KeyStoreError, PackageError
from strongroom.keys.identity import Identity, PublicIdentity
from strongroom.keys.identity_store import DEFAULT_NAME, IdentityStore
from strongroom.package import sharing
from strongroom.package.file import SealedPackage, read
from strongroom.package.grants import Purpose

_MAXIMUM_LINE_BYTES: Final = 8192
_SPAN: Final = re.compile(r"([1-9][0-9]{0,4})([dh])")
_MOMENT: Final = "%Y-%m-%dT%H:%M:%SZ"
_WHO_IS_REVOKED: Final = (
    "Pass a fingerprint, identity:…, as `strongroom recipients` shows it, or the recipient's .pub "
    "file; a name says nothing, since anybody can have it"
)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A .strongroom file of yours.")]
RecipientArgument = Annotated[
    str,
    typer.Argument(
        metavar="RECIPIENT", help="File with a public identity, as `strongroom keygen` makes it."
    ),
]
IdentityOption = Annotated[
    str, typer.Option("--identity", metavar="NAME", help="Your identity, the package's owner.")
]
PurposeOption = Annotated[
    Purpose,
    typer.Option(
        "--purpose",
        help="serve: open it in a server, to answer requests. open: load the weights too. "
        "broker: hold its key for servers that prove what they are.",
    ),
]
ExpiresOption = Annotated[
    str | None,
    typer.Option(
        "--expires",
        metavar="WHEN",
        help="Last day, 2027-01-31, or time, 2027-01-31T12:00:00Z, in UTC; or 30d, 12h from now.",
    ),
]


def grant_command(
    file: FileArgument,
    recipient: RecipientArgument,
    purpose: PurposeOption = "serve",
    expires: ExpiresOption = None,
    identity: IdentityOption = DEFAULT_NAME,
    as_json: JsonOption = False,
) -> None:
    """Grant a package to RECIPIENT. The payload is not encrypted anew."""
    end, public = moment(expires), public_identity(recipient)
    owner = open_identity(identity)
    with show.working("copying"):
        package = sharing.grant(file, public, owner=owner, purpose=purpose, expires=end)
    made = package.grants[-1]
    until = "for good" if made.expires is None else f"until {made.expires}"
    _tell(
        file,
        package,
        f'granted {file} to {public.name} ({public.fingerprint}) for "{purpose}", {until}',
        as_json,
    )


def revoke_command(
    file: FileArgument,
    recipient: Annotated[
        str,
        typer.Argument(metavar="RECIPIENT", help="A fingerprint, or a file with its identity."),
    ],
    identity: IdentityOption = DEFAULT_NAME,
    as_json: JsonOption = False,
) -> None:
    """Take RECIPIENT's grants away: the payload is encrypted under a new key.

    Whoever could open the package keeps what it opened, and can open copies of the old file.
    """
    fingerprint = (
        recipient
        if recipient.startswith("identity:")
        else public_identity(recipient, _WHO_IS_REVOKED).fingerprint
    )
    owner = open_identity(identity)
    with show.working("encrypting under a new key"):
        package = sharing.revoke(file, fingerprint, owner=owner)
    _tell(file, package, f"revoked all grants of {fingerprint} on {file}", as_json)


def rotate_command(
    file: FileArgument,
    identity: IdentityOption = DEFAULT_NAME,
    as_json: JsonOption = False,
) -> None:
    """Encrypt the payload under a new key. Grants that have not ended are kept."""
    owner = open_identity(identity)
    with show.working("encrypting under a new key"):
        package = sharing.rotate(file, owner=owner)
    _tell(
        file,
        package,
        f"encrypted {file} under a new key: generation {package.log.generation}, "
        f"{len(package.grants)} grants",
        as_json,
    )


def recipients_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .strongroom file.")],
    as_json: JsonOption = False,
) -> None:
    """List who can do what with a package. Needs no key."""
    package = read(file)
    found = sharing.listed(package, datetime.now(UTC))
    if as_json:
        show.print_json(_described(file, package))
        return
    show.print_table(
        f"{file}: generation {package.log.generation}",
        ("name", "fingerprint", "for", "until"),
        [
            (
                one.identity.name,
                one.identity.fingerprint,
                one.purpose,
                f"{one.expires or 'for good'}{', ended' if one.ended else ''}",
            )
            for one in found
        ],
    )


def open_identity(name: str) -> Identity:
    """The identity of that name; its passphrase is asked for where somebody is there to answer."""
    return IdentityStore.open(prompt=passphrase.prompt()).identity(name)


def public_identity(
    path: str, remedy: str = "Pass the .pub file that `strongroom keygen` made"
) -> PublicIdentity:
    """The public identity whose line a file holds.

    Args:
        remedy: what to do if it can't be read.

    Raises:
        KeyStoreError: SR-IDENTITY-FILE.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_MAXIMUM_LINE_BYTES + 1)
        text = data.decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise KeyStoreError(
            "SR-IDENTITY-FILE",
            f"{path[:200]!r} can't be read as a public identity: {reason}",
            remedy,
        ) from error
    try:
        return PublicIdentity.from_text(text)
    except KeyStoreError as error:
        raise KeyStoreError(error.code, f"{path[:200]!r}: {error.message}", error.remedy) from error


def moment(
    text: str | None, now: datetime | None = None, *, option: str = "--expires"
) -> datetime | None:
    """When something shall end, from what was typed; None for never.

    Args:
        option: that it was typed for.

    Raises:
        BadParameter: it is no such text.
    """
    if text is None:
        return None
    if span := _SPAN.fullmatch(text):
        count = int(span[1])
        return (datetime.now(UTC) if now is None else now) + (
            timedelta(days=count) if span[2] == "d" else timedelta(hours=count)
        )
    for form, more in (("%Y-%m-%d", timedelta(days=1)), (_MOMENT, timedelta())):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC) + more
        except (ValueError, OverflowError):
            continue
    raise typer.BadParameter(
        f"{option} {text[:40]!r} is none of 2027-01-31, 2027-01-31T12:00:00Z, 30d, 12h"
    )


def later(end: datetime | None) -> datetime | None:
    """The same end, if it is to come: else it would be refused when minutes of work are done.

    Raises:
        PackageError: SR-PACKAGE-GRANT.
    """
    now = datetime.now(UTC)
    if end is not None and end <= now:
        raise PackageError(
            "SR-PACKAGE-GRANT",
            f"a grant can't end at {end:{_MOMENT}}: it is {now:{_MOMENT}} now",
            "Choose a later end",
        )
    return end


def _tell(file: Path, package: SealedPackage, line: str, as_json: bool) -> None:
    if as_json:
        show.print_json(_described(file, package))
    else:
        print(line)


def _described(file: Path, package: SealedPackage) -> dict[str, object]:
    """A package's grants, for a program."""
    return {
        "package": str(file),
        "digest": package.digest,
        "owner": package.owner.fingerprint,
        "generation": package.log.generation,
        "recipients": [
            {
                "name": one.identity.name,
                "fingerprint": one.identity.fingerprint,
                "purpose": one.purpose,
                "granted": one.granted,
                "expires": one.expires,
                "ended": one.ended,
            }
            for one in sharing.listed(package, datetime.now(UTC))
        ],
    }
