"""One owner of all packages that tests make, the same in every process. Its keys are no secret."""

from __future__ import annotations

from pathlib import Path

from strongroom.keys.identity import Identity
from strongroom.keys.sealing import Header, Passphrase, seal

OWNER = Identity(bytes(range(160)), "default")

PASSPHRASE = "of the tests' identity"
"""That opens it in a home."""


def write_identity(home: Path, identity: Identity = OWNER) -> None:
    """Put an identity into a home as `keys.identity_store` keeps it, locked cheaply."""
    name = identity.public.name
    folder = home / "identities"
    for made in (home, folder):
        made.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = Passphrase(salt=bytes(16).hex(), iterations=1, lanes=1, memory_kib=128)
    header = Header(name=name, created="2026-11-22T12:43:00Z", unlock=lock)
    sealed = seal(header, lock.derive(PASSPHRASE.encode()), identity.to_bytes())
    for path, content, mode in (
        (folder / f"{name}.key", sealed, 0o600),
        (folder / f"{name}.pub", identity.public.to_text().encode() + b"\n", 0o644),
    ):
        path.write_bytes(content)
        path.chmod(mode)
