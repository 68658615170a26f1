"""`convert`: a trained module becomes one whose activations are polynomials.

1. The module is traced (torch.fx), which unfolds its `forward` into a list of operators, so that a
   ReLU is found whether it is a module, a function or a method, and one that is used in three
   places becomes three polynomials. The tree of submodules, and with it the names of the weights,
   stays as it is.
2. What can't run encrypted is refused, by name and place, before anything is computed.
3. Max pooling becomes average pooling over the same windows.
4. The sample runs through; where it reaches an activation, a polynomial is fitted to what arrives
   there, and the sample goes on with the polynomial's values.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from strongroom.torch.calibration import Replacement, calibrate
from strongroom.torch.polynomials import PolynomialActivation
from strongroom.torch.tracing import link_of, refuse, traced, unsupported


class Converted(nn.Module):
    """A converted module: takes and returns what the original takes and returns.

    Attributes:
        network: the same with polynomials; its weights are named as they were.
        replacements: what was replaced, in the order of computation.
        row_shape: shape of one row, as the sample had it.
        link: "Softmax", "LogSoftmax" or "Sigmoid" where the module ends in one, else "".
    """

    def __init__(
        self,
        network: nn.Module,
        original: nn.Module,
        replacements: tuple[Replacement, ...],
        row_shape: tuple[int, ...],
        link: str,
    ) -> None:
        super().__init__()
        self.network = network
        # in a tuple, so that its weights are not counted and trained as part of this
        self._original = (original,)
        self.replacements = replacements
        self.row_shape = row_shape
        self.link = link

    @property
    def original(self) -> nn.Module:
        """A copy of the module as it was given, in eval mode."""
        return self._original[0]

    @property
    def polynomials(self) -> list[PolynomialActivation]:
        """The polynomials, in the order of computation."""
        return [part for part in self.network.modules() if isinstance(part, PolynomialActivation)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As the original's."""
        made: torch.Tensor = self.network(x)
        return made

    def summary(self) -> str:
        """What was replaced by what, one line each."""
        rows = [("place", "was", "is", "error")]
        for each in self.replacements:
            error = f"{each.error:.3f}" if each.error else ""
            rows.append((each.place, each.before, each.after, error))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )


def convert(
    module: nn.Module,
    sample: Any,
    *,
    degree: Literal[2, 4] = 2,
    per: Literal["channel", "layer"] = "channel",
    keep: Collection[str] = (),
) -> Converted:
    """Replace what is costly or impossible in encrypted arithmetic.

    The module that is given stays as it was; the result is a copy, in eval mode. Its accuracy is
    lower than before until it is fine-tuned (`fine_tune`).

    Args:
        module: an `nn.Module` of one tensor, trained.
        sample: rows that it takes, an array or a tensor of shape (n, columns), (n, channels,
            length) or (n, channels, height, width); some hundred, since the ranges of all
            polynomials follow from it.
        degree: of the polynomials. 2 costs one level of encrypted arithmetic, 4 costs two and
            follows an activation more closely.
        per: whether each channel (each unit of a dense layer) gets a polynomial of its own, or
            all of a layer share one. The cost is the same. Of degree 4 channels share the
            polynomial's shape, not its place and size.
        keep: places of activations that stay, as `Replacement.place` names them: Strongroom
            approximates these itself when it protects the module, at its own, higher degree.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED naming operator and place if something can't run
            encrypted, if the module can't be traced, or if the sample or a name in `keep` doesn't
            fit; SR-MODEL-VALUES if the sample leads to infinite values.
    """
    if degree not in (2, 4) or per not in ("channel", "layer"):
        raise ValueError("degree is 2 or 4, per is 'channel' or 'layer'")
    original = copy.deepcopy(module).eval()
    network = traced(copy.deepcopy(original))
    refuse(network)
    rows = _rows(sample, original)
    made = calibrate(network, rows, degree, per, frozenset(keep))
    return Converted(network, original, made, tuple(rows.shape[1:]), link_of(network)).eval()


def _rows(sample: Any, module: nn.Module) -> torch.Tensor:
    """The sample as the module takes it."""
    weights = [part for part in module.parameters() if part.is_floating_point()]
    like = weights[0] if weights else torch.zeros(())
    rows = torch.as_tensor(np.asarray(sample) if not isinstance(sample, torch.Tensor) else sample)
    if rows.ndim < 2 or not len(rows):
        raise unsupported(
            f"the sample has the shape {tuple(rows.shape)}",
            "Pass rows of shape (n, columns), images of shape (n, channels, height, width), or "
            "windows of shape (n, channels, length)",
        )
    return rows.detach().to(dtype=like.dtype, device=like.device)
