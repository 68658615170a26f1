"""Work and memory of polynomials and square towers, from their plans.

Operation by operation what `polynomial_evaluation` and `square_tower_evaluation` do. Peaks are what
is held at once, with everything that is made on the way counted as held until the end. Beside it a
thread keeps up to `operation_memory.KEPT_BYTES` of what earlier levels released.
"""

from __future__ import annotations

from strongroom.engine import operation_memory as memory
from strongroom.engine import operation_work as work
from strongroom.engine.operation_work import Work
from strongroom.engine.parameters import Parameters
from strongroom.engine.polynomial_plans import Combination, PolynomialPlan, ProductSum, Value
from strongroom.engine.square_tower_plans import SquareTowerPlan

CircuitPlan = PolynomialPlan | SquareTowerPlan


def circuit_work(parameters: Parameters, plan: CircuitPlan) -> Work:
    """Of one evaluation."""
    if isinstance(plan, SquareTowerPlan):
        total = Work()
        for level in range(1, plan.tower.depth + 1):
            total += _level_work(parameters, plan, level)
        return total
    return _polynomial_work(parameters, plan)


def hidden_tower_work(parameters: Parameters, plan: SquareTowerPlan) -> Work:
    """Of one evaluation of a tower with encrypted coefficients (`hidden_towers`)."""
    total = Work()
    for level in range(1, plan.tower.depth + 1):
        limbs, drop = plan.every_limbs[level - 1], plan.levels[level - 1]
        pairs = 1 + len(plan.terms(level))
        total += work.sum_of_products(parameters, limbs, pairs, drop)
        if plan.has_constant(level):
            total += work.linear_combination(parameters, limbs - drop, 2)
    return total


def circuit_peak(parameters: Parameters, plan: CircuitPlan, *, threads: int = 1) -> int:
    """Bytes that one evaluation takes, results included, the argument not."""
    if isinstance(plan, SquareTowerPlan):
        return _tower_peak(parameters, plan, threads)
    return _polynomial_peak(parameters, plan, threads)


def encoded_bytes(parameters: Parameters, plan: CircuitPlan) -> int:
    """Of the plaintexts that a prepared circuit keeps: where slots have their own coefficients."""
    if isinstance(plan, SquareTowerPlan):
        return sum(
            len(plan.terms(level)) * memory.plaintext_bytes(parameters, plan.every_limbs[level - 1])
            + memory.plaintext_bytes(parameters, _constant_limbs(plan, level))
            for level in range(1, plan.tower.depth + 1)
            if plan.by_slots(level)
        )
    return sum(
        (1 + len(part.factors)) * memory.plaintext_bytes(parameters, part.limbs)
        for part in plan.combinations
        if _by_slots(part)
    )


# Square towers


def _constant_limbs(plan: SquareTowerPlan, level: int) -> int:
    """Where a level's constant is added: before the rescaling if there are other terms."""
    return plan.every_limbs[level - 1 if plan.terms(level) else level]


def _level_work(parameters: Parameters, plan: SquareTowerPlan, level: int) -> Work:
    limbs, drop = plan.every_limbs[level - 1], plan.levels[level - 1]
    terms = len(plan.terms(level))
    total = work.sum_of_products(parameters, limbs, 2 if terms else 1, drop)
    if terms:
        total += work.linear_combination(parameters, limbs, 1)
    if plan.by_slots(level):
        total += _sum_by_slots(parameters, limbs, terms, _constant_limbs(plan, level))
    elif terms:
        total += work.linear_combination(parameters, limbs, terms)
    elif plan.tower.constants[level - 1].any():
        total += work.linear_combination(parameters, limbs - drop, 1)
    return total


def _tower_peak(parameters: Parameters, plan: SquareTowerPlan, threads: int) -> int:
    peak = held = 0
    for level in range(1, plan.tower.depth + 1):
        limbs, drop = plan.every_limbs[level - 1], plan.levels[level - 1]
        terms = len(plan.terms(level))
        beside = 0
        if terms:
            lowered = sum(plan.every_limbs[j] > limbs for j in plan.terms(level))
            made = lowered + 2 + (terms if plan.by_slots(level) else 0)
            beside = made * memory.ciphertext_bytes(parameters, limbs)
        elif plan.by_slots(level) or plan.tower.constants[level - 1].any():
            beside = memory.ciphertext_bytes(parameters, limbs - drop)
        peak = max(
            peak, held + beside + memory.multiply_peak(parameters, limbs, drop, threads=threads)
        )
        held += memory.ciphertext_bytes(parameters, limbs - drop)
    return peak


# Polynomials


def _by_slots(part: Combination) -> bool:
    return any(c.ndim > 0 for c in (part.constant, *part.factors.values()))


def _sum_by_slots(parameters: Parameters, limbs: int, terms: int, constant_limbs: int) -> Work:
    """Terms times plaintexts, their sum, and a plaintext."""
    products = work.multiply_plain(parameters, limbs) * terms
    sums = work.linear_combination(parameters, limbs, 2) * max(terms - 1, 0)
    # The second part is copied, the first is added to.
    return products + sums + Work(calls=2, passes=5 * constant_limbs)


def _combination_work(parameters: Parameters, part: Combination) -> Work:
    terms = max(len(part.factors), 1)
    if not _by_slots(part):
        return work.linear_combination(parameters, part.limbs, terms, part.drop)
    total = _sum_by_slots(parameters, part.limbs, terms, part.limbs)
    return total + work.rescale(parameters, part.limbs, part.drop) if part.drop else total


def _value_work(parameters: Parameters, value: Value) -> Work:
    if isinstance(value, Combination):
        return _combination_work(parameters, value)
    total = Work()
    for factor, _ in value.products:
        total += _value_work(parameters, factor)
    pairs = len(value.products)
    if value.rest is not None:
        pairs += 1
        total += _combination_work(parameters, value.rest)
        total += work.linear_combination(parameters, value.limbs, 1)
    return total + work.sum_of_products(parameters, value.limbs, pairs, value.drop)


def _polynomial_work(parameters: Parameters, plan: PolynomialPlan) -> Work:
    total = work.linear_combination(parameters, plan.input_limbs, 1, plan.first_drop)
    for power in plan.powers:
        pairs = 1
        if plan.basis == "chebyshev" and power.left != power.right:
            pairs = 2
            total += work.linear_combination(parameters, power.limbs, 1) * 2
        elif plan.basis == "chebyshev":
            total += work.linear_combination(parameters, power.limbs - power.drop, 1)
        total += work.sum_of_products(parameters, power.limbs, pairs, power.drop)
    return total + _value_work(parameters, plan.value)


def _products(value: Value) -> list[ProductSum]:
    if isinstance(value, Combination):
        return []
    return [value, *(found for factor, _ in value.products for found in _products(factor))]


def _polynomial_peak(parameters: Parameters, plan: PolynomialPlan, threads: int) -> int:
    def held(limbs: int) -> int:
        return memory.ciphertext_bytes(parameters, limbs)

    powers = held(plan.input_limbs - plan.first_drop)
    powers += sum(held(power.limbs) + held(power.limbs - power.drop) for power in plan.powers)
    sums = [(part.limbs, part.drop, 1 + len(part.products)) for part in _products(plan.value)]
    sums += [(power.limbs, power.drop, 2) for power in plan.powers]
    peak = max(
        (
            memory.multiply_peak(parameters, limbs, drop, threads=threads) + pairs * held(limbs)
            for limbs, drop, pairs in sums
        ),
        default=memory.linear_combination_peak(parameters, plan.input_limbs, plan.first_drop),
    )
    return powers + peak
