"""Public keys that a server has just seen, unpacked.

A client sends one public key with all requests of a session, and unpacking and expanding it costs
as much as the inner products. A key in here is used only for a request that holds the very same
bytes, so that requests remain independent of what came before.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from strongroom import engine
from strongroom.engine import Parameters, PublicKey

_NAME_BYTES: Final = 76
"""Header and seed of a serialised key: enough to find it again."""


class KeyCache:
    """The last few public keys of one parameter set, least recently used out first; for threads."""

    def __init__(self, parameters: Parameters, limbs: int, most: int = 16) -> None:
        self._parameters = parameters
        self._limbs = limbs
        self._most = most
        self._keys: OrderedDict[bytes, tuple[bytes, PublicKey]] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, data: memoryview) -> PublicKey:
        """The public key in some bytes.

        Raises:
            CiphertextError: as `engine.public_key_from_bytes`.
        """
        # Comparing bytes is one pass of memcmp; comparing a view goes item by item.
        found = bytes(data)
        name = found[:_NAME_BYTES]
        with self._lock:
            known = self._keys.get(name)
            if known is not None and known[0] == found:
                self._keys.move_to_end(name)
                return known[1]
        key = engine.public_key_from_bytes(self._parameters, data, limbs=self._limbs)
        with self._lock:
            self._keys[name] = (found, key)
            self._keys.move_to_end(name)
            while len(self._keys) > self._most:
                self._keys.popitem(last=False)
        return key
