"""Concrete ML 1.9: XGBoost on encrypted rows. Runs in an environment of its own, in a process of
its own; `peers_environments` starts it.

    python peers_concrete_ml.py ROWS.npz BITS TRIALS

The file has training_rows, training_labels and test_rows. One row is answered TRIALS times by
`FHEModelServer`, as in Concrete ML's guide to deployment: bytes in, bytes out. The last line is one
JSON object.
"""

from __future__ import annotations

import functools
import json
import statistics
import sys
import tempfile
import time

import numpy as np
import psutil
import torch

# Concrete ML's exporter needs torch's older one, which is no longer the default.
torch.onnx.export = functools.partial(torch.onnx.export, dynamo=False)

from concrete.ml.deployment import FHEModelClient, FHEModelDev, FHEModelServer  # noqa: E402
from concrete.ml.sklearn import XGBClassifier  # noqa: E402


def main() -> None:
    """Train, compile, make keys, answer, print."""
    path, bits, trials = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with np.load(path) as rows:
        training_rows, training_labels = rows["training_rows"], rows["training_labels"]
        test_rows, test_labels = rows["test_rows"], rows["test_labels"]
    model = XGBClassifier(n_estimators=50, max_depth=4, n_bits=bits, random_state=0)
    model.fit(training_rows, training_labels)
    clear = model.predict(test_rows)
    start = time.perf_counter()
    model.compile(training_rows)
    compile_seconds = time.perf_counter() - start

    with tempfile.TemporaryDirectory() as folder:
        FHEModelDev(path_dir=folder, model=model).save()
        client = FHEModelClient(path_dir=folder)
        server = FHEModelServer(path_dir=folder)
        start = time.perf_counter()
        keys = client.get_serialized_evaluation_keys()
        key_seconds = time.perf_counter() - start
        seconds, labels = [], []
        for trial in range(trials):
            request = client.quantize_encrypt_serialize(test_rows[trial : trial + 1])
            start = time.perf_counter()
            answer = server.run(request, keys)
            seconds.append(time.perf_counter() - start)
            labels.append(int(np.argmax(client.deserialize_decrypt_dequantize(answer))))

    print(
        json.dumps(
            {
                "server_ms": round(1000.0 * statistics.median(seconds), 1),
                "key_bytes": len(keys),
                "request_bytes": len(request),
                "response_bytes": len(answer),
                "accuracy": round(float(np.mean(clear == test_labels)), 4),
                "labels_as_in_the_clear": labels == clear[:trials].tolist(),
                "compile_seconds": round(compile_seconds, 1),
                "key_seconds": round(key_seconds, 1),
                "resident_bytes": psutil.Process().memory_info().rss,
            }
        )
    )


if __name__ == "__main__":
    main()
