"""The server's configuration: what it serves, to whom, within which limits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal

import msgspec

from strongroom.errors import ServerError
from strongroom.keys.serving import MAXIMUM_PACKAGES

DEFAULT_LOADER: Final = "strongroom.server.open:open_served"

_MIB: Final = 1 << 20


class ServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that a server is told at its start; immutable.

    Attributes:
        packages: paths of the packages to serve. Where several hold one model name, a request
            without a version goes to the one listed last.
        tokens: path of the token file, see `server.tokens`.
        host: address to bind. Anything but loopback needs TLS.
        port: TCP port; 0 lets the system choose, and the ready line names it.
        tls_certificate, tls_key: paths of PEM files; both or neither.
        workers: number of worker processes.
        threads: threads of one evaluation; the processors that there are, shared among the
            workers, if None.
        request_bytes: largest body of a request, whatever the model would accept.
        queue_length: how many requests may wait for a worker, their upload included.
        connections: largest number of open connections.
        worker_memory_bytes: memory that an evaluation may take on top of the loaded models.
        evaluation_timeout_seconds: after which an evaluation is ended.
        read_timeout_seconds: within which the body of a request has to arrive.
        queue_timeout_seconds: how long a request waits for a worker at most.
        idle_timeout_seconds: how long a connection may stay open between requests, and how long
            a request's headers may take.
        load_timeout_seconds: within which a worker has to load the packages.
        drain_timeout_seconds: how long running requests are waited for after SIGTERM.
        key_folder: where tenants' evaluation keys are kept; `evaluation-keys` beside the token
            file if None. One server uses it at a time.
        key_bytes_per_tenant: what the keys of one tenant may take on the disk.
        key_bytes_total: what all tenants' keys may take.
        key_chunk_bytes: largest piece in which a key is sent.
        key_upload_seconds: after which a key that has come in part is forgotten.
        key_cache_bytes: how much of key files a worker keeps mapped between requests; mapped keys
            are shared memory, which the system takes back when it runs short.
        identity: name of the identity that the server serves as; packages are granted to it. None
            for a server of a `loader` of its own that opens no granted package.
        home: where identities are; $STRONGROOM_HOME, else ~/.strongroom, if None.
        serving_key_seconds: after which a new serving key is made.
        serving_key_overlap_seconds: how long an old one opens requests after that.
        replay_capacity: sealed requests that can be remembered at once, for ten minutes each; what
            comes beyond twice as many is refused. For each, workers share 48 bytes.
        attestation: what makes evidence of the serving process, "tsm" (the kernel, inside an AMD
            SEV-SNP or Intel TDX guest) or "development" (proves nothing); None for no evidence.
        attestation_certificates, attestation_revocations, attestation_collateral: files that
            belong to evidence, see `attestation.tsm`.
        broker: URL of a key broker that releases the packages; needs `attestation`. The server then
            has an identity of its own at each start, which is on no disk, instead of `identity`.
        broker_token: path of a file with the token for it; None if it asks for none.
        broker_ca: PEM file of the only authorities to trust for it; the usual ones if None.
        committees: folders with the statement and the keys of committees that hidden models are
            encrypted under (`strongroom committee create`).
        member_timeout_seconds: after which a member of a committee counts as down.
        member_ca: PEM file of the only authorities to trust for members; the usual ones if None.
        member_urls: where members are reached that are not where their committee's statement says,
            by name (`member.addresses`).
        loader: import string "module:function" of a `server.model.Loader`.

    Raises:
        ServerError: SR-SERVER-CONFIG for a value that makes no sense.
    """

    packages: tuple[str, ...]
    tokens: str
    host: str = "127.0.0.1"
    port: int = 8443
    tls_certificate: str | None = None
    tls_key: str | None = None
    workers: int = 2
    threads: int | None = None
    request_bytes: int = 64 * _MIB
    queue_length: int = 64
    connections: int = 1024
    worker_memory_bytes: int = 2048 * _MIB
    evaluation_timeout_seconds: float = 60.0
    read_timeout_seconds: float = 30.0
    queue_timeout_seconds: float = 60.0
    idle_timeout_seconds: float = 75.0
    load_timeout_seconds: float = 600.0
    drain_timeout_seconds: float = 30.0
    key_folder: str | None = None
    key_bytes_per_tenant: int = 4096 * _MIB
    key_bytes_total: int = 65536 * _MIB
    key_chunk_bytes: int = 4 * _MIB
    key_upload_seconds: float = 6 * 3600.0
    key_cache_bytes: int = 4096 * _MIB
    identity: str | None = "default"
    home: str | None = None
    serving_key_seconds: int = 12 * 3600
    serving_key_overlap_seconds: int = 3600
    replay_capacity: int = 2**21
    attestation: Literal["tsm", "development"] | None = None
    attestation_certificates: str | None = None
    attestation_revocations: str | None = None
    attestation_collateral: str | None = None
    broker: str | None = None
    broker_token: str | None = None
    broker_ca: str | None = None
    committees: tuple[str, ...] = ()
    member_timeout_seconds: float = 30.0
    member_ca: str | None = None
    member_urls: dict[str, str] = {}
    loader: str = DEFAULT_LOADER

    def __post_init__(self) -> None:
        if not self.packages:
            raise ServerError(
                "SR-SERVER-CONFIG", "packages is empty", "Name at least one package to serve"
            )
        if len(self.packages) > MAXIMUM_PACKAGES:
            raise ServerError(
                "SR-SERVER-CONFIG",
                f"packages has {len(self.packages)} entries",
                f"Serve at most {MAXIMUM_PACKAGES} from one server",
            )
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ServerError(
                "SR-SERVER-CONFIG",
                "only one of tls_certificate and tls_key is set",
                "Set both, or neither on loopback",
            )
        if self.broker is not None and (self.attestation is None or self.identity is None):
            raise ServerError(
                "SR-SERVER-CONFIG",
                "there is a key broker, but no identity or no attestation to ask it with",
                "Set identity and attestation",
            )
        if self.committees and self.identity is None:
            raise ServerError(
                "SR-SERVER-CONFIG",
                "there are committees, but no identity to ask their members with",
                "Set identity",
            )
        if self.member_urls and not self.committees:
            raise ServerError(
                "SR-SERVER-CONFIG",
                "member_urls says where members are reached, and there are no committees",
                "Name the folders of the committees that they are members of",
            )
        if self.loader.count(":") != 1 or not all(self.loader.split(":")):
            raise ServerError(
                "SR-SERVER-CONFIG", f"loader is {self.loader!r}", "Write it as module:function"
            )
        bounds: dict[str, tuple[float, float]] = {
            "port": (0, 65535),
            "workers": (1, 1024),
            "threads": (1, 1024),
            "request_bytes": (1024, 2**31),
            "queue_length": (0, 2**16),
            "connections": (1, 2**20),
            "worker_memory_bytes": (16 * _MIB, 2**46),
            "evaluation_timeout_seconds": (0.01, 86_400),
            "read_timeout_seconds": (0.1, 86_400),
            "queue_timeout_seconds": (0.01, 86_400),
            "idle_timeout_seconds": (0.1, 86_400),
            "load_timeout_seconds": (0.1, 86_400),
            "drain_timeout_seconds": (0, 86_400),
            "key_bytes_per_tenant": (1, 2**50),
            "key_bytes_total": (1, 2**50),
            "key_chunk_bytes": (1024, 64 * _MIB),
            "key_upload_seconds": (1, 31 * 86_400),
            "key_cache_bytes": (0, 2**46),
            "serving_key_seconds": (1, 31 * 86_400),
            "serving_key_overlap_seconds": (1, 31 * 86_400),
            "replay_capacity": (1, 2**28),
            "member_timeout_seconds": (0.1, 3600),
        }
        for field, (low, high) in bounds.items():
            value = getattr(self, field)
            if value is None:
                continue
            if not low <= value <= high:
                raise ServerError(
                    "SR-SERVER-CONFIG",
                    f"{field} is {value}",
                    f"Choose a value from {low:g} to {high:g}",
                )

    @property
    def evaluation_threads(self) -> int:
        """Threads of one evaluation, as configured or as suits the machine."""
        if self.threads is not None:
            return self.threads
        return max(1, len(os.sched_getaffinity(0)) // self.workers)

    @property
    def keys_at(self) -> Path:
        """The folder of tenants' evaluation keys, absolute."""
        if self.key_folder is not None:
            return Path(self.key_folder).absolute()
        return Path(self.tokens).absolute().parent / "evaluation-keys"


def read_config(path: Path) -> ServerConfig:
    """Read a configuration from a JSON file.

    Raises:
        ServerError: SR-SERVER-CONFIG if the file can't be read or a field is wrong.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ServerError(
            "SR-SERVER-CONFIG",
            f"the configuration file {path} can't be read ({error.strerror})",
            "Check its path and permissions",
        ) from error
    try:
        return msgspec.json.decode(text, type=ServerConfig)
    except msgspec.MsgspecError as error:
        raise ServerError(
            "SR-SERVER-CONFIG",
            f"the configuration file {path} is wrong: {error}",
            "Correct that field",
        ) from error
