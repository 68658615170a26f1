"""Conversion: what is replaced, what stays, what is refused, and what the compiler makes of it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from small_modules import Digits, Residual, dense, digits, rows
from torch import nn
from torch.nn import functional

import strongroom.torch
from strongroom.compiler.layering import layered
from strongroom.errors import ModelError
from strongroom.models.torch_import import import_torch
from strongroom.torch import PolynomialActivation, convert


def test_what_people_write_is_found_and_replaced() -> None:
    torch.manual_seed(0)
    images, _ = digits()
    converted = convert(Digits(), images[:100])
    assert [(each.place, each.before, each.after) for each in converted.replacements] == [
        ("relu", "ReLU", "degree 2, 6 channels"),
        ("max_pool2d in forward", "MaxPool2d", "AvgPool2d"),
        ("relu@1", "ReLU", "degree 2, 8 channels"),
        ("max_pool2d_1 in forward", "MaxPool2d", "AvgPool2d"),
    ]
    assert all(part.scale.shape[1:] == (1, 1) for part in converted.polynomials)
    assert converted(torch.from_numpy(images[:7])).shape == (7, 10)
    names = set(converted.network.state_dict())
    assert {"first.weight", "normalised.running_mean", "last.bias"} <= names


def test_functions_and_methods_of_submodules_are_found() -> None:
    torch.manual_seed(0)
    converted = convert(Residual(), rows())
    found = [(each.place, each.before) for each in converted.replacements]
    assert found == [
        ("inner.1", "SiLU"),
        ("tanh in forward", "Tanh"),
        ("gelu in forward", "GELU"),
        ("relu_ in forward", "ReLU"),
    ]
    assert converted.link == "LogSoftmax"
    assert isinstance(converted.network.get_submodule("inner.1"), PolynomialActivation)


def test_the_module_that_was_given_stays_as_it_was() -> None:
    images, _ = digits()
    torch.manual_seed(0)
    module = Digits()
    x = torch.from_numpy(images[:5])
    before = {name: value.clone() for name, value in module.state_dict().items()}
    converted = convert(module, images[:100])
    assert module.training
    assert module.relu.inplace
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert torch.equal(converted.original(x), module.eval()(x))
    assert not set(map(id, module.parameters())) & set(map(id, converted.parameters()))


@pytest.mark.parametrize("per", ["channel", "layer"])
@pytest.mark.parametrize("degree", [2, 4])
def test_a_converted_module_is_near_where_the_sample_is(degree: Any, per: Any) -> None:
    module = dense(nn.SiLU())
    converted = convert(module, rows(), degree=degree, per=per)
    x = torch.from_numpy(rows())
    error = (converted(x) - module(x)).square().mean().sqrt() / module(x).std()
    assert error < (0.05 if degree == 2 else 0.01)
    assert converted.replacements[0].error < (0.12 if degree == 2 else 0.02)


ACTIVATIONS = [
    nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.1), nn.PReLU(), nn.ELU(), nn.SELU(), nn.CELU(), nn.GELU(),
    nn.SiLU(), nn.Mish(), nn.Hardswish(), nn.Hardsigmoid(), nn.Hardtanh(), nn.Sigmoid(),
    nn.LogSigmoid(), nn.Tanh(), nn.Softplus(), nn.Softsign(),
]  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda part: type(part).__name__)
def test_every_activation_has_a_polynomial(activation: nn.Module) -> None:
    converted = convert(dense(activation), rows(), degree=4)
    assert converted.replacements[0].before == type(activation).__name__
    assert converted.replacements[0].error < 0.25


@pytest.mark.parametrize("per", ["channel", "layer"])
@pytest.mark.parametrize(("degree", "function"), [(2, "Square"), (4, "Polynomial")])
def test_a_polynomial_costs_one_unit_and_one_layer(degree: Any, per: Any, function: str) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 3, 3, stride=2), nn.BatchNorm2d(3), nn.LeakyReLU(0.1),
        nn.Conv2d(3, 4, 2), nn.LeakyReLU(0.1), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(4, 5), nn.LeakyReLU(0.1), nn.Linear(5, 3),
    )  # fmt: skip
    images, _ = digits()
    converted = convert(module, images[:100], degree=degree, per=per)
    graph = import_torch(converted, sample=images[:100])
    form = layered(graph)
    assert [layer.units for layer in form.layers] == [27, 16, 5, 3]
    functions = [{part.name for part in layer.functions} for layer in form.layers[:-1]]
    assert functions == [{function}] * 3
    ours = form.arguments(graph.features.encode(graph.input.rows(images[:20])))[-1]
    theirs = converted(torch.from_numpy(images[:20])).detach().numpy()
    assert np.abs(ours - theirs).max() < 1e-4


def test_pools_average_over_the_same_windows() -> None:
    module = nn.Sequential(
        nn.MaxPool1d(3, stride=2, padding=1, ceil_mode=True), nn.AdaptiveMaxPool1d(2), nn.Flatten()
    )
    x = torch.randn(4, 2, 9)
    converted = convert(module, x)
    averaged = functional.avg_pool1d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False)
    expected = functional.adaptive_avg_pool1d(averaged, 2).flatten(1)
    assert torch.equal(converted(x), expected)
    assert [each.after for each in converted.replacements] == ["AvgPool1d", "AdaptiveAvgPool1d"]


def test_a_place_can_be_kept() -> None:
    torch.manual_seed(0)
    converted = convert(Residual(), rows(), keep=["tanh in forward"])
    assert "tanh in forward" not in {each.place for each in converted.replacements}
    with pytest.raises(ModelError, match="no activation at 'tanh' to keep"):
        convert(Residual(), rows(), keep=["tanh"])


class Ending(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 4)
        self._function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._function(self.inner(x))


REFUSED = {
    "LayerNorm at 1": lambda: dense(nn.LayerNorm(5)),
    "Softmax at 1": lambda: dense(nn.Softmax(dim=1)),
    "GLU at 1": lambda: nn.Sequential(nn.Linear(6, 6), nn.GLU()),
    "Embedding at 0": lambda: nn.Sequential(nn.Embedding(3, 4), nn.Flatten()),
    "LSTM at 0": lambda: nn.Sequential(nn.LSTM(6, 4)),
    "Conv3d at 0": lambda: nn.Sequential(nn.Conv3d(1, 1, 1)),
    "Conv1d at 0 pads with 'circular'": lambda: nn.Sequential(
        nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular")
    ),
    "max_1 in forward": lambda: Ending(lambda x: x.max(dim=1).values),
    "where in forward": lambda: Ending(lambda x: torch.where(x > 0, x, 2 * x)),
    "gt in forward": lambda: Ending(lambda x: (x > 0) * x),
    "topk in forward": lambda: Ending(lambda x: torch.topk(x, 2).values),
    "dilated or returns places": lambda: nn.Sequential(nn.MaxPool1d(2, dilation=2)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_run_encrypted_is_refused_by_name_and_place(message: str) -> None:
    with pytest.raises(ModelError) as refusal:
        convert(REFUSED[message](), rows())
    assert refusal.value.code == "SR-MODEL-UNSUPPORTED"
    assert refusal.value.remedy
    if message.startswith(("max_1", "where", "gt", "topk")):
        assert "in forward can't run encrypted" in refusal.value.message
    else:
        assert message in refusal.value.message


def test_links_at_the_end_stay() -> None:
    for link in (nn.Softmax(dim=1), nn.LogSoftmax(dim=1)):
        module = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3), link)
        converted = convert(module, rows())
        assert converted.link == type(link).__name__
        assert len(converted.replacements) == 1
    module = nn.Sequential(
        nn.Linear(6, 4), nn.Sigmoid(), nn.Linear(4, 1), nn.Sigmoid(), nn.Flatten(0)
    )
    converted = convert(module, rows())
    assert converted.link == "Sigmoid"
    assert [each.place for each in converted.replacements] == ["1"]


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def test_a_forward_that_depends_on_values_is_refused() -> None:
    with pytest.raises(ModelError, match="forward of Branching can't be traced"):
        convert(Branching(), rows())


def test_samples_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelError, match=r"doesn't take rows of shape \(7,\)"):
        convert(dense(nn.ReLU()), np.zeros((3, 7)))
    with pytest.raises(ModelError, match=r"the sample has the shape \(6,\)"):
        convert(dense(nn.ReLU()), np.zeros(6))
    with pytest.raises(ModelError, match="ReLU at 1 infinite arguments"):
        convert(dense(nn.ReLU()), np.full((3, 6), np.inf))
    with pytest.raises(ValueError, match="degree is 2 or 4"):
        convert(dense(nn.ReLU()), rows(), degree=3)  # type: ignore[arg-type]


def test_doubles_stay_doubles() -> None:
    converted = convert(dense(nn.ReLU()).double(), rows())
    assert {part.dtype for part in converted.parameters()} == {torch.float64}
    assert converted(torch.from_numpy(rows()).double()).dtype == torch.float64


def test_a_unit_that_the_sample_never_moves_gets_a_polynomial_all_the_same() -> None:
    module = dense(nn.ReLU())
    with torch.no_grad():
        module[0].weight[2] = 0.0
    converted = convert(module, rows())
    x = torch.from_numpy(rows())
    assert torch.isfinite(converted(x)).all()


def test_a_summary_has_a_line_for_each_replacement() -> None:
    lines = convert(dense(nn.ReLU()), rows()).summary().splitlines()
    assert lines[0].split() == ["place", "was", "is", "error"]
    assert lines[1].startswith("1      ReLU  degree 2, 5 channels  0.")


def test_strongroom_alone_does_not_import_torch() -> None:
    code = "import sys, strongroom; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_torch_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from strongroom.errors import ModelError\n"
        "try: import strongroom.torch\n"
        "except ModelError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "SR-MODEL-EXTRA" in said.stdout
    assert "strongroom[torch]" in said.stdout


def test_the_public_names_are_there() -> None:
    assert all(hasattr(strongroom.torch, name) for name in strongroom.torch.__all__)
