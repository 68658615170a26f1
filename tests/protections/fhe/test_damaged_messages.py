"""Requests and responses that were cut, stretched or altered on their way, bit by bit.

What the format can detect is refused with the code that says what is wrong. What it can't detect is
a coefficient or a seed with other bits that are as good as the right ones: a ciphertext is not
authenticated here (TLS is there for that), so those give a score that means nothing. They never
crash either side, and a decrypted score is finite.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from damage import (
    FORMAT,
    MISMATCH,
    NAMES_ANOTHER_MODEL,
    RANGE,
    UNDETECTABLE,
    flipped,
    refusal,
)
from exchanges import Exchange, Table, with_blocks
from message_regions import request_regions, response_regions

from strongroom.errors import CiphertextError
from strongroom.policy import Policy
from strongroom.protections.fhe.client_side import PendingRequest


@pytest.fixture(scope="module")
def rows(exchange: Exchange) -> Table:
    return np.tile(exchange.plan.layout.centre, (3, 1)) + 0.25


@pytest.fixture(scope="module")
def request_bytes(exchange: Exchange, rows: Table) -> bytes:
    return bytes(exchange.request(rows).body)


def outcome(exchange: Exchange, pending: PendingRequest, request: bytes, response: bytes) -> str:
    """For damage that nobody can see: finite scores, or a refusal. Without a response, the
    request is answered first."""
    try:
        response = response or exchange.server.answer(request)
        scores = exchange.client.decrypt(pending, response)
    except CiphertextError as error:
        return error.code
    assert np.isfinite(scores).all()
    return "garbage"


def test_every_bit_of_a_requests_structure_is_checked(
    exchange: Exchange, request_bytes: bytes
) -> None:
    regions, _ = request_regions(exchange.circuit, request_bytes)
    for region in regions:
        if region.name.endswith(UNDETECTABLE):
            continue
        allowed = {MISMATCH} if region.name.endswith(NAMES_ANOTHER_MODEL) else {FORMAT}
        for bit in range(8 * region.start, 8 * region.stop):
            altered = flipped(request_bytes, bit)
            code = refusal(exchange.server.answer, altered)
            assert code in allowed, f"bit {bit - 8 * region.start} of {region.name}"


def test_every_bit_of_a_responses_structure_is_checked(exchange: Exchange, rows: Table) -> None:
    pending = exchange.request(rows)
    response = exchange.server.answer(pending.body)
    regions, _ = response_regions(exchange.circuit, response)
    for region in regions:
        allowed = {FORMAT}
        if region.name.endswith((*NAMES_ANOTHER_MODEL, "request id")):
            allowed = {MISMATCH}
        if region.name == "envelope rows":
            allowed = {FORMAT, MISMATCH}
        for bit in range(8 * region.start, 8 * region.stop):
            altered = flipped(response, bit)
            code = refusal(exchange.client.decrypt, pending, altered)
            assert code in allowed, f"bit {bit - 8 * region.start} of {region.name}"


def test_another_request_id_is_found_by_the_client(exchange: Exchange, rows: Table) -> None:
    pending = exchange.request(rows)
    for bit in range(8 * 8, 8 * 24):
        response = exchange.server.answer(flipped(pending.body, bit))
        assert refusal(exchange.client.decrypt, pending, response) == MISMATCH


@pytest.mark.parametrize("region", ["key seed", "ciphertext seed"])
def test_another_seed_gives_scores_that_mean_nothing(
    exchange: Exchange, rows: Table, region: str
) -> None:
    pending = exchange.request(rows)
    regions, _ = request_regions(exchange.circuit, pending.body)
    (place,) = (found for found in regions if found.name == region)
    for bit in range(8 * place.start, 8 * place.stop, 13):
        response = exchange.server.answer(flipped(pending.body, bit))
        scores = exchange.client.decrypt(pending, response)
        assert np.isfinite(scores).all()
        assert np.abs(scores - exchange.plain(rows)).min() > exchange.plan.costs.score_error


def test_other_bits_in_coefficients_of_a_request_are_refused_or_give_nonsense(
    exchange: Exchange, rows: Table
) -> None:
    pending = exchange.request(rows)
    _, words = request_regions(exchange.circuit, pending.body)
    generator = np.random.default_rng(1)
    outcomes = set()
    for run in words:
        bits = run.count * run.modulus.bit_length()
        for bit in generator.integers(0, bits, 25):
            altered = flipped(pending.body, 8 * run.start + int(bit))
            outcomes.add(outcome(exchange, pending, altered, b""))
    assert outcomes <= {"garbage", RANGE}
    assert "garbage" in outcomes


def test_other_bits_in_coefficients_of_a_response_are_refused_or_give_nonsense(
    exchange: Exchange, rows: Table
) -> None:
    pending = exchange.request(rows)
    response = exchange.server.answer(pending.body)
    _, words = response_regions(exchange.circuit, response)
    generator = np.random.default_rng(2)
    outcomes = set()
    for run in words:
        bits = run.count * run.modulus.bit_length()
        for bit in generator.integers(0, bits, 50):
            altered = flipped(response, 8 * run.start + int(bit))
            outcomes.add(outcome(exchange, pending, b"", altered))
    assert outcomes <= {"garbage", RANGE}
    assert "garbage" in outcomes


@pytest.mark.parametrize("beyond", ["the modulus", "all bits set"])
def test_a_coefficient_that_is_not_below_its_modulus_is_refused(
    exchange: Exchange, rows: Table, beyond: str
) -> None:
    pending = exchange.request(rows)
    response = exchange.server.answer(pending.body)
    of_request = request_regions(exchange.circuit, pending.body)[1]
    of_response = response_regions(exchange.circuit, response)[1]
    assert len(of_request) == 3 + 4
    assert len(of_response) == 2 + 2
    for run in of_request + of_response:
        value = run.modulus if beyond == "the modulus" else (1 << run.modulus.bit_length()) - 1
        for index in {0, run.count // 2, run.count - 1}:
            if run in of_request:
                altered = run.replaced(pending.body, index, value)
                code = refusal(exchange.server.answer, altered)
            else:
                altered = run.replaced(response, index, value)
                code = refusal(exchange.client.decrypt, pending, altered)
            assert code == RANGE, f"{run.name}, coefficient {index}"


def test_padding_after_coefficients_must_be_zero() -> None:
    # The larger ring has primes of 43 and 30 bits: 30 coefficients of either end within a byte.
    generator = np.random.default_rng(4)
    sample = generator.uniform(-1, 1, (20, 30))
    policy = Policy(security="quantum-128")
    exchange = Exchange.over(generator.normal(size=(1, 30)), np.zeros(1), sample, policy=policy)
    pending = exchange.request(sample[:1])
    response = exchange.server.answer(pending.body)
    padded = 0
    for message, regions, act in (
        (pending.body, request_regions, exchange.server.answer),
        (response, response_regions, partial(exchange.client.decrypt, pending)),
    ):
        for run in regions(exchange.circuit, message)[1]:
            bits = run.count * run.modulus.bit_length()
            for bit in range(bits, -(-bits // 8) * 8):
                padded += 1
                altered = flipped(message, 8 * run.start + bit)
                assert refusal(act, altered) == FORMAT
    assert padded > 8


def test_a_message_of_another_length_is_refused(exchange: Exchange, rows: Table) -> None:
    pending = exchange.request(rows)
    response = exchange.server.answer(pending.body)
    for message, regions, act in (
        (pending.body, request_regions, exchange.server.answer),
        (response, response_regions, partial(exchange.client.decrypt, pending)),
    ):
        structure, words = regions(exchange.circuit, message)
        cuts = {place.start for place in (*structure, *words)}
        cuts |= {cut + 1 for cut in cuts} | {len(message) - 1}
        for cut in sorted(cuts):
            assert refusal(act, message[:cut]) == FORMAT, cut
        for more in (b"\0", message[60:], message, bytes(2**20)):
            assert refusal(act, message + more) == FORMAT


@pytest.mark.parametrize("rows_said", [0, 2, 4, 2**20, 2**32 - 1])
def test_another_number_of_rows_than_there_are_is_refused(
    exchange: Exchange, request_bytes: bytes, rows_said: int
) -> None:
    altered = request_bytes[:56] + rows_said.to_bytes(4, "little") + request_bytes[60:]
    assert refusal(exchange.server.answer, altered) == FORMAT


def test_random_bytes_are_refused_by_both_sides(exchange: Exchange, rows: Table) -> None:
    generator = np.random.default_rng(3)
    pending = exchange.request(rows)
    for length in (0, 1, 59, 60, 61, 104, 1000, len(pending.body)):
        noise = generator.bytes(length)
        assert refusal(exchange.server.answer, noise) == FORMAT
        assert refusal(exchange.client.decrypt, pending, noise) == FORMAT


def test_a_request_is_no_response_and_a_response_no_request(
    exchange: Exchange, rows: Table
) -> None:
    pending = exchange.request(rows)
    response = exchange.server.answer(pending.body)
    assert refusal(exchange.server.answer, response) == FORMAT
    assert refusal(exchange.client.decrypt, pending, pending.body) == FORMAT


def test_a_request_for_another_plan_is_refused(exchange: Exchange, rows: Table) -> None:
    plan = with_blocks(exchange, 1)
    other = Exchange.opened(exchange.weights, exchange.bias, plan, exchange.payload, Policy())
    assert refusal(other.server.answer, exchange.request(rows).body) == MISMATCH


def test_a_request_for_weights_of_another_size_is_refused(exchange: Exchange, rows: Table) -> None:
    retrained = Exchange.over(exchange.weights * 1.7, exchange.bias, rows)
    assert refusal(retrained.server.answer, exchange.request(rows).body) == MISMATCH


def test_the_response_to_an_earlier_request_is_refused(exchange: Exchange, rows: Table) -> None:
    earlier = exchange.request(rows)
    stale = exchange.server.answer(earlier.body)
    pending = exchange.request(rows)
    assert refusal(exchange.client.decrypt, pending, stale) == MISMATCH
    assert np.isfinite(exchange.client.decrypt(earlier, stale)).all()
