"""Evaluation keys: what a server computes with. Public, and useless for decryption."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from strongroom import _native
from strongroom.engine.galois import describe_element
from strongroom.engine.parameters import Parameters
from strongroom.errors import KeyStoreError

_NAMED_AT_MOST = 8


@dataclass(frozen=True, slots=True)
class SwitchingKey:
    """One evaluation key: for products, or for one automorphism.

    Attributes:
        parameters: what it is for.
        element: the Galois element, or `RELINEARISATION`.
    """

    native: _native.SwitchingKey = field(repr=False)
    parameters: Parameters
    element: int

    @property
    def limbs(self) -> int:
        """It serves ciphertexts of up to so many primes."""
        return self.native.limbs


class KeySource(Protocol):
    """Where an evaluator takes its keys from: memory, or a mapped file."""

    @property
    def parameters(self) -> Parameters:
        """What the keys are for."""

    @property
    def elements(self) -> frozenset[int]:
        """Galois elements (and `RELINEARISATION`) that there are keys for."""

    def key(self, element: int) -> SwitchingKey:
        """The key for an element.

        Raises:
            KeyStoreError: SR-KEYS-MISSING.
        """


class EvaluationKeys:
    """Evaluation keys in memory. Immutable.

    Args:
        parameters: what they are for.
        keys: by element.

    Raises:
        ValueError: a key of other parameters, or under another element than its own.
    """

    def __init__(self, parameters: Parameters, keys: Mapping[int, SwitchingKey]) -> None:
        for element, key in keys.items():
            if key.element != element or key.parameters is not parameters:
                raise ValueError(f"a key for {key.element} under {element}, or other parameters")
        self._parameters = parameters
        self._keys = dict(keys)

    @property
    def parameters(self) -> Parameters:
        """What the keys are for."""
        return self._parameters

    @property
    def elements(self) -> frozenset[int]:
        """Galois elements (and `RELINEARISATION`) that there are keys for."""
        return frozenset(self._keys)

    def key(self, element: int) -> SwitchingKey:
        """The key for an element.

        Raises:
            KeyStoreError: SR-KEYS-MISSING.
        """
        require_elements(self, (element,))
        return self._keys[element]


def require_elements(keys: KeySource, elements: Iterable[int]) -> None:
    """Raise SR-KEYS-MISSING with all that is missing, so that a client can make it in one go."""
    missing = sorted(set(elements) - keys.elements)
    if not missing:
        return
    named = ", ".join(describe_element(keys.parameters, e) for e in missing[:_NAMED_AT_MOST])
    more = f" and {len(missing) - _NAMED_AT_MOST} more" if len(missing) > _NAMED_AT_MOST else ""
    raise KeyStoreError(
        "SR-KEYS-MISSING",
        f"there is no evaluation key for {named}{more}",
        "Make the missing evaluation keys and send them too",
    )
