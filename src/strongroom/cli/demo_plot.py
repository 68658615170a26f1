"""The pictures of the demo's report, as SVG text: points against points, and times as bars.

Colours come from CSS variables of the page, so one picture serves light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 560, 340
LEFT, RIGHT, TOP, BOTTOM = 74, 16, 14, 46


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) that lie in [low, high]."""
    span = high - low
    rough = span / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    places = 12 - math.floor(math.log10(step))
    return [round(index * step, places) for index in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class Frame:
    """Where values lie in a picture of `WIDTH` by `HEIGHT`; each pair is (low, high)."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def across(self, value: float) -> float:
        """The place of a value on the horizontal axis."""
        low, high = self.x_range
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def up(self, value: float) -> float:
        """The place of a value on the vertical axis."""
        low, high = self.y_range
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def picture(self, marks: Iterable[str], *, x_label: str, y_label: str) -> str:
        """The whole picture: grid, ticks, then the marks, then what the axes are."""
        parts = [
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'aria-label="{escape(y_label)} against {escape(x_label)}">'
        ]
        for value in ticks(*self.x_range):
            at = self.across(value)
            parts.append(
                f'<line class="grid" x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" '
                f'y2="{HEIGHT - BOTTOM}"/>'
            )
            parts.append(
                f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 17:.1f}" text-anchor="middle">'
                f"{number(value)}</text>"
            )
        for value in ticks(*self.y_range):
            at = self.up(value)
            parts.append(
                f'<line class="grid" x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}"/>'
            )
            parts.append(
                f'<text x="{LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">{number(value)}</text>'
            )
        parts.extend(marks)
        middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
        parts.append(
            f'<text class="axis" x="{middle_x}" y="{HEIGHT - 8}" text-anchor="middle">'
            f"{escape(x_label)}</text>"
        )
        parts.append(
            f'<text class="axis" transform="translate(14 {middle_y}) rotate(-90)" '
            f'text-anchor="middle">{escape(y_label)}</text></svg>'
        )
        return "".join(parts)


def scatter(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    classes: Sequence[str],
    *,
    x_label: str,
    y_label: str,
    diagonal: bool,
) -> str:
    """Points (x, y) of shape (n,), each in the colour of its class; `diagonal` draws y = x,
    otherwise y = 0 is drawn."""
    x_range = _padded(np.concatenate([x, y]) if diagonal else x)
    frame = Frame(x_range, x_range if diagonal else _symmetric(y))
    guide = x_range if diagonal else (0.0, 0.0)
    marks = [
        f'<line class="guide" x1="{frame.across(x_range[0]):.1f}" y1="{frame.up(guide[0]):.1f}" '
        f'x2="{frame.across(x_range[1]):.1f}" y2="{frame.up(guide[1]):.1f}"/>'
    ]
    known = sorted(set(classes))
    for place_x, place_y, name in zip(x.tolist(), y.tolist(), classes, strict=True):
        marks.append(
            f'<circle class="class{known.index(name)}" cx="{frame.across(place_x):.1f}" '
            f'cy="{frame.up(place_y):.1f}" r="3.4"><title>{escape(name)}: {place_x:.6f}, '
            f"{place_y:.3g}</title></circle>"
        )
    return frame.picture(marks, x_label=x_label, y_label=y_label)


def bars(parts_of: Mapping[str, Mapping[str, float]]) -> str:
    """One stacked horizontal bar for each entry: milliseconds by part, all on one scale."""
    height, gap, left = 30, 46, 120
    room = 2 * WIDTH - left - 110
    longest = max(sum(parts.values()) for parts in parts_of.values()) or 1.0
    svg = [f'<svg viewBox="0 0 {2 * WIDTH} {gap * len(parts_of) + 8}" role="img">']
    for row, (name, parts) in enumerate(parts_of.items()):
        top = row * gap + 8
        total = sum(parts.values())
        svg.append(f'<text class="axis" x="0" y="{top + 20}">{escape(name)}</text>')
        at = float(left)
        for place, (part, duration) in enumerate(parts.items()):
            wide = duration / longest * room
            svg.append(
                f'<rect class="part{place}" x="{at:.1f}" y="{top}" width="{wide:.1f}" '
                f'height="{height}"><title>{escape(part)}: {duration:.2f} ms</title></rect>'
            )
            at += wide
        svg.append(f'<text class="axis" x="{at + 10:.1f}" y="{top + 20}">{total:.1f} ms</text>')
    svg.append("</svg>")
    return "".join(svg)


def _padded(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    pad = 0.05 * (high - low) or 1.0
    return low - pad, high + pad


def _symmetric(values: NDArray[np.float64]) -> tuple[float, float]:
    reach = 1.15 * float(np.abs(values).max()) or 1.0
    return -reach, reach


def number(value: float) -> str:
    """A tick for people: 0, 2.5, 1.2e-05."""
    return "0" if value == 0 else f"{value:g}" if abs(value) >= 1e-3 else f"{value:.1e}"
