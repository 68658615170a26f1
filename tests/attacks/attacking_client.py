"""A client that follows the protocol and keeps everything it may know: its secret key, its rows,
and, since it can decrypt what it sent, the exact error of each of its encryptions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from strongroom import engine, protections
from strongroom.compiler import linear
from strongroom.compiler.affine import fold_affine
from strongroom.compiler.linear import ScaledAffine
from strongroom.compiler.messages import Limbs
from strongroom.compiler.plan import Plan
from strongroom.engine import Ciphertext, Plaintext, SecretKey
from strongroom.models.load import import_model
from strongroom.policy import Policy
from strongroom.protections.fhe import wire
from strongroom.protections.fhe.circuit import LinearCircuit
from strongroom.protections.fhe.server_side import LinearServer

Table = NDArray[np.float64]
Integers = NDArray[np.object_]


@dataclass(frozen=True)
class Target:
    """A protected model under attack, with the truth that attacks are measured against."""

    plan: Plan
    model: ScaledAffine
    server: LinearServer

    @cached_property
    def circuit(self) -> LinearCircuit:
        return LinearCircuit.of(self.plan, "sha256:0")

    @property
    def weights(self) -> Table:
        """Shape (columns,), for encoded rows."""
        return self.model.weights[0]

    @cached_property
    def encoded_weights(self) -> Integers:
        """The integers that the server multiplies with, shape (columns,)."""
        scale = int(self.circuit.weight_scale)
        return np.array([round(float(w) * scale) for w in self.weights], dtype=object)

    @cached_property
    def dropped(self) -> int:
        """What a result is divided by on its way to a response."""
        limbs, parameters = self.circuit.limbs, self.circuit.parameters
        return parameters.modulus(limbs.input) // parameters.modulus(limbs.response)


@cache
def breast_cancer(levels: Limbs | None = None) -> Target:
    """Logistic regression on the breast-cancer data: 30 weights and a bias.

    Args:
        levels: in place of those that the planner chooses.
    """
    rows, labels = load_breast_cancer(return_X_y=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(rows, labels)
    with pytest.MonkeyPatch.context() as patch:
        if levels is not None:
            patch.setattr(linear, "_levels", lambda _: iter([levels]))
        return protected(model, rows)


def protected(model: Any, sample: Table) -> Target:
    """A fitted scikit-learn model, planned with the default policy and opened for serving."""
    graph = import_model(model)
    fhe = protections.by_name("fhe")
    candidate = fhe.candidates(graph, graph.input.rows(sample), Policy())[0]
    plan = candidate.plan
    centre, half_width = np.array(plan.layout.centre), np.array(plan.layout.half_width)
    server = fhe.open_server(plan, candidate.payload(), package="sha256:0")
    assert isinstance(server, LinearServer)
    return Target(plan, ScaledAffine.of(fold_affine(graph), centre, half_width), server)


@dataclass(frozen=True)
class Question:
    """A request for a full block of equal rows: as many equations on their noise as fit.

    Attributes:
        row: encoded, shape (columns,).
        sent: the ciphertext.
        errors: of its encryption, at the coefficients of each row, shape (rows, columns).
        body: the request's bytes.
    """

    row: Table
    sent: Ciphertext
    errors: Table
    body: bytes


@dataclass(frozen=True)
class Answer:
    """A response.

    Attributes:
        question: what it answers.
        score: the declared answer to the row, decrypted as a client decrypts.
        received: the ciphertext.
        declared: positions of the answers, shape (rows,).
        body: the response's bytes.
    """

    question: Question
    score: float
    received: Ciphertext
    declared: NDArray[np.uint32]
    body: bytes


class Attacker:
    """An authorised client with a fresh key."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.secret = SecretKey.generate(target.circuit.parameters)
        limbs = target.circuit.limbs.sanitise
        self._public_key = engine.public_key_to_bytes(self.secret.public_key(limbs))

    def question(self, row: Table) -> Question:
        """Encode and encrypt honestly."""
        circuit = self.target.circuit
        rows, columns = circuit.packing.rows_per_ciphertext, circuit.packing.columns
        (coefficients,) = circuit.packing.row_coefficients(np.tile(row, (rows, 1)))
        plaintext = engine.encode_coefficients(
            circuit.parameters, coefficients, circuit.input_scale, circuit.limbs.input
        )
        sent = self.secret.encrypt(plaintext)
        errors = centred(self.opening(sent) - integers(plaintext), sent).astype(np.float64)
        envelope = wire.Envelope.fresh(rows).to_bytes(wire.REQUEST, circuit.binding)
        ciphertext = engine.ciphertext_to_bytes(sent, circuit.packing.request_positions(rows))
        return Question(
            row=row,
            sent=sent,
            errors=errors[: rows * columns].reshape(rows, columns),
            body=envelope + self._public_key + ciphertext,
        )

    def ask(self, question: Question) -> Answer:
        """Have it answered."""
        circuit = self.target.circuit
        response = self.target.server.answer(question.body)
        envelope, data = wire.read_envelope(
            memoryview(response), wire.RESPONSE, circuit.binding, circuit.rows_per_request
        )
        declared = circuit.packing.result_positions(envelope.rows, 0)
        received = engine.ciphertext_from_bytes(
            circuit.parameters, data, limbs=circuit.limbs.response, positions=declared
        )
        scores = self.secret.decrypt(
            received,
            declared,
            log_sigma=circuit.layout.decryption_log_sigma,
            step=2.0**circuit.layout.log_output_step,
        )
        return Answer(question, float(scores.mean()), received, declared, response)

    def opening(self, ciphertext: Ciphertext) -> Integers:
        """c0 + c1 s, noise included."""
        return integers(self.secret.decrypt_raw_do_not_publish(ciphertext))

    def residual_noise(self, answer: Answer) -> Table:
        """The raw answers minus the exact ones, in integers of the response, shape (rows,)."""
        return self.difference(self.opening(answer.received)[answer.declared], answer)

    def difference(self, opened: Integers, answer: Answer) -> Table:
        """Answers, in integers of the response, minus the exact ones, shape (rows,).

        An attacker knows the exact answers to the declared precision; this one is told them.
        """
        target, circuit = self.target, self.target.circuit
        row = [round(float(z) * int(circuit.input_scale)) for z in answer.question.row]
        scale = circuit.input_scale * circuit.weight_scale
        exact = int(np.dot(np.array(row, dtype=object), target.encoded_weights))
        exact += round(float(target.model.bias[0]) * float(scale))
        scaled = centred(opened, answer.received) * target.dropped - exact
        return np.array([float(x) for x in scaled]) / target.dropped

    def noise_of_weights(self, answer: Answer) -> Table:
        """What one unit of each weight adds to that noise, shape (rows, columns)."""
        one = float(self.target.circuit.weight_scale) / self.target.dropped
        return answer.question.errors * one


def integers(plaintext: Plaintext) -> Integers:
    """Coefficients of a plaintext, from 0 to Q - 1."""
    return from_residues(plaintext.native.residues(), plaintext.parameters.primes)


def from_residues(residues: Sequence[NDArray[np.uint64]], primes: Sequence[int]) -> Integers:
    """Chinese remainders: rows of shape (N,), one for each of the first primes, to shape (N,)."""
    primes = primes[: len(residues)]
    modulus = math.prod(primes)
    total = np.zeros(len(residues[0]), dtype=object)
    for residue, prime in zip(residues, primes, strict=True):
        rest = modulus // prime
        total += residue.astype(object) * (rest * pow(rest, -1, prime))
    return total % modulus


def centred(values: Integers, ciphertext: Ciphertext) -> Integers:
    """Modulo the ciphertext's Q, from -Q/2 to Q/2."""
    modulus = ciphertext.parameters.modulus(ciphertext.limbs)
    return (values + modulus // 2) % modulus - modulus // 2


def second_part(ciphertext: Ciphertext) -> Integers:
    """c1, as coefficients from 0 to Q - 1."""
    return from_residues(ciphertext.native.residues()[1], ciphertext.parameters.primes)


def times_weights(values: Integers, weights: Integers) -> Integers:
    """A polynomial times the polynomial of reversed weights, modulo X^N + 1, not reduced."""
    total = np.zeros_like(values)
    for j, weight in enumerate(weights[::-1]):
        shifted = np.roll(values, j)
        shifted[:j] = -shifted[:j]
        total += shifted * weight
    return total


@contextmanager
def server_without(*protections_off: str) -> Iterator[list[Ciphertext]]:
    """Take parts of sanitising away: "re-randomising", "flooding". The server then computes whole
    products, as textbooks do, and not only the declared coefficients.

    Yields:
        The results that came to be sanitised, as they were before.
    """
    seen: list[Ciphertext] = []
    generator = np.random.default_rng(5)

    def weakened(
        ciphertext: Ciphertext,
        key: engine.PublicKey,
        positions: NDArray[np.uint32],
        log_sigma: float,
    ) -> Ciphertext:
        if "re-randomising" not in protections_off:
            return engine.sanitise(ciphertext, key, positions, 0.0)
        if "flooding" in protections_off:
            return ciphertext
        flood = generator.normal(size=len(positions)) * 2.0**log_sigma
        return engine.add_at(ciphertext, positions, flood / float(ciphertext.scale))

    def response(
        inputs: list[Ciphertext],
        weights: list[engine.InnerProductWeights],
        positions: NDArray[np.uint32],
        constants: Table,
        key: engine.PublicKey,
        finishing: engine.Finishing,
    ) -> Ciphertext:
        everything = np.arange(inputs[0].parameters.ring_degree, dtype=np.uint32)
        result = engine.inner_products(inputs, weights, everything)
        result = rescaled(engine.add_at(result, positions, constants), finishing.sanitise_limbs)
        seen.append(result)
        result = weakened(result, key, positions, finishing.log_sigma)
        return rescaled(result, finishing.response_limbs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "sanitised_inner_products", response)
        yield seen


def rescaled(ciphertext: Ciphertext, limbs: int) -> Ciphertext:
    """Rescaled to a number of primes, which it may have already."""
    drop = ciphertext.limbs - limbs
    return engine.rescale(ciphertext, drop) if drop else ciphertext
