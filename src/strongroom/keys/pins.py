"""Pins: whose each served model was when it was first trusted.

`known_owners.json` beside the keys, see `keys.record_file`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec

from strongroom.keys.identity import Fingerprint
from strongroom.keys.record_file import RecordFile

Text = Annotated[str, msgspec.Meta(max_length=2048)]


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One trusted owner.

    Attributes:
        url: of the server, without the model's path.
        model: name under which it is served.
        owner: fingerprint of the identity that signs it.
        pinned: when, UTC.
    """

    url: Text
    model: Text
    owner: Fingerprint
    pinned: Annotated[str, msgspec.Meta(max_length=20)]


class _KnownOwners(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format_version: Annotated[int, msgspec.Meta(ge=1, le=1)]
    models: tuple[Pin, ...]


class Pins:
    """The pins below one home folder, or in memory only.

    Args:
        home: the key store's home; None keeps the pins in memory.
    """

    def __init__(self, home: Path | None) -> None:
        empty = _KnownOwners(format_version=1, models=())
        loss = "it is not known whose models were trusted"
        self._file = RecordFile(home, "known_owners.json", empty, loss)

    def entries(self) -> tuple[Pin, ...]:
        """All pins, by URL and model.

        Raises:
            KeyStoreError: SR-KEYS-PERMISSIONS, SR-KEYS-FILE.
        """
        return self._file.read().models

    def get(self, url: str, model: str) -> str | None:
        """Fingerprint of the owner that was trusted for a model at a server, or None."""
        found = (pin.owner for pin in self.entries() if (pin.url, pin.model) == (url, model))
        return next(found, None)

    def pin(self, url: str, model: str, owner: str) -> str:
        """Trust an owner unless another is pinned already; return the one that counts.

        Raises:
            KeyStoreError: SR-KEYS-PERMISSIONS, SR-KEYS-FILE.
        """
        with self._file.exclusively():
            if (known := self.get(url, model)) is not None:
                return known
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            self._replace((*self.entries(), Pin(url, model, owner, now)))
            return owner

    def forget(self, url: str, model: str) -> bool:
        """Remove a pin, so that the next first use is trusted again; false if there was none."""
        with self._file.exclusively():
            kept = tuple(p for p in self.entries() if (p.url, p.model) != (url, model))
            if len(kept) == len(self.entries()):
                return False
            self._replace(kept)
            return True

    def _replace(self, pins: tuple[Pin, ...]) -> None:
        pins = tuple(sorted(pins, key=lambda pin: (pin.url, pin.model)))
        self._file.replace(_KnownOwners(format_version=1, models=pins))
