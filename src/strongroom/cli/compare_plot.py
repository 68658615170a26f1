"""The picture of `strongroom compare`: one SVG that stands alone, for light and dark.

Left, how far protected scores lie from plain ones, with the declared error marked; right, every
score, plain against protected.
"""

from __future__ import annotations

from html import escape
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom.cli import demo_plot
from strongroom.cli.demo_plot import BOTTOM, HEIGHT, TOP, WIDTH, Frame

MAXIMUM_POINTS: Final = 4000
"""Of more scores, this many are drawn; first of all those of rows that disagree."""

_BINS: Final = 61
_HEAD: Final = 62
_GAP: Final = 24
_FOOT: Final = 34
_LEAST_BAR: Final = 1.5  # so that one score among thousands still shows


def picture(
    title: str,
    summary: str,
    plain: NDArray[np.float64],
    protected: NDArray[np.float64],
    agree: NDArray[np.bool_],
    score_error: float,
) -> str:
    """The whole SVG file.

    Args:
        title, summary: the lines above.
        plain, protected: scores, shape (n, outputs).
        agree: which rows predict the same, shape (n,).
        score_error: the declared one.
    """
    drawn = _drawn(agree, plain.shape[1])
    verdicts: list[str] = np.where(
        np.repeat(agree, plain.shape[1])[drawn], "row agrees", "row disagrees"
    ).tolist()
    scores = demo_plot.scatter(
        plain.reshape(-1)[drawn],
        protected.reshape(-1)[drawn],
        verdicts,
        x_label="plain score",
        y_label="protected score",
        diagonal=True,
    )
    width, height = 2 * WIDTH + _GAP, _HEAD + HEIGHT + _FOOT
    panels = (histogram((protected - plain).reshape(-1), score_error), scores)
    notes = (
        f"dashed: the declared error, ±{score_error:.2g}",
        _legend(verdicts, plain.size),
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}"><style>{_STYLE}</style>'
        f'<rect class="page" width="{width}" height="{height}"/>'
        f'<text class="title" x="14" y="28">{escape(title)}</text>'
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
    # `scatter` gives its colours in this order.
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
.bar { fill: var(--a) } .bound { stroke: var(--b); stroke-width: 1.5; stroke-dasharray: 5 4 }
circle { fill-opacity: .6 } .class0 { fill: var(--a) } .class1 { fill: var(--b) }
"""
