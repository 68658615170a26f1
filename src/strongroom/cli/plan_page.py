"""`strongroom plan --html`: a plan on one page that needs nothing from a network.

Written for the owner of the model. What it shows of single layers and of other candidates is in no
package; those parts are marked. The rest is the plan, which every asker can read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from strongroom.cli import depth_lines, plan_drawing, statement
from strongroom.cli.show import byte_count, milliseconds
from strongroom.compiler.depth import RingDepth
from strongroom.compiler.plan import NetworkLayout, Plan
from strongroom.compiler.stages import Stage
from strongroom.engine import CATALOGUE

OWNER: Final = '<span class="owner">for the owner only</span>'


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """What the page shows.

    Attributes:
        name: of the model, for people.
        plans: all that were compared, the chosen one first.
        stages: of the chosen one.
        depths: how deep networks fit each ring; empty where nothing is used up.
    """

    name: str
    plans: Sequence[Plan]
    stages: Sequence[Stage]
    depths: Sequence[RingDepth]


def page(model: PlannedModel) -> str:
    """The whole page; the same plan gives the same bytes."""
    plan = model.plans[0]
    guarantee, costs, holding = plan.guarantee, plan.costs, statement.holding_of(plan)
    primes = len(CATALOGUE[plan.parameters].primes)
    picture = plan_drawing.drawing(
        model.stages,
        primes,
        request=byte_count(costs.request_bytes),
        response=byte_count(costs.response_bytes),
        rows=plan.rows_at_once,
    )
    said = statement.sentences(guarantee, holding)
    sentences = "".join(f"<li>{escape(one)}</li>" for one in said)
    legend = "".join(
        f'<span class="key"><i class="{kind}"></i>{said}</span>'
        for kind, said in (
            ("left", "primes left"),
            ("matrix", "taken by the matrix"),
            ("activation", "taken by the activation"),
            ("gone", "gone before, or not used"),
        )
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(model.name)}: plan</title><style>{_STYLE}</style></head><body><main>
<header><h1>{escape(model.name)}</h1><p>{escape(statement.model_line(plan))}. How it would run
under <b>{escape(plan.protection)}</b>, predicted; no key was made.</p></header>
<section class="figures">{_figures(plan)}</section>
<section><h2>What runs {OWNER}</h2><div class="wide">{picture}</div><p>{legend}</p>
{_depth(model)}</section>
<section><h2>Layer by layer {OWNER}</h2><div class="wide layers">
{_table(_LAYER_HEAD, map(_layer, model.stages))}</div>
<p>Times of the layers add up to the server's time; memory of weights lacks the tables of the
ring.</p></section>
{_candidates(model.plans)}
<section><h2>Predicted costs</h2>
{_table(("what", "predicted"), statement.cost_rows(plan))}</section>
<section><h2>Who sees what</h2>
{_table(("", "the server", "the asker"), statement.visibility_rows(guarantee, holding))}
<ul>{sentences}</ul></section>
<section><h2>What of this page is public</h2><p>Levels, scales, packing, sizes, the total costs and
the statement are in the plan, and so in the package: every asker can read them. Parts marked
{OWNER} hold more: what the plain model's layers are called, what each takes, and which other plans
were possible. Nothing on this page holds a weight or a row.</p></section>
<footer>parameters {escape(plan.parameters)}, ring degree {guarantee.ring_degree:,},
{primes} primes, modulus of {guarantee.log_modulus:.0f} bits, {escape(guarantee.security)}</footer>
</main></body></html>
"""


def _figures(plan: Plan) -> str:
    costs = plan.costs
    keys = costs.evaluation_key_bytes
    figures = [
        (milliseconds(costs.server_milliseconds), "at the server, one row"),
        (milliseconds(costs.client_milliseconds), "at the asker"),
        (byte_count(costs.request_bytes), "request, one row"),
        (byte_count(costs.response_bytes), "response"),
        (byte_count(keys) if keys else "none", "evaluation keys, once"),
        (byte_count(costs.model_bytes), "model in memory"),
        (f"{costs.precision_bits:.0f} bits", "of the largest score kept"),
    ]
    return "".join(f"<div><b>{escape(a)}</b><span>{escape(b)}</span></div>" for a, b in figures)


def _depth(model: PlannedModel) -> str:
    plan = model.plans[0]
    said = depth_lines.lines(plan, model.depths)
    if isinstance(plan.layout, NetworkLayout):
        said.append(
            f"Keys: {len(plan.layout.keys):,} evaluation keys, "
            f"{byte_count(plan.costs.evaluation_key_bytes)} sent once and "
            f"{byte_count(plan.costs.mapped_key_bytes)} on the server's disk, for all models on "
            "these parameters."
        )
    return "".join(f"<p>{escape(line)}</p>" for line in said)


_LAYER_HEAD: Final = (
    *("layer", "numbers in → out", "what runs", "levels", "primes", "scale", "packing"),
    *("time", "weights", "working"),
)


def _layer(stage: Stage) -> tuple[str, ...]:
    packing = stage.packing
    packed = plan_drawing.packing_line(packing)
    if packing is not None:
        packed += f", period {packing.period:,}"
        packed += ", paired" * packing.paired + ", halved" * packing.halved
    return (
        f"{stage.name}: {stage.node}" if stage.node else stage.name,
        f"{stage.inputs:,} → {stage.units:,}"
        + (f" ({stage.blocks:,} blocks)" if stage.blocks > 1 else ""),
        plan_drawing.what_runs(stage),
        f"{stage.levels}",
        f"{stage.primes_before} → {stage.primes_after}",
        f"2^{stage.log_scale:.1f}",
        packed,
        milliseconds(stage.milliseconds),
        byte_count(stage.weight_bytes),
        byte_count(stage.working_bytes) if stage.working_bytes else "",
    )


def _candidates(plans: Sequence[Plan]) -> str:
    shown = statement.candidate_rows(plans)
    head = statement.CANDIDATE_HEAD
    return (
        f"<section><h2>Candidates that were compared {OWNER}</h2><p>{len(shown)} of {len(plans)}, "
        "the best first; rows: how many share a ciphertext.</p>"
        f'<div class="wide">{_table(head, shown)}</div></section>'
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"


_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b2429; --soft: #5c6b73; --page: #f6f7f7;
  --card: #ffffff; --line: #dde3e5; --left: #0f766e; --matrix: #c2570c; --activation: #7c5cd6;
  --gone: #e4e9eb; --time: #3b78d8; --working: #a9bcc6; --owner: #8a5a00; --ownerpage: #fff3d6 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6ecee; --soft: #9aa9b0; --page: #12181b;
  --card: #1a2226; --line: #2e3a40; --left: #4fc3b5; --matrix: #f2995a; --activation: #b39dfa;
  --gone: #2b363b; --time: #7ca6f5; --working: #566873; --owner: #f0c463; --ownerpage: #3a2f14 } }
* { box-sizing: border-box } body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.55 system-ui, sans-serif }
main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 40px }
h1 { margin: 0 0 4px; font-size: 26px; overflow-wrap: anywhere }
h2 { font-size: 18px; margin: 0 0 12px }
header p { color: var(--soft); margin: 0 0 20px }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 18px 20px; margin: 0 0 16px }
section p { margin: 10px 0 0; color: var(--soft); max-width: 100ch }
.figures { display: flex; flex-wrap: wrap; gap: 12px 26px }
.figures b { display: block; font-size: 21px; font-variant-numeric: tabular-nums }
.figures span, footer { color: var(--soft); font-size: 13px }
.owner { font-size: 12px; font-weight: 600; color: var(--owner); background: var(--ownerpage);
  border-radius: 4px; padding: 2px 7px; margin-left: 6px; white-space: nowrap;
  vertical-align: 2px }
.wide { overflow-x: auto } .wide svg { width: 100%; min-width: 960px; height: auto;
  display: block } .wide table { min-width: 1000px }
svg text { font: 13px system-ui, sans-serif; fill: var(--soft) }
svg .head { font-size: 12px; font-weight: 600 }
svg .name { font-size: 15px; font-weight: 600; fill: var(--ink) }
.spine { stroke: var(--line); stroke-width: 3 }
.stage { fill: var(--card); stroke: var(--left); stroke-width: 3 }
.stage.scores { stroke: var(--time) } .travels { fill: var(--soft) }
.left { fill: var(--left); background: var(--left) }
.matrix { fill: var(--matrix); background: var(--matrix) }
.activation { fill: var(--activation); background: var(--activation) }
.gone { fill: var(--gone); background: var(--gone) }
.time { fill: var(--time) } .weights { fill: var(--left) } .working { fill: var(--working) }
.key { margin-right: 16px; white-space: nowrap; font-size: 13px }
.key i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 5px }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
  font-size: 14px }
th, td { text-align: left; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere }
th { color: var(--soft); font-size: 13px; font-weight: 600 }
.layers th, .layers td { white-space: nowrap; font-size: 13px }
.layers td:nth-child(1), .layers td:nth-child(3), .layers td:nth-child(7) { white-space: normal;
  min-width: 150px }
tbody tr:last-child td { border-bottom: 0 } ul { margin: 12px 0 0; padding-left: 20px }
footer { overflow-wrap: anywhere }
"""
