"""Key sets in memory: the keys that come out are those that the client made."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from strongroom import engine
from strongroom.engine.catalogue import CATALOGUE, CatalogueEntry
from strongroom.errors import CiphertextError, KeyStoreError
from strongroom.keys.local_sets import LocalKeySets
from strongroom.protections.interface import KeyNeed, KeyNeeds

ENTRY = CatalogueEntry(
    "local-sets-test", 2**12, (268460033, 268582913), (1073750017,), "classical-128"
)


SCALE = Fraction(2**24)


class Source:
    """A client's end that counts what it makes."""

    identifier = b"0123456789abcdef"

    def __init__(self, needs: KeyNeeds) -> None:
        self.needs = needs
        self.secret = engine.SecretKey.generate(engine.catalogued(needs.parameters))
        self.made: list[KeyNeed] = []

    def evaluation_key(self, need: KeyNeed) -> bytes:
        self.made.append(need)
        return engine.switching_key_to_bytes(self.secret.switching_key(need.element, need.limbs))

    def public_key(self) -> bytes:
        return engine.public_key_to_bytes(self.secret.public_key(self.needs.public_limbs))


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Source:
    monkeypatch.setitem(CATALOGUE, ENTRY.name, ENTRY)
    rotation = engine.rotation_element(engine.catalogued(ENTRY.name), 1)
    return Source(KeyNeeds(ENTRY.name, (KeyNeed(rotation, 2),), public_limbs=1))


def test_keys_compute_and_encrypt_for_the_client_s_secret(source: Source) -> None:
    opened = LocalKeySets(source).open(source.identifier, source.needs)
    parameters = opened.public_key.parameters
    values = np.linspace(-1.0, 1.0, parameters.ring_degree // 2)

    ciphertext = source.secret.encrypt(engine.encode_slots(parameters, values, SCALE, 2))
    rotated = engine.Evaluator(opened.evaluation_keys, threads=1).rotate(ciphertext, 1)
    found = engine.decode(source.secret.decrypt_raw_do_not_publish(rotated))
    np.testing.assert_allclose(found.real, np.roll(values, -1), atol=1e-2)

    ciphertext = opened.public_key.encrypt(engine.encode_slots(parameters, values, SCALE, 1))
    found = engine.decode(source.secret.decrypt_raw_do_not_publish(ciphertext))
    np.testing.assert_allclose(found.real, values, atol=1e-2)


def test_a_key_is_made_once(source: Source) -> None:
    sets = LocalKeySets(source)
    first = sets.open(source.identifier, source.needs)
    assert source.made == list(source.needs.keys)
    assert sets.open(source.identifier, source.needs) is first
    (rotation,) = source.needs.keys
    more = KeyNeeds(ENTRY.name, (KeyNeed(engine.RELINEARISATION, 2), rotation), public_limbs=1)
    opened = sets.open(source.identifier, more)
    assert opened.evaluation_keys.elements == {engine.RELINEARISATION, rotation.element}
    assert source.made == [rotation, KeyNeed(engine.RELINEARISATION, 2)]


def test_another_client_s_set_is_missing(source: Source) -> None:
    with pytest.raises(KeyStoreError) as caught:
        LocalKeySets(source).open(b"another client's", source.needs)
    assert caught.value.code == "SR-KEYS-MISSING"
    assert source.made == []


def test_a_public_key_of_another_level_is_refused(source: Source) -> None:
    with pytest.raises(CiphertextError) as caught:
        LocalKeySets(source).open(
            source.identifier, KeyNeeds(ENTRY.name, source.needs.keys, public_limbs=2)
        )
    assert caught.value.code == "SR-CIPHERTEXT-MISMATCH"
