"""The asker's end: seal rows or named tensors to the serving process, open its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.plan import SealedLayout, TensorSpec
from strongroom.errors import CiphertextError, InputError
from strongroom.keys.identity import PublicIdentity
from strongroom.models.features import Features
from strongroom.protections.interface import SealingKeys
from strongroom.protections.sealed.layout import mismatch
from strongroom.protections.sealed.message import PendingSealed, seal_request
from strongroom.protections.sealed.tensors import tensors_from_bytes, tensors_to_bytes

_ROWS_AT_ONCE: Final = 1024


class _Sealer:
    """Seals contents for one package.

    Args:
        package: its digest.
        serving: keys of the server.
    """

    def __init__(self, package: str, serving: SealingKeys) -> None:
        self._package = package
        self._serving = serving
        self._parsed: tuple[str, PublicIdentity] | None = None

    def seal(self, content: bytes) -> PendingSealed:
        """A request with this content; it opens in the serving process alone."""
        key = self._serving.current()
        if self._parsed is None or self._parsed[0] != key.key_id:
            self._parsed = key.key_id, key.public
        return seal_request(*self._parsed, content, package=self._package, now=self._serving.now())


class TensorClient:
    """A client side for named tensors.

    Args:
        layout: of the plan, checked.
        package: digest of the package.
        serving: keys of the server.
    """

    def __init__(self, layout: SealedLayout, package: str, serving: SealingKeys) -> None:
        self._layout = layout
        self._sealer = _Sealer(package, serving)

    @property
    def rows_per_request(self) -> int:
        """See `protections.interface.ClientSide`: one dictionary is a request."""
        return 1

    @property
    def key_set(self) -> None:
        """None: the server needs no keys of the asker."""
        return None

    def check(self, tensors: Mapping[str, Any]) -> None:
        """Look at tensors before anything is sent.

        Raises:
            InputError: SR-INPUT-SHAPE.
        """
        self.encode(tensors)

    def encode(self, tensors: Mapping[str, Any]) -> bytes:
        """The content of a request.

        Args:
            tensors: what the model takes, by name. Lists become arrays of the type that the model
                takes, arrays must have it.

        Raises:
            InputError: SR-INPUT-SHAPE if names, types or shapes are not those of the model, or the
                tensors are larger than the plan allows.
        """
        dtypes = {spec.name: spec.dtype for spec in self._layout.inputs}
        arrays = {
            name: value
            if isinstance(value, np.ndarray)
            else _array(name, value, dtypes.get(name, "float32"))
            for name, value in tensors.items()
        }
        if problem := mismatch(arrays, self._layout.inputs):
            raise InputError("SR-INPUT-SHAPE", problem, "Pass the tensors that the plan names")
        content = tensors_to_bytes(arrays)
        if len(content) > self._layout.request_content_bytes:
            raise InputError(
                "SR-INPUT-SHAPE",
                f"the tensors take {len(content)} bytes, the plan allows "
                f"{self._layout.request_content_bytes}",
                "Ask for less at once",
            )
        return content

    def encrypt(self, encoded: bytes) -> PendingSealed:
        """Seal a content."""
        return self._sealer.seal(encoded)

    def decrypt(self, pending: PendingSealed, response: bytes) -> dict[str, NDArray[Any]]:
        """What the model gives, by name; arrays are read-only.

        Raises:
            CiphertextError: SR-SEALED-FORMAT, -OPEN, also if it is not what the plan says.
            ServerError: the server refused what was sealed.
        """
        return opened_tensors(pending, response, self._layout.outputs)


class RowClient:
    """A client side for rows.

    Args:
        layout: of the plan, checked.
        features: the plan's public preprocessing.
        package: digest of the package.
        serving: keys of the server.
    """

    def __init__(
        self, layout: SealedLayout, features: Features, package: str, serving: SealingKeys
    ) -> None:
        self._layout = layout
        self._features = features
        self._sealer = _Sealer(package, serving)

    @property
    def rows_per_request(self) -> int:
        """See `protections.interface.ClientSide`."""
        return self._layout.rows_per_request

    @property
    def key_set(self) -> None:
        """None: the server needs no keys of the asker."""
        return None

    def check(self, rows: NDArray[np.float64]) -> None:
        """See `protections.interface.ClientSide.check`; no row is too far out."""
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            self._features.encode(rows[start : start + _ROWS_AT_ONCE], start)

    def encode(self, rows: NDArray[np.float64]) -> tuple[int, bytes]:
        """How many rows, and the content of their request."""
        (table,) = self._layout.inputs
        with np.errstate(over="ignore"):
            features = self._features.encode(rows).astype(table.dtype, copy=False)
        return len(rows), tensors_to_bytes({table.name: features})

    def encrypt(self, encoded: tuple[int, bytes]) -> PendingRows:
        """Seal a content."""
        rows, content = encoded
        return PendingRows(rows, self._sealer.seal(content))

    def decrypt(self, pending: PendingRows, response: bytes) -> NDArray[np.float64]:
        """Raw scores, shape (n, outputs).

        Raises:
            CiphertextError: SR-SEALED-FORMAT, -OPEN, also if these are not scores of as many rows.
            ServerError: the server refused what was sealed.
        """
        (table,) = self._layout.outputs
        exact = TensorSpec(table.name, table.dtype, (pending.rows, *table.shape[1:]))
        scores = opened_tensors(pending.sealed, response, (exact,))[table.name]
        return scores.astype(np.float64)


class PendingRows:
    """A sealed request and how many rows it is about."""

    __slots__ = ("rows", "sealed")

    def __init__(self, rows: int, sealed: PendingSealed) -> None:
        self.rows = rows
        self.sealed = sealed

    @property
    def body(self) -> bytes:
        """The bytes to send."""
        return self.sealed.body


def opened_tensors(
    pending: PendingSealed, response: bytes, specs: tuple[TensorSpec, ...]
) -> dict[str, NDArray[Any]]:
    """The tensors in a response.

    Raises:
        CiphertextError: SR-SEALED-FORMAT if they are not these, SR-SEALED-OPEN.
        ServerError: the server refused what was sealed.
    """
    tensors = tensors_from_bytes(pending.open_response(response))
    if problem := mismatch(tensors, specs):
        raise CiphertextError(
            "SR-SEALED-FORMAT",
            f"the answer is not what the plan says: {problem}",
            "Tell the server's operator",
        )
    return tensors


def _array(name: str, value: Any, dtype: str) -> NDArray[Any]:
    try:
        return np.asarray(value, dtype=dtype)
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            "SR-INPUT-TYPE", f"tensor {name!r} can't be read as {dtype}", "Pass a NumPy array"
        ) from None
