"""Periodic products and sums over slots whose weights are ciphertexts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_rings import switching_parameters
from small_worlds import SCALE, World

from strongroom import engine
from strongroom.engine import Ciphertext, EncryptedLinearTransform
from strongroom.engine.evaluation import transformed
from strongroom.engine.periodic_products import (
    PeriodicLayout,
    PeriodicProduct,
    diagonals_to_encrypt,
)
from strongroom.engine.slot_sums import SlotSums, SumLayout, hidden_sums

LAYOUTS = {
    "paired": PeriodicLayout(32, 1, 4, 10, 32, 5, paired=True),
    "plain": PeriodicLayout(32, 1, 4, 7, 32, 9),
    "blocks": PeriodicLayout(32, 2, 3, 8, 16, 8),
    "halved": PeriodicLayout(32, 2, 8, 8, 8, 8, halved=True),
    "few diagonals": PeriodicLayout(32, 1, 16, 16, 16, 16, rotations=(0, 3, 9)),
}


@pytest.fixture(scope="module")
def world() -> World:
    return World(switching_parameters(64, (50, 45, 45, 45), (50, 50)))


def sent(world: World, ciphertext: Ciphertext) -> Ciphertext:
    """As it comes out of a package."""
    data = engine.ciphertext_to_bytes(ciphertext)
    return engine.ciphertext_from_bytes(world.parameters, data, limbs=ciphertext.limbs)


def matrices_of(layout: PeriodicLayout, generator: np.random.Generator) -> np.ndarray:
    """Random ones, with zeros where the layout has no diagonals."""
    matrices = generator.normal(size=(layout.blocks, layout.rows, layout.columns))
    if layout.rotations:
        row, column = np.indices(matrices.shape[1:])
        matrices[:, ~np.isin((column - row) % 16, layout.rotations)] = 0.0
    return matrices


@pytest.mark.parametrize("name", LAYOUTS)
def test_an_encrypted_matrix_multiplies_as_one_in_the_clear(world: World, name: str) -> None:
    layout, generator = LAYOUTS[name], np.random.default_rng(3)
    matrices = matrices_of(layout, generator)
    vectors = generator.normal(size=(layout.blocks, layout.columns))
    limbs = world.parameters.limbs
    diagonals = [
        sent(world, world.encrypt(diagonal + 0j))
        for diagonal in diagonals_to_encrypt(layout, matrices)
    ]
    assert len(diagonals) == layout.diagonals
    product = PeriodicProduct.from_ciphertexts(
        world.parameters, layout, diagonals, scale=SCALE, limbs=limbs
    )
    assert isinstance(product.transform, EncryptedLinearTransform)
    result = product.apply(world.evaluator, world.encrypt(layout.spread(vectors) + 0j))
    expected = layout.repeated(np.einsum("brc,bc->br", matrices, vectors))
    world.assert_holds(result, expected + 0j)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_row_meets_no_entry_more_often_than_a_layout_says(name: str) -> None:
    layout = LAYOUTS[name]
    columns = layout.period // 2 if layout.halved else layout.period
    met = np.zeros((layout.units, columns), dtype=int)
    for u in range(layout.span):
        for k in layout.steps:
            met[u % layout.units, (u + k) % layout.span % layout.period % columns] += 1
    assert met[: layout.rows].max() == layout.repeats


def test_diagonals_that_do_not_belong_to_a_layout_are_refused(world: World) -> None:
    layout = LAYOUTS["plain"]
    matrices = matrices_of(layout, np.random.default_rng(3))
    limbs = world.parameters.limbs
    diagonals = [world.encrypt(d + 0j) for d in diagonals_to_encrypt(layout, matrices)]
    lower = [engine.truncate(d, limbs - 1) for d in diagonals]
    packed = [replace(d, packing="coefficients") for d in diagonals]
    for wrong in (diagonals[1:], [*diagonals, diagonals[0]], lower, packed):
        with pytest.raises(ValueError, match=r"diagonals"):
            PeriodicProduct.from_ciphertexts(
                world.parameters, layout, wrong, scale=SCALE, limbs=limbs
            )


def test_encrypted_sums_are_those_with_plaintexts(world: World) -> None:
    layout, generator = SumLayout(64, 8, 2, 3), np.random.default_rng(8)
    weights = generator.normal(size=(2, 3, 8))
    limbs = world.parameters.limbs
    vectors, plain, hidden = [], [], []
    for its_weights in weights:
        period = generator.normal(size=8)
        vectors.append(world.encrypt(np.tile(period, 4) + 0j))
        sums = SlotSums.encode(world.parameters, layout, its_weights, scale=SCALE, limbs=limbs)
        plain.append(sums.apply(world.evaluator, vectors[-1], 0))
        encoded = engine.encode_coefficients(
            world.parameters, layout.coefficients(its_weights), SCALE, limbs
        )
        hidden.append(transformed(world.secret.encrypt(encoded)))
    result = hidden_sums(world.evaluator, vectors, hidden, drop=1)
    assert (result.packing, result.limbs) == ("coefficients", limbs - 1)
    positions = layout.positions(0)
    got = engine.decode(world.secret.decrypt_raw_do_not_publish(result)).real[positions]
    both = world.evaluator.add(*plain)
    expected = engine.decode(world.secret.decrypt_raw_do_not_publish(both)).real[positions]
    assert np.abs(got - expected).max() < 2.0**-20
    with pytest.raises(ValueError, match="sums are over slots"):
        hidden_sums(world.evaluator, hidden, hidden)


def test_a_transformed_ciphertext_holds_the_same(world: World) -> None:
    values = world.numbers()
    fresh = sent(world, world.encrypt(values))
    ready = transformed(fresh)
    assert (ready.scale, ready.limbs, ready.seed) == (fresh.scale, fresh.limbs, None)
    world.assert_holds(ready, values)
