"""Bytes against what the core itself says, and peaks against the process's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_rings import chain, unchecked

from strongroom import _native
from strongroom.engine import SecretKey, StepPlan
from strongroom.engine import operation_memory as memory

PRIMES = chain(2**13, (45,) * 12)
PARAMETERS = unchecked(2**13, PRIMES[:8], PRIMES[8:11])
PLAN = StepPlan((0, 1, 2, 3), (0, 4, 8, 12))


@pytest.mark.parametrize("limbs", range(1, 9))
def test_a_key_has_as_many_bytes_as_the_core_says(limbs: int) -> None:
    words = _native.switching_key_words(PARAMETERS.native, limbs)
    assert memory.switching_key_bytes(PARAMETERS, limbs) == 8 * words
    key = SecretKey.generate(PARAMETERS).switching_key(0, limbs)
    assert memory.switching_key_bytes(PARAMETERS, limbs) == key.native.words.nbytes


def test_rows_have_a_padding_of_a_cache_line() -> None:
    assert memory.row_bytes(2**13) == (2**13 + 8) * 8
    assert memory.ciphertext_bytes(PARAMETERS, 5) == 10 * memory.row_bytes(2**13)
    assert memory.plaintext_bytes(PARAMETERS, 5) == 5 * memory.row_bytes(2**13)
    assert memory.plaintext_bytes(PARAMETERS, 5, extended=True) == 8 * memory.row_bytes(2**13)


def test_peaks_grow_with_levels_and_steps() -> None:
    for peak in (memory.rotate_peak, memory.multiply_peak, memory.encode_peak):
        peaks = [peak(PARAMETERS, limbs) for limbs in range(1, 9)]
        assert peaks == sorted(set(peaks))
    many = [memory.rotate_peak(PARAMETERS, 8, count=count) for count in (1, 2, 9)]
    assert many[1] - many[0] == memory.ciphertext_bytes(PARAMETERS, 8)
    wide, square = StepPlan(tuple(range(16)), (0,)), PLAN
    assert memory.transform_peak(PARAMETERS, 8, wide) < memory.transform_peak(PARAMETERS, 8, square)
    with_threads = memory.transform_peak(PARAMETERS, 8, wide, threads=16)
    assert with_threads > memory.transform_peak(PARAMETERS, 8, wide)


def test_peaks_are_what_a_process_takes() -> None:
    """In a thread of a process of its own, where no block that was released before is at hand. Of
    blocks that it releases itself an operation keeps some, of other sizes than it needs next."""
    script = Path(__file__).with_name("measuring_peaks.py")
    # Every large block is then mapped, and unmapped when it is released.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(script.parent), *sys.path])
    run = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, check=True, timeout=120
    )
    found = json.loads(run.stdout)
    assert len(found) == 12
    for name, (measured, predicted) in found.items():
        assert predicted / 1.3 - 1e6 <= measured <= 1.3 * predicted + 1e6, name
