"""A client's demands against a plan, of either kind, that keeps its own statement."""

from __future__ import annotations

import pytest
from exchanges import Exchange, changed
from network_exchanges import exchange_of

from strongroom.compiler.plan import Plan
from strongroom.errors import PolicyError
from strongroom.policy import Policy
from strongroom.protections.fhe.checks import check_plan


@pytest.fixture(scope="module", params=["linear", "network"])
def plan(request: pytest.FixtureRequest, exchange: Exchange) -> Plan:
    return exchange.plan if request.param == "linear" else exchange_of("squares").plan


@pytest.mark.parametrize(
    ("demand", "code"),
    [
        (Policy(security="quantum-128"), "SR-PARAMETERS-INSECURE"),
        (Policy(decryption_bits=40), "SR-PLAN-GUARANTEE"),
        (Policy(decryption_queries=2**30), "SR-PLAN-GUARANTEE"),
    ],
    ids=["security", "decryption bits", "decryption queries"],
)
def test_a_stricter_policy_than_the_plans_refuses_it(plan: Plan, demand: Policy, code: str) -> None:
    with pytest.raises(PolicyError) as caught:
        check_plan(plan, demand)
    assert caught.value.code == code


def test_a_statement_of_more_than_the_plan_floods_is_refused_by_the_clients_own_sum(
    plan: Plan,
) -> None:
    # The statement is raised to the demand; the numbers of the layout are not.
    raised = changed(plan, guarantee__decryption_bits=60, guarantee__decryption_queries=2**30)
    with pytest.raises(PolicyError) as caught:
        check_plan(raised, Policy(decryption_bits=60, decryption_queries=2**30))
    assert caught.value.code == "SR-PLAN-FLOODING"
