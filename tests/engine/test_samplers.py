"""Samplers against their distributions.

Every threshold is for a false alarm below 1e-9 a test. Chi-square and Kolmogorov-Smirnov tests fail
below a p-value of 1e-10. Sums of many terms are taken as normal and fail beyond 6.6 deviations:
2 (1 - Phi(6.6)) = 4.1e-11. Sums of bounded terms, where many are tested at once, use Hoeffding's
bound instead: for terms in [-1, 1], P(|sum| > t sqrt(n)) <= 2 exp(-t^2 / 2), exactly.
"""

from __future__ import annotations

import decimal
import itertools
import math
from decimal import Decimal

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from slow_reference import gaussian_tail
from small_rings import message, secret_coefficients, small_parameters

from strongroom import _native_testing
from strongroom.engine import SecretKey, available_kernels

P_VALUE = 1e-10
DEVIATIONS = 6.6
every_kernel = pytest.mark.parametrize("kernel", available_kernels())


def hoeffding(tests: int) -> float:
    """t such that `tests` bounded sums together exceed t sqrt(n) with probability below 1e-10."""
    return math.sqrt(2 * math.log(2 * tests / 1e-10))


def assert_moments(
    sample: NDArray[np.float64], mean: float, deviation: float, kurtosis: float = 3.0
) -> None:
    """Mean and variance within DEVIATIONS of their own standard deviations."""
    n = sample.size
    assert abs(sample.mean() - mean) <= DEVIATIONS * deviation / math.sqrt(n)
    spread = deviation**2 * math.sqrt((kurtosis - 1) / n)
    assert abs(((sample - mean) ** 2).mean() - deviation**2) <= DEVIATIONS * spread


# ternary secrets


@pytest.mark.parametrize("n", [8, 16, 1000, 4096, 2**17])
def test_ternary_samples_are_ternary_and_as_many_as_asked(n: int) -> None:
    sample = _native_testing.sample_ternary(n)
    assert sample.shape == (n,)
    assert set(np.unique(sample)) <= {-1, 0, 1}


def test_ternary_samples_are_uniform_alone_and_in_pairs() -> None:
    sample = _native_testing.sample_ternary(3 * 10**6) + 1
    assert stats.chisquare(np.bincount(sample, minlength=3)).pvalue > P_VALUE
    for distance in (1, 2, 4, 64):
        pairs = 3 * sample[:-distance] + sample[distance:]
        # Overlapping pairs are not independent; every (2 distance)-th block of them is.
        blocks = pairs[: pairs.size // (2 * distance) * (2 * distance)]
        chosen = blocks.reshape(-1, 2 * distance)[:, :distance]
        assert stats.chisquare(np.bincount(chosen.ravel(), minlength=9)).pvalue > P_VALUE


# the error distribution


def exact_probabilities() -> NDArray[np.float64]:
    """P(|x| = k) for k = 0 ... 29."""
    tail = [Decimal(1), *gaussian_tail(Decimal("3.2"), 30)]
    return np.array([float(a - b) for a, b in itertools.pairwise(tail)])


@every_kernel
def test_the_tail_table_is_exact_at_every_boundary(kernel: str) -> None:
    tails = [int((t * 2**63).to_integral_value()) for t in gaussian_tail(Decimal("3.2"), 31)]
    # The 29 entries that are not zero; what is beyond has a probability below 2^-63.
    assert tails[28] == 4
    assert tails[29:] == [0, 0]
    # u is below exactly k entries if tails[k] <= u < tails[k - 1]; the lowest bit is the sign.
    edges = [(u, sum(u < t for t in tails)) for t in tails[:29] for u in (t - 1, t, t + 1)]
    words = [u << 1 | sign for u, _ in edges for sign in (0, 1)]
    expected = [(-1) ** sign * k for _, k in edges for sign in (0, 1)]
    padding = -len(words) % 8
    uniform = np.array(words + [2**64 - 1] * padding, dtype=np.uint64)
    sample = _native_testing.gaussian(kernel, uniform).tolist()
    assert sample == expected + [0] * padding
    assert [k for _, k in edges[1::3]] == list(range(29))


@every_kernel
def test_errors_follow_the_discrete_gaussian(kernel: str) -> None:
    n = 4 * 10**6
    sample = _native_testing.sample_error(n, kernel)
    assert np.abs(sample).max() <= 29
    probabilities = exact_probabilities()
    # One cell for each value as long as 30 are expected in it, and one for all beyond.
    last = int(np.flatnonzero(probabilities * n / 2 >= 30)[-1])
    values = np.arange(-last, last + 1)
    inner = np.array([probabilities[abs(v)] / (1 if v == 0 else 2) for v in values])
    expected = np.append(inner, 1 - inner.sum()) * n
    counts = np.array([np.count_nonzero(sample == v) for v in values])
    observed = np.append(counts, n - counts.sum())
    assert expected[-1] >= 10
    assert stats.chisquare(observed, expected).pvalue > P_VALUE
    variance = float((probabilities * np.arange(30) ** 2).sum())
    assert math.sqrt(variance) == pytest.approx(3.2, abs=1e-9)
    assert_moments(sample.astype(np.float64), 0.0, 3.2)
    # The tail as a whole: P(|x| > 13) = 2.28e-5, some 91 of them.
    tail = float(gaussian_tail(Decimal("3.2"), 14)[13])
    beyond = np.count_nonzero(np.abs(sample) > 13)
    low, high = stats.binom.ppf([P_VALUE, 1 - P_VALUE], n, tail)
    assert low <= beyond <= high


def test_neighbouring_errors_are_independent() -> None:
    n = 2 * 10**6
    x = _native_testing.sample_error(n, "portable").astype(np.float64) / 3.2
    for distance in (1, 2, 3, 4, 7, 8, 16, 512):
        for f in (lambda v: v, np.square):
            y = f(x) - f(x).mean()
            products = y[:-distance] * y[distance:]
            correlation = products.sum() / (products.std() * math.sqrt(products.size))
            assert abs(correlation) <= 7.5  # 16 of them: 16 * 6.4e-14


def test_errors_come_in_multiples_of_eight() -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        _native_testing.sample_error(12, "portable")


# flooding

LEVELS = [0.0, 0.7, 5.0, 20.5, 39.9, 40.0, 40.1, 52.0, 63.0, 64.3, 80.0, 100.0]


def flood_in_deviations(n: int, log_sigma: float) -> tuple[int, NDArray[np.float64]]:
    """shift, and values over 2^log_sigma (a double keeps the 53 upper bits, enough here)."""
    shift, high, low = _native_testing.sample_flood(n, log_sigma)
    values = high.astype(np.float64) * 2.0 ** (shift - log_sigma)
    return shift, values + low.astype(np.float64) * 2.0**-log_sigma


@pytest.mark.parametrize("log_sigma", LEVELS)
def test_floods_are_gaussians_of_their_deviation(log_sigma: float) -> None:
    n = 400_000
    shift, x = flood_in_deviations(n, log_sigma)
    assert shift == max(0, math.ceil(log_sigma) - 40)
    # Rounding adds 1/12 of its unit squared, each of the two uniform numbers below a wide flood as
    # much again and half a unit.
    unit = 2.0 ** (shift - log_sigma)
    below = 2 if shift else 0
    assert_moments(x, below * unit / 2, math.sqrt(1 + (1 + below) * unit**2 / 12))
    if log_sigma >= 20:
        assert stats.kstest(x, "norm").pvalue > P_VALUE
    else:
        sigma = 2.0**log_sigma
        edges = np.arange(math.floor(-3.5 * sigma), math.ceil(3.5 * sigma)) + 0.5
        edges = edges[:: max(1, len(edges) // 64)]
        inner = np.diff(stats.norm.cdf(edges / sigma))
        observed = np.histogram(x * sigma, bins=edges)[0]
        outside = n - observed.sum()
        expected = np.append(inner, 1 - inner.sum()) * n
        assert stats.chisquare(np.append(observed, outside), expected).pvalue > P_VALUE


@pytest.mark.parametrize("log_sigma", [5.0, 40.0, 64.3])
def test_floods_have_their_tails(log_sigma: float) -> None:
    n = 2_000_000
    _, x = flood_in_deviations(n, log_sigma)
    unit = 2.0**-log_sigma if log_sigma < 40 else 0.0
    for z in (3.0, 4.0, 4.5):
        # An integer is beyond z if the Gaussian is beyond the middle of the step at z.
        edge = math.floor(z / unit) * unit + unit / 2 if unit else z
        for beyond in (np.count_nonzero(x > edge), np.count_nonzero(x < -edge)):
            low, high = stats.binom.ppf([P_VALUE / 10, 1 - P_VALUE / 10], n, stats.norm.sf(edge))
            assert low <= beyond <= high
    assert np.abs(x).max() < 9.5 + unit


@pytest.mark.parametrize("log_sigma", [40.0, 41.0, 52.0, 63.0, 64.3, 80.0, 100.0])
def test_the_lowest_bits_of_wide_floods_are_uniform(log_sigma: float) -> None:
    n = 200_000
    shift, high, low = _native_testing.sample_flood(n, log_sigma)
    assert low.max() < 2**shift
    value_bits = high.astype(np.uint64) << np.uint64(min(shift, 63)) | low
    lowest = value_bits.astype(np.uint64) if shift < 24 else low
    for byte in range(max(1, min(shift // 8, 7))):
        cells = (lowest >> np.uint64(8 * byte)) & np.uint64(255)
        assert stats.chisquare(np.bincount(cells.astype(np.int64), minlength=256)).pvalue > P_VALUE
    # Neither do they go with the Gaussian above them: signs against single bits.
    signs = np.where(high >= 0, 1.0, -1.0)
    for bit in range(min(shift, 16)):
        coins = np.where((low >> np.uint64(bit)) & np.uint64(1), 1.0, -1.0)
        assert abs(coins @ signs) <= hoeffding(16) * math.sqrt(n)
    # Nor does the low part as a number go with the Gaussian, or with its size.
    if shift:
        fraction = low.astype(np.float64) / 2.0**shift
        for above in (high.astype(np.float64), np.abs(high).astype(np.float64)):
            x, y = fraction - fraction.mean(), above - above.mean()
            assert abs(x @ y) <= 7.0 * x.std() * y.std() * math.sqrt(n)


@pytest.mark.parametrize("log_sigma", [5.0, 64.3])
def test_the_two_values_of_one_box_muller_step_are_independent(log_sigma: float) -> None:
    _, x = flood_in_deviations(400_000, log_sigma)
    for a, b in ((x[::2], x[1::2]), (x[1:-1:2], x[2::2])):
        for f in (lambda v: v, np.square, np.abs):
            u, v = f(a) - f(a).mean(), f(b) - f(b).mean()
            correlation = (u * v).sum() / (u.std() * v.std() * math.sqrt(len(u)))
            assert abs(correlation) <= 7.0  # six of them: 6 * 2.6e-12


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_floods_of_any_number_of_values(n: int) -> None:
    _, high, low = _native_testing.sample_flood(n, 50.0)
    assert high.shape == low.shape == (n,)
    assert len(set(high.tolist())) == n


# independence


def bits_of(seeds: list[bytes]) -> NDArray[np.float64]:
    """Rows of +-1, one for each seed."""
    array = np.frombuffer(b"".join(seeds), dtype=np.uint8).reshape(len(seeds), -1)
    return 1.0 - 2.0 * np.unpackbits(array, axis=1)


def test_seeds_are_distinct_balanced_and_uncorrelated() -> None:
    parameters = small_parameters(16, (40,))
    secret = SecretKey.generate(parameters)
    plaintext, _ = message(parameters, np.random.default_rng(0))
    n = 4000
    fresh = [secret.encrypt(plaintext).seed or b"" for _ in range(n // 2)]
    keys = [secret.public_key(1).native.seed for _ in range(n // 2)]
    assert len({*fresh, *keys}) == n
    bits = bits_of([*fresh, *keys])
    assert np.abs(bits.sum(axis=0)).max() <= hoeffding(256) * math.sqrt(n)
    pairs = bits.T @ bits
    np.fill_diagonal(pairs, 0)
    assert np.abs(pairs).max() <= hoeffding(256 * 255 // 2) * math.sqrt(n)
    # Seed after seed: no bit repeats that of its predecessor.
    assert np.abs((bits[1:] * bits[:-1]).sum(axis=0)).max() <= hoeffding(2 * 256) * math.sqrt(n)


def test_secrets_are_distinct_and_uncorrelated() -> None:
    parameters = small_parameters(256, (40,))
    secrets = np.array(
        [secret_coefficients(SecretKey.generate(parameters)) for _ in range(200)], dtype=np.float64
    )
    products = secrets @ secrets.T
    np.fill_diagonal(products, 0)
    assert np.abs(products).max() <= hoeffding(200 * 199 // 2) * math.sqrt(256)
    assert len({row.tobytes() for row in secrets}) == 200


def test_errors_of_two_draws_are_uncorrelated() -> None:
    draws = [_native_testing.sample_error(2**16, "").astype(np.float64) / 3.2 for _ in range(12)]
    for i, x in enumerate(draws):
        for y in draws[:i]:
            # 66 pairs of sums of 65536 independent products: 66 * 6.4e-14.
            assert abs(x @ y) <= 7.5 * math.sqrt(2**16)


def _flood_by_definition(words: list[int], log_sigma: float) -> tuple[int, list[tuple[float, int]]]:
    """Box-Muller in 60 digits: the shift, and for each value its unrounded upper part and the sum
    of its low parts."""
    shift = max(0, math.ceil(log_sigma) - 40)
    values = []
    with decimal.localcontext() as context:
        context.prec = 60
        uniform = (decimal.Decimal(words[0]) + decimal.Decimal("0.5")) / 2**64
        radius = (-2 * uniform.ln()).sqrt() * decimal.Decimal(2.0 ** (log_sigma - shift))
        angle = 2 * math.pi * (words[1] >> 11) * 2.0**-53
        for turn, low in ((math.cos(angle), words[2:4]), (math.sin(angle), words[4:6])):
            total = sum(word & (1 << shift) - 1 for word in low)
            values.append((float(radius * decimal.Decimal(turn)), total))
    return shift, values


@pytest.mark.parametrize("log_sigma", [0.0, 5.5, 39.0, 40.0, 46.25, 63.0, 100.0])
@pytest.mark.parametrize(
    "first",
    [0, 1, 2**20, 2**53, 2**63 - 1, 2**63, 2**64 - 2**20, 2**64 - 2**11, 2**64 - 2, 2**64 - 1],
)
def test_floods_are_box_muller_of_their_words(first: int, log_sigma: float) -> None:
    low = 2**64 - 1
    for second, lows in ((0, [0] * 4), (2**61, [low] * 4), (2**62 + 12345, [low, 0, 1, low])):
        words = [first, second, *lows]
        shift, expected = _flood_by_definition(words, log_sigma)
        its_shift, high, its_low = _native_testing.flood_from_uniform(
            np.array(words, dtype=np.uint64), log_sigma
        )
        assert its_shift == shift
        for value, rest, (upper, total) in zip(high, its_low, expected, strict=True):
            carry, remainder = divmod(total, 1 << shift)
            assert int(rest) == remainder
            # Doubles carry 53 bits of the radius and of the turn.
            assert abs(int(value) - carry - upper) <= 0.5 + abs(upper) * 2.0**-49 + 1e-9
