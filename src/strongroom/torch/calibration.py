"""Polynomials for a traced network, each fitted to what reaches it on a sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import fx, nn

from strongroom.errors import ModelError
from strongroom.torch.operators import (
    ACTIVATIONS,
    LINKS,
    MAX_POOLS,
    OTHERWISE,
    as_module,
    average_of,
    name_of,
    place_of,
)
from strongroom.torch.polynomials import PolynomialActivation
from strongroom.torch.tracing import at_end, put, unsupported
from strongroom.torch.vertex_fits import fitted, points_of

MARGIN: Final = 1.1
"""The range of a polynomial is so many times as wide as what the sample reaches."""

LEAST_SHARE: Final = 1e-2
"""Of the widest channel's range: that of a channel which the sample hardly moves."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """One operator that was replaced.

    Attributes:
        place: the path of the module, or the function and where it is called.
        before, after: what it was and what it is now.
        error: root mean square of the difference on the sample, relative to that of the
            activation's values; 0 for pooling, which is not fitted.
    """

    place: str
    before: str
    after: str
    error: float


def calibrate(
    network: fx.GraphModule, rows: torch.Tensor, degree: int, per: str, keep: frozenset[str]
) -> tuple[Replacement, ...]:
    """Replace pooling and activations in a traced network; what was replaced, in order.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED if something can't be replaced, if the network doesn't take
            the rows, or if there is no activation at a place to keep; SR-MODEL-VALUES if an
            activation gets infinite arguments.
    """
    order = list(network.graph.nodes)
    replaced = {node: made for node in order if (made := _averaged(network, node))}
    fit = _Fit(network, degree, per, keep)
    with torch.no_grad():
        try:
            fit.run(rows)
        except ModelError:
            raise
        except Exception as error:  # torch raises whatever a module's code leads to
            raise unsupported(
                f"the module {network.__class__.__name__} doesn't take rows of shape "
                f"{tuple(rows.shape[1:])} ({type(error).__name__})",
                "Pass a sample in the shape in which the module takes its rows",
            ) from error
    if missing := keep - fit.kept:
        raise unsupported(
            f"there is no activation at {min(missing)!r} to keep",
            "Name places as the replacements of a conversion without keep do",
        )
    replaced |= fit.install()
    return tuple(replaced[node] for node in order if node in replaced)


def _averaged(network: fx.GraphModule, node: fx.Node) -> Replacement | None:
    """Replace a max pooling, if the node is one."""
    name = name_of(node, network)
    if name not in MAX_POOLS:
        return None
    average = average_of(node, network)
    if average is None:
        raise unsupported(
            f"{name} at {place_of(node)} is dilated or returns places",
            "Pool without dilation and return_indices",
        )
    place = place_of(node)
    put(network, node, average)
    return Replacement(place, name, type(average).__name__, 0.0)


class _Fit(fx.Interpreter):
    """Runs the sample through, and fits a polynomial wherever it reaches an activation."""

    def __init__(
        self, network: fx.GraphModule, degree: int, per: str, keep: frozenset[str]
    ) -> None:
        super().__init__(network)
        self._network, self._degree, self._per, self._keep = network, degree, per, keep
        self._made: dict[fx.Node, PolynomialActivation] = {}
        self._replaced: dict[fx.Node, Replacement] = {}
        self.kept: set[str] = set()

    def run_node(self, n: fx.Node) -> Any:
        name = name_of(n, self._network)
        if name not in ACTIVATIONS or (name in LINKS and at_end(n, self._network)):
            return super().run_node(n)
        place = place_of(n)
        if place in self._keep:
            self.kept.add(place)
            return super().run_node(n)
        activation = as_module(n, self._network)
        if activation is None:
            raise unsupported(f"{name} at {place} takes other tensors besides", OTHERWISE)
        (argument,) = (self.env[node] for node in n.all_input_nodes)
        if not torch.isfinite(argument).all():
            raise ModelError(
                "SR-MODEL-VALUES",
                f"the sample gives {name} at {place} infinite arguments",
                "Check the module's weights, and give a sample of ordinary rows",
            )
        polynomial = _polynomial(activation, argument, self._degree, self._per)
        exact, value = activation(argument), polynomial(argument)
        size = float(exact.double().square().mean().sqrt())
        distance = float((exact - value).double().square().mean().sqrt())
        after, channels = f"degree {self._degree}", polynomial.scale.numel()
        if channels > 1:
            after += f", {channels} channels"
        self._replaced[n] = Replacement(place, name, after, distance / size if size else 0.0)
        self._made[n] = polynomial
        return value

    def install(self) -> dict[fx.Node, Replacement]:
        """Put the polynomials into the network; what they replace."""
        for node, polynomial in self._made.items():
            put(self._network, node, polynomial)
        self._network.graph.lint()
        self._network.recompile()
        self._network.delete_all_unused_submodules()
        return self._replaced


def _polynomial(
    activation: nn.Module, argument: torch.Tensor, degree: int, per: str
) -> PolynomialActivation:
    """A polynomial fitted to what arrives at an activation, shape (n, channels, ...)."""
    axes = argument.ndim
    seen = argument.double().transpose(0, 1).flatten(1) if axes > 1 else argument.double()[None]
    separate = per == "channel" and axes > 1
    fits = seen if separate and degree == 2 else seen.reshape(1, -1)
    low, high = fits.amin(dim=1).cpu().numpy(), fits.amax(dim=1).cpu().numpy()
    centre, half_width = (low + high) / 2, MARGIN * (high - low) / 2
    widest = float(half_width.max())
    half_width = np.maximum(half_width, LEAST_SHARE * widest if widest else 1.0)
    points = points_of(((fits.cpu().numpy() - centre[:, None]) / half_width[:, None]).T)
    # each channel gets its own function: a PReLU may have slopes of its own for each
    x = torch.as_tensor(centre + half_width * points, dtype=argument.dtype, device=argument.device)
    x = x.expand(-1, len(seen)).reshape(*(-1, len(seen))[: min(axes, 2)], *[1] * (axes - 2))
    values = activation(x).double().cpu().numpy().reshape(len(points), -1)
    if len(centre) == 1:
        values = values.mean(axis=1, keepdims=True)
    forms = [fitted(*pair, degree) for pair in zip(points.T, values.T, strict=True)]
    if separate and degree == 4:
        forms = forms * len(seen)
    made = PolynomialActivation(activation, centre, half_width, forms, degree, axes)
    return made.to(dtype=argument.dtype, device=argument.device).eval()
