"""With the same key words, every kernel computes the same residues: operations as a whole, in rings
of one block of coefficients and of several."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from small_rings import switching_parameters

from strongroom import _native, engine
from strongroom.engine import (
    RELINEARISATION,
    Ciphertext,
    EncryptedLinearTransform,
    EvaluationKeys,
    Evaluator,
    LinearTransform,
    Parameters,
    SecretKey,
    StepPlan,
    SwitchingKey,
    apply_transform,
    conjugation_element,
    rotation_elements,
)

SCALE = Fraction(2) ** 30
PLAN = StepPlan((0, 1, 2), (0, 4))


@dataclass
class Material:
    """What is the same for all kernels: words and bytes."""

    words: dict[int, np.ndarray]
    ciphertexts: list[bytes]
    diagonals: list[bytes]
    values: dict[int, np.ndarray]


def material(parameters: Parameters) -> Material:
    generator = np.random.default_rng(0)
    secret = SecretKey.generate(parameters)
    elements = rotation_elements(parameters, PLAN.steps) | {
        RELINEARISATION,
        conjugation_element(parameters),
    }
    slots = parameters.ring_degree // 2
    values = {k: generator.uniform(-1, 1, slots) for k in (0, 1, 2, 5, 6)}

    def encrypt(x: np.ndarray) -> bytes:
        plain = engine.encode_slots(parameters, x, SCALE, parameters.limbs)
        return engine.ciphertext_to_bytes(secret.encrypt(plain))

    return Material(
        {e: np.array(secret.switching_key(e).native.words) for e in elements},
        [encrypt(generator.uniform(-1, 1, slots)) for _ in range(2)],
        [encrypt(values[k]) for k in (0, 1, 2, 5, 6)],
        values,
    )


def results(parameters: Parameters, made: Material) -> list[Ciphertext]:
    """One result of each operation."""
    limbs = parameters.limbs
    keys = {
        e: SwitchingKey(_native.SwitchingKey(parameters.native, e, limbs, words), parameters, e)
        for e, words in made.words.items()
    }
    evaluator = Evaluator(EvaluationKeys(parameters, keys), threads=1)
    a, b = (
        engine.ciphertext_from_bytes(parameters, data, limbs=limbs) for data in made.ciphertexts
    )
    low = engine.truncate(a, limbs - 1)
    plain = LinearTransform.from_diagonals(parameters, made.values, scale=SCALE, plan=PLAN)
    diagonals = [
        evaluator.negate(engine.ciphertext_from_bytes(parameters, data, limbs=limbs)).native
        for data in made.diagonals
    ]
    places = [0, 1, 2, 4, 5]
    in_plan: list[_native.Ciphertext | None] = [None] * 6
    for place, diagonal in zip(places, diagonals, strict=True):
        in_plan[place] = diagonal
    hidden = EncryptedLinearTransform(parameters, limbs, SCALE, PLAN, in_plan)
    return [
        evaluator.rotate(a, 4),
        evaluator.rotate(low, 4),
        evaluator.conjugate(a),
        *evaluator.rotate_many(a, [1, 2, 4]),
        evaluator.multiply(a, b),
        evaluator.multiply(low, b, drop=1),
        evaluator.square(a, drop=limbs - 1),
        evaluator.sum_of_products([(a, b)] * 9 + [(b, b)], drop=1),
        evaluator.rescale(a, 2),
        evaluator.linear_combination([a, b, low] * 6, [0.5, -2, 3] * 6, SCALE * 8, constant=-1),
        apply_transform(evaluator, a, plain, drop=1),
        apply_transform(evaluator, low, plain),
        apply_transform(evaluator, a, hidden, drop=1),
        apply_transform(evaluator, low, hidden),
    ]


@pytest.mark.parametrize(
    ("ring_degree", "bits", "special"),
    [
        (16, (50, 50, 50, 50, 50, 50, 50), (50,)),
        (16, (50, 33, 33, 16, 40, 24), (50, 50, 16)),
        (64, (46, 46, 46), (46,)),
        (2048, (50, 49, 47, 46, 45), (50, 50)),
        (4096, (50, 40, 40), (45, 45)),
    ],
)
def test_all_kernels_compute_the_same_residues(
    ring_degree: int, bits: tuple[int, ...], special: tuple[int, ...]
) -> None:
    made = material(switching_parameters(ring_degree, bits, special))
    by_kernel = [
        [
            c.native.residues()
            for c in results(switching_parameters(ring_degree, bits, special, kernel), made)
        ]
        for kernel in engine.available_kernels()
    ]
    assert by_kernel
    for one, other in pairwise(by_kernel):
        for (c0, c1), (d0, d1) in zip(one, other, strict=True):
            assert np.array_equal(c0, d0)
            assert np.array_equal(c1, d1)
