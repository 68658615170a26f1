"""The planner of networks: what it chooses, what it keeps, and what it refuses."""

from __future__ import annotations

import dataclasses
import math

import msgspec
import numpy as np
import pytest
from small_networks import (
    EASY,
    KINDS,
    LAX,
    RELU,
    SQUARE,
    Network,
    choice_of,
    choices_of,
    comparing_network,
    dense_network,
    kind,
    layout_of,
    network,
    scores_layer,
    square_network,
    tree_like,
)

from strongroom.canonical import canonical_json
from strongroom.compiler import network as planner
from strongroom.compiler.layers import Layer
from strongroom.compiler.network import HEADROOM, PLANNING_ROWS, NetworkChoice
from strongroom.compiler.network_packing import NetworkPacking, shapes
from strongroom.compiler.noise import log_distance
from strongroom.compiler.plan import Plan
from strongroom.engine import CATALOGUE, LARGEST_LOG_FLOOD, catalogued
from strongroom.errors import PolicyError
from strongroom.models.activations import IDENTITY
from strongroom.policy import Policy
from strongroom.protections.fhe.checks import check_plan


def with_policy(**fields: object) -> Policy:
    return msgspec.structs.replace(EASY, **fields)


# What is chosen


@pytest.mark.parametrize("name", KINDS)
def test_every_plan_keeps_its_policy_and_passes_a_clients_checks(name: str) -> None:
    choices = choices_of(name)
    assert choices
    for choice in choices:
        costs, guarantee = choice.plan.costs, choice.plan.guarantee
        assert costs.precision_bits >= EASY.precision_bits
        assert costs.score_error > 0.0
        assert guarantee.weights_from_client == "hidden"
        assert guarantee.sanitising_bits == EASY.sanitising_bits
        check_plan(choice.plan, EASY)


def test_plans_differ_in_parameters_or_rows() -> None:
    for name in KINDS:
        found = [(c.plan.parameters, layout_of(c).rows_per_ciphertext) for c in choices_of(name)]
        assert len(found) == len(set(found))


def rows_of(choice: NetworkChoice) -> int:
    return layout_of(choice).rows_per_ciphertext


def by_objective(objective: str) -> list[NetworkChoice]:
    return square_network().choices(with_policy(objective=objective))


def test_for_latency_the_first_plan_is_nearly_the_quickest_for_one_row() -> None:
    first, *others = by_objective("latency")
    least = min(choice.plan.costs.server_milliseconds for choice in others)
    assert first.plan.costs.server_milliseconds <= 1.1 * least


def test_for_throughput_the_first_plan_is_the_quickest_a_row() -> None:
    first, *others = by_objective("throughput")

    def each(choice: NetworkChoice) -> float:
        return choice.plan.costs.server_milliseconds / rows_of(choice)

    assert each(first) <= min(map(each, others))
    assert rows_of(first) > rows_of(by_objective("latency")[0])


def test_for_bytes_the_first_plan_sends_least() -> None:
    first, *others = by_objective("bytes")

    def travels(choice: NetworkChoice) -> float:
        costs = choice.plan.costs
        return costs.request_bytes + costs.response_bytes + costs.evaluation_key_bytes / 1000.0

    assert travels(first) <= min(map(travels, others))


def test_planning_twice_gives_the_same_plans() -> None:
    again = tuple(dense_network((12, 7), SQUARE).choices(EASY))
    assert [c.plan for c in again] == [c.plan for c in choices_of("two layers of squares")]


@pytest.mark.parametrize("name", KINDS)
def test_plans_are_read_as_they_were_written(name: str) -> None:
    plan = choices_of(name)[0].plan
    assert msgspec.json.decode(canonical_json(plan), type=Plan) == plan


# What is kept


@pytest.mark.parametrize("bits", [10, 18])
def test_the_precision_that_is_asked_for_is_planned(bits: int) -> None:
    tree = tree_like(depth=2)
    for choice in tree.choices(with_policy(precision_bits=bits)):
        largest = float(np.abs(tree.scores(tree.sample)).max())
        assert choice.plan.costs.precision_bits >= bits
        assert choice.plan.costs.score_error <= largest * 2.0**-bits


def test_more_sanitising_floods_more() -> None:
    weak, strong = (
        square_network().choices(with_policy(sanitising_bits=bits))[0] for bits in (20, 40)
    )
    hidden = [
        layout_of(choice).flooding_log_sigma - layout_of(choice).log_noise
        for choice in (weak, strong)
    ]
    assert hidden[1] - hidden[0] == pytest.approx(20.0, abs=3.0)
    assert strong.plan.guarantee.log_distance_after_budget == pytest.approx(
        log_distance(40, EASY.query_budget)
    )


def test_no_plan_floods_wider_than_can_be_sampled() -> None:
    choices = tree_like(depth=2).choices(with_policy(sanitising_bits=46, query_budget=1))
    assert choices
    for choice in choices:
        layout = layout_of(choice)
        assert layout.flooding_log_sigma <= LARGEST_LOG_FLOOD
        assert layout.decryption_log_sigma <= LARGEST_LOG_FLOOD


def test_without_sanitising_the_statement_says_that_weights_are_visible() -> None:
    choice = square_network().choices(with_policy(sanitising_bits=0))[0]
    guarantee = choice.plan.guarantee
    assert guarantee.weights_from_client == "visible"
    assert guarantee.log_distance_after_budget == 0.0
    check_plan(choice.plan, with_policy(sanitising_bits=0))


def test_the_statement_counts_the_rows_that_a_ciphertext_is_answered_for() -> None:
    choices = choices_of("squares")
    assert {rows_of(choice) > 1 for choice in choices} == {False, True}
    for choice in choices:
        counted = [told for told in choice.plan.guarantee.assumptions if "are counted as" in told]
        rows = rows_of(choice)
        if rows > 1:
            (told,) = counted
            assert f"ciphertexts times {rows:,}:" in told
        else:
            assert not counted
        # Each query may be a ciphertext of its own: the distance holds for either count.
        layout = layout_of(choice)
        ring = catalogued(choice.plan.parameters).ring_degree
        packing = NetworkPacking.choose(ring // 2, rows, shapes(choice.model), layout.outputs)
        assert packing is not None
        guarantee = choice.plan.guarantee
        responses = guarantee.query_budget * packing.sums.groups
        assert guarantee.log_distance_after_budget == pytest.approx(
            min(0.0, log_distance(guarantee.sanitising_bits, responses))
        )


def test_a_policy_against_quantum_computers_gets_such_parameters_only() -> None:
    choices = square_network().choices(with_policy(security="quantum-128"))
    assert choices
    for choice in choices:
        assert CATALOGUE[choice.plan.parameters].security == "quantum-128"
        assert choice.plan.guarantee.security == "quantum-128"


def test_scores_of_twice_the_samples_size_have_room() -> None:
    for name in KINDS:
        small = kind(name)
        largest = float(np.abs(small.scores(small.sample)).max())
        for choice in choices_of(name):
            assert largest < 2.0 ** layout_of(choice).log_bound / 2.0 + 1e-9


def z_of(choice: NetworkChoice, sample: np.ndarray) -> np.ndarray:
    """The sample in the common range."""
    layout = layout_of(choice)
    return np.asarray((sample - np.array(layout.centre)) / np.array(layout.half_width))


def test_bits_stay_as_they_are_and_any_bits_are_accepted() -> None:
    layout = layout_of(choices_of("tree")[0])
    assert set(layout.centre) == {0.0}
    assert set(layout.half_width) == {1.0}
    assert (layout.headroom, layout.reach) == (1.0, math.sqrt(layout.features))


@pytest.mark.parametrize("name", [name for name in KINDS if "tree" not in name])
def test_rows_may_lie_a_tenth_beyond_the_sample_and_a_quarter_as_a_whole(name: str) -> None:
    for choice in choices_of(name):
        layout, z = layout_of(choice), z_of(choice, kind(name).sample)
        farthest, norm = np.abs(z).max(), np.linalg.norm(z, axis=1).max()
        assert farthest <= 1.0
        assert HEADROOM == 1.1
        # Rounded up, to a sixteenth at most: a plan tells little of its sample.
        assert 1.1 * farthest <= layout.headroom <= 1.1 * 17 / 16 * farthest
        assert 1.25 * norm <= layout.reach <= 1.25 * 17 / 16 * norm
        assert {x * 2.0**12 % 1.0 for x in (layout.headroom, layout.reach)} == {0.0}
        assert not layout.clipped


def test_a_policys_headroom_is_for_linear_models() -> None:
    (plan, *_), (other, *_) = (
        [choice.plan for choice in square_network().choices(with_policy(headroom=headroom))]
        for headroom in (1.25, 8.0)
    )
    assert plan == other


def test_features_that_are_only_compared_are_clipped_without_a_word() -> None:
    small = comparing_network()
    choice = small.choices(EASY)[0]
    layout = layout_of(choice)
    assert layout.clipped
    assert (layout.headroom, layout.reach) == (1.0, math.sqrt(layout.features))


@pytest.mark.parametrize("bound", [1e-3, 3.0, 1000.0])
def test_a_model_that_knows_its_largest_score_gets_room_for_that(bound: float) -> None:
    tree = tree_like(depth=2)
    graph = dataclasses.replace(tree.graph, constants={"bound": np.array(bound)})
    layout = layout_of(dataclasses.replace(tree, graph=graph).choices(EASY)[0])
    assert 1.125 * bound <= 2.0**layout.log_bound <= 2.25 * bound


# Keys


def test_no_plan_needs_more_keys_than_the_policy_allows() -> None:
    sizes = sorted(choice.plan.costs.evaluation_key_bytes for choice in choices_of("squares"))
    allowed = sizes[len(sizes) // 2]
    found = [
        choice.plan.costs.evaluation_key_bytes
        for choice in square_network().choices(with_policy(key_bytes=allowed))
    ]
    assert sorted(found) == [size for size in sizes if size <= allowed]
    assert len(found) < len(sizes)


def test_a_policy_that_allows_no_keys_gets_no_plan() -> None:
    with pytest.raises(PolicyError) as caught:
        square_network().choices(with_policy(key_bytes=0))
    assert caught.value.code == "SR-POLICY-PRECISION"


def crowded_network() -> Network:
    """So many outputs that few rows fit into a ciphertext before too much is declared."""
    return square_network(columns=3, units=4, outputs=300)


def unknown_mask(choice: NetworkChoice) -> float:
    """Coefficients of the server's mask that a crafted public key does not bring out."""
    layout, parameters = layout_of(choice), catalogued(choice.plan.parameters)
    rows, outputs = layout.rows_per_ciphertext, layout.outputs
    packing = NetworkPacking.choose(
        parameters.ring_degree // 2, rows, shapes(choice.model), outputs
    )
    assert packing is not None
    declared = rows * packing.sums.together
    bits = parameters.log_prefix(layout.sum_limbs) - layout.flooding_log_sigma
    return parameters.ring_degree - declared * max(0.0, bits) / math.log2(3.0)


def test_a_crafted_key_leaves_as_much_of_the_mask_unknown_as_a_secure_ring_has() -> None:
    found = [choice for name in ("squares", "relu", "tree") for choice in choices_of(name)]
    found += crowded_network().choices(LAX)
    for choice in found:
        modulus = catalogued(choice.plan.parameters).log_prefix(layout_of(choice).sum_limbs)
        assert unknown_mask(choice) >= 4096.0 * modulus / 106.0


def test_rows_that_would_let_a_crafted_key_unmask_are_not_packed() -> None:
    small = crowded_network()
    careful = small.choices(LAX)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planner, "_stays_masked", lambda *_: True)
        careless = small.choices(LAX)

    def most(choices: list[NetworkChoice], ring: int) -> int:
        """Rows that a ciphertext of a ring holds."""
        return max(
            (rows_of(c) for c in choices if catalogued(c.plan.parameters).ring_degree == ring),
            default=0,
        )

    rings = {catalogued(choice.plan.parameters).ring_degree for choice in careless}
    assert any(most(careful, ring) < most(careless, ring) for ring in rings)
    assert all(most(careful, ring) <= most(careless, ring) for ring in rings)


def test_where_weights_are_not_hidden_no_mask_limits_the_rows_of_a_ciphertext() -> None:
    found = crowded_network().choices(msgspec.structs.replace(LAX, sanitising_bits=0))
    assert any(
        unknown_mask(choice) < 4096.0 * modulus / 106.0
        for choice in found
        for modulus in [catalogued(choice.plan.parameters).log_prefix(layout_of(choice).sum_limbs)]
    )


@pytest.mark.parametrize(("exposed", "masked"), [(1, True), (126, True), (127, False)])
def test_how_many_declared_coefficients_a_ring_hides(exposed: int, masked: bool) -> None:
    choice = choice_of("squares", 1)
    parameters = catalogued(choice.plan.parameters)
    layout = layout_of(choice)
    modulus = parameters.log_prefix(layout.sum_limbs)
    spare = parameters.ring_degree - 4096.0 * modulus / 106.0
    # As if the flooding left so much room that 126 coefficients and a half bring out the spare.
    room = math.log2(3.0) * spare / 126.5
    layout = msgspec.structs.replace(layout, flooding_log_sigma=modulus - room)
    assert planner._stays_masked(parameters, layout, exposed) == masked


def test_flooding_beyond_the_modulus_brings_out_nothing() -> None:
    choice = choice_of("squares", 1)
    parameters = catalogued(choice.plan.parameters)
    modulus = parameters.log_prefix(layout_of(choice).sum_limbs)
    layout = msgspec.structs.replace(layout_of(choice), flooding_log_sigma=modulus + 1.0)
    assert planner._stays_masked(parameters, layout, parameters.ring_degree)


def test_keys_are_few_and_known_to_the_ring() -> None:
    for name in KINDS:
        choice = choices_of(name)[0]
        keys = layout_of(choice).keys
        parameters = catalogued(choice.plan.parameters)
        assert list(keys) == sorted(set(keys))
        assert 1 <= len(keys) <= 64
        assert all(1 <= limbs <= layout_of(choice).input_limbs for _, limbs in keys)
        assert all(0 <= element < 2 * parameters.ring_degree for element, _ in keys)


def test_large_samples_are_planned_on_some_of_their_rows() -> None:
    small = square_network()
    sample = np.tile(small.sample, (PLANNING_ROWS // len(small.sample) + 2, 1))
    assert len(sample) > PLANNING_ROWS
    many = dataclasses.replace(small, sample=sample)
    first, again = (choices[0].plan for choices in (many.choices(EASY), many.choices(EASY)))
    assert first == again


def test_what_a_plan_accepts_holds_the_whole_of_a_large_sample() -> None:
    small = square_network()
    sample = np.tile(small.sample, (PLANNING_ROWS // len(small.sample) + 2, 1))
    planned = set(np.random.default_rng(0).choice(len(sample), PLANNING_ROWS, replace=False))
    unseen = next(row for row in range(len(sample)) if row not in planned)
    sample[unseen] *= 3.0
    layout = layout_of(dataclasses.replace(small, sample=sample).choices(EASY)[0])
    z = (sample - np.array(layout.centre)) / np.array(layout.half_width)
    assert np.linalg.norm(z[unseen]) == np.linalg.norm(z, axis=1).max()
    assert np.linalg.norm(z[unseen]) <= layout.reach
    assert np.abs(z).max() <= layout.headroom


def test_a_model_that_always_says_nothing_can_be_planned() -> None:
    sample = np.random.default_rng(0).uniform(-1.0, 1.0, (50, 3))
    nothing = network(
        [
            Layer.uniform(np.ones((2, 3)), np.zeros(2), SQUARE),
            Layer.uniform(np.zeros((1, 2)), np.zeros(1), IDENTITY),
        ],
        sample,
    )
    assert nothing.choices(EASY)


def test_columns_of_any_magnitude_are_planned() -> None:
    generator = np.random.default_rng(1)
    scales = 10.0 ** generator.uniform(-4, 6, 6)
    hidden = Layer.uniform(
        generator.normal(size=(5, 6)) / scales, 0.1 * generator.normal(size=5), SQUARE
    )
    small = network(
        [hidden, scores_layer(generator, 5, 1)], generator.uniform(-1, 1, (200, 6)) * scales
    )
    choice = small.choices(EASY)[0]
    layout = layout_of(choice)
    z = (small.sample - np.array(layout.centre)) / np.array(layout.half_width)
    assert np.allclose(choice.model.scores(z), small.scores(small.sample))


# What is refused


def test_a_precision_that_no_parameters_hold_is_refused() -> None:
    with pytest.raises(PolicyError) as caught:
        tree_like().choices(with_policy(precision_bits=40, sanitising_bits=64, decryption_bits=64))
    assert caught.value.code == "SR-POLICY-PRECISION"


def test_circuits_that_do_not_agree_well_enough_are_refused() -> None:
    with pytest.raises(PolicyError, match=r"agree with the model on \d+\.\d+% of the") as caught:
        dense_network((12, 12), RELU).choices(with_policy(minimum_agreement=1.0))
    assert caught.value.code == "SR-POLICY-PARITY"


def test_exact_circuits_meet_any_agreement() -> None:
    for small in (square_network(), tree_like()):
        assert small.choices(with_policy(minimum_agreement=1.0))
