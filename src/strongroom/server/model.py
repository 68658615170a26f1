"""What the server needs to know of a package: a model that answers protected requests.

A loader turns the path of a package into a `ServedModel`. It runs in worker processes only; the
front process sees the `ModelDescription` and never a payload.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec

from strongroom.keys.server_layout import Wanted

if TYPE_CHECKING:  # the front does without the engine
    from strongroom.protections.interface import KeyNeeds, KeySets


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
    """

    name: str
    version: str
    protection: str
    digest: str
    manifest_json: str
    request_limit: int
    answer: Answer
    key_needs: KeyNeeds | None = None


class Loader(Protocol):
    """Opens a package for serving; `strongroom.server.open:open_served` by default."""

    def __call__(self, path: str) -> ServedModel:
        """Open the package at `path`. Raises PackageError if it can't be served."""
        ...


class ModelDescription(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A `ServedModel` as far as the front process knows it: everything but the model.

    Attributes:
        key_parameters: the catalogue entry for which the model takes key sets; "" if for none.
        key_needs: the keys that it needs of a set.
        key_objects: bytes of each object that a key can travel as, and of the file it becomes.
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
        )
