"""Packages of 1 GiB: how fast they are sealed and opened, and what opening takes of memory.

    python benchmarks/sealed_package.py FILE

opens a package with the identity "default" of the key store in a process that does nothing else,
and prints one line of JSON. Sealing is `Package.save`; opening is from the path to the payload in
memory, all signatures and digests checked. A disk is as fast as it is: sealing is measured into a
file system in memory, and opening from the system's cache. Sealing to the disk, to the end of its
fsync, is measured too, beside what the disk takes for the same number of bytes without any
cryptography. Memory that the host of a virtual machine has to give it first costs seconds a GiB,
whoever touches it: so much of it is touched before.
"""

from __future__ import annotations

import itertools
import json
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from process_memory import forget_peak, peak_resident_bytes

import strongroom
from strongroom.durable import write_durably

TURNS = 5
_MEMORY = "/dev/shm"  # noqa: S108  # a folder of its own is made in it
_MEGABYTE = 1e6


def figures(package: strongroom.Package, owner: strongroom.Identity, path: Path) -> dict[str, Any]:
    """Speed and memory, medians of some turns.

    Args:
        path: of the file, which is there afterwards.
    """
    sealing, on_disk, disk, opening, peaks = [], [], [], [], []
    payload_bytes = package.manifest.payload_bytes
    for _ in range(TURNS):
        with tempfile.TemporaryDirectory(dir=_MEMORY) as folder:
            touch_memory(payload_bytes)
            began = time.perf_counter()
            package.save(Path(folder) / path.name, owner=owner)
            sealing.append(time.perf_counter() - began)
        disk.append(_written_plainly(path, payload_bytes))
        # Whatever is left to write of earlier turns is not this one's.
        os.sync()
        touch_memory(payload_bytes)
        began = time.perf_counter()
        package.save(path, owner=owner, overwrite=True)
        on_disk.append(time.perf_counter() - began)
        opened = _opened_elsewhere(path)
        opening.append(opened["seconds"])
        peaks.append(opened["peak_bytes"])
    megabytes = payload_bytes / _MEGABYTE
    return {
        "seal_mb_per_second": round(megabytes / statistics.median(sealing), 1),
        "seal_to_disk_mb_per_second": round(megabytes / statistics.median(on_disk), 1),
        "disk_mb_per_second": round(megabytes / statistics.median(disk), 1),
        "open_mb_per_second": round(megabytes / statistics.median(opening), 1),
        "open_memory_ratio": round(statistics.median(peaks) / payload_bytes, 4),
        "package_bytes": path.stat().st_size,
        "slowest_seal_mb_per_second": round(megabytes / max(sealing), 1),
        "slowest_open_mb_per_second": round(megabytes / max(opening), 1),
    }


def _written_plainly(path: Path, count: int) -> float:
    """Seconds that the disk takes for so many bytes."""
    path.unlink(missing_ok=True)
    os.sync()
    touch_memory(count)
    chunk = os.urandom(1 << 20)
    began = time.perf_counter()
    write_durably(path, itertools.repeat(chunk, count // len(chunk)), replace=True)
    return time.perf_counter() - began


def _opened_elsewhere(path: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, str(path)], stdout=subprocess.PIPE, text=True, check=True
    )
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def touch_memory(count: int) -> None:
    """Have the system hold so many bytes ready, and a fourth more."""
    with mmap.mmap(-1, count + count // 4) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        for place in range(0, len(memory), mmap.PAGESIZE):
            memory[place] = 1


def main() -> None:
    """Open one package."""
    identity = strongroom.IdentityStore.open().identity()
    sealed = strongroom.read(sys.argv[1])
    touch_memory(sealed.manifest.payload_bytes)
    forget_peak()
    began = time.perf_counter()
    package = strongroom.read(sys.argv[1]).open(identity, purpose="open")
    seconds = time.perf_counter() - began
    peak = peak_resident_bytes(os.getpid())
    assert package.digest == sealed.digest
    print(json.dumps({"seconds": seconds, "peak_bytes": peak}))


if __name__ == "__main__":
    main()
