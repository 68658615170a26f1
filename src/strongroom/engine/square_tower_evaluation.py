"""Evaluating square towers on ciphertexts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from strongroom.engine.ciphertext import Ciphertext, Plaintext
from strongroom.engine.encoding import encode_slots
from strongroom.engine.evaluation import add_plain, truncate
from strongroom.engine.evaluator import Evaluator
from strongroom.engine.parameters import Parameters
from strongroom.engine.square_tower_plans import plan_square_tower
from strongroom.engine.square_towers import Array, SquareTower


def evaluate_square_tower(
    evaluator: Evaluator,
    ciphertext: Ciphertext,
    tower: SquareTower,
    *,
    levels: Sequence[int] | None = None,
) -> Ciphertext:
    """The tower's value in every slot, in as many levels and products as it is deep.

    To evaluate the same one on many ciphertexts, keep a `PreparedSquareTower`.

    Args:
        evaluator: with a relinearisation key.
        ciphertext: packed by slots, real values inside of the tower's interval.
        tower: for all slots, or one for each.
        levels: how many primes each level drops; by default those that keep the scale.

    Raises:
        ValueError: as `plan_square_tower`; another packing or other parameters.
        KeyStoreError: SR-KEYS-MISSING, without a relinearisation key.
    """
    prepared = PreparedSquareTower(
        evaluator.parameters, tower, ciphertext.limbs, ciphertext.scale, levels=levels
    )
    return prepared.evaluate(evaluator, ciphertext)


@dataclass(frozen=True, slots=True)
class _EncodedLevel:
    """Coefficients of a level where slots have their own."""

    factors: dict[int, Plaintext]
    constant: Plaintext


class PreparedSquareTower:
    """A tower planned and encoded for ciphertexts of one level and scale. Immutable.

    Args:
        parameters: of the ciphertexts.
        tower, limbs, scale, levels: see `plan_square_tower`.

    Attributes:
        parameters: of the ciphertexts.
        plan: what an evaluation does.

    Raises:
        ValueError: as `plan_square_tower`.
    """

    def __init__(
        self,
        parameters: Parameters,
        tower: SquareTower,
        limbs: int,
        scale: Fraction,
        *,
        levels: Sequence[int] | None = None,
    ) -> None:
        self.parameters = parameters
        self.plan = plan_square_tower(parameters, tower, limbs, scale, levels=levels)
        self._encoded = {
            level: self._encode(level)
            for level in range(1, tower.depth + 1)
            if self.plan.by_slots(level)
        }

    def evaluate(self, evaluator: Evaluator, ciphertext: Ciphertext) -> Ciphertext:
        """The tower's value in every slot.

        Raises:
            ValueError: a ciphertext of other parameters, packing, level or scale.
            KeyStoreError: SR-KEYS-MISSING.
        """
        if not (self.parameters is evaluator.parameters is ciphertext.parameters):
            raise ValueError("a ciphertext, a tower or keys of other parameters")
        if ciphertext.packing != "slots":
            raise ValueError("towers are evaluated on slots")
        if (ciphertext.limbs, ciphertext.scale) != (self.plan.input_limbs, self.plan.input_scale):
            raise ValueError("the tower was prepared for another level or scale")
        values = [ciphertext]
        for level in range(1, self.plan.tower.depth + 1):
            values.append(self._level(evaluator, level, values))
        return values[-1]

    def _level(self, evaluator: Evaluator, level: int, values: list[Ciphertext]) -> Ciphertext:
        plan, last = self.plan, values[-1]
        pairs = [(last, last)]
        terms = plan.terms(level)
        if terms:
            # A product with one, at scale one and without noise, lets the linear terms join the
            # square before its relinearisation and its rescaling.
            rest = self._rest(evaluator, level, terms, values)
            pairs.append((rest, _one(evaluator, last)))
        result = evaluator.sum_of_products(pairs, drop=plan.levels[level - 1])
        if terms:
            return result
        if level in self._encoded:
            return add_plain(result, self._encoded[level].constant)
        constant = _shared(plan.tower.constants[level - 1])
        if constant:
            return evaluator.linear_combination([result], [1], result.scale, constant=constant)
        return result

    def _rest(
        self, evaluator: Evaluator, level: int, terms: list[int], values: list[Ciphertext]
    ) -> Ciphertext:
        """The linear terms and the constant, at the scale and level of the square."""
        last, tower = values[-1], self.plan.tower
        lowered = [
            values[j] if values[j].limbs == last.limbs else truncate(values[j], last.limbs)
            for j in terms
        ]
        scale = last.scale**2
        if level not in self._encoded:
            factors = [_shared(tower.factors[level - 1, j]) for j in terms]
            constant = _shared(tower.constants[level - 1])
            return evaluator.linear_combination(lowered, factors, scale, constant=constant)
        encoded = self._encoded[level]
        products = [
            evaluator.multiply_plain(term, encoded.factors[j])
            for j, term in zip(terms, lowered, strict=True)
        ]
        total = products[0]
        for product in products[1:]:
            total = evaluator.add(total, product)
        return add_plain(total, encoded.constant)

    def _encode(self, level: int) -> _EncodedLevel:
        plan, tower = self.plan, self.plan.tower
        squared, limbs = plan.every_scale[level - 1] ** 2, plan.every_limbs[level - 1]
        terms = plan.terms(level)
        factors = {
            j: encode_slots(
                self.parameters,
                tower.factors[level - 1, j],
                squared / plan.every_scale[j],
                limbs,
                transformed=True,
            )
            for j in terms
        }
        if not terms:
            squared, limbs = plan.every_scale[level], plan.every_limbs[level]
        constant = encode_slots(
            self.parameters, tower.constants[level - 1], squared, limbs, transformed=True
        )
        return _EncodedLevel(factors, constant)


def _one(evaluator: Evaluator, like: Ciphertext) -> Ciphertext:
    return evaluator.linear_combination([like], [0], Fraction(1), constant=1)


def _shared(coefficient: Array) -> float:
    """A coefficient that all slots have."""
    return float(coefficient.reshape(-1)[0])
