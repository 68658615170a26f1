"""The one interface that every protection implements; server, client and command line know
only this.

A protected exchange is one opaque request and one opaque response. What is inside is the
protection's own affair; around it is the Open Inference Protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.holding import ONE_OWNER, KeyHolding
from strongroom.compiler.plan import CommitteeKey, OwnerKey, Plan
from strongroom.compiler.stages import Stage
from strongroom.engine import KeySource, PublicKey, SecretKey
from strongroom.keys.serving import ServingKey
from strongroom.models.graph import Graph
from strongroom.package.payload import Payload
from strongroom.policy import Policy

WeightKey = SecretKey | PublicKey
"""Under which the weights of a hidden model are encrypted."""


class KeyProvider(Protocol):
    """Where a client side gets its keys: secret bytes by the name of a parameter set."""

    def secret(self, name: str, create: bool = True) -> bytes | None:
        """The stored secret of that name, or None if there is none.

        Args:
            create: the caller will `store` one if there is none: a provider that could not take
                it says so now, before the work of making one.
        """
        ...

    def store(self, name: str, secret: bytes) -> bytes:
        """Store a secret durably unless one of that name exists; return the one that counts."""
        ...


@dataclass(frozen=True, slots=True, order=True)
class KeyNeed:
    """One evaluation key that a model needs.

    Attributes:
        element: `engine.RELINEARISATION` or a Galois element.
        limbs: for ciphertexts of up to this many primes.
    """

    element: int
    limbs: int


@dataclass(frozen=True, slots=True)
class KeyNeeds:
    """What a server must hold of a client's key set before it can answer.

    Attributes:
        parameters: name in the catalogue.
        keys: evaluation keys, ascending by element.
        public_limbs: level of the public key with which answers are re-randomised; 0 where they
            are not.
    """

    parameters: str
    keys: tuple[KeyNeed, ...]
    public_limbs: int


class OpenKeySet(Protocol):
    """A client's key set at the server, as far as some `KeyNeeds` go."""

    @property
    def evaluation_keys(self) -> KeySource:
        """Relinearisation and Galois keys, mapped from disk."""
        ...

    @property
    def public_key(self) -> PublicKey:
        """Exactly at the level that was asked for.

        Raises:
            ValueError: none was asked for.
        """
        ...


def asked_for(public_key: PublicKey | None) -> PublicKey:
    """A public key that is there. Raises ValueError if there is none."""
    if public_key is None:
        raise ValueError("the model needs no public key, and none was asked for")
    return public_key


class KeySets(Protocol):
    """The key sets of the tenant whose request is being answered; nobody else's."""

    def open(self, key_set: bytes, needs: KeyNeeds) -> OpenKeySet:
        """The keys of one set.

        Args:
            key_set: its identifier, 16 bytes, which the request named.

        Raises:
            KeyStoreError: SR-KEYS-MISSING, naming what is missing.
        """
        ...


class KeySetSource(Protocol):
    """A client's end of a key set: it makes the keys that a server lacks."""

    @property
    def identifier(self) -> bytes:
        """16 bytes that follow from the secret key and say nothing about it."""
        ...

    @property
    def needs(self) -> KeyNeeds:
        """What the model needs."""
        ...

    def evaluation_key(self, need: KeyNeed) -> bytes:
        """A fresh evaluation key, serialised (docs/reference/format.md, kind 4)."""
        ...

    def public_key(self) -> bytes:
        """A fresh public key, serialised (kind 3)."""
        ...


class SealingKeys(Protocol):
    """Serving keys of the server that a client asks, verified."""

    def current(self) -> ServingKey:
        """The key to seal to now. Raises StrongroomError if the server proves none."""
        ...

    def now(self) -> datetime:
        """The client's time, UTC."""
        ...


class OpeningKey(Protocol):
    """The private half of a serving key; `keys.serving.ServingSecrets` is one."""

    def open(self, sealed: bytes, info: bytes, /) -> bytes:
        """Open what was sealed to it. Raises CiphertextError: SR-SEALED-OPEN."""
        ...


class OpeningKeys(Protocol):
    """What a serving process needs to open sealed requests."""

    def opening_key(self, key_id: str, /) -> OpeningKey | None:
        """The serving key of that identifier, or None if there is none, or none any more."""
        ...

    def seen(self, request_id: str, expires: datetime, /) -> bool:
        """Whether a request was opened before, by any process of this server; from now on it was.

        Args:
            expires: from then on nobody needs to remember it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Serving:
    """What a server side needs of the process that it runs in.

    Attributes:
        keys: with which requests are opened, and remembered.
        now: the process's time, UTC.
        threads: how many threads an evaluation may use.
    """

    keys: OpeningKeys
    now: Callable[[], datetime]
    threads: int


class ServerSide(Protocol):
    """A model ready to answer protected requests. Stateless between requests."""

    def answer(
        self, request: bytes | memoryview, *, keys: KeySets | None = None, threads: int = 1
    ) -> bytes:
        """Answer one request.

        Args:
            keys: of the tenant who asks; a model without `KeyNeeds` takes none.

        Raises:
            CiphertextError: the request is malformed or not for this model.
            KeyStoreError: SR-KEYS-MISSING.
        """
        ...


class PendingRequest(Protocol):
    """An encrypted request and what is needed to open its response."""

    @property
    def body(self) -> bytes:
        """The bytes to send."""
        ...


Encoded = TypeVar("Encoded")
Pending = TypeVar("Pending", bound=PendingRequest)


class ClientSide(Protocol[Encoded, Pending]):
    """A client's end for one plan and one key set.

    `Encoded` is what rows are after encoding and before encryption; the caller only hands it on.
    Rows and scores are tables of float64. Of a model of named tensors (`Plan.prediction` is None)
    they are dictionaries of arrays, and one of them is a request.
    """

    @property
    def rows_per_request(self) -> int:
        """How many rows fit into one request, at most."""
        ...

    @property
    def key_set(self) -> KeySetSource | None:
        """The keys that the server must have before it can answer; None where it needs none."""
        ...

    def check(self, rows: Any) -> None:
        """Look at all rows of a call before the first is sent, shape (n, columns), checked.

        Raises:
            InputError: SR-INPUT-RANGE, -CATEGORY, -MISSING, -INFINITE, with the row's number.
        Warns:
            InputRangeWarning: rows outside the sample's range.
        """
        ...

    def encode(self, rows: Any) -> Encoded:
        """Encode at most `rows_per_request` checked rows, shape (n, columns).

        Raises:
            InputError: as for `check`.
        """
        ...

    def encrypt(self, encoded: Encoded) -> Pending:
        """Encrypt encoded rows into one request."""
        ...

    def decrypt(self, pending: Pending, response: bytes) -> Any:
        """Open a response: raw scores, shape (n, outputs), flooded and rounded to the declared
        precision.

        Raises:
            CiphertextError: the response is malformed or answers another request.
        """
        ...


class SharedRequest(PendingRequest, Protocol):
    """An encrypted request about a model under a committee's key."""

    @property
    def results(self) -> int:
        """How many result ciphertexts the answer has."""
        ...


class SharedClientSide(ClientSide[Any, Any], Protocol):
    """An asker's end of a model under a committee's key: members open results for it."""

    @property
    def shown_bytes_per_request(self) -> int:
        """Largest declared part of an answer, in bytes."""
        ...

    @property
    def words_per_request(self) -> int:
        """Most words of a member's share of an answer."""
        ...

    def share_shapes(self, pending: Any) -> Sequence[tuple[int, int]]:
        """Shapes of the words of each result in a share: primes, declared coefficients."""
        ...

    def impossible(
        self, pending: Any, shown: bytes, shares: Sequence[Sequence[NDArray[np.uint64]]]
    ) -> bool:
        """Whether a score is larger than the plan allows, so that a share, the result itself, or
        the row is not what it should be.

        Args:
            shown, shares: as of `open`.

        Raises:
            CiphertextError: the answer is malformed or is of another request.
        """
        ...

    def open(
        self, pending: Any, shown: bytes, shares: Sequence[Sequence[NDArray[np.uint64]]]
    ) -> Any:
        """Raw scores, shape (n, outputs), rounded to the declared precision.

        Args:
            shown: the results' declared part, see `SharedResults.shown`.
            shares: of each member, the words of each result.

        Raises:
            CiphertextError: the answer is malformed or is of another request.
        """
        ...


@dataclass(frozen=True, slots=True)
class SharedResult:
    """One result ciphertext, as far as a committee's member needs it.

    Attributes:
        second: its second polynomial, as `engine.threshold.second_part_to_bytes` writes it.
        limbs: primes.
        positions: declared coefficients.
    """

    second: bytes
    limbs: int
    positions: NDArray[np.uint32]


class SharedResults(Protocol):
    """What becomes of the answers of a model under a committee's key."""

    @property
    def log_sigma(self) -> float:
        """Base-2 logarithm of the smudging that each member adds."""
        ...

    def shown(self, response: bytes) -> bytes:
        """What an asker gets of an answer: first polynomials at the declared coefficients."""
        ...

    def results(self, response: bytes | memoryview) -> Sequence[SharedResult]:
        """What members get of it.

        Raises:
            CiphertextError: that is no answer of this model.
        """
        ...


class ModelHolder(Protocol):
    """Who will hold the key of a hidden model."""

    @property
    def holding(self) -> KeyHolding:
        """What planning needs to know of it."""
        ...

    def suits(self, plan: Plan, needs: KeyNeeds) -> bool:
        """Whether there is, or can be, a key for a plan and evaluation keys for what it needs."""
        ...

    def weight_key(self, plan: Plan) -> tuple[WeightKey, OwnerKey | CommitteeKey]:
        """The key under which a plan's weights are to be encrypted, and what the plan says of it.

        Raises:
            StrongroomError: there is none for the plan's parameters, and none can be made.
        """
        ...


class Candidate(Protocol):
    """A way in which a model could run."""

    @property
    def plan(self) -> Plan:
        """The plan."""
        ...

    def payload(self, key: WeightKey | None = None) -> Payload:
        """The payload of a package with that plan: what the server side needs.

        Args:
            key: under which the weights of a hidden model are encrypted; of the plan's parameters.

        Raises:
            ValueError: a hidden model without a key, or a key for a model that hides nothing.
        """
        ...

    def stages(self) -> Sequence[Stage]:
        """What runs one after the other, with predicted times and memory; for the owner."""
        ...


class ServedProtection(Protocol):
    """A protection: `fhe`, `mpc`, `sealed`."""

    @property
    def name(self) -> str:
        """As in a manifest: "fhe"."""
        ...

    @property
    def whole_trees(self) -> bool:
        """Whether it takes graphs of trees as they are (`models.trees.whole`)."""
        ...

    def candidates(
        self,
        graph: Graph,
        sample: NDArray[np.float64],
        policy: Policy,
        holding: KeyHolding = ONE_OWNER,
    ) -> Sequence[Candidate]:
        """The ways in which a graph could run, the one to take first; at least one.

        Args:
            sample: shape (n, columns), checked.
            holding: of the key, if the policy hides the model.

        Raises:
            ModelError: the graph can't be run.
            PolicyError: no way meets the policy.
        """
        ...

    def tensor_candidates(
        self, model: Any, inputs: Mapping[str, Any] | None, policy: Policy
    ) -> Sequence[Candidate]:
        """The ways in which an ONNX model of named tensors could run.

        Args:
            model: an `onnx.ModelProto`, its bytes, or the path of a file.
            inputs: tensors that it takes, by name; small ones are made up if None.

        Raises:
            ModelError: the model can't be run, or this protection takes rows only.
            InputError: SR-INPUT-SHAPE if the inputs are not those that it takes.
        """
        ...

    def open_server(
        self, plan: Plan, payload: Payload, *, package: str, serving: Serving | None = None
    ) -> ServerSide:
        """Make a payload ready to answer requests that are bound to the same package.

        Args:
            package: digest of the package; bound into every message.
            serving: of the process; needed where requests are sealed to it.

        Raises:
            PackageError: the payload is damaged.
            ServerError: SR-SERVER-CONFIG if `serving` is needed and not given.
        """
        ...

    def check(self, plan: Plan, policy: Policy) -> None:
        """Re-check everything that an untrusted plan says. Raises PolicyError."""
        ...

    def open_client(
        self,
        plan: Plan,
        keys: KeyProvider,
        policy: Policy,
        *,
        package: str,
        serving: SealingKeys | None = None,
    ) -> ClientSide[Any, Any]:
        """A client's end for a plan that `check` accepts (it is checked here again).

        Args:
            package: digest of the package that the client trusts.
            serving: keys of the server; needed where requests are sealed to them.

        Raises:
            ServerError: SR-SERVER-KEYS if `serving` is needed and not given.
        """
        ...

    def open_shared_client(
        self, plan: Plan, key: PublicKey, policy: Policy, *, package: str
    ) -> SharedClientSide:
        """A client's end for a plan under a committee's key; like `open_client`.

        Args:
            key: the committee's, verified.

        Raises:
            PolicyError: SR-PLAN-INVALID if the protection has no such plans.
        """
        ...

    def shared_results(self, plan: Plan, *, package: str) -> SharedResults:
        """What becomes of the answers of a model under a committee's key.

        Raises:
            PolicyError: SR-PLAN-INVALID if the protection has no such plans.
        """
        ...

    def request_limit(self, plan: Plan) -> int:
        """Largest request in bytes that a server needs to accept."""
        ...

    def key_needs(self, plan: Plan) -> KeyNeeds | None:
        """The keys that a server needs of an asker; None where it needs none."""
        ...
