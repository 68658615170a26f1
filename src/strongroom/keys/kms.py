"""A file's key wrapped by a symmetric key of AWS KMS.

The service never sees what the file holds, only the file's random key. The name of the file is
the encryption context, so that a wrapped key does not open another file; the service writes it
into its trail of calls in the clear. Credentials, region and endpoint are found as every AWS
client finds them; the region of an existing file is the one in its key's ARN.
"""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from strongroom.errors import KeyStoreError
from strongroom.keys.sealing import KEY_BYTES, ServiceKey

_LIBRARY: Final = "botocore"
_TIMEOUT_SECONDS: Final = 10
_ATTEMPTS: Final = 3

_one_call = threading.Lock()


def wrap_by_service(key_id: str, name: str, key: bytes) -> ServiceKey:
    """Wrap a key for the file of a name.

    Args:
        key_id: id, alias ("alias/…") or ARN of the wrapping key.

    Raises:
        KeyStoreError: SR-KEYS-CUSTODY if the service does not do its part.
    """
    answer = _call("encrypt", key_id, Plaintext=key, KeyId=key_id, EncryptionContext=_context(name))
    lock = ServiceKey(key=answer["KeyId"], wrapped=answer["CiphertextBlob"])
    # Who may encrypt may not always decrypt: that shows now, not when the secret is needed.
    if unwrap_by_service(lock, name) != key:
        raise _refused(key_id, "it gave another key back")
    return lock


def unwrap_by_service(lock: ServiceKey, name: str) -> bytes:
    """The key of the file of a name.

    Raises:
        KeyStoreError: SR-KEYS-CUSTODY if the service does not do its part.
    """
    answer = _call(
        "decrypt",
        lock.key,
        CiphertextBlob=lock.wrapped,
        KeyId=lock.key,
        EncryptionContext=_context(name),
    )
    key: bytes = answer["Plaintext"]
    if len(key) != KEY_BYTES:
        raise _refused(lock.key, f"it gave a key of {len(key)} bytes")
    return key


def _call(operation: str, key_id: str, **arguments: Any) -> Any:
    try:
        boto3 = importlib.import_module("boto3")
        config = importlib.import_module("botocore.config")
        exceptions = importlib.import_module("botocore.exceptions")
    except ModuleNotFoundError as error:
        raise KeyStoreError(
            "SR-KEYS-CUSTODY",
            "AWS KMS needs boto3, which is not installed",
            "Run pip install strongroom[kms]",
        ) from error
    limits = config.Config(
        connect_timeout=_TIMEOUT_SECONDS,
        read_timeout=_TIMEOUT_SECONDS,
        retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
    )
    region = key_id.split(":")[3] if key_id.startswith("arn:") else None
    try:
        client = boto3.client("kms", region_name=region, config=limits)
        with _without_debug_log():
            return getattr(client, operation)(**arguments)
    except exceptions.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        raise _refused(key_id, f"it answers {code}") from None
    except exceptions.BotoCoreError as error:
        # The cause is cut off: it may quote the credentials or the request.
        raise _refused(key_id, f"it can't be asked ({type(error).__name__})") from None


@contextmanager
def _without_debug_log() -> Iterator[None]:
    """At the level DEBUG the library would log requests and answers, the key among them."""
    with _one_call:  # or the end of one call would turn the log on under another
        names = [name for name in logging.root.manager.loggerDict if name.startswith(_LIBRARY)]
        loggers = [logging.getLogger(name) for name in (_LIBRARY, *names)]
        levels = [logger.level for logger in loggers]
        try:
            for logger in loggers:
                logger.setLevel(max(logger.level, logging.INFO))
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _context(name: str) -> dict[str, str]:
    return {"purpose": "strongroom key file", "name": name}


def _refused(key_id: str, what: str) -> KeyStoreError:
    return KeyStoreError(
        "SR-KEYS-CUSTODY",
        f"AWS KMS does not do its part with {key_id}: {what}",
        "Check region, credentials, and that they may encrypt and decrypt with this key",
    )
