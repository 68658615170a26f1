"""Evaluating polynomials on ciphertexts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from strongroom.engine.ciphertext import Ciphertext, Plaintext
from strongroom.engine.encoding import encode_slots
from strongroom.engine.evaluation import add_plain, truncate
from strongroom.engine.evaluator import Evaluator
from strongroom.engine.parameters import Parameters
from strongroom.engine.polynomial_planning import plan_polynomial
from strongroom.engine.polynomial_plans import (
    Combination,
    PolynomialPlan,
    Power,
    ProductSum,
    Value,
)
from strongroom.engine.polynomials import Polynomial


def evaluate_polynomial(
    evaluator: Evaluator,
    ciphertext: Ciphertext,
    polynomial: Polynomial,
    *,
    levels: Sequence[int] | None = None,
    first_drop: int | None = None,
    scale: Fraction | None = None,
) -> Ciphertext:
    """The polynomial in every slot.

    By Paterson and Stockmeyer's method with one relinearisation per sum of products, in
    `polynomial_depth` levels, coefficients and interval included (`plan_polynomial`). To evaluate
    the same one on many ciphertexts, keep a `PreparedPolynomial`.

    Args:
        evaluator: with a relinearisation key.
        ciphertext: packed by slots, real values inside of the polynomial's interval.
        polynomial: for all slots, or of shape (degree + 1, slots) one for each.
        levels, first_drop: how many primes each level drops, and the argument before the first;
            by default those that keep the scale.
        scale: exactly the scale of the result; the ciphertext's by default.

    Raises:
        ValueError: as `plan_polynomial`; another packing or other parameters.
        KeyStoreError: SR-KEYS-MISSING, without a relinearisation key.
    """
    prepared = PreparedPolynomial(
        evaluator.parameters,
        polynomial,
        ciphertext.limbs,
        ciphertext.scale,
        levels=levels,
        first_drop=first_drop,
        result_scale=scale,
    )
    return prepared.evaluate(evaluator, ciphertext)


class PreparedPolynomial:
    """A polynomial planned and encoded for ciphertexts of one level and scale. Immutable.

    Args:
        parameters: of the ciphertexts.
        polynomial, limbs, scale, levels, first_drop, result_scale: see `plan_polynomial`.

    Attributes:
        parameters: of the ciphertexts.
        plan: what an evaluation does.

    Raises:
        ValueError: as `plan_polynomial`.
    """

    def __init__(
        self,
        parameters: Parameters,
        polynomial: Polynomial,
        limbs: int,
        scale: Fraction,
        *,
        levels: Sequence[int] | None = None,
        first_drop: int | None = None,
        result_scale: Fraction | None = None,
    ) -> None:
        self.parameters = parameters
        self.plan = plan_polynomial(
            parameters,
            polynomial,
            limbs,
            scale,
            levels=levels,
            first_drop=first_drop,
            result_scale=result_scale,
        )
        self._encoded: dict[Combination, _EncodedCombination] = {}
        if polynomial.slots is not None:
            for combination in self.plan.combinations:
                self._encoded[combination] = _EncodedCombination(parameters, self.plan, combination)

    def evaluate(self, evaluator: Evaluator, ciphertext: Ciphertext) -> Ciphertext:
        """The polynomial in every slot.

        Raises:
            ValueError: a ciphertext of other parameters, packing, level or scale.
            KeyStoreError: SR-KEYS-MISSING.
        """
        plan = self.plan
        if not (self.parameters is evaluator.parameters is ciphertext.parameters):
            raise ValueError("a ciphertext, a polynomial or keys of other parameters")
        if ciphertext.packing != "slots":
            raise ValueError("polynomials are evaluated on slots")
        if ciphertext.limbs != plan.input_limbs or ciphertext.scale != plan.input_scale:
            raise ValueError("the polynomial was prepared for another level or scale")
        return _Evaluation(evaluator, ciphertext, plan, self._encoded).value(plan.value)


class _EncodedCombination:
    """A linear combination with its own factors in every slot, as plaintexts."""

    def __init__(
        self, parameters: Parameters, plan: PolynomialPlan, combination: Combination
    ) -> None:
        def encoded(values: NDArray[np.float64], scale: Fraction) -> Plaintext:
            return encode_slots(parameters, values, scale, combination.limbs, transformed=True)

        self.constant = encoded(combination.constant, combination.scale)
        self.factors = {
            index: encoded(values, combination.scale / plan.scale_of(index))
            for index, values in combination.factors.items()
        }


class _Evaluation:
    """One run of a plan: the powers that there are, at the levels where they were needed."""

    def __init__(
        self,
        evaluator: Evaluator,
        argument: Ciphertext,
        plan: PolynomialPlan,
        encoded: dict[Combination, _EncodedCombination],
    ) -> None:
        self._evaluator = evaluator
        self._encoded = encoded
        # The scale is such that the factor becomes an integer, without a rounding.
        dropped = argument.parameters.primes[plan.input_limbs - plan.first_drop : plan.input_limbs]
        first = evaluator.linear_combination(
            [argument],
            [plan.factor],
            plan.first_scale * math.prod(dropped),
            constant=plan.offset,
            drop=plan.first_drop,
        )
        self._powers = {1: first}
        self._lowered: dict[tuple[int, int], Ciphertext] = {}
        self._ones: dict[int, Ciphertext] = {}
        for power in plan.powers:
            self._powers[power.index] = self._power(power, plan)

    def value(self, value: Value) -> Ciphertext:
        """What a part of the plan computes."""
        if isinstance(value, Combination):
            return self._combination(value)
        return self._product_sum(value)

    def _product_sum(self, part: ProductSum) -> Ciphertext:
        # Values are at the sum's level, and a product takes powers of higher levels as they are.
        pairs = [(self.value(v), self._powers[index]) for v, index in part.products]
        if part.rest is not None:
            pairs.append((self._combination(part.rest), self._one(part.limbs)))
        return self._evaluator.sum_of_products(pairs, drop=part.drop)

    def _power(self, power: Power, plan: PolynomialPlan) -> Ciphertext:
        """2 T_(i+j) = (2 T_i) (2 T_j) - 2 T_(i-j): no factor of two is ever multiplied by."""
        left, right = self._at(power.left, power.limbs), self._powers[power.right]
        difference = power.left - power.right
        pairs = [(left, right)]
        if plan.basis == "chebyshev" and difference:
            term = self._evaluator.linear_combination(
                [self._powers[difference]], [-1], left.scale * right.scale
            )
            pairs.append((term, self._one(power.limbs)))
        product = self._evaluator.sum_of_products(pairs, drop=power.drop)
        if plan.basis == "chebyshev" and not difference:
            return self._evaluator.linear_combination([product], [1], product.scale, constant=-2)
        return product

    def _combination(self, part: Combination) -> Ciphertext:
        if part in self._encoded:
            return self._combination_by_slots(part, self._encoded[part])
        # Something has to be there to be combined, if only to be multiplied by zero; and the level
        # of a combination is that of the lowest term.
        indices = list(part.factors) or [1]
        terms = [self._powers[index] for index in indices]
        if all(term.limbs > part.limbs for term in terms):
            terms[0] = self._at(indices[0], part.limbs)
        return self._evaluator.linear_combination(
            terms,
            [float(part.factors.get(index, 0)) for index in indices],
            part.scale,
            constant=float(part.constant),
            drop=part.drop,
        )

    def _combination_by_slots(self, part: Combination, encoded: _EncodedCombination) -> Ciphertext:
        terms = [
            self._evaluator.multiply_plain(self._at(index, part.limbs), factor)
            for index, factor in encoded.factors.items()
        ]
        if not terms:
            first = self._at(1, part.limbs)
            terms = [self._evaluator.linear_combination([first], [0], part.scale)]
        total = terms[0]
        for term in terms[1:]:
            total = self._evaluator.add(total, term)
        total = add_plain(total, encoded.constant)
        return self._evaluator.rescale(total, part.drop) if part.drop else total

    def _at(self, index: int, limbs: int) -> Ciphertext:
        """A power at a level."""
        power = self._powers[index]
        if power.limbs == limbs:
            return power
        if (index, limbs) not in self._lowered:
            self._lowered[index, limbs] = truncate(power, limbs)
        return self._lowered[index, limbs]

    def _one(self, limbs: int) -> Ciphertext:
        """One at scale one, without noise: with it as a factor, a linear combination joins a sum
        of products before its relinearisation and its rescaling."""
        if limbs not in self._ones:
            first = self._at(1, limbs)
            self._ones[limbs] = self._evaluator.linear_combination(
                [first], [0], Fraction(1), constant=1
            )
        return self._ones[limbs]
