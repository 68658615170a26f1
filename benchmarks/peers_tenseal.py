"""TenSEAL 0.3.18: the network of its own tutorial on encrypted MNIST images. Runs in a process of
its own; `peers_environments` starts it.

    python peers_tenseal.py NETWORK.npz TRIALS

The file has the weights and biases "1.weight", "1.bias" of the convolution, "4.weight" and so on of
the dense layers, and `images` of shape (n, 784). The first TRIALS images are answered one by one as
in TenSEAL's tutorial on convolution: the client arranges windows of pixels in columns and encrypts
them, the server multiplies by each kernel, packs the channels into one vector, squares, multiplies
by a matrix, squares, multiplies by a matrix. The parameters are the tutorial's: ring degree 2^13,
moduli of 31 + 6 x 26 + 31 bits. The server's side starts from bytes, with a context that holds no
secret key, and ends in bytes. OMP_NUM_THREADS says on how many threads. The last line is one JSON
object.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from typing import Any

import numpy as np
import psutil
import tenseal
from numpy.typing import NDArray

RING_DEGREE = 8192
SCALE_BITS = 26
MODULUS_BITS = (31, *[SCALE_BITS] * 6, 31)
KERNEL, STRIDE = 7, 3
SIDE = 28


class Network:
    """Convolution with 4 kernels of 7 x 7, stride 3, 256-64-10 dense, squares between."""

    def __init__(self, weights: dict[str, NDArray[Any]]) -> None:
        self.kernels = weights["1.weight"].reshape(-1, KERNEL, KERNEL).tolist()
        self.kernel_biases = weights["1.bias"].tolist()
        self.dense = [
            (weights[f"{place}.weight"].T.tolist(), weights[f"{place}.bias"].tolist())
            for place in (4, 6)
        ]

    def scores(self, columns: tenseal.CKKSVector, windows: int) -> tenseal.CKKSVector:
        """Encrypted scores of the digits."""
        channels = [
            columns.conv2d_im2col(kernel, windows) + bias
            for kernel, bias in zip(self.kernels, self.kernel_biases, strict=True)
        ]
        values = tenseal.CKKSVector.pack_vectors(channels)
        for matrix, biases in self.dense:
            values.square_()
            values = values.mm(matrix) + biases
        return values


def main() -> None:
    """Make keys, answer, print."""
    with np.load(sys.argv[1]) as stored:
        arrays = {name: stored[name].astype(float) for name in stored}
    trials = int(sys.argv[2])
    network = Network(arrays)

    client = tenseal.context(
        tenseal.SCHEME_TYPE.CKKS,
        poly_modulus_degree=RING_DEGREE,
        coeff_mod_bit_sizes=list(MODULUS_BITS),
        n_threads=int(os.environ["OMP_NUM_THREADS"]),
    )
    client.global_scale = 2.0**SCALE_BITS
    client.generate_galois_keys()
    keys = client.serialize(save_secret_key=False)
    server = tenseal.context_from(keys, n_threads=int(os.environ["OMP_NUM_THREADS"]))

    seconds, scores = [], []
    for image in arrays["images"][:trials]:
        columns, windows = tenseal.im2col_encoding(
            client, image.reshape(SIDE, SIDE).tolist(), KERNEL, KERNEL, STRIDE
        )
        request = columns.serialize()
        start = time.perf_counter()
        answer = network.scores(tenseal.ckks_vector_from(server, request), windows).serialize()
        seconds.append(time.perf_counter() - start)
        scores.append(tenseal.ckks_vector_from(client, answer).decrypt())

    print(
        json.dumps(
            {
                "server_ms": round(1000.0 * statistics.median(seconds), 1),
                "key_bytes": len(keys),
                "request_bytes": len(request),
                "response_bytes": len(answer),
                "scores": np.array(scores).round(6).tolist(),
                "resident_bytes": psutil.Process().memory_info().rss,
            }
        )
    )


if __name__ == "__main__":
    main()
