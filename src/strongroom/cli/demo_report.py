"""`demo-report.html`: what the demo did, on one page that needs nothing from a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from strongroom.cli import demo_plot, statement
from strongroom.cli.show import byte_count
from strongroom.compiler.plan import Plan

Milliseconds = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo measured.

    Attributes:
        plan: how the model ran, with the guarantee statement.
        package_digest: what the client trusted.
        class_names: name of the true class of each held-out row, length n.
        plain_scores, protected_scores: shape (n,), of the plain and the protected model.
        agreement: share of rows with the same label, one by one and as a batch.
        plain_accuracy, protected_accuracy: share of right labels.
        row_milliseconds, batch_milliseconds: the parts of a round trip, for one row (medians)
            and for all rows at once.
        row_round_trip_milliseconds, batch_round_trip_milliseconds: of the whole call, by the
            clock.
        row_request_bytes, row_response_bytes, batch_request_bytes, batch_response_bytes: sizes.
        plain_row: name and value of the first columns of the row that is shown.
        seen_bytes: as much of that row as the server saw.
    """

    plan: Plan
    package_digest: str
    class_names: tuple[str, ...]
    plain_scores: NDArray[np.float64]
    protected_scores: NDArray[np.float64]
    agreement: float
    plain_accuracy: float
    protected_accuracy: float
    row_milliseconds: Milliseconds
    batch_milliseconds: Milliseconds
    row_round_trip_milliseconds: float
    batch_round_trip_milliseconds: float
    row_request_bytes: int
    row_response_bytes: int
    batch_request_bytes: int
    batch_response_bytes: int
    plain_row: tuple[tuple[str, float], ...]
    seen_bytes: bytes

    @property
    def rows(self) -> int:
        """How many rows were held out."""
        return len(self.plain_scores)

    @property
    def max_score_error(self) -> float:
        """Largest |protected - plain| score."""
        return float(np.abs(self.protected_scores - self.plain_scores).max())


def hex_lines(seen: bytes, width: int = 16) -> list[str]:
    """Bytes as lines of hexadecimal, `width` bytes a line."""
    return [seen[start : start + width].hex(" ") for start in range(0, len(seen), width)]


def report(result: DemoResult) -> str:
    """The page, complete HTML."""
    known = sorted(set(result.class_names))
    legend = " ".join(
        f'<span class="key"><i class="class{place}"></i>{escape(name)}</span>'
        for place, name in enumerate(known)
    )
    parts = list(result.row_milliseconds)
    part_legend = " ".join(
        f'<span class="key"><i class="part{place}"></i>{escape(part)}</span>'
        for place, part in enumerate(parts)
    )
    agreement = demo_plot.scatter(
        result.plain_scores,
        result.protected_scores,
        result.class_names,
        x_label="score of the plain model",
        y_label="decrypted score",
        diagonal=True,
    )
    error = demo_plot.scatter(
        result.plain_scores,
        result.protected_scores - result.plain_scores,
        result.class_names,
        x_label="score of the plain model",
        y_label="decrypted minus plain",
        diagonal=False,
    )
    times = demo_plot.bars(
        {"one row": result.row_milliseconds, f"{result.rows} rows": result.batch_milliseconds}
    )
    row, batch = result.row_milliseconds, result.batch_milliseconds
    time_rows = [(part, f"{row[part]:.2f} ms", f"{batch[part]:.2f} ms") for part in parts]
    size_rows = [
        (what, byte_count(one), byte_count(all_rows))
        for what, one, all_rows in (
            ("request", result.row_request_bytes, result.batch_request_bytes),
            ("response", result.row_response_bytes, result.batch_response_bytes),
        )
    ]
    plain = "\n".join(f"{escape(name):<24} {value:g}" for name, value in result.plain_row)
    seen = "\n".join(hex_lines(result.seen_bytes))
    sentences = "".join(
        f"<li>{escape(one)}</li>" for one in statement.sentences(result.plan.guarantee)
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Strongroom demo</title><style>{_STYLE}</style></head><body><main>
<header><h1>Strongroom demo</h1>
<p>A logistic regression on the breast-cancer data (30 columns), asked about {result.rows}
held-out rows by a client that trusts only the package digest. The server ran as a process of its
own and computed on ciphertexts.</p></header>
<section class="figures">{_figures(result)}</section>
<section class="two"><figure>{agreement}<figcaption>Every held-out row, plain against decrypted.
{legend}</figcaption></figure>
<figure>{error}<figcaption>The difference, enlarged: flooding and rounding, by design.
</figcaption></figure></section>
<section><h2>What the server saw</h2><div class="two">
<div><h3>the row, at the asker</h3><pre>{plain}</pre></div>
<div><h3>the same row, at the server</h3><pre>{seen}</pre></div></div></section>
<section><h2>Where the time went</h2><div class="wide">{times}</div><p>{part_legend}</p>
{_table(("part", "one row, median", f"{result.rows} rows at once"), time_rows)}</section>
<section><h2>What was sent</h2>
{_table(("", "one row", f"{result.rows} rows at once"), size_rows)}</section>
<section><h2>Who sees what</h2>
{_table(("", "the server", "the asker"), statement.visibility_rows(result.plan.guarantee))}
<ul>{sentences}</ul></section>
<footer>package {escape(result.package_digest)}<br>parameters {escape(result.plan.parameters)},
ring degree {result.plan.guarantee.ring_degree}, modulus of
{result.plan.guarantee.log_modulus:.0f} bits, {escape(result.plan.guarantee.security)}</footer>
</main></body></html>
"""


def _figures(result: DemoResult) -> str:
    figures = [
        (f"{result.agreement:.2%}", "labels equal to the plain model's"),
        (f"{result.protected_accuracy:.2%}", f"accuracy (plain {result.plain_accuracy:.2%})"),
        (f"{result.row_round_trip_milliseconds:.1f} ms", "one row, there and back"),
        (f"{result.batch_round_trip_milliseconds:.1f} ms", f"{result.rows} rows at once"),
        (f"{result.max_score_error:.0e}", "largest score error"),
    ]
    return "".join(f"<div><b>{escape(a)}</b><span>{escape(b)}</span></div>" for a, b in figures)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"


_STYLE = """
:root { color-scheme: light dark; --ink: #1b2429; --soft: #5c6b73; --page: #f6f7f7;
  --card: #ffffff; --line: #dde3e5; --a: #0f766e; --b: #c2570c;
  --p0: #5b8def; --p1: #0f766e; --p2: #b8a1e3; --p3: #c2570c; --p4: #dba63c; --p5: #94a3ab;
  --p6: #8a5a83; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ecee; --soft: #9aa9b0; --page: #12181b;
  --card: #1a2226; --line: #2e3a40; --a: #4fc3b5; --b: #f2995a;
  --p0: #7ca6f5; --p1: #4fc3b5; --p2: #c4b2ea; --p3: #f2995a; --p4: #e5bd66; --p5: #8796a0;
  --p6: #b98ab2; } }
* { box-sizing: border-box } body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.55 system-ui, sans-serif }
main { max-width: 1160px; margin: 0 auto; padding: 28px 20px 40px }
h1 { margin: 0 0 4px; font-size: 26px } h2 { font-size: 18px; margin: 0 0 10px }
h3 { font-size: 13px; margin: 0 0 6px; color: var(--soft); font-weight: 600 }
header p { max-width: 70ch; color: var(--soft); margin: 0 0 20px }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 18px 20px; margin: 0 0 16px }
.figures { display: flex; flex-wrap: wrap; gap: 12px 40px }
.figures b { display: block; font-size: 24px; font-variant-numeric: tabular-nums }
.figures span, figcaption, footer { color: var(--soft); font-size: 13px }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(430px, 100%), 1fr));
  gap: 20px } .two > * { min-width: 0 }
figure { margin: 0 } svg { width: 100%; height: auto; display: block }
.wide { overflow-x: auto } .wide svg { min-width: 640px }
svg text { font: 11.5px system-ui, sans-serif; fill: var(--soft) }
svg .axis { fill: var(--ink); font-size: 12.5px }
.grid { stroke: var(--line) } .guide { stroke: var(--soft); stroke-dasharray: 5 4 }
circle { fill-opacity: .6 } .class0 { fill: var(--b); background: var(--b) }
.class1 { fill: var(--a); background: var(--a) }
.part0 { fill: var(--p0); background: var(--p0) } .part1 { fill: var(--p1); background: var(--p1) }
.part2 { fill: var(--p2); background: var(--p2) } .part3 { fill: var(--p3); background: var(--p3) }
.part6 { fill: var(--p6); background: var(--p6) }
.part4 { fill: var(--p4); background: var(--p4) } .part5 { fill: var(--p5); background: var(--p5) }
.key { margin-right: 14px; white-space: nowrap; font-size: 13px; color: var(--soft) }
.key i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 5px }
pre { margin: 0; padding: 12px; background: var(--page); border: 1px solid var(--line);
  border-radius: 6px; overflow-x: auto; font: 13px/1.6 ui-monospace, monospace }
table { border-collapse: collapse; width: 100%; table-layout: fixed;
  font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line);
  vertical-align: top } th { color: var(--soft); font-size: 13px; font-weight: 600 }
tbody tr:last-child td { border-bottom: 0 } ul { margin: 12px 0 0; padding-left: 20px }
footer { overflow-wrap: anywhere }
"""
