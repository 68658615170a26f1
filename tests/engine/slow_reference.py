"""CKKS as it is written down: big integers, schoolbook products, exact CRT, direct evaluation.

Shares no code with the engine and knows none of its tricks. A polynomial is a list of N Python
integers, from the constant coefficient up; its residues are one such list for each prime.
"""

from __future__ import annotations

import cmath
import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal, localcontext

Polynomial = list[int]


def is_prime(n: int) -> bool:
    """Miller-Rabin with the first thirteen primes as bases, exact below 3.3e24 (Sorenson, Webster,
    "Strong pseudoprimes to twelve prime bases", 2017)."""
    bases = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41)
    if n < 2:
        return False
    if any(n % p == 0 for p in bases):
        return n in bases
    twos = ((n - 1) & (1 - n)).bit_length() - 1
    for base in bases:
        x = pow(base, (n - 1) >> twos, n)
        if x in (1, n - 1):
            continue
        if all((x := x * x % n) != n - 1 for _ in range(twos - 1)):
            return False
    return True


def ntt_primes(ring_degree: int, bits: int, *, smallest_first: bool = False) -> Iterator[int]:
    """Primes of exactly `bits` bits that are 1 modulo 2N, largest first unless asked."""
    step = 2 * ring_degree
    least = ((1 << (bits - 1)) - 1) // step * step + 1
    candidates = (x for x in range(least, 1 << bits, step) if x.bit_length() == bits)
    if not smallest_first:
        largest = ((1 << bits) - 2) // step * step + 1
        candidates = (x for x in range(largest, 1 << (bits - 1), -step))
    return filter(is_prime, candidates)


def smallest_primitive_root(order: int, prime: int) -> int:
    """The smallest number whose multiplicative order modulo the prime is `order` (a power of 2)."""
    generator = next(
        root
        for g in range(2, prime)
        if pow(root := pow(g, (prime - 1) // order, prime), order // 2, prime) == prime - 1
    )
    square = generator * generator % prime
    smallest = power = generator
    for _ in range(order // 2 - 1):
        power = power * square % prime
        smallest = min(smallest, power)
    return smallest


def bit_reverse(value: int, bits: int) -> int:
    """The lowest `bits` bits in reverse."""
    return int(format(value, f"0{bits}b")[::-1], 2)


def evaluate(polynomial: Sequence[int], x: int, prime: int) -> int:
    """The value at x modulo the prime, by Horner's rule."""
    result = 0
    for coefficient in reversed(polynomial):
        result = (result * x + int(coefficient)) % prime
    return result


def transform(polynomial: Sequence[int], prime: int) -> list[int]:
    """Values at the odd powers of the smallest primitive root, exponents in bit-reversed order."""
    n = len(polynomial)
    root = smallest_primitive_root(2 * n, prime)
    bits = n.bit_length() - 1
    return [
        evaluate(polynomial, pow(root, 2 * bit_reverse(k, bits) + 1, prime), prime)
        for k in range(n)
    ]


def inverse_transform(values: Sequence[int], prime: int) -> Polynomial:
    """The polynomial with these values: 1/N times the sum of value / point^k."""
    n = len(values)
    root = smallest_primitive_root(2 * n, prime)
    bits = n.bit_length() - 1
    points = [pow(root, -(2 * bit_reverse(j, bits) + 1), prime) for j in range(n)]
    scale = pow(n, -1, prime)
    terms = [scale * int(v) for v in values]
    coefficients = []
    for _ in range(n):
        coefficients.append(sum(terms) % prime)
        terms = [term * x % prime for term, x in zip(terms, points, strict=True)]
    return coefficients


def negacyclic_product(a: Sequence[int], b: Sequence[int]) -> Polynomial:
    """a b modulo X^N + 1, over the integers. Schoolbook; of long polynomials as a product of two
    numbers, their values at a power of two above twice all coefficients (Kronecker 1882)."""
    n = len(a)
    if n > 128:
        return _product_of_values(a, b)
    full = [0] * (2 * n)
    for i, x in enumerate(a):
        if x:
            for j, y in enumerate(b):
                full[i + j] += x * y
    return [full[i] - full[n + i] for i in range(n)]


def _product_of_values(a: Sequence[int], b: Sequence[int]) -> Polynomial:
    n = len(a)
    a, b = [int(x) for x in a], [int(x) for x in b]
    largest = n * max(1, *map(abs, a)) * max(1, *map(abs, b))
    size = largest.bit_length() // 8 + 1

    def joined(words: Iterable[int]) -> int:
        return int.from_bytes(b"".join(w.to_bytes(size, "little") for w in words), "little")

    def value(polynomial: Sequence[int]) -> int:
        return joined(max(x, 0) for x in polynomial) - joined(max(-x, 0) for x in polynomial)

    # Half of the base is added to each coefficient of the product, which makes all positive.
    half = 1 << (8 * size - 1)
    offset = joined([half] * (2 * n))
    digits = (value(a) * value(b) + offset).to_bytes(2 * n * size + 1, "little")
    full = [
        int.from_bytes(digits[i * size : (i + 1) * size], "little") - half for i in range(2 * n)
    ]
    return [full[i] - full[n + i] for i in range(n)]


def plus(a: Sequence[int], b: Sequence[int]) -> Polynomial:
    """a + b over the integers."""
    return [x + y for x, y in zip(a, b, strict=True)]


def from_residues(residues: Sequence[Sequence[int]], primes: Sequence[int]) -> Polynomial:
    """The polynomial with coefficients in [0, Q) that has these residues (Chinese remainders)."""
    modulus = math.prod(primes)
    basis = [modulus // p * pow(modulus // p, -1, p) for p in primes]
    columns = zip(*residues, strict=True)
    return [
        sum(int(r) * b for r, b in zip(column, basis, strict=True)) % modulus for column in columns
    ]


def to_residues(polynomial: Sequence[int], primes: Sequence[int]) -> list[list[int]]:
    """Residues modulo each prime."""
    return [[x % p for x in polynomial] for p in primes]


def modulo(polynomial: Sequence[int], modulus: int) -> Polynomial:
    """Coefficients in [0, modulus)."""
    return [x % modulus for x in polynomial]


def centred(polynomial: Sequence[int], modulus: int) -> Polynomial:
    """Coefficients between -modulus/2 and modulus/2; the modulus is odd."""
    return [(x + (modulus - 1) // 2) % modulus - (modulus - 1) // 2 for x in polynomial]


def decrypt(
    c0: Sequence[int], c1: Sequence[int], secret: Sequence[int], modulus: int
) -> Polynomial:
    """c0 + c1 s, centred."""
    return centred(plus(c0, negacyclic_product(c1, secret)), modulus)


def round_divide(x: int, divisor: int) -> int:
    """The integer nearest to x / divisor, for an odd divisor (so there are no ties)."""
    return (2 * x + divisor) // (2 * divisor)


def automorphism(polynomial: Sequence[int], element: int) -> Polynomial:
    """The polynomial at X^element, over the integers."""
    n = len(polynomial)
    result = [0] * n
    for k, coefficient in enumerate(polynomial):
        exponent = k * element % (2 * n)
        result[exponent % n] = coefficient if exponent < n else -coefficient
    return result


def divide(polynomial: Sequence[int], divisor: int, modulus: int) -> Polynomial:
    """Each coefficient divided by a divisor of the modulus, to the nearest integer."""
    return modulo([round_divide(x, divisor) for x in polynomial], modulus // divisor)


def split_into_digits(
    primes: Sequence[int], special_primes: Sequence[int]
) -> list[tuple[int, ...]]:
    """The primes of each digit: as many each, from the first on, as their product stays at or
    below that of the special primes."""
    largest = math.prod(special_primes)
    digits: list[tuple[int, ...]] = []
    for prime in primes:
        if digits and math.prod(digits[-1]) * prime <= largest:
            digits[-1] = (*digits[-1], prime)
        else:
            digits.append((prime,))
    return digits


SwitchingKey = list[tuple[Polynomial, Polynomial]]
"""For each digit (b, a), modulo a product of primes that includes the special ones."""


def multiply_by_key(
    x: Sequence[int], key: SwitchingKey, primes: Sequence[int], special_primes: Sequence[int]
) -> tuple[Polynomial, Polynomial]:
    """The sums of x_d b_d and of x_d a_d, modulo all primes, x_d the centred digits of x."""
    modulus = math.prod(primes) * math.prod(special_primes)
    sums = [0] * len(x), [0] * len(x)
    for digit, halves in zip(split_into_digits(primes, special_primes), key, strict=False):
        part = centred(x, math.prod(digit))
        sums = tuple(
            plus(total, negacyclic_product(part, half))
            for total, half in zip(sums, halves, strict=True)
        )
    return modulo(sums[0], modulus), modulo(sums[1], modulus)


def uniform(
    seed: bytes,
    purpose: int,
    ring_degree: int,
    primes: Sequence[int],
    *,
    places: Sequence[int] | None = None,
    index: int = 0,
) -> list[list[int]]:
    """Uniform values from a seed: for each prime the keystream with nonce (purpose, its place in
    the chain, index), cut into words of 4 bytes (primes to 32 bits) or 8, masked to the prime's
    length; words not below the prime are skipped. Places count from 0 unless given."""
    result = []
    for place, prime in zip(places or range(len(primes)), primes, strict=True):
        bits = prime.bit_length()
        size = 4 if bits <= 32 else 8
        nonce = struct.pack("<3I", purpose, place, index)
        values: list[int] = []
        counter = 0
        while len(values) < ring_degree:
            block = chacha20(seed, nonce, counter, 1)
            counter += 1
            for at in range(0, 64, size):
                word = int.from_bytes(block[at : at + size], "little") & ((1 << bits) - 1)
                if word < prime and len(values) < ring_degree:
                    values.append(word)
        result.append(values)
    return result


def slots(polynomial: Sequence[float]) -> list[complex]:
    """Values at zeta^(5^j), zeta = exp(i pi / N), for j = 0 ... N/2 - 1."""
    n = len(polynomial)
    result = []
    for j in range(n // 2):
        power = pow(5, j, 2 * n)
        angles = (math.pi * ((power * k) % (2 * n)) / n for k in range(n))
        result.append(sum(c * cmath.exp(1j * a) for c, a in zip(polynomial, angles, strict=True)))
    return result


def coefficients_of_slots(values: Sequence[complex], ring_degree: int) -> list[float]:
    """The real polynomial with these slots: (2/N) sum Re(z_j / zeta^(k 5^j)), missing z_j zero."""
    n = ring_degree
    powers = [pow(5, j, 2 * n) for j in range(len(values))]
    return [
        2.0
        / n
        * math.fsum(
            (z * cmath.exp(-1j * math.pi * ((power * k) % (2 * n)) / n)).real
            for z, power in zip(values, powers, strict=True)
        )
        for k in range(n)
    ]


def secret_from_bytes(data: bytes) -> Polynomial:
    """Two bits a coefficient from the lowest up: 0, 1, or 2 for -1."""
    pairs = [(byte >> shift) & 3 for byte in data for shift in (0, 2, 4, 6)]
    return [{0: 0, 1: 1, 2: -1}[pair] for pair in pairs]


def pack(words: Sequence[int], bits: int) -> bytes:
    """Words of `bits` bits, one after the other, as one little-endian number."""
    number = sum(int(word) << (i * bits) for i, word in enumerate(words))
    return number.to_bytes((len(words) * bits + 7) // 8, "little")


def chacha20(key: bytes, nonce: bytes, counter: int, blocks: int) -> bytes:
    """Keystream of RFC 8439, section 2.3, straight from its text."""
    out = b""
    for block in range(blocks):
        start = [
            *struct.unpack("<4I", b"expand 32-byte k"),
            *struct.unpack("<8I", key),
            (counter + block) & 0xFFFFFFFF,
            *struct.unpack("<3I", nonce),
        ]
        state = list(start)
        for _ in range(10):
            for a, b, c, d in (
                (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
            ):  # fmt: skip
                for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                    state[x] = (state[x] + state[y]) & 0xFFFFFFFF
                    mixed = state[z] ^ state[x]
                    state[z] = ((mixed << turn) | (mixed >> (32 - turn))) & 0xFFFFFFFF
        out += struct.pack(
            "<16I", *((x + y) & 0xFFFFFFFF for x, y in zip(state, start, strict=True))
        )
    return out


def gaussian_tail(sigma: Decimal, count: int) -> list[Decimal]:
    """P(|x| > k) for k = 0 ... count - 1, x the discrete Gaussian over the integers: 60 digits."""
    with localcontext() as context:
        context.prec = 80
        weights = [(-(Decimal(k) ** 2) / (2 * sigma * sigma)).exp() for k in range(40 * int(sigma))]
        total = weights[0] + 2 * sum(weights[1:])
        return [2 * sum(weights[k + 1 :]) / total for k in range(count)]
