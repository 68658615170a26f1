"""A client's key set for a server side in the same process.

Measuring parity and `strongroom compare` run both sides against each other: the keys go from one to
the other by their bytes, as over a network, and are forgotten with the process.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from strongroom.engine import (
    EvaluationKeys,
    Parameters,
    PublicKey,
    SwitchingKey,
    catalogued,
    public_key_from_bytes,
    switching_key_from_bytes,
)
from strongroom.errors import KeyStoreError
from strongroom.protections.interface import KeyNeed, KeyNeeds, KeySetSource, asked_for


@dataclass(frozen=True, slots=True)
class LocalKeySet:
    """An `OpenKeySet` in memory: exactly the keys that were asked for.

    Attributes:
        evaluation_keys: relinearisation and Galois keys.
        public: the public key at the level that was asked for; None if none was.
    """

    evaluation_keys: EvaluationKeys
    public: PublicKey | None

    @property
    def public_key(self) -> PublicKey:
        """See `protections.interface.OpenKeySet`."""
        return asked_for(self.public)


class LocalKeySets:
    """`KeySets` of one client, in memory. Makes each key when it is first asked for; safe for
    threads.

    Args:
        source: `ClientSide.key_set` of the client that will ask.
    """

    def __init__(self, source: KeySetSource) -> None:
        self._source = source
        self._keys: dict[KeyNeed, SwitchingKey] = {}
        self._opened: dict[KeyNeeds, LocalKeySet] = {}
        self._lock = threading.Lock()

    def open(self, key_set: bytes, needs: KeyNeeds) -> LocalKeySet:
        """The keys of the client's set; see `protections.interface.KeySets.open`.

        Args:
            key_set: its identifier, 16 bytes.

        Raises:
            KeyStoreError: SR-KEYS-MISSING if the identifier is another client's.
            CiphertextError: SR-CIPHERTEXT-MISMATCH if the client makes keys of another level.
        """
        if key_set != self._source.identifier:
            raise KeyStoreError(
                "SR-KEYS-MISSING",
                "the request names a key set that is not the client's",
                "Ask with the client whose keys these are",
            )
        with self._lock:
            if needs not in self._opened:
                self._opened[needs] = self._make(needs)
            return self._opened[needs]

    def _make(self, needs: KeyNeeds) -> LocalKeySet:
        parameters = catalogued(needs.parameters)
        keys = {need.element: self._key(parameters, need) for need in needs.keys}
        public = None
        if needs.public_limbs:
            public = public_key_from_bytes(
                parameters, self._source.public_key(), limbs=needs.public_limbs
            )
        return LocalKeySet(EvaluationKeys(parameters, keys), public)

    def _key(self, parameters: Parameters, need: KeyNeed) -> SwitchingKey:
        if need not in self._keys:
            self._keys[need] = switching_key_from_bytes(
                parameters,
                self._source.evaluation_key(need),
                element=need.element,
                limbs=need.limbs,
            )
        return self._keys[need]
