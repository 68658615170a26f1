"""Write docs/vectors/format-v1.json: test vectors of the formats in docs/reference/format.md.

The vectors hold a secret key made for them alone, so that other implementations can decrypt what
is in them. They are committed; run this only when the format gets a new version.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np

from strongroom import engine
from strongroom.engine import SecretKey, catalogued

OUTPUT = Path(__file__).parents[1] / "docs" / "vectors" / "format-v1.json"
NAME = "n12-q104-v1"
COUNT = 30


def main() -> None:
    """Make a key, encrypt a row, and write what went in and what came out."""
    parameters = catalogued(NAME)
    secret = SecretKey.generate(parameters)
    positions = np.arange(COUNT, dtype=np.uint32)
    message = np.linspace(-1.0, 1.0, COUNT)
    scale = Fraction(2) ** 63
    plaintext = engine.encode_coefficients(parameters, message, scale, parameters.limbs)
    ciphertext = secret.encrypt(plaintext)
    restored = engine.ciphertext_from_bytes(
        parameters,
        engine.ciphertext_to_bytes(ciphertext, positions),
        limbs=parameters.limbs,
        positions=positions,
    )
    c0, c1 = restored.native.residues()
    OUTPUT.write_text(
        json.dumps(
            {
                "format": 1,
                "parameters": NAME,
                "ring_degree": parameters.ring_degree,
                "primes": parameters.primes,
                "parameters_digest": parameters.digest.hex(),
                "secret_key": secret.to_bytes().hex(),
                "seeded_ciphertext": {
                    "bytes": engine.ciphertext_to_bytes(ciphertext, positions).hex(),
                    "positions": f"0 to {COUNT - 1}",
                    "log2_scale": 63,
                    "message": message.tolist(),
                    "largest_error_in_integers": 32,
                    "c0_first_coefficients": c0[:, :4].tolist(),
                    "c1_first_coefficients": c1[:, :4].tolist(),
                },
            },
            indent=1,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
