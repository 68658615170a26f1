"""Checks of parts: what is public of a part of a key, by which its holder's shares can be judged.

A part s has two samples of learning with errors, b_i = -a_i s + e_i, over the first primes that
have `CHECK_BITS` together. The first is the part's share of the public key, the second one more of
that form. Two, because a part that was refreshed is uniform and not small: one sample fits any
part, with another error; two, with primes so large beside the errors, fit one (`share_proofs`).

Samples of several parts add up to samples of their sum, and so do those of what a refresh adds to
one part and subtracts from another. These have errors `CHANGE_FACTOR` times as wide: a thief of one
part before a refresh and of another after it knows changes up to the rest of the key, so that their
samples are more samples of that, with the same public polynomials. Their wide errors do not
average away those of the first.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom import _native
from strongroom.engine.collective_keys import public_key_seed
from strongroom.engine.key_parts import KeyPart, common_seed
from strongroom.engine.key_shares import read_share
from strongroom.engine.parameters import Parameters
from strongroom.engine.serialisation_header import (
    PART_CHECK,
    PUBLIC_KEY_SHARE,
    malformed,
    read_header,
    unpack_fault,
    write_header,
)

CHECK_BITS: Final = 120
"""Of the primes that checks are over, together; or as many as the public key has."""

SAMPLES: Final = 2

CHANGE_FACTOR: Final = 2**10
"""Deviation of the errors of what a refresh adds, over those of fresh parts. After k refreshes the
first errors have at least 1 / (1 + k / 2^20) of their variance left to hide a part."""

CHANGE_SUMMED: Final = CHANGE_FACTOR**2
"""`PartCheck.summed` of what a refresh adds."""

_LOG_CHANGE_SIGMA: Final = math.log2(3.2 * CHANGE_FACTOR)
_LARGEST_ERROR: Final = 29
"""Of one fresh sample: the sampler has no larger one. A sum of the variance of n has none beyond
sqrt(n) times that but for one coefficient in 2^58."""

_MOST_SUMMED: Final = 2**40
_SUMMED: Final = struct.Struct("<Q")


def check_limbs(parameters: Parameters, public_limbs: int) -> int:
    """How many primes the checks of a key are over.

    Args:
        public_limbs: of the public key.
    """
    bits = np.cumsum([math.log2(prime) for prime in parameters.primes[:public_limbs]])
    return min(int(np.searchsorted(bits, CHECK_BITS)) + 1, public_limbs)


def check_seed(seed: bytes) -> bytes:
    """The common seed of second samples, of that of all keys: a second sample is the
    `public_key_share` of it over `check_limbs` primes."""
    return common_seed(seed, "check")


@dataclass(frozen=True, slots=True)
class PartCheck:
    """Both samples of a part, or of a sum of parts.

    Attributes:
        parameters: of the key.
        words: residues in transform order, shape (2, primes, N).
        summed: variance of their errors, in those of a fresh part's.
    """

    parameters: Parameters
    words: NDArray[np.uint64]
    summed: int = 1

    @classmethod
    def from_shares(
        cls,
        parameters: Parameters,
        seed: bytes,
        public_limbs: int,
        public_share: bytes,
        check_share: bytes,
    ) -> PartCheck:
        """The check of a fresh part, from two shares that its dealer showed.

        Args:
            seed: 32 bytes that all members agreed on.
            public_limbs: primes of the public key.
            public_share: of the public key.
            check_share: of `check_seed`, over `check_limbs` primes.

        Raises:
            CiphertextError: one is no such share (SR-CIPHERTEXT-FORMAT, -RANGE, -MISMATCH).
        """
        limbs = check_limbs(parameters, public_limbs)
        rows = []
        for share, its_seed, its_limbs in (
            (public_share, seed, public_limbs),
            (check_share, check_seed(seed), limbs),
        ):
            of_key = public_key_seed(parameters, its_seed, its_limbs)
            _, body = read_share(parameters, share, PUBLIC_KEY_SHARE, its_limbs, of_key)
            rows.append(_unpacked(parameters, limbs, body[: _rows_bytes(parameters, limbs)]))
        return cls(parameters, np.stack(rows))

    @classmethod
    def of_part(cls, part: KeyPart, seed: bytes, public_limbs: int) -> PartCheck:
        """Fresh samples of what a refresh adds, with wide errors.

        Of a part of the key there is a public-key share already. A second sample with the same
        public polynomial and another error would tell what both errors are.
        """
        parameters = part.parameters
        limbs = check_limbs(parameters, public_limbs)
        seeds = public_seeds(parameters, seed, public_limbs)
        words = _native.wide_samples(
            parameters.native, part.native, seeds, limbs, _LOG_CHANGE_SIGMA
        )
        shape = (SAMPLES, limbs, parameters.ring_degree)
        return cls(parameters, words.reshape(shape), CHANGE_SUMMED)

    @property
    def limbs(self) -> int:
        """Primes."""
        return int(self.words.shape[1])

    @property
    def error_bound(self) -> int:
        """No error of either sample is larger."""
        return math.ceil(_LARGEST_ERROR * math.sqrt(self.summed))

    def is_of(self, part: KeyPart, seed: bytes, public_limbs: int) -> bool:
        """Whether both samples are of a part: their errors are within the bound."""
        return self.is_of_sum([part], seed, public_limbs)

    def is_of_sum(self, parts: Sequence[KeyPart], seed: bytes, public_limbs: int) -> bool:
        """The same of the sum of parts. Dealers who put their errors together can make a sum that
        is beyond its bound although each part is within its own."""
        return _native.are_samples_of(
            self.parameters.native,
            [part.native for part in parts],
            public_seeds(self.parameters, seed, public_limbs),
            self.words.reshape(-1),
            self.error_bound,
        )

    def plus(self, other: PartCheck) -> PartCheck:
        """The check of the sum.

        Raises:
            ValueError: the other is of another key, or of another number of primes.
        """
        self._require_same_key(other)
        words = (self.words + other.words) % self._primes
        return PartCheck(self.parameters, words, self.summed + other.summed)

    def minus(self, other: PartCheck) -> PartCheck:
        """The check of the difference.

        Raises:
            ValueError: the other is of another key, or of another number of primes.
        """
        self._require_same_key(other)
        words = (self.words + (self._primes - other.words)) % self._primes
        return PartCheck(self.parameters, words, self.summed + other.summed)

    def to_bytes(self) -> bytes:
        """Header (`serialisation_header`), 8 bytes `summed`, then the rows of both samples."""
        header = write_header(self.parameters, PART_CHECK, self.limbs, self.parameters.ring_degree)
        rows = [_native.pack_rows(self.parameters.native, one.reshape(-1)) for one in self.words]
        return b"".join((header, _SUMMED.pack(self.summed), *rows))

    @classmethod
    def from_bytes(
        cls, parameters: Parameters, public_limbs: int, data: bytes | memoryview
    ) -> PartCheck:
        """The check that `to_bytes` wrote.

        Args:
            public_limbs: primes of the public key.
            data: from anybody.

        Raises:
            CiphertextError: SR-CIPHERTEXT-FORMAT, -RANGE, -MISMATCH.
        """
        limbs = check_limbs(parameters, public_limbs)
        _, body = read_header(parameters, data, (PART_CHECK,), limbs, parameters.ring_degree)
        size = _rows_bytes(parameters, limbs)
        if len(body) != _SUMMED.size + SAMPLES * size:
            raise malformed(f"a check of a part of {len(body)} bytes")
        (summed,) = _SUMMED.unpack_from(body)
        if not 1 <= summed <= _MOST_SUMMED:
            raise malformed(f"a check of a part with errors of {summed} times their variance")
        rows = [
            _unpacked(parameters, limbs, body[start : start + size])
            for start in range(_SUMMED.size, len(body), size)
        ]
        return cls(parameters, np.stack(rows), summed)

    @property
    def _primes(self) -> NDArray[np.uint64]:
        return np.array(self.parameters.primes[: self.limbs], dtype=np.uint64)[:, None]

    def _require_same_key(self, other: PartCheck) -> None:
        if self.parameters is not other.parameters or self.words.shape != other.words.shape:
            raise ValueError("checks of parts of different keys")


def public_seeds(parameters: Parameters, seed: bytes, public_limbs: int) -> list[bytes]:
    """The seeds of the public polynomials a_1 and a_2."""
    limbs = check_limbs(parameters, public_limbs)
    return [
        public_key_seed(parameters, seed, public_limbs),
        public_key_seed(parameters, check_seed(seed), limbs),
    ]


def _rows_bytes(parameters: Parameters, limbs: int) -> int:
    return sum(
        -(-parameters.ring_degree * prime.bit_length() // 8) for prime in parameters.primes[:limbs]
    )


def _unpacked(parameters: Parameters, limbs: int, data: bytes | memoryview) -> NDArray[np.uint64]:
    try:
        words = _native.unpack_rows(parameters.native, limbs, data)
    except _native.UnpackError as error:
        raise unpack_fault(error) from None
    return words.reshape(limbs, parameters.ring_degree)
