"""The module in place of an activation computes what its coefficients say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.polynomial import polynomial
from small_modules import dense, rows
from torch import nn

from strongroom.torch import PolynomialActivation, convert
from strongroom.torch.vertex_fits import VertexForm


def made(degree: int, channels: int, axes: int) -> PolynomialActivation:
    generator = np.random.default_rng(degree + channels)
    forms = [VertexForm(*generator.uniform(0.2, 1.0, size=5)) for _ in range(channels)]
    centre, half_width = generator.normal(size=channels), generator.uniform(1.0, 3.0, size=channels)
    return PolynomialActivation(nn.ReLU(), centre, half_width, forms, degree, axes).double()


@pytest.mark.parametrize("degree", [2, 4])
@pytest.mark.parametrize(("channels", "shape"), [(1, (5, 3)), (3, (5, 3)), (3, (5, 3, 4, 2))])
def test_values_are_those_of_the_coefficients(
    degree: int, channels: int, shape: tuple[int, ...]
) -> None:
    module = made(degree, channels, len(shape)).eval()
    x = np.random.default_rng(1).normal(size=shape)
    coefficients = module.coefficients()
    assert coefficients.shape == (channels, degree + 1)
    assert coefficients[:, degree].all()
    expected = np.empty(shape)
    for channel in range(3):
        row = coefficients[min(channel, channels - 1)]
        expected[:, channel] = polynomial.polyval(x[:, channel], row)
    assert np.abs(module(torch.from_numpy(x)).detach().numpy() - expected).max() < 1e-10


@pytest.mark.parametrize("degree", [2, 4])
def test_gradients_reach_every_parameter_and_the_argument(degree: int) -> None:
    module = made(degree, 2, 2)
    x = torch.randn(7, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module, (x,))
    module(x).square().sum().backward()
    assert len(list(module.parameters())) == (3 if degree == 2 else 5)
    assert all(part.grad is not None and part.grad.abs().min() > 0 for part in module.parameters())


def test_training_blends_and_evaluation_does_not() -> None:
    module = made(2, 1, 2)
    x = torch.linspace(-2.0, 2.0, 9, dtype=torch.float64)[:, None]
    value = module.eval()(x)
    module.train()
    module.blend = 0.0
    assert torch.equal(module(x), torch.relu(x))
    module.blend = 0.25
    assert torch.allclose(module(x), 0.75 * torch.relu(x) + 0.25 * value)
    assert torch.equal(module.eval()(x), value)


def test_arguments_count_as_outside_by_half_widths() -> None:
    module = PolynomialActivation(
        nn.ReLU(), np.array([1.0, 0.0]), np.array([2.0, 4.0]), [VertexForm(1.0, 0.0, 0.0)] * 2, 2, 2
    )
    x = torch.tensor([[3.0, 4.0], [5.0, -8.0], [-1.0, 0.0]])
    assert module.outside(x).tolist() == [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]


def test_slopes_of_each_channel_are_fitted_by_themselves() -> None:
    leaky = nn.PReLU(5)
    with torch.no_grad():
        leaky.weight.copy_(torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0]))
    converted = convert(dense(leaky), rows())
    (module,) = converted.polynomials
    curvature = np.abs(module.coefficients()[:, 2])
    assert curvature[[0, 2, 4]].max() < curvature[[1, 3]].min()
