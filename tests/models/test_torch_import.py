"""PyTorch modules: imported and layered, they agree with what they return themselves."""

from __future__ import annotations

import io
import logging
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from written_models import assert_written_alike

from strongroom.compiler.layering import is_affine, layered
from strongroom.errors import ModelError
from strongroom.models.graph import Graph
from strongroom.models.plain import plain_predictions
from strongroom.models.torch_import import import_torch, is_torch_module

ROWS = np.random.default_rng(0).normal(size=(30, 6))


class Residual(nn.Module):
    """Skip connections, slices, a product, decomposed means: what people write in `forward`."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 8)
        self.skip, self.last = nn.Linear(6, 8, bias=False), nn.Linear(9, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.first(x)) + self.skip(x)
        h = nn.functional.silu(self.second(h)) * h / 2 + h
        left, right = h.chunk(2, dim=1)
        joined = torch.cat([left * right, left.square(), x.mean(dim=1, keepdim=True)], dim=1)
        return self.last(joined)


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 5), nn.Linear(6, 5), nn.Linear(5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(torch.sigmoid(self.a(x)) * self.b(x.view(x.size(0), -1))).squeeze(-1)


MODULES: dict[str, tuple[Any, list[int]]] = {
    "linear": (lambda: nn.Linear(6, 2), [2]),
    "relu": (lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), [8, 3]),
    "gates": (
        lambda: nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 8), nn.GELU("tanh"),
                              nn.Linear(8, 8), nn.SiLU(), nn.Linear(8, 8), nn.Softplus(),
                              nn.Linear(8, 8), nn.Softplus(beta=3.0), nn.Linear(8, 3)),
        [8, 8, 8, 8, 8, 3],
    ),
    "others": (
        lambda: nn.Sequential(nn.Linear(6, 8), nn.ELU(), nn.Linear(8, 8), nn.LeakyReLU(0.1),
                              nn.Linear(8, 8), nn.Hardsigmoid(), nn.Linear(8, 8), nn.PReLU(),
                              nn.Linear(8, 8), nn.SELU(), nn.Linear(8, 8), nn.CELU(2.0),
                              nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)),
        [8, 8, 8, 8, 8, 8, 8, 3],
    ),
    "normalised": (
        lambda: nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(),
                              nn.Dropout(0.5), nn.Linear(8, 3)),
        [8, 3],
    ),
    "flattened images": (
        lambda: nn.Sequential(nn.Unflatten(1, (1, 2, 3)), nn.Flatten(), nn.Linear(6, 8), nn.ReLU(),
                              nn.Linear(8, 3)),
        [8, 3],
    ),
    "residual": (Residual, []),
    "gated": (Gated, []),
}  # fmt: skip


def made(name: str, dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    module = MODULES[name][0]().to(dtype)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d):
            nn.init.uniform_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
            nn.init.uniform_(part.weight, 0.5, 2.0)
    return module


def scores_of(graph: Graph) -> np.ndarray:
    features = graph.features.encode(graph.input.rows(ROWS))
    scores = layered(graph).arguments(features)[-1]
    assert_written_alike(graph, features, scores)
    return scores


@pytest.mark.parametrize("name", MODULES)
def test_modules_agree_with_themselves(name: str) -> None:
    module = made(name)
    graph = import_torch(module, sample=ROWS)
    plain = plain_predictions(module, graph, ROWS)
    ours = graph.output.predict(scores_of(graph))
    assert ours.shape == plain.shape
    assert ours.dtype == plain.dtype
    assert np.abs(ours - plain).max() <= 1e-5 * max(1.0, float(np.abs(plain).max()))
    assert graph.input.dtype == "float32"
    assert is_affine(graph) == (name == "linear")
    layers = MODULES[name][1]
    assert not layers or [layer.units for layer in layered(graph).layers] == layers


def test_modules_of_doubles_stay_double() -> None:
    module = made("gates", torch.float64)
    graph = import_torch(module)
    ours = graph.output.predict(scores_of(graph))
    assert graph.input.dtype == "float64"
    assert np.abs(ours - plain_predictions(module, graph, ROWS)).max() < 1e-12


def test_a_module_is_left_as_it_was() -> None:
    module = made("normalised")
    module[1].eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    plain_predictions(module, import_torch(module), ROWS)
    assert module.training
    assert not module[1].training
    assert module[4].training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_nothing_is_printed_or_warned(
    capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    import_torch(made("relu"))
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
    assert logging.getLogger("torch.onnx").level == logging.NOTSET


CLASSIFIERS: dict[str, tuple[list[nn.Module], int, str]] = {
    "softmax": ([nn.Softmax(dim=1)], 3, "softmax"),
    "log softmax": ([nn.LogSoftmax(dim=-1)], 3, "softmax"),
    "sigmoid": ([nn.Sigmoid()], 1, "logistic"),
}


@pytest.mark.parametrize(
    ("name", "classes"),
    [("softmax", None), ("log softmax", [5, 3, 9]), ("sigmoid", ["ant", "bee"])],
)
def test_modules_that_end_in_probabilities_are_classifiers(name: str, classes: Any) -> None:
    end, outputs, link = CLASSIFIERS[name]
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 8), nn.SiLU(), nn.Linear(8, outputs), *end)
    graph = import_torch(module, classes=classes)
    assert graph.output.link == link
    assert list(graph.output.classes) == (classes or list(range(outputs)))
    plain = plain_predictions(module, graph, ROWS)
    scores = scores_of(graph)
    assert graph.output.predict(scores).tolist() == plain.tolist()
    assert len(set(plain.tolist())) > 1
    with torch.no_grad():
        returned = module.eval()(torch.tensor(ROWS, dtype=torch.float32)).numpy()
    returned = np.exp(returned) if name == "log softmax" else returned
    probabilities = graph.output.predict_proba(scores)
    assert np.allclose(probabilities[:, 1:] if outputs == 1 else probabilities, returned, atol=1e-5)


@pytest.mark.parametrize("outputs", [1, 3])
def test_classes_make_a_classifier_of_raw_scores(outputs: int) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, outputs))
    labels = ["no", "yes", "perhaps"][: max(outputs, 2)]
    graph = import_torch(module, classes=labels)
    assert graph.output.methods == ("predict", "decision_function")
    plain = plain_predictions(module, graph, ROWS)
    assert graph.output.predict(scores_of(graph)).tolist() == plain.tolist()
    assert len(set(plain.tolist())) > 1


def test_several_sigmoids_are_values_or_classes_with_probabilities() -> None:
    module = nn.Sequential(nn.Linear(6, 3), nn.Sigmoid())
    graph = import_torch(module)
    assert (graph.output.task, graph.output.link) == ("regression", "logistic_each")
    found = graph.output.predict(scores_of(graph))
    assert np.allclose(found, plain_predictions(module, graph, ROWS), atol=1e-6)
    labelled = import_torch(module, classes=["a", "b", "c"]).output
    assert labelled.methods == ("predict", "predict_proba")


def test_the_first_layer_or_the_sample_say_how_many_columns_there_are() -> None:
    class Square(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.pow(2).sum(dim=1)

    assert import_torch(made("normalised")).input.columns == 6
    assert import_torch(Square(), sample=np.zeros((2, 4))).input.columns == 4
    with pytest.raises(ModelError, match="what shape its rows have"):
        import_torch(Square())


def refusal(module: Any, **given: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        import_torch(module, **given)
    assert "\n" not in str(caught.value)
    return caught.value


class Batch(nn.Module):
    """Rows that depend on each other."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(dim=0, keepdim=True)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (nn.Sequential(nn.Linear(6, 8), nn.ReLU6()), "operator Clip"),
        (nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8)), "operator LayerNormalization"),
        (nn.Sequential(nn.Linear(6, 8), nn.Mish()), "operator Mish"),
        (nn.Sequential(nn.Unflatten(1, (1, 6)), nn.MaxPool1d(3), nn.Flatten()),
         "operator MaxPool"),
        (nn.Sequential(nn.Linear(6, 8), nn.Softmax(dim=1), nn.Linear(8, 2)), "operator Softmax"),
        (Batch(), "operator ReduceMean"),
        (nn.Sequential(nn.Embedding(6, 2)), "can't be exported"),
    ],
)  # fmt: skip
def test_what_can_not_be_run_is_named(module: Any, words: str) -> None:
    error = refusal(module, sample=ROWS)
    assert error.code == "SR-MODEL-UNSUPPORTED"
    assert words in str(error)


class Images(nn.Module):
    """Convolutions, pools, a residual sum and a strided short cut."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2)
        self.short = nn.Conv2d(4, 8, 1, stride=2, bias=False)
        self.pool = nn.AvgPool2d(2, stride=1, ceil_mode=True)
        self.last = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.first(x)).square()
        x = nn.functional.silu(self.second(x)) + self.short(x)
        x = nn.functional.pad(self.pool(x), (1, 0, 0, 1))
        return self.last(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


class Windows(nn.Module):
    """A network of windows, (channels, length), that ends in probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv1d(3, 5, 4, stride=2), nn.GELU(),
                                    nn.Conv1d(5, 6, 3, dilation=2), nn.Tanh())  # fmt: skip
        self.last = nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.last(self.layers(x).mean(dim=2)), dim=1)


@pytest.mark.parametrize(("kind", "shape"), [(Images, (2, 6, 7)), (Windows, (3, 16))])
def test_modules_of_images_and_windows_agree_with_themselves(
    kind: type[nn.Module], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    module = kind()
    X = np.random.default_rng(0).normal(size=(20, *shape)).astype(np.float32)
    graph = import_torch(module, sample=X)
    assert graph.input.shape == shape
    rows = graph.input.rows(X)
    scores = layered(graph).arguments(graph.features.encode(rows))[-1]
    assert_written_alike(graph, graph.features.encode(rows), scores)
    plain = plain_predictions(module, graph, rows)
    ours = graph.output.predict(scores)
    assert ours.shape == plain.shape
    assert np.abs(ours - plain).max() <= 1e-5 * np.abs(plain).max()
    with pytest.raises(ModelError, match="what shape its rows have"):
        import_torch(module)


def test_a_sample_of_another_shape_is_refused() -> None:
    error = refusal(made("relu"), sample=np.zeros((2, 1, 2, 3)))
    assert "rows of shape (1, 2, 3)" in str(error)
    assert "3 dimensions" not in str(error)
    assert "6 dimensions" in str(refusal(made("relu"), sample=np.zeros((2, 1, 1, 1, 2, 3))))
    assert "1 dimensions" in str(refusal(made("relu"), sample=np.zeros(6)))


@pytest.mark.parametrize("classes", [["a", "b"], ["a", "a", "b"], [None] * 3])
def test_classes_that_do_not_fit_are_refused(classes: list[Any]) -> None:
    assert refusal(made("relu"), classes=classes).code == "SR-MODEL-VALUES"


def test_what_is_a_module_is_known_without_torch() -> None:
    assert is_torch_module(nn.Linear(1, 1))
    assert is_torch_module(Residual())
    assert not any(map(is_torch_module, (None, 3, torch.zeros(2), io.StringIO(), nn.Linear)))
