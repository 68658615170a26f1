"""A server's share of memory when many tenants' keys come from files: run as a program.

Makes a key file for each tenant, serves them in turn with one cache, checks every result with the
tenant's own secret key, and prints what it measured as JSON (bytes). Deletes the files.
"""

from __future__ import annotations

import argparse
import json
import threading
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
from slow_reference import ntt_primes

from strongroom.engine import Parameters, SecretKey, decode, encode_slots
from strongroom.engine.evaluator import Evaluator
from strongroom.engine.galois import rotation_element
from strongroom.engine.key_files import write_key_file
from strongroom.engine.mapped_keys import KeyCache, MappedKeys

ROUNDS = 3


def resident() -> dict[str, int]:
    """Resident memory of this process by the kernel's names, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    names = ("RssAnon", "RssFile", "RssShmem", "VmHWM")
    return {name: 1024 * int(fields[name].split()[0]) for name in names}


class Peaks:
    """The largest values of anonymous and file-backed memory, looked at every few milliseconds."""

    def __init__(self) -> None:
        self.anonymous = self.file = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Peaks:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            now = resident()
            self.anonymous = max(self.anonymous, now["RssAnon"] + now["RssShmem"])
            self.file = max(self.file, now["RssFile"])
            if self._stop.wait(0.003):
                return


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    for name in ("log-degree", "primes", "bits", "special", "tenants", "keys", "limit"):
        parser.add_argument(f"--{name}", type=int, required=True)
    asked = parser.parse_args()
    degree = 2**asked.log_degree
    parameters = Parameters(
        degree,
        tuple(islice(ntt_primes(degree, asked.bits), asked.primes)),
        tuple(islice(ntt_primes(degree, asked.bits + 1), asked.special)),
    )
    steps = [3**k for k in range(asked.keys)]
    elements = [rotation_element(parameters, k) for k in steps]
    secrets = [SecretKey.generate(parameters) for _ in range(asked.tenants)]
    paths = [asked.folder / f"tenant-{i}" for i in range(asked.tenants)]
    before = resident()
    with Peaks() as writing:
        for secret, path in zip(secrets, paths, strict=True):
            write_key_file(path, parameters, map(secret.switching_key, elements))
    file_bytes = sum(path.stat().st_size for path in paths)
    with Peaks() as peaks:
        cache = KeyCache(asked.limit)
        tenants = [MappedKeys(path, parameters, cache) for path in paths]
        # Deleted already: nothing is left behind, whatever happens from here on.
        for path in paths:
            path.unlink()
        most_mapped = 0
        generator = np.random.default_rng(0)
        for _ in range(ROUNDS):
            for secret, keys in zip(secrets, tenants, strict=True):
                values = generator.uniform(-1, 1, degree // 2)
                plaintext = encode_slots(parameters, values, Fraction(2**asked.bits), asked.primes)
                ciphertext = secret.encrypt(plaintext)
                evaluator = Evaluator(keys)
                for k in steps:
                    turned = evaluator.rotate_many(ciphertext, [k, 1])
                    for step, result in zip((k, 1), turned, strict=True):
                        opened = decode(secret.decrypt_raw_do_not_publish(result))
                        expected = np.roll(values, -step)
                        np.testing.assert_allclose(opened, expected, rtol=0, atol=2**-18)
                most_mapped = max(most_mapped, cache.mapped_bytes)
        for keys in tenants:
            keys.close()
    measured = {
        "file_bytes": file_bytes,
        "most_mapped": most_mapped,
        "evictions": cache.evictions,
        "anonymous_before": before["RssAnon"],
        "anonymous_writing": writing.anonymous,
        "anonymous_peak": peaks.anonymous,
        "file_before": before["RssFile"],
        "file_peak": peaks.file,
        "total_peak": resident()["VmHWM"],
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
