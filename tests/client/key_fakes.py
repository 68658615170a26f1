"""A model that rotates encrypted rows: the client's side, the protection, and the server's loader.

A request is the identifier of the key set and a ciphertext with the rows' first column in its
slots; the answer is the sum of its rotations by the model's steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.canonical import canonical_json
from strongroom.engine import (
    CATALOGUE,
    Evaluator,
    SecretKey,
    catalogued,
    ciphertext_from_bytes,
    ciphertext_to_bytes,
    decode,
    encode_slots,
    rotation_element,
)
from strongroom.keys.key_sets import ClientKeySet
from strongroom.package.file import read
from strongroom.package.manifest import encode_manifest
from strongroom.protections.interface import KeyNeed, KeyNeeds, KeySets
from strongroom.receipts.authority import grant_authority
from strongroom.receipts.statement import Subject
from strongroom.server.model import Means, ServedModel

PARAMETERS: Final = next(name for name, entry in CATALOGUE.items() if entry.special_primes)
LIMBS: Final = 2
STEPS: Final = {"m": (1, 2), "grown": (1, 2, 3)}
SCALE: Final = Fraction(2**40)


def needs(model: str) -> KeyNeeds:
    """Of a model, by its name."""
    parameters = catalogued(PARAMETERS)
    elements = sorted(rotation_element(parameters, step) for step in STEPS[model])
    return KeyNeeds(PARAMETERS, tuple(KeyNeed(element, LIMBS) for element in elements), 1)


def plain(model: str, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the model answers, for as many rows as one request has."""
    column = np.concatenate([rows[:, 0], np.zeros(max(STEPS[model]))])
    return sum(column[step : step + len(rows)] for step in STEPS[model])  # type: ignore[return-value]


@dataclass
class Pending:
    """A request."""

    body: bytes
    rows: int


class RotatingSide:
    """The client's side."""

    rows_per_request = 3

    def __init__(self, secret: SecretKey, model: str) -> None:
        self._secret = secret
        self.key_set = ClientKeySet(secret, needs(model))

    def check(self, rows: NDArray[np.float64]) -> None:
        pass

    def encode(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return rows[:, 0]

    def encrypt(self, encoded: NDArray[np.float64]) -> Pending:
        plaintext = encode_slots(self._secret.parameters, encoded, SCALE, LIMBS)
        body = ciphertext_to_bytes(self._secret.encrypt(plaintext))
        return Pending(self.key_set.identifier + body, len(encoded))

    def decrypt(self, pending: Pending, response: bytes) -> NDArray[np.float64]:
        ciphertext = ciphertext_from_bytes(self._secret.parameters, response, limbs=LIMBS)
        slots = decode(self._secret.decrypt_raw_do_not_publish(ciphertext))
        return np.real(slots)[: pending.rows].reshape(-1, 1)


class RotatingProtection:
    """What `protections.by_name` gives."""

    def __init__(self, model: str) -> None:
        self.model = model

    def check(self, plan: Any, policy: Any) -> None:
        pass

    def open_client(
        self, plan: Any, keys: Any, policy: Any, *, package: str, serving: Any = None
    ) -> RotatingSide:
        parameters = catalogued(PARAMETERS)
        stored = keys.secret(PARAMETERS)
        if stored is None:
            stored = keys.store(PARAMETERS, SecretKey.generate(parameters).to_bytes())
        return RotatingSide(SecretKey.from_bytes(parameters, stored), self.model)


class _Answer:
    def __init__(self, model: str) -> None:
        self._model = model

    def __call__(
        self, request: bytes | memoryview, *, keys: KeySets | None = None, threads: int = 1
    ) -> bytes:
        assert keys is not None
        opened = keys.open(bytes(request[:16]), needs(self._model))
        ciphertext = ciphertext_from_bytes(catalogued(PARAMETERS), request[16:], limbs=LIMBS)
        evaluator = Evaluator(opened.evaluation_keys, threads)
        rotated = [evaluator.rotate(ciphertext, step) for step in STEPS[self._model]]
        total = rotated[0]
        for one in rotated[1:]:
            total = evaluator.add(total, one)
        return ciphertext_to_bytes(total)


def open_model(path: str, means: Means) -> ServedModel:
    """The server's loader: a package, served as the model that its name says."""
    package = read(path)
    assert means.keeper is not None
    package.open(means.keeper, purpose="serve")  # the server vouches for what it opened
    name = package.manifest.name
    return ServedModel(
        name=name,
        version="1",
        protection="fhe",
        digest=package.digest,
        manifest_json=encode_manifest(package.manifest).decode(),
        request_limit=1 << 20,
        answer=_Answer(name),
        key_needs=needs(name),
        owner=package.owner.to_text(),
        signatures=canonical_json(package.signatures).decode(),
        authority=grant_authority(package.grants[0]),
        subject=Subject.of(package.manifest),
    )
