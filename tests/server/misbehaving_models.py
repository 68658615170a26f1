"""A loader for tests: models that do what the request says, good or bad."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from strongroom.errors import CiphertextError, PackageError
from strongroom.server.model import Means, ServedModel

MANIFEST = '{"guarantee":{"protection":"test"},"name":"obedient"}'
DIGEST = "sha256:" + "ab" * 32
REQUEST_LIMIT = 1 << 20


def _obey(request: bytes | memoryview, *, keys: object = None, threads: int = 1) -> bytes:
    command, _, argument = bytes(request).partition(b" ")
    if command == b"sleep":
        time.sleep(float(argument))
    elif command == b"allocate":
        return str(len(bytearray(int(argument)))).encode()
    elif command == b"exit":
        os._exit(3)
    elif command == b"die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif command == b"refuse":
        raise CiphertextError("SR-CIPHERTEXT-RANGE", "a coefficient is too large", "Try again")
    elif command == b"raise":
        raise ValueError(f"cannot digest {argument!r}")
    elif command == b"pid":
        return str(os.getpid()).encode()
    elif command == b"threads":
        return str(threads).encode()
    elif command == b"grow":
        return bytes(int(argument))
    elif command == b"mark":
        with Path(argument.decode()).open("a") as file:
            file.write("ran\n")
    return bytes(request)


def open_model(path: str, means: Means) -> ServedModel:
    """`path` is "name", "name@version", or a file "name.model" that holds the version."""
    if path == "damaged":
        raise PackageError("SR-PACKAGE-FILE", "the file damaged is no package", "Protect it anew")
    if path == "confused":
        raise ValueError("a secret in the text of an exception")
    if path == "suicidal":
        os._exit(4)
    name, _, version = path.partition("@")
    if path.endswith(".model"):
        name, version = Path(path).stem, Path(path).read_text()
    return ServedModel(
        name=name,
        version=version or "1",
        protection="test",
        digest=DIGEST,
        manifest_json=MANIFEST,
        request_limit=REQUEST_LIMIT,
        answer=_obey,
    )
