"""The drawing of `strongroom plan --html`: a model's stages from top to bottom, as one SVG.

Each stage is a row: what runs, the primes that are left and those that it takes, and bars for its
time and memory. Colours come from CSS variables of the page, so one picture serves light and dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from strongroom.cli.show import byte_count, milliseconds
from strongroom.compiler.stages import MatrixPacking, Stage

WIDTH: Final = 1120

_ROW, _EDGE, _HEAD = 104, 58, 40
_SPINE, _TEXT, _PRIMES, _TIME, _MEMORY = 26, 54, 476, 770, 940
_LADDER = 270  # that primes share
_BAR, _BAR_HEIGHT = 146, 12
_LONGEST: Final = 52
"""Characters of a line beside the primes; more is cut, and stands in the table below."""


def drawing(stages: Sequence[Stage], primes: int, *, request: str, response: str, rows: int) -> str:
    """The whole SVG.

    Args:
        stages: in the order in which they run.
        primes: of the ring.
        request, response: sizes, for people.
        rows: that one ciphertext holds.
    """
    height = _HEAD + 2 * _EDGE + _ROW * len(stages) + 6
    longest = max(stage.milliseconds for stage in stages) or 1.0
    most = max(map(_bytes, stages)) or 1
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-label="what runs one after the other">',
        *_heads(),
        f'<line class="spine" x1="{_SPINE}" y1="{_HEAD + 20}" x2="{_SPINE}" '
        f'y2="{height - _EDGE / 2:.0f}"/>',
        *_end(_HEAD, f"request, {request}", _shared(rows), stages[0].primes_before, primes),
    ]
    for number, stage in enumerate(stages):
        top = _HEAD + _EDGE + number * _ROW
        parts += _row(stage, top, primes, longest, most)
    top = _HEAD + _EDGE + len(stages) * _ROW
    said = "decrypted, flooded and rounded at the asker"
    parts += _end(top, f"response, {response}", said, stages[-1].primes_after, primes)
    return "".join([*parts, "</svg>"])


def shortened(text: str, most: int = _LONGEST) -> str:
    """The text, or its beginning and a sign that there is more."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def packing_line(packing: MatrixPacking | None) -> str:
    """How a matrix lies in slots, in one line; empty where it does not."""
    if packing is None:
        return ""
    many = "s" * (packing.ciphertexts > 1)
    said = f"{packing.ciphertexts:,} ciphertext{many}, {packing.diagonals:,} diagonal"
    return said + "s" * (packing.diagonals > 1) + f", span {packing.span:,}"


def what_runs(stage: Stage) -> str:
    """The function and what stands for it, in one line."""
    if stage.kind == "scores":
        return "weighted sums, re-randomised and flooded"
    if not stage.circuits:
        return "a matrix alone"
    return f"{stage.function or 'activation'} → {', then '.join(stage.circuits)}"


def _shared(rows: int) -> str:
    return f"{rows:,} rows share a ciphertext" if rows > 1 else "one row in a ciphertext"


def _bytes(stage: Stage) -> int:
    return stage.weight_bytes + stage.working_bytes


def _heads() -> list[str]:
    heads = (
        (_TEXT, "what runs"),
        (_PRIMES, "primes: left, taken, gone"),
        (_TIME, "time"),
        (_MEMORY, "memory: weights, working"),
    )
    return [f'<text class="head" x="{x}" y="18">{head}</text>' for x, head in heads]


def _end(top: int, title: str, said: str, left: int, primes: int) -> list[str]:
    """The request or the response: what travels."""
    return [
        f'<rect class="travels" x="{_SPINE - 8}" y="{top + 6}" width="16" height="16" rx="3"/>',
        f'<text class="name" x="{_TEXT}" y="{top + 19}">{escape(title)}</text>',
        f'<text x="{_TEXT}" y="{top + 37}">{escape(said)}</text>',
        *_ladder(top + 8, left, left, left, primes),
    ]


def _row(stage: Stage, top: int, primes: int, longest: float, most: int) -> list[str]:
    name = stage.name[:1].upper() + stage.name[1:]
    many = f" in {stage.blocks:,} blocks" if stage.blocks > 1 else ""
    sizes = f"{stage.inputs:,} → {stage.units:,} numbers{many}"
    lines = (stage.node, what_runs(stage), packing_line(stage.packing))
    between = stage.primes_before - stage.matrix_primes
    taken = f"{stage.primes_before} → {stage.primes_after} primes"
    if stage.levels:
        taken += f" · {stage.levels} level{'s' * (stage.levels > 1)}"
    parts = [
        f'<circle class="stage {stage.kind}" cx="{_SPINE}" cy="{top + 15}" r="8"/>',
        f'<text x="{_TEXT}" y="{top + 20}"><tspan class="name">{escape(name)}</tspan>'
        f'<tspan dx="10">{escape(sizes)}</tspan></text>',
    ]
    for place, line in enumerate(filter(None, lines)):
        parts.append(
            f"<g><title>{escape(line)}</title>"
            f'<text x="{_TEXT}" y="{top + 40 + 18 * place}">{escape(shortened(line))}</text></g>'
        )
    working = _BAR * stage.working_bytes / most
    weights = _BAR * stage.weight_bytes / most
    parts += [
        *_ladder(top + 9, stage.primes_after, between, stage.primes_before, primes),
        f'<text x="{_PRIMES}" y="{top + 40}">{taken}</text>',
        f'<text x="{_PRIMES}" y="{top + 58}">scale 2^{stage.log_scale:.1f}</text>',
        _bar("time", _TIME, top + 9, _BAR * stage.milliseconds / longest),
        f'<text x="{_TIME}" y="{top + 40}">{milliseconds(stage.milliseconds)}</text>',
        _bar("weights", _MEMORY, top + 9, weights),
        _bar("working", _MEMORY + max(weights, 1.0), top + 9, working) if working else "",
        f'<text x="{_MEMORY}" y="{top + 40}">{byte_count(stage.weight_bytes)} weights</text>',
    ]
    if stage.working_bytes:
        said = f"{byte_count(stage.working_bytes)} working"
        parts.append(f'<text x="{_MEMORY}" y="{top + 58}">{said}</text>')
    return parts


def _bar(kind: str, x: float, y: int, width: float) -> str:
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{max(width, 1.0):.1f}" '
        f'height="{_BAR_HEIGHT}"/>'
    )


def _ladder(y: int, left: int, between: int, before: int, primes: int) -> list[str]:
    """A mark for each prime of the ring: those that are left, those that activations and the matrix
    take, and those that were gone or are not used."""
    pitch = min(16.0, _LADDER / primes)
    parts = []
    for place in range(primes):
        kind = (
            "left"
            if place < left
            else "activation"
            if place < between
            else "matrix"
            if place < before
            else "gone"
        )
        parts.append(
            f'<rect class="{kind}" x="{_PRIMES + place * pitch:.1f}" y="{y}" '
            f'width="{pitch - 1.5:.1f}" height="{_BAR_HEIGHT}"/>'
        )
    return parts
