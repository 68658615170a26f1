"""A process that measures the peaks of its operations, and prints them with the predictions."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from small_rings import chain, unchecked

from strongroom import engine
from strongroom.engine import Evaluator, SecretKey, StepPlan
from strongroom.engine import operation_memory as memory

PLAN = StepPlan((0, 1, 2, 3), (0, 4, 8, 12))


def status(field: str) -> int:
    """Bytes, from the system's account of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise KeyError(field)


def peak(operation: Callable[[], object]) -> int:
    """How many bytes a thread that does this has at most."""
    found = []

    def measured() -> None:
        Path("/proc/self/clear_refs").write_text("5")
        before = status("VmRSS")
        result = operation()
        found.append(status("VmHWM") - before)
        del result

    thread = threading.Thread(target=measured)
    thread.start()
    thread.join()
    # The thread's own blocks go after that.
    time.sleep(0.05)
    return found[0]


def main() -> None:
    primes = chain(2**15, (45,) * 12)
    p = unchecked(2**15, primes[:9], primes[9:])
    limbs, scale = p.limbs, Fraction(2) ** 30
    secret = SecretKey.generate(p)
    public = secret.public_key(limbs)
    elements = {engine.RELINEARISATION} | engine.rotation_elements(p, PLAN.steps)
    evaluator = Evaluator(secret.evaluation_keys(elements), threads=1)
    values = np.ones(p.ring_degree // 2)
    x = engine.encode_slots(p, values, scale, limbs, transformed=True)
    c, d = secret.encrypt(x), secret.encrypt(x)
    diagonals = dict.fromkeys(range(16), values)
    plain = engine.LinearTransform.from_diagonals(p, diagonals, scale=scale, plan=PLAN)
    hidden = engine.EncryptedLinearTransform.from_diagonals(
        secret, diagonals, scale=scale, plan=PLAN
    )
    measured = {
        "rotate": (lambda: evaluator.rotate(c, 1), memory.rotate_peak(p, limbs)),
        "three rotations": (
            lambda: evaluator.rotate_many(c, [1, 2, 3]),
            memory.rotate_peak(p, limbs, count=3),
        ),
        "multiply": (
            lambda: evaluator.multiply(c, d, drop=1),
            memory.multiply_peak(p, limbs, 1),
        ),
        "rescale": (lambda: evaluator.rescale(c, 2), memory.rescale_peak(p, limbs, 2)),
        "multiply plain": (
            lambda: evaluator.multiply_plain(c, x, drop=1),
            memory.multiply_plain_peak(p, limbs, 1),
        ),
        "add": (lambda: evaluator.add(c, d), memory.linear_combination_peak(p, limbs)),
        "linear map": (
            lambda: engine.apply_transform(evaluator, c, plain, drop=1),
            memory.transform_peak(p, limbs, PLAN, drop=1),
        ),
        "encrypted linear map": (
            lambda: engine.apply_transform(evaluator, c, hidden, drop=1),
            memory.transform_peak(p, limbs, PLAN, encrypted=True, drop=1),
        ),
        "encode": (
            lambda: engine.encode_slots(p, values, scale, limbs, transformed=True),
            memory.encode_peak(p, limbs),
        ),
        "decode": (lambda: engine.decode(x), memory.decode_peak(p, limbs)),
        "encrypt": (lambda: secret.encrypt(x), memory.encrypt_peak(p, limbs)),
        "encrypt publicly": (
            lambda: public.encrypt(x),
            memory.encrypt_peak(p, limbs, public=True),
        ),
    }
    print(json.dumps({name: (peak(run), bytes_) for name, (run, bytes_) in measured.items()}))


if __name__ == "__main__":
    main()
