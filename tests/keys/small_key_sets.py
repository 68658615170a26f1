"""Key sets over a ring that is small but inside the security table, and their way to a server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from strongroom.engine import (
    CatalogueEntry,
    KeySource,
    SecretKey,
    catalogued,
    rotation_element,
)
from strongroom.keys.key_sets import ClientKeySet
from strongroom.keys.server_layout import KeySetFolder, Wanted
from strongroom.keys.server_objects import object_sizes, store_object
from strongroom.keys.server_store import ObjectState, ServerKeyStore
from strongroom.protections.interface import KeyNeed, KeyNeeds

NAME: Final = "n12-tests"
ENTRY: Final = CatalogueEntry(
    NAME, 2**12, (1073692673, 1073668097), (68719403009,), "classical-128"
)
PUBLIC_LIMBS: Final = 2
UPLOAD_SECONDS: Final = 3600.0


def needs(*steps: int, limbs: int = 2, public_limbs: int = PUBLIC_LIMBS) -> KeyNeeds:
    """Products at `limbs` and rotations by some steps."""
    parameters = catalogued(NAME)
    elements = sorted({0, *(rotation_element(parameters, step) for step in steps)})
    return KeyNeeds(NAME, tuple(KeyNeed(element, limbs) for element in elements), public_limbs)


def client_keys(*steps: int, secret: SecretKey | None = None, limbs: int = 2) -> ClientKeySet:
    """A client's end of a key set."""
    secret = secret or SecretKey.generate(catalogued(NAME))
    return ClientKeySet(secret, needs(*steps, limbs=limbs))


def objects(source: ClientKeySet) -> list[bytes]:
    """All that travels: the public key, then the evaluation keys."""
    return [source.public_key(), *(source.evaluation_key(need) for need in source.needs.keys)]


def open_store(folder: Path, **limits: int) -> ServerKeyStore:
    """A server's key store for this ring."""
    amounts = {"tenant_bytes": 1 << 30, "total_bytes": 1 << 40} | limits
    sizes = {NAME: dict(object_sizes(catalogued(NAME)))}
    return ServerKeyStore(folder, sizes, upload_seconds=UPLOAD_SECONDS, **amounts)


def folder_of(store: ServerKeyStore, tenant: str, source: ClientKeySet) -> KeySetFolder:
    """Where a client's set is."""
    return store.folder(tenant, NAME, source.identifier.hex())


def send(
    store: ServerKeyStore, folder: KeySetFolder, content: bytes, chunk_bytes: int = 40_000
) -> ObjectState:
    """Send one object as a client would, from where it stopped, and let it be checked."""
    digest = hashlib.sha256(content).hexdigest()
    state = store.state(folder, digest)
    while not state.stored:
        at = state.received_bytes
        chunk = content[at : at + chunk_bytes]
        state = store.append(folder, digest, len(content), at, chunk)
        if state.received_bytes == len(content) and not state.stored:
            store_object(folder, folder.upload(digest, len(content)))
            store.finish(folder, digest, len(content))
            return ObjectState(len(content), stored=True)
    return state


def send_all(store: ServerKeyStore, tenant: str, source: ClientKeySet) -> KeySetFolder:
    """Send a whole set."""
    folder = folder_of(store, tenant, source)
    for content in objects(source):
        send(store, folder, content)
    return folder


def wanted(needed: KeyNeeds) -> Wanted:
    """Needs as the front knows them."""
    keys = tuple((need.element, need.limbs) for need in needed.keys)
    return Wanted(keys, needed.public_limbs)


def words(source: KeySource, elements: Iterable[int]) -> dict[int, bytes]:
    """The words of some keys."""
    return {element: source.key(element).native.words.tobytes() for element in elements}
