"""Weighted sums over slots that come out in declared coefficients: in numpy, then encrypted."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from slow_reference import centred, coefficients_of_slots, decrypt
from small_rings import integers, parts, quickly, secret_coefficients, seeds, switching_parameters
from small_worlds import World

from strongroom import engine
from strongroom.engine import Ciphertext
from strongroom.engine.evaluation import add_at, sanitise
from strongroom.engine.slot_sums import SlotSums, SumLayout

Numbers = NDArray[np.float64]
SCALE = Fraction(2) ** 35
FALSE_ALARM = 1e-10


@st.composite
def layouts(draw: st.DrawFn) -> SumLayout:
    """Any of a ring of degree 4 to 64."""
    log_slots = draw(st.integers(1, 5))
    log_period = draw(st.integers(0, log_slots))
    log_vectors = draw(st.integers(0, log_period))
    return SumLayout(2 ** (log_slots + 1), 2**log_period, 2**log_vectors, draw(st.integers(1, 40)))


def random_weights(layout: SumLayout, generator: np.random.Generator) -> tuple[Numbers, Numbers]:
    """Weights of every slot of a period, shape (outputs, T), and the values of these slots."""
    weights = generator.normal(size=(layout.outputs, layout.period))
    return weights, generator.normal(size=layout.period)


def sums_of(layout: SumLayout, weights: Numbers, values: Numbers) -> Numbers:
    """Slot u q + i belongs to vector i, written down without the layout: (vectors, outputs)."""
    result = np.zeros((layout.vectors, len(weights)))
    for slot, value in enumerate(values):
        result[slot % layout.vectors] += weights[:, slot] * value
    return result


def repeated(layout: SumLayout, values: Numbers) -> Numbers:
    return np.tile(values, layout.ring_degree // 2 // layout.period)


def negacyclic(a: Numbers, b: Numbers) -> Numbers:
    """The product modulo X^N + 1."""
    n = len(a)
    whole = np.convolve(a, b)
    whole[: n - 1] -= whole[n:]
    return np.asarray(whole[:n])


def group_rows(layout: SumLayout, group: int) -> slice:
    begin = group * layout.together
    return slice(begin, begin + layout.group_outputs(group))


# Layouts


@quickly
@given(layout=layouts(), seed=seeds)
def test_declared_coefficients_hold_the_sums_of_every_vector(layout: SumLayout, seed: int) -> None:
    weights, values = random_weights(layout, np.random.default_rng(seed))
    expected = sums_of(layout, weights, values)
    slots = repeated(layout, values).astype(np.complex128).tolist()
    message = np.array(coefficients_of_slots(slots, layout.ring_degree))
    for group in range(layout.groups):
        rows = group_rows(layout, group)
        product = negacyclic(message, layout.coefficients(weights[rows]))
        found = layout.sums(product[layout.positions(group)])
        assert found.shape == (layout.vectors, layout.group_outputs(group))
        assert np.allclose(found, expected[:, rows])


@quickly
@given(layout=layouts(), seed=seeds)
def test_a_bias_is_added_to_the_sums_of_every_vector(layout: SumLayout, seed: int) -> None:
    generator = np.random.default_rng(seed)
    for group in range(layout.groups):
        bias = generator.normal(size=layout.group_outputs(group))
        offsets = layout.offsets(bias)
        assert offsets.shape == layout.positions(group).shape
        assert np.allclose(layout.sums(offsets), bias)


@given(layout=layouts())
def test_groups_declare_each_output_once(layout: SumLayout) -> None:
    sizes = [layout.group_outputs(group) for group in range(layout.groups)]
    assert sum(sizes) == layout.outputs
    assert set(sizes[:-1]) <= {layout.together}
    for group, size in enumerate(sizes):
        positions = layout.positions(group)
        assert positions.dtype == np.uint32
        assert len(set(positions.tolist())) == layout.vectors * size
        # The upper half mirrors the lower one: nothing is declared twice.
        assert positions.max() < layout.ring_degree // 2
        # Positions of one vector index lie within one gap of what repeats.
        starts = positions.reshape(layout.vectors, size)
        assert (starts[:, 0] * layout.vectors % (layout.ring_degree // 2) == 0).all()
        assert size <= layout.ring_degree // 2 // layout.period


def test_outputs_beyond_what_a_ciphertext_holds_take_more_groups() -> None:
    assert SumLayout(64, 32, 1, 1).groups == 1
    assert SumLayout(64, 32, 1, 5).groups == 5
    assert SumLayout(64, 8, 2, 5).groups == 2
    assert [SumLayout(64, 8, 2, 5).group_outputs(g) for g in (0, 1)] == [4, 1]


# Ciphertexts


@pytest.fixture(scope="module")
def world() -> World:
    return World(switching_parameters(64, (50, 50), (50,)))


def opened(world: World, ciphertext: Ciphertext) -> list[int]:
    """All coefficients, modulo Q, by the reference."""
    c0, c1 = integers(ciphertext)
    modulus = math.prod(world.parameters.primes[: ciphertext.limbs])
    return decrypt(c0, c1, secret_coefficients(world.secret), modulus)


LAYOUTS = [
    SumLayout(64, 1, 1, 1),
    SumLayout(64, 1, 1, 40),
    SumLayout(64, 32, 1, 3),
    SumLayout(64, 8, 1, 6),
    SumLayout(64, 8, 2, 4),
    SumLayout(64, 8, 4, 7),
    SumLayout(64, 32, 16, 2),
    SumLayout(64, 32, 32, 1),
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_encrypted_sums_are_numpys(world: World, layout: SumLayout) -> None:
    generator = np.random.default_rng(layout.period)
    weights, values = random_weights(layout, generator)
    bias = generator.normal(size=layout.outputs)
    expected = sums_of(layout, weights, values) + bias
    encoded = SlotSums.encode(world.parameters, layout, weights, scale=SCALE, limbs=2)
    vector = world.encrypt(repeated(layout, values).astype(np.complex128))
    key = world.secret.public_key(2)
    assert len(encoded.plaintexts) == layout.groups
    for group in range(layout.groups):
        rows, positions = group_rows(layout, group), layout.positions(group)
        result = encoded.apply(world.evaluator, vector, group)
        assert (result.packing, result.limbs) == ("coefficients", 2)
        assert result.scale == vector.scale * SCALE
        result = add_at(result, positions, layout.offsets(bias[rows]))
        for answer in (result, sanitise(result, key, positions, 20.0)):
            found = layout.sums(
                world.secret.decrypt(answer, positions, log_sigma=0.0, step=2.0**-40)
            )
            assert np.abs(found - expected[:, rows]).max() < 2.0**-22


def test_what_is_not_declared_is_uniform_in_a_sanitised_sum(world: World) -> None:
    layout = SumLayout(64, 8, 2, 3)
    weights, values = random_weights(layout, np.random.default_rng(3))
    encoded = SlotSums.encode(world.parameters, layout, weights, scale=SCALE, limbs=2)
    vector = world.encrypt(repeated(layout, values).astype(np.complex128))
    bare = encoded.apply(world.evaluator, vector, 0)
    positions = layout.positions(0)
    hidden = np.setdiff1d(np.arange(64), positions)
    modulus = math.prod(world.parameters.primes)
    before = opened(world, bare)
    # Unsanitised, other coefficients hold more that depends on weights and values.
    largest = max(abs(x) for x in centred([before[i] for i in hidden], modulus))
    assert largest > 0.01 * bare.scale
    key = world.secret.public_key(2)
    differences = []
    for _ in range(100):
        result = sanitise(bare, key, positions, 20.0)
        c0, _ = parts(result)
        assert all(limb[i] == 0 for limb in c0 for i in hidden)
        after = opened(world, result)
        differences += [(after[i] - before[i]) % modulus / modulus for i in hidden]
    assert stats.kstest(differences, "uniform").pvalue > FALSE_ALARM


# What is refused


@pytest.mark.parametrize(
    ("period", "vectors", "outputs"),
    [(64, 1, 1), (8, 16, 1), (8, 0, 1), (0, 0, 1), (8, 1, 0), (8, 1, -1)],
)
def test_layouts_that_do_not_fit_are_refused(period: int, vectors: int, outputs: int) -> None:
    with pytest.raises(ValueError, match=r"vectors are no more|a sum has an output"):
        SumLayout(64, period, vectors, outputs)


def test_other_shapes_and_packings_are_refused(world: World) -> None:
    layout = SumLayout(64, 8, 2, 3)
    with pytest.raises(ValueError, match="weights of shape"):
        SlotSums.encode(world.parameters, layout, np.ones((3, 7)), scale=SCALE, limbs=2)
    with pytest.raises(ValueError, match="weights of shape"):
        SlotSums.encode(world.parameters, layout, np.ones((2, 8)), scale=SCALE, limbs=2)
    encoded = SlotSums.encode(world.parameters, layout, np.ones((3, 8)), scale=SCALE, limbs=2)
    plaintext = engine.encode_coefficients(world.parameters, np.ones(64), SCALE, 2)
    with pytest.raises(ValueError, match="sums are over slots"):
        encoded.apply(world.evaluator, world.secret.encrypt(plaintext), 0)
