"""Typed Python over the native core: parameters, keys, ciphertexts, evaluation.

CKKS over Z[X]/(X^N + 1) with a chain of primes (docs/reference/crypto.md). The compiler and the
protections use this package and nothing below it.
"""

from strongroom.engine.catalogue import CATALOGUE, CatalogueEntry, catalogued, satisfying
from strongroom.engine.ciphertext import Ciphertext, Plaintext
from strongroom.engine.encoding import decode, encode_coefficients, encode_slots
from strongroom.engine.evaluation import (
    LARGEST_LOG_FLOOD,
    add,
    add_at,
    add_plain,
    multiply_plain,
    prepare,
    rescale,
    sanitise,
    truncate,
)
from strongroom.engine.evaluator import Evaluator, available_threads, sum_steps
from strongroom.engine.galois import (
    RELINEARISATION,
    conjugation_element,
    rotation_element,
    rotation_elements,
)
from strongroom.engine.inner_products import (
    Finishing,
    InnerProductWeights,
    inner_products,
    sanitised_inner_products,
)
from strongroom.engine.key_files import KeyFile, verify_key_file, write_key_file
from strongroom.engine.key_serialisation import (
    switching_key_bytes,
    switching_key_from_bytes,
    switching_key_to_bytes,
)
from strongroom.engine.keys import PublicKey, SecretKey
from strongroom.engine.linear_transforms import (
    EncryptedLinearTransform,
    LinearTransform,
    StepPlan,
    apply_transform,
)
from strongroom.engine.mapped_keys import KeyCache, MappedKeys
from strongroom.engine.matrix_products import MatrixLayout, MatrixProduct
from strongroom.engine.parameters import Parameters, available_kernels, largest_log_modulus
from strongroom.engine.polynomial_evaluation import PreparedPolynomial, evaluate_polynomial
from strongroom.engine.polynomial_planning import plan_polynomial
from strongroom.engine.polynomial_plans import PolynomialPlan
from strongroom.engine.polynomials import Polynomial, polynomial_depth
from strongroom.engine.serialisation import (
    ciphertext_bytes,
    ciphertext_from_bytes,
    ciphertext_to_bytes,
    public_key_bytes,
    public_key_from_bytes,
    public_key_to_bytes,
)
from strongroom.engine.square_tower_evaluation import PreparedSquareTower, evaluate_square_tower
from strongroom.engine.square_tower_plans import SquareTowerPlan, plan_square_tower
from strongroom.engine.square_towers import SquareTower
from strongroom.engine.switching_keys import (
    EvaluationKeys,
    KeySource,
    SwitchingKey,
    require_elements,
)

__all__ = [
    "CATALOGUE",
    "LARGEST_LOG_FLOOD",
    "RELINEARISATION",
    "CatalogueEntry",
    "Ciphertext",
    "EncryptedLinearTransform",
    "EvaluationKeys",
    "Evaluator",
    "Finishing",
    "InnerProductWeights",
    "KeyCache",
    "KeyFile",
    "KeySource",
    "LinearTransform",
    "MappedKeys",
    "MatrixLayout",
    "MatrixProduct",
    "Parameters",
    "Plaintext",
    "Polynomial",
    "PolynomialPlan",
    "PreparedPolynomial",
    "PreparedSquareTower",
    "PublicKey",
    "SecretKey",
    "SquareTower",
    "SquareTowerPlan",
    "StepPlan",
    "SwitchingKey",
    "add",
    "add_at",
    "add_plain",
    "apply_transform",
    "available_kernels",
    "available_threads",
    "catalogued",
    "ciphertext_bytes",
    "ciphertext_from_bytes",
    "ciphertext_to_bytes",
    "conjugation_element",
    "decode",
    "encode_coefficients",
    "encode_slots",
    "evaluate_polynomial",
    "evaluate_square_tower",
    "inner_products",
    "largest_log_modulus",
    "multiply_plain",
    "plan_polynomial",
    "plan_square_tower",
    "polynomial_depth",
    "prepare",
    "public_key_bytes",
    "public_key_from_bytes",
    "public_key_to_bytes",
    "require_elements",
    "rescale",
    "rotation_element",
    "rotation_elements",
    "sanitise",
    "sanitised_inner_products",
    "satisfying",
    "sum_steps",
    "switching_key_bytes",
    "switching_key_from_bytes",
    "switching_key_to_bytes",
    "truncate",
    "verify_key_file",
    "write_key_file",
]
