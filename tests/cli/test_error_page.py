"""The published list of error codes is the one in the code."""

from __future__ import annotations

from pathlib import Path

from strongroom.errors import CODES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "errors.md"


def test_page_lists_every_code_with_its_meaning() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if "| `SR-" in line]
    listed = dict(line.strip("| ").split("` | ", 1) for line in rows)
    assert {code.lstrip("`"): meaning for code, meaning in listed.items()} == CODES, (
        "run `make format` to bring docs/errors.md up to date"
    )
