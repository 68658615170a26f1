"""Who holds the key of a hidden model: one owner, by way of a key store."""

from __future__ import annotations

from strongroom.compiler.holding import ONE_OWNER, KeyHolding
from strongroom.compiler.plan import OwnerKey, Plan
from strongroom.engine import SecretKey
from strongroom.keys.key_sets import key_set_identifier, stored_secret
from strongroom.protections.interface import KeyNeeds, KeyProvider


class OwnerHolder:
    """A `ModelHolder`: an owner's own secret key, which its client asks with too.

    Args:
        keys: the owner's key store. The secret for a plan's parameters is made if there is none.
    """

    def __init__(self, keys: KeyProvider) -> None:
        self._keys = keys

    @property
    def holding(self) -> KeyHolding:
        """See `protections.interface.ModelHolder`."""
        return ONE_OWNER

    def suits(self, plan: Plan, needs: KeyNeeds) -> bool:
        """See `protections.interface.ModelHolder`: an owner makes whatever keys are needed."""
        return True

    def weight_key(self, plan: Plan) -> tuple[SecretKey, OwnerKey]:
        """See `protections.interface.ModelHolder`.

        Raises:
            KeyStoreError: why the store does not open, or the stored key can't be read.
        """
        secret = stored_secret(self._keys, plan.parameters)
        return secret, OwnerKey(key_set_identifier(secret).hex())
