"""The serving process's end: open a request, run the model, seal the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from strongroom.compiler.plan import SealedLayout
from strongroom.errors import InputError, StrongroomError
from strongroom.protections.interface import KeySets, Serving
from strongroom.protections.sealed.layout import mismatch
from strongroom.protections.sealed.message import open_request
from strongroom.protections.sealed.session import Session
from strongroom.protections.sealed.tensors import (
    tensors_from_bytes,
    tensors_to_bytes,
)


class SealedServer:
    """A model in memory, in the clear, and the keys with which requests are opened.

    Args:
        session: of the model.
        layout: of its plan.
        package: digest of the package.
        serving: of the process.
    """

    def __init__(
        self, session: Session, layout: SealedLayout, *, package: str, serving: Serving
    ) -> None:
        self._session = session
        self._layout = layout
        self._package = package
        self._serving = serving

    def answer(
        self, request: bytes | memoryview, *, keys: KeySets | None = None, threads: int = 1
    ) -> bytes:
        """See `protections.interface.ServerSide.answer`; `Serving.threads` counts.

        What is wrong with a request that could be opened is said inside the sealed response.

        Raises:
            CiphertextError: SR-SEALED-FORMAT, -OPEN.
            ServerError: SR-SEALED-KEY, -REPLAY.
        """
        opened = open_request(
            request, self._serving.keys, package=self._package, now=self._serving.now()
        )
        try:
            made = self._session.run(self._checked(tensors_from_bytes(opened.content)))
            content = tensors_to_bytes(made)
            if len(content) > self._layout.response_content_bytes:
                raise _too_large(len(content), self._layout.response_content_bytes)
        except StrongroomError as error:
            return opened.refuse(error)
        return opened.respond(content)

    def _checked(self, tensors: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        if problem := mismatch(tensors, self._layout.inputs):
            raise InputError("SR-INPUT-SHAPE", problem, "Send the tensors that the plan names")
        return tensors


def _too_large(length: int, most: int) -> InputError:
    return InputError(
        "SR-INPUT-SHAPE",
        f"the answer would have {length} bytes, the plan allows {most}",
        "Ask for less at once",
    )
