"""What users get has no way around the security table."""

from __future__ import annotations

import inspect
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import strongroom
from strongroom import _native, _native_testing, engine

PROJECT = Path(__file__).parents[2]
WAYS_AROUND = ("without", "unchecked", "insecure_", "bypass", "testing", "unsafe", "skip")


def names_of(thing: object) -> set[str]:
    """Attributes of a module or class and of the classes in it."""
    names = set(dir(thing))
    for _, inner in inspect.getmembers(thing, inspect.isclass):
        names |= set(dir(inner))
    return names


def test_the_native_module_names_no_way_around_the_table() -> None:
    suspicious = {n for n in names_of(_native) if any(w in n.lower() for w in WAYS_AROUND)}
    assert suspicious == set()
    suspicious = {n for n in names_of(engine) if any(w in n.lower() for w in WAYS_AROUND)}
    assert suspicious == set()


def test_the_native_binary_does_not_hold_the_way_around() -> None:
    way_around = b"without_security"
    assert _native.__file__ is not None
    assert way_around not in Path(_native.__file__).read_bytes()
    # Where it is, these bytes are too: the search would have found it.
    assert way_around in Path(_native_testing.__file__).read_bytes()


@pytest.mark.filterwarnings("ignore:nanobind. attempted to access an uninitialized instance")
def test_native_parameters_are_made_by_the_checked_constructor_alone() -> None:
    for empty in (
        lambda: _native.Parameters(),  # type: ignore[call-arg]
        lambda: _native.Parameters(4096, [4294828033] * 1, [], "none"),
        lambda: _native.Parameters(16, [97], [], "classical-128"),
    ):
        with pytest.raises((TypeError, ValueError)):
            empty()
    # An instance that skipped its constructor is refused by whatever takes it.
    hollow = _native.Parameters.__new__(_native.Parameters)
    with pytest.raises((TypeError, RuntimeError)):
        _native.SecretKey.generate(hollow)


def test_nothing_in_the_package_imports_the_testing_module() -> None:
    sources = Path(strongroom.__file__).parent.rglob("*.py")
    assert [p for p in sources if "_native_testing" in p.read_text()] == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_wheel_holds_the_core_and_nothing_for_tests(tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
        *("--config-settings", "cmake.define.STRONGROOM_TESTING=OFF"),
        *("--config-settings", f"build-dir={tmp_path / 'build'}"),
        *("--wheel-dir", str(tmp_path), str(PROJECT)),
    ]
    subprocess.run(command, check=True, timeout=800)
    (wheel,) = tmp_path.glob("strongroom-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (core,) = [n for n in names if n.startswith("strongroom/_native.") and n.endswith(".so")]
        assert [n for n in names if "testing" in n or n.startswith("tests")] == []
        assert "strongroom/py.typed" in names
        assert b"without_security" not in archive.read(core)
