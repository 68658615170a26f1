"""What a hidden linear model will cost on this machine: measured, then counted, as for a model in
the clear (`compiler.cost`). Times are those of one thread."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final

import numpy as np

from strongroom import engine
from strongroom.compiler.cost import milliseconds
from strongroom.compiler.hidden_messages import HiddenSizes
from strongroom.compiler.messages import Limbs
from strongroom.compiler.packing import LinearPacking
from strongroom.engine import Evaluator, Parameters
from strongroom.engine import operation_memory as memory

_MOST_THREADS: Final = 16
"""Of one evaluation, as far as its memory is predicted."""


@dataclass(frozen=True, slots=True)
class HiddenUnitTimes:
    """Milliseconds, one thread.

    Attributes:
        open_input: the server reads one ciphertext of a request.
        multiply: the products of one more chunk of columns in a result.
        result: one result of one chunk, written.
        encrypt: the client encodes, encrypts and writes one ciphertext.
        decrypt: the client reads and decrypts one result.
    """

    open_input: float
    multiply: float
    result: float
    encrypt: float
    decrypt: float


@lru_cache(maxsize=64)
def hidden_unit_times(parameters: Parameters, limbs: Limbs) -> HiddenUnitTimes:
    """Measure the operations of a hidden linear model; some tens of milliseconds."""
    generator = np.random.default_rng(0)
    values = generator.uniform(-1.0, 1.0, parameters.ring_degree)
    declared = np.arange(8, dtype=np.uint32)
    # A product must fit; how long scales are changes nothing.
    scale = Fraction(2) ** int(parameters.log_prefix(limbs.input) / 4)
    secret = engine.SecretKey.generate(parameters)
    keys = secret.evaluation_keys([engine.RELINEARISATION], limbs.input)
    evaluator = Evaluator(keys, 1)
    drop = limbs.input - limbs.response

    def encrypt() -> bytes:
        plaintext = engine.encode_coefficients(parameters, values, scale, limbs.input)
        return engine.ciphertext_to_bytes(secret.encrypt(plaintext))

    def result() -> bytes:
        made = evaluator.sum_of_products([(opened, weights)], drop=drop)
        return engine.ciphertext_to_bytes(made, declared)

    def twice() -> None:
        evaluator.sum_of_products([(opened, weights)] * 2, drop=drop)

    def once() -> None:
        evaluator.sum_of_products([(opened, weights)], drop=drop)

    request = encrypt()
    opened = engine.ciphertext_from_bytes(parameters, request, limbs=limbs.input)
    # Weights wait in the form that products need.
    weights = evaluator.linear_combination([opened], [1], opened.scale)
    response = result()

    def decrypt() -> None:
        read = engine.ciphertext_from_bytes(
            parameters, response, limbs=limbs.response, positions=declared
        )
        secret.decrypt(read, declared, log_sigma=20.0, step=1.0)

    return HiddenUnitTimes(
        open_input=milliseconds(
            lambda: engine.ciphertext_from_bytes(parameters, request, limbs=limbs.input)
        ),
        multiply=max(0.0, milliseconds(twice) - milliseconds(once)),
        result=milliseconds(result),
        encrypt=milliseconds(encrypt),
        decrypt=milliseconds(decrypt),
    )


def hidden_server_milliseconds(times: HiddenUnitTimes, packing: LinearPacking) -> float:
    """Engine time of a server for one block of rows."""
    per_group = (packing.column_chunks - 1) * times.multiply + times.result
    return packing.column_chunks * times.open_input + packing.groups * per_group


def hidden_client_milliseconds(times: HiddenUnitTimes, packing: LinearPacking) -> float:
    """Engine time of a client for it."""
    return packing.column_chunks * times.encrypt + packing.groups * times.decrypt


def hidden_peak_bytes(parameters: Parameters, limbs: Limbs, sizes: HiddenSizes, rows: int) -> int:
    """Upper bound on the extra memory of a worker while it answers a request of `rows` rows: the
    messages, one block's ciphertexts with their working copies, and a product."""
    ciphertexts = 2 * sizes.packing.column_chunks * memory.ciphertext_bytes(parameters, limbs.input)
    drop = limbs.input - limbs.response
    product = memory.multiply_peak(parameters, limbs.input, drop, threads=_MOST_THREADS)
    messages = 2 * sizes.request(rows) + 2 * sizes.response(rows)
    return messages + ciphertexts + product


def hidden_model_bytes(parameters: Parameters, limbs: Limbs, packing: LinearPacking) -> int:
    """Memory of the encrypted weights."""
    return packing.groups * packing.column_chunks * memory.ciphertext_bytes(parameters, limbs.input)
