"""The one interface that every protection implements; server, client and command line know
only this.

A protected exchange is one opaque request and one opaque response. What is inside is the
protection's own affair; around it is the Open Inference Protocol.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.plan import Plan
from strongroom.models.graph import Graph
from strongroom.policy import Policy


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


class ServerSide(Protocol):
    """A model ready to answer protected requests. Stateless between requests."""

    def answer(self, request: bytes | memoryview, *, threads: int = 1) -> bytes:
        """Answer one request.

        Raises:
            CiphertextError: the request is malformed or not for this model.
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
    """

    @property
    def rows_per_request(self) -> int:
        """How many rows fit into one request, at most."""
        ...

    def encode(self, rows: NDArray[np.float64]) -> Encoded:
        """Encode at most `rows_per_request` checked rows, shape (n, columns).

        Raises:
            InputError: SR-INPUT-RANGE.
        Warns:
            InputRangeWarning: rows outside the sample's range.
        """
        ...

    def encrypt(self, encoded: Encoded) -> Pending:
        """Encrypt encoded rows into one request."""
        ...

    def decrypt(self, pending: Pending, response: bytes) -> NDArray[np.float64]:
        """Open a response: raw scores, shape (n, outputs), flooded and rounded to the declared
        precision.

        Raises:
            CiphertextError: the response is malformed or answers another request.
        """
        ...


class ServedProtection(Protocol):
    """A protection: `fhe`, `mpc`, `sealed`."""

    @property
    def name(self) -> str:
        """As in a manifest: "fhe"."""
        ...

    def plan(self, graph: Graph, sample: NDArray[np.float64], policy: Policy) -> Plan:
        """Decide how a graph will run. `sample` has shape (n, columns), checked."""
        ...

    def protect(self, graph: Graph, plan: Plan) -> bytes:
        """The payload of the package: what the server side needs."""
        ...

    def open_server(self, plan: Plan, payload: bytes, *, package: str) -> ServerSide:
        """Make a payload ready to answer requests that are bound to the same package.

        Args:
            package: digest of the package; bound into every message.

        Raises:
            PackageError: the payload is damaged.
        """
        ...

    def check(self, plan: Plan, policy: Policy) -> None:
        """Re-check everything that an untrusted plan says. Raises PolicyError."""
        ...

    def open_client(
        self, plan: Plan, keys: KeyProvider, policy: Policy, *, package: str
    ) -> ClientSide[Any, Any]:
        """A client's end for a plan that `check` accepts (it is checked here again).

        Args:
            package: digest of the package that the client trusts.
        """
        ...

    def request_limit(self, plan: Plan) -> int:
        """Largest request in bytes that a server needs to accept."""
        ...
