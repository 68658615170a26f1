"""Client: asks a server that can't read the question.

    with Client("https://models.example", model="breast-cancer", trust="owner.pub") as client:
        labels = client.predict(X)

Before any row leaves, the served package and the server's keys are traced back to who is trusted,
and the plan is compared with the policy (see `client.trust` and the protection's own checks).
Evaluation keys that the model needs and the server lacks are sent then, and again should the server
have dropped them. Rows are checked, encoded and encrypted here, computed on there, and decrypted,
linked and labelled here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

import httpx
import numpy as np
from numpy.typing import NDArray

from strongroom import protections
from strongroom.client.asking import Asker
from strongroom.client.committees import Queries, fetch_committee
from strongroom.client.key_spool import KeySpool
from strongroom.client.key_upload import KeyUpload
from strongroom.client.progress import RowProgress
from strongroom.client.serving_keys import ServingKeys
from strongroom.client.share_checks import ShareChecks
from strongroom.client.shared_asking import SharedAsker
from strongroom.client.timings import Timings
from strongroom.client.transport import Transport
from strongroom.client.trust import Verifier
from strongroom.compiler.plan import CommitteeKey, Guarantee, Plan
from strongroom.errors import KeyStoreError, ModelError, PolicyError, ServerError
from strongroom.keys.home import home_folder
from strongroom.keys.identity import Identity, PublicIdentity
from strongroom.keys.identity_store import default_identity
from strongroom.keys.store import KeyStore
from strongroom.models.feature_columns import RowRefused
from strongroom.models.output import Method
from strongroom.package.manifest import Manifest
from strongroom.policy import Policy
from strongroom.protections.interface import ClientSide, KeyProvider
from strongroom.receipts.proof import Trust
from strongroom.receipts.receipt import Receipt

_DEFAULT_POLICY: Final = Policy()


class Client:
    """One model at one server. Opens the connection and verifies the package at once.

    Not for several threads at once; a client each.

    Args:
        url: of the server: "https://models.example:8443"; plain http to loopback only.
        model: name under which it is served.
        token: the bearer token that the server's owner gave.
        trust: the model's owner, by its public identity, the path of its `.pub` file or its
            fingerprint "identity:…"; or one package, by its digest "sha256:…" or itself; or
            "first-use", which pins the owner of what is served now and prints who that is.
        policy: what the served plan must satisfy.
        keys: where keys are kept; the key store in $STRONGROOM_HOME or ~/.strongroom if None.
        passphrase: of that key store; else $STRONGROOM_PASSPHRASE or the system's keyring.
        identity: the asker's own, for models under a committee's key, whose members enrolled it;
            the identity "default" of the key store if None.
        receipts: whether each answer must come with a receipt, see `receipts`.
        share_checks: of models under a committee's key, the share of answers whose members have to
            prove what they said of them, from 0 to 1: which ones, is drawn when the answer is
            there, whatever it says. With 1 a member whose share is wrong is named, and others are
            asked in its place.
        ca: PEM file of certificates to trust instead of the usual authorities.
        timeout_seconds: how long to wait for a connection, and for each next byte of an answer.
        progress: whether to show a progress bar on standard error after two seconds, for keys
            that are sent and for rows; None: if that is a terminal.
        transport: replaces the network, for tests.

    Raises:
        ServerError: the server can't be reached, refuses, or breaks the protocol.
        PackageError: SR-PACKAGE-DIGEST, -OWNER, -SIGNATURE, -GRANT, -EXPIRED, -ROLLBACK: it
            serves what is not trusted, or may not serve it.
        PolicyError: the plan falls short of the policy.
        KeyStoreError: the keys can't be opened; SR-IDENTITY-CLOCK: the clock is wrong.
    """

    _upload: KeyUpload | None = None
    _asker: Asker | None = None

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
        identity: Identity | None = None,
        receipts: bool = False,
        share_checks: float = 0.0,
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
        self._receipts: tuple[Receipt, ...] = ()
        self._transport = Transport(
            url, token=token, ca=ca, timeout_seconds=timeout_seconds, transport=transport
        )
        try:
            provider = KeyStore.open(passphrase=passphrase) if keys is None else keys
            # A provider of another kind holds keys only; what is remembered of owners and servers
            # is then in the usual place.
            store = provider if isinstance(provider, KeyStore) else KeyStore.open()
            verifier = Verifier(trust, store.pins, store.seen, self._transport.url, model)
            served = self._transport.model_metadata(model)
            self._serving = ServingKeys(self._transport, verifier, model, served)
            verifier.check_protection(self._serving.proven, policy.protection)
            protection = protections.by_name(self.plan.protection)
            protection.check(self.plan, policy)
            home = provider.home if isinstance(provider, KeyStore) else None
            if isinstance(self.plan.holder, CommitteeKey):
                committee, key = fetch_committee(self._transport, self.plan.holder)
                side = protection.open_shared_client(
                    self.plan, key, policy, package=self.package_digest
                )
                queries = Queries(
                    identity or default_identity(passphrase),
                    committee,
                    self.package_digest,
                    # Counters are no secret, and have to outlive a process.
                    home or home_folder(None),
                )
                self._side: ClientSide[Any, Any] = side
                checks = ShareChecks(
                    self._transport,
                    queries,
                    model=model,
                    package=self.package_digest,
                    rate=share_checks,
                )
                self._asker = SharedAsker(
                    self._transport,
                    side,
                    self._serving,
                    queries,
                    checks,
                    model=model,
                    receipts=receipts,
                )
                verifier.accept(self._serving.proven)
                return
            if share_checks:
                raise PolicyError(
                    "SR-POLICY-VALUE",
                    f"share_checks is {share_checks:g}, and the model has no committee",
                    "Leave it out: what is answered here is in no shares",
                )
            self._side = protection.open_client(
                self.plan, provider, policy, package=self.package_digest, serving=self._serving
            )
            if self._side.key_set is not None:
                self._upload = KeyUpload(
                    self._transport, self._side.key_set, KeySpool(home), progress
                )
            self._asker = Asker(
                self._transport,
                self._side,
                self._serving,
                self._upload,
                model=model,
                response_bytes=self.plan.costs.full_response_bytes,
                receipts=receipts,
            )
            # Last, so that nothing is remembered that could not be used.
            verifier.accept(self._serving.proven)
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
        return self._serving.proven.manifest

    @property
    def plan(self) -> Plan:
        """How the model runs."""
        return self.manifest.plan

    @property
    def guarantee(self) -> Guarantee:
        """The guarantee statement: who sees what."""
        return self.plan.guarantee

    @property
    def package_digest(self) -> str:
        """Digest of the served package, "sha256:…"."""
        return self._serving.proven.package

    @property
    def owner(self) -> PublicIdentity:
        """Who signed the package, and granted it to the server."""
        return self._serving.proven.owner

    @property
    def server(self) -> PublicIdentity:
        """The identity under which the server serves."""
        return self._serving.proven.server

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """Of the last call that succeeded, one for each request; none without `receipts=True`."""
        return self._receipts

    @property
    def timings(self) -> Timings:
        """Of the last call that succeeded; all zero before."""
        return self._timings

    @property
    def key_bytes_sent(self) -> int:
        """Bytes of keys that this client has sent; 0 where the server had them all."""
        return 0 if self._asker is None else self._asker.key_bytes_sent

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

    def infer(self, inputs: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Ask a model of named tensors, as an ONNX Runtime session would be asked.

        Args:
            inputs: by the names of the model's inputs: arrays of their types and shapes, or lists.

        Returns:
            Arrays by the names of the model's outputs; read-only.

        Raises:
            ModelError: SR-MODEL-METHOD if the model takes rows; nothing was sent.
            InputError: the tensors are not what the model takes; nothing was sent.
            ServerError, CiphertextError: as for `predict`; what the model says of the tensors too.
        """
        asker = self._open_asker()
        if self.plan.prediction is not None:
            raise ModelError(
                "SR-MODEL-METHOD", "the model takes rows, not named tensors", "Ask it with predict"
            )
        answered = asker.ask(inputs)
        self._timings = answered.timings
        self._receipts = () if answered.receipt is None else (answered.receipt,)
        outputs: dict[str, NDArray[Any]] = answered.content
        return outputs

    def _scores(self, X: Any, method: Method) -> NDArray[np.float64]:
        """Decrypted scores, shape (n, outputs), in the order of the rows."""
        asker = self._open_asker()
        if method not in self.plan.output.methods:
            raise ModelError("SR-MODEL-METHOD", f"the plain model has no {method}")
        rows = self.plan.input.rows(X)
        scores = np.empty((len(rows), self.plan.output.outputs))
        started, step = time.perf_counter(), self._side.rows_per_request
        self._side.check(rows)
        timings = Timings(encode_seconds=time.perf_counter() - started)
        receipts: list[Receipt] = []
        with RowProgress(len(rows), self._progress) as progress:
            for start in range(0, len(rows), step):
                part = slice(start, start + step)
                try:
                    answered = asker.ask(rows[part])
                except RowRefused as refusal:
                    raise refusal.counted_from(start) from None
                scores[part] = answered.content
                timings += answered.timings
                receipts += [] if answered.receipt is None else [answered.receipt]
                progress.advance(len(rows[part]))
        self._timings, self._receipts = timings, tuple(receipts)
        return scores

    def _open_asker(self) -> Asker:
        if self._closed or self._asker is None:
            raise ServerError("SR-SERVER-UNREACHABLE", "the client is closed", "Open a new one")
        return self._asker
