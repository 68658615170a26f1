"""A package's file, cut into its sections and put together again without signing anything."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model_owner import OWNER

from strongroom.canonical import canonical_json
from strongroom.keys.identity import Identity

RECIPIENT = Identity(bytes(range(1, 161)), "hospital")
STRANGER = Identity(bytes(range(2, 162)), "stranger")

TAGS = (b"MANI", b"SIGN", b"GRNT", b"PAYL", b"HEAD")

__all__ = ["OWNER", "RECIPIENT", "STRANGER", "TAGS", "change_json", "cut", "joined", "places"]


def places(data: bytes) -> dict[bytes, tuple[int, int]]:
    """Where the body of each section begins and ends."""
    found, position = {}, 16
    while position < len(data):
        tag, _, length = struct.unpack_from("<4s4sQ", data, position)
        found[tag] = (position + 16, position + 16 + length)
        position += 16 + length
    return found


def cut(data: bytes) -> dict[bytes, bytes]:
    """The bodies of the sections."""
    return {tag: data[start:end] for tag, (start, end) in places(data).items()}


def joined(sections: dict[bytes, bytes]) -> bytes:
    """A file of these sections."""
    head = struct.pack("<8sII", b"\x89SRM\r\n\x1a\n", 2, len(sections))
    return head + b"".join(
        struct.pack("<4s4sQ", tag, bytes(4), len(body)) + body for tag, body in sections.items()
    )


def change_json(path: Path, tag: bytes, change: Callable[[Any], None]) -> None:
    """Change one section of a file, canonical as it was, and sign nothing."""
    sections = cut(path.read_bytes())
    fields = json.loads(sections[tag])
    change(fields)
    path.write_bytes(joined({**sections, tag: canonical_json(fields)}))
