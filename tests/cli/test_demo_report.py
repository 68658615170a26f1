"""The demo's report: complete, self-contained, and free of markup from outside."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from strongroom.cli.demo_plot import scatter, ticks
from strongroom.cli.demo_report import DemoResult, hex_lines, report
from strongroom.compiler.plan import Plan

PARTS = ("encode", "encrypt", "send", "queue", "compute", "receive", "decrypt")


@pytest.fixture
def result(plan: Plan) -> DemoResult:
    plain = np.array([-3.0, 0.5, 4.0])
    return DemoResult(
        plan=plan,
        package_digest="sha256:" + "ab" * 32,
        class_names=("benign", "malignant", "benign"),
        plain_scores=plain,
        protected_scores=plain + np.array([1e-5, -2e-5, 0]),
        agreement=1.0,
        plain_accuracy=2 / 3,
        protected_accuracy=2 / 3,
        row_milliseconds={part: 0.5 for part in PARTS},
        batch_milliseconds={part: 1.5 for part in PARTS},
        row_round_trip_milliseconds=3.6,
        batch_round_trip_milliseconds=10.7,
        row_request_bytes=38_000,
        row_response_bytes=20_000,
        batch_request_bytes=76_000,
        batch_response_bytes=40_000,
        plain_row=(("<script>radius", 17.99),),
        seen_bytes=bytes(range(32)),
    )


class Tags(HTMLParser):
    """Checks that tags close in order, and collects attributes that could load something."""

    VOID = frozenset({"meta", "br", "line", "circle", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.loads += [name for name, _ in attrs if name in ("src", "href", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_page_is_well_formed_and_loads_nothing(result: DemoResult) -> None:
    page = report(result)
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert tags.loads == []
    assert "script" not in tags.seen
    assert not re.search(r"https?://|url\(|@import", page)
    assert "&lt;script&gt;radius" in page


def test_page_shows_the_figures(result: DemoResult) -> None:
    page = report(result)
    for piece in ("100.00%", "3.6 ms", "10.7 ms", "10.5 ms", "2e-05", "00 01 02", "37.1 KiB"):
        assert piece in page
    assert page.count("<circle") == 2 * result.rows


def test_points_lie_where_their_values_say() -> None:
    picture = scatter(
        np.array([0.0, 1.0]),
        np.array([0.0, 1.0]),
        ["a", "b"],
        x_label="x",
        y_label="y",
        diagonal=True,
    )
    places = re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', picture)
    (x0, y0), (x1, y1) = [(float(x), float(y)) for x, y in places]
    assert x0 < x1
    assert y0 > y1  # SVG counts downwards


@pytest.mark.parametrize(("low", "high"), [(-18.2, 19.1), (-1.1e-4, 1.1e-4), (0.0, 1.0)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    marks = ticks(low, high)
    assert 2 <= len(marks) <= 11
    assert all(low <= mark <= high for mark in marks)
    steps = np.diff(marks)
    np.testing.assert_allclose(steps, steps[0])


def test_hex_lines_hold_every_byte() -> None:
    seen = bytes(range(40))
    assert bytes.fromhex(" ".join(hex_lines(seen))) == seen
    assert len(hex_lines(seen)) == 3
