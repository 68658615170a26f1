"""Writing a package's file: the sections in their order, in one pass.

The payload is encrypted and hashed while it is written, and the head, which names its digest,
comes last. Whatever goes wrong before the last byte is written leaves nothing behind
(`strongroom.durable`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from strongroom.canonical import canonical_json, digest
from strongroom.durable import write_durably
from strongroom.errors import PackageError
from strongroom.keys.identity import Identity
from strongroom.package.grants import GrantLog
from strongroom.package.head import Head, Statement
from strongroom.package.sections import header, section_header


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """An encrypted payload that comes in parts.

    Attributes:
        parts: in order; each valid until the next.
        length: of all of it, in bytes.
        digest: of all of it, "sha256:…"; called after the last part. Raises to refuse it.
    """

    parts: Iterable[memoryview] = field(repr=False)
    length: int
    digest: Callable[[], str] = field(repr=False)


def write_file(
    path: Path,
    *,
    manifest_json: bytes,
    statement: Statement,
    log: GrantLog,
    ciphertext: Ciphertext,
    owner: Identity,
    replace: bool,
    mode: int = 0o600,
) -> None:
    """Write a package durably, whole or not at all.

    Args:
        path: where it shall be.
        manifest_json, statement, log, ciphertext: what it holds.
        owner: signs the head.
        replace: whether a file that is there is replaced.
        mode: permission bits.

    Raises:
        PackageError: SR-PACKAGE-EXISTS if the path exists and `replace` is false; SR-PACKAGE-FILE
            if it can't be written.
    """

    def chunks() -> Iterator[bytes | memoryview]:
        yield header()
        for tag, body in (
            (b"MANI", manifest_json),
            (b"SIGN", canonical_json(statement)),
            (b"GRNT", canonical_json(log)),
        ):
            yield section_header(tag, len(body)) + body
        yield section_header(b"PAYL", ciphertext.length)
        yield from ciphertext.parts
        head = Head.of(
            owner,
            digest(manifest_json),
            log,
            ciphertext_digest=ciphertext.digest(),
            ciphertext_bytes=ciphertext.length,
        )
        body = canonical_json(head)
        yield section_header(b"HEAD", len(body)) + body

    try:
        if not replace and os.path.lexists(path):
            raise FileExistsError
        write_durably(path, chunks(), replace=replace, mode=mode)
    except FileExistsError as error:
        raise exists_already(path) from error
    except OSError as error:
        raise PackageError(
            "SR-PACKAGE-FILE", f"{path} can't be written: {error.strerror or error}"
        ) from error


def exists_already(path: Path) -> PackageError:
    """The error for an output that would replace a file."""
    return PackageError(
        "SR-PACKAGE-EXISTS", f"{path} exists already", "Choose another path, or allow overwriting"
    )
