"""Towers with encrypted coefficients give what towers in the clear do, in as many levels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from small_rings import switching_parameters
from small_worlds import World

from strongroom import engine
from strongroom.engine import Ciphertext, SquareTower
from strongroom.engine.hidden_towers import HiddenTower, HiddenTowerPlan, TowerLevel
from strongroom.engine.square_tower_plans import plan_square_tower

SCALE = Fraction(2) ** 40


@pytest.fixture(scope="module")
def world() -> World:
    return World(switching_parameters(64, (50, 40, 40, 40, 40), (45, 45)))


def tower_of(world: World, generator: np.random.Generator) -> SquareTower:
    """Of three levels, with coefficients of their own in every slot."""
    factors = np.zeros((3, 3, world.slots))
    factors[1, 0], factors[2, 1], factors[2, 0] = generator.uniform(-0.4, 0.4, (3, world.slots))
    constants = generator.uniform(-0.4, 0.4, (3, world.slots))
    constants[2] = 0.0
    return SquareTower(factors, constants, np.array([-1.0, 1.0]))


def hidden_of(world: World, tower: SquareTower) -> HiddenTower:
    """The same, encrypted."""
    plain = plan_square_tower(world.parameters, tower, world.parameters.limbs, SCALE)
    levels = [
        TowerLevel(drop, tuple(plain.terms(level)), plain.has_constant(level))
        for level, drop in enumerate(plain.levels, 1)
    ]
    plan = HiddenTowerPlan.of(world.parameters, levels, world.parameters.limbs, SCALE)
    assert plan.every_limbs == plain.every_limbs
    assert plan.every_scale == plain.every_scale
    factors: list[Mapping[int, Ciphertext]] = []
    constants: list[Ciphertext | None] = []
    for at, level in enumerate(levels):
        factors.append(
            {
                j: world.encrypt(
                    tower.factors[at, j] + 0j, plan.factor_scale(at, j), plan.every_limbs[at]
                )
                for j in level.terms
            }
        )
        values, limbs = tower.constants[at] + 0j, plan.every_limbs[at + 1]
        constants.append(
            world.encrypt(values, plan.every_scale[at + 1], limbs) if level.constant else None
        )
    return HiddenTower.ready(plan, factors, constants)


def test_a_hidden_tower_gives_the_towers_value(world: World) -> None:
    generator = np.random.default_rng(4)
    tower = tower_of(world, generator)
    hidden = hidden_of(world, tower)
    assert [level.terms for level in hidden.plan.levels] == [(), (0,), (0, 1)]
    assert [level.constant for level in hidden.plan.levels] == [True, True, False]
    x = generator.uniform(-1.0, 1.0, world.slots)
    result = hidden.evaluate(world.evaluator, world.encrypt(x + 0j, SCALE))
    assert (result.limbs, result.scale) == (
        hidden.plan.every_limbs[-1],
        hidden.plan.every_scale[-1],
    )
    world.assert_holds(result, tower(x) + 0j)


def test_coefficients_that_are_not_the_plans_are_refused(world: World) -> None:
    hidden = hidden_of(world, tower_of(world, np.random.default_rng(5)))
    first, second, third = hidden.factors
    lower = {0: engine.truncate(second[0], second[0].limbs - 1)}
    other = {0: replace(second[0], scale=second[0].scale * 2)}
    for factors in ((first, {}, third), (second, second, third), (first, lower, third)):
        with pytest.raises(ValueError, match=r"coefficients|another level or scale"):
            replace(hidden, factors=factors)
    with pytest.raises(ValueError, match="another level or scale"):
        replace(hidden, factors=(first, other, third))
    with pytest.raises(ValueError, match="not those of the tower's plan"):
        replace(hidden, constants=(None, *hidden.constants[1:]))
    with pytest.raises(ValueError, match="another level or scale"):
        replace(hidden, constants=(hidden.constants[1], *hidden.constants[1:]))
    with pytest.raises(ValueError, match="prepared for another level or scale"):
        hidden.evaluate(world.evaluator, world.encrypt(world.numbers(), SCALE * 2))


def test_plans_of_levels_that_cannot_be_are_refused(world: World) -> None:
    for levels in (
        [TowerLevel(5, (), False)],
        [TowerLevel(0, (), False)],
        [TowerLevel(1, (1,), False)],
        [TowerLevel(1, (), False), TowerLevel(1, (1, 0), False)],
    ):
        with pytest.raises(ValueError, match=r"more primes|levels below"):
            HiddenTowerPlan.of(world.parameters, levels, world.parameters.limbs, SCALE)
