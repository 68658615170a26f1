"""A client's key set: the name that it has at every server, and the keys that make it up.

The name follows from the secret key, so that all processes with one secret share one set, and says
nothing about it: HKDF-SHA256 (RFC 5869) of a key with thousands of random bits is a pseudorandom
function of its info.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from strongroom.engine import SecretKey, catalogued, public_key_to_bytes, switching_key_to_bytes
from strongroom.keys.server_layout import IDENTIFIER_BYTES
from strongroom.protections.interface import KeyNeed, KeyNeeds, KeyProvider

_INFO: Final = b"strongroom key set identifier 1"


def key_set_identifier(secret: SecretKey) -> bytes:
    """The 16 bytes that name the key set of a secret key."""
    hkdf = HKDF(
        algorithm=SHA256(),
        length=IDENTIFIER_BYTES,
        salt=secret.parameters.digest,
        info=_INFO,
    )
    return hkdf.derive(secret.to_bytes())


def stored_secret(keys: KeyProvider, parameters: str) -> SecretKey:
    """A client's secret key for parameters of the catalogue, made and stored if there is none. It
    has the parameters' name, so that models share it.

    Raises:
        PolicyError: SR-PARAMETERS-UNKNOWN.
        KeyStoreError: why the store does not open, or SR-KEYS-FILE if the key can't be read.
    """
    its_parameters = catalogued(parameters)
    stored = keys.secret(parameters)
    if stored is None:
        stored = keys.store(parameters, SecretKey.generate(its_parameters).to_bytes())
    return SecretKey.from_bytes(its_parameters, stored)


class ClientKeySet:
    """A `KeySetSource` over a secret key: makes one key at a time, each when it is asked for.

    Args:
        secret: the secret key.
        needs: of the model; its parameters are the key's.
    """

    def __init__(self, secret: SecretKey, needs: KeyNeeds) -> None:
        self._secret = secret
        self._identifier = key_set_identifier(secret)
        self._needs = needs

    @property
    def identifier(self) -> bytes:
        """See `protections.interface.KeySetSource`."""
        return self._identifier

    @property
    def needs(self) -> KeyNeeds:
        """See `protections.interface.KeySetSource`."""
        return self._needs

    def evaluation_key(self, need: KeyNeed) -> bytes:
        """See `protections.interface.KeySetSource`."""
        return switching_key_to_bytes(self._secret.switching_key(need.element, need.limbs))

    def public_key(self) -> bytes:
        """See `protections.interface.KeySetSource`."""
        return public_key_to_bytes(self._secret.public_key(self._needs.public_limbs))
