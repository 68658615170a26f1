"""What a linear model will cost on this machine: a short self-measurement, then arithmetic.

Times depend on the processor, so they are measured, once per process and parameter set, on random
data with the very operations that a request needs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from statistics import median
from typing import Final

import numpy as np

from strongroom import engine
from strongroom.compiler.messages import Limbs, MessageSizes
from strongroom.compiler.packing import LinearPacking
from strongroom.engine import Parameters

_REPETITIONS: Final = 9
_WORD_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class UnitTimes:
    """Milliseconds, one thread.

    Attributes:
        open_key: the server reads and expands a public key.
        open_input: the server reads one ciphertext of a request.
        multiply: the products of one more chunk of columns in a result.
        result: one result of one chunk, sanitised and written.
        encrypt: the client encodes, encrypts and writes one ciphertext.
        write_key: the client writes its public key.
        decrypt: the client reads and decrypts one result.
    """

    open_key: float
    open_input: float
    multiply: float
    result: float
    encrypt: float
    write_key: float
    decrypt: float


@lru_cache(maxsize=64)
def unit_times(parameters: Parameters, limbs: Limbs) -> UnitTimes:
    """Measure the operations of a linear model; some tens of milliseconds."""
    generator = np.random.default_rng(0)
    values = generator.uniform(-1.0, 1.0, parameters.ring_degree)
    declared = np.arange(8, dtype=np.uint32)
    log_scale = parameters.log_prefix(limbs.input) / 3
    scale = Fraction(2) ** int(log_scale)
    secret = engine.SecretKey.generate(parameters)
    key = secret.public_key(limbs.sanitise)
    weights = engine.InnerProductWeights.encode(parameters, values, scale, limbs.input)
    finishing = engine.Finishing(limbs.sanitise, limbs.response, 40.0)

    def encrypt() -> bytes:
        plaintext = engine.encode_coefficients(parameters, values, scale, limbs.input)
        return engine.ciphertext_to_bytes(secret.encrypt(plaintext))

    def result() -> bytes:
        made = engine.sanitised_inner_products(
            [opened], [weights], declared, values[:8], key, finishing
        )
        return engine.ciphertext_to_bytes(made, declared)

    request = encrypt()
    written_key = engine.public_key_to_bytes(key)
    opened = engine.ciphertext_from_bytes(parameters, request, limbs=limbs.input)
    response = result()

    def decrypt() -> None:
        result = engine.ciphertext_from_bytes(
            parameters, response, limbs=limbs.response, positions=declared
        )
        secret.decrypt(result, declared, log_sigma=20.0, step=1.0)

    return UnitTimes(
        open_key=milliseconds(
            lambda: engine.public_key_from_bytes(parameters, written_key, limbs=limbs.sanitise)
        ),
        open_input=milliseconds(
            lambda: engine.ciphertext_from_bytes(parameters, request, limbs=limbs.input)
        ),
        multiply=milliseconds(lambda: engine.inner_products([opened], [weights], declared)),
        result=milliseconds(result),
        encrypt=milliseconds(encrypt),
        write_key=milliseconds(lambda: engine.public_key_to_bytes(key)),
        decrypt=milliseconds(decrypt),
    )


def server_milliseconds(times: UnitTimes, packing: LinearPacking, blocks: int = 1) -> float:
    """Engine time of a server for a request of some blocks of rows."""
    per_block = packing.column_chunks * times.open_input + packing.groups * (
        (packing.column_chunks - 1) * times.multiply + times.result
    )
    return times.open_key + blocks * per_block


def client_milliseconds(times: UnitTimes, packing: LinearPacking, blocks: int = 1) -> float:
    """Engine time of a client for it."""
    per_block = packing.column_chunks * times.encrypt + packing.groups * times.decrypt
    return times.write_key + blocks * per_block


def server_peak_bytes(parameters: Parameters, limbs: Limbs, sizes: MessageSizes, rows: int) -> int:
    """Upper bound on the extra memory of a worker while it answers a request of `rows` rows: the
    messages, one block's ciphertexts with their working copies, and the key."""
    polynomial = parameters.ring_degree * _WORD_BYTES * limbs.input
    ciphertexts = 2 * (sizes.packing.column_chunks + 5) * polynomial
    messages = 2 * sizes.request(rows) + 2 * sizes.response(rows)
    return messages + ciphertexts + 2 * polynomial


def model_bytes(parameters: Parameters, limbs: Limbs, packing: LinearPacking) -> int:
    """Memory of the encoded weights."""
    polynomials = packing.groups * packing.column_chunks
    return polynomials * parameters.ring_degree * _WORD_BYTES * limbs.input


def milliseconds(operation: Callable[[], object]) -> float:
    times = []
    for _ in range(_REPETITIONS):
        start = time.perf_counter()
        operation()
        times.append(time.perf_counter() - start)
    return 1000.0 * median(times)
