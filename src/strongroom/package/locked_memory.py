"""Memory for what must not leave the process: a payload in the clear.

Not written to swap where the system lets this process lock that much (RLIMIT_MEMLOCK), left out
of core dumps, overwritten with zeros when the last view of it is gone. What it does not do: hide
from a debugger of the same user, or from root.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Final

_ZEROS: Final = bytes(2**20)


class LockedMemory(mmap.mmap):
    """Anonymous memory, private to this process; views of it keep it alive.

    Args:
        length: in bytes, at least 1.

    Attributes:
        locked: whether the system keeps it out of swap.

    Raises:
        MemoryError: there is not so much.
    """

    locked: bool

    def __new__(cls, length: int) -> LockedMemory:
        try:
            memory = super().__new__(cls, -1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError as error:
            raise MemoryError(f"there is no memory for {length} bytes") from error
        memory.madvise(mmap.MADV_DONTDUMP)
        memory.locked = _lock(memory, length)
        return memory

    def __init__(self, length: int) -> None:
        """All is done by `__new__`: a mapping can't be changed later."""

    def wipe(self) -> None:
        """Overwrite it with zeros; views of it show them."""
        for start in range(0, len(self), len(_ZEROS)):
            end = min(start + len(_ZEROS), len(self))
            self[start:end] = _ZEROS[: end - start]

    def __del__(self) -> None:
        if not self.closed:
            self.wipe()


def _lock(memory: mmap.mmap, length: int) -> bool:
    byte = ctypes.c_char.from_buffer(memory)
    library = ctypes.CDLL(None, use_errno=True)
    library.mlock.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    return int(library.mlock(ctypes.addressof(byte), length)) == 0
