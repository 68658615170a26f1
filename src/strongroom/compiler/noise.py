"""Noise: how much an operation adds, and how much flooding hides it.

Variances are per coefficient, in squared integers of the ciphertext, for a uniform ternary secret
and errors of standard deviation 3.2 (the heuristic of independent coefficients; Costache, Curtis,
Hales, Murphy, Ogilvie, Player, eprint 2022/162). Bounds are `TAIL` standard deviations. Tests hold
measured noise against each formula.
"""

from __future__ import annotations

import math
from typing import Final

ERROR_SIGMA: Final = 3.2
"""Standard deviation of fresh errors; the one that the security table assumes."""

TAIL: Final = 8.0
"""A bound is this many standard deviations: exceeded with probability below 2^-49 a coefficient."""


def symmetric_variance() -> float:
    """Of a fresh symmetric encryption: the error itself."""
    return ERROR_SIGMA**2


def public_variance(ring_degree: int) -> float:
    """Of a fresh public-key encryption: u e + e0 + s e1, with u and s ternary."""
    return ERROR_SIGMA**2 * (4.0 * ring_degree / 3.0 + 1.0)


def rounding_variance(ring_degree: int) -> float:
    """Of a rescaling: r0 + r1 s, with r0 and r1 uniform over a unit interval."""
    return (2.0 * ring_degree / 3.0 + 1.0) / 12.0


def log_sanitising_sigma(sanitising_bits: int, exposed: int, bound: float) -> float:
    """log2 of the flooding that hides noise of `bound` in `exposed` coefficients.

    sigma = 2^lambda sqrt(k) B / 2. For two models with the same answers the noise differs by at
    most 2B a coefficient, so the Kullback-Leibler divergence of a response is at most
    k (2B)^2 / (2 sigma^2) = 8 / 4^lambda.
    """
    return sanitising_bits + 0.5 * math.log2(exposed) + math.log2(bound) - 1.0


def log_distance(sanitising_bits: int, responses: int) -> float:
    """log2 of the statistical distance after some responses, by Pinsker's inequality on the sum of
    their divergences: sqrt(T 8 / 4^lambda / 2)."""
    return 1.0 + 0.5 * math.log2(responses) - sanitising_bits


def log_decryption_sigma(
    decryption_bits: int, decryption_queries: int, exposed: int, bound: float
) -> float:
    """log2 of the flooding that a client adds before a result may be published.

    sigma = 8 sqrt(tau k) 2^(kappa/2) ne: after tau results of k coefficients, each with noise of
    at most ne that depends on the key, the divergence from results without that noise is at most
    tau k ne^2 / (2 sigma^2) = 2^(-kappa - 7) (Li, Micciancio, Schultz, Sorrell, CRYPTO 2022,
    eprint 2022/816).
    """
    return (
        3.0
        + 0.5 * math.log2(decryption_queries)
        + 0.5 * math.log2(exposed)
        + 0.5 * decryption_bits
        + math.log2(bound)
    )
