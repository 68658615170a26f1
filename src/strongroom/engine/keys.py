"""Secret and public keys; encryption and decryption.

The secret key never leaves the client. Its bytes are for `keys.KeyStore`, which encrypts them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from strongroom import _native
from strongroom.engine.ciphertext import Ciphertext, Plaintext
from strongroom.engine.parameters import Parameters
from strongroom.engine.switching_keys import EvaluationKeys, SwitchingKey
from strongroom.errors import KeyStoreError


class PublicKey:
    """An encryption of zero that anybody may encrypt with. Says nothing of the secret key.

    Attributes:
        parameters: what it is for.
    """

    def __init__(self, native: _native.PublicKey, parameters: Parameters) -> None:
        self.native = native
        self.parameters = parameters

    @property
    def limbs(self) -> int:
        """Over how many primes it can encrypt."""
        return self.native.limbs

    def encrypt(self, plaintext: Plaintext) -> Ciphertext:
        """Encrypt, over as many primes as the plaintext has."""
        native = _native.encrypt_public(self.parameters.native, plaintext.native, self.native)
        return Ciphertext(native, self.parameters, plaintext.scale, plaintext.packing)


class SecretKey:
    """A uniform ternary polynomial. Its memory is wiped on release, and locked as far as
    docs/reference/crypto.md says.

    Attributes:
        parameters: what it is for.
    """

    def __init__(self, native: _native.SecretKey, parameters: Parameters) -> None:
        self._native = native
        self.parameters = parameters

    @classmethod
    def generate(cls, parameters: Parameters) -> SecretKey:
        """A fresh key from the operating system's randomness."""
        return cls(_native.SecretKey.generate(parameters.native), parameters)

    @classmethod
    def from_bytes(cls, parameters: Parameters, data: bytes) -> SecretKey:
        """The key that `to_bytes` wrote.

        Raises:
            KeyStoreError: SR-KEYS-FILE if the bytes are no key for these parameters.
        """
        digest, body = data[:32], data[32:]
        if digest != parameters.digest:
            raise KeyStoreError(
                "SR-KEYS-FILE",
                "a stored secret key was made for other parameters",
                "Remove it with `strongroom keys delete` and let a new one be made",
            )
        try:
            return cls(_native.SecretKey.from_bytes(parameters.native, body), parameters)
        except ValueError:
            raise KeyStoreError(
                "SR-KEYS-FILE",
                "a stored secret key is damaged",
                "Restore the key store from a backup, or delete the key and make a new one",
            ) from None

    def to_bytes(self) -> bytes:
        """The digest of the parameters, then two bits a coefficient. Secret: encrypt at rest."""
        return self.parameters.digest + self._native.to_bytes()

    def public_key(self, limbs: int) -> PublicKey:
        """A fresh public key over the first `limbs` primes."""
        native = _native.PublicKey.generate(self.parameters.native, self._native, limbs)
        return PublicKey(native, self.parameters)

    def switching_key(self, element: int, limbs: int | None = None) -> SwitchingKey:
        """A fresh evaluation key.

        Args:
            element: a Galois element (`engine.galois`), or `RELINEARISATION`.
            limbs: it serves ciphertexts of up to so many primes; all by default.

        Raises:
            ValueError: the parameters have no special primes, or there is no such automorphism.
        """
        native = _native.SwitchingKey.generate(
            self.parameters.native,
            self._native,
            element,
            self.parameters.limbs if limbs is None else limbs,
            1,
        )
        return SwitchingKey(native, self.parameters, element)

    def evaluation_keys(self, elements: Iterable[int], limbs: int | None = None) -> EvaluationKeys:
        """Fresh evaluation keys for some elements."""
        keys = {element: self.switching_key(element, limbs) for element in elements}
        return EvaluationKeys(self.parameters, keys)

    def encrypt(self, plaintext: Plaintext) -> Ciphertext:
        """Encrypt symmetrically: less noise than a public key, and half the size to send."""
        seed, native = _native.encrypt_symmetric(
            self.parameters.native, plaintext.native, self._native
        )
        return Ciphertext(native, self.parameters, plaintext.scale, plaintext.packing, seed)

    def decrypt(
        self,
        ciphertext: Ciphertext,
        positions: NDArray[np.uint32],
        *,
        log_sigma: float,
        step: float,
    ) -> NDArray[np.float64]:
        """Coefficients of a result, flooded and rounded, so that they may be published.

        Args:
            ciphertext: packed by coefficients.
            positions: which coefficients, shape (k,).
            log_sigma: base-2 logarithm of the standard deviation of the Gaussian that is added,
                in units of the ciphertext's integers (sizing: `protections.fhe.noise`).
            step: the values are rounded to multiples of this.

        Returns:
            Shape (k,).
        """
        values = _native.decrypt_flooded(
            ciphertext.native, self._native, positions, float(ciphertext.scale), log_sigma
        )
        if not (math.isfinite(step) and step > 0.0):
            raise ValueError("the rounding step is not a positive number")
        return np.asarray(np.round(values / step) * step)

    def decrypt_raw_do_not_publish(self, ciphertext: Ciphertext) -> Plaintext:
        """The exact decryption, noise included.

        Publishing it, or anything computed from it, tells the noise, and some such values together
        tell the secret key (Li, Micciancio, eprint 2020/1533). For tests and measurements; what
        people see comes from `decrypt`.
        """
        native = _native.decrypt_raw(ciphertext.native, self._native)
        return Plaintext(native, ciphertext.parameters, ciphertext.scale, ciphertext.packing)

    def __repr__(self) -> str:
        return f"SecretKey({self.parameters!r})"

    def __reduce__(self) -> str:
        raise TypeError("a secret key is not pickled")
