"""The pictures of the demo's report, as SVG text: points against points, and times as bars.

Colours come from CSS variables of the page, so one picture serves light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
    return [round(index * step, 12) for index in range(first, last + 1)]


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
    x_low, x_high = _padded(x)
    y_low, y_high = (x_low, x_high) if diagonal else _symmetric(y)

    def across(value: float) -> float:
        return LEFT + (value - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def up(value: float) -> float:
        return HEIGHT - BOTTOM - (value - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(y_label)} against {escape(x_label)}">'
    ]
    for value in ticks(x_low, x_high):
        at = across(value)
        parts.append(
            f'<line class="grid" x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{HEIGHT - BOTTOM}"/>'
        )
        parts.append(
            f'<text x="{at:.1f}" y="{up(y_low) + 17:.1f}" text-anchor="middle">{value:g}</text>'
        )
    for value in ticks(y_low, y_high):
        at = up(value)
        parts.append(
            f'<line class="grid" x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}"/>'
        )
        parts.append(
            f'<text x="{LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">{_number(value)}</text>'
        )
    guide = (
        across(x_low),
        up(x_low if diagonal else 0),
        across(x_high),
        up(x_high if diagonal else 0),
    )
    parts.append(
        '<line class="guide" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>'.format(*guide)
    )
    known = sorted(set(classes))
    for place_x, place_y, name in zip(x.tolist(), y.tolist(), classes, strict=True):
        parts.append(
            f'<circle class="class{known.index(name)}" cx="{across(place_x):.1f}" '
            f'cy="{up(place_y):.1f}" r="3.4"><title>{escape(name)}: {place_x:.6f}, '
            f"{place_y:.3g}</title></circle>"
        )
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


def _number(value: float) -> str:
    return "0" if value == 0 else f"{value:g}" if abs(value) >= 1e-3 else f"{value:.1e}"
