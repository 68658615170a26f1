"""Evaluation keys that stay on disk: mapped when an operation asks for one, unmapped in time.

A server with many tenants pays for the keys in use. Each tenant has a key file and `MappedKeys`
over it; all share one `KeyCache`, which says how much of it is mapped at a time. A mapped key takes
no memory of its own: its pages are the file's, which the system reads when they are touched and
may drop when it runs short.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from strongroom import _native
from strongroom.engine.key_files import KeyFile
from strongroom.engine.parameters import Parameters
from strongroom.engine.switching_keys import SwitchingKey, require_elements

_names = itertools.count()


class KeyCache:
    """Which keys are mapped: those used last, up to a limit. Safe to share between threads.

    A key that is let go is unmapped when nobody uses it any more, which is at once unless an
    operation is running with it. So what is mapped in all is at most the limit and the keys of
    running operations.

    Args:
        limit_bytes: how much is kept mapped. A larger key is mapped for each use.
        limit_keys: how many keys are kept mapped; before Python 3.13 each takes one of the
            process's file descriptors.
    """

    def __init__(self, limit_bytes: int, limit_keys: int = 256) -> None:
        if limit_bytes < 0 or limit_keys < 0:
            raise ValueError("a limit can't be negative")
        self.limit_bytes = limit_bytes
        self.limit_keys = limit_keys
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[int, int], tuple[SwitchingKey, int]] = OrderedDict()
        self._mapped_bytes = 0
        self._evictions = 0

    @property
    def mapped_bytes(self) -> int:
        """Bytes of the keys that it holds now."""
        return self._mapped_bytes

    @property
    def evictions(self) -> int:
        """How many keys it has let go to make room."""
        return self._evictions

    def take(
        self, owner: int, element: int, size: int, map_key: Callable[[], SwitchingKey]
    ) -> SwitchingKey:
        """A key that it holds, or that `map_key` maps: room is made before.

        Args:
            owner: whose key.
            element: which.
            size: bytes.
            map_key: called at most once.
        """
        with self._lock:
            held = self._held.get((owner, element))
            if held is not None:
                self._held.move_to_end((owner, element))
                return held[0]
            fits = size <= self.limit_bytes and self.limit_keys > 0
            if fits:
                self._make_room(self.limit_bytes - size, self.limit_keys - 1)
            key = map_key()
            if fits:
                self._held[owner, element] = (key, size)
                self._mapped_bytes += size
            return key

    def drop(self, owner: int) -> None:
        """Let all keys of an owner go."""
        with self._lock:
            for place in [place for place in self._held if place[0] == owner]:
                self._mapped_bytes -= self._held.pop(place)[1]

    def _make_room(self, size: int, count: int) -> None:
        while self._mapped_bytes > size or len(self._held) > count:
            _, (_, freed) = self._held.popitem(last=False)
            self._mapped_bytes -= freed
            self._evictions += 1


class MappedKeys:
    """The keys of a key file as a `KeySource`. Safe to use from several threads.

    Args:
        path: that `write_key_file` wrote. The file stays open; replacing it changes nothing here.
        parameters: what the keys must be for.
        cache: shared by all tenants.

    Raises:
        KeyStoreError: SR-KEYS-FILE, SR-KEYS-PERMISSIONS.
    """

    def __init__(self, path: Path, parameters: Parameters, cache: KeyCache) -> None:
        self._file = KeyFile(path, parameters)
        self._elements = frozenset(self._file.entries)
        self._cache = cache
        self._name = next(_names)
        self._lock = threading.Lock()

    @property
    def parameters(self) -> Parameters:
        """What the keys are for."""
        return self._file.parameters

    @property
    def elements(self) -> frozenset[int]:
        """Galois elements (and `RELINEARISATION`) that there are keys for."""
        return self._elements

    def key(self, element: int) -> SwitchingKey:
        """The key for an element; good for as long as somebody holds it.

        Raises:
            KeyStoreError: SR-KEYS-MISSING, or SR-KEYS-FILE if the system can't map it.
            ValueError: it is closed.
        """
        require_elements(self, (element,))
        size = self._file.entries[element].length
        # Closing meanwhile would let another file have the descriptor that is mapped here.
        with self._lock:
            return self._cache.take(self._name, element, size, lambda: self._map(element))

    def close(self) -> None:
        """Close the file and let its keys go; keys that somebody holds stay good."""
        with self._lock:
            self._file.close()
            self._cache.drop(self._name)

    def __enter__(self) -> MappedKeys:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _map(self, element: int) -> SwitchingKey:
        native = _native.SwitchingKey(
            self.parameters.native,
            element,
            self._file.entries[element].limbs,
            self._file.map_words(element),
        )
        return SwitchingKey(native, self.parameters, element)
