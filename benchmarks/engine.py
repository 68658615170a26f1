"""The encryption core against SEAL 4.4 and TenSEAL 0.3.18, operation by operation.

Everything runs in this process on one thread (but for the rows named `threads_`), in turn with the
peer, call by call, at the same data primes (`engine_chains`), and medians are compared. What an
operation returns is decrypted on both sides and compared with the same in the clear: errors are
the largest over all slots, and ours must not be more than twice the peer's (TenSEAL's, for
`cipher_matvec`). Ciphertexts that are worked on were encrypted with the secret key.

What is compared (peer's time over ours):

- rotate, multiply and relinearise, rescale, encode N/2 complex values, encrypt with the public key,
  decrypt, multiply by an encoded plaintext: SEAL. A plaintext that is encoded, and a ciphertext
  that is encrypted, is ready to be multiplied on both sides.
- a dense matrix times an encrypted vector, and a polynomial on all slots: TenSEAL, which encodes
  the matrix within each product. Ours are encoded and planned once.
- bytes of rotation keys for the same steps: SEAL without generic compression, but with seeds for
  the uniform halves, which its C++ interface can write and its binding cannot.
- two threads over one, divided by what a second process gains on this machine (`engine_threads`).
- a matrix of encrypted diagonals against the same of plaintext ones.

The last line is one JSON object; the benchmark exits with status 1 if it misses a floor, or cannot
measure it here (a kernel that this processor lacks).
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import engine_chains as chains
import numpy as np
from engine_ours import OurMatrix, OurPolynomial, Ours
from engine_peers import Seal, Tenseal
from engine_table import FLOORS, Row, as_json, print_heading, print_row
from engine_threads import TwoProcesses
from engine_timing import in_turn
from numpy.typing import NDArray

from strongroom import engine

OPERATIONS = {
    "rotate": "rotate",
    "mul": "multiply",
    "rescale": "rescale",
    "encode": "encode",
    "encrypt": "encrypt",
    "decrypt": "decrypt",
    "decrypt_and_decode": "decrypt_and_decode",
    "mul_plain": "multiply_plain",
}
"""Rows and the methods of both sides."""

REPETITIONS = {13: 25, 14: 15, 15: 9}
"""By log2 of the ring degree."""

MATRIX_SHAPE = (128, 1024)
DEGREE = 31
THREAD_ROUNDS = 7
LEAST_GAIN = 1.5
"""Of two processes, below which two threads cannot be judged."""

KEY_STEPS = [1 << power for power in range(13)]


def main() -> int:
    """Run, print a table and the JSON line; 0 if every floor is met."""
    for chain in chains.ALL:
        print(chain)
    print_heading()
    rows = []
    for row in _measure():
        print_row(row)
        rows.append(row)
        if row.name == "two_processes" and row.ratio < LEAST_GAIN:
            print("  (no second core to spare: the rows `threads_` say little)")
    missed = [row.name for row in rows if row.missed]
    missed += sorted(FLOORS.keys() - {row.name for row in rows})
    results = as_json(rows) | {
        "missed": missed,
        "log2_data_ours_peer": {
            chain.name: [round(x, 2) for x in chain.log_moduli] for chain in chains.ALL
        },
        "kernel": engine.available_kernels()[0],
        "seal_python_version": version("seal-python"),
        "tenseal_version": version("tenseal"),
    }
    print(json.dumps(results))
    return 1 if missed else 0


def _measure() -> Iterator[Row]:
    yield from _operations(chains.OPERATIONS_13, ("rotate", "mul"))
    yield from _operations(chains.OPERATIONS_14, tuple(OPERATIONS))
    yield from _operations(chains.THREE_DIGITS_14, ("rotate", "mul"), "_three_digits")
    yield from _operations(chains.OPERATIONS_15, tuple(OPERATIONS))
    yield from _kernels(chains.OPERATIONS_14)
    yield _key_bytes(chains.OPERATIONS_14)
    yield from _matrices(chains.MATRIX_13)
    yield _polynomial(chains.POLYNOMIAL_14)
    yield from _threads(chains.OPERATIONS_15)


def _operations(chain: chains.Chain, names: tuple[str, ...], suffix: str = "") -> Iterator[Row]:
    first, second = _vectors(chain)
    peer, ours = Seal(chain, first, second), Ours(chain, first, second)
    product = first * second
    expected = {"rotate": np.roll(first, -1)}
    expected |= {name: product for name in ("mul", "rescale", "mul_plain")}
    for name in names:
        yield _compared(chain, name, suffix, peer, ours, expected.get(name, first))


def _kernels(chain: chains.Chain) -> Iterator[Row]:
    first, second = _vectors(chain)
    peer = Seal(chain, first, second)
    for kernel in ("avx2", "portable"):
        if kernel in engine.available_kernels():
            ours = Ours(chain, first, second, kernel=kernel)
            yield _compared(chain, "rotate", f"_{kernel}", peer, ours, np.roll(first, -1))


def _compared(
    chain: chains.Chain,
    name: str,
    suffix: str,
    peer: Seal,
    ours: Ours,
    expected: NDArray[np.complex128],
) -> Row:
    method = OPERATIONS[name]
    timings = in_turn(getattr(peer, method), getattr(ours, method), REPETITIONS[chain.log_degree])
    return Row(
        f"{name}_{chain.log_degree}{suffix}",
        timings.ratio,
        timings.peer_ms,
        timings.ours_ms,
        peer_error=_error(peer.values(timings.peer_result), expected),
        ours_error=_error(ours.values(timings.ours_result), expected),
    )


def _key_bytes(chain: chains.Chain) -> Row:
    """SEAL's smaller form against ours, in megabytes."""
    first, second = _vectors(chain)
    peer, ours = Seal(chain, first, second), Ours(chain, first, second)
    theirs = min(peer.key_bytes(KEY_STEPS), peer.seeded_key_bytes(KEY_STEPS))
    our_bytes = ours.key_bytes(KEY_STEPS)
    return Row("key_bytes", theirs / our_bytes, theirs / 1e6, our_bytes / 1e6, "MB")


def _matrices(chain: chains.Chain) -> Iterator[Row]:
    matrix, vector = _matrix_and_vector()
    expected = matrix @ vector
    peer = Tenseal(chain, vector)
    peer.prepare_matrix(matrix)
    ours = OurMatrix(chain, matrix, vector)
    timings = in_turn(peer.multiply_matrix, ours.multiply, 3, warm_peer=False)
    peer_error = _error(peer.values(timings.peer_result), expected)
    yield Row(
        "matvec",
        timings.ratio,
        timings.peer_ms,
        timings.ours_ms,
        peer_error=peer_error,
        ours_error=_error(ours.values(timings.ours_result), expected),
    )
    encrypted = OurMatrix(chain, matrix, vector, encrypted=True)
    timings = in_turn(ours.multiply, encrypted.multiply, 9)
    yield Row(
        "cipher_matvec",
        timings.ratio,
        timings.peer_ms,
        timings.ours_ms,
        peer_error=peer_error,
        ours_error=_error(encrypted.values(timings.ours_result), expected),
    )


def _polynomial(chain: chains.Chain) -> Row:
    random = np.random.default_rng(3)
    values = random.uniform(-1.0, 1.0, chain.slots)
    coefficients = random.uniform(-0.25, 0.25, DEGREE + 1)
    expected = np.polynomial.polynomial.polyval(values, coefficients)
    peer = Tenseal(chain, values)
    peer.prepare_polynomial(coefficients)
    ours = OurPolynomial(chain, coefficients, values)
    timings = in_turn(peer.evaluate_polynomial, ours.evaluate, 9)
    return Row(
        "polynomial",
        timings.ratio,
        timings.peer_ms,
        timings.ours_ms,
        peer_error=_error(peer.values(timings.peer_result), expected),
        ours_error=_error(ours.values(timings.ours_result), expected),
    )


def _threads(chain: chains.Chain) -> Iterator[Row]:
    """`peer` is our one thread, `ours` our two; before them what two processes gain."""
    rotation = Ours(chain, *_vectors(chain))
    product = OurMatrix(chain, *_matrix_and_vector())
    gains, rows = [], []
    with TwoProcesses() as processes:
        for name, on_one, on_two in (
            ("threads_rotate", rotation.rotate, rotation.on_threads(2).rotate),
            ("threads_matvec", product.multiply, product.on_threads(2).multiply),
        ):
            shares, one_ms, two_ms = [], [], []
            for _ in range(THREAD_ROUNDS):
                before = processes.gain()
                timings = in_turn(on_one, on_two, 3)
                gain = (before + processes.gain()) / 2.0
                gains.append(gain)
                shares.append(timings.ratio / gain)
                one_ms.append(timings.peer_ms)
                two_ms.append(timings.ours_ms)
            median = statistics.median
            rows.append(Row(name, median(shares), median(one_ms), median(two_ms)))
    yield Row("two_processes", statistics.median(gains), statistics.median(gains), 1.0, "x")
    yield from rows


def _vectors(chain: chains.Chain) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Two vectors of all slots, on and within the unit circle."""
    random = np.random.default_rng(1)
    radius = np.sqrt(random.uniform(0.0, 1.0, (2, chain.slots)))
    first, second = radius * np.exp(2j * np.pi * random.uniform(0.0, 1.0, (2, chain.slots)))
    return first, second


def _matrix_and_vector() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    random = np.random.default_rng(2)
    inputs = MATRIX_SHAPE[1]
    matrix = random.uniform(-1.0, 1.0, MATRIX_SHAPE) / np.sqrt(inputs)
    return matrix, random.uniform(-1.0, 1.0, inputs)


def _error(values: NDArray[Any], expected: NDArray[Any]) -> float:
    return float(np.abs(values - expected).max())


if __name__ == "__main__":
    sys.exit(main())
