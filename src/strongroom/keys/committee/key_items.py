"""The shares that a committee's keys are summed from, one *item* after the other.

An item is one step of one key: the public key, one automorphism's key, or one of the two steps of
the key for products; and beside the public key the second samples of all parts (`part_checks`). For
each item every part has one share, made by the part's dealer. Shares are megabytes, and there may
be hundreds of items: a member makes its shares once, keeps them in a folder, commits to their
digests, and shows them one item at a time.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from strongroom.canonical import digest
from strongroom.engine import RELINEARISATION, threshold
from strongroom.engine.galois import describe_element
from strongroom.keys.committee.proposal import Terms
from strongroom.keys.committee.statement import file_error
from strongroom.keys.permissions import make_folder

PUBLIC_NAME: Final = "public"
CHECK_NAME: Final = "check"
PRODUCTS_NAME: Final = "products-1"
SECOND_NAME: Final = "products-2"

_BOUND: Final = b"strongroom committee share\0"
_NAME: Final = re.compile(r"public|check|products-[12]|galois-[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class KeyItem:
    """One step of one key.

    Attributes:
        name: "public", "check", "products-1", "products-2" or "galois-<element>"; fit for a URL.
        element: `engine.RELINEARISATION` or a Galois element; 1, which needs no key, for the
            public key and the checks.
        limbs: primes of the key.
    """

    name: str
    element: int
    limbs: int

    def describe(self, terms: Terms) -> str:
        """What it is, for people."""
        if self.name == PUBLIC_NAME:
            return "the public key"
        if self.name == CHECK_NAME:
            return "the checks of parts"
        return f"the key for {describe_element(terms.parameters, self.element)}"


def first_items(terms: Terms) -> tuple[KeyItem, ...]:
    """The items whose shares are committed to together, in their order."""
    public_limbs = terms.proposal.public_limbs
    limbs = threshold.check_limbs(terms.parameters, public_limbs)
    made = [KeyItem(PUBLIC_NAME, 1, public_limbs), KeyItem(CHECK_NAME, 1, limbs)]
    for key in terms.proposal.keys:
        products = key.element == RELINEARISATION
        name = PRODUCTS_NAME if products else f"galois-{key.element}"
        made.append(KeyItem(name, key.element, key.limbs))
    return tuple(made)


def second_items(terms: Terms) -> tuple[KeyItem, ...]:
    """The second step of the key for products; nothing where products need no key."""
    return tuple(
        KeyItem(SECOND_NAME, key.element, key.limbs)
        for key in terms.proposal.keys
        if key.element == RELINEARISATION
    )


def share_digest(part: int, share: bytes) -> str:
    """What binds a part's dealer to a share before it is shown: nobody guesses a share's noise.

    It names the part: who repeats another's digest, to show that share as its own, is bound to
    nothing that there is.
    """
    return digest(b"".join((_BOUND, part.to_bytes(1), share)))


class ShareFolder:
    """A member's own shares on disk, until everybody has them. They are public, or will be.

    Args:
        folder: emptied first: what an interrupted setup left is never used again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.clear()
        make_folder(folder)

    def put(self, item: KeyItem, part: int, share: bytes) -> str:
        """Keep a share; its `share_digest`.

        Raises:
            CommitteeError: SR-COMMITTEE-FILE if the disk can't take it.
        """
        try:
            self._path(item.name, part).write_bytes(share)
        except OSError as error:
            raise file_error(f"{self._folder}: {error.strerror or error}") from error
        return share_digest(part, share)

    def get(self, item: str, part: int) -> bytes:
        """The share of a part for an item, by its name.

        Raises:
            KeyError: there is none.
        """
        if not _NAME.fullmatch(item):
            raise KeyError(item)
        try:
            return self._path(item, part).read_bytes()
        except FileNotFoundError:
            raise KeyError(item) from None

    def clear(self) -> None:
        """Remove everything."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, item: str, part: int) -> Path:
        return self._folder / f"{item}.{part}"
