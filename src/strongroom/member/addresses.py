"""Where members are reached: at the URLs that they signed, or where an operator says they are now.

A committee's statement has a URL of each member, and stays for as long as the key. A member that
moves is reached where whoever asks it is told to: server, other members and coordinator. That is no
weaker than what was signed. Whoever answers at a URL has to sign as the member whose identity the
statement names (`member.channel`), and what is secret is sealed to identities and one-time keys: a
wrong URL leads to a member that does not answer, and to nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from strongroom.client.address import checked_url
from strongroom.errors import ServerError
from strongroom.keys.identity import PublicIdentity


def require_urls(moved: Mapping[str, str], field: str) -> None:
    """Every URL is one.

    Args:
        moved: URLs by member's name.
        field: what the operator knows them as.

    Raises:
        ServerError: SR-SERVER-URL, or SR-SERVER-TLS for plain http to another machine; it names
            the member, and not the URL: people put passwords there.
    """
    for name, url in moved.items():
        try:
            checked_url(url)
        except ServerError as error:
            raise ServerError(
                error.code,
                f"{field} of {name[:40]!a}: {error.message}",
                "Write it like https://hospital.example:8445",
            ) from error


def moved_members(
    committees: Iterable[Mapping[str, PublicIdentity]], moved: Mapping[str, str], field: str
) -> dict[str, str]:
    """Where members are now, by fingerprint.

    Args:
        committees: identities by name, of the members of each committee who may be named.
        moved: URLs by member's name.
        field: what the operator knows them as.

    Raises:
        ServerError: SR-SERVER-CONFIG for a name that nobody has, or that different members have;
            as `require_urls`.
    """
    require_urls(moved, field)
    found: dict[str, set[str]] = {}
    for identities in committees:
        for name, identity in identities.items():
            found.setdefault(name, set()).add(identity.fingerprint)
    urls = {}
    for name, url in moved.items():
        who = found.get(name, set())
        if len(who) > 1:
            raise ServerError(
                "SR-SERVER-CONFIG",
                f"{field} names {name}, and that is another member in each of two committees",
                "Keep these committees apart, each with a process of its own",
            )
        if not who:
            raise ServerError(
                "SR-SERVER-CONFIG",
                f"{field} names {name[:40]!a}, who is none of {', '.join(found) or 'no members'}",
                "Write a member's name as the committee has it, then =, then its URL",
            )
        urls[who.pop()] = url
    return urls


def reached_at(
    identities: Mapping[str, PublicIdentity], signed: Mapping[str, str], moved: Mapping[str, str]
) -> dict[str, str]:
    """The URL of each member, by name.

    Args:
        identities: by name.
        signed: URLs as the statement has them, by name.
        moved: that `moved_members` gave; these go before.
    """
    return {name: moved.get(one.fingerprint, signed[name]) for name, one in identities.items()}
