"""Canaries: values that occur nowhere by chance, the forms in which they could leak, and a search
for them wherever a server could have put them.

Every pattern carries at least 48 random bits, most of them 52 or more, so that among the 10^9 bytes
that a test looks at one turns up by chance less often than once in 10^5 runs.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from strongroom.protections.fhe.circuit import LinearCircuit

COLUMNS = slice(4, 8)
"""The columns of a row whose values are looked for."""

_CHUNK = 8 << 20
_OVERLAP = 256


@dataclass(frozen=True)
class Needle:
    """Something that must not be found: a form's name, and its bytes."""

    form: str
    pattern: bytes


def canary_rows(circuit: LinearCircuit, rows: int) -> NDArray[np.float64]:
    """Rows inside the sample's range with 52 random bits in every cell."""
    layout = circuit.layout
    bits = np.frombuffer(secrets.token_bytes(8 * rows * layout.columns), np.uint64)
    places = (bits >> 11).astype(np.float64) / 2.0**53  # uniform over [0, 1)
    z = (1.6 * places - 0.8).reshape(rows, layout.columns)
    return np.asarray(np.array(layout.centre) + z * np.array(layout.half_width))


def needles_of_row(circuit: LinearCircuit, row: NDArray[np.float64]) -> list[Needle]:
    """All forms of the values in `COLUMNS` of one row, shape (columns,).

    Forms that have too few bits for one value are looked for in runs of neighbours, as they would
    lie in any array of rows or coefficients.
    """
    layout = circuit.layout
    z = (row - np.array(layout.centre)) / np.array(layout.half_width)
    scaled = z * 2.0**layout.log_input_scale
    found = []
    for name, values in (("raw", row), ("z-scaled", z), ("scaled by the input scale", scaled)):
        values = values[COLUMNS]
        found += [Needle(f"{name} float64", value.tobytes()) for value in values]
        found += _runs(f"{name} float32", values.astype(np.float32), 2)
        decimals = (repr(float(value)).lstrip("-")[:17] for value in values)
        found += [Needle(f"{name} decimal", decimal.encode()) for decimal in decimals]
    integers = [round(float(value)) for value in scaled[COLUMNS]]
    found += [
        Needle("fixed-point integer", integer.to_bytes(16, "little", signed=True)[:8])
        for integer in integers
    ]
    for prime in circuit.parameters.primes[: circuit.limbs.input]:
        residues = np.array([integer % prime for integer in integers], np.uint64)
        found += _runs(f"residues modulo {prime}", residues, -(-60 // prime.bit_length()))
    return found


def needles_of_key(secret: bytes, circuit: LinearCircuit) -> list[Needle]:
    """Parts of a secret key, as it is stored after its 32-byte digest and as coefficients."""
    packed = np.frombuffer(secret[32:], np.uint8)
    digits = np.stack([packed >> shift & 3 for shift in (0, 2, 4, 6)], axis=1).ravel()
    assert set(digits) == {0, 1, 2}
    ternary = np.where(digits == 2, -1, digits.astype(np.int64))
    found = []
    for start in range(0, circuit.parameters.ring_degree - 128, 1000):
        part = ternary[start : start + 128]
        found.append(Needle("secret key", packed[start // 4 : start // 4 + 32].tobytes()))
        found += _runs("secret key as int8", part.astype(np.int8), 128)
        residues = (part % circuit.parameters.primes[0]).astype(np.uint64)
        found += _runs("secret key as residues", residues, 128)
    return found


def _runs(form: str, values: NDArray[np.generic], length: int) -> list[Needle]:
    # Zeros at an end tell nothing, and make a search through empty memory slow.
    return [
        Needle(form, values[start : start + length].tobytes().strip(b"\0"))
        for start in range(len(values) - length + 1)
    ]


def found_in(needles: Iterable[Needle], *places: tuple[str, bytes]) -> set[tuple[str, str]]:
    """Which forms are found where: (form, place)."""
    return {
        (needle.form, place)
        for place, content in places
        for needle in needles
        if needle.pattern in content
    }


def files(folder: Path) -> list[tuple[str, bytes]]:
    """Every file below a folder, its name included in its contents."""
    return [
        (f"file {path.name}", str(path).encode() + path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    ]


def memory(pid: int) -> Iterator[tuple[str, bytes]]:
    """What a process can read and has written, in overlapping chunks, and what lies in the shared
    memory that it has open. Its program and libraries as they are on disk are left out."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as image:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, access, _, _, inode, *path = line.split(maxsplit=5)
            program = inode != "0" and "w" not in access and access.endswith("p")
            if "r" not in access or program or path[:1] in (["[vvar]"], ["[vsyscall]"]):
                continue
            start, stop = (int(end, 16) for end in span.split("-"))
            for offset in range(start, stop, _CHUNK):
                length = min(_CHUNK + _OVERLAP, stop - offset)
                try:
                    chunk = os.pread(image.fileno(), length, offset)
                except OSError:  # unmapped meanwhile, or the kernel's own
                    continue
                if chunk.count(0) != len(chunk):
                    yield f"memory {''.join(path) or 'anonymous'}", chunk
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if os.readlink(descriptor).startswith("/memfd:"):
                yield "shared memory", descriptor.read_bytes()
        except FileNotFoundError:  # closed meanwhile
            continue


def found_in_memory(pids: Iterable[int], needles: list[Needle]) -> tuple[set[tuple[str, str]], int]:
    """Which forms are found in which processes' memory, and how many bytes were looked at."""
    found: set[tuple[str, str]] = set()
    looked_at = 0
    for pid in pids:
        for place, chunk in memory(pid):
            looked_at += len(chunk)
            found |= found_in(needles, (place, chunk))
    return found, looked_at
