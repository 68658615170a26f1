"""How much memory a process has held, as the kernel counted it."""

from __future__ import annotations

from pathlib import Path


def peak_resident_bytes(pid: int) -> int:
    """The most that a process has held at once since it began."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise SystemExit("this system does not say how much memory a process has held")


def forget_peak() -> None:
    """Let this process's peak begin anew, at what it holds now."""
    Path("/proc/self/clear_refs").write_text("5")
