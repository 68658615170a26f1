"""Square towers whose coefficients are ciphertexts.

As `square_tower_evaluation`, but for one thing: an encrypted factor's product with a value needs a
relinearisation, and joins the square's before it. So a hidden tower takes as many relinearisations,
and as many levels, as one in the clear. Which values join which square is public.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from strongroom.engine.ciphertext import Ciphertext
from strongroom.engine.evaluation import transformed, truncate
from strongroom.engine.evaluator import Evaluator
from strongroom.engine.parameters import Parameters


@dataclass(frozen=True, slots=True)
class TowerLevel:
    """What is public of a level.

    Attributes:
        drop: primes that it drops.
        terms: which s_j join its square, ascending.
        constant: whether it adds one.
    """

    drop: int
    terms: tuple[int, ...]
    constant: bool


@dataclass(frozen=True, slots=True)
class HiddenTowerPlan:
    """Levels and scales of a tower that nobody but its owner knows.

    Attributes:
        levels: from the argument on.
        every_limbs, every_scale: of s_0 to s_k.
    """

    levels: tuple[TowerLevel, ...]
    every_limbs: tuple[int, ...]
    every_scale: tuple[Fraction, ...]

    @classmethod
    def of(
        cls, parameters: Parameters, levels: Sequence[TowerLevel], limbs: int, scale: Fraction
    ) -> HiddenTowerPlan:
        """For arguments of a level and scale.

        Raises:
            ValueError: more primes are dropped than there are, or a level takes a value that is not
                made yet.
        """
        every_limbs, every_scale = [limbs], [scale]
        for number, level in enumerate(levels):
            left, last = every_limbs[-1], every_scale[-1]
            if not 1 <= level.drop < left:
                raise ValueError("a tower drops more primes than there are")
            if list(level.terms) != sorted(set(level.terms) & set(range(number + 1))):
                raise ValueError("a level of a tower has factors of the levels below it only")
            scale = last**2
            for prime in parameters.primes[left - level.drop : left]:
                scale /= prime
            every_limbs.append(left - level.drop)
            every_scale.append(scale)
        return cls(tuple(levels), tuple(every_limbs), tuple(every_scale))

    def factor_scale(self, level: int, term: int) -> Fraction:
        """Of the factor of s_term in the level with that number, from 0 on."""
        return self.every_scale[level] ** 2 / self.every_scale[term]


@dataclass(frozen=True, slots=True, eq=False)
class HiddenTower:
    """A tower with encrypted coefficients, ready to be evaluated.

    Attributes:
        plan: levels and scales.
        factors: of each level, by the number of the value.
        constants: of each level, at the level and scale of what it makes; None where it has none.
    """

    plan: HiddenTowerPlan
    factors: tuple[Mapping[int, Ciphertext], ...]
    constants: tuple[Ciphertext | None, ...]

    def __post_init__(self) -> None:
        plan = self.plan
        for number, level in enumerate(plan.levels):
            factors, constant = self.factors[number], self.constants[number]
            if tuple(sorted(factors)) != level.terms or (constant is not None) != level.constant:
                raise ValueError("coefficients that are not those of the tower's plan")
            for term, factor in factors.items():
                found = factor.limbs, factor.scale
                if found != (plan.every_limbs[number], plan.factor_scale(number, term)):
                    raise ValueError("a factor of another level or scale than the tower's plan")
            at = plan.every_limbs[number + 1], plan.every_scale[number + 1]
            if constant is not None and (constant.limbs, constant.scale) != at:
                raise ValueError("a constant of another level or scale than the tower's plan")

    @classmethod
    def ready(
        cls,
        plan: HiddenTowerPlan,
        factors: Sequence[Mapping[int, Ciphertext]],
        constants: Sequence[Ciphertext | None],
    ) -> HiddenTower:
        """From coefficients as they were sent."""
        return cls(
            plan,
            tuple({j: transformed(c) for j, c in its.items()} for its in factors),
            tuple(None if c is None else transformed(c) for c in constants),
        )

    def evaluate(self, evaluator: Evaluator, ciphertext: Ciphertext) -> Ciphertext:
        """The tower's value in every slot.

        Raises:
            ValueError: a ciphertext of another packing, level or scale.
            KeyStoreError: SR-KEYS-MISSING.
        """
        plan = self.plan
        if ciphertext.packing != "slots":
            raise ValueError("towers are evaluated on slots")
        if (ciphertext.limbs, ciphertext.scale) != (plan.every_limbs[0], plan.every_scale[0]):
            raise ValueError("the tower was prepared for another level or scale")
        values = [ciphertext]
        for level, factors, constant in zip(plan.levels, self.factors, self.constants, strict=True):
            last = values[-1]
            pairs = [(last, last)]
            for term in level.terms:
                value = values[term]
                value = value if value.limbs == last.limbs else truncate(value, last.limbs)
                pairs.append((value, factors[term]))
            made = evaluator.sum_of_products(pairs, drop=level.drop)
            values.append(made if constant is None else evaluator.add(made, constant))
        return values[-1]
