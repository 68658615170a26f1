"""A loader for tests: a model that is granted to the server's identity and does with keys what
the request says. Its "package" is a grant log alone, which wraps a canary."""

from __future__ import annotations

import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from strongroom.canonical import canonical_json, digest
from strongroom.moments import parse_moment
from strongroom.package.grants import MAY_SERVE, GrantLog
from strongroom.receipts.authority import grant_authority
from strongroom.receipts.statement import Subject
from strongroom.server.model import Means, ServedModel

MANIFEST = '{"name":"granted"}'
PACKAGE = digest(MANIFEST.encode())
HIDING = bytes(range(1, 256))
"""What private bytes are mixed with before they travel through the front, which must not have
them in its memory."""


def mixed(secret: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(secret, HIDING, strict=False))


def open_model(path: str, means: Means) -> ServedModel:
    """`path` is the file of a grant log."""
    assert means.keeper is not None
    keeper = means.keeper
    log = msgspec.json.decode(Path(path).read_bytes(), type=GrantLog)
    grant = log.grant_for(keeper.fingerprint, MAY_SERVE, means.clock.now())
    file_key = keeper.unwrap(grant.wrapped, grant.info)

    def answer(request: bytes | memoryview, *, keys: object = None, threads: int = 1) -> bytes:
        command, *arguments = bytes(request).decode().split(" ")
        pid = str(os.getpid()).encode() + b" "
        if command == "file-key":
            return mixed(file_key)
        if command == "fingerprint":
            return keeper.fingerprint.encode()
        if command == "seen":
            expires = datetime.fromtimestamp(float(arguments[1]), UTC)
            return pid + str(keeper.seen(arguments[0], expires)).encode()
        if command == "opening-key":
            found = keeper.opening_key(arguments[0])
            return b"none" if found is None else mixed(found.to_bytes())
        if command == "signing-key":
            return keeper.signing_key().key_id.encode()
        if command == "open":
            key = keeper.opening_key(arguments[0])
            assert key is not None
            return key.open(bytes.fromhex(arguments[1]), b"test")
        if command == "unwrap":
            return keeper.unwrap(bytes.fromhex(arguments[0]), bytes.fromhex(arguments[1]))
        if command == "socket":
            return _tried(lambda: socket.socket(socket.AddressFamily(int(arguments[0]))))
        if command == "variable":
            return os.environ.get(arguments[0], "absent").encode()
        if command == "sleep":
            time.sleep(float(arguments[0]))
        return pid

    return ServedModel(
        name="granted",
        version="1",
        protection="test",
        digest=PACKAGE,
        manifest_json=MANIFEST,
        request_limit=1 << 20,
        answer=answer,
        owner=log.entries[0].recipient,
        signatures="{}",
        authority=grant_authority(grant),
        ends=lambda: None if grant.expires is None else parse_moment(grant.expires),
        subject=Subject(PACKAGE, PACKAGE, PACKAGE),
        grant_log=(log.generation, len(log.entries)),
    )


def _tried(call: object) -> bytes:
    try:
        call()  # type: ignore[operator]
    except OSError as error:
        return str(error.errno).encode()
    return b"open"


def write_log(path: Path, log: GrantLog) -> None:
    path.write_bytes(canonical_json(log))
