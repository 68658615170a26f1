"""Fewer members than the access structure asks for can't decrypt, whatever they put together."""

from __future__ import annotations

import secrets
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from small_committees import NAME
from test_access import STRUCTURES

from strongroom.engine import catalogued, encode_coefficients, threshold
from strongroom.engine.debugging import joined_secret_do_not_use, noise_report
from strongroom.engine.threshold import KeyPart
from strongroom.keys.committee.access import Access


@pytest.mark.parametrize("access", STRUCTURES, ids=str)
def test_parts_put_together_decrypt_exactly_for_a_quorum(access: Access) -> None:
    parameters = catalogued(NAME)
    parts = [KeyPart.generate(parameters) for _ in access.parts()]
    seed = secrets.token_bytes(32)
    shares = [threshold.public_key_share(part, seed, 2) for part in parts]
    public = threshold.combine_public_key(parameters, seed, 2, shares)
    canary = np.full(8, 0.625)
    ciphertext = public.encrypt(encode_coefficients(parameters, canary, Fraction(2**40), 2))
    for count in range(1, len(access.members) + 1):
        for group in combinations(access.members, count):
            numbers = {number for name in group for number in access.held_by(name)}
            together = joined_secret_do_not_use([parts[number] for number in sorted(numbers)])
            report = noise_report(ciphertext, together, canary)
            if access.allows(group):
                assert report.precision_bits > 20, group
            else:  # what comes out is anything modulo 2^60
                assert report.log_noise > 50, group
