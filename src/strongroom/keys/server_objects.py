"""From an object that a client sent to a key that a model can use: a worker's part.

The only place where a server looks into what came. It runs in a worker, which may be killed at any
moment: the key gets its name when it is whole on the disk, or not at all.
"""

from __future__ import annotations

import errno
import hashlib
from typing import Final

from strongroom import _native
from strongroom.durable import write_durably
from strongroom.engine import (
    Parameters,
    catalogued,
    public_key_bytes,
    public_key_from_bytes,
    switching_key_bytes,
    switching_key_from_bytes,
    write_key_file,
)
from strongroom.engine.key_files import PAGE_BYTES
from strongroom.engine.serialisation_header import PUBLIC_KEY
from strongroom.errors import CiphertextError, ServerError
from strongroom.keys.server_layout import PUBLIC, KeySetFolder, StoredKey, Upload, Wanted
from strongroom.keys.server_room import no_space

_KIND_AT: Final = 5
_LIMBS_AT: Final = 6
_WORD_BYTES: Final = 8
_INDEX_BYTES: Final = 96  # of a key file with one key


def object_sizes(parameters: Parameters) -> tuple[tuple[int, int], ...]:
    """Bytes of every object that can travel for these parameters, and of the file it becomes."""
    sizes: dict[int, int] = {}
    for limbs in range(1, parameters.limbs + 1):
        public = public_key_bytes(parameters, limbs)
        sizes[public] = public
        words = _native.switching_key_words(parameters.native, limbs) * _WORD_BYTES
        pages = 1 + -(-words // PAGE_BYTES)  # the header's is the first
        sizes[switching_key_bytes(parameters, limbs)] = pages * PAGE_BYTES + _INDEX_BYTES
    return tuple(sorted(sizes.items()))


def store_object(folder: KeySetFolder, upload: Upload) -> None:
    """Check a whole object and store the key in it, unless the set has one that does as much.

    Raises:
        ServerError: SR-KEYS-UPLOAD (400) if it is not what its digest says; SR-KEYS-SPACE.
        CiphertextError: SR-CIPHERTEXT-FORMAT, -RANGE, -MISMATCH: it is no key for the parameters.
    """
    parameters = catalogued(folder.parameters)
    try:
        data = upload.path.read_bytes()
    except FileNotFoundError:
        raise _vanished() from None
    if len(data) != upload.size or hashlib.sha256(data).hexdigest() != upload.digest:
        raise ServerError(
            "SR-KEYS-UPLOAD",
            "an object's bytes do not have the digest that it was sent under",
            "Send it again from the beginning",
            http_status=400,
        )
    try:
        _store(folder, upload, parameters, data)
    except FileNotFoundError:  # the set was removed meanwhile
        raise _vanished() from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise no_space() from error
        raise


def _store(folder: KeySetFolder, upload: Upload, parameters: Parameters, data: bytes) -> None:
    if len(data) <= _LIMBS_AT:
        raise CiphertextError(
            "SR-CIPHERTEXT-FORMAT",
            f"{len(data)} bytes are no key",
            "Send what the client library made, unaltered",
        )
    if data[_KIND_AT] == PUBLIC_KEY:
        limbs = min(data[_LIMBS_AT], parameters.limbs)
        public_key_from_bytes(parameters, data, limbs=limbs)
        stored = StoredKey(PUBLIC, limbs, upload.digest)
        if folder.missing(Wanted((), limbs)).public_limbs:
            _write_once(folder, stored, data)
        return
    key = switching_key_from_bytes(parameters, data)
    stored = StoredKey(key.element, key.limbs, upload.digest)
    if folder.missing(Wanted(((key.element, key.limbs),), 0)).keys:
        try:
            write_key_file(folder.path / stored.name, parameters, [key])
        except FileExistsError:
            return


def _write_once(folder: KeySetFolder, stored: StoredKey, data: bytes) -> None:
    try:
        write_durably(folder.path / stored.name, [data], replace=False)
    except FileExistsError:
        return


def _vanished() -> ServerError:
    return ServerError(
        "SR-KEYS-UPLOAD",
        "the key set was removed while a key was being added to it",
        "Send the key again",
        http_status=409,
    )
