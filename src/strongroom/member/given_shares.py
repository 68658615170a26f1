"""The last shares that a member gave, in memory, so that it can prove them.

A share's words are on no disk: sealed, they are in the ledger, where this member can't open them
either. So what was given before the process started, or longer ago than there is room for, is not
proved any more.

With each result goes a secret that its proof is drawn from. One demand or a hundred get the same
proof: a second one with other randomness would say more about the noise in the share.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_ANSWERS: Final = 1024
_BYTES: Final = 64 * 2**20
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class GivenShare:
    """What was given for one result ciphertext. A copy, for its user to `wipe`.

    Attributes:
        result: digest of the whole partial response.
        words: that were given, shape (limbs, positions).
        secret: 32 bytes, of this result alone.
    """

    result: str
    words: NDArray[np.uint64]
    secret: bytearray

    def wipe(self) -> None:
        """Overwrite what must not stay."""
        self.words.fill(0)
        self.secret[:] = bytes(len(self.secret))


class GivenShares:
    """What one member gave, by query; the oldest is dropped. Safe for threads.

    Args:
        answers: kept at most.
        word_bytes: of all their words; the newest is kept whatever it takes.
    """

    def __init__(self, *, answers: int = _ANSWERS, word_bytes: int = _BYTES) -> None:
        self._answers = answers
        self._word_bytes = word_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, tuple[GivenShare, ...]] = OrderedDict()
        self._challenges: dict[tuple[str, int], bytes] = {}
        self._lock = threading.Lock()

    def keep(self, query: str, result: str, words: Sequence[NDArray[np.uint64]]) -> None:
        """Remember a share that is given now.

        Args:
            query, result: digests of the query and of the whole partial response.
            words: of each result ciphertext. They are this object's from now on.
        """
        given = tuple(
            GivenShare(result, its, bytearray(secrets.token_bytes(_SECRET_BYTES))) for its in words
        )
        with self._lock:
            self._drop(query)
            self._kept[query] = given
            self._bytes += _bytes(given)
            while len(self._kept) > 1 and (
                len(self._kept) > self._answers or self._bytes > self._word_bytes
            ):
                self._drop(next(iter(self._kept)))

    def find(self, query: str, index: int) -> GivenShare | None:
        """What was given for one result of a query; None if that is not known here."""
        with self._lock:
            given = self._kept.get(query)
            if given is None or not 0 <= index < len(given):
                return None
            # A copy: making a proof takes long, and what is kept may be wiped meanwhile.
            one = given[index]
            return GivenShare(one.result, one.words.copy(), bytearray(one.secret))

    def settle(self, query: str, index: int, challenge: bytes) -> bool:
        """Whether a proof of what was given may leave: the first may, and after it the same only.

        Two proofs of one share, made with one secret and with different challenges, show the part.
        That happens if a machine computes wrongly once. So the share is forgotten then, and it is
        false for good.

        Args:
            challenge: of the proof.
        """
        with self._lock:
            if query not in self._kept:
                return False
            if self._challenges.setdefault((query, index), challenge) == challenge:
                return True
            self._drop(query)
            return False

    def close(self) -> None:
        """Forget all of it."""
        with self._lock:
            for query in list(self._kept):
                self._drop(query)

    def _drop(self, query: str) -> None:
        for index, one in enumerate(given := self._kept.pop(query, ())):
            one.wipe()
            self._challenges.pop((query, index), None)
        self._bytes -= _bytes(given)


def _bytes(given: Sequence[GivenShare]) -> int:
    return sum(one.words.nbytes for one in given)
