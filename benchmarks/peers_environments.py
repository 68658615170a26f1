"""Peers in environments of their own: what they pin does not install beside anything else.

An environment is made once, from requirements/peers-NAME.txt, in the benchmarks' cache folder; it
is made again when that file changes. A peer that does install beside us needs none. Each runs as a
process of its own and prints one line of JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from downloads import DownloadError, cache_folder

BENCHMARKS = Path(__file__).parent
REQUIREMENTS = BENCHMARKS.parent / "requirements"

WITHOUT_DEPENDENCIES = {"concrete_ml"}
"""What pins versions that pip refuses to install together; its file lists every package."""

BESIDE_US = {"tenseal"}
"""What the benchmarks' extra installs."""


def run_peer(name: str, *arguments: object, threads: int) -> dict[str, Any]:
    """Run peers_NAME.py in its environment; what its last line says.

    Raises:
        DownloadError: the environment can't be made.
        SystemExit: the peer failed; its output is in the message.
    """
    script = BENCHMARKS / f"peers_{name}.py"
    command = [str(_environment(name)), str(script), *map(str, arguments)]
    surroundings = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }
    surroundings |= {"OMP_NUM_THREADS": str(threads), "GOMAXPROCS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=surroundings)
    if done.returncode:
        raise SystemExit(f"{script.name} failed:\n{done.stderr[-4000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _environment(name: str) -> Path:
    """Path of the interpreter of an environment, which is made if it isn't there."""
    if name in BESIDE_US:
        return Path(sys.executable)
    requirements = REQUIREMENTS / f"peers-{name.replace('_', '-')}.txt"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    folder = cache_folder() / "environments" / name.replace("_", "-")
    python, stamp = folder / "bin" / "python", folder / "made-from"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"making an environment for {name} (some minutes)", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "-q", "-r", str(requirements)]
        if name in WITHOUT_DEPENDENCIES:
            install.append("--no-deps")
        done = subprocess.run(install, capture_output=True, text=True)
        if done.returncode:
            raise DownloadError(f"{requirements.name} can't be installed:\n{done.stderr.strip()}")
        stamp.write_text(wanted)
    return python
