"""What every process of a server does first, and those that hold keys do further."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2
_MCL_ONFAULT: Final = 4
_CAP_IPC_LOCK: Final = 14
_KEPT_CAPABILITIES: Final = (0, 1, 2, 3, _CAP_IPC_LOCK)
"""CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, for files of others; and IPC_LOCK."""
_CAPABILITY_VERSION: Final = 0x20080522


def die_with(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Get a signal from the kernel when the process that started this one ends.

    Args:
        parent: its process id; if it has ended already, so does this process.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)


def no_core_file() -> None:
    """No core file, which would hold requests and keys."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def hide_memory() -> None:
    """Keep other processes of the same user from reading and writing this one's memory, and from
    reading its environment. The kernel dumps no such process either, not even to a program that
    collects core files and does not ask for the limit."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def drop_capabilities() -> None:
    """As root, keep what opens files and locks memory, and nothing that reaches into other
    processes, which may hide their memory from their user and can't hide it from
    CAP_SYS_PTRACE. There is no way back for a process with `no_network`'s filter.

    Raises:
        OSError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    held = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; low halves, high halves
    kept = sum(1 << number for number in _KEPT_CAPABILITIES)
    if libc.capget(header, held) == 0:
        narrowed = (ctypes.c_uint32 * 6)(held[0] & kept, held[1] & kept, 0, 0, 0, 0)
        if libc.capset(header, narrowed) == 0:
            return
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))


def lock_memory() -> None:
    """Keep all memory of this process, later allocations too, from being swapped out, where the
    system lets it lock as much as it wants.

    A limit on locked memory is not used up to its end: the allocation after that would fail.
    """
    unlimited = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY
    if unlimited or _has_capability(_CAP_IPC_LOCK):
        ctypes.CDLL(None, use_errno=True).mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT)


def _has_capability(number: int) -> bool:
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = next(line.split()[1] for line in lines if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> number & 1)
