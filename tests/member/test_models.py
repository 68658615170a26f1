"""What a member asks of a plan before it answers for one, and whose fault a failed audit is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from strongroom import protections
from strongroom.compiler.holding import ONE_OWNER, KeyHolding
from strongroom.compiler.plan import CommitteeKey, Plan
from strongroom.errors import CiphertextError, CommitteeError, KeyStoreError
from strongroom.keys.committee.access import Access
from strongroom.member.models import PackageModel, require_model
from strongroom.models.features import Features
from strongroom.models.graph import Graph, Node, Tensor
from strongroom.models.output import OutputSpec
from strongroom.models.rows import InputSpec
from strongroom.policy import Policy

ACCESS = Access.parse("vendor AND 1-of-2(hospital, auditor)")
PARTS = 2
BUDGET = 1000
PUBLIC_KEY = 64 * "b"
DIGEST = "sha256:" + 64 * "a"


def committee() -> Any:
    """As much of one as plans are compared with."""
    statement = SimpleNamespace(public_key=PUBLIC_KEY, share_budget=BUDGET)
    return SimpleNamespace(digest=DIGEST, statement=statement, access=ACCESS)


def plan_for(holding: KeyHolding, budget: int = BUDGET) -> Plan:
    """Of a hidden linear model, smudged for such a key."""
    graph = Graph(
        name="linear",
        tensors=(Tensor("rows", "float64", (None, 3)),),
        nodes=(
            Node("MatMul", "product", ("rows", "weights"), ("product",), {}),
            Node("Add", "sum", ("product", "bias"), ("scores",), {}),
        ),
        constants={"weights": np.ones((3, 1)), "bias": np.zeros(1)},
        scores="scores",
        input=InputSpec(columns=3, names=(), dtype="float64"),
        features=Features.plain(3),
        output=OutputSpec(
            task="regression",
            link="identity",
            outputs=1,
            classes=(),
            label_dtype="<f8",
            flat=True,
            methods=("predict",),
        ),
    )
    sample = np.random.default_rng(1).normal(size=(50, 3))
    fhe = protections.by_name("fhe")
    (found,) = fhe.candidates(graph, sample, Policy(hide="model"), holding)
    plan: Plan = found.plan
    return msgspec.structs.replace(plan, holder=CommitteeKey(DIGEST, PUBLIC_KEY, budget))


def test_a_plan_for_this_committees_key_is_taken_and_one_for_more_parts() -> None:
    require_model(plan_for(KeyHolding(PARTS, BUDGET)), committee())
    require_model(plan_for(KeyHolding(PARTS + 1, BUDGET)), committee())


@pytest.mark.parametrize(
    ("plan", "pattern"),
    [
        (lambda: plan_for(KeyHolding(PARTS - 1, BUDGET)), "a key of 1 parts, .* has 2"),
        (lambda: plan_for(KeyHolding(PARTS, BUDGET // 2), BUDGET // 2), "500 results"),
        (lambda: msgspec.structs.replace(plan_for(ONE_OWNER), holder=None), "committee's key"),
    ],
)
def test_a_plan_that_is_smudged_for_another_key_is_refused(plan: Any, pattern: str) -> None:
    with pytest.raises(CommitteeError, match=pattern) as refused:
        require_model(plan(), committee())
    assert refused.value.code == "SR-COMMITTEE-MISMATCH"


class _Side:
    """Meets a fault while it computes."""

    def __init__(self, code: str) -> None:
        self._code = code

    def answer(self, request: memoryview, **options: Any) -> bytes:
        raise KeyStoreError(self._code, "a fault")


@pytest.mark.parametrize(
    ("code", "error"),
    [("SR-KEYS-HOLDER", CiphertextError), ("SR-KEYS-FILE", KeyStoreError)],
)
def test_rows_under_another_key_are_their_clients_fault_and_not_this_members(
    code: str, error: type[Exception]
) -> None:
    plan = plan_for(KeyHolding(PARTS, BUDGET))
    package: Any = SimpleNamespace(manifest=SimpleNamespace(plan=plan), digest="sha256:0")
    nothing: Any = None
    keys: Any = object()
    model = PackageModel(package, nothing, keys, nothing, 1)
    model._side = _Side(code)
    # A CiphertextError is one that an audit counts against the server that brought a result of it.
    with pytest.raises(error):
        model.expected(memoryview(b""))
