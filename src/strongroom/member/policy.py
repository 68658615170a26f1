"""What a member's operator allows: a file that people write, or `strongroom member allow` does.

    {"format": "strongroom-member-policy-1", "not_after": "2027-06-30T00:00:00Z",
     "servers": ["strongroom-identity-1 …"],
     "clients": [{"identity": "strongroom-identity-1 …", "queries_per_day": 200}],
     "packages": [{"package": "sha256:…", "name": "diagnosis"}],
     "audit_rate": 1.0}

What is not in it is refused. It is read again when it changes, so a client that is taken out gets
no answer from the next query on.
"""

from __future__ import annotations

import os
import threading
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from strongroom.canonical import Digest, canonical_json
from strongroom.durable import write_durably
from strongroom.errors import CommitteeError, ServerError, StrongroomError
from strongroom.keys.identity import Fingerprint, PublicIdentity
from strongroom.keys.query import MAXIMUM_RESULTS
from strongroom.moments import Moment, parse_moment

_MAXIMUM_BYTES: Final = 16 * 2**20

_IdentityText = Annotated[str, msgspec.Meta(max_length=8192)]
_Daily = Annotated[int, msgspec.Meta(ge=1, le=2**40)]


class ClientRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A client that may ask.

    Attributes:
        identity: the text of its public identity.
        packages: digests of those that it may ask; all that the policy names if None.
        queries_per_day: result ciphertexts that it gets in a UTC day; a query may want several.
        not_after: UTC, from when on it gets nothing more.
    """

    identity: _IdentityText
    packages: Annotated[tuple[Digest, ...], msgspec.Meta(max_length=4096)] | None = None
    queries_per_day: _Daily | None = None
    not_after: Moment | None = None


class PackageRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A model whose results may be opened.

    Attributes:
        package: digest.
        name: for people.
        queries_per_day: result ciphertexts that all clients together get in a UTC day.
        not_after: UTC, from when on nothing of it is opened.
    """

    package: Digest
    name: Annotated[str, msgspec.Meta(max_length=100)] = ""
    queries_per_day: _Daily | None = None
    not_after: Moment | None = None


class SetupRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A committee that this member may help to make, or to refresh.

    Attributes:
        coordinator: the text of its public identity.
        access: the access structure, exactly as the proposal has it.
        members: fingerprints of all members, in its order.
        share_budget: the most that the key may allow.
    """

    coordinator: _IdentityText
    access: Annotated[str, msgspec.Meta(max_length=512)]
    members: Annotated[tuple[Fingerprint, ...], msgspec.Meta(min_length=1, max_length=5)]
    share_budget: Annotated[int, msgspec.Meta(ge=1, le=2**40)] = 2**20


class MemberPolicy(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, dict=True
):
    """What is allowed.

    Attributes:
        format: of this file.
        not_after: UTC, from when on nothing is answered any more.
        servers: texts of the public identities of servers that may bring results.
        clients: who may ask.
        packages: what may be asked.
        audit_rate: share of the queries whose result is computed again before it is answered, from
            0 to 1. What a server makes up and is answered for can tell a client on its side the
            member's parts, so less than 1 is for servers that are trusted.
        results_per_query: result ciphertexts that one query may want.
        query_age_seconds: how old a query may be when it is first answered.
        witnesses: peers that have to countersign the log.
        unwitnessed: answers that may be given before they have.
        setup: the committee that may be made; None if none.
    """

    format: Literal["strongroom-member-policy-1"]
    not_after: Moment
    servers: Annotated[tuple[_IdentityText, ...], msgspec.Meta(max_length=64)] = ()
    clients: Annotated[tuple[ClientRule, ...], msgspec.Meta(max_length=65_536)] = ()
    packages: Annotated[tuple[PackageRule, ...], msgspec.Meta(max_length=4096)] = ()
    audit_rate: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 1.0
    results_per_query: Annotated[int, msgspec.Meta(ge=1, le=MAXIMUM_RESULTS)] = 64
    query_age_seconds: Annotated[int, msgspec.Meta(ge=10, le=86_400)] = 600
    witnesses: Annotated[int, msgspec.Meta(ge=0, le=4)] = 1
    unwitnessed: Annotated[int, msgspec.Meta(ge=1, le=2**20)] = 64
    setup: SetupRule | None = None

    def __post_init__(self) -> None:
        parse_moment(self.not_after)
        for end in [one.not_after for one in self.clients] + [
            one.not_after for one in self.packages
        ]:
            if end is not None:
                parse_moment(end)
        if len(self._clients) != len(self.clients) or len(self._packages) != len(self.packages):
            raise ValueError("a client or a package is named twice")
        if len(self.server_identities) != len(self.servers):
            raise ValueError("a server is named twice")

    @cached_property
    def server_identities(self) -> dict[str, PublicIdentity]:
        """Who may bring results, by fingerprint."""
        found = [PublicIdentity.from_text(text) for text in self.servers]
        return {one.fingerprint: one for one in found}

    @cached_property
    def _clients(self) -> dict[str, tuple[PublicIdentity, ClientRule]]:
        found = [(PublicIdentity.from_text(rule.identity), rule) for rule in self.clients]
        return {identity.fingerprint: (identity, rule) for identity, rule in found}

    @cached_property
    def _packages(self) -> dict[str, PackageRule]:
        return {rule.package: rule for rule in self.packages}

    def client(self, fingerprint: str) -> tuple[PublicIdentity, ClientRule]:
        """An enrolled client.

        Raises:
            CommitteeError: SR-MEMBER-POLICY (403).
        """
        found = self._clients.get(fingerprint)
        if found is None:
            raise refused(f"client {fingerprint} is not enrolled")
        return found

    def package(self, client: ClientRule, package: str, now: datetime) -> PackageRule:
        """What is allowed of a package, if a client may ask it now.

        Raises:
            CommitteeError: SR-MEMBER-POLICY (403).
        """
        rule = self._packages.get(package)
        if rule is None or (client.packages is not None and package not in client.packages):
            raise refused(f"package {package} is not allowed to this client")
        for what, end in (
            ("the policy", self.not_after),
            ("the client's enrolment", client.not_after),
            ("the package", rule.not_after),
        ):
            if end is not None and now >= parse_moment(end):
                raise refused(f"{what} ended at {end}")
        return rule


class PolicyFile:
    """The policy in a file, as it is now. Safe for threads.

    Args:
        path: of the file.

    Raises:
        ServerError: SR-SERVER-CONFIG if it can't be read or is wrong.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int, int] | None = None
        self._policy: MemberPolicy
        self.current()

    def current(self) -> MemberPolicy:
        """The policy.

        Raises:
            ServerError: SR-SERVER-CONFIG if it can't be read any more, or is wrong now: an older
                one is not used instead, since what was taken out must stay out.
        """
        with self._lock:
            try:
                state = os.stat(self._path)
            except OSError as error:
                raise _unreadable(self._path, error) from error
            stamp = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
            if stamp != self._stamp:
                self._policy = read_policy(self._path)
                self._stamp = stamp
            return self._policy


def read_policy(path: Path) -> MemberPolicy:
    """Read a policy.

    Raises:
        ServerError: SR-SERVER-CONFIG.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAXIMUM_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        if len(text) > _MAXIMUM_BYTES:
            raise ValueError(f"it is larger than {_MAXIMUM_BYTES} bytes")
        return msgspec.json.decode(text, type=MemberPolicy)
    except (msgspec.MsgspecError, ValueError, RecursionError, StrongroomError) as error:
        raise ServerError(
            "SR-SERVER-CONFIG", f"the policy {path} is wrong: {error}", "Correct that field"
        ) from error


def write_policy(path: Path, policy: MemberPolicy, *, replace: bool) -> None:
    """Write a policy, whole or not at all.

    Raises:
        ServerError: SR-SERVER-CONFIG if it can't be written, or may not be replaced.
    """
    text = msgspec.json.format(canonical_json(policy), indent=2) + b"\n"
    try:
        write_durably(path, [text], replace=replace)
    except OSError as error:
        raise ServerError(
            "SR-SERVER-CONFIG",
            f"the policy {path} can't be written ({error.strerror})",
            "Choose another path, or check its permissions",
        ) from error


def refused(what: str) -> CommitteeError:
    """The error for what the operator does not allow."""
    return CommitteeError(
        "SR-MEMBER-POLICY",
        what,
        "Ask the operator of this member",
        http_status=403,
    )


def _unreadable(path: Path, error: OSError) -> ServerError:
    return ServerError(
        "SR-SERVER-CONFIG",
        f"the policy {path} can't be read ({error.strerror})",
        "Check its path and permissions",
    )
