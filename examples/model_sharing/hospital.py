"""A hospital's process: asks about its patients, or opens a package on its own machine."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import strongroom
from examples.command import run
from examples.model_sharing import model
from examples.model_sharing.canaries import Canaries
from strongroom import Client
from strongroom.cli.policy_options import JsonOption


def ask(
    folder: Path,
    hospital: str,
    url: str,
    token_file: Path,
    rows: int,
    seed: int,
    as_json: JsonOption = False,
) -> None:
    """Ask about patients, one by one; answers, patients and a receipt stay in the folder."""
    patients, labels = model.patients(hospital, rows, seed)
    np.savez(folder / "patients.npz", patients)
    answers, waited = [], []
    with _client(folder, url, token_file) as client:
        client.predict_proba(patients[:1])
        for place in range(rows):
            began = time.perf_counter()
            answers.append(client.predict_proba(patients[place : place + 1]))
            waited.append(time.perf_counter() - began)
        (receipt,) = client.receipts
        guarantee = client.guarantee
    (folder / "receipt.json").write_text(receipt.text)
    found = np.concatenate(answers)
    np.save(folder / "answers.npy", found)
    print(
        json.dumps(
            {
                "accuracy": float(np.mean(found.argmax(axis=1) == labels)),
                "median_ms": round(1000.0 * float(np.median(waited)), 2),
                "answered": receipt.statement.time,
                "inputs_from_server": guarantee.inputs_from_server,
            }
        )
    )


def connect(folder: Path, url: str, token_file: Path, as_json: JsonOption = False) -> None:
    """Verify what a host serves, as comes before every question, and ask nothing."""
    with _client(folder, url, token_file) as client:
        print(json.dumps({"digest": client.package_digest}))


def open_package(folder: Path, file: Path, seed: int, as_json: JsonOption = False) -> None:
    """Open a package that was granted for "open": its weights are in this process's memory."""
    package = strongroom.load(file)
    payload = b"".join(bytes(segment) for segment in package.payload.values())
    # Only a demonstration can train the vendor's model again, to know what to look for.
    searched = Canaries(model.weights(model.train(seed)))
    print(json.dumps({"payload_bytes": len(payload), "weights": searched.within(payload)}))


def _client(folder: Path, url: str, token_file: Path) -> Client:
    """Whoever served, the vendor is whom it trusts."""
    return Client(
        url,
        model=model.NAME,
        trust=folder / "vendor.pub",
        token=token_file.read_text(),
        receipts=True,
        progress=False,
    )


COMMANDS: dict[str, Any] = {"ask": ask, "connect": connect, "open": open_package}

if __name__ == "__main__":
    sys.exit(run(COMMANDS[sys.argv[1]], "the hospital", sys.argv[2:]))
