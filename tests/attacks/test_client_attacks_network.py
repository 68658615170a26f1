"""A client attacks a network: do sums say more than the declared coefficients?

As in test_client_attacks_model.py, the null hypothesis is that what is received is independent of
the weights given the declared answers, and it is tested against the truth, which an attacker does
not have: what the server held before it sanitised. Sums are looked at before their last drop of
primes, too, which is public and can only lose information.

- Undeclared coefficients. A sum of one output is one coefficient of a product of polynomials; the
  others hold every single term of it. What c1 alone opens to is compared, modulo Q, with what it
  would be without the mask: uniform differences have a mean cosine that is a standard normal value.
- Noise. That of declared coefficients, correlated with the noise before sanitising.

Beyond 6.5 is a false alarm with a probability below 1e-8. Without its part of the protection, each
test rejects, and the weights of the last layer are read off.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from network_exchanges import NetworkExchange, Table, exchange_of
from numpy.typing import NDArray

from strongroom import engine
from strongroom.engine import Ciphertext, PublicKey
from strongroom.engine.evaluation import add_at, rescale, sanitise
from strongroom.protections.fhe import network_server

THRESHOLD = 6.5
ROWS = 40

EVERYTHING = ("flooding", "re-randomising")


@dataclass(frozen=True)
class Sums:
    """One result, as a server has it.

    Attributes:
        bare: before it is sanitised.
        sanitised: after that, or after what is left of it.
        received: the ciphertext of the response.
    """

    bare: Ciphertext
    sanitised: Ciphertext
    received: Ciphertext


@contextmanager
def server_without(*protections_off: str) -> Iterator[list[tuple[Ciphertext, Ciphertext]]]:
    """Take parts of sanitising away; yields results before and after what is left."""
    seen: list[tuple[Ciphertext, Ciphertext]] = []
    generator = np.random.default_rng(5)

    def weakened(
        result: Ciphertext, key: PublicKey, positions: NDArray[np.uint32], log_sigma: float
    ) -> Ciphertext:
        if "re-randomising" not in protections_off:
            made = sanitise(result, key, positions, 0.0 if protections_off else log_sigma)
        elif "flooding" in protections_off:
            made = result
        else:
            flood = generator.normal(size=len(positions)) * 2.0**log_sigma
            made = add_at(result, positions, flood / float(result.scale))
        seen.append((result, made))
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network_server, "sanitise", weakened)
        yield seen


@cache
def attacked(*protections_off: str) -> tuple[NetworkExchange, list[Sums]]:
    """Answers to one row, asked often: equal values, and noise of its own in each."""
    exchange = exchange_of("squares")
    row = exchange.network.rows(1)
    with server_without(*protections_off) as seen:
        response = exchange.answer(exchange.request(np.repeat(row, ROWS, axis=0)).body)
    circuit = exchange.circuit
    size, found = circuit.sizes.response_ciphertext(0), []
    for number, (bare, sanitised) in enumerate(seen):
        begin = 60 + number * size
        received = engine.ciphertext_from_bytes(
            circuit.parameters,
            memoryview(response)[begin : begin + size],
            limbs=circuit.layout.response_limbs,
            positions=declared(exchange),
        )
        found.append(Sums(bare, sanitised, received))
    return exchange, found


def declared(exchange: NetworkExchange) -> NDArray[np.uint32]:
    return exchange.circuit.packing.sums.positions(0)


def opened(exchange: NetworkExchange, ciphertext: Ciphertext) -> Table:
    """All coefficients as integers, to the precision of a float."""
    plaintext = exchange.secret.decrypt_raw_do_not_publish(ciphertext)
    return np.asarray(engine.decode(plaintext).real * float(ciphertext.scale))


def second_part(exchange: NetworkExchange, ciphertext: Ciphertext) -> Ciphertext:
    """With a first part of zeros: what c1 alone opens to."""
    nothing = np.array([], dtype=np.uint32)
    return engine.ciphertext_from_bytes(
        exchange.circuit.parameters,
        engine.ciphertext_to_bytes(ciphertext, nothing),
        limbs=ciphertext.limbs,
        positions=nothing,
    )


def mean_cosine(differences: list[Table], log_modulus: float) -> float:
    """A standard normal value if the differences are uniform modulo a number."""
    phases = np.concatenate(differences) * (2.0 * math.pi / 2.0**log_modulus)
    return float(np.sqrt(2.0 * len(phases)) * np.cos(phases).mean())


def dropped(exchange: NetworkExchange, result: Ciphertext) -> Ciphertext:
    """At the level of a response."""
    drop = result.limbs - exchange.layout.response_limbs
    return rescale(result, drop) if drop else result


def undeclared_statistic(exchange: NetworkExchange, sums: list[Sums], *, as_shipped: bool) -> float:
    layout, parameters = exchange.layout, exchange.circuit.parameters
    hidden = np.setdiff1d(np.arange(parameters.ring_degree), declared(exchange))
    differences = []
    for one in sums:
        unmasked, found = one.bare, one.sanitised
        if as_shipped:
            unmasked, found = dropped(exchange, unmasked), one.received
        pair = [opened(exchange, second_part(exchange, c))[hidden] for c in (found, unmasked)]
        differences.append(pair[0] - pair[1])
    limbs = layout.response_limbs if as_shipped else layout.sum_limbs
    return mean_cosine(differences, parameters.log_prefix(limbs))


def noise_statistic(exchange: NetworkExchange, sums: list[Sums]) -> float:
    """Student's t of the correlation between the noise before and after sanitising."""
    places = declared(exchange)
    before, after = (
        np.array([opened(exchange, c)[places] for c in ciphertexts])
        for ciphertexts in ([one.bare for one in sums], [one.sanitised for one in sums])
    )
    x, y = (values - values.mean(axis=0) for values in (before, after))
    r = float((x * y).sum() / math.sqrt(float((x * x).sum() * (y * y).sum())))
    freedom = x.size - x.shape[1] - 1
    return r * math.sqrt(freedom / (1.0 - min(r * r, 1.0 - 1e-12)))


def weights_at(exchange: NetworkExchange, ciphertext: Ciphertext, output: int) -> Table:
    """The last layer's weights of an output, from the coefficients beside the declared one, for an
    attacker who is told what the hidden step makes of its row."""
    sums = exchange.circuit.packing.sums
    gap = sums.ring_degree // 2 // sums.period
    own = opened(exchange, ciphertext)[output::gap] / float(ciphertext.scale)
    # Slots of the subring: term by term what the declared coefficient has the mean of.
    order, powers = 2 * sums.period, [pow(5, j, 4 * sums.period) for j in range(sums.period)]
    t = np.arange(order)
    slots = np.array([(own * np.exp(1j * np.pi * p * t / order)).sum().real for p in powers])
    values = exchange.model.values(exchange.z(exchange.network.rows(1)))[-2][0]
    assert len(values) < sums.period
    # A slot that holds no unit shows the bias, which is in all.
    return (slots[: len(values)] - slots[-1]) / sums.period / values


def relative_error(exchange: NetworkExchange, ciphertext: Ciphertext, output: int) -> float:
    truth = exchange.model.weights[output]
    # A unit that makes next to nothing of this row says nothing.
    values = exchange.model.values(exchange.z(exchange.network.rows(1)))[-2][0]
    said = np.abs(values) > 0.02 * np.abs(values).max()
    assert said.sum() >= 10
    found = weights_at(exchange, ciphertext, output)
    return float(np.linalg.norm((found - truth)[said]) / np.linalg.norm(truth[said]))


# With sanitising off, one query is enough.


def test_unsanitised_undeclared_coefficients_of_one_query_reveal_the_weights() -> None:
    exchange, (one, *_) = attacked(*EVERYTHING)
    for output in range(exchange.layout.outputs):
        assert relative_error(exchange, one.sanitised, output) < 0.01
        assert relative_error(exchange, dropped(exchange, one.bare), output) < 0.01


def test_unsanitised_noise_is_that_of_the_weights() -> None:
    exchange, sums = attacked(*EVERYTHING)
    assert noise_statistic(exchange, sums) > 10.0 * THRESHOLD


# With sanitising as it is by default, nothing beyond the answers is learnt.


@pytest.mark.parametrize("as_shipped", [True, False], ids=["as shipped", "before the last drop"])
def test_undeclared_coefficients_say_nothing(as_shipped: bool) -> None:
    exchange, sums = attacked()
    statistic = undeclared_statistic(exchange, sums, as_shipped=as_shipped)
    assert abs(statistic) < THRESHOLD
    ciphertext = sums[0].received if as_shipped else sums[0].sanitised
    assert relative_error(exchange, ciphertext, 0) > 1.0


def test_noise_says_nothing() -> None:
    exchange, sums = attacked()
    assert abs(noise_statistic(exchange, sums)) < THRESHOLD


def test_undeclared_coefficients_are_not_in_the_response() -> None:
    exchange, (one, *_) = attacked()
    first = one.received.native.residues()[0]
    assert first[:, declared(exchange)].any(axis=0).all()
    assert not np.delete(first, declared(exchange), axis=1).any()


# Each of these tests rejects when its part of the protection is missing.


@pytest.mark.parametrize("as_shipped", [True, False], ids=["as shipped", "before the last drop"])
def test_without_re_randomising_the_test_of_undeclared_coefficients_rejects(
    as_shipped: bool,
) -> None:
    exchange, sums = attacked("re-randomising")
    assert undeclared_statistic(exchange, sums, as_shipped=as_shipped) > 10.0 * THRESHOLD


def test_without_flooding_the_test_of_noise_rejects() -> None:
    exchange, sums = attacked("flooding")
    assert noise_statistic(exchange, sums) > 10.0 * THRESHOLD
