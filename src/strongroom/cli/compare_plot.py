"""The picture of `strongroom compare`: one SVG that stands alone, for light and dark.

Left, how often protected scores lie how far from plain ones; right, how far each score lies, over
the plain score, with the rows that are furthest off by their lines. The declared error is marked in
both.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom.cli import demo_plot
from strongroom.cli.demo_plot import BOTTOM, HEIGHT, TOP, WIDTH, Frame
from strongroom.cli.plan_drawing import shortened

MAXIMUM_POINTS: Final = 4000
"""Of more scores, this many are drawn; first of all those of rows that disagree."""

_BINS: Final = 61
_HEAD: Final = 62
_GAP: Final = 24
_FOOT: Final = 34
_TITLE: Final = 92  # characters
_NAMED: Final = 3
_LETTER, _NAME_HEIGHT = 7.5, 15.0
_LEAST_BAR: Final = 1.5  # so that one score among thousands still shows


def picture(
    title: str,
    summary: str,
    plain: NDArray[np.float64],
    protected: NDArray[np.float64],
    agree: NDArray[np.bool_],
    score_error: float,
    lines: Sequence[int],
) -> str:
    """The whole SVG file.

    Args:
        title, summary: the lines above.
        plain, protected: scores, shape (n, outputs).
        agree: which rows predict the same, shape (n,).
        score_error: the declared one.
        lines: of the rows in their file, length n.
    """
    drawn = _drawn(agree, plain.shape[1])
    verdicts: list[str] = np.where(
        np.repeat(agree, plain.shape[1])[drawn], "row agrees", "row disagrees"
    ).tolist()
    differences = protected - plain
    scores = spread(
        plain.reshape(-1)[drawn],
        differences.reshape(-1)[drawn],
        verdicts,
        score_error,
        _worst(plain, differences, lines),
    )
    width, height = 2 * WIDTH + _GAP, _HEAD + HEIGHT + _FOOT
    panels = (histogram(differences.reshape(-1), score_error), scores)
    notes = (
        f"dashed: the declared error, ±{score_error:.2g}; named: the rows furthest off",
        _legend(verdicts, plain.size),
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}"><style>{_STYLE}</style>'
        f'<rect class="page" width="{width}" height="{height}"/>'
        f'<text class="title" x="14" y="28">{escape(shortened(title, _TITLE))}</text>'
        f'<text class="axis" x="14" y="50">{escape(summary)}</text>'
    ]
    for place, (panel, note) in enumerate(zip(panels, notes, strict=True)):
        left = place * (WIDTH + _GAP)
        parts.append(
            f'<svg x="{left}" y="{_HEAD}" width="{WIDTH}" height="{HEIGHT}">{panel}</svg>'
            f'<text x="{left + demo_plot.LEFT}" y="{_HEAD + HEIGHT + 18}">{note}</text>'
        )
    return "".join([*parts, "</svg>\n"])


def histogram(differences: NDArray[np.float64], score_error: float) -> str:
    """How often each difference, shape (k,), occurs, and lines where the declared error is."""
    reach = 1.1 * (max(score_error, float(np.abs(differences).max())) or 1.0)
    counts, edges = np.histogram(differences, bins=_BINS, range=(-reach, reach))
    frame = Frame((-reach, reach), (0.0, 1.05 * float(counts.max())))
    floor = HEIGHT - BOTTOM
    marks = []
    for count, low, high in zip(counts.tolist(), edges[:-1], edges[1:], strict=True):
        if count == 0:
            continue
        left, right = frame.across(low), frame.across(high)
        top = min(frame.up(count), floor - _LEAST_BAR)
        marks.append(
            f'<rect class="bar" x="{left + 0.5:.1f}" y="{top:.1f}" width="{right - left - 1:.1f}" '
            f'height="{floor - top:.1f}"><title>{count} from {low:.2g} to {high:.2g}</title></rect>'
        )
    for bound in (-score_error, score_error):
        at = frame.across(bound)
        marks.append(f'<line class="bound" x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{floor}"/>')
    return frame.picture(marks, x_label="protected minus plain score", y_label="number of scores")


def spread(
    plain: NDArray[np.float64],
    differences: NDArray[np.float64],
    verdicts: Sequence[str],
    score_error: float,
    worst: Sequence[tuple[int, float, float]],
) -> str:
    """Differences over plain scores, shape (k,) each, and lines where the declared error is.

    Args:
        verdicts: of each score; its colour.
        worst: line, plain score and difference of those that are named, the worst first.
    """
    pad = 0.05 * float(np.ptp(plain)) or 1.0
    reach = 1.15 * (max(score_error, float(np.abs(differences).max())) or 1.0)
    frame = Frame((float(plain.min()) - pad, float(plain.max()) + pad), (-reach, reach))
    right = WIDTH - demo_plot.RIGHT
    marks = [
        f'<line class="{kind}" x1="{demo_plot.LEFT}" y1="{frame.up(height):.1f}" x2="{right}" '
        f'y2="{frame.up(height):.1f}"/>'
        for kind, height in (("guide", 0.0), ("bound", score_error), ("bound", -score_error))
    ]
    known = sorted(set(verdicts))
    for score, difference, verdict in zip(
        plain.tolist(), differences.tolist(), verdicts, strict=True
    ):
        marks.append(
            f'<circle class="class{known.index(verdict)}" cx="{frame.across(score):.1f}" '
            f'cy="{frame.up(difference):.1f}" r="3.4"><title>{escape(verdict)}: {score:.6f}, '
            f"{difference:.3g}</title></circle>"
        )
    taken: list[tuple[float, float, float]] = []
    for line, score, difference in worst:
        x, y = frame.across(score), frame.up(difference)
        name = f"line {line:,}"
        begin, at = _free_place(x, y, _LETTER * len(name), right, taken)
        taken.append((begin, begin + _LETTER * len(name), at))
        marks.append(
            f'<circle class="worst" cx="{x:.1f}" cy="{y:.1f}" r="6"/>'
            f'<text class="named" x="{x + (10 if begin > x else -10):.1f}" y="{at + 4:.1f}" '
            f'text-anchor="{"start" if begin > x else "end"}">{name}</text>'
        )
    return frame.picture(marks, x_label="plain score", y_label="protected minus plain score")


def _free_place(
    x: float, y: float, width: float, right: float, taken: Sequence[tuple[float, float, float]]
) -> tuple[float, float]:
    """Where a name beside a point begins, and its height: on its right or left, or else lower, so
    that it lies on no other and inside the picture."""
    while True:
        for begin in (x + 10, x - 10 - width):
            inside = begin >= demo_plot.LEFT and begin + width <= right
            if inside and not any(
                begin < end and start < begin + width and abs(y - other) < _NAME_HEIGHT
                for start, end, other in taken
            ):
                return begin, y
        y += _NAME_HEIGHT


def _worst(
    plain: NDArray[np.float64], differences: NDArray[np.float64], lines: Sequence[int]
) -> list[tuple[int, float, float]]:
    """Line, plain score and difference of the rows that are furthest off."""
    outputs = np.abs(differences).argmax(axis=1)
    rows = np.arange(len(differences))
    order = np.argsort(-np.abs(differences[rows, outputs]), kind="stable")[:_NAMED]
    return [
        (lines[row], float(plain[row, outputs[row]]), float(differences[row, outputs[row]]))
        for row in order.tolist()
    ]


def _drawn(agree: NDArray[np.bool_], outputs: int) -> NDArray[np.intp]:
    """Which scores are drawn, indices into the flattened table; those of rows that disagree come
    last, so that they lie on top."""
    same = np.repeat(agree, outputs)
    others = np.flatnonzero(~same)[:MAXIMUM_POINTS]
    alike = np.flatnonzero(same)
    room = min(MAXIMUM_POINTS - others.size, alike.size)
    spread = np.linspace(0, max(alike.size - 1, 0), room).astype(np.intp)
    return np.concatenate([alike[spread], others])


def _legend(verdicts: list[str], total: int) -> str:
    # `spread` gives its colours in this order.
    keys = (
        f'<tspan class="class{place}">●</tspan> {verdict}'
        for place, verdict in enumerate(sorted(set(verdicts)))
    )
    text = "   ".join(keys)
    if len(verdicts) < total:
        text += f"   ({len(verdicts):,} of {total:,} scores drawn)"
    return text


_STYLE: Final = """
:root { --ink: #1b2429; --soft: #5c6b73; --page: #ffffff; --line: #dde3e5; --a: #0f766e;
  --b: #c2570c }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ecee; --soft: #9aa9b0; --page: #1a2226;
  --line: #2e3a40; --a: #4fc3b5; --b: #f2995a } }
.page { fill: var(--page) } text { font: 11.5px system-ui, sans-serif; fill: var(--soft);
  white-space: pre }
.axis { fill: var(--ink); font-size: 12.5px }
.title { fill: var(--ink); font-size: 18px; font-weight: 600 }
.grid { stroke: var(--line) } .guide { stroke: var(--soft); stroke-dasharray: 5 4 }
.named { fill: var(--ink); font-size: 12.5px; stroke: var(--page); stroke-width: 3px;
  paint-order: stroke }
.worst { fill: none; stroke: var(--b); stroke-width: 1.5 }
.bar { fill: var(--a) } .bound { stroke: var(--b); stroke-width: 1.5; stroke-dasharray: 5 4 }
circle { fill-opacity: .6 } .class0 { fill: var(--a) } .class1 { fill: var(--b) }
"""
