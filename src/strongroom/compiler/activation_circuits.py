"""An activation as circuits on a ciphertext, between two affine maps.

    f(x) ~ value_factor * circuits(argument_factor * x + argument_offset) + value_offset

Factors and offsets cost nothing: the map before takes in those of the argument, the map behind
those of the value. They may differ from unit to unit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.activation_samples import Arguments
from strongroom.engine.paterson_stockmeyer import Costs, best_shape, support_of
from strongroom.engine.polynomials import Polynomial, polynomial_depth
from strongroom.engine.square_towers import SquareTower

Array = NDArray[np.float64]
Circuit = SquareTower | Polynomial
Function = Callable[[Array], Array]
"""Of an array, element by element; where units differ, of shape (n, units) column by column."""


@dataclass(frozen=True, slots=True, eq=False)
class ActivationFit:
    """Circuits that stand for an activation, and the maps around them.

    Attributes:
        argument_factor, argument_offset: float64, shape () or (units,).
        circuits: applied one after the other; none where the function is affine.
        value_factor, value_offset: as those of the argument.
        interval: least and largest argument x that it is made for, the guard included; shape (2,)
            or (2, units).
        error: the largest absolute error at arguments in the range that was seen.
        guard_error: the same in the whole interval.
    """

    argument_factor: Array
    argument_offset: Array
    circuits: tuple[Circuit, ...]
    value_factor: Array
    value_offset: Array
    interval: Array
    error: float
    guard_error: float

    @classmethod
    def judged(
        cls,
        function: Function,
        arguments: Arguments,
        circuits: tuple[Circuit, ...],
        argument_map: tuple[Array, Array],
        value_map: tuple[Array, Array],
    ) -> ActivationFit:
        """With its errors.

        Args:
            function: that it stands for.
            arguments: where.
            circuits: applied one after the other.
            argument_map, value_map: factor and offset, shape () or (units,).
        """
        maps = [np.asarray(array, dtype=np.float64) for array in (*argument_map, *value_map)]
        interval = arguments.interval
        if arguments.shared:
            maps = [array.reshape(-1)[0] for array in maps]
            interval = interval[:, 0]
        factor, offset, value_factor, value_offset = maps
        fit = cls(factor, offset, circuits, value_factor, value_offset, interval, 0.0, 0.0)
        error, guard_error = (
            float(np.abs(fit.errors(function, x)).max())
            for x in (arguments.inside(), arguments.everywhere())
        )
        return replace(fit, error=error, guard_error=guard_error)

    def __call__(self, x: Array) -> Array:
        """The values at x, shape (...), or (..., units)."""
        value = self.argument_factor * np.asarray(x, dtype=np.float64) + self.argument_offset
        for circuit in self.circuits:
            value = circuit(value)
        return np.asarray(self.value_factor * value + self.value_offset)

    def errors(self, function: Function, arguments: Array) -> Array:
        """What is wrong at some arguments, with its sign, shape as the arguments'."""
        return self(arguments) - function(arguments)

    @property
    def levels(self) -> int:
        """How many levels all circuits take."""
        return sum(_levels(circuit) for circuit in self.circuits)

    @property
    def products(self) -> int:
        """How many products of ciphertexts all circuits take."""
        return sum(_products(circuit) for circuit in self.circuits)

    @property
    def degree(self) -> int:
        """Of the composition of all circuits."""
        return int(np.prod([circuit.degree for circuit in self.circuits], dtype=object))

    def placed(self, units: NDArray[np.intp]) -> tuple[Circuit, ...]:
        """The circuits for slots of which slot j holds unit units[j], shape (slots,).

        Slots of no unit may name any; their values mean nothing.
        """
        return tuple(placed_circuit(circuit, units) for circuit in self.circuits)


def _levels(circuit: Circuit) -> int:
    if isinstance(circuit, SquareTower):
        return circuit.depth
    return polynomial_depth(circuit.degree)


def _products(circuit: Circuit) -> int:
    if isinstance(circuit, SquareTower):
        return circuit.depth
    depth = polynomial_depth(circuit.degree)
    nonzero = circuit.coefficients.reshape(circuit.degree + 1, -1).any(axis=1)
    support = support_of([int(i) for i in np.flatnonzero(nonzero)])
    shape = best_shape(circuit.degree, support, circuit.basis, Costs((1,) * depth, (0,) * depth))
    return round(shape.cost(circuit.degree, depth))


def placed_circuit(circuit: Circuit, units: NDArray[np.intp]) -> Circuit:
    """A circuit for slots of which slot j holds unit units[j], shape (slots,)."""
    if isinstance(circuit, SquareTower):
        return circuit.placed(units)
    if circuit.slots is None:
        return circuit
    return Polynomial(circuit.coefficients[:, units], circuit.basis, circuit.interval)
