"""Orion v2: a dense network with squares on encrypted MNIST images. Runs in an environment of its
own, in a process of its own; `peers_environments` starts it.

    python peers_orion.py NETWORK.npz TRIALS

The file has the weights and biases "0.weight", "0.bias", "2.weight" and so on, and `images`, from
which it takes its ranges. The first TRIALS images are answered one by one, bytes in, bytes out,
with the parameters of Orion's own example (ring degree 2^13, moduli of 29 + 5 x 26 bits and 2 x 29
special bits) and a key for every rotation that the compiled network asks for. GOMAXPROCS says on
how many threads. The last line is one JSON object.
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

PARAMETERS = CKKSParams(
    logn=13,
    logq=(29, 26, 26, 26, 26, 26),
    logp=(29, 29),
    log_default_scale=26,
    h=8192,
    ring_type="conjugate_invariant",
)


class Network(on.Module):
    """784-128-128-10 with squares."""

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


def main() -> None:
    """Compile, make keys, answer, print."""
    with np.load(sys.argv[1]) as stored:
        weights = {name: stored[name] for name in stored if name != "images"}
        images = torch.from_numpy(stored["images"].astype(np.float32))
    trials = int(sys.argv[2])
    network = Network()
    names = {"0": "first", "2": "second", "4": "third"}
    network.load_state_dict(
        {
            f"{names[key.split('.')[0]]}.{key.split('.')[1]}": torch.from_numpy(value)
            for key, value in weights.items()
        }
    )
    network.eval()
    with torch.no_grad():
        plain = network(images).numpy()

    compiler = Compiler(network, PARAMETERS)
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
