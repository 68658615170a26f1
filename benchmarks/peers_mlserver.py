"""A plain model behind MLServer 1.7, asked by some clients at once; runs in MLServer's environment.

    python benchmarks/peers_mlserver.py MODEL.onnx REQUESTS.npz CLIENTS SECONDS

prints one line of JSON: latencies in milliseconds, all of them. REQUESTS.npz holds the tensors of
one request. The environment's OMP_NUM_THREADS says how many processors there are.

MLServer is given what makes it fast: gRPC, no access log, no metrics, tensors as BYTES (it makes
Python lists of numbers, one by one), and of three settings the one with the best median:
the model in its own process with all threads, in one further process with all threads, in as many
processes as there are processors with one thread each. ONNX Runtime has the options that our server
gives it.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.grpc import dataplane_pb2
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

NAME = "plain"
METHOD = "/inference.GRPCInferenceService/ModelInfer"
START_SECONDS = 120.0
WARM_REQUESTS = 20


class PlainOnnx(MLModel):
    """The model, as MLServer loads it; the settings name file, threads and the inputs' dtypes."""

    async def load(self) -> bool:
        """Make the session."""
        extra = self.settings.parameters.extra
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = extra["threads"]
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            extra["model"], options, providers=["CPUExecutionProvider"]
        )
        self._inputs = extra["inputs"]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run it on tensors that travel as bytes."""
        feeds = {}
        for tensor in payload.inputs:
            dtype, shape = self._inputs[tensor.name]
            feeds[tensor.name] = np.frombuffer(tensor.data.root[0], dtype).reshape(shape)
        values = self._session.run(None, feeds)
        outputs = [
            ResponseOutput(name=output.name, shape=[1], datatype="BYTES", data=[v.tobytes()])
            for output, v in zip(self._session.get_outputs(), values, strict=True)
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)


@contextmanager
def served(model: Path, inputs: dict[str, Any], processes: int, threads: int) -> Iterator[str]:
    """MLServer with one model, as "host:port" of its gRPC service.

    Args:
        processes: that run the model beside MLServer's own; 0: that one runs it.
        threads: of one run.
    """
    ports = _free_ports(3)
    settings = {
        "debug": False,
        "parallel_workers": processes,
        "host": "127.0.0.1",
        "http_port": ports[0],
        "grpc_port": ports[1],
        "metrics_port": ports[2],
        "metrics_endpoint": None,
    }
    extra = {"model": str(model), "threads": threads, "inputs": inputs}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "settings.json").write_text(json.dumps(settings))
        (folder / "model-settings.json").write_text(
            json.dumps(
                {
                    "name": NAME,
                    "implementation": "peers_mlserver.PlainOnnx",
                    "parameters": {"extra": extra},
                }
            )
        )
        command = [str(Path(sys.executable).with_name("mlserver")), "start", str(folder)]
        surroundings = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                command, cwd=folder, env=surroundings, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            address = f"127.0.0.1:{ports[1]}"
            _wait_until_ready(address, process, folder / "log")
            yield address
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _wait_until_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    question = dataplane_pb2.ModelReadyRequest(name=NAME).SerializeToString()
    deadline = time.monotonic() + START_SECONDS
    with grpc.insecure_channel(address) as channel:
        ready = channel.unary_unary("/inference.GRPCInferenceService/ModelReady")
        while process.poll() is None and time.monotonic() < deadline:
            try:
                answer = ready(question, timeout=2.0)
                if dataplane_pb2.ModelReadyResponse.FromString(answer).ready:
                    return
            except grpc.RpcError:
                pass
            time.sleep(0.2)
    raise SystemExit(f"MLServer did not start:\n{log.read_text()[-3000:]}")


def _question(tensors: dict[str, np.ndarray]) -> bytes:
    request = dataplane_pb2.ModelInferRequest(model_name=NAME)
    for name, values in tensors.items():
        request.inputs.add(name=name, datatype="BYTES", shape=[1])
        content = np.ascontiguousarray(values).tobytes()
        request.raw_input_contents.append(len(content).to_bytes(4, "little") + content)
    return request.SerializeToString()


async def _ask(address: str, question: bytes, clients: int, seconds: float) -> list[float]:
    """Milliseconds of all requests, by clients that each ask again once they are answered."""
    waited: list[float] = []

    async def client() -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own
        async with grpc.aio.insecure_channel(address, options) as channel:
            infer = channel.unary_unary(METHOD)
            for _ in range(WARM_REQUESTS):
                await infer(question)
            ended = time.perf_counter() + seconds
            while (began := time.perf_counter()) < ended:
                answer = await infer(question)
                waited.append(1000.0 * (time.perf_counter() - began))
            assert answer, "an empty answer"

    await asyncio.gather(*(client() for _ in range(clients)))
    return waited


def _checked(address: str, question: bytes, expected: list[np.ndarray]) -> None:
    """That MLServer answers what the model says."""
    with grpc.insecure_channel(address) as channel:
        answer = dataplane_pb2.ModelInferResponse.FromString(
            channel.unary_unary(METHOD)(question, timeout=60.0)
        )
    for content, values in zip(answer.raw_output_contents, expected, strict=True):
        found = np.frombuffer(content[4:], values.dtype).reshape(values.shape)
        np.testing.assert_allclose(found, values, rtol=1e-4, atol=1e-5)


def main() -> None:
    """Measure each setting, print the best."""
    model, requests, clients, seconds = sys.argv[1:]
    path = Path(model).resolve()
    with np.load(requests) as stored:
        tensors = dict(stored)
    expected = onnxruntime.InferenceSession(str(path)).run(None, tensors)
    inputs = {name: (values.dtype.str, values.shape) for name, values in tensors.items()}
    processors = int(os.environ["OMP_NUM_THREADS"])
    measured: dict[str, list[float]] = {}
    for processes, threads in ((0, processors), (1, processors), (processors, 1)):
        with served(path, inputs, processes, threads) as address:
            _checked(address, _question(tensors), expected)
            measured[f"{processes} x {threads}"] = asyncio.run(
                _ask(address, _question(tensors), int(clients), float(seconds))
            )
    best = min(measured, key=lambda setting: statistics.median(measured[setting]))
    print(
        json.dumps(
            {
                "setting": best,
                "median_ms": statistics.median(measured[best]),
                "requests": len(measured[best]),
                "medians_ms": {name: statistics.median(ms) for name, ms in measured.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
