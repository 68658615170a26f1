"""Write docs/vectors/*.json: test vectors of the formats in docs/reference/format.md.

Each holds a secret key made for it alone, so that other implementations can open what is in it.
They are committed, and a file that is there stays as it is: a format that changes gets a new
version, and its vectors a new name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from strongroom import engine
from strongroom.engine import Parameters, SecretKey, catalogued
from strongroom.engine.galois import rotation_element
from strongroom.engine.key_serialisation import switching_key_to_bytes

FOLDER = Path(__file__).parents[1] / "docs" / "vectors"
NAME = "n12-q104-v1"
COUNT = 30


def main() -> None:
    """Write the files that are missing."""
    vectors: dict[str, Callable[[], dict[str, Any]]] = {
        "format-v1.json": ciphertext,
        "switching-key-v1.json": switching_key,
    }
    for name, make in vectors.items():
        path = FOLDER / name
        if not path.exists():
            path.write_text(json.dumps(make(), indent=1) + "\n")


def ciphertext() -> dict[str, Any]:
    """A seeded ciphertext of a row: what went in and what came out."""
    parameters = catalogued(NAME)
    secret = SecretKey.generate(parameters)
    positions = np.arange(COUNT, dtype=np.uint32)
    message = np.linspace(-1.0, 1.0, COUNT)
    scale = Fraction(2) ** 63
    plaintext = engine.encode_coefficients(parameters, message, scale, parameters.limbs)
    encrypted = secret.encrypt(plaintext)
    restored = engine.ciphertext_from_bytes(
        parameters,
        engine.ciphertext_to_bytes(encrypted, positions),
        limbs=parameters.limbs,
        positions=positions,
    )
    c0, c1 = restored.native.residues()
    return {
        "format": 1,
        "parameters": NAME,
        "ring_degree": parameters.ring_degree,
        "primes": parameters.primes,
        "parameters_digest": parameters.digest.hex(),
        "secret_key": secret.to_bytes().hex(),
        "seeded_ciphertext": {
            "bytes": engine.ciphertext_to_bytes(encrypted, positions).hex(),
            "positions": f"0 to {COUNT - 1}",
            "log2_scale": 63,
            "message": message.tolist(),
            "largest_error_in_integers": 32,
            "c0_first_coefficients": c0[:, :4].tolist(),
            "c1_first_coefficients": c1[:, :4].tolist(),
        },
    }


def switching_key() -> dict[str, Any]:
    """A key for rotations by one step, over a ring as small as the security table has for it."""
    parameters = Parameters(2048, (12289, 40961), (61441,))
    secret = SecretKey.generate(parameters)
    element = rotation_element(parameters, 1)
    key = secret.switching_key(element)
    halves = key.native.words.reshape(2, 2, 3, -1)
    return {
        "format": 1,
        "ring_degree": parameters.ring_degree,
        "primes": parameters.primes,
        "special_primes": parameters.special_primes,
        "parameters_digest": parameters.digest.hex(),
        "secret_key": secret.to_bytes().hex(),
        "switching_key": {
            "element": element,
            "digits": 2,
            "largest_error_in_integers": 29,
            "a_first_values": halves[:, 1, :, :4].tolist(),
            "b_first_values": halves[:, 0, :, :4].tolist(),
            "bytes": switching_key_to_bytes(key).hex(),
        },
    }


if __name__ == "__main__":
    main()
