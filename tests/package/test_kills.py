"""SIGKILL while a package is written: the old file, the new one, or none; never a part."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from strongroom.durable import PARTIAL_PREFIX, PARTIAL_SUFFIX

SCRIPT = Path(__file__).with_name("dying.py")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("folder")
    done = subprocess.run(
        [sys.executable, SCRIPT, folder],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_kill_at_every_step_leaves_the_old_file_or_none(found: list[dict[str, Any]]) -> None:
    steps = [one for one in found if "killed" in one]
    assert len(steps) == 12
    for one in steps:
        assert one["killed"], one
        assert one["same"], one
        assert len(one["left"]) == 1, one
        assert one["left"][0].startswith(PARTIAL_PREFIX)
        assert one["left"][0].endswith(PARTIAL_SUFFIX)


def test_a_kill_at_any_moment_of_a_rotation_leaves_a_whole_package(
    found: list[dict[str, Any]],
) -> None:
    random_moments = [one for one in found if "whole" in one]
    assert len(random_moments) == 8
    for one in random_moments:
        assert one["whole"], one
        assert one["step"] in (0, 1), one
