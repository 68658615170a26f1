"""Identities locked by AWS KMS; the service is moto's server on loopback."""

from __future__ import annotations

import base64
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from strongroom.errors import KeyStoreError
from strongroom.keys import kms
from strongroom.keys.identity_store import IdentityStore, default_identity

SECRET_ACCESS_KEY = "canary-access"


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def key(service: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """ARN of a fresh key."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", service)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    arn: str = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    return arn


def _header(home: Path, name: str = "default") -> dict[str, Any]:
    data = (home / "identities" / f"{name}.key").read_bytes()
    header: dict[str, Any] = json.loads(data[16 : 16 + int.from_bytes(data[12:16], "little")])
    return header["unlock"]


def _refusal(call: Any, *arguments: Any, match: str | None = None, **options: Any) -> str:
    with pytest.raises(KeyStoreError, match=match) as caught:
        call(*arguments, **options)
    assert "canary" not in str(caught.value)
    return caught.value.code


def test_an_identity_opens_with_the_service(home: Path, key: str) -> None:
    made = IdentityStore.open().create(custody=f"kms:{key}")
    assert default_identity().to_bytes() == made.to_bytes()
    header = _header(home)
    assert header.keys() == {"type", "key", "wrapped"}
    assert (header["type"], header["key"]) == ("aws-kms", key)


def test_an_alias_is_kept_as_the_key_that_it_named(home: Path, key: str) -> None:
    client = boto3.client("kms")
    client.create_alias(AliasName="alias/strongroom", TargetKeyId=key)
    made = IdentityStore.open().create(custody="kms:alias/strongroom")
    other = client.create_key()["KeyMetadata"]["Arn"]
    client.update_alias(AliasName="alias/strongroom", TargetKeyId=other)
    assert _header(home)["key"] == key
    assert default_identity().fingerprint == made.fingerprint


def test_the_region_of_a_file_is_that_of_its_key(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = IdentityStore.open().create(custody=f"kms:{key}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-2")
    assert default_identity().fingerprint == made.fingerprint


def test_the_service_sees_only_the_key_of_the_file(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, Any]] = []
    call = kms._call

    def record(operation: str, key_id: str, **arguments: Any) -> Any:
        sent.append(arguments)
        return call(operation, key_id, **arguments)

    monkeypatch.setattr(kms, "_call", record)
    seeds = IdentityStore.open().create("ann", custody=f"kms:{key}").to_bytes()
    contents = b"".join(value for one in sent for value in one.values() if isinstance(value, bytes))
    assert len(sent[0]["Plaintext"]) == 32
    assert sent[0]["EncryptionContext"] == {"purpose": "strongroom key file", "name": "ann"}
    for start in range(0, len(seeds), 32):
        assert seeds[start : start + 32] not in contents


def test_a_wrap_moved_to_another_file_does_not_open(home: Path, key: str) -> None:
    store = IdentityStore.open()
    for name in ("a", "b"):
        store.create(name, custody=f"kms:{key}")
    data = (home / "identities" / "b.key").read_bytes()
    wrapped = {name: _header(home, name)["wrapped"].encode() for name in "ab"}
    (home / "identities" / "b.key").write_bytes(data.replace(wrapped["b"], wrapped["a"]))
    refused = _refusal(store.identity, "b", match="InvalidCiphertextException")
    assert refused == "SR-KEYS-CUSTODY"
    assert store.identity("a").public == store.public("a")


def test_a_key_that_was_deleted_opens_nothing(key: str, service: str) -> None:
    IdentityStore.open().create(custody=f"kms:{key}")
    httpx.post(f"{service}/moto-api/reset", trust_env=False).raise_for_status()
    assert _refusal(default_identity, match="NotFoundException") == "SR-KEYS-CUSTODY"


def test_without_the_service_no_identity_is_made(
    key: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = IdentityStore.open()
    assert _refusal(store.create, custody="kms:alias/absent", match="NotFoundException") == (
        "SR-KEYS-CUSTODY"
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1")
    assert _refusal(store.create, custody=f"kms:{key}", match="can't be asked") == (
        "SR-KEYS-CUSTODY"
    )
    assert not home.exists()


@pytest.mark.parametrize("answered", [b"x" * 32, b"short"])
def test_a_service_that_gives_another_key_back_locks_nothing(
    answered: bytes, key: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = kms._call

    def lie(operation: str, key_id: str, **arguments: Any) -> Any:
        if operation == "decrypt":
            return {"Plaintext": answered}
        return call(operation, key_id, **arguments)

    monkeypatch.setattr(kms, "_call", lie)
    assert _refusal(IdentityStore.open().create, custody=f"kms:{key}") == "SR-KEYS-CUSTODY"
    assert not home.exists()


def test_an_answer_that_fits_no_header_leaves_the_old_lock(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = IdentityStore.open(passphrase="first")
    made = store.create()
    call = kms._call

    def rename(operation: str, key_id: str, **arguments: Any) -> Any:
        answer = call(operation, key, **{**arguments, "KeyId": key})
        return {**answer, "KeyId": "no ARN"} if operation == "encrypt" else answer

    monkeypatch.setattr(kms, "_call", rename)
    assert _refusal(store.lock, custody=f"kms:{key}") == "SR-KEYS-FILE"
    assert default_identity("first").fingerprint == made.fingerprint


def test_neither_the_file_s_key_nor_credentials_are_logged_at_any_level(
    key: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    loggers = [logging.getLogger(name) for name in ("botocore", "botocore.endpoint", "urllib3")]
    for logger in loggers:
        monkeypatch.setattr(logger, "level", logging.DEBUG)
    caplog.set_level(0)
    sent: list[bytes] = []
    call = kms._call

    def record(operation: str, key_id: str, **arguments: Any) -> Any:
        sent.extend([arguments["Plaintext"]] if operation == "encrypt" else [])
        return call(operation, key_id, **arguments)

    monkeypatch.setattr(kms, "_call", record)
    IdentityStore.open().create(custody=f"kms:{key}")
    default_identity()
    assert "canary" not in caplog.text
    assert base64.b64encode(sent[0]).decode() not in caplog.text
    assert repr(sent[0])[2:-1] not in caplog.text
    assert [logger.level for logger in loggers] == [logging.DEBUG] * 3


def test_an_identity_moves_from_a_passphrase_to_the_service_and_back(key: str) -> None:
    made = IdentityStore.open(passphrase="first").create()
    IdentityStore.open(passphrase="first").lock(custody=f"kms:{key}")
    assert default_identity().to_bytes() == made.to_bytes()
    IdentityStore.open().lock(passphrase="second")
    assert default_identity("second").to_bytes() == made.to_bytes()


def test_a_missing_library_names_the_extra(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    refused = _refusal(IdentityStore.open().create, custody=f"kms:{key}", match=r"strongroom\[kms")
    assert refused == "SR-KEYS-CUSTODY"
