"""One-time X-Wing keys: what was sealed to one can't be opened later from a recording.

HPKE's base mode has no forward secrecy of its own: who steals a private key opens all that was ever
sealed to it. So secrets that must not outlive an exchange are sealed to a key that its reader makes
for this exchange, signs with its identity, keeps in memory, and drops.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from strongroom.keys.identity import SUITE

_ML_KEM_BYTES: Final = 1184
_X25519_BYTES: Final = 32
ONE_TIME_KEY_BYTES: Final = _ML_KEM_BYTES + _X25519_BYTES
"""Of the public half: ML-KEM-768, then X25519."""

SEALING_BYTES: Final = 1120 + 16
"""What sealing adds: X-Wing's encapsulated key, a tag of AES-256-GCM."""


class OneTimeKey:
    """A fresh X-Wing key pair, in memory only. Shows no private key and is not pickled."""

    def __init__(self) -> None:
        kem, exchange = MLKEM768PrivateKey.generate(), X25519PrivateKey.generate()
        self._private = hpke.MLKEM768X25519PrivateKey(kem, exchange)
        self._public = (
            kem.public_key().public_bytes_raw() + exchange.public_key().public_bytes_raw()
        )

    def __repr__(self) -> str:
        return "OneTimeKey(…)"

    def __reduce__(self) -> str:
        raise TypeError("a one-time key is not pickled: its private half would go along")

    @property
    def public(self) -> bytes:
        """The public half, `ONE_TIME_KEY_BYTES`."""
        return self._public

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """Open what `seal_to` sealed to the public half.

        Raises:
            ValueError: it is for another key or context, or damaged.
        """
        try:
            return SUITE.decrypt(sealed, self._private, info)
        except InvalidTag as error:
            raise ValueError("what was sealed does not open in this place") from error


def seal_to(public: bytes, secret: bytes, info: bytes) -> bytes:
    """Encrypt so that only the holder of a one-time key opens it (HPKE, base mode).

    Args:
        public: the public half.
        info: the context, in canonical form; the same must be given to open it.

    Raises:
        ValueError: that is no public key.
    """
    if len(public) != ONE_TIME_KEY_BYTES:
        raise ValueError(f"a one-time key has {ONE_TIME_KEY_BYTES} bytes, not {len(public)}")
    key = hpke.MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(public[:_ML_KEM_BYTES]),
        X25519PublicKey.from_public_bytes(public[_ML_KEM_BYTES:]),
    )
    return SUITE.encrypt(secret, key, info)
