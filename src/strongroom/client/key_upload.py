"""Sending a key set: what the server lacks, one key at a time, in chunks that can be resumed.

Rules:

1. Only keys that the model needs are made and sent, whatever a server asks for.
2. A key is made, sent and forgotten before the next one is made.
3. A chunk may be sent any number of times; a key that was on its way goes on where it stopped.
4. Nothing here depends on anything that was decrypted.
"""

from __future__ import annotations

import hashlib
from typing import Final

from strongroom.client.key_requests import KeyRequests, MissingKeys
from strongroom.client.key_spool import KeySpool
from strongroom.client.progress import KeyProgress
from strongroom.client.transport import Transport
from strongroom.client.v2 import wrong
from strongroom.engine import catalogued, public_key_bytes, switching_key_bytes
from strongroom.errors import ServerError
from strongroom.protections.interface import KeyNeed, KeySetSource

_RESUMPTIONS: Final = 5
"""How often one key is taken up again when the server has another count of what has come."""


class KeyUpload:
    """Brings a key set to a server.

    Args:
        transport: to the server.
        source: of the keys.
        spool: where keys on their way are kept.
        shown: as for `KeyProgress`.
    """

    def __init__(
        self,
        transport: Transport,
        source: KeySetSource,
        spool: KeySpool,
        shown: bool | None = None,
    ) -> None:
        self._source = source
        self._spool = spool
        self._shown = shown
        self._parameters = catalogued(source.needs.parameters)
        self._requests = KeyRequests(transport, source.identifier, source.needs.parameters)

    def send_missing(self) -> int:
        """Send what the server lacks: how many bytes that were.

        Raises:
            ServerError: what the server says, or SR-SERVER-UNREACHABLE, -TLS, -PROTOCOL.
            KeyStoreError: SR-KEYS-PERMISSIONS, SR-KEYS-FILE of the spool.
        """
        missing = self._requests.missing(self._source.needs)
        keys = _listed(missing)
        sent = 0
        total = sum(self._size(need) for need in keys)
        with KeyProgress(total, self._shown) as progress:
            for need in keys:
                sent += self._send(need, missing.chunk_bytes, progress)
        return sent

    def delete(self) -> None:
        """Remove the set from the server.

        Raises:
            ServerError: as for `send_missing`.
        """
        self._requests.delete()

    def _send(self, need: KeyNeed | None, chunk_bytes: int, progress: KeyProgress) -> int:
        """Send one key, None for the public one: how many bytes that took."""
        name = self._name(need)
        # What goes in one piece is made again as quickly as it is read.
        is_kept = self._size(need) > chunk_bytes
        content = self._spool.read(name, self._size(need)) if is_kept else None
        if content is None:
            content = self._make(need)
            if is_kept:
                content = self._spool.keep(name, content)
            at = 0
        else:
            at = self._requests.state(hashlib.sha256(content).hexdigest()).received_bytes
        try:
            sent = self._send_from(need, content, at, chunk_bytes)
        except ServerError as error:
            if error.code.startswith("SR-CIPHERTEXT-") or error.code == "SR-KEYS-UPLOAD":
                self._spool.drop(name)  # these bytes will never do
            raise
        self._spool.drop(name)
        progress.advance(len(content))
        return sent

    def _send_from(self, need: KeyNeed | None, content: bytes, at: int, chunk_bytes: int) -> int:
        digest = hashlib.sha256(content).hexdigest()
        sent = resumptions = 0
        while True:
            chunk = content[at : at + chunk_bytes]
            try:
                state = self._requests.put_chunk(digest, len(content), at, chunk)
            except ServerError as error:
                resumptions += 1
                continues = error.code == "SR-KEYS-UPLOAD" and error.http_status == 409
                if not continues or resumptions > _RESUMPTIONS:
                    raise
                if need not in _listed(self._requests.missing(self._source.needs)):
                    return sent  # another process has sent one
                at = self._requests.state(digest).received_bytes
                continue
            sent += len(chunk)
            if state.stored:
                return sent
            if not at < state.received_bytes <= len(content):
                raise wrong("the server takes a part of a key and has no more of it than before")
            at = state.received_bytes

    def _name(self, need: KeyNeed | None) -> str:
        """Of a key among all keys of this client."""
        start = f"{self._source.identifier.hex()}-{self._source.needs.parameters}"
        if need is None:
            return f"{start}-public-{self._source.needs.public_limbs}"
        return f"{start}-{need.element}-{need.limbs}"

    def _size(self, need: KeyNeed | None) -> int:
        """Bytes of a key as it travels."""
        if need is None:
            return public_key_bytes(self._parameters, self._source.needs.public_limbs)
        return switching_key_bytes(self._parameters, need.limbs)

    def _make(self, need: KeyNeed | None) -> bytes:
        return self._source.public_key() if need is None else self._source.evaluation_key(need)


def _listed(missing: MissingKeys) -> list[KeyNeed | None]:
    """The missing keys in the order in which they are sent; None is the public one."""
    first: list[KeyNeed | None] = [None] if missing.public else []
    return [*first, *missing.keys]
