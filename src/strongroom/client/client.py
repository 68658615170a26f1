"""Client: asks a server that can't read the question.

    with Client("https://models.example", model="breast-cancer", trust="sha256:…") as client:
        labels = client.predict(X)

Before any row leaves, the served package is compared with what is trusted and its plan with the
policy (see `client.trust` and the protection's own checks). Evaluation keys that the model needs
and the server lacks are sent then, and again should the server have dropped them. Rows are checked,
encoded and encrypted here, computed on there, and decrypted, linked and labelled here.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import httpx
import numpy as np
from numpy.typing import NDArray

from strongroom import protections
from strongroom.client.key_spool import KeySpool
from strongroom.client.key_upload import KeyUpload
from strongroom.client.progress import RowProgress
from strongroom.client.transport import Exchange, Transport
from strongroom.client.trust import Trust, Verifier
from strongroom.compiler.plan import Guarantee, Plan
from strongroom.errors import KeyStoreError, ModelError, ServerError
from strongroom.keys.store import KeyStore
from strongroom.models.feature_columns import RowRefused
from strongroom.models.output import Method
from strongroom.package.manifest import Manifest
from strongroom.policy import Policy
from strongroom.protections.interface import ClientSide, KeyProvider

_DEFAULT_POLICY: Final = Policy()


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of one call went, and how much was sent; all requests together.

    Attributes:
        encode_seconds, encrypt_seconds, decrypt_seconds: here.
        send_seconds: sending, the network both ways, and repetitions after failures.
        queue_seconds, compute_seconds: at the server, as it says.
        receive_seconds: reading the answers.
        bytes_sent, bytes_received: of the HTTP bodies.
        requests: how many.
    """

    encode_seconds: float = 0.0
    encrypt_seconds: float = 0.0
    send_seconds: float = 0.0
    queue_seconds: float = 0.0
    compute_seconds: float = 0.0
    receive_seconds: float = 0.0
    decrypt_seconds: float = 0.0
    bytes_sent: int = 0
    bytes_received: int = 0
    requests: int = 0

    def __add__(self, other: Timings) -> Timings:
        return Timings(
            **{name: getattr(self, name) + getattr(other, name) for name in self.__slots__}
        )


class Client:
    """One model at one server. Opens the connection and verifies the package at once.

    Not for several threads at once; a client each.

    Args:
        url: of the server: "https://models.example:8443"; plain http to loopback only.
        model: name under which it is served.
        token: the bearer token that the server's owner gave.
        trust: the package's digest "sha256:…", the `Package`, or "first-use", which pins what
            is served now and prints its digest.
        policy: what the served plan must satisfy.
        keys: where keys are kept; the key store in $STRONGROOM_HOME or ~/.strongroom if None.
        passphrase: of that key store; else $STRONGROOM_PASSPHRASE or the system's keyring.
        ca: PEM file of certificates to trust instead of the usual authorities.
        timeout_seconds: how long to wait for a connection, and for each next byte of an answer.
        progress: whether to show a progress bar on standard error after two seconds, for keys
            that are sent and for rows; None: if that is a terminal.
        transport: replaces the network, for tests.

    Raises:
        ServerError: the server can't be reached, refuses, or breaks the protocol.
        PackageError: SR-PACKAGE-DIGEST: it serves another package than the trusted one.
        PolicyError: the plan falls short of the policy.
        KeyStoreError: the keys can't be opened.
    """

    _upload: KeyUpload | None = None

    def __init__(
        self,
        url: str,
        *,
        model: str,
        trust: Trust,
        token: str | None = None,
        policy: Policy = _DEFAULT_POLICY,
        keys: KeyProvider | None = None,
        passphrase: str | None = None,
        ca: str | os.PathLike[str] | None = None,
        timeout_seconds: float = 30.0,
        progress: bool | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        if keys is not None and passphrase is not None:
            raise KeyStoreError(
                "SR-KEYS-PASSPHRASE",
                "both a key store and a passphrase are given",
                "Pass the passphrase to the key store",
            )
        self._model = model
        self._progress = progress
        self._closed = False
        self._timings = Timings()
        self._key_bytes_sent = 0
        self._transport = Transport(
            url, token=token, ca=ca, timeout_seconds=timeout_seconds, transport=transport
        )
        try:
            provider = KeyStore.open(passphrase=passphrase) if keys is None else keys
            # A provider of another kind holds keys only; pins are then in the usual place.
            pins = provider.pins if isinstance(provider, KeyStore) else KeyStore.open().pins
            verifier = Verifier(trust, pins, self._transport.url, model)
            self._manifest = verifier.manifest(self._transport.model_metadata(model))
            self._digest = self._manifest.digest
            protection = protections.by_name(self.plan.protection)
            protection.check(self.plan, policy)
            self._side: ClientSide[Any, Any] = protection.open_client(
                self.plan, provider, policy, package=self._digest
            )
            if self._side.key_set is not None:
                home = provider.home if isinstance(provider, KeyStore) else None
                self._upload = KeyUpload(
                    self._transport, self._side.key_set, KeySpool(home), progress
                )
                self._key_bytes_sent = self._upload.send_missing()
            # Last, so that nothing is pinned that could not be used.
            verifier.accept(self._digest)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._transport.url!r}, model={self._model!r})"

    @property
    def manifest(self) -> Manifest:
        """The verified manifest of the served package."""
        return self._manifest

    @property
    def plan(self) -> Plan:
        """How the model runs."""
        return self._manifest.plan

    @property
    def guarantee(self) -> Guarantee:
        """The guarantee statement: who sees what."""
        return self._manifest.plan.guarantee

    @property
    def package_digest(self) -> str:
        """Digest of the served package, "sha256:…"."""
        return self._digest

    @property
    def timings(self) -> Timings:
        """Of the last call that succeeded; all zero before."""
        return self._timings

    @property
    def key_bytes_sent(self) -> int:
        """Bytes of keys that this client has sent; 0 where the server had them all."""
        return self._key_bytes_sent

    def delete_keys(self) -> None:
        """Remove this client's key set from the server. The next call would send it again.

        Raises:
            ServerError: the server can't be reached, or refuses.
        """
        if self._upload is not None:
            self._upload.delete()

    def close(self) -> None:
        """Close the connection."""
        self._closed = True
        self._transport.close()

    def predict(self, X: Any) -> NDArray[np.generic]:
        """What the plain model's `predict` returns: labels, shape (n,), or values.

        Args:
            X: NumPy array, list of lists or pandas frame, shape (n, columns).

        Raises:
            InputError: the rows are not what the model takes; nothing was sent.
            ServerError: as for `Client`.
            CiphertextError: an answer can't be decrypted.
        """
        return self.plan.output.predict(self._scores(X, "predict"))

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """What the plain model's `predict_proba` returns, shape (n, classes).

        Raises:
            ModelError: SR-MODEL-METHOD if the plain model has none; nothing was sent.
            InputError, ServerError, CiphertextError: as for `predict`.
        """
        return self.plan.output.predict_proba(self._scores(X, "predict_proba"))

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """What the plain model's `decision_function` returns, shape (n,) or (n, classes).

        Raises:
            ModelError: SR-MODEL-METHOD if the plain model has none; nothing was sent.
            InputError, ServerError, CiphertextError: as for `predict`.
        """
        return self.plan.output.decision_function(self._scores(X, "decision_function"))

    def scores(self, X: Any) -> NDArray[np.float64]:
        """Raw scores, shape (n, outputs), that `plan.output` makes predictions of.

        Raises:
            InputError, ServerError, CiphertextError: as for `predict`.
        """
        return self._scores(X, "predict")

    def _scores(self, X: Any, method: Method) -> NDArray[np.float64]:
        """Decrypted scores, shape (n, outputs), in the order of the rows."""
        if self._closed:
            raise ServerError("SR-SERVER-UNREACHABLE", "the client is closed", "Open a new one")
        if method not in self.plan.output.methods:
            raise ModelError("SR-MODEL-METHOD", f"the plain model has no {method}")
        rows = self.plan.input.rows(X)
        scores = np.empty((len(rows), self.plan.output.outputs))
        started, step = time.perf_counter(), self._side.rows_per_request
        self._side.check(rows)
        timings = Timings(encode_seconds=time.perf_counter() - started)
        with RowProgress(len(rows), self._progress) as progress:
            for start in range(0, len(rows), step):
                part = slice(start, start + step)
                try:
                    scores[part], spent = self._ask(rows[part])
                except RowRefused as refusal:
                    raise refusal.counted_from(start) from None
                timings += spent
                progress.advance(len(rows[part]))
        self._timings = timings
        return scores

    def _ask(self, rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], Timings]:
        """One protected exchange."""
        started = time.perf_counter()
        encoded = self._side.encode(rows)
        encoding_done = time.perf_counter()
        pending = self._side.encrypt(encoded)
        encrypted = time.perf_counter()
        exchange = self._exchange(pending.body)
        received = time.perf_counter()
        # A failure from here on ends the call. It must not lead to a repetition: see
        # `Transport._patiently`.
        scores = self._side.decrypt(pending, exchange.content)
        return scores, Timings(
            encode_seconds=encoding_done - started,
            encrypt_seconds=encrypted - encoding_done,
            send_seconds=exchange.send_seconds,
            queue_seconds=exchange.queue_seconds,
            compute_seconds=exchange.compute_seconds,
            receive_seconds=exchange.receive_seconds,
            decrypt_seconds=time.perf_counter() - received,
            bytes_sent=exchange.bytes_sent,
            bytes_received=exchange.bytes_received,
            requests=1,
        )

    def _exchange(self, body: bytes) -> Exchange:
        """Send a request; where the server lacks keys, send those and then the same bytes again.

        That is as safe as any repetition before an answer was decoded, and happens once.
        """
        limit = self.plan.costs.full_response_bytes
        try:
            return self._transport.infer(self._model, body, self._digest, limit)
        except ServerError as error:
            if error.code != "SR-KEYS-MISSING" or self._upload is None:
                raise
        self._key_bytes_sent += self._upload.send_missing()
        return self._transport.infer(self._model, body, self._digest, limit)
