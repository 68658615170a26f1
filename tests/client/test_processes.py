"""The client against real processes: killed and restarted servers, real TLS."""

from __future__ import annotations

import datetime
import ipaddress
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from model_owner import OWNER

from strongroom.client.client import Client
from strongroom.errors import ServerError
from strongroom.keys.store import KeyStore
from strongroom.package.protected import Package

ROWS = np.arange(12.0).reshape(6, 2)
SCORES = ROWS @ np.array([0.5, -2.0])

Start = Callable[..., tuple["subprocess.Popen[str]", int]]


@pytest.fixture
def pauses() -> None:
    """Real pauses here."""


@pytest.fixture
def start(package: Package, tmp_path: Path) -> Iterator[Start]:
    package.save(tmp_path / "m.strongroom", owner=OWNER)
    script = Path(__file__).with_name("tiny_server.py")
    started: list[subprocess.Popen[str]] = []

    def run(
        mode: str, port: int = 0, certificate: tuple[Path, Path] | None = None
    ) -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(
            [
                sys.executable,
                script,
                tmp_path / "m.strongroom",
                str(port),
                mode,
                *(certificate or ()),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        return process, int(process.stdout.readline())

    yield run
    for process in started:
        process.kill()
        process.communicate()


def _client(url: str, package: Package, **options: Any) -> Client:
    return Client(url, model="m", trust=package.digest, keys=KeyStore.in_memory(), **options)


@pytest.mark.parametrize("moment", ["before-answer", "in-answer"])
def test_a_server_that_is_killed_and_started_again_is_survived(
    start: Start, package: Package, protection: object, moment: str
) -> None:
    process, port = start(moment)

    def start_again() -> None:
        process.wait()
        start("serve", port)

    restarter = threading.Thread(target=start_again)
    restarter.start()
    with _client(f"http://127.0.0.1:{port}", package) as client:
        np.testing.assert_allclose(client.decision_function(ROWS), SCORES)
        assert client.timings.requests == 2
    restarter.join()
    assert process.returncode == -9


def test_a_server_that_nobody_started_is_one_clear_line(package: Package) -> None:
    with pytest.raises(ServerError, match=r"at http://127\.0\.0\.1:9 can't be reached") as caught:
        _client("http://127.0.0.1:9", package)
    assert caught.value.code == "SR-SERVER-UNREACHABLE"


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "certificate.pem", folder / "key.pem"


def test_only_a_certificate_that_is_trusted_is_talked_to(
    start: Start, package: Package, protection: object, tmp_path: Path
) -> None:
    certificate = _certificate(tmp_path)
    _, port = start("serve", certificate=certificate)
    with _client(f"https://127.0.0.1:{port}", package, ca=certificate[0]) as client:
        np.testing.assert_allclose(client.decision_function(ROWS), SCORES)
    # Another authority; then another name, which the common name must not make good.
    for url in (f"https://127.0.0.1:{port}", f"https://localhost:{port}"):
        ca = certificate[0] if "localhost" in url else None
        with pytest.raises(ServerError) as caught:
            _client(url, package, ca=ca)
        assert caught.value.code == "SR-SERVER-TLS"


def test_https_to_a_plain_port_says_so(start: Start, package: Package) -> None:
    _, port = start("serve")
    with pytest.raises(ServerError) as caught:
        _client(f"https://127.0.0.1:{port}", package)
    assert caught.value.code == "SR-SERVER-TLS"
