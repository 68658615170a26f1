"""The file: whole or refused, atomic, private."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom.compiler.plan import Plan
from strongroom.durable import PARTIAL_PREFIX, PARTIAL_SUFFIX
from strongroom.errors import PackageError
from strongroom.package.file import MAGIC, Package, load
from strongroom.package.manifest import Parity, encode_manifest

_FIXTURE = HealthCheck.function_scoped_fixture


def section(
    tag: bytes, body: bytes, *, length: int | None = None, reserved: bytes = bytes(4)
) -> bytes:
    size = len(body) if length is None else length
    return struct.pack("<4s4sQ32s", tag, reserved, size, hashlib.sha256(body).digest()) + body


def assemble(*sections: bytes, magic: bytes = MAGIC, version: int = 1, count: int = 2) -> bytes:
    return struct.pack("<8sII", magic, version, count) + b"".join(sections)


def test_the_file_is_what_the_specification_says(package: Package, tmp_path: Path) -> None:
    package.save(tmp_path / "m.strongroom")
    manifest = encode_manifest(package.manifest)
    expected = assemble(section(b"MANI", manifest), section(b"PAYL", package.payload))
    assert (tmp_path / "m.strongroom").read_bytes() == expected


def test_loading_gives_back_the_package(package: Package, tmp_path: Path) -> None:
    package.save(tmp_path / "m.strongroom")
    loaded = load(str(tmp_path / "m.strongroom"))
    assert loaded == package
    assert loaded.digest == package.digest


@settings(max_examples=25, deadline=None, suppress_health_check=[_FIXTURE])
@given(
    payload=st.binary(max_size=5000),
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", fullmatch=True),
    release=st.integers(1, 2**53),
    error=st.floats(0, 1e300),
)
def test_any_package_survives_the_way_to_disk_and_back(
    plan: Plan, payload: bytes, name: str, release: int, error: float
) -> None:
    parity = Parity(rows=3, agreement=1.0, max_score_error=error)
    package = Package.create(name=name, plan=plan, payload=payload, parity=parity, release=release)
    with tempfile.TemporaryDirectory() as folder:
        package.save(Path(folder, "m"))
        assert load(Path(folder, "m")) == package


FAULTS: dict[str, Callable[[bytes, bytes], bytes]] = {
    "empty": lambda m, p: b"",
    "magic_truncated": lambda m, p: MAGIC[:5],
    "header_truncated": lambda m, p: assemble()[:-1],
    "other_magic": lambda m, p: assemble(section(b"MANI", m), section(b"PAYL", p), magic=b"PK" * 4),
    "text_mode_damage": lambda m, p: assemble(section(b"MANI", m), section(b"PAYL", p)).replace(
        b"\r\n", b"\n"
    ),
    "version_zero": lambda m, p: assemble(section(b"MANI", m), section(b"PAYL", p), version=0),
    "no_sections": lambda m, p: assemble(count=0),
    "one_section": lambda m, p: assemble(section(b"MANI", m), count=1),
    "count_too_large": lambda m, p: assemble(
        section(b"MANI", m), section(b"PAYL", p), count=2**32 - 1
    ),
    "second_section_missing": lambda m, p: assemble(section(b"MANI", m)),
    "section_twice": lambda m, p: assemble(section(b"MANI", m), section(b"MANI", m)),
    "sections_swapped": lambda m, p: assemble(section(b"PAYL", p), section(b"MANI", m)),
    "unknown_section": lambda m, p: assemble(section(b"MANI", m), section(b"EVIL", p)),
    "third_section": lambda m, p: assemble(
        section(b"MANI", m), section(b"PAYL", p), section(b"EVIL", p), count=3
    ),
    "trailing_byte": lambda m, p: assemble(section(b"MANI", m), section(b"PAYL", p)) + b"\0",
    "body_truncated": lambda m, p: assemble(section(b"MANI", m), section(b"PAYL", p))[:-1],
    "section_header_truncated": lambda m, p: assemble(section(b"MANI", m), section(b"PAYL", p))[
        : -len(p) - 3
    ],
    "length_beyond_file": lambda m, p: assemble(
        section(b"MANI", m), section(b"PAYL", p, length=len(p) + 1)
    ),
    "length_of_a_petabyte": lambda m, p: assemble(
        section(b"MANI", m), section(b"PAYL", p, length=2**50)
    ),
    "length_all_ones": lambda m, p: assemble(section(b"MANI", m, length=2**64 - 1)),
    "length_short": lambda m, p: assemble(
        section(b"MANI", m), section(b"PAYL", p, length=len(p) - 1)
    ),
    "reserved_not_zero": lambda m, p: assemble(
        section(b"MANI", m), section(b"PAYL", p, reserved=b"\0\0\0\1")
    ),
    "manifest_not_json": lambda m, p: assemble(section(b"MANI", b"\x80\x04."), section(b"PAYL", p)),
    "manifest_not_canonical": lambda m, p: assemble(
        section(b"MANI", m + b" "), section(b"PAYL", p)
    ),
    "manifest_empty": lambda m, p: assemble(section(b"MANI", b""), section(b"PAYL", p)),
    "other_payload": lambda m, p: assemble(section(b"MANI", m), section(b"PAYL", p[:-1] + b"!")),
    "longer_payload": lambda m, p: assemble(section(b"MANI", m), section(b"PAYL", p + b"!")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_malformed_file_is_refused(package: Package, tmp_path: Path, fault: str) -> None:
    path = tmp_path / "m.strongroom"
    path.write_bytes(FAULTS[fault](encode_manifest(package.manifest), package.payload))
    with pytest.raises(PackageError) as caught:
        load(path)
    assert caught.value.code == "SR-PACKAGE-FILE"
    assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None, suppress_health_check=[_FIXTURE])
@given(place=st.integers(0), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found_wherever_it_is(package: Package, place: int, bit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m")
        package.save(path)
        data = bytearray(path.read_bytes())
        data[place % len(data)] ^= 1 << bit
        path.write_bytes(data)
        with pytest.raises(PackageError):
            load(path)


def test_every_truncation_is_found(package: Package, tmp_path: Path) -> None:
    path = tmp_path / "m"
    package.save(path)
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(PackageError) as caught:
            load(path)
        assert caught.value.code == "SR-PACKAGE-FILE"


def test_a_newer_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(assemble(b"what a later version may hold", version=2))
    with pytest.raises(PackageError, match="format version 2") as caught:
        load(path)
    assert caught.value.code == "SR-PACKAGE-VERSION"


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, tmp_path / "absent"):
        with pytest.raises(PackageError) as caught:
            load(path)
        assert caught.value.code == "SR-PACKAGE-FILE"


def test_a_package_is_private_to_its_owner_whatever_the_umask(
    package: Package, tmp_path: Path
) -> None:
    earlier = os.umask(0)
    try:
        package.save(tmp_path / "m")
    finally:
        os.umask(earlier)
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o600


def test_an_existing_file_is_kept_unless_overwriting_is_asked_for(
    package: Package, tmp_path: Path
) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"precious")
    with pytest.raises(PackageError) as caught:
        package.save(path)
    assert caught.value.code == "SR-PACKAGE-EXISTS"
    assert path.read_bytes() == b"precious"
    package.save(path, overwrite=True)
    assert load(path) == package
    assert os.listdir(tmp_path) == ["m"]


def test_a_dangling_link_is_not_written_through(package: Package, tmp_path: Path) -> None:
    (tmp_path / "m").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PackageError) as caught:
        package.save(tmp_path / "m")
    assert caught.value.code == "SR-PACKAGE-EXISTS"
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_missing_is_one_clear_line(package: Package, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="can't be written: No such file") as caught:
        package.save(tmp_path / "absent" / "m")
    assert caught.value.code == "SR-PACKAGE-FILE"


def test_a_disk_that_fills_up_leaves_nothing(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PackageError, match="No space left"):
        package.save(tmp_path / "m")
    assert os.listdir(tmp_path) == []


def test_without_hard_links_a_package_is_still_saved_and_still_not_overwritten(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(source: object, target: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    package.save(tmp_path / "m")
    with pytest.raises(PackageError) as caught:
        package.save(tmp_path / "m")
    assert caught.value.code == "SR-PACKAGE-EXISTS"
    assert load(tmp_path / "m") == package
    assert os.listdir(tmp_path) == ["m"]


_KILLED = """
import os, signal, sys
from strongroom.package.file import Package, load
name, overwrite, source, target = sys.argv[1:]
package = load(source)
calls = {"write": "fdopen", "fsync": "fsync", "move": "replace" if overwrite == "1" else "link"}
original = getattr(os, calls[name])
def die(*arguments, **options):
    if name == "write":
        file = original(*arguments, **options)
        file.write(b"half of it")
        file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
setattr(os, calls[name], die)
package.save(target, overwrite=overwrite == "1")
"""


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("moment", ["write", "fsync", "move"])
def test_a_kill_in_the_middle_of_saving_leaves_the_old_file_or_none(
    package: Package, tmp_path: Path, moment: str, overwrite: bool
) -> None:
    source, folder = tmp_path / "source", tmp_path / "folder"
    package.save(source)
    folder.mkdir()
    target = folder / "m"
    if overwrite:
        target.write_bytes(b"the old one")
    ended = subprocess.run(
        [sys.executable, "-c", _KILLED, moment, str(int(overwrite)), str(source), str(target)]
    )
    assert ended.returncode == -signal.SIGKILL
    assert (target.read_bytes() == b"the old one") if overwrite else not target.exists()
    stale = [path.name for path in folder.iterdir() if path != target]
    assert len(stale) == 1
    assert stale[0].startswith(PARTIAL_PREFIX)
    assert stale[0].endswith(PARTIAL_SUFFIX)


def test_weights_stay_out_of_text(plan: Plan, parity: Parity, tmp_path: Path) -> None:
    canary = b"canary-4711-weights"
    package = Package.create(name="m", plan=plan, payload=canary, parity=parity)
    path = tmp_path / "m"
    package.save(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(PackageError) as caught:
        load(path)
    assert "canary" not in repr(package) + repr(caught.value) + str(caught.value)
