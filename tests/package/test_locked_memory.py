"""Memory for weights in the clear: not in core dumps, not in swap, wiped when it is done with."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from strongroom.package.locked_memory import LockedMemory


def flags(address: int) -> set[str]:
    """What the kernel says of the mapping that holds an address."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if span := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(span[1], 16) <= address < int(span[2], 16)
        elif inside and line.startswith("VmFlags:"):
            return set(line.split()[1:])
    raise AssertionError("no such mapping")


def address_of(memory: LockedMemory) -> int:
    return int(np.frombuffer(memory, np.uint8).ctypes.data)


def test_it_is_left_out_of_core_dumps_and_locked_where_allowed() -> None:
    memory = LockedMemory(10_000)
    found = flags(address_of(memory))
    assert "dd" in found  # MADV_DONTDUMP
    assert ("lo" in found) == memory.locked


def test_a_little_is_locked_by_default() -> None:
    assert LockedMemory(10_000).locked


NOBODY = """
import ctypes, os, resource
from strongroom.package.locked_memory import LockedMemory
resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
if os.geteuid() == 0:  # whose capabilities know no limits
    os.setgroups([])
    os.setuid(65534)
memory = LockedMemory(1 << 20)
memory[:3] = b"abc"
print(memory.locked, bytes(memory[:3]))
"""


def test_a_process_that_may_not_lock_goes_on_without() -> None:
    done = subprocess.run([sys.executable, "-c", NOBODY], capture_output=True, text=True)
    assert done.stdout == "False b'abc'\n", done.stderr


def test_it_is_wiped_when_the_last_view_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    gc.collect()  # what other tests left is not counted
    wiped: list[bytes] = []
    original = LockedMemory.wipe

    def watched(self: LockedMemory) -> None:
        original(self)
        wiped.append(bytes(self))

    monkeypatch.setattr(LockedMemory, "wipe", watched)
    memory = LockedMemory(5000)
    memory[:] = b"w" * 5000
    array = np.frombuffer(memoryview(memory)[64:128].toreadonly(), np.uint8)
    del memory
    gc.collect()
    assert wiped == []
    assert bytes(array) == b"w" * 64
    del array
    gc.collect()
    assert wiped == [bytes(5000)]


def test_more_than_there_is_says_so() -> None:
    with pytest.raises(MemoryError):
        LockedMemory(1 << 62)
