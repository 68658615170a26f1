"""Predicted noise of slot-packed ciphertexts, operation by operation.

A ciphertext decrypts to its message times its scale, rounded to a polynomial, plus a polynomial e
of noise. What is predicted is the standard deviation of e's coefficients, averaged over keys and
randomness, for a uniform ternary secret and errors of standard deviation 3.2. With independent
coefficients of deviation d, the error in a slot, e at a root of X^N + 1, is a complex number of
root mean square sqrt(N) d; products of ciphertexts multiply slot by slot, so that is where they are
followed. This is the central-limit heuristic of Costache, Curtis, Hales, Murphy, Ogilvie, Player,
"On the precision loss in approximate homomorphic encryption" (SAC 2023, eprint 2022/162). The terms
are those of this core: digits and divisions are exact, and one division serves a key switch and the
rescaling after it. Tests hold measured noise against each of them.

Noise is a sum of independent sources, and an estimate keeps the deviation of each. So where a
ciphertext meets itself again, in x x, x x^2 or x + f(x), deviations add, and where it doesn't,
variances do. Two ciphertexts that were encrypted apart need two estimates. Rotated, a source is
another one, but for the same rotation of the same source. Linear maps and sums over slots make one
new source of all that they mix.

Magnitudes of messages are the caller's: with the largest absolute value of any slot the estimate is
of the worst slot, with the root mean square it is of the average slot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final

from strongroom.engine.digits import digit_primes
from strongroom.engine.galois import conjugation_element, rotation_element
from strongroom.engine.parameters import Parameters

ERROR_DEVIATION: Final = 3.2
"""Standard deviation of fresh errors; the one that the security table assumes."""

COEFFICIENT_TAIL: Final = 8.0
"""A coefficient's bound in standard deviations: exceeded with probability below 2^-49."""

SLOT_TAIL: Final = 16.0
"""A slot's bound in root mean squares: exceeded with probability below 2^-43.

An error times a secret is, in a slot, the product of two complex normals: beyond t with probability
2 t K_1(2 t), not exp(-t^2). All slots of 2^17 coefficients keep the bound but for 2^-27.
"""

_BUTTERFLY_ROUNDING: Final = 2.0**-53 * 2 / 3
"""Relative error of a stage of the embedding in doubles; errors of stages add as variances."""


@dataclass(frozen=True, slots=True)
class KeyNoise:
    """What the noise of operations depends on of a key.

    Attributes:
        parts: how many uniform ternary polynomials the secret is the sum of.
        collective: whether its evaluation and public keys are sums of parts' shares: then their
            errors are as many, and the relinearisation key, which takes two rounds, has the error
            s e0 + u e1 + e2 + e3 (Mouchet, Troncoso-Pastoriza, Bossuat, Hubaux, eprint 2020/304,
            section IV).
    """

    parts: int = 1
    collective: bool = False

    @property
    def error(self) -> float:
        """Standard deviation of the error of a public or Galois key."""
        return ERROR_DEVIATION * math.sqrt(self.parts if self.collective else 1)

    def relinearisation_error(self, ring_degree: int) -> float:
        """The same of a relinearisation key."""
        if not self.collective:
            return ERROR_DEVIATION
        products = 4.0 * ring_degree / 3.0 * self.parts**2
        return ERROR_DEVIATION * math.sqrt(products + 2.0 * self.parts)


ONE_KEY: Final = KeyNoise()
"""A secret of one part, whose holder made the evaluation keys."""


@dataclass(frozen=True, slots=True)
class NoiseSource:
    """Something random that happened once, and the automorphism that it has been through.

    Attributes:
        event: told apart by identity.
        element: a Galois element.
    """

    event: object = field(default_factory=object)
    element: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class NoiseEstimate:
    """What is known of a plaintext or ciphertext before there is one.

    Attributes:
        parameters: of the ring.
        limbs: the level, as a number of primes.
        scale: of the message.
        magnitude: of the message's slots, at scale 1: largest absolute value or root mean square.
        deviations: by source, the standard deviation of a coefficient of the noise, in integers.
        bias: largest error of a slot that is not random, in integers: the rounding of factors, or
            what a caller knows (an approximation's error times the scale).
        key: under which it is, or will be, encrypted.
    """

    parameters: Parameters
    limbs: int
    scale: Fraction
    magnitude: float
    deviations: Mapping[NoiseSource, float] = field(repr=False)
    bias: float = 0.0
    key: KeyNoise = ONE_KEY

    @property
    def deviation(self) -> float:
        """Standard deviation of a coefficient of the noise, in integers."""
        return math.hypot(*self.deviations.values())

    @property
    def slot_deviation(self) -> float:
        """Root mean square of a slot of the noise, in integers."""
        return math.sqrt(self.parameters.ring_degree) * self.deviation

    @property
    def coefficient_bound(self) -> float:
        """Bound on a coefficient of noise and bias, at `COEFFICIENT_TAIL`, in integers."""
        return COEFFICIENT_TAIL * self.deviation + self.bias

    @property
    def slot_bound(self) -> float:
        """Bound on a slot of noise and bias, at `SLOT_TAIL`, in integers."""
        return SLOT_TAIL * self.slot_deviation + self.bias

    @property
    def error(self) -> float:
        """Bound on the error of a slot, in units of the message."""
        return self.slot_bound / float(self.scale)

    @property
    def noise_bits(self) -> float:
        """log2 of `slot_bound`."""
        return math.log2(self.slot_bound) if self.slot_bound else -math.inf

    @property
    def precision_bits(self) -> float:
        """-log2 of `error`."""
        return math.log2(self.scale) - self.noise_bits

    @property
    def budget_bits(self) -> float:
        """How many bits message and noise may still grow before they wrap; negative if they do.
        No coefficient of a message exceeds its largest slot."""
        largest = float(self.scale) * self.magnitude + self.coefficient_bound
        return self.parameters.log_prefix(self.limbs) - 1.0 - math.log2(largest)

    def with_magnitude(self, magnitude: float) -> NoiseEstimate:
        """The same with a magnitude that the caller knows better."""
        return replace(self, magnitude=magnitude)

    def with_bias(self, error: float) -> NoiseEstimate:
        """The same with an error of up to `error` more in every slot, in units of the message."""
        return replace(self, bias=self.bias + error * float(self.scale))


# What sources add: standard deviations of coefficients, in integers


def encoding_deviation(ring_degree: int, magnitude: float, scale: Fraction) -> float:
    """Of encoding slots: rounding to integers, and the doubles that it is computed in."""
    coefficient = magnitude * float(scale) / math.sqrt(ring_degree)
    doubles = _BUTTERFLY_ROUNDING * math.sqrt(math.log2(ring_degree)) * coefficient
    return math.hypot(math.sqrt(1.0 / 12.0), doubles)


def public_key_deviation(parameters: Parameters, key: KeyNoise = ONE_KEY) -> float:
    """Of an encryption under a public key: e u + e0 + e1 s, with u and the parts of s ternary;
    divided by the special primes, and rounded, if there are any."""
    n = parameters.ring_degree
    variance = 2.0 * n / 3.0 * (key.error**2 + ERROR_DEVIATION**2 * key.parts) + ERROR_DEVIATION**2
    deviation = math.sqrt(variance)
    if not parameters.special_primes:
        return deviation
    return math.hypot(deviation / math.prod(parameters.special_primes), rounding_deviation(n, key))


def rounding_deviation(ring_degree: int, key: KeyNoise = ONE_KEY) -> float:
    """Of a division: r0 + r1 s, with r0 and r1 uniform over a unit interval."""
    return math.sqrt((1.0 + 2.0 * ring_degree / 3.0 * key.parts) / 12.0)


def second_part_deviation(ring_degree: int, key: KeyNoise = ONE_KEY) -> float:
    """Of a division of the second part alone: r1 s."""
    return math.sqrt(2.0 * ring_degree / 36.0 * key.parts)


def switching_deviation(
    parameters: Parameters, limbs: int, error: float = ERROR_DEVIATION
) -> float:
    """Of a key switch, before the rounding of its division: the sum over digits of x_d e_d / P,
    with x_d uniform over an interval of D_d, the product of the digit's primes.

    Args:
        error: standard deviation of the switching key's e_d.
    """
    special = math.prod(parameters.special_primes)
    digits = digit_primes(parameters.primes, parameters.special_primes, limbs)
    relative = math.hypot(*(math.prod(digit) / special for digit in digits))
    return error * math.sqrt(parameters.ring_degree / 12.0) * relative


# Making plaintexts and ciphertexts


def encoded(
    parameters: Parameters, magnitude: float, scale: Fraction, limbs: int | None = None
) -> NoiseEstimate:
    """Slots encoded at a scale; the level is that of all primes by default."""
    deviation = encoding_deviation(parameters.ring_degree, magnitude, scale)
    limbs = limbs or parameters.limbs
    return NoiseEstimate(parameters, limbs, scale, magnitude, {NoiseSource(): deviation})


def encrypted(plaintext: NoiseEstimate) -> NoiseEstimate:
    """Under the secret key."""
    return _noisier(plaintext, ERROR_DEVIATION)


def encrypted_publicly(plaintext: NoiseEstimate) -> NoiseEstimate:
    """Under a public key."""
    return _noisier(plaintext, public_key_deviation(plaintext.parameters, plaintext.key))


# Sums


def add(a: NoiseEstimate, b: NoiseEstimate) -> NoiseEstimate:
    """a + b, or a - b, of equal scales and levels; b may be a plaintext."""
    if a.scale != b.scale or a.limbs != b.limbs:
        raise ValueError("a sum needs equal scales and levels")
    return linear_combination([a, b], [1, 1], a.scale)


def linear_combination(
    estimates: Sequence[NoiseEstimate],
    factors: Sequence[float | Fraction],
    scale: Fraction,
    *,
    constant: float | Fraction = 0,
    drop: int = 0,
) -> NoiseEstimate:
    """As `Evaluator.linear_combination`: factors become integers, and what that loses is bias."""
    if not estimates or len(estimates) != len(factors):
        raise ValueError("each ciphertext has a factor")
    magnitude = abs(float(constant))
    exact_constant = Fraction(constant) * scale
    bias = float(abs(round(exact_constant) - exact_constant))
    deviations: dict[NoiseSource, float] = {}
    for estimate, factor in zip(estimates, factors, strict=True):
        exact = Fraction(factor) * scale / estimate.scale
        integer = abs(round(exact))
        message = estimate.magnitude * float(estimate.scale)
        magnitude += abs(float(factor)) * estimate.magnitude
        bias += integer * estimate.bias + float(abs(round(exact) - exact)) * message
        _accumulate(deviations, estimate.deviations, integer)
    result = NoiseEstimate(
        estimates[0].parameters,
        min(estimate.limbs for estimate in estimates),
        scale,
        magnitude,
        deviations,
        bias,
        estimates[0].key,
    )
    return rescale(result, drop) if drop else result


# Products


def multiply_plain(a: NoiseEstimate, b: NoiseEstimate, *, drop: int = 0) -> NoiseEstimate:
    """A ciphertext times a plaintext at its level or higher, then rescaled."""
    return rescale(product(a, truncate(b, a.limbs)), drop)


def multiply(a: NoiseEstimate, b: NoiseEstimate, *, drop: int = 0) -> NoiseEstimate:
    """A product of ciphertexts, relinearised, rescaled in the same division."""
    return sum_of_products([(a, b)], drop=drop)


def sum_of_products(
    pairs: Sequence[tuple[NoiseEstimate, NoiseEstimate]], *, drop: int = 0
) -> NoiseEstimate:
    """The sum of products of pairs, with one relinearisation and one rescaling."""
    if not pairs:
        raise ValueError("a sum of products has at least one")
    products = [product(a, b) for a, b in pairs]
    if any(term.scale != products[0].scale for term in products):
        raise ValueError("a sum needs equal scales")
    total = linear_combination(products, [1] * len(products), products[0].scale)
    return rescale(relinearised(total), drop, always=True)


def rescale(a: NoiseEstimate, drop: int, *, always: bool = False) -> NoiseEstimate:
    """Divided by the last `drop` primes, all at once; `always` if there is a division anyway, by
    the special primes."""
    if not 0 <= drop < a.limbs:
        raise ValueError("rescaling keeps at least one prime")
    divisor = math.prod(a.parameters.primes[a.limbs - drop : a.limbs])
    divided = replace(
        a,
        limbs=a.limbs - drop,
        scale=a.scale / divisor,
        deviations={source: d / divisor for source, d in a.deviations.items()},
        bias=a.bias / divisor,
    )
    if not (drop or always):
        return divided
    return _noisier(divided, rounding_deviation(a.parameters.ring_degree, a.key))


def truncate(a: NoiseEstimate, limbs: int) -> NoiseEstimate:
    """Modulo the first `limbs` primes only."""
    if not 1 <= limbs <= a.limbs:
        raise ValueError(f"an operand of {a.limbs} primes has no {limbs}")
    return replace(a, limbs=limbs)


# Automorphisms


def rotate(a: NoiseEstimate, steps: int) -> NoiseEstimate:
    """Slots rotated, hoisted or not."""
    return automorphism(a, rotation_element(a.parameters, steps))


def conjugate(a: NoiseEstimate) -> NoiseEstimate:
    """Every slot conjugated."""
    return automorphism(a, conjugation_element(a.parameters))


def automorphism(a: NoiseEstimate, element: int) -> NoiseEstimate:
    """X -> X^element."""
    if element == 1:
        return a
    order = 2 * a.parameters.ring_degree
    turned = {
        NoiseSource(source.event, source.element * element % order): deviation
        for source, deviation in a.deviations.items()
    }
    return rescale(switched(replace(a, deviations=turned)), 0, always=True)


def sum_slots(a: NoiseEstimate, count: int) -> NoiseEstimate:
    """As `Evaluator.sum_slots`, by doubling: of distinct slots, whose noise is independent."""
    if count < 1:
        raise ValueError("a sum has at least one term")

    def elsewhere(x: NoiseEstimate) -> NoiseEstimate:
        moved = replace(x, deviations={NoiseSource(): x.deviation})
        return rescale(switched(moved), 0, always=True)

    result = a
    for bit in bin(count)[3:]:
        result = add(result, elsewhere(result))
        if bit == "1":
            result = add(elsewhere(result), a)
    return result


# What operations are made of


def switched(a: NoiseEstimate) -> NoiseEstimate:
    """After a Galois key's switch, in units of the quotient, but before it is divided and
    rounded."""
    return _noisier(a, switching_deviation(a.parameters, a.limbs, a.key.error))


def relinearised(a: NoiseEstimate) -> NoiseEstimate:
    """The same after a relinearisation key's."""
    error = a.key.relinearisation_error(a.parameters.ring_degree)
    return _noisier(a, switching_deviation(a.parameters, a.limbs, error))


def product(a: NoiseEstimate, b: NoiseEstimate) -> NoiseEstimate:
    """(m_a + e_a)(m_b + e_b) = m_a m_b + m_a e_b + m_b e_a + e_a e_b, slot by slot: a product with
    a plaintext, or of ciphertexts before relinearisation; at the lower level."""
    message_a = a.magnitude * float(a.scale)
    message_b = b.magnitude * float(b.scale)
    deviations: dict[NoiseSource, float] = {}
    _accumulate(deviations, a.deviations, message_b + b.bias)
    _accumulate(deviations, b.deviations, message_a + a.bias)
    # Of complex normals x and y, |x y|^2 has the mean E|x|^2 E|y|^2 + |E x conj(y)|^2.
    shared = sum(d * b.deviations.get(source, 0.0) for source, d in a.deviations.items())
    both = math.hypot(a.deviation * b.deviation, shared)
    deviations[NoiseSource()] = math.sqrt(a.parameters.ring_degree) * both
    return replace(
        a,
        limbs=min(a.limbs, b.limbs),
        scale=a.scale * b.scale,
        magnitude=a.magnitude * b.magnitude,
        deviations=deviations,
        bias=message_a * b.bias + message_b * a.bias + a.bias * b.bias,
    )


def _noisier(a: NoiseEstimate, deviation: float) -> NoiseEstimate:
    """With a source of its own."""
    return replace(a, deviations={**a.deviations, NoiseSource(): deviation})


def _accumulate(
    total: dict[NoiseSource, float], deviations: Mapping[NoiseSource, float], factor: float
) -> None:
    for source, deviation in deviations.items():
        total[source] = total.get(source, 0.0) + factor * deviation
