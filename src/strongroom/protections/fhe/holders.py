"""Whose key a hidden model is encrypted under: what plans, askers and requests must say of it."""

from __future__ import annotations

from typing import Final

from strongroom.compiler.plan import CommitteeKey, OwnerKey, Plan, SealedLayout
from strongroom.engine import SecretKey, catalogued
from strongroom.errors import KeyStoreError
from strongroom.keys.key_sets import key_set_identifier
from strongroom.keys.server_layout import IDENTIFIER_BYTES
from strongroom.protections.fhe.soundness import contradiction
from strongroom.protections.interface import KeyProvider

_SHOWN: Final = 8
"""Digits of an identifier in a message."""


def holder_key_set(plan: Plan) -> bytes:
    """The identifier under which a server has the evaluation keys of a hidden model, and that its
    requests name, 16 bytes: an owner's key set, or the beginning of the digest of a committee's
    public key.

    Raises:
        PolicyError: SR-PLAN-INVALID if the plan names no holder.
    """
    if isinstance(plan.holder, OwnerKey):
        return bytes.fromhex(plan.holder.key_set)
    if isinstance(plan.holder, CommitteeKey):
        return bytes.fromhex(plan.holder.public_key)[:IDENTIFIER_BYTES]
    raise contradiction("its model is hidden, and it names nobody who holds the key")


def require_holder(plan: Plan) -> None:
    """That a plan names who holds the key if its model is hidden, and only then.

    Raises:
        PolicyError: SR-PLAN-INVALID.
    """
    layout = plan.layout
    hidden = not isinstance(layout, SealedLayout) and layout.hidden
    if hidden:
        holder_key_set(plan)
    elif plan.holder is not None:
        raise contradiction("it names a holder of a key under which nothing is encrypted")


def owner_secret(plan: Plan, keys: KeyProvider) -> SecretKey:
    """The secret key that a hidden model's weights are encrypted under. None is ever made: a fresh
    one could not open an answer.

    Raises:
        KeyStoreError: SR-KEYS-HOLDER if the asker has another key, or none, or a committee holds
            it; SR-KEYS-FILE if the stored one can't be read.
    """
    if isinstance(plan.holder, CommitteeKey):
        raise KeyStoreError(
            "SR-KEYS-HOLDER",
            "the model is encrypted under a committee's key, which no asker has",
            "Ask as a client that the committee enrolled",
            http_status=403,
        )
    stored = keys.secret(plan.parameters, create=False)
    if stored is not None:
        secret = SecretKey.from_bytes(catalogued(plan.parameters), stored)
        if key_set_identifier(secret) == holder_key_set(plan):
            return secret
    has = "no key for its parameters" if stored is None else "another one"
    raise KeyStoreError(
        "SR-KEYS-HOLDER",
        f"the model is encrypted under key set {holder_key_set(plan).hex()[:_SHOWN]}…, and this "
        f"key store has {has}",
        "Ask with the key store of the model's owner",
        http_status=403,
    )


def require_key_set(asked: bytes, expected: bytes) -> None:
    """That a request names the key set of the model's holder.

    Raises:
        KeyStoreError: SR-KEYS-HOLDER (403).
    """
    if asked != expected:
        raise KeyStoreError(
            "SR-KEYS-HOLDER",
            f"the request names key set {asked.hex()[:_SHOWN]}…, and the model is encrypted under "
            f"{expected.hex()[:_SHOWN]}…",
            "Ask with the key store of the model's owner",
            http_status=403,
        )
