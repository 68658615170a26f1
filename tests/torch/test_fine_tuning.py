"""Fine-tuning: accuracy comes back, ranges are kept, the same seed gives the same network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from small_modules import Digits, dense, digits, rows, trained_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from strongroom.errors import ModelError
from strongroom.models.load import import_model
from strongroom.torch import Converted, Report, convert, export_onnx, fine_tune

IMAGES, LABELS = digits()
TRAINING = (IMAGES[:1200], LABELS[:1200])
HELD_OUT = (IMAGES[1200:], LABELS[1200:])
QUIET: dict[str, Any] = {"progress": lambda line: None}


@pytest.fixture(scope="module")
def original() -> Digits:
    return trained_digits(*TRAINING)


def tuned(original: nn.Module, **options: Any) -> tuple[Converted, Report]:
    converted = convert(original, IMAGES[:200])
    training = options.pop("training", TRAINING)
    given = {"epochs": 10, "learning_rate": 0.01, "validation": HELD_OUT, **QUIET, **options}
    return converted, fine_tune(converted, training, **given)


@pytest.fixture(scope="module")
def result(original: Digits) -> tuple[Converted, Report]:
    return tuned(original)


def accuracy(module: nn.Module) -> float:
    with torch.no_grad():
        labels = module.eval()(torch.from_numpy(HELD_OUT[0])).argmax(dim=1).numpy()
    return float((labels == HELD_OUT[1]).mean())


def test_accuracy_comes_back_and_is_reported(
    original: Digits, result: tuple[Converted, Report]
) -> None:
    converted, report = result
    assert report.metric == "accuracy"
    assert report.original == pytest.approx(accuracy(original))
    assert report.converted == pytest.approx(accuracy(convert(original, IMAGES[:200])))
    assert report.fine_tuned == pytest.approx(accuracy(converted))
    assert report.fine_tuned > max(report.converted + 0.05, report.original - 0.06)
    assert report.change == report.fine_tuned - report.original
    assert report.epochs[-1].score == report.fine_tuned
    assert report.epochs[-1].loss < report.epochs[0].loss
    assert not converted.training


def test_a_report_reads_as_a_table(result: tuple[Converted, Report]) -> None:
    _, report = result
    lines = str(report).splitlines()
    assert lines[0] == "accuracy on the validation rows"
    assert lines[1].split() == ["original", f"{report.original:.4f}"]
    assert lines[3].split()[1] == f"{report.fine_tuned:.4f}"


def test_the_same_seed_gives_the_same_network(
    original: Digits, result: tuple[Converted, Report]
) -> None:
    torch.manual_seed(99)
    state = torch.get_rng_state()
    again, report = tuned(original)
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in result[0].state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert report.fine_tuned == result[1].fine_tuned
    other, _ = tuned(original, seed=1, epochs=1)
    first, second = (each.state_dict()["network.last.weight"] for each in (other, again))
    assert not torch.equal(first, second)


def test_loaders_are_taken_too(original: Digits) -> None:
    rows_and_labels = TensorDataset(*(torch.from_numpy(part) for part in TRAINING))
    loader = DataLoader(rows_and_labels, batch_size=64, shuffle=True)
    runs = [tuned(original, training=loader, epochs=1)[0].state_dict() for _ in range(2)]
    assert all(torch.equal(value, runs[1][name]) for name, value in runs[0].items())


def test_the_penalty_keeps_arguments_in_their_ranges(original: Digits) -> None:
    shares = []
    for penalty in (0.0, 30.0):
        converted = convert(original, IMAGES[:200])
        for polynomial in converted.polynomials:
            polynomial.slope *= 2.0  # half the range: much lies outside
        options = {"epochs": 8, "learning_rate": 0.01, "validation": HELD_OUT, **QUIET}
        report = fine_tune(converted, TRAINING, range_penalty=penalty, **options)
        shares.append(report.outside)
        assert (report.epochs[0].penalty > 0.0) == (penalty > 0.0)
    assert shares[1] < 0.5 * shares[0]


def test_a_line_for_each_epoch(original: Digits) -> None:
    lines: list[str] = []
    tuned(original, epochs=2, progress=lines.append)
    assert [line.split(":")[0] for line in lines] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert "accuracy 0." in lines[0]
    assert "range penalty" in lines[0]


def test_the_exported_graph_agrees_with_onnx_runtime(
    result: tuple[Converted, Report], tmp_path: Path
) -> None:
    converted, _ = result
    export_onnx(converted, tmp_path / "digits.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "digits.onnx")
    (made,) = session.run(None, {session.get_inputs()[0].name: HELD_OUT[0][:50]})
    expected = converted(torch.from_numpy(HELD_OUT[0][:50])).detach().numpy()
    assert np.abs(made - expected).max() < 1e-4
    graph = import_model(tmp_path / "digits.onnx")
    operators = {node.operator for node in graph.nodes}
    assert "Square" in operators
    assert not operators & {"Relu", "MaxPool", "Dropout"}


def test_an_unwritable_path_is_an_error_of_the_file(
    result: tuple[Converted, Report], tmp_path: Path
) -> None:
    with pytest.raises(ModelError) as refusal:
        export_onnx(result[0], tmp_path / "nowhere" / "digits.onnx")
    assert refusal.value.code == "SR-MODEL-FILE"


@pytest.mark.parametrize(
    ("ending", "outputs", "targets"),
    [
        (nn.Identity(), 3, "labels"),
        (nn.Softmax(dim=1), 3, "labels"),
        (nn.LogSoftmax(dim=1), 3, "labels"),
        (nn.Sigmoid(), 1, "two labels"),
        (nn.Flatten(0), 1, "two labels"),
        (nn.Identity(), 1, "numbers"),
    ],
)
def test_the_loss_fits_the_ending(ending: nn.Module, outputs: int, targets: str) -> None:
    torch.manual_seed(0)
    X = rows(600)
    wanted = X[:, 0] ** 2 + X[:, 1]
    y = {
        "labels": np.digitize(wanted, [0.0, 1.5]),
        "two labels": wanted > 0.5,
        "numbers": wanted,
    }[targets]
    module = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, outputs), ending)
    converted = convert(module, X)
    report = fine_tune(converted, (X, y), epochs=20, learning_rate=0.05, **QUIET)
    assert report.metric == ("R²" if targets == "numbers" else "accuracy")
    assert not report.validation
    assert report.fine_tuned > 0.85


def test_a_loss_of_ones_own_is_used() -> None:
    seen = []

    def loss(made: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        seen.append(len(targets))
        return made.square().mean()

    converted = convert(dense(nn.ReLU()), rows())
    labels = np.zeros(len(rows()), dtype=np.int64)
    fine_tune(converted, (rows(), labels), epochs=1, loss=loss, **QUIET)
    assert seen == [128, 72]


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ((rows(5), np.zeros(4, dtype=np.int64)), "5 rows and 4 targets"),
        ((rows(5), np.zeros((5, 2), dtype=np.int64)), r"targets of shape \(5, 2\)"),
        ((rows(5), np.zeros((5, 2))), r"targets of shape \(5, 2\)"),
        ((rows(5), np.full(5, 3)), r"targets of shape \(5,\)"),
        ([], "no rows to train on"),
        (iter([1]), "doesn't say how many batches"),
        ((rows(1), np.zeros(1, dtype=np.int64)), "no batch has two rows"),
        ((rows(9) * np.float32(np.nan), np.zeros(9, dtype=np.int64)), "loss is not finite"),
    ],
)
def test_rows_that_cannot_be_trained_on_are_refused(training: Any, message: str) -> None:
    converted = convert(dense(nn.ReLU()), rows())
    with pytest.raises(ModelError, match=message) as refusal:
        fine_tune(converted, training, epochs=1, **QUIET)
    assert refusal.value.code == "SR-MODEL-TRAINING"
    assert not converted.training


def test_numbers_that_make_no_sense_are_refused() -> None:
    converted = convert(dense(nn.ReLU()), rows())
    with pytest.raises(ValueError, match="warm_up is from 0 to 1"):
        fine_tune(converted, (rows(), np.zeros(200, dtype=np.int64)), warm_up=2.0)
