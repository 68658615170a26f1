"""The demo's server: a process of its own behind TLS, with everything it needs in one folder."""

from __future__ import annotations

import datetime
import ipaddress
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from strongroom.errors import ServerError
from strongroom.keys.custody import PASSPHRASE_ENVIRONMENT
from strongroom.keys.home import HOME_ENVIRONMENT
from strongroom.keys.identity import Identity
from strongroom.keys.identity_store import IdentityStore
from strongroom.server.tokens import create_token

_READY = "strongroom serving on "


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that answers.

    Attributes:
        url: https://127.0.0.1:port.
        token: of the tenant "demo".
        certificate: PEM file of the authority to trust.
        log: file with what the server logged.
    """

    url: str
    token: str
    certificate: Path
    log: Path


@contextmanager
def running_server(
    packages: Sequence[Path],
    folder: Path,
    *,
    workers: int = 1,
    threads: int | None = None,
    home: Mapping[str, str] | None = None,
) -> Iterator[RunningServer]:
    """Serve packages from a process of its own until the context ends.

    Args:
        folder: for everything that the server writes.
        threads: of one evaluation; what the server thinks right, if None.
        home: the environment of `fresh_home`, whose identity the packages are granted to; that of
            this process if None.

    Raises:
        ServerError: SR-SERVER-CONFIG if the process ends instead of serving.
    """
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    write_certificate(certificate, key)
    token = create_token(folder / "tokens.json", "demo")
    log = folder / "server.log"
    command = [sys.executable, "-m", "strongroom.cli", "serve", *map(str, packages)]
    command += ["--tokens", str(folder / "tokens.json"), "--port", "0", "--workers", str(workers)]
    command += ["--key-folder", str(folder / "keys")]
    command += [] if threads is None else ["--threads", str(threads)]
    command += ["--tls-cert", str(certificate), "--tls-key", str(key)]
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command,
            env=os.environ | dict(home or {}),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        if not line.startswith(_READY):
            raise ServerError(
                "SR-SERVER-CONFIG",
                f"the demo's server did not start (exit status {process.wait()})",
                "Run `strongroom serve` by hand to see why",
            )
        yield RunningServer(line.removeprefix(_READY), token, certificate, log)
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def fresh_home(folder: Path) -> tuple[Identity, dict[str, str]]:
    """A home with an identity "default", for a while; `strongroom keygen` makes one for good.

    Args:
        folder: where it shall be.

    Returns:
        The identity, and the environment in which commands use it; its passphrase is random.
    """
    passphrase = secrets.token_urlsafe(24)
    identity = IdentityStore.open(folder, passphrase=passphrase).create()
    return identity, {HOME_ENVIRONMENT: str(folder), PASSPHRASE_ENVIRONMENT: passphrase}


def write_certificate(certificate: Path, key: Path) -> None:
    """A self-signed certificate for 127.0.0.1 that is valid for a day, and its key, as PEM."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Strongroom demo")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    key.touch(mode=0o600)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
