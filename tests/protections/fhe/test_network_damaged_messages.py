"""Requests to a network and its responses, cut, stretched or altered on their way, bit by bit.

As for linear models (test_damaged_messages.py): what the format can detect is refused with the code
that says what is wrong; the rest gives a score that means nothing, or one that is larger than any
that the model was planned for and refused for that, and never a crash.
"""

from __future__ import annotations

from collections.abc import Callable
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
from message_regions import Region, Words, network_request_regions, network_response_regions
from network_exchanges import NetworkExchange, Table, exchange_of, with_blocks

from strongroom import engine
from strongroom.errors import StrongroomError
from strongroom.protections.fhe.client_side import PendingRequest

TOO_LARGE = "SR-INPUT-RANGE"
MISSING = "SR-KEYS-MISSING"


@pytest.fixture(scope="module")
def exchange() -> NetworkExchange:
    """Two rows a ciphertext, three outputs."""
    return exchange_of("squares", 2)


@pytest.fixture(scope="module")
def rows(exchange: NetworkExchange) -> Table:
    return exchange.network.rows(2)


@pytest.fixture(scope="module")
def pending(exchange: NetworkExchange, rows: Table) -> PendingRequest:
    return exchange.request(rows)


@pytest.fixture(scope="module")
def response(exchange: NetworkExchange, pending: PendingRequest) -> bytes:
    return exchange.answer(pending.body)


def outcome(exchange: NetworkExchange, rows: Table, act: Callable[[], Table]) -> str:
    """For damage that nobody can see: scores below the plan's bound, or a refusal."""
    try:
        scores = act()
    except StrongroomError as error:
        code, text = error.code, str(error)
    else:
        code, text = "", ""
    if code:
        assert "\n" not in text
        assert code != TOO_LARGE or "larger than the model was planned for" in text
        return code
    assert (np.abs(scores) < 2.0**exchange.layout.log_bound).all()
    wrong = np.abs(scores - exchange.polynomial_scores(rows))
    return "garbage" if wrong.max() > exchange.plan.costs.score_error else "the answer"


def test_every_bit_of_a_requests_structure_is_checked(
    exchange: NetworkExchange, pending: PendingRequest
) -> None:
    regions, _ = network_request_regions(exchange.circuit, pending.body)
    for region in regions:
        if region.name.endswith(UNDETECTABLE):
            continue
        allowed = {MISMATCH} if region.name.endswith(NAMES_ANOTHER_MODEL) else {FORMAT}
        if region.name == "key set":
            allowed = {MISSING}
        for bit in range(8 * region.start, 8 * region.stop):
            code = refusal(exchange.answer, flipped(pending.body, bit))
            assert code in allowed, f"bit {bit - 8 * region.start} of {region.name}"


def test_every_bit_of_a_responses_structure_is_checked(
    exchange: NetworkExchange, pending: PendingRequest, response: bytes
) -> None:
    regions, _ = network_response_regions(exchange.circuit, response)
    for region in regions:
        allowed = {FORMAT}
        if region.name.endswith((*NAMES_ANOTHER_MODEL, "request id")):
            allowed = {MISMATCH}
        if region.name == "envelope rows":
            allowed = {FORMAT, MISMATCH}
        for bit in range(8 * region.start, 8 * region.stop):
            code = refusal(exchange.client.decrypt, pending, flipped(response, bit))
            assert code in allowed, f"bit {bit - 8 * region.start} of {region.name}"


@pytest.mark.parametrize("beyond", ["the modulus", "all bits set"])
def test_a_coefficient_that_is_not_below_its_modulus_is_refused(
    exchange: NetworkExchange, pending: PendingRequest, response: bytes, beyond: str
) -> None:
    for message, regions, act in both_ways(exchange, pending, response):
        for run in regions[1]:
            top = (1 << run.modulus.bit_length()) - 1
            value = run.modulus if beyond == "the modulus" else top
            for index in {0, run.count // 2, run.count - 1}:
                code = refusal(act, run.replaced(message, index, value))
                assert code == RANGE, f"{run.name}, coefficient {index}"


Regions = tuple[list[Region], list[Words]]


def both_ways(
    exchange: NetworkExchange, pending: PendingRequest, response: bytes
) -> list[tuple[bytes, Regions, Callable[[bytes], object]]]:
    """Both messages, where what lies in them, and who reads them."""
    circuit = exchange.circuit
    return [
        (pending.body, network_request_regions(circuit, pending.body), exchange.answer),
        (
            response,
            network_response_regions(circuit, response),
            partial(exchange.client.decrypt, pending),
        ),
    ]


def test_a_message_of_another_length_is_refused(
    exchange: NetworkExchange, pending: PendingRequest, response: bytes
) -> None:
    for message, (structure, words), act in both_ways(exchange, pending, response):
        cuts = {place.start for place in (*structure, *words)}
        cuts |= {cut + 1 for cut in cuts} | {len(message) - 1}
        for cut in sorted(cuts):
            assert refusal(act, message[:cut]) == FORMAT, cut
        for more in (b"\0", message[60:], message, bytes(2**20)):
            assert refusal(act, message + more) == FORMAT


@pytest.mark.parametrize("rows_said", [0, 3, 4, 2**20, 2**32 - 1])
def test_another_number_of_rows_than_fit_its_length_is_refused(
    exchange: NetworkExchange, pending: PendingRequest, rows_said: int
) -> None:
    altered = pending.body[:56] + rows_said.to_bytes(4, "little") + pending.body[60:]
    assert refusal(exchange.answer, altered) == FORMAT


def test_other_bits_in_coefficients_are_refused_or_give_nonsense(
    exchange: NetworkExchange, rows: Table, pending: PendingRequest, response: bytes
) -> None:
    generator = np.random.default_rng(1)
    circuit, decrypt = exchange.circuit, exchange.client.decrypt
    outcomes = set()

    def observe(act: Callable[[], Table]) -> None:
        outcomes.add(outcome(exchange, rows, act))

    for run in network_request_regions(circuit, pending.body)[1]:
        for bit in generator.integers(0, run.count * run.modulus.bit_length(), 5):
            altered = flipped(pending.body, 8 * run.start + int(bit))
            observe(lambda body=altered: decrypt(pending, exchange.answer(body)))
    for run in network_response_regions(circuit, response)[1]:
        for bit in generator.integers(0, run.count * run.modulus.bit_length(), 25):
            altered = flipped(response, 8 * run.start + int(bit))
            observe(lambda body=altered: decrypt(pending, body))
    assert outcomes <= {"garbage", "the answer", RANGE, TOO_LARGE}
    assert outcomes & {"garbage", TOO_LARGE}


def test_another_seed_gives_scores_that_mean_nothing_or_are_too_large(
    exchange: NetworkExchange, rows: Table, pending: PendingRequest
) -> None:
    regions, _ = network_request_regions(exchange.circuit, pending.body)
    (seed,) = (region for region in regions if region.name == "ciphertext seed")
    for bit in range(8 * seed.start, 8 * seed.stop, 61):
        response = exchange.answer(flipped(pending.body, bit))
        decrypt = partial(exchange.client.decrypt, pending, response)
        assert outcome(exchange, rows, decrypt) in {"garbage", TOO_LARGE}


def test_another_request_id_is_found_by_the_client(
    exchange: NetworkExchange, pending: PendingRequest
) -> None:
    for bit in range(8 * 8, 8 * 24, 17):
        response = exchange.answer(flipped(pending.body, bit))
        assert refusal(exchange.client.decrypt, pending, response) == MISMATCH


def test_random_bytes_are_refused_by_both_sides(
    exchange: NetworkExchange, pending: PendingRequest
) -> None:
    generator = np.random.default_rng(3)
    for length in (0, 1, 59, 60, 76, 77, 120, 1000, len(pending.body)):
        noise = generator.bytes(length)
        assert refusal(exchange.answer, noise) == FORMAT
        assert refusal(exchange.client.decrypt, pending, noise) == FORMAT


def test_a_request_is_no_response_and_a_response_no_request(
    exchange: NetworkExchange, pending: PendingRequest, response: bytes
) -> None:
    assert refusal(exchange.answer, response) == FORMAT
    assert refusal(exchange.client.decrypt, pending, pending.body) == FORMAT


def test_a_request_for_another_plan_is_refused(
    exchange: NetworkExchange, pending: PendingRequest
) -> None:
    other = NetworkExchange.opened(exchange, with_blocks(exchange, 1))
    assert refusal(other.answer, pending.body) == MISMATCH


def spliced(exchange: NetworkExchange, ciphertext: engine.Ciphertext, rows: Table) -> bytes:
    """A whole request around a ciphertext of the client's own making."""
    body = exchange.request(rows).body
    return body[:76] + engine.ciphertext_to_bytes(ciphertext)


def ciphertext_of(
    exchange: NetworkExchange, *, scale: float = 1.0, limbs: int = 0, coefficients: bool = False
) -> engine.Ciphertext:
    """One that differs from an honest one."""
    circuit = exchange.circuit
    limbs = limbs or circuit.layout.input_limbs
    encode = engine.encode_coefficients if coefficients else engine.encode_slots
    values = np.zeros(circuit.parameters.ring_degree // (1 if coefficients else 2))
    plaintext = encode(circuit.parameters, values, circuit.input_scale * int(scale), limbs)
    return exchange.secret.encrypt(plaintext)


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"coefficients": True}, {FORMAT}),
        ({"scale": 2}, {FORMAT}),
        ({"limbs": 1}, {FORMAT, MISMATCH}),
    ],
    ids=["packed by coefficients", "another scale", "fewer primes"],
)
def test_a_ciphertext_of_another_kind_is_refused(
    exchange: NetworkExchange, rows: Table, changes: dict[str, int], codes: set[str]
) -> None:
    forged = ciphertext_of(exchange, **changes)
    assert refusal(exchange.answer, spliced(exchange, forged, rows)) in codes


def test_a_ciphertext_that_is_not_fresh_is_refused(exchange: NetworkExchange, rows: Table) -> None:
    honest = ciphertext_of(exchange)
    used = engine.add(honest, honest)
    assert used.seed is None
    assert refusal(exchange.answer, spliced(exchange, used, rows)) == FORMAT
