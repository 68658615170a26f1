"""Parts of a secret key that nobody has, and the randomness that their holders share.

The secret key is the sum of its parts. Who lacks one of them lacks as much as a whole key: a fresh
part is uniform ternary, as a key is, and the others say nothing of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from strongroom import _native
from strongroom.engine.parameters import Parameters
from strongroom.engine.serialisation_header import SEED_BYTES
from strongroom.errors import CommitteeError

_DIGEST_BYTES: Final = 32
_SEED_LABEL: Final = b"strongroom common randomness\0"


def common_seed(seed: bytes, what: str) -> bytes:
    """32 bytes for one use of a seed that several agreed on: SHA-256 of a label, the seed, `what`.

    The functions that make shares call it themselves: they take the seed that was agreed on, and
    derive another one for each kind of key, element and number of primes.

    Raises:
        ValueError: the seed has not 32 bytes.
    """
    if len(seed) != SEED_BYTES:
        raise ValueError(f"a common seed has {SEED_BYTES} bytes, not {len(seed)}")
    return hashlib.sha256(_SEED_LABEL + seed + what.encode()).digest()


class KeyPart:
    """A summand of a secret key. Its memory is wiped on release, and locked as a key's is.

    Fresh parts are uniform ternary polynomials. After `shifted` a part is uniform modulo every
    prime, special ones included, and takes some hundred times as many bytes.

    Attributes:
        parameters: what it is for.
    """

    def __init__(self, native: _native.KeyPart, parameters: Parameters) -> None:
        self.native = native
        self.parameters = parameters

    @classmethod
    def generate(cls, parameters: Parameters) -> KeyPart:
        """A fresh part from the operating system's randomness."""
        return cls(_native.KeyPart.generate(parameters.native), parameters)

    @classmethod
    def expanded(cls, parameters: Parameters, seed: bytes) -> KeyPart:
        """What `shifted` adds for a seed, by itself.

        Raises:
            ValueError: the seed has not 32 bytes.
        """
        if len(seed) != SEED_BYTES:
            raise ValueError(f"seeds of a refresh have {SEED_BYTES} bytes")
        return cls(_native.KeyPart.expanded(parameters.native, seed), parameters)

    @classmethod
    def from_bytes(cls, parameters: Parameters, data: bytes) -> KeyPart:
        """The part that `to_bytes` wrote.

        Raises:
            CommitteeError: SR-COMMITTEE-FILE if the bytes are no part for these parameters.
        """
        digest, body = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        if digest != parameters.digest:
            raise CommitteeError(
                "SR-COMMITTEE-FILE",
                "a part of a key was made for other parameters",
                "Use the parts of this committee",
            )
        try:
            return cls(_native.KeyPart.from_bytes(parameters.native, body), parameters)
        except ValueError:
            raise CommitteeError(
                "SR-COMMITTEE-FILE",
                "a part of a key is damaged",
                "Restore it from a backup of this member, or let its dealer seal it again",
            ) from None

    def to_bytes(self) -> bytes:
        """The digest of the parameters, a byte for the encoding, then two bits a coefficient of a
        fresh part, or all residues of a shifted one. Secret: encrypt at rest and in transit."""
        return self.parameters.digest + self.native.to_bytes()

    def shifted(self, add: Sequence[bytes] = (), subtract: Sequence[bytes] = ()) -> KeyPart:
        """This part plus the uniform polynomials of some seeds, minus those of others.

        Holders of different parts who agree on secret seeds in pairs, of which one adds what the
        other subtracts, have new parts of the same key; old parts and new ones together are parts
        of none. (Herzberg, Jarecki, Krawczyk, Yung, "Proactive secret sharing", CRYPTO 1995.)

        Args:
            add, subtract: seeds of 32 bytes, each from the operating system's randomness and used
                for one refresh. As secret as the part.

        Raises:
            ValueError: a seed has another length.
        """
        if any(len(seed) != SEED_BYTES for seed in (*add, *subtract)):
            raise ValueError(f"seeds of a refresh have {SEED_BYTES} bytes")
        return KeyPart(self.native.shifted(list(add), list(subtract)), self.parameters)

    def __repr__(self) -> str:
        return f"KeyPart({self.parameters!r})"

    def __reduce__(self) -> str:
        raise TypeError("a part of a key is not pickled")
