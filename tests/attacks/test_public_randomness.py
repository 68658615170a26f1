"""Randomness is never used twice: not across rows, blocks, requests, keys, processes or forks.

Two ciphertexts with one seed differ by the difference of their rows, in the clear; two results with
one mask differ by the difference of what was to be masked.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from attacking_client import Attacker, breast_cancer, centred, second_part

from strongroom import _native_testing, engine, protections
from strongroom.engine import SecretKey
from strongroom.keys.store import KeyStore
from strongroom.policy import Policy
from strongroom.protections.fhe.client_side import LinearClient

HEADER_BYTES = 44
SEED_BYTES = 32
ENVELOPE_BYTES = 60

PARAMETERS = engine.catalogued("n12-q104-v1")


def open_client() -> LinearClient:
    client = protections.by_name("fhe").open_client(
        breast_cancer().plan, KeyStore.in_memory(), Policy(), package="sha256:0"
    )
    assert isinstance(client, LinearClient)
    return client


def public_seeds(client: LinearClient, rows: int) -> tuple[bytes, bytes, list[bytes]]:
    """Request identifier, seed of the public key and seeds of the ciphertexts of one request
    about equal rows."""
    sizes = breast_cancer().circuit.sizes
    row = np.array(breast_cancer().plan.layout.centre)
    body = client.encrypt(client.encode(np.tile(row, (rows, 1)))).body
    key_end = ENVELOPE_BYTES + sizes.public_key
    key_seed = body[ENVELOPE_BYTES + HEADER_BYTES :][:SEED_BYTES]
    seeds = []
    at = key_end
    while at < len(body):
        block = min(rows, 136)
        frame = int.from_bytes(body[at + 44 : at + 46], "little")
        frame += int.from_bytes(body[at + 46 : at + 48], "little") + 4
        seeds.append(body[at + HEADER_BYTES + frame :][:SEED_BYTES])
        at += sizes.request_ciphertext(block)
        rows -= block
    return body[8:24], key_seed, seeds


def in_forked_children(task: Callable[[], bytes], children: int) -> list[bytes]:
    """What a task returns in each of some children that were forked from one state."""
    results = []
    for _ in range(children):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(writer, task())
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            results.append(stream.read())
        os.waitpid(child, 0)
    return results


def test_seeds_are_fresh_for_every_block_request_client_and_key() -> None:
    requests = [
        public_seeds(client, rows)
        for client in (open_client(), open_client())
        for rows in (1, 1, 136, 300, 300)
    ]
    ciphertext_seeds = [seed for _, _, seeds in requests for seed in seeds]
    assert len(ciphertext_seeds) == 2 * (1 + 1 + 1 + 3 + 3)
    key_seeds = {key_seed for _, key_seed, _ in requests}
    assert len(key_seeds) == 2  # one public key a client
    assert len(key_seeds | set(ciphertext_seeds)) == 2 + len(ciphertext_seeds)
    assert len({identifier for identifier, _, _ in requests}) == len(requests)


def test_ciphertexts_of_equal_rows_share_nothing() -> None:
    attacker = Attacker(breast_cancer())
    row = np.ones(30)
    first, second = attacker.question(row), attacker.question(row)
    for ours, theirs in zip(
        first.sent.native.residues(), second.sent.native.residues(), strict=True
    ):
        # Residues modulo the first prime agree in more than two places of 4096 with probability
        # below 2^-60; modulo 40961 about every tenth polynomial has a place.
        assert (ours[0] == theirs[0]).sum() <= 2
    # Errors are fresh too: of 4080 pairs about 9 % agree; half of them, by Hoeffding, e^-1300.
    assert (first.errors == second.errors).mean() < 0.5


def test_answers_to_one_request_share_no_mask() -> None:
    attacker = Attacker(breast_cancer())
    question = attacker.question(np.ones(30))
    first, second = attacker.ask(question), attacker.ask(question)
    modulus = PARAMETERS.modulus(first.received.limbs)
    difference = centred(second_part(first.received) - second_part(second.received), first.received)
    # The result's own second part cancels; the masks would, too, if they were the same. Uniform
    # differences below Q / 2^20 have a probability of 2^-19 each: three of them, 8e-8.
    assert sum(abs(int(x)) < modulus >> 20 for x in difference) < 3
    floods = [attacker.residual_noise(a) for a in (first, second)]
    assert (floods[0] != floods[1]).all()


def test_forked_clients_never_share_a_seed() -> None:
    client = open_client()
    public_seeds(client, 1)  # whatever state there is has been used before the fork

    def seeds() -> bytes:
        identifier, _, fresh = public_seeds(client, 300)
        return b"".join([*fresh, SecretKey.generate(PARAMETERS).public_key(1).native.seed]) + (
            identifier.ljust(SEED_BYTES, b"\0")
        )

    outputs = [*in_forked_children(seeds, 4), seeds()]
    found = [
        output[i : i + SEED_BYTES] for output in outputs for i in range(0, len(output), SEED_BYTES)
    ]
    assert len(found) == 5 * 5
    assert len(set(found)) == len(found)


def test_forked_servers_never_share_a_mask_or_a_flood() -> None:
    attacker = Attacker(breast_cancer())
    question = attacker.question(np.ones(30))
    attacker.ask(question)
    answer = attacker.target.server.answer
    responses = in_forked_children(lambda: answer(question.body), 3)
    circuit = attacker.target.circuit
    opened = [
        engine.ciphertext_from_bytes(
            circuit.parameters,
            response[ENVELOPE_BYTES:],
            limbs=circuit.limbs.response,
            positions=circuit.packing.result_positions(136, 0),
        )
        for response in responses
    ]
    for i, first in enumerate(opened):
        for second in opened[:i]:
            pairs = zip(first.native.residues(), second.native.residues(), strict=True)
            (c0, other_c0), (c1, other_c1) = ((x[0], y[0]) for x, y in pairs)
            # 136 and 4096 residues of 32 bits: three that agree, 2e-18.
            assert (c1 == other_c1).sum() < 3
            assert (c0[c0 != 0] == other_c0[other_c0 != 0]).sum() < 3


def test_processes_never_share_a_key() -> None:
    code = (
        "from strongroom.engine import SecretKey, catalogued;"
        "s = SecretKey.generate(catalogued('n12-q104-v1'));"
        "print(s.to_bytes()[32:].hex(), s.public_key(1).native.seed.hex())"
    )
    outputs = [
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
        for _ in range(2)
    ]
    (first, first_seed), (second, second_seed) = (output.split() for output in outputs)
    assert len(first) == 2 * 4096 // 4
    assert first != second
    assert first_seed != second_seed


@pytest.mark.parametrize("limb", range(4))
def test_one_seed_gives_keys_and_ciphertexts_different_polynomials(limb: int) -> None:
    seed = bytes(range(32))
    ciphertext, key = (
        _native_testing.expand_uniform(PARAMETERS.native, 4, seed, purpose)[limb]
        for purpose in (1, 2)
    )
    # 4096 residues modulo at least 40961 agree in 0.1 places on average, in 8 with 3e-13.
    assert (ciphertext == key).sum() < 8


def test_the_product_uses_each_domain_for_its_own() -> None:
    secret = SecretKey.generate(PARAMETERS)
    prime = PARAMETERS.primes[0]
    pairs = np.frombuffer(secret.to_bytes()[32:], dtype=np.uint8)
    bits = ((pairs[:, None] >> np.array([0, 2, 4, 6], dtype=np.uint8)) & 3).ravel()
    residues = np.array([0, 1, prime - 1], dtype=np.uint64)[bits]
    s = _native_testing.forward_ntt("portable", residues, prime).astype(object)

    key = secret.public_key(1)
    written = engine.public_key_to_bytes(key)
    assert written[HEADER_BYTES:][:SEED_BYTES] == key.native.seed
    b = _native_testing.unpack(
        np.frombuffer(written[HEADER_BYTES + SEED_BYTES :], dtype=np.uint8), 4096, prime
    ).astype(object)
    largest = {}
    for purpose in (1, 2):
        a = _native_testing.expand_uniform(PARAMETERS.native, 1, key.native.seed, purpose)[0]
        values = ((b + a.astype(object) * s) % prime).astype(np.uint64)
        error = _native_testing.inverse_ntt("portable", values, prime).astype(np.int64)
        largest[purpose] = int(np.minimum(error, prime - error).max())
    assert largest[2] <= 29  # b = -a s + e: the table of errors ends there
    assert largest[1] > prime // 4

    sent = Attacker(breast_cancer()).question(np.ones(30)).sent
    assert sent.seed is not None
    a = _native_testing.expand_uniform(PARAMETERS.native, 4, sent.seed, 1)
    for limb, q in enumerate(PARAMETERS.primes):
        second = sent.native.residues()[1][limb]
        assert (_native_testing.forward_ntt("portable", second, q) == a[limb]).all()
