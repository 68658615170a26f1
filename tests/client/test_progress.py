"""The progress bar: after a delay, on a terminal, on standard error."""

from __future__ import annotations

import sys
import time

import pytest

from strongroom.client import progress
from strongroom.client.progress import RowProgress


def test_a_long_call_shows_its_rows_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "DELAY_SECONDS", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    with RowProgress(10) as bar:
        bar.advance(4)
        for _ in range(200):
            if bar._bar is not None:
                break
            time.sleep(0.05)
        bar.advance(6)
        assert bar._bar is not None
        assert bar._bar.tasks[0].completed == 10
    said = capsys.readouterr()
    assert said.out == ""
    assert "rows" in said.err


def test_a_short_call_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with RowProgress(10, shown=True) as bar:
        bar.advance(10)
        assert bar._bar is None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_without_a_terminal_nothing_is_shown(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    assert (RowProgress(10)._timer is not None) is terminal
    assert RowProgress(10, shown=False)._timer is None
