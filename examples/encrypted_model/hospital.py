"""The hospital's desk: has patients, and asks about them. What it knows stays in this process and
in its folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from examples.encrypted_model import model
from examples.encrypted_model.desk import Tasks, work
from strongroom import Client, IdentityStore, Policy

PATIENTS = "patients.npz"
ANSWERS = "answers.npy"


class Hospital:
    """What its process holds."""

    _client: Client
    _patients: NDArray[np.float64]
    _answers: NDArray[np.float64]

    def connect(self, url: str) -> dict[str, Any]:
        """Verify who owns the model, what the server promises, and who holds the key."""
        began = time.perf_counter()
        self._client = Client(
            url,
            model=model.NAME,
            trust=Path("vendor.pub"),
            token=Path("token").read_text(),
            # Nobody but the key holders may see the model: that too is checked, not believed.
            policy=Policy(hide="model"),
            identity=IdentityStore.open().identity(),
            progress=False,
        )
        holder: Any = self._client.plan.holder
        return {
            "committee": holder.committee,
            "weights_from_server": self._client.guarantee.weights_from_server,
            "seconds": round(time.perf_counter() - began, 2),
        }

    def ask(self, rows: int, seed: int) -> dict[str, Any]:
        """Ask about patients, one by one; they and the answers stay here."""
        self._patients, labels = model.patients(rows, seed)
        np.savez(PATIENTS, self._patients)
        answers, waited = [], []
        for place in range(rows):
            began = time.perf_counter()
            answers.append(self._client.predict_proba(self._patients[place : place + 1]))
            waited.append(time.perf_counter() - began)
        self._answers = np.concatenate(answers)
        np.save(ANSWERS, self._answers)
        timings = self._client.timings
        return {
            "rows": rows,
            "accuracy": float(np.mean(self._answers.argmax(axis=1) == labels)),
            "median_ms": round(1000.0 * float(np.median(waited)), 1),
            "bytes_sent": timings.bytes_sent,
            "bytes_received": timings.bytes_received,
        }

    def once_more(self) -> dict[str, Any]:
        """Ask about the first patient again."""
        again = self._client.predict_proba(self._patients[:1])
        return {
            "requests": self._client.timings.requests,
            "same": bool(np.abs(again - self._answers[:1]).max() < 1e-3),
        }


if __name__ == "__main__":
    hospital = Hospital()
    tasks: Tasks = {
        "connect": hospital.connect,
        "ask": hospital.ask,
        "once_more": hospital.once_more,
    }
    work(tasks)
