"""KeySpool: a key on its way to a server, kept on disk until it is there.

Evaluation keys are made with fresh randomness, so a process that is killed in the middle of sending
a large one can't make it again. With its bytes on disk the next process goes on where it stopped,
and processes that send the same set at the same time send the same bytes. What is kept is public.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from strongroom.durable import write_durably
from strongroom.errors import KeyStoreError
from strongroom.keys.permissions import PRIVATE, check_folder, make_folder, read_private_file

_DIGEST_BYTES: Final = 32


class KeySpool:
    """Keys on their way, by name.

    Args:
        home: of the key store; None keeps nothing.
    """

    def __init__(self, home: Path | None) -> None:
        self._folder = None if home is None else home / "sending"

    def read(self, name: str, size: int) -> bytes | None:
        """The key of that name, if it is there, undamaged, and has that size in bytes.

        Raises:
            KeyStoreError: SR-KEYS-PERMISSIONS, SR-KEYS-FILE.
        """
        if self._folder is None or not check_folder(self._folder, PRIVATE):
            return None
        found = read_private_file(self._folder / name, _DIGEST_BYTES + size)
        if found is None:
            return None
        key = found[_DIGEST_BYTES:]
        if len(key) != size or hashlib.sha256(key).digest() != found[:_DIGEST_BYTES]:
            self.drop(name)
            return None
        return key

    def keep(self, name: str, key: bytes) -> bytes:
        """Keep a key unless there is one of that name: the one that counts.

        A disk that can't take it is no reason not to send it.
        """
        if self._folder is None:
            return key
        try:
            make_folder(self._folder)
            digest = hashlib.sha256(key).digest()
            write_durably(self._folder / name, [digest, key], replace=False)
        except FileExistsError:
            return self.read(name, len(key)) or key
        except (OSError, KeyStoreError):
            return key
        return key

    def drop(self, name: str) -> None:
        """Forget a key."""
        if self._folder is not None:
            (self._folder / name).unlink(missing_ok=True)
