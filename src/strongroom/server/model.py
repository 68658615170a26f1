"""What the server needs to know of a package: a model that answers protected requests.

A loader turns the path of a package into a `ServedModel`. It runs in worker processes only; the
front process sees the `ModelDescription` and never a payload.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

import msgspec

from strongroom.keys.server_layout import Wanted

if TYPE_CHECKING:  # the front does without the engine, and without keys
    from strongroom.protections.interface import KeyNeeds, KeySets
    from strongroom.receipts.statement import Subject
    from strongroom.server.clock import Clock
    from strongroom.server.committees import CommitteeFolders
    from strongroom.server.keeper_link import KeeperLink


@dataclass(frozen=True, slots=True)
class Means:
    """With what a worker opens packages and requests.

    Attributes:
        keeper: the server's identity, as far as a worker may use it; None if it has none.
        clock: by which grants end and requests are too old.
        has_network: whether this process could not give up its network.
        again: whether workers of this server have loaded these packages before.
        threads: how many threads an evaluation may use.
        committees: keys of committees that models are encrypted under; None if there are none.
    """

    keeper: KeeperLink | None
    clock: Clock
    has_network: bool
    again: bool
    threads: int = 1
    committees: CommitteeFolders | None = None


def never() -> None:
    """The end of what has none."""
    return None


class Answer(Protocol):
    """Answers one opaque protected request; `protections.interface.ServerSide.answer` is one."""

    def __call__(
        self, request: bytes | memoryview, *, keys: KeySets | None = None, threads: int = 1
    ) -> bytes:
        """Answer one request.

        Args:
            request: the opaque request; a view that is valid during the call only.
            keys: the key sets of the tenant who asks, during the call only.
            threads: how many threads the evaluation may use.

        Raises:
            StrongroomError: reaches the client with its code and HTTP status.
        """
        ...


@dataclass(frozen=True, slots=True)
class Shared:
    """Of a model that is encrypted under a committee's key: its members decrypt.

    Attributes:
        committee: digest of the committee's statement.
        shown: what an asker gets of the results; the members get them whole.
    """

    committee: str
    shown: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A package, opened and ready to answer.

    Attributes:
        name: how clients address it: `/v2/models/{name}`.
        version: of the model: `/v2/models/{name}/versions/{version}`.
        protection: "fhe".
        digest: of the package: "sha256:<hex>".
        manifest_json: the exact canonical JSON text of the manifest, plan and guarantee included.
        request_limit: largest protected request in bytes.
        answer: answers one protected request.
        key_needs: the keys that it needs of an asker; None if it takes no key sets.
        owner: text of the public identity that signed the package; "" if none did.
        signatures: canonical JSON of its signatures of the manifest; "" if there are none.
        authority: that the server may serve it (`receipts.authority`); "" if nothing says so.
        ends: gives the time when that ends, UTC; None for never.
        subject: what receipts say of the package; None if there is no key to sign them.
        grant_log: generation and number of entries of its grant log; None if it has none.
        shared: if members of a committee decrypt its results; None if askers do.
    """

    name: str
    version: str
    protection: str
    digest: str
    manifest_json: str
    request_limit: int
    answer: Answer
    key_needs: KeyNeeds | None = None
    owner: str = ""
    signatures: str = ""
    authority: str = ""
    ends: Callable[[], datetime | None] = never
    subject: Subject | None = None
    grant_log: tuple[int, int] | None = None
    shared: Shared | None = None


class Loader(Protocol):
    """Opens a package for serving; `strongroom.server.open:open_served` by default."""

    def __call__(self, path: str, means: Means) -> ServedModel:
        """Open the package at `path`. Raises PackageError if it can't be served."""
        ...


class ModelDescription(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A `ServedModel` as far as the front process knows it: everything but the model.

    Attributes:
        key_parameters: the catalogue entry for which the model takes key sets; "" if for none.
        key_needs: the keys that it needs of a set.
        key_objects: bytes of each object that a key can travel as, and of the file it becomes.
        receipts: whether its answers can come with receipts.
        grant_log: see `ServedModel`.
        committee: digest of the committee whose members decrypt its results; "" if askers do.
    """

    name: str
    version: str
    protection: str
    digest: str
    manifest_json: str
    request_limit: int
    key_parameters: str = ""
    key_needs: Wanted = Wanted((), 0)
    key_objects: tuple[tuple[int, int], ...] = ()
    owner: str = ""
    signatures: str = ""
    authority: str = ""
    receipts: bool = False
    grant_log: tuple[int, int] | None = None
    committee: str = ""

    @classmethod
    def of(
        cls, model: ServedModel, key_objects: tuple[tuple[int, int], ...] = ()
    ) -> ModelDescription:
        """The description of an opened model."""
        needs = model.key_needs
        wanted = Wanted((), 0)
        if needs is not None:
            wanted = Wanted(
                tuple((need.element, need.limbs) for need in needs.keys), needs.public_limbs
            )
        return cls(
            name=model.name,
            version=model.version,
            protection=model.protection,
            digest=model.digest,
            manifest_json=model.manifest_json,
            request_limit=model.request_limit,
            key_parameters="" if needs is None else needs.parameters,
            key_needs=wanted,
            key_objects=key_objects,
            owner=model.owner,
            signatures=model.signatures,
            authority=model.authority,
            receipts=model.subject is not None,
            grant_log=model.grant_log,
            committee="" if model.shared is None else model.shared.committee,
        )
