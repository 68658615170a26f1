"""Which parameters hold a model whose weights are encrypted."""

from __future__ import annotations

from functools import cache

from small_networks import kind

from strongroom.compiler.holding import ONE_OWNER, SHARE_BUDGET, KeyHolding
from strongroom.compiler.network import NetworkChoice, plan_network
from strongroom.engine import CATALOGUE
from strongroom.engine.digits import digit_primes
from strongroom.policy import Policy

POLICY = Policy(hide="model")
COMMITTEE = KeyHolding(parts=2, share_budget=SHARE_BUDGET)
COMMITTEES = "n14-q380-p50-v1"


@cache
def trees(holding: KeyHolding) -> tuple[NetworkChoice, ...]:
    """Plans of an ensemble of depth four."""
    network = kind("tree")
    return tuple(plan_network(network.graph, network.layered, network.sample, POLICY, holding))


def ring_of(choice: NetworkChoice) -> int:
    return CATALOGUE[choice.plan.parameters].ring_degree


def test_trees_under_a_committees_key_fit_the_ring_of_those_under_an_owners() -> None:
    smallest = min(map(ring_of, trees(ONE_OWNER)))
    assert smallest == 2**14
    for choice in trees(COMMITTEE):
        if ring_of(choice) == smallest:
            assert choice.plan.parameters == COMMITTEES
            assert choice.plan.costs.precision_bits >= POLICY.precision_bits
    assert smallest in map(ring_of, trees(COMMITTEE))


def test_requests_and_weights_of_that_ring_are_less_than_half_as_long_as_of_the_next() -> None:
    small, large = (
        [c.plan.costs for c in trees(COMMITTEE) if ring_of(c) == ring] for ring in (2**14, 2**15)
    )
    assert 2 * max(c.request_bytes for c in small) < min(c.request_bytes for c in large)
    assert 2 * min(c.model_bytes for c in small) < min(c.model_bytes for c in large)


def test_every_prime_of_the_committees_parameters_is_a_digit() -> None:
    entry = CATALOGUE[COMMITTEES]
    digits = digit_primes(entry.primes, entry.special_primes, len(entry.primes))
    assert digits == tuple((prime,) for prime in entry.primes)
