"""The cost model of this machine: measured once, then kept in memory and on disk.

On disk it is `$XDG_CACHE_HOME/strongroom/engine-costs-<digest>.json`, or below `~/.cache`; the
digest is of what times depend on: version and build of this package, kernel, processor. A file that
says otherwise or is damaged is measured again and replaced, and so is one that was measured beside
other processes an hour ago or more. Where there is no place for a file, memory alone keeps the
result.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import math
import os
import platform
import threading
import time
from dataclasses import astuple
from pathlib import Path
from typing import Final

import msgspec

from strongroom import _native
from strongroom.durable import write_durably
from strongroom.engine.calibration import measure
from strongroom.engine.cost_model import CostModel

FORMAT: Final = 3
"""Of the file. It changes with the kinds of work, and with how they are counted."""

_RESTLESS_SECONDS: Final = 3600.0
"""How long the measurement of a busy machine serves."""

_MOST_BYTES: Final = 1 << 16
_RING_DEGREES: Final = range(2**4, 2**17 + 1)

_models: dict[str, CostModel] = {}
_lock: Final = threading.Lock()


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is on disk."""

    format: int
    machine: dict[str, str]
    model: CostModel


def cost_model(kernel: str) -> CostModel:
    """The cost model of this machine.

    The first call on a machine measures, for about three seconds; others that come meanwhile wait.

    Args:
        kernel: as `Parameters.kernel` has it.
    """
    with _lock:
        if kernel not in _models:
            _models[kernel] = _stored_or_measured(kernel)
        return _models[kernel]


def cache_folder() -> Path | None:
    """Where the file lies; None if neither the environment nor the system names a place.

    The XDG base directory specification has relative paths ignored.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(named):
        return Path(named) / "strongroom"
    try:
        return Path.home() / ".cache" / "strongroom"
    except RuntimeError:
        return None


def _stored_or_measured(kernel: str) -> CostModel:
    machine = _machine(kernel)
    folder = cache_folder()
    if folder is None:
        return measure(kernel)
    text = "\n".join(f"{name}={value}" for name, value in sorted(machine.items()))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    path = folder / f"engine-costs-{digest}.json"
    stored = _read(path, machine)
    if stored is not None:
        return stored
    model = measure(kernel)
    _write(path, _File(FORMAT, machine, model))
    return model


def _read(path: Path, machine: dict[str, str]) -> CostModel | None:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
            age_seconds = time.time() - os.fstat(file.fileno()).st_mtime
        if len(data) > _MOST_BYTES:
            return None
        found = msgspec.json.decode(data, type=_File)
    except (OSError, msgspec.DecodeError):
        return None
    if found.format != FORMAT or found.machine != machine or not _plausible(found.model, machine):
        return None
    if not (found.model.quiet or 0.0 <= age_seconds < _RESTLESS_SECONDS):
        return None
    return found.model


def _plausible(model: CostModel, machine: dict[str, str]) -> bool:
    times = [time for rows in model.rows.values() for time in astuple(rows)]
    return (
        model.kernel == machine["kernel"]
        and len(model.rows) > 0
        and all(degree in _RING_DEGREES for degree in model.rows)
        and all(math.isfinite(time) and time >= 0.0 for time in times)
        and all(rows.transforms > 0.0 for rows in model.rows.values())
        and model.parallel_gains.keys() == model.rows.keys()
        and all(1.0 <= gain <= 2.0 for gain in model.parallel_gains.values())
    )


def _write(path: Path, file: _File) -> None:
    """Best effort: a full disk or a folder of somebody else's only costs the next process time."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(path, [msgspec.json.encode(file)], replace=True)
    except OSError:
        pass


def _machine(kernel: str) -> dict[str, str]:
    """What times depend on."""
    try:
        version = importlib.metadata.version("strongroom")
    except importlib.metadata.PackageNotFoundError:  # run from a source tree
        version = ""
    try:
        built = os.stat(str(_native.__file__))
        build = f"{built.st_size}-{built.st_mtime_ns}"
    except OSError:
        build = ""
    return {
        "version": version,
        "build": build,
        "kernel": kernel,
        "processor": _processor(),
        "processors": str(os.cpu_count()),
    }


def _processor() -> str:
    """Its model's name."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() == "model name":
                    return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
