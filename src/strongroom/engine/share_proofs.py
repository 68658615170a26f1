"""Proofs that a decryption share is what its parts make of a result, and nothing of the parts.

A share that is well-formed and wrong looks like any other. So whoever holds parts can prove of a
share w, about a result's second polynomial c1 and the check of the parts' sum s (`share_checks`):

    there are s and errors with b_i = -a_i s + e_i, and (s c1)[positions] is w up to smudging.

Cut and choose over a sigma protocol with one-bit challenges (`native/threshold/share_proof.hpp`),
made non-interactive (Fiat, Shamir, CRYPTO 1986): `ROUNDS` masks are expanded from seeds and bound
to; a digest of everything chooses `OPENED` of them, for which an answer is shown, and for the
others the seed. (Rejection as in Lyubashevsky, "Fiat-Shamir with aborts", ASIACRYPT 2009; few of
many as in Katz, Kolesnikov, Wang, CCS 2018.)

**Two verify.** Words are for the asker alone, and a result's c1 is not for the asker: whoever sends
numbers that encrypt nothing could read weights' ciphertexts out of it. So a round is bound to by

    SHA-256(SHA-256(t_1, t_2), SHA-256(salt, u)),    u = (y c1)[positions] + g

(each SHA-256 but the innermost with a label)

and whoever has the result `examine`s a proof: it computes t_1, t_2, for closed rounds u, and for
open ones u + w = (z c1)[positions] + h. The asker gets these (`Examined`, some tens of kilobytes in
place of megabytes), takes its words away, and compares the digest (`Examined.proves`). The salts of
open rounds are for the asker only: with them whoever examines could test guesses of the words.

**Sound.** Who can answer some mask both ways has s' and errors e' of at most 2^(m+1) that fit both
samples, and w = (s' c1)[positions] + f' with |f'| at most `TOLERANCE` deviations of the smudging.
Then s' = s: a_i (s' - s) would be small for both i, and with a Q that is as large as
`require_provable` says, no s' but s is such for nearly all a_i. Who can't, meets one choice of
log2(ROUNDS over OPENED) = 136 bits.

**Zero-knowledge.** Masks of s are uniform. Masks of errors are uniform in a range, and a proof in
which an answer would lie near its ends is begun anew: at most one time in four. Masks of smudging
are Gaussians of at least 2^LOG_MASK times its deviation, and each answer h = g + f is, with w, one
more observation of what the smudging hides, w - h = (s c1)[positions] - g. So a proof says
OPENED / 4^LOG_MASK times as much as the share did: `PROVED_SHARE` times is what both say, and what
smudging is sized for (`compiler`). A second proof of the same share would say more, so the seeds
are a function of one secret that is kept with the share: its proof is always the same bytes, unless
a machine computes wrongly, and whoever proves has to compare (`Proof.challenge`).
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom import _native
from strongroom.engine.key_parts import KeyPart
from strongroom.engine.parameters import Parameters
from strongroom.engine.serialisation_header import SECOND_PART, read_header, unpack_fault
from strongroom.engine.share_checks import SAMPLES, PartCheck, public_seeds
from strongroom.engine.shared_decryption import require_positions, require_residues

ROUNDS: Final = 512
OPENED: Final = 24
SECRET_BYTES: Final = 32

LOG_MASK: Final = 4
"""Base-2 logarithm of the deviation of masks of smudging over that of smudging, at least:
`kLogMask`."""

WIDEST_MASK: Final = 1.4
"""They are no wider than so many times that: `kWidestMask`."""

PROVED_SHARE: Final = 1.0 + OPENED / 4.0**LOG_MASK
"""How much more than a share the share and its proof say of what the smudging hides."""

TOLERANCE: Final = 10 * (2 * WIDEST_MASK * 2**LOG_MASK + 1)
"""A share that is proved is wrong by no more than so many deviations of its smudging."""

_WITHHELD: Final = 4
"""One proof in so many is begun anew, at most."""

SALTS_BYTES: Final = OPENED * SECRET_BYTES
"""Of the salts of open rounds."""

_MARGIN_BITS: Final = 20
_ROOM_BITS: Final = 126.0
_DIGEST_BYTES: Final = 32
_SMUDGING_BYTES: Final = 16
_WORD: Final = np.dtype("<u8")
_SEEDS: Final = b"strongroom share proof seeds\0"
_SALT: Final = b"strongroom share proof salt\0"
_CHALLENGE: Final = b"strongroom share proof\0"
_WORDS: Final = b"strongroom share proof words\0"
_SECOND: Final = b"strongroom share proof second\0"
_ROUND: Final = b"strongroom share proof round\0"


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
    bits = sum(math.log2(prime) for prime in primes[: check.limbs])
    if SAMPLES * (_log_error_mask(check) + 3) + _MARGIN_BITS > bits:
        raise ValueError("the parts were refreshed too often for their checks to bind them")
    room = 0.0
    for prime in primes[:limbs]:
        if room and room + math.log2(prime) > _ROOM_BITS:
            break
        room += math.log2(prime)
    if log_sigma + math.log2(2 * TOLERANCE) > room:
        raise ValueError("the smudging is too wide to be masked below the result's primes")


def proof_bytes(check: PartCheck, positions: int) -> int:
    """Bytes of a proof about so many coefficients."""
    parameters = check.parameters
    degree = parameters.ring_degree
    bits = [prime.bit_length() for prime in parameters.primes[: check.limbs]]
    bits += SAMPLES * [_log_error_mask(check) + 1]
    answer = sum(-(-degree * each // 8) for each in bits) + _SMUDGING_BYTES * positions
    return _DIGEST_BYTES + (ROUNDS - OPENED) * SECRET_BYTES + OPENED * answer


@dataclass(frozen=True, slots=True)
class Proof:
    """What the holder of parts says.

    Attributes:
        shown: for whoever has the result, `proof_bytes` long: the challenge, the seeds of closed
            rounds, the answers of open ones.
        salts: for the asker alone, `SALTS_BYTES`.
    """

    shown: bytes
    salts: bytes

    @property
    def challenge(self) -> bytes:
        """What chose the open rounds. Of one share, and one secret, there is one: with two proofs
        of which it differs, anybody computes the parts. Whoever proves compares before it shows."""
        return self.shown[:_DIGEST_BYTES]


@dataclass(frozen=True, slots=True)
class Examined:
    """What whoever has the result computed of a proof's shown half.

    Attributes:
        statement: digest of everything that is proved something of, but the words.
        challenge: of the proof.
        firsts: digests of (t_1, t_2) of all rounds, in their order.
        closed: digests of (salt, u) of the closed rounds, in their order.
        sums: u + w of the open rounds, in their order, shape (24, limbs, k).
    """

    statement: bytes
    challenge: bytes
    firsts: tuple[bytes, ...]
    closed: tuple[bytes, ...]
    sums: NDArray[np.uint64]

    def proves(self, parameters: Parameters, words: NDArray[np.uint64], salts: bytes) -> bool:
        """Whether the proof holds for a share.

        Args:
            words: of the share, shape (limbs, k), each below its prime.
            salts: from whoever proves, untrusted.

        Raises:
            CiphertextError: the words are malformed.
        """
        limbs, count = self.sums.shape[1:]
        require_residues(parameters, words, (limbs, count))
        if len(salts) != SALTS_BYTES:
            return False
        primes = np.array(parameters.primes[:limbs], dtype=np.uint64)[:, None]
        opened = _opened(self.challenge)
        closed, sums = iter(self.closed), iter(self.sums)
        each_salt = (salts[at : at + SECRET_BYTES] for at in range(0, SALTS_BYTES, SECRET_BYTES))
        seconds = [
            _second_digest(next(each_salt), (next(sums) + (primes - words)) % primes)
            if round_ in opened
            else next(closed)
            for round_ in range(ROUNDS)
        ]
        rounds = [_round_digest(*both) for both in zip(self.firsts, seconds, strict=True)]
        found = _challenge(self.statement, words, rounds)
        return hmac.compare_digest(found, self.challenge)

    def to_bytes(self) -> bytes:
        """Statement and challenge, the digests, the sums as little-endian words."""
        sums = np.ascontiguousarray(self.sums, _WORD).tobytes()
        return b"".join((self.statement, self.challenge, *self.firsts, *self.closed, sums))

    @classmethod
    def from_bytes(cls, data: bytes, limbs: int, count: int) -> Examined:
        """What `to_bytes` wrote, of `count` positions.

        Raises:
            ValueError: it has another length.
        """
        digests = 2 + ROUNDS + (ROUNDS - OPENED)
        if len(data) != examined_bytes(limbs, count):
            raise ValueError(f"{len(data)} bytes, {examined_bytes(limbs, count)} belong there")
        each = [data[at : at + _DIGEST_BYTES] for at in range(0, digests * _DIGEST_BYTES, 32)]
        words = np.frombuffer(data, _WORD, offset=digests * _DIGEST_BYTES).astype(np.uint64)
        return cls(
            each[0],
            each[1],
            tuple(each[2 : 2 + ROUNDS]),
            tuple(each[2 + ROUNDS :]),
            words.reshape(OPENED, limbs, count),
        )


def examined_bytes(limbs: int, positions: int) -> int:
    """Bytes of an `Examined`."""
    digests = 2 + ROUNDS + (ROUNDS - OPENED)
    return digests * _DIGEST_BYTES + OPENED * limbs * positions * _WORD.itemsize


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
) -> Proof:
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
    parameters = check.parameters
    relation = _relation(check, seed, public_limbs, c1, limbs, positions, log_sigma)
    require_residues(parameters, words, (limbs, len(positions)))
    flat = np.ascontiguousarray(words).reshape(-1)
    prover = _native.ShareProver(relation, [part.native for part in parts], flat)
    statement = _statement(check, seed, public_limbs, c1, positions, log_sigma, context)
    each = _statement_of_words(statement, words)
    attempt = 0
    while True:
        seeds = [_round_seed(secret, each, attempt, round_) for round_ in range(ROUNDS)]
        images = (_split(check, relation.commitment(one)) for one in seeds)
        rounds = [
            _round_digest(first, _second_digest(_salt_of(one), second))
            for one, (first, second) in zip(seeds, images, strict=True)
        ]
        challenge = _challenge(statement, words, rounds)
        opened = _opened(challenge)
        answers = [prover.answer(seeds[round_]) for round_ in sorted(opened)]
        shown = [answer for answer in answers if answer is not None]
        if len(shown) == OPENED:
            closed = [one for round_, one in enumerate(seeds) if round_ not in opened]
            salts = [_salt_of(seeds[round_]) for round_ in sorted(opened)]
            return Proof(b"".join((challenge, *closed, *shown)), b"".join(salts))
        attempt += 1


def examine(
    check: PartCheck,
    seed: bytes,
    public_limbs: int,
    c1: bytes | memoryview,
    *,
    limbs: int,
    positions: NDArray[np.uint32],
    log_sigma: float,
    context: bytes,
    shown: bytes,
) -> Examined | None:
    """Compute what the asker needs of a proof's shown half, from anybody.

    Args:
        As for `prove_share`.

    Returns:
        None if it is none: of another length, or an answer out of range.

    Raises:
        ValueError: as `require_provable`.
        CiphertextError: c1 is malformed.
    """
    count = len(positions)
    relation = _relation(check, seed, public_limbs, c1, limbs, positions, log_sigma)
    if len(shown) != proof_bytes(check, count):
        return None
    challenge = shown[:_DIGEST_BYTES]
    opened = _opened(challenge)
    no_words = np.zeros(limbs * count, dtype=np.uint64)
    view = memoryview(shown)
    closed_at, answer_at = _DIGEST_BYTES, _DIGEST_BYTES + (ROUNDS - OPENED) * SECRET_BYTES
    firsts, closed, sums = [], [], []
    for round_ in range(ROUNDS):
        if round_ in opened:
            answer = view[answer_at : answer_at + relation.answer_bytes]
            answer_at += relation.answer_bytes
            found = relation.commitment_of(answer, no_words)
            if found is None:
                return None
            first, sum_ = _split(check, found)
            sums.append(sum_.reshape(limbs, count))
        else:
            one = bytes(view[closed_at : closed_at + SECRET_BYTES])
            closed_at += SECRET_BYTES
            first, second = _split(check, relation.commitment(one))
            closed.append(_second_digest(_salt_of(one), second))
        firsts.append(first)
    statement = _statement(check, seed, public_limbs, c1, positions, log_sigma, context)
    return Examined(statement, challenge, tuple(firsts), tuple(closed), np.stack(sums))


def _relation(
    check: PartCheck,
    seed: bytes,
    public_limbs: int,
    c1: bytes | memoryview,
    limbs: int,
    positions: NDArray[np.uint32],
    log_sigma: float,
) -> _native.ShareRelation:
    require_provable(check, limbs, log_sigma)
    parameters = check.parameters
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
    log_sigma: float,
    context: bytes,
) -> bytes:
    """A digest of everything that is proved something of, but the words."""
    parts = (
        check.parameters.digest,
        check.to_bytes(),
        seed,
        public_limbs.to_bytes(4, "little"),
        bytes(c1),
        np.ascontiguousarray(positions, "<u4").tobytes(),
        log_sigma.hex().encode(),
        context,
    )
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).digest()


def _statement_of_words(statement: bytes, words: NDArray[np.uint64]) -> bytes:
    content = np.ascontiguousarray(words, _WORD).tobytes()
    return hashlib.sha256(_WORDS + statement + content).digest()


def _round_seed(secret: bytes, statement: bytes, attempt: int, round_: int) -> bytes:
    numbers = attempt.to_bytes(4, "little") + round_.to_bytes(4, "little")
    return hmac.digest(secret, _SEEDS + statement + numbers, "sha256")


def _salt_of(seed: bytes) -> bytes:
    return hmac.digest(seed, _SALT, "sha256")


def _split(check: PartCheck, images: NDArray[np.uint64]) -> tuple[bytes, NDArray[np.uint64]]:
    """The digest of (t_1, t_2), and u."""
    size = check.words.size
    return hashlib.sha256(images[:size].astype(_WORD, copy=False).data).digest(), images[size:]


def _second_digest(salt: bytes, second: NDArray[np.uint64]) -> bytes:
    content = np.ascontiguousarray(second, _WORD).tobytes()
    return hashlib.sha256(_SECOND + salt + content).digest()


def _round_digest(first: bytes, second: bytes) -> bytes:
    return hashlib.sha256(_ROUND + first + second).digest()


def _challenge(statement: bytes, words: NDArray[np.uint64], rounds: Sequence[bytes]) -> bytes:
    each = _statement_of_words(statement, words)
    return hashlib.sha256(b"".join((_CHALLENGE, each, *rounds))).digest()


def _opened(challenge: bytes) -> frozenset[int]:
    """The rounds that a challenge opens: the first `OPENED` different numbers of a stream."""
    stream = hashlib.shake_256(_CHALLENGE + challenge).digest(64 * OPENED)
    numbers = np.frombuffer(stream, "<u2") % ROUNDS
    chosen: dict[int, None] = {}
    for number in numbers.tolist():
        chosen.setdefault(number)
        if len(chosen) == OPENED:
            return frozenset(chosen)
    raise AssertionError("768 numbers below 512 have no 24 different ones")
