"""Where what lies in a message (docs/reference/protocol.md, docs/reference/format.md), written
down independently of the code that reads and writes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from strongroom.protections.fhe.circuit import LinearCircuit
from strongroom.protections.fhe.network_circuit import NetworkCircuit

ENVELOPE = (
    ("magic", 4),
    ("version", 2),
    ("reserved", 2),
    ("request id", 16),
    ("binding", 32),
    ("rows", 4),
)
HEADER = (
    ("magic", 4),
    ("version", 1),
    ("kind", 1),
    ("limbs", 1),
    ("packing", 1),
    ("digest", 32),
    ("count", 4),
)


@dataclass(frozen=True)
class Region:
    """A run of bytes of a message: [start, stop)."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Words:
    """A run of packed coefficients below one prime, from a byte of a message on."""

    name: str
    start: int
    modulus: int
    count: int

    def replaced(self, message: bytes, index: int, value: int) -> bytes:
        """The message with another word at an index, whatever its neighbours."""
        bits = self.modulus.bit_length()
        number = int.from_bytes(message, "little")
        place = 8 * self.start + index * bits
        number &= ~(((1 << bits) - 1) << place)
        return (number | value << place).to_bytes(len(message), "little")


def _run(prefix: str, start: int, parts: tuple[tuple[str, int], ...]) -> Iterator[Region]:
    for name, length in parts:
        yield Region(f"{prefix} {name}", start, start + length)
        start += length


def _scale(prefix: str, message: bytes, start: int) -> Iterator[Region]:
    numerator = int.from_bytes(message[start : start + 2], "little")
    denominator = int.from_bytes(message[start + 2 : start + 4], "little")
    parts = (("scale lengths", 4), ("numerator", numerator), ("denominator", denominator))
    yield from _run(prefix, start, parts)


def _words(
    name: str, start: int, circuit: LinearCircuit | NetworkCircuit, limbs: int, count: int
) -> list[Words]:
    found = []
    for number, prime in enumerate(circuit.parameters.primes[:limbs]):
        found.append(Words(f"{name}, prime {number}", start, prime, count))
        start += -(-count * prime.bit_length() // 8)
    return found


def _size(words: list[Words]) -> int:
    last = words[-1]
    return last.start - words[0].start + -(-last.count * last.modulus.bit_length() // 8)


def request_regions(circuit: LinearCircuit, message: bytes) -> tuple[list[Region], list[Words]]:
    """Of a request of one block and one chunk of columns."""
    regions = [*_run("envelope", 0, ENVELOPE), *_run("key", 60, HEADER)]
    start = regions[-1].stop
    regions.append(Region("key seed", start, start + 32))
    n = circuit.parameters.ring_degree
    key = _words("key body", start + 32, circuit, circuit.limbs.sanitise, n)
    start += 32 + _size(key)
    regions += _run("ciphertext", start, HEADER)
    count = int.from_bytes(message[start + 40 : start + 44], "little")
    regions += _scale("ciphertext", message, regions[-1].stop)
    start = regions[-1].stop
    regions.append(Region("ciphertext seed", start, start + 32))
    body = _words("c0", start + 32, circuit, circuit.limbs.input, count)
    assert start + 32 + _size(body) == len(message)
    return regions, key + body


def response_regions(circuit: LinearCircuit, message: bytes) -> tuple[list[Region], list[Words]]:
    """Of a response of one block and one group of outputs."""
    regions = [*_run("envelope", 0, ENVELOPE), *_run("ciphertext", 60, HEADER)]
    count = int.from_bytes(message[100:104], "little")
    regions += _scale("ciphertext", message, regions[-1].stop)
    n = circuit.parameters.ring_degree
    second = _words("c1", regions[-1].stop, circuit, circuit.limbs.response, n)
    first = _words("c0", second[0].start + _size(second), circuit, circuit.limbs.response, count)
    assert first[0].start + _size(first) == len(message)
    return regions, second + first


def network_request_regions(
    circuit: NetworkCircuit, message: bytes
) -> tuple[list[Region], list[Words]]:
    """Of a request on a network, of one block."""
    regions = [*_run("envelope", 0, ENVELOPE), Region("key set", 60, 76)]
    regions += _run("ciphertext", 76, HEADER)
    regions += _scale("ciphertext", message, regions[-1].stop)
    start = regions[-1].stop
    regions.append(Region("ciphertext seed", start, start + 32))
    n, limbs = circuit.parameters.ring_degree, circuit.layout.input_limbs
    body = _words("c0", start + 32, circuit, limbs, n)
    assert start + 32 + _size(body) == len(message)
    return regions, body


def network_response_regions(
    circuit: NetworkCircuit, message: bytes
) -> tuple[list[Region], list[Words]]:
    """Of a response of one block, ciphertext after ciphertext."""
    regions, words = list(_run("envelope", 0, ENVELOPE)), []
    start, n, limbs = 60, circuit.parameters.ring_degree, circuit.layout.response_limbs
    for group in range(circuit.packing.sums.groups):
        count = int.from_bytes(message[start + 40 : start + 44], "little")
        regions += _run(f"group {group}", start, HEADER)
        regions += _scale(f"group {group}", message, regions[-1].stop)
        second = _words(f"c1 of group {group}", regions[-1].stop, circuit, limbs, n)
        begin = second[0].start + _size(second)
        first = _words(f"c0 of group {group}", begin, circuit, limbs, count)
        start = begin + _size(first)
        words += second + first
    assert start == len(message)
    return regions, words
