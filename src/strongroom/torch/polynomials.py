"""The module that stands where an activation stood.

    p(x) = a (y^2 + u y^3 + v y^4) + k,  y = (x - centre) / half_width + s

centre and half_width are the range that arguments should keep to; a, s and k are trained, for each
channel or for the layer, u and v for the layer, and of degree 2 there are none. `vertex_fits` says
why it is written like this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.polynomial import polynomial
from numpy.typing import NDArray
from torch import nn

from strongroom.torch.vertex_fits import VertexForm


class PolynomialActivation(nn.Module):
    """A polynomial of degree 2 or 4 that can be trained, in place of an activation.

    In eval mode it is the polynomial. In training it is `blend` of the polynomial and the rest of
    the activation that it replaces, so that a network can move from one to the other.

    Args:
        activation: what it replaces, element by element; not part of it once `blend` is 1.
        centre, half_width: the range of arguments, one for each channel or one for all.
        forms: a fit on that range scaled to -1 to 1, for each channel or one for all; u and v are
            those of the first.
        degree: 2 or 4.
        axes: of what it is applied to, counting rows and channels; channels are axis 1.

    Attributes:
        blend: from 0, the activation, to 1, the polynomial; 1 at first.
    """

    centre: torch.Tensor
    slope: torch.Tensor

    def __init__(
        self,
        activation: nn.Module,
        centre: NDArray[np.float64],
        half_width: NDArray[np.float64],
        forms: Sequence[VertexForm],
        degree: int,
        axes: int,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.degree = degree
        self.blend = 1.0

        def spread(numbers: Sequence[float] | NDArray[np.float64]) -> torch.Tensor:
            tensor = torch.tensor(np.asarray(numbers), dtype=torch.get_default_dtype())
            return tensor.reshape(-1, *[1] * (axes - 2)) if len(tensor) > 1 else tensor[0]

        self.register_buffer("centre", spread(centre))
        self.register_buffer("slope", spread(1.0 / half_width))
        self.scale = nn.Parameter(spread([form.scale for form in forms]))
        self.shift = nn.Parameter(spread([form.shift for form in forms]))
        self.offset = nn.Parameter(spread([form.offset for form in forms]))
        if degree == 4:
            self.cubic = nn.Parameter(torch.tensor(forms[0].cubic))
            self.quartic = nn.Parameter(torch.tensor(forms[0].quartic))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shape and dtype as x."""
        y = (x - self.centre) * self.slope + self.shift
        square = y * y
        if self.degree == 4:
            square = y * (y + square * self.cubic + (square * y) * self.quartic)
        value = square * self.scale + self.offset
        if self.training and self.blend < 1.0:
            exact: torch.Tensor = self.activation(x)
            return torch.lerp(exact, value, self.blend)
        return value

    def outside(self, x: torch.Tensor) -> torch.Tensor:
        """How far arguments lie outside the range, in half widths; 0 inside. Shape as x."""
        return torch.relu(((x - self.centre) * self.slope).abs() - 1.0)

    def coefficients(self) -> NDArray[np.float64]:
        """Of x^0, x^1, ..., shape (channels or 1, degree + 1)."""
        numbers = [self.slope, self.shift - self.centre * self.slope, self.scale, self.offset]
        columns = [number.detach().double().cpu().numpy().reshape(-1) for number in numbers]
        inner = [0.0, 0.0, 1.0]
        if self.degree == 4:
            inner += [float(self.cubic.detach()), float(self.quartic.detach())]
        rows = []
        for slope, shift, scale, offset in zip(*np.broadcast_arrays(*columns), strict=True):
            total: NDArray[np.floating[Any]] = np.zeros(1)
            for coefficient in reversed(inner):
                product = polynomial.polymul(total, [shift, slope])
                total = polynomial.polyadd(product, [coefficient])
            found = polynomial.polyadd(scale * total, [offset])[: self.degree + 1]
            rows.append(np.pad(found, (0, self.degree + 1 - len(found))))
        return np.array(rows, dtype=np.float64)

    def extra_repr(self) -> str:
        """For print(module)."""
        channels = self.scale.numel()
        return f"degree={self.degree}, channels={channels}"
