"""Bytes of what the core holds, and the peak of what an operation allocates.

Rows lie N + 8 words apart, so that operands do not compete for the same cache lines. Peaks are what
the core's functions hold at once, results included, operands not. Beside them a thread keeps up to
`KEPT_BYTES` of released blocks for its next operation.
"""

from __future__ import annotations

from typing import Final

from strongroom.engine.digits import digit_primes
from strongroom.engine.linear_transforms import StepPlan
from strongroom.engine.matrix_products import MatrixLayout
from strongroom.engine.parameters import Parameters

KEPT_BYTES: Final = 256 << 20
"""Most bytes of released blocks that a thread keeps."""

_PADDING_WORDS: Final = 8
_WORD_BYTES: Final = 8


def row_bytes(ring_degree: int) -> int:
    """Of one polynomial modulo one prime."""
    return (ring_degree + _PADDING_WORDS) * _WORD_BYTES


def ciphertext_bytes(parameters: Parameters, limbs: int) -> int:
    """Of a ciphertext."""
    return 2 * limbs * row_bytes(parameters.ring_degree)


def plaintext_bytes(parameters: Parameters, limbs: int, *, extended: bool = False) -> int:
    """Of a plaintext, over the special primes too where it is `extended`."""
    special = len(parameters.special_primes) if extended else 0
    return (limbs + special) * row_bytes(parameters.ring_degree)


def table_bytes(parameters: Parameters) -> int:
    """Of the tables that transforms take their factors from: four rows for each prime."""
    primes = len(parameters.primes) + len(parameters.special_primes)
    return 4 * primes * row_bytes(parameters.ring_degree)


def switching_key_bytes(parameters: Parameters, limbs: int) -> int:
    """Of a switching key for ciphertexts of up to `limbs` primes."""
    digits = len(digit_primes(parameters.primes, parameters.special_primes, limbs))
    return digits * 2 * _extended(parameters, limbs) * row_bytes(parameters.ring_degree)


def rotate_peak(parameters: Parameters, limbs: int, *, count: int = 1, threads: int = 1) -> int:
    """Of `count` rotations of one ciphertext."""
    rows = _decomposition(parameters, limbs) + 2 * (count - 1) * limbs
    rows += _switch(parameters, limbs, 0) + 3 * threads
    return rows * row_bytes(parameters.ring_degree)


def multiply_peak(parameters: Parameters, limbs: int, drop: int = 0, *, threads: int = 1) -> int:
    """Of a product, or a sum of products."""
    rows = limbs + _decomposition(parameters, limbs) + _switch(parameters, limbs, drop)
    return (rows + 4 * threads) * row_bytes(parameters.ring_degree)


def rescale_peak(parameters: Parameters, limbs: int, drop: int) -> int:
    """Of a rescaling."""
    return _division(drop, limbs - drop) * 2 * row_bytes(parameters.ring_degree)


def multiply_plain_peak(parameters: Parameters, limbs: int, drop: int = 0) -> int:
    """Of a product with a plaintext."""
    divided = rescale_peak(parameters, limbs, drop) if drop else 0
    return ciphertext_bytes(parameters, limbs) + divided


def linear_combination_peak(parameters: Parameters, limbs: int, drop: int = 0) -> int:
    """Of a linear combination, or a sum."""
    return multiply_plain_peak(parameters, limbs, drop)


def transform_peak(
    parameters: Parameters,
    limbs: int,
    plan: StepPlan,
    *,
    encrypted: bool = False,
    drop: int = 0,
    threads: int = 1,
) -> int:
    """Of a linear map."""
    rows, special = _extended(parameters, limbs), len(parameters.special_primes)
    digits = _decomposition(parameters, limbs)
    inputs = len(plan.middles)
    babies, giants = len(plan.babies) * inputs, len(plan.giants)
    held = 2 * limbs * (inputs - 1)
    # While one giant step turns, beside the sum of all: its second part divided, in digits, and
    # rows that a thread works on.
    turn = limbs + digits + max(limbs, 3 * threads)
    last = 2 * _division(special + drop, limbs - drop)
    if encrypted:
        turned = 2 * limbs * len(set(plan.babies) - {0}) * inputs
        rotations = digits + turned + 2 * special + 3 * threads
        # A giant step's relinearised product is over all primes, and there with its digits.
        step = digits + 2 * rows + (turn if len(plan.giants) > 1 else 0)
        peak = max(rotations, turned + 3 * limbs * giants + 2 * rows + max(step, last))
    else:
        steps = digits * inputs + 2 * rows * giants
        peak = steps + max(threads * (2 * babies + 2), 2 * rows + max(turn, last))
    return (held + peak) * row_bytes(parameters.ring_degree)


def matrix_product_peak(
    parameters: Parameters,
    limbs: int,
    layout: MatrixLayout,
    plan: StepPlan,
    *,
    encrypted: bool = False,
    drop: int = 0,
    threads: int = 1,
) -> int:
    """Of a matrix product: of its linear map, or of the sums after it."""
    product = transform_peak(
        parameters, limbs, plan, encrypted=encrypted, drop=drop, threads=threads
    )
    if layout.terms == 1:
        return product
    held = ciphertext_bytes(parameters, limbs - drop)
    return max(product, 2 * held + rotate_peak(parameters, limbs - drop, threads=threads))


def encode_peak(parameters: Parameters, limbs: int, *, extended: bool = False) -> int:
    """Of encoding slots: the plaintext, the embedding, and integers of up to 110 bits."""
    plaintext = plaintext_bytes(parameters, limbs, extended=extended)
    return plaintext + 4 * row_bytes(parameters.ring_degree)


def decode_peak(parameters: Parameters, limbs: int) -> int:
    """Of decoding slots."""
    return (limbs + 2) * row_bytes(parameters.ring_degree)


def encrypt_peak(parameters: Parameters, limbs: int, *, public: bool = False) -> int:
    """Of encrypting, under a secret or a public key."""
    rows = 3 * limbs + 2
    if public:
        # Both halves, and with special primes their division, the small polynomials, and rows that
        # are worked on.
        special = len(parameters.special_primes)
        rows = 2 * _division(special, limbs) + 9 if special else 3 * limbs + 2
    return rows * row_bytes(parameters.ring_degree)


def decrypt_peak(parameters: Parameters, limbs: int) -> int:
    """Of decrypting."""
    return limbs * row_bytes(parameters.ring_degree)


def _extended(parameters: Parameters, limbs: int) -> int:
    """Rows of a polynomial over data and special primes."""
    return limbs + len(parameters.special_primes)


def _decomposition(parameters: Parameters, limbs: int) -> int:
    """Rows of the digits, beside those of what was decomposed."""
    rows = _extended(parameters, limbs)
    digits = digit_primes(parameters.primes, parameters.special_primes, limbs)
    return sum(rows - len(digit) for digit in digits)


def _division(dropped: int, kept: int) -> int:
    """Rows that dividing one polynomial takes."""
    return dropped + kept


def _switch(parameters: Parameters, limbs: int, drop: int) -> int:
    """Rows of the division of both sums of a key product, which are never kept as a whole."""
    return 2 * _division(len(parameters.special_primes) + drop, limbs - drop)
