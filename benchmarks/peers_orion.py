"""Orion v2: networks with squares on encrypted MNIST images. Runs in an environment of its own, in
a process of its own; `peers_environments` starts it.

    python peers_orion.py (mlp | lenet) NETWORK.npz TRIALS

The file has the weights and biases, "0.weight", "0.bias", "2.weight" and so on in the order of the
layers, and `images`, from which it takes its ranges. The first TRIALS images are answered one by
one, bytes in, bytes out, with the parameters of Orion's own examples and a key for every rotation
that the compiled network asks for. GOMAXPROCS says on how many threads. The last line is one JSON
object.
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import numpy as np
import orion_compiler.nn as on
import psutil
import torch
from lattigo import ckks, rlwe
from orion_compiler import CKKSParams, Compiler
from orion_evaluator import Evaluator, Model

MLP_PARAMETERS = CKKSParams(
    logn=13,
    logq=(29, 26, 26, 26, 26, 26),
    logp=(29, 29),
    log_default_scale=26,
    h=8192,
    ring_type="conjugate_invariant",
)

LENET_PARAMETERS = CKKSParams(
    logn=14,
    logq=(45, 35, 35, 35, 35, 35, 35, 35),
    logp=(45, 45),
    log_default_scale=35,
    h=8192,
    ring_type="conjugate_invariant",
)
"""Those of Orion's paper. The example that v2 brings has a smaller ring, below 128 bits of
security."""


class Mlp(on.Module):
    """784-128-128-10 with squares."""

    layers = ("first", "second", "third")

    def __init__(self) -> None:
        super().__init__()
        self.flatten = on.Flatten()
        self.first, self.first_square = on.Linear(784, 128), on.Quad()
        self.second, self.second_square = on.Linear(128, 128), on.Quad()
        self.third = on.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the digits."""
        x = self.first_square(self.first(self.flatten(x)))
        return self.third(self.second_square(self.second(x)))


class LeNet(on.Module):
    """Convolutions of 32 and 64 kernels of 5 x 5 with stride 2, 512-10 dense, squares between."""

    layers = ("first", "second", "third", "fourth")

    def __init__(self) -> None:
        super().__init__()
        self.first = on.Conv2d(1, 32, kernel_size=5, padding=2, stride=2)
        self.second = on.Conv2d(32, 64, kernel_size=5, padding=2, stride=2)
        self.flatten = on.Flatten()
        self.third, self.fourth = on.Linear(7 * 7 * 64, 512), on.Linear(512, 10)
        self.first_square, self.second_square, self.third_square = on.Quad(), on.Quad(), on.Quad()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the digits."""
        x = self.second_square(self.second(self.first_square(self.first(x))))
        return self.fourth(self.third_square(self.third(self.flatten(x))))


KINDS: dict[str, tuple[type[Mlp | LeNet], tuple[int, ...], CKKSParams]] = {
    "mlp": (Mlp, (784,), MLP_PARAMETERS),
    "lenet": (LeNet, (1, 28, 28), LENET_PARAMETERS),
}
"""The network, the shape of one image, the parameters."""


def main() -> None:
    """Compile, make keys, answer, print."""
    kind, path, trials = sys.argv[1], sys.argv[2], int(sys.argv[3])
    made, shape, ckks_parameters = KINDS[kind]
    with np.load(path) as stored:
        weights = {name: stored[name] for name in stored if name != "images"}
        images = torch.from_numpy(stored["images"].astype(np.float32)).reshape(-1, *shape)
    network = made()
    places = sorted({int(name.split(".")[0]) for name in weights})
    network.load_state_dict(
        {
            f"{layer}.{part}": torch.from_numpy(weights[f"{place}.{part}"])
            for layer, place in zip(network.layers, places, strict=True)
            for part in ("weight", "bias")
        }
    )
    network.eval()
    with torch.no_grad():
        plain = network(images).numpy()

    compiler = Compiler(network, ckks_parameters)
    # It takes its shapes from what it is fitted on: the batch must be one image.
    dataset = torch.utils.data.TensorDataset(images)
    compiler.fit(torch.utils.data.DataLoader(dataset, batch_size=1), batch_size=1)
    compiled = compiler.compile().to_bytes()
    model = Model.load(compiled)
    parameters, manifest, level = model.client_params()

    client = ckks.Parameters.from_dict(parameters)
    keys = rlwe.KeyGenerator(client)
    secret = keys.gen_secret_key()
    public = keys.gen_public_key(secret)
    relinearisation = keys.gen_relin_key(secret) if manifest["needs_rlk"] else None
    rotations = [keys.gen_galois_key(secret, element) for element in manifest["galois_elements"]]
    key_bytes = rlwe.MemEvaluationKeySet(relinearisation, rotations).marshal_binary()
    encoder = ckks.Encoder(client)
    encryptor, decryptor = rlwe.Encryptor(client, public), rlwe.Decryptor(client, secret)

    seconds, labels, errors = [], [], []
    with Evaluator(parameters, key_bytes) as evaluator:
        for image, expected in zip(images[:trials], plain, strict=False):
            values = image.flatten().tolist()
            values += [0.0] * (client.max_slots() - len(values))
            encoded = encoder.encode(values, level, client.default_scale())
            request = encryptor.encrypt_new(encoded).marshal_binary()
            start = time.perf_counter()
            answers = evaluator.forward(model, [request])
            seconds.append(time.perf_counter() - start)
            answer = decryptor.decrypt_new(rlwe.Ciphertext.unmarshal_binary(answers[0]))
            scores = np.array(encoder.decode(answer, client.max_slots())[:10])
            labels.append(int(scores.argmax()))
            errors.append(float(np.abs(scores - expected).max()))

    print(
        json.dumps(
            {
                "server_ms": round(1000.0 * statistics.median(seconds), 1),
                "key_bytes": len(key_bytes),
                "request_bytes": len(request),
                "response_bytes": len(answers[0]),
                "agreement": float(np.mean(np.array(labels) == plain[:trials].argmax(axis=1))),
                "max_score_error": max(errors),
                "rotation_keys": len(rotations),
                "compiled_bytes": len(compiled),
                "resident_bytes": psutil.Process().memory_info().rss,
            }
        )
    )


if __name__ == "__main__":
    main()
