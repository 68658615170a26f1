"""A loader for tests: a model that needs keys, and says which bytes it found.

A request is the identifier of a key set and the steps that are needed, "1,5". The answer is the
SHA-256 of all words of these keys.
"""

from __future__ import annotations

import hashlib
import os

from misbehaving_models import DIGEST, MANIFEST

from strongroom.engine import CATALOGUE, catalogued, rotation_element
from strongroom.protections.interface import KeyNeed, KeyNeeds, KeySets
from strongroom.server.model import Means, ServedModel

PARAMETERS = next(name for name, entry in CATALOGUE.items() if entry.special_primes)


def needs(*steps: int) -> KeyNeeds:
    """Rotations at two primes, and a public key."""
    parameters = catalogued(PARAMETERS)
    elements = sorted(rotation_element(parameters, step) for step in steps)
    return KeyNeeds(PARAMETERS, tuple(KeyNeed(element, 2) for element in elements), 1)


def _answer(request: bytes | memoryview, *, keys: KeySets | None = None, threads: int = 1) -> bytes:
    assert keys is not None
    key_set, text = bytes(request[:16]), bytes(request[16:]).decode()
    steps, _, command = text.partition(" ")
    needed = needs(*map(int, steps.split(",")))
    source = keys.open(key_set, needed).evaluation_keys
    found = hashlib.sha256()
    for need in needed.keys:
        found.update(source.key(need.element).native.words)
    if command == "pid":
        return str(os.getpid()).encode()
    return found.digest()


def open_model(path: str, means: Means) -> ServedModel:
    """A model of any name; `keyless` takes no keys."""
    return ServedModel(
        name=path,
        version="1",
        protection="test",
        digest=DIGEST,
        manifest_json=MANIFEST,
        request_limit=1 << 20,
        answer=_answer,
        key_needs=None if path == "keyless" else needs(1),
    )
