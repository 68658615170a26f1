"""Values are shared between threads: an operation must not change its operands.

The interpreter lock is released inside of the core, so that a hidden change of form (from
coefficients to values) in one thread is seen half done by another.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
from small_rings import small_parameters

from strongroom import engine
from strongroom.engine import Ciphertext, Plaintext, SecretKey

THREADS = 8
ROUNDS = 40


def all_at_once(work: Callable[[], bytes]) -> int:
    """How many different results the same work has in several threads that start together."""
    barrier = threading.Barrier(THREADS)
    results: list[bytes] = []

    def run() -> None:
        barrier.wait()
        results.append(hashlib.sha256(work()).digest())

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == THREADS
    return len(set(results))


PARAMETERS = small_parameters(2**14, (50, 50, 50, 50))


def fresh() -> tuple[Ciphertext, Plaintext]:
    """A ciphertext and a plaintext that nothing has touched."""
    plaintext = engine.encode_coefficients(PARAMETERS, np.arange(2.0**14), Fraction(1), 4)
    return SecretKey.generate(PARAMETERS).encrypt(plaintext), plaintext


def test_many_threads_may_multiply_by_one_plaintext() -> None:
    for _ in range(ROUNDS):
        ciphertext, plaintext = fresh()

        def product(c: Ciphertext = ciphertext, p: Plaintext = plaintext) -> bytes:
            return engine.multiply_plain(c, p).native.residues()[0].tobytes()

        assert all_at_once(product) == 1


def test_a_plaintext_may_be_read_while_it_is_multiplied_by() -> None:
    for _ in range(ROUNDS):
        ciphertext, plaintext = fresh()
        expected = plaintext.native.residues().tobytes()
        turns = itertools.count()

        def read_or_multiply(
            c: Ciphertext = ciphertext,
            p: Plaintext = plaintext,
            turns: Iterator[int] = turns,
            expected: bytes = expected,
        ) -> bytes:
            if next(turns) % 2:
                engine.multiply_plain(c, p)
                return expected
            return p.native.residues().tobytes()

        assert all_at_once(read_or_multiply) == 1


def test_many_threads_may_serialise_one_ciphertext() -> None:
    for _ in range(ROUNDS):
        product = engine.multiply_plain(*fresh())
        assert all_at_once(lambda c=product: engine.ciphertext_to_bytes(c)) == 1


def test_an_operation_leaves_its_operands_as_they_were() -> None:
    parameters = small_parameters(64, (40, 40))
    secret = SecretKey.generate(parameters)
    key = secret.public_key(2)
    plaintext = engine.encode_coefficients(parameters, np.arange(64.0), Fraction(1), 2)
    ciphertext, other = secret.encrypt(plaintext), key.encrypt(plaintext)
    positions = np.arange(3, dtype=np.uint32)

    def state() -> list[bytes]:
        parts = (*ciphertext.native.residues(), *other.native.residues())
        return [x.tobytes() for x in (*parts, plaintext.native.residues())]

    before = state()
    engine.add(ciphertext, other)
    engine.add_plain(ciphertext, plaintext)
    engine.add_at(ciphertext, positions, np.ones(3))
    engine.multiply_plain(ciphertext, plaintext)
    engine.rescale(ciphertext, 1)
    engine.truncate(ciphertext, 1)
    engine.sanitise(ciphertext, key, positions, 10.0)
    engine.ciphertext_to_bytes(ciphertext)
    secret.decrypt(ciphertext, positions, log_sigma=1.0, step=1.0)
    secret.decrypt_raw_do_not_publish(other)
    key.encrypt(plaintext)
    secret.encrypt(plaintext)
    engine.decode(plaintext)
    assert state() == before
