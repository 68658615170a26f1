"""Public, Galois and relinearisation keys of a secret key that exists in parts only.

Each member makes a share of each key for each part that it deals, from the seed that all agreed on.
Sums of shares are keys: public and Galois keys are like anybody else's, with the seed of their
uniform half; the key for products takes two rounds, and both of its halves are sums. (Mouchet,
Troncoso-Pastoriza, Bossuat, Hubaux, "Multiparty homomorphic encryption from ring-learning-with-
errors", PoPETs 2021, eprint 2020/304.)

Noise, with m parts of uniform ternary coefficients and errors of standard deviation sigma = 3.2:

- public and Galois keys, b + a s' = P g s + e: e is a sum of m errors, of deviation sqrt(m) sigma,
  and no coefficient is larger than 29 m, because no error is larger than 29;
- the key for products, b + h1 s = P g s^2 + e: e = s e0 + u e1 + e2 + e3. Coefficients of s and u
  have the variance 2 m / 3, those of the four errors m sigma^2, and a coefficient of a product of
  polynomials is a sum of N products: e has the variance m sigma^2 (4 m N / 3 + 2), a deviation of
  about m sigma sqrt(4 N / 3). (`noise_model.KeyNoise` says the same to planners.)

Parts that were shifted change neither: only sums occur, and the sum of all parts is the same.

The protocols are secure against members who look, not against members who choose their share last:
a public-key share that makes the sum a key of its sender's own, or a first share that makes the
sum of the first round something simple, undoes it. So whoever calls this

1. has all members commit to the shares of public keys and of the first round before any is shown;
2. combines the first round itself, from shares that match what was committed to;
3. uses a common seed for one setup, and begins with another one if that fails.

A share holds nothing secret. The state between the rounds does, and lives in memory only.
"""

from __future__ import annotations

from collections.abc import Sequence

from strongroom import _native
from strongroom.engine.galois import RELINEARISATION
from strongroom.engine.key_parts import KeyPart
from strongroom.engine.key_shares import (
    key_seed,
    read_share,
    read_shares,
    share_fault,
    write_share,
)
from strongroom.engine.keys import PublicKey
from strongroom.engine.parameters import Parameters
from strongroom.engine.serialisation_header import (
    FIRST_ROUND,
    GALOIS_KEY_SHARE,
    PUBLIC_KEY_SHARE,
    SECOND_ROUND,
    unpack_fault,
)
from strongroom.engine.switching_keys import SwitchingKey
from strongroom.errors import CiphertextError

# Public keys


def public_key_share(part: KeyPart, seed: bytes, limbs: int) -> bytes:
    """A share of the public key over the first `limbs` primes: -a r + e.

    Args:
        part: r.
        seed: 32 bytes that all members agreed on.
        limbs: how many primes.
    """
    parameters = part.parameters
    of_key = public_key_seed(parameters, seed, limbs)
    body = _native.public_key_share(parameters.native, part.native, of_key, limbs)
    return write_share(parameters, PUBLIC_KEY_SHARE, limbs, of_key, body)


def is_public_key_share_of(part: KeyPart, seed: bytes, limbs: int, share: bytes) -> bool:
    """Whether a share is of this part, for holders who got the part from its dealer: b + a r must
    be an error as it is sampled. False also for bytes that are no share at all."""
    parameters = part.parameters
    of_key = public_key_seed(parameters, seed, limbs)
    try:
        _, body = read_share(parameters, share, PUBLIC_KEY_SHARE, limbs, of_key)
        return _native.is_public_key_share_of(parameters.native, part.native, of_key, limbs, body)
    except (CiphertextError, _native.UnpackError):
        return False


def combine_public_key(
    parameters: Parameters, seed: bytes, limbs: int, shares: Sequence[bytes]
) -> PublicKey:
    """The public key of the sum of all parts, from a share for each.

    Raises:
        ShareError: one is no share for this key (SR-CIPHERTEXT-FORMAT, -RANGE, -MISMATCH).
        ValueError: there are none.
    """
    of_key = public_key_seed(parameters, seed, limbs)
    _, bodies = read_shares(parameters, shares, PUBLIC_KEY_SHARE, limbs, of_key)
    try:
        native = _native.combine_public_key(parameters.native, of_key, limbs, bodies)
    except _native.ShareError as error:
        raise share_fault(error) from None
    return PublicKey(native, parameters)


def public_key_seed(parameters: Parameters, seed: bytes, limbs: int) -> bytes:
    """The seed of the public key's uniform half, of the one that all members agreed on."""
    return key_seed(parameters, seed, f"public key {limbs}")


# Galois keys


def galois_key_share(part: KeyPart, seed: bytes, element: int, limbs: int) -> bytes:
    """A share of the evaluation key for an automorphism: for each digit, -a r' + P g r + e, with r'
    the inverse automorphism of r.

    Args:
        part: r.
        seed: 32 bytes that all members agreed on.
        element: the Galois element.
        limbs: it serves ciphertexts of up to so many primes.

    Raises:
        ValueError: the parameters have no special primes, or there is no such automorphism.
    """
    parameters = part.parameters
    of_key = _galois_key_seed(parameters, seed, element, limbs)
    body = _native.galois_key_share(parameters.native, part.native, of_key, element, limbs)
    return write_share(parameters, GALOIS_KEY_SHARE, limbs, of_key, body)


def combine_galois_key(
    parameters: Parameters, seed: bytes, element: int, limbs: int, shares: Sequence[bytes]
) -> SwitchingKey:
    """The Galois key of the sum of all parts, from a share for each.

    Raises:
        ShareError: one is no share for this key (SR-CIPHERTEXT-FORMAT, -RANGE, -MISMATCH).
        ValueError: there are none, or as for `galois_key_share`.
    """
    of_key = _galois_key_seed(parameters, seed, element, limbs)
    _, bodies = read_shares(parameters, shares, GALOIS_KEY_SHARE, limbs, of_key)
    try:
        native = _native.combine_galois_key(parameters.native, of_key, element, limbs, bodies)
    except _native.ShareError as error:
        raise share_fault(error) from None
    return SwitchingKey(native, parameters, element)


def _galois_key_seed(parameters: Parameters, seed: bytes, element: int, limbs: int) -> bytes:
    return key_seed(parameters, seed, f"galois key {element} {limbs}")


# The key for products


class RelinearisationRound:
    """One part's state between the two rounds: an ephemeral secret, wiped on release."""

    def __init__(
        self, native: _native.RelinearisationRound, part: KeyPart, seed: bytes, limbs: int
    ) -> None:
        self._native: _native.RelinearisationRound | None = native
        self._part = part
        self._seed = seed
        self._limbs = limbs

    @classmethod
    def begin(cls, part: KeyPart, seed: bytes, limbs: int) -> tuple[RelinearisationRound, bytes]:
        """Draw the ephemeral secret u, and make the first share: for each digit -u a + P g r + e0
        and r a + e1.

        Args:
            part: r.
            seed: 32 bytes that all members agreed on.
            limbs: the key serves ciphertexts of up to so many primes.

        Raises:
            ValueError: the parameters have no special primes.
        """
        parameters = part.parameters
        of_key = key_seed(parameters, seed, f"relinearisation key {limbs}")
        native, body = _native.RelinearisationRound.begin(
            parameters.native, part.native, of_key, limbs
        )
        share = write_share(parameters, FIRST_ROUND, limbs, of_key, body)
        return cls(native, part, of_key, limbs), share

    def finish(self, combined: bytes) -> bytes:
        """The second share: for each digit r h0 + (u - r) h1 + e2 + e3. Once only.

        Args:
            combined: what this member's own `combine_round_one` made of all first shares. Whoever
                else may choose it learns the part.

        Raises:
            CiphertextError: it is not of this round: malformed, of another size, of another key
                (SR-CIPHERTEXT-FORMAT, -RANGE, -MISMATCH). Nothing was answered then.
            ValueError: the second round was answered before.
        """
        if self._native is None:
            raise ValueError("a second round is answered once; begin again with another seed")
        parameters = self._part.parameters
        _, body = read_share(parameters, combined, FIRST_ROUND, self._limbs, self._seed)
        try:
            second = self._native.finish(parameters.native, self._part.native, self._limbs, body)
        except _native.UnpackError as error:
            raise unpack_fault(error) from None
        self._native = None
        return write_share(parameters, SECOND_ROUND, self._limbs, self._seed, second)

    def __reduce__(self) -> str:
        raise TypeError("an ephemeral secret is not pickled")


def combine_round_one(parameters: Parameters, limbs: int, shares: Sequence[bytes]) -> bytes:
    """The sum of first shares, one for each part.

    Raises:
        ShareError: one is no share, or not for the same key as the first of them.
        ValueError: there are none.
    """
    seed, bodies = read_shares(parameters, shares, FIRST_ROUND, limbs, None)
    try:
        total = _native.combine_first_round(parameters.native, limbs, bodies)
    except _native.ShareError as error:
        raise share_fault(error) from None
    return write_share(parameters, FIRST_ROUND, limbs, seed, total)


def combine_relinearisation_key(
    parameters: Parameters, limbs: int, combined_one: bytes, round_two_shares: Sequence[bytes]
) -> SwitchingKey:
    """The key for products of the sum of all parts.

    Args:
        combined_one: from `combine_round_one`.
        round_two_shares: one for each part.

    Raises:
        ShareError: one is no share, or for another key than the first round.
        CiphertextError: the combined first round is none.
        ValueError: there are no shares.
    """
    seed, first = read_share(parameters, combined_one, FIRST_ROUND, limbs, None)
    _, second = read_shares(parameters, round_two_shares, SECOND_ROUND, limbs, seed)
    try:
        words = _native.combine_relinearisation_key(parameters.native, limbs, first, second)
    except _native.ShareError as error:
        raise share_fault(error) from None
    except _native.UnpackError as error:
        raise unpack_fault(error) from None
    native = _native.SwitchingKey(parameters.native, RELINEARISATION, limbs, words)
    return SwitchingKey(native, parameters, RELINEARISATION)
