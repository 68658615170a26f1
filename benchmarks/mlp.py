"""Dense networks on encrypted MNIST images, and Orion v2 on one of them.

Three networks, trained here from a seed and cached (`mlp_models`): 784-128-10 with squares, one
image and 1000 images; 784-128-64-10 with ReLU, the network of the HomomorphicEncryption.org suite;
784-128-128-10 with squares, Orion's own example, which both sides answer with the same weights
(`mlp2` is ours, `orion` theirs). Client and server are processes of their own, the server has two
threads (beside Orion: the better of one and two threads on both sides, whose images are answered in
turn, block by block).
Every image is of MNIST's test part. Times of single images are the server's own, medians;
`mlp_1000_seconds` is of the whole exchange, encryption and decryption included, with keys that are
at the server already.

Orion computes in one process, with keys in memory, and neither sanitises its results nor floods its
decryption. It runs in an environment of its own that is made at the first run; MNIST (11.5 MB) is
fetched then too. The last line is one JSON object; the benchmark exits with status 1 if it misses a
floor.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import mlp_mnist
import numpy as np
from floors import Floors, conclude
from mlp_mnist import Mnist
from mlp_models import ORION, RELU, SQUARE, scores, trained
from numpy.typing import NDArray
from peers_environments import run_peer
from serving import Asked, ask_row_by_row, exchange, worker_bytes
from torch import nn

import strongroom

SAMPLE_IMAGES = 1000
TEST_IMAGES = 1000
TIMED_IMAGES = 50
IMAGES_A_TURN = 10
FITTING_IMAGES = 200
"""That Orion takes its ranges from."""

THREADS = (1, 2)

SINGLE_ROWS = strongroom.Policy(objective="latency")
MANY_ROWS = strongroom.Policy(objective="throughput")
APPROXIMATE = strongroom.Policy(objective="latency", minimum_agreement=0.99)
"""ReLU is no polynomial: an image on a decision boundary may change sides."""

FLOORS: Floors = {
    "mlp_server_ms": ("<=", 25.0),
    "mlp_accuracy": (">=", 0.97),
    "mlp_key_bytes": ("<=", 20e6),
    "mlp_request_bytes": ("<=", 256e3),
    "mlp_1000_seconds": ("<=", 10.0),
    "mlp_1000_upload_bytes": ("<=", 64e6),
    "relu_accuracy_drop": ("<=", 0.005),
    "relu_server_ms": ("<=", 150.0),
    "speedup_vs_orion": (">=", 8.0),
    "key_ratio_vs_orion": (">=", 5.0),
}


def main() -> int:
    """Run, print a table and the JSON line; 0 if every floor is met."""
    warnings.simplefilter("ignore", strongroom.InputRangeWarning)
    data = mlp_mnist.load()
    worker = worker_bytes()
    results = _square(data, worker) | _relu(data, worker) | _against_orion(data, worker)
    results |= {name: results[f"mlp_{name}"] for name in ("lambda", "ring_degree", "log_qp")}
    results["resident_bytes"] = results["mlp_resident_bytes"]
    return conclude(results, FLOORS)


def _protected(
    network: nn.Sequential, data: Mnist, name: str, policy: strongroom.Policy
) -> tuple[strongroom.Package, dict[str, Any]]:
    """A package, and how long it took to make it."""
    start = time.perf_counter()
    package = strongroom.protect(
        # What a softmax ends in is a classifier; it runs at the client.
        nn.Sequential(network, nn.Softmax(dim=1)),
        sample=data.training_images[:SAMPLE_IMAGES],
        policy=policy,
        name=name,
    )
    return package, {f"{name}_protect_seconds": round(time.perf_counter() - start, 1)}


def _square(data: Mnist, worker: int) -> dict[str, Any]:
    network = trained(SQUARE, data)
    single, results = _protected(network, data, "mlp", SINGLE_ROWS)
    many, made = _protected(network, data, "mlp_1000", MANY_ROWS)
    images, labels = data.test_images[:TEST_IMAGES], data.test_labels[:TEST_IMAGES]
    with exchange(single) as served:
        asked = ask_row_by_row(served.client, images[:TIMED_IMAGES])
        protected = digits(served.client.predict(images))
        results |= made | served.figures("mlp", asked, worker_bytes=worker)
    with exchange(many) as served:
        one = ask_row_by_row(served.client, images[:1])
        start = time.perf_counter()
        of_many = digits(served.client.predict(images))
        seconds, spent = time.perf_counter() - start, served.client.timings
        results |= served.figures("mlp_1000", one, worker_bytes=worker)
    plain = scores(network, images).argmax(axis=1)
    return results | {
        "mlp_accuracy": float(np.mean(protected == labels)),
        "mlp_plain_accuracy": float(np.mean(plain == labels)),
        "mlp_agreement": float(np.mean(protected == plain)),
        "mlp_1000_seconds": round(seconds, 2),
        "mlp_1000_server_seconds": round(spent.compute_seconds, 2),
        "mlp_1000_upload_bytes": spent.bytes_sent,
        "mlp_1000_agreement": float(np.mean(of_many == plain)),
    }


def _relu(data: Mnist, worker: int) -> dict[str, Any]:
    network = trained(RELU, data)
    package, results = _protected(network, data, "relu", APPROXIMATE)
    images, labels = data.test_images[:TEST_IMAGES], data.test_labels[:TEST_IMAGES]
    with exchange(package) as served:
        asked = ask_row_by_row(served.client, images[:TIMED_IMAGES])
        protected = digits(served.client.predict(images))
        results |= served.figures("relu", asked, worker_bytes=worker)
    plain = scores(network, images).argmax(axis=1)
    accuracy, plain_accuracy = (float(np.mean(some == labels)) for some in (protected, plain))
    return results | {
        "relu_accuracy": accuracy,
        "relu_plain_accuracy": plain_accuracy,
        "relu_accuracy_drop": round(plain_accuracy - accuracy, 6),
        "relu_agreement": float(np.mean(protected == plain)),
    }


def _against_orion(data: Mnist, worker: int) -> dict[str, Any]:
    """Our turns, between which lie Orion's two runs, so that a drifting machine drifts for both."""
    network = trained(ORION, data)
    package, results = _protected(network, data, "mlp2", SINGLE_ROWS)
    turns: dict[int, list[Asked]] = {threads: [] for threads in THREADS}
    theirs: dict[int, dict[str, Any]] = {}
    images = data.test_images[:FITTING_IMAGES]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "network.npz"
        weights = {name: value.numpy() for name, value in network.state_dict().items()}
        np.savez(path, images=images, **weights)
        ours = {count: stack.enter_context(exchange(package, threads=count)) for count in THREADS}

        def our_turn() -> None:
            for count, served in ours.items():
                turns[count].append(ask_row_by_row(served.client, images[:IMAGES_A_TURN]))

        our_turn()
        for count in THREADS:
            theirs[count] = run_peer("orion", "mlp", path, IMAGES_A_TURN, threads=count)
            our_turn()
        best = min(THREADS, key=lambda count: _server_ms(turns[count]))
        results |= ours[best].figures("mlp2", turns[best][-1], worker_bytes=worker)
    their_best = min(THREADS, key=lambda count: float(theirs[count]["server_ms"]))
    results |= {f"orion_{name}": value for name, value in theirs[their_best].items()}
    results["mlp2_server_ms"] = _server_ms(turns[best])
    plain = scores(network, images[:IMAGES_A_TURN]).argmax(axis=1)
    agreeing = [digits(asked.predictions) == plain for asked in turns[1] + turns[2]]
    return results | {
        "orion_threads": their_best,
        "orion_server_ms_by_threads": {count: theirs[count]["server_ms"] for count in THREADS},
        "mlp2_threads": best,
        "mlp2_server_ms_by_threads": {count: _server_ms(turns[count]) for count in THREADS},
        "mlp2_agreement": float(np.mean(agreeing)),
        "speedup_vs_orion": _ratio(results, "server_ms"),
        "key_ratio_vs_orion": _ratio(results, "key_bytes"),
    }


def _ratio(results: dict[str, Any], name: str) -> float:
    return round(results[f"orion_{name}"] / results[f"mlp2_{name}"], 2)


def _server_ms(turns: list[Asked]) -> float:
    """Median of all turns."""
    seconds = np.concatenate([asked.compute_seconds for asked in turns])
    return round(1000.0 * float(np.median(seconds)), 2)


def digits(answers: NDArray[Any]) -> NDArray[Any]:
    """The digit of each answer, of scores of shape (n, 10) or of labels."""
    return answers.argmax(axis=1) if answers.ndim == 2 else answers


if __name__ == "__main__":
    sys.exit(main())
