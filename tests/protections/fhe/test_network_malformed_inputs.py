"""A client that encrypts other numbers than rows become: it gets the model's polynomials at these,
in the declared coefficients, and nothing else."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from network_exchanges import NetworkExchange, Table, exchange_of
from numpy.typing import NDArray

from strongroom import engine
from strongroom.errors import InputError
from strongroom.protections.fhe import wire
from strongroom.protections.fhe.client_side import PendingRequest
from strongroom.protections.fhe.network_client import NetworkClient


def request_of(
    exchange: NetworkExchange, slots: list[NDArray[np.float64] | NDArray[np.complex128]], rows: int
) -> PendingRequest:
    """A well-formed request around any slots at all."""
    circuit = exchange.circuit
    envelope = wire.Envelope.fresh(rows)
    body = envelope.to_bytes(wire.REQUEST, circuit.binding) + exchange.client.key_set.identifier
    for values in slots:
        plaintext = engine.encode_slots(
            circuit.parameters, values, circuit.input_scale, circuit.layout.input_limbs
        )
        body += engine.ciphertext_to_bytes(exchange.secret.encrypt(plaintext))
    return PendingRequest(body, envelope)


def unbounded(exchange: NetworkExchange) -> NetworkClient:
    """The same client, but one that believes any score: refusing large ones is an asker's own
    affair, and an attacker does without."""
    client = copy(exchange.client)
    layout = msgspec.structs.replace(exchange.layout, log_bound=1000)
    client._circuit = replace(exchange.circuit, layout=layout)
    return client


def asked(exchange: NetworkExchange, z: Table) -> tuple[Table, bytes]:
    """Scores for numbers that no row becomes, of one ciphertext; and the response."""
    pending = request_of(exchange, [exchange.circuit.packing.input_slots(z)], len(z))
    response = exchange.answer(pending.body)
    return unbounded(exchange).decrypt(pending, response), response


def numbers(exchange: NetworkExchange, how: str) -> Table:
    shape = (exchange.layout.rows_per_ciphertext, exchange.layout.features)
    generator = np.random.default_rng(5)
    if how == "halves":
        return np.full(shape, 0.5)
    if how == "negative bits":
        return -generator.integers(0, 2, shape).astype(np.float64)
    if how == "any":
        return generator.uniform(-1.0, 1.5, shape)
    # Bits of a cut point that contradict each other are bits all the same.
    return generator.integers(0, 2, shape).astype(np.float64)


@pytest.mark.parametrize("how", ["halves", "negative bits", "any", "bits that no row has"])
@pytest.mark.parametrize("vectors", [1, 4])
def test_numbers_that_are_no_bits_give_the_polynomials_at_these(how: str, vectors: int) -> None:
    exchange = exchange_of("tree", vectors)
    z = numbers(exchange, how)
    scores, response = asked(exchange, z)
    expected = exchange.model.scores(z)
    assert np.abs(scores - expected).max() < 2.0**-9 * max(1.0, np.abs(expected).max())
    # Nothing travels but the second part and the declared coefficients of the first.
    circuit = exchange.circuit
    assert len(response) == circuit.sizes.response(vectors)
    positions = circuit.packing.sums.positions(0)
    answer = engine.ciphertext_from_bytes(
        circuit.parameters,
        memoryview(response)[60:],
        limbs=circuit.layout.response_limbs,
        positions=positions,
    )
    first = answer.native.residues()[0]
    assert first[:, positions].any(axis=0).all()
    assert not np.delete(first, positions, axis=1).any()


@pytest.mark.parametrize("name", ["squares", "two layers of squares", "units of two functions"])
def test_numbers_beyond_the_sample_give_the_polynomials_at_these(name: str) -> None:
    exchange = exchange_of(name)
    # The sample lies within a half.
    assert np.abs(exchange.z(exchange.network.sample)).max() <= 0.5
    z = np.random.default_rng(6).choice([-0.6, 0.6], (1, exchange.layout.features))
    scores, _ = asked(exchange, z)
    expected = exchange.model.scores(z)
    assert np.abs(expected).max() < 2.0**exchange.layout.log_bound
    assert np.abs(scores - expected).max() < 2.0**-9 * max(1.0, np.abs(expected).max())


def test_scores_that_the_model_was_not_planned_for_are_refused_by_an_honest_client() -> None:
    exchange = exchange_of("squares")
    z = np.full((1, exchange.layout.features), 4.0)
    bound = 2.0**exchange.layout.log_bound
    assert np.abs(exchange.model.scores(z)).max() > bound
    pending = request_of(exchange, [exchange.circuit.packing.input_slots(z)], 1)
    response = exchange.answer(pending.body)
    # What it decrypts may have wrapped around; here it has not.
    scores = unbounded(exchange).decrypt(pending, response)
    assert np.abs(scores).max() > bound
    with pytest.raises(InputError, match="larger than the model was planned for") as caught:
        exchange.client.decrypt(pending, response)
    assert caught.value.code == "SR-INPUT-RANGE"
    assert "Check the units" in str(caught.value)
    assert f"{np.abs(scores).max():.2f}" not in str(caught.value)


def test_slots_that_do_not_repeat_give_a_mean_of_the_polynomials() -> None:
    """Copies of a vector that differ are as good as several vectors of which one sees the mean."""
    exchange = exchange_of("squares")
    packing = exchange.circuit.packing
    span = packing.steps[0].layout.span
    z = np.random.default_rng(7).uniform(-1.0, 1.0, (2, exchange.layout.features))
    slots = packing.input_slots(z[:1])
    other = packing.input_slots(z[1:])
    half = len(slots) // 2
    assert half % span == 0
    mixed = np.concatenate([slots[:half], other[half:]])
    pending = request_of(exchange, [mixed], 1)
    scores = exchange.client.decrypt(pending, exchange.answer(pending.body))
    mean = exchange.model.scores(z).mean(axis=0, keepdims=True)
    # Rotations carry a few slots of one half to the other.
    steps = packing.steps[0].layout.diagonals + span
    tolerance = 2.0**-9 + 4.0 * steps / half
    assert np.abs(scores - mean).max() < tolerance * np.abs(exchange.model.scores(z)).max()


def test_rows_that_a_ciphertext_has_room_for_but_a_request_does_not_name_are_not_answered() -> None:
    exchange = exchange_of("squares", 4)
    z = np.random.default_rng(8).uniform(-1.0, 1.0, (4, exchange.layout.features))
    pending = request_of(exchange, [exchange.circuit.packing.input_slots(z)], 1)
    scores = exchange.client.decrypt(pending, exchange.answer(pending.body))
    assert scores.shape == (1, exchange.layout.outputs)
    assert np.abs(scores - exchange.model.scores(z[:1])).max() < 2.0**-9


def test_a_vector_reaches_no_other_vectors_scores() -> None:
    exchange = exchange_of("squares", 4)
    generator = np.random.default_rng(9)
    z = generator.uniform(-1.0, 1.0, (4, exchange.layout.features))
    before, _ = asked(exchange, z)
    z[2] = generator.uniform(-1.0, 1.0, exchange.layout.features)
    after, _ = asked(exchange, z)
    moved = np.abs(after - before).max(axis=1)
    assert moved[[0, 1, 3]].max() < 2.0**-9 < moved[2]
