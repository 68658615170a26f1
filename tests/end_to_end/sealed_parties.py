"""The parties of a sealed model, each with a home, a temporary and a working folder of its own, and
models whose weights are canaries."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import skops.io
from canaries import Needle
from folder_watch import FolderWatch
from model_owner import OWNER, PASSPHRASE, write_identity
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from server_processes import SOURCES
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from strongroom.keys.identity import Identity

COLUMNS, HIDDEN, WORDS = 24, 48, 50


@dataclass(frozen=True)
class Party:
    """Somebody who runs Strongroom."""

    folder: Path

    @classmethod
    def founded(cls, folder: Path, identity: Identity | None) -> Party:
        """One with empty folders, and an identity if there is one."""
        party = cls(folder)
        for made in (party.home, party.temporary, party.work):
            made.mkdir(parents=True, mode=0o700)
        if identity is not None:
            write_identity(party.home, identity)
        return party

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def public(self) -> Path:
        """File of the identity's public half."""
        return self.home / "identities" / "default.pub"

    def environment(self) -> dict[str, str]:
        """Of all processes of the party; nothing in it says that this is a test."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP", "JOBLIB_TEMP_FOLDER"), self.temporary)
        return kept | {
            "PYTHONPATH": str(SOURCES),
            "HOME": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "STRONGROOM_HOME": str(self.home),
            "STRONGROOM_PASSPHRASE": PASSPHRASE,
            **{name: str(path) for name, path in temporary.items()},
        }

    def command(self, *arguments: str | Path) -> str:
        """What a command of Strongroom prints, on either output."""
        return self.python("-m", "strongroom.cli", *arguments)

    def python(self, *arguments: str | Path) -> str:
        """What Python prints."""
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=self.work,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def watched(self) -> Iterator[FolderWatch]:
        """Watch where the party's processes could put files that are not their own to keep."""
        with FolderWatch(self.folder, self.temporary, self.work) as watch:
            yield watch


@dataclass(frozen=True)
class Vendor(Party):
    """The models' owner. Attributes of theirs are what nobody else may read."""

    @classmethod
    def founded(cls, folder: Path, identity: Identity | None = OWNER) -> Vendor:
        """See `Party.founded`; the models lie in a folder of their own."""
        vendor = cls(super().founded(folder, identity).folder)
        vendor.models.mkdir()
        return vendor

    @property
    def models(self) -> Path:
        return self.folder / "models"

    def write_models(self) -> list[Needle]:
        """Write models, and a sample; tell how weights and sample could leak."""
        random = np.random.default_rng()
        sample = random.normal(size=(64, COLUMNS))
        network = network_of(random, sample)
        skops.io.dump(network, self.models / "rows.skops")
        lines = [[f"c{column}" for column in range(COLUMNS)], *sample.tolist()]
        table = "\n".join(",".join(map(str, line)) for line in lines)
        (self.models / "sample.csv").write_text(table)
        proto, weights = tensor_model(random)
        onnx.save_model(
            proto,
            self.models / "tensors.onnx",
            save_as_external_data=True,
            location="tensors.weights",
            size_threshold=512,
        )
        first, last = network.coefs_
        return [
            *needles_of("weights of rows", first[7]),
            *needles_of("weights of rows", first[:, 9]),
            *needles_of("last weights of rows", last[:, 0]),
            *needles_of("bias of rows", network.intercepts_[0]),
            *(
                needle
                for name, array in weights.items()
                for needle in needles_of(f"{name} of tensors", array[3])
            ),
            *needles_of("sample", sample[5]),
        ]


def network_of(random: np.random.Generator, sample: NDArray[np.float64]) -> MLPRegressor:
    """A network with random bits in all weights."""
    network = MLPRegressor(hidden_layer_sizes=(HIDDEN,), solver="lbfgs", max_iter=1)
    with warnings.catch_warnings():  # that it learned little
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(sample, sample[:, 0])
    network.coefs_ = [random.normal(size=weights.shape) / 4 for weights in network.coefs_]
    network.intercepts_ = [random.normal(size=bias.shape) for bias in network.intercepts_]
    return network


def tensor_model(random: np.random.Generator) -> tuple[Any, dict[str, NDArray[np.float32]]]:
    """An ONNX model of named tensors, `table` and `word`, and its weights. It fails where a word is
    none of its words."""
    weights = {
        "matrix": random.normal(size=(COLUMNS, HIDDEN)).astype(np.float32),
        "words": random.normal(size=(WORDS, HIDDEN)).astype(np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["table", "matrix"], ["product"]),
            helper.make_node("Gather", ["words", "word"], ["looked_up"]),
            helper.make_node("Add", ["product", "looked_up"], ["made"]),
        ],
        "model",
        [
            helper.make_tensor_value_info("table", TensorProto.FLOAT, ["n", COLUMNS]),
            helper.make_tensor_value_info("word", TensorProto.INT64, ["n"]),
        ],
        [helper.make_tensor_value_info("made", TensorProto.FLOAT, ["n", HIDDEN])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10), weights


def needles_of(what: str, numbers: NDArray[Any]) -> list[Needle]:
    """Forms in which some of these numbers could leak, shape (n,).

    A float32 has too few random bits for one alone: three neighbours are looked for.
    """
    wide, narrow = numbers.astype(np.float64), numbers.astype(np.float32)
    forms = {
        "float32": narrow[4:7].tobytes(),
        "float32, big-endian": narrow[4:7].astype(">f4").tobytes(),
        "float64": wide[4:7].tobytes(),
        "decimal": repr(float(wide[5])).lstrip("-")[:15].encode(),
    }
    if numbers.dtype == np.float64:
        forms |= {
            "float64": wide[5].tobytes(),
            "float64, big-endian": wide[5].astype(">f8").tobytes(),
        }
    else:
        forms["short decimals"] = ", ".join(str(number) for number in narrow[4:6]).encode()
    return [Needle(f"{what}: {form}", pattern) for form, pattern in forms.items()]
