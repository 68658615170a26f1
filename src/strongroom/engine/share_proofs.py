"""Proofs that a decryption share is what its parts make of a result, and nothing of the parts.

A share that is well-formed and wrong looks like any other. So whoever holds parts can prove of a
share w, about a result's second polynomial c1 and the check of the parts' sum s (`share_checks`):

    there are s and errors with b_i = -a_i s + e_i, and (s c1)[positions] is w up to smudging.

Cut and choose over a sigma protocol with one-bit challenges (`native/threshold/share_proof.hpp`),
made non-interactive (Fiat, Shamir, CRYPTO 1986): `ROUNDS` masks are expanded from seeds and bound
to; a digest of everything chooses `OPENED` of them, for which an answer is shown, and for the
others the seed. (Rejection as in Lyubashevsky, "Fiat-Shamir with aborts", ASIACRYPT 2009; few of
many as in Katz, Kolesnikov, Wang, CCS 2018.)

**Sound.** Who can answer some mask both ways has s' and errors e' of at most 2^(m+1) that fit both
samples, and w = (s' c1)[positions] + f' with |f'| at most `TOLERANCE` deviations of the smudging.
Then s' = s: a_i (s' - s) would be small for both i, and with a Q that is as large as
`require_provable` says, no s' but s is such for nearly all a_i. Who can't, meets one choice of
log2(ROUNDS over OPENED) = 137 bits.

**Zero-knowledge.** Masks of s are uniform. Masks of errors are uniform in a range, and a proof in
which an answer would lie near its ends is begun anew: at most one time in four. Masks of smudging
are Gaussians of 2^LOG_MASK times its deviation, and each answer h = g + f is, with w, one more
observation of what the smudging hides, w - h = (s c1)[positions] - g. So a proof says
OPENED / 4^LOG_MASK times as much as the share did: `PROVED_SHARE` times is what both say, and what
smudging is sized for (`compiler`). A second proof of the same share would say more, so the seeds
are a function of one secret that is kept with the share: its proof is always the same bytes.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom import _native
from strongroom.engine.key_parts import KeyPart
from strongroom.engine.serialisation_header import SECOND_PART, read_header, unpack_fault
from strongroom.engine.share_checks import SAMPLES, PartCheck, public_seeds
from strongroom.engine.shared_decryption import require_positions, require_residues

ROUNDS: Final = 512
OPENED: Final = 24
SECRET_BYTES: Final = 32

LOG_MASK: Final = 4
"""Base-2 logarithm of the deviation of masks of smudging over that of smudging: `kLogMask`."""

PROVED_SHARE: Final = 1.0 + OPENED / 4.0**LOG_MASK
"""How much more than a share the share and its proof say of what the smudging hides."""

TOLERANCE: Final = 10 * (2 * 2**LOG_MASK + 1)
"""A share that is proved is wrong by no more than so many deviations of its smudging."""

_WITHHELD: Final = 4
"""One proof in so many is begun anew, at most."""

_MARGIN_BITS: Final = 20
_DIGEST_BYTES: Final = 32
_SMUDGING_BYTES: Final = 16
_SEEDS: Final = b"strongroom share proof seeds\0"
_CHALLENGE: Final = b"strongroom share proof\0"


def require_provable(check: PartCheck, limbs: int, log_sigma: float) -> None:
    """Shares of such results can be proved with these checks.

    Args:
        check: of the sum of the parts.
        limbs: primes of the result.
        log_sigma: of the smudging.

    Raises:
        ValueError: the result has more primes than the check, the check's are too few for its
            errors, or the smudging is about as wide as the result's primes.
    """
    primes = check.parameters.primes
    if limbs > check.limbs:
        raise ValueError(f"a result of {limbs} primes, and checks of {check.limbs}")
    bits = [math.log2(prime) for prime in primes[: check.limbs]]
    mask = _log_error_mask(check)
    if SAMPLES * (mask + 3) + _MARGIN_BITS > sum(bits) or mask + 1 >= min(bits):
        raise ValueError("the parts were refreshed too often for their checks to bind them")
    room = sum(math.log2(prime) for prime in primes[: min(limbs, 2)])
    if log_sigma + math.log2(2 * TOLERANCE) > room:
        raise ValueError("the smudging is as wide as the result's primes")


def proof_bytes(check: PartCheck, positions: int) -> int:
    """Bytes of a proof about so many coefficients."""
    parameters = check.parameters
    degree = parameters.ring_degree
    bits = [prime.bit_length() for prime in parameters.primes[: check.limbs]]
    bits += SAMPLES * [_log_error_mask(check) + 1]
    answer = sum(-(-degree * each // 8) for each in bits) + _SMUDGING_BYTES * positions
    return _DIGEST_BYTES + (ROUNDS - OPENED) * SECRET_BYTES + OPENED * answer


def prove_share(
    parts: Sequence[KeyPart],
    check: PartCheck,
    seed: bytes,
    public_limbs: int,
    c1: bytes | memoryview,
    *,
    limbs: int,
    positions: NDArray[np.uint32],
    words: NDArray[np.uint64],
    log_sigma: float,
    secret: bytes,
    context: bytes,
) -> bytes:
    """A proof of `shared_decryption.decryption_share`.

    Args:
        parts: that the holder answered for.
        check: of their sum.
        seed: 32 bytes that all members agreed on in the setup.
        public_limbs: primes of the public key.
        c1, limbs, positions, log_sigma: as for the share.
        words: the share, shape (limbs, k).
        secret: 32 bytes from the operating system's randomness, drawn for this share and kept
            with it. Two proofs of one share with two secrets say more than smudging hides.
        context: what the proof is for, in canonical form.

    Raises:
        ValueError: the share is not of these parts, or they are not those of the check: there is
            nothing to prove; as `require_provable`.
        CiphertextError: c1 or the words are malformed.
    """
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"the secret of a proof has {SECRET_BYTES} bytes")
    relation = _relation(check, seed, public_limbs, c1, limbs, positions, words, log_sigma)
    flat = np.ascontiguousarray(words).reshape(-1)
    prover = _native.ShareProver(relation, [part.native for part in parts], flat)
    statement = _statement(check, seed, public_limbs, c1, positions, words, log_sigma, context)
    attempt = 0
    while True:
        seeds = [_round_seed(secret, statement, attempt, round_) for round_ in range(ROUNDS)]
        digest = _challenge(statement, (relation.commitment(each) for each in seeds))
        opened = _opened(digest)
        answers = [prover.answer(seeds[round_]) for round_ in sorted(opened)]
        shown = [answer for answer in answers if answer is not None]
        if len(shown) == OPENED:
            closed = [each for round_, each in enumerate(seeds) if round_ not in opened]
            return b"".join((digest, *closed, *shown))
        attempt += 1


def verify_share(
    check: PartCheck,
    seed: bytes,
    public_limbs: int,
    c1: bytes | memoryview,
    *,
    limbs: int,
    positions: NDArray[np.uint32],
    words: NDArray[np.uint64],
    log_sigma: float,
    context: bytes,
    proof: bytes,
) -> bool:
    """Whether a proof, from anybody, holds.

    Args:
        As for `prove_share`.

    Raises:
        ValueError: as `require_provable`.
        CiphertextError: c1 or the words are malformed.
    """
    relation = _relation(check, seed, public_limbs, c1, limbs, positions, words, log_sigma)
    if len(proof) != proof_bytes(check, len(positions)):
        return False
    digest = proof[:_DIGEST_BYTES]
    opened = _opened(digest)
    flat = np.ascontiguousarray(words).reshape(-1)
    view = memoryview(proof)
    closed_at, answer_at = _DIGEST_BYTES, _DIGEST_BYTES + (ROUNDS - OPENED) * SECRET_BYTES
    commitments = []
    for round_ in range(ROUNDS):
        if round_ in opened:
            answer = view[answer_at : answer_at + relation.answer_bytes]
            answer_at += relation.answer_bytes
            found = relation.commitment_of(answer, flat)
            if found is None:
                return False
        else:
            found = relation.commitment(view[closed_at : closed_at + SECRET_BYTES])
            closed_at += SECRET_BYTES
        commitments.append(_digest_of(found))
    statement = _statement(check, seed, public_limbs, c1, positions, words, log_sigma, context)
    return hmac.compare_digest(_joined(statement, commitments), digest)


def _relation(
    check: PartCheck,
    seed: bytes,
    public_limbs: int,
    c1: bytes | memoryview,
    limbs: int,
    positions: NDArray[np.uint32],
    words: NDArray[np.uint64],
    log_sigma: float,
) -> _native.ShareRelation:
    require_provable(check, limbs, log_sigma)
    parameters = check.parameters
    require_residues(parameters, words, (limbs, len(positions)))
    _, body = read_header(parameters, c1, (SECOND_PART,), limbs, parameters.ring_degree)
    try:
        return _native.ShareRelation(
            parameters.native,
            public_seeds(parameters, seed, public_limbs),
            check.words.reshape(-1),
            limbs,
            body,
            require_positions(positions),
            log_sigma,
            check.error_bound,
            _log_error_mask(check),
        )
    except _native.UnpackError as error:
        raise unpack_fault(error) from None


def _log_error_mask(check: PartCheck) -> int:
    """m: a coefficient is within the errors' bound of an end with probability bound / 2^m."""
    coefficients = SAMPLES * check.parameters.ring_degree * OPENED
    return math.ceil(math.log2(check.error_bound * coefficients * _WITHHELD))


def _statement(
    check: PartCheck,
    seed: bytes,
    public_limbs: int,
    c1: bytes | memoryview,
    positions: NDArray[np.uint32],
    words: NDArray[np.uint64],
    log_sigma: float,
    context: bytes,
) -> bytes:
    """A digest of everything that is proved something of."""
    parts = (
        check.parameters.digest,
        check.to_bytes(),
        seed,
        public_limbs.to_bytes(4, "little"),
        bytes(c1),
        np.ascontiguousarray(positions, "<u4").tobytes(),
        np.ascontiguousarray(words, "<u8").tobytes(),
        log_sigma.hex().encode(),
        context,
    )
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()


def _round_seed(secret: bytes, statement: bytes, attempt: int, round_: int) -> bytes:
    numbers = attempt.to_bytes(4, "little") + round_.to_bytes(4, "little")
    return hmac.digest(secret, _SEEDS + statement + numbers, "sha256")


def _digest_of(commitment: NDArray[np.uint64]) -> bytes:
    return hashlib.sha256(commitment.astype("<u8", copy=False).data).digest()


def _challenge(statement: bytes, commitments: Iterator[NDArray[np.uint64]]) -> bytes:
    return _joined(statement, [_digest_of(each) for each in commitments])


def _joined(statement: bytes, commitments: Sequence[bytes]) -> bytes:
    return hashlib.sha256(b"".join((_CHALLENGE, statement, *commitments))).digest()


def _opened(digest: bytes) -> frozenset[int]:
    """The rounds that a challenge opens: the first `OPENED` different numbers of a stream."""
    stream = hashlib.shake_256(_CHALLENGE + digest).digest(64 * OPENED)
    numbers = np.frombuffer(stream, "<u2") % ROUNDS
    chosen: dict[int, None] = {}
    for number in numbers.tolist():
        chosen.setdefault(number)
        if len(chosen) == OPENED:
            return frozenset(chosen)
    raise AssertionError("768 numbers below 512 have no 24 different ones")
