"""A progress bar for what takes more than two seconds, on a terminal only."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Final, Self

if TYPE_CHECKING:
    from rich.progress import Progress

DELAY_SECONDS: Final = 2.0


class _CallProgress:
    """Counts what is done, and shows the count on standard error once two seconds have passed.

    Args:
        total: how much there is to do.
        shown: whether to show it; None: if standard error is a terminal.
    """

    what: ClassVar[str]
    in_bytes: ClassVar[bool]

    def __init__(self, total: int, shown: bool | None = None) -> None:
        self._total = total
        self._done = 0
        self._bar: Progress | None = None
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        if sys.stderr.isatty() if shown is None else shown:
            # A timer, since a single request may take longer than that.
            self._timer = threading.Timer(DELAY_SECONDS, self._show)
            self._timer.daemon = True

    def __enter__(self) -> Self:
        if self._timer is not None:
            self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        with self._lock:
            if self._bar is not None:
                self._bar.stop()

    def advance(self, count: int) -> None:
        """So many more are done."""
        with self._lock:
            self._done += count
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], completed=self._done)

    def _show(self) -> None:
        # rich takes a while to import, and most calls are over before it is needed.
        from rich.console import Console
        from rich.progress import DownloadColumn, Progress

        columns = Progress.get_default_columns()
        if self.in_bytes:
            columns = (*columns, DownloadColumn())
        with self._lock:
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.add_task(self.what, total=self._total, completed=self._done)
            self._bar.start()


class RowProgress(_CallProgress):
    """Progress of a call, in rows."""

    what = "rows"
    in_bytes = False


class KeyProgress(_CallProgress):
    """Progress of keys on their way to a server, in bytes."""

    what = "keys"
    in_bytes = True
