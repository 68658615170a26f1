"""A process that ends just before one of its changes to the disk: nothing of it happens after."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

CHANGES: Final = ("replace", "link", "rename", "unlink")


class Ended(BaseException):
    """The process is no more."""


@contextmanager
def ended_before(change: int) -> Iterator[None]:
    """Let so many changes of names happen, and none after; `Ended` is raised at each of those.

    A file without a name, or under the name of a partial one, is one that nobody reads.
    """
    left = [change]

    def counted(honest: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Ended
            return honest(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in CHANGES:
            patch.setattr(os, name, counted(getattr(os, name)))
        yield


def every_end(prepare: Callable[[], object], act: Callable[[], object]) -> Iterator[bool]:
    """Run something again and again, ending before its first change, its second, and so on.

    Args:
        prepare: makes it possible to run it again; never ends early.

    Yields:
        Whether it ended; not, the last time.
    """
    change = 0
    while True:
        prepare()
        try:
            with ended_before(change):
                act()
        except Ended:
            yield True
        else:
            yield False
            return
        change += 1
