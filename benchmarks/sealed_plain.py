"""The same server without sealing: a loader of plain ONNX files, to compare with.

Front process, worker processes, session and the form of the tensors, with name, type and shape, are
those of sealed serving. What differs is that nothing is encrypted, signed or remembered.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from strongroom.protections.sealed.external import payload_of
from strongroom.protections.sealed.session import Session
from strongroom.protections.sealed.tensors import tensors_from_bytes, tensors_to_bytes
from strongroom.server.model import Means, ServedModel

LOADER = "sealed_plain:open_plain"
REQUEST_LIMIT = 1 << 24


class PlainModel:
    """A session that answers tensors in the clear."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def answer(self, request: bytes | memoryview, *, keys: Any = None, threads: int = 1) -> bytes:
        """Run the model once."""
        return tensors_to_bytes(self._session.run(tensors_from_bytes(memoryview(request))))


def open_plain(path: str, means: Means) -> ServedModel:
    """Serve an ONNX file under its own name."""
    file = Path(path)
    return ServedModel(
        name=file.stem,
        version="1",
        protection="plain",
        digest="sha256:" + hashlib.sha256(file.read_bytes()).hexdigest(),
        manifest_json="{}",
        request_limit=REQUEST_LIMIT,
        answer=PlainModel(Session(payload_of(file), threads=means.threads)).answer,
    )
