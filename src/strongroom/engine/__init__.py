"""Typed Python over the native core: parameters, keys, ciphertexts, evaluation.

CKKS over Z[X]/(X^N + 1) with a chain of primes (docs/reference/crypto.md). The compiler and the
protections use this package and nothing below it.
"""

from strongroom.engine.catalogue import CATALOGUE, CatalogueEntry, catalogued, satisfying
from strongroom.engine.ciphertext import Ciphertext, Plaintext
from strongroom.engine.encoding import decode, encode_coefficients, encode_slots
from strongroom.engine.evaluation import (
    add,
    add_at,
    add_plain,
    multiply_plain,
    prepare,
    rescale,
    sanitise,
    truncate,
)
from strongroom.engine.inner_products import (
    Finishing,
    InnerProductWeights,
    inner_products,
    sanitised_inner_products,
)
from strongroom.engine.keys import PublicKey, SecretKey
from strongroom.engine.parameters import Parameters, available_kernels, largest_log_modulus
from strongroom.engine.serialisation import (
    ciphertext_bytes,
    ciphertext_from_bytes,
    ciphertext_to_bytes,
    public_key_bytes,
    public_key_from_bytes,
    public_key_to_bytes,
)

__all__ = [
    "CATALOGUE",
    "CatalogueEntry",
    "Ciphertext",
    "Finishing",
    "InnerProductWeights",
    "Parameters",
    "Plaintext",
    "PublicKey",
    "SecretKey",
    "add",
    "add_at",
    "add_plain",
    "available_kernels",
    "catalogued",
    "ciphertext_bytes",
    "ciphertext_from_bytes",
    "ciphertext_to_bytes",
    "decode",
    "encode_coefficients",
    "encode_slots",
    "inner_products",
    "largest_log_modulus",
    "multiply_plain",
    "prepare",
    "public_key_bytes",
    "public_key_from_bytes",
    "public_key_to_bytes",
    "rescale",
    "sanitise",
    "sanitised_inner_products",
    "satisfying",
    "truncate",
]
