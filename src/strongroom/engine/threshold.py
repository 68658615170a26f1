"""A secret key in parts: whose holders make its keys together and decrypt together.

`KeyPart` is what a holder keeps. Collective keys (`collective_keys`) are made once, in two rounds
for the one that products need. Then anybody encrypts and computes as under one key, and results are
decrypted at declared coefficients only (`shared_decryption`), by the holders of all parts.

Who holds which part, who may ask, and how often, is up to the caller. So is what the docstring of
`collective_keys` demands of a setup.
"""

from strongroom.engine.collective_keys import (
    RelinearisationRound,
    combine_galois_key,
    combine_public_key,
    combine_relinearisation_key,
    combine_round_one,
    galois_key_share,
    is_public_key_share_of,
    public_key_share,
)
from strongroom.engine.key_parts import KeyPart, common_seed
from strongroom.engine.key_shares import ShareError
from strongroom.engine.share_checks import (
    CHANGE_SUMMED,
    PartCheck,
    check_limbs,
    check_seed,
)
from strongroom.engine.share_proofs import (
    PROVED_SHARE,
    SALTS_BYTES,
    SECRET_BYTES,
    TOLERANCE,
    Examined,
    Proof,
    examine,
    examined_bytes,
    proof_bytes,
    prove_share,
    require_provable,
)
from strongroom.engine.shared_decryption import (
    combine_shares,
    decryption_share,
    first_part_at,
    require_residues,
    second_part_to_bytes,
)

__all__ = [
    "CHANGE_SUMMED",
    "PROVED_SHARE",
    "SALTS_BYTES",
    "SECRET_BYTES",
    "TOLERANCE",
    "Examined",
    "KeyPart",
    "PartCheck",
    "Proof",
    "RelinearisationRound",
    "ShareError",
    "check_limbs",
    "check_seed",
    "combine_galois_key",
    "combine_public_key",
    "combine_relinearisation_key",
    "combine_round_one",
    "combine_shares",
    "common_seed",
    "decryption_share",
    "examine",
    "examined_bytes",
    "first_part_at",
    "galois_key_share",
    "is_public_key_share_of",
    "proof_bytes",
    "prove_share",
    "public_key_share",
    "require_provable",
    "require_residues",
    "second_part_to_bytes",
]
