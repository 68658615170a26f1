"""Holders of the parts of a key, who make its keys together: what a committee's members do."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence

from slow_reference import (
    Polynomial,
    automorphism,
    centred,
    negacyclic_product,
    plus,
    secret_from_bytes,
    split_into_digits,
)
from small_rings import key_integers

from strongroom.engine import (
    RELINEARISATION,
    EvaluationKeys,
    Parameters,
    PublicKey,
    SwitchingKey,
    threshold,
)
from strongroom.engine.threshold import KeyPart, PartCheck, RelinearisationRound

FRESH = 1
"""The byte that tells the encoding of a ternary part, after the digest."""


class Holders:
    """Holders of so many fresh parts.

    Attributes:
        parameters: of the key.
        parts: one each.
        seed: that they agreed on; another one for each Holders.
    """

    def __init__(self, parameters: Parameters, count: int) -> None:
        self.parameters = parameters
        self.parts = [KeyPart.generate(parameters) for _ in range(count)]
        self.seed = os.urandom(32)

    def public_key(self, limbs: int | None = None) -> PublicKey:
        """Made together."""
        limbs = limbs or self.parameters.limbs
        shares = [threshold.public_key_share(part, self.seed, limbs) for part in self.parts]
        return threshold.combine_public_key(self.parameters, self.seed, limbs, shares)

    def galois_key(self, element: int, limbs: int | None = None) -> SwitchingKey:
        """Made together."""
        limbs = limbs or self.parameters.limbs
        shares = [
            threshold.galois_key_share(part, self.seed, element, limbs) for part in self.parts
        ]
        return threshold.combine_galois_key(self.parameters, self.seed, element, limbs, shares)

    def relinearisation_key(self, limbs: int | None = None) -> SwitchingKey:
        """Made together, in two rounds."""
        limbs = limbs or self.parameters.limbs
        begun = [RelinearisationRound.begin(part, self.seed, limbs) for part in self.parts]
        one = threshold.combine_round_one(self.parameters, limbs, [share for _, share in begun])
        two = [state.finish(one) for state, _ in begun]
        return threshold.combine_relinearisation_key(self.parameters, limbs, one, two)

    def key(self, element: int, limbs: int | None = None) -> SwitchingKey:
        """Of either kind."""
        if element == RELINEARISATION:
            return self.relinearisation_key(limbs)
        return self.galois_key(element, limbs)

    def evaluation_keys(self, elements: Iterable[int]) -> EvaluationKeys:
        """Of all primes."""
        return EvaluationKeys(self.parameters, {e: self.key(e) for e in elements})

    def refreshed(self) -> list[KeyPart]:
        """New parts of the same key: each pair of holders agreed on a seed."""
        add: list[list[bytes]] = [[] for _ in self.parts]
        subtract: list[list[bytes]] = [[] for _ in self.parts]
        for i in range(len(self.parts)):
            for j in range(i):
                seed = os.urandom(32)
                add[i].append(seed)
                subtract[j].append(seed)
        return [p.shifted(a, s) for p, a, s in zip(self.parts, add, subtract, strict=True)]

    def check(self, part: KeyPart) -> PartCheck:
        """Of a fresh part, from the shares that its dealer shows."""
        parameters, seed, limbs = self.parameters, self.seed, self.parameters.limbs
        return PartCheck.from_shares(
            parameters,
            seed,
            limbs,
            threshold.public_key_share(part, seed, limbs),
            threshold.public_key_share(
                part, threshold.check_seed(seed), threshold.check_limbs(parameters, limbs)
            ),
        )

    def secret(self) -> Polynomial:
        """The exact sum of fresh parts, read from their bytes."""
        return sum_of_parts(self.parts)


def sum_of_parts(parts: Sequence[KeyPart]) -> Polynomial:
    """The exact sum of ternary parts."""
    total = [0] * parts[0].parameters.ring_degree
    for part in parts:
        data = part.to_bytes()
        assert data[32] == FRESH
        total = plus(total, secret_from_bytes(data[33:]))
    return total


def errors_of(key: SwitchingKey, s: Polynomial) -> list[Polynomial]:
    """b + a s' - P g t of every digit, centred: the definition of a key of the secret s."""
    parameters = key.parameters
    primes, special = parameters.primes[: key.limbs], parameters.special_primes
    modulus, product = math.prod(primes), math.prod(special)
    if key.element == RELINEARISATION:
        target, final = negacyclic_product(s, s), s
    else:
        target, final = s, automorphism(s, pow(key.element, -1, 2 * parameters.ring_degree))
    errors = []
    digits = split_into_digits(primes, special)
    for digit, (b, a) in zip(digits, key_integers(key), strict=True):
        own = math.prod(digit)
        g = modulus // own * pow(modulus // own, -1, own)
        phase = plus(b, negacyclic_product(a, final))
        errors.append(centred(plus(phase, [-product * g * t for t in target]), modulus * product))
    return errors
