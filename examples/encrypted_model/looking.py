"""Looking for secrets in everybody's files and in the memory of all processes, as only a
demonstration can."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from examples.model_sharing.canaries import Canaries, content, memory

Where = dict[str, bool | None]
"""Of each secret, whether it was found; None where this user is not allowed to look."""


class Looking:
    """One search.

    Args:
        secrets: what is looked for, by name.
    """

    def __init__(self, secrets: Mapping[str, Canaries]) -> None:
        self._secrets = dict(secrets)
        # Keys are large, public, and the same at several parties.
        self._clean: set[bytes] = set()

    def in_files(self, folder: Path) -> Where:
        """In all files below a folder."""
        found: Where = dict.fromkeys(self._secrets, False)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            here = self._in_file(path)
            found = {name: found[name] or here[name] for name in found}
        return found

    def in_memory(self, processes: Sequence[int]) -> Where:
        """In what processes have in memory."""
        try:
            return self._in(chain.from_iterable(memory(pid) for pid in processes))
        except PermissionError:
            return dict.fromkeys(self._secrets)

    def _in_file(self, path: Path) -> Where:
        with path.open("rb") as file:
            name = hashlib.file_digest(file, "sha256").digest()
        if name in self._clean:
            return dict.fromkeys(self._secrets, False)
        found = self._in(content(path))
        if not any(found.values()):
            self._clean.add(name)
        return found

    def _in(self, parts: Iterable[bytes]) -> Where:
        found: Where = dict.fromkeys(self._secrets, False)
        for part in parts:
            for name, canaries in self._secrets.items():
                found[name] = found[name] or canaries.within(part)
        return found


def size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())
