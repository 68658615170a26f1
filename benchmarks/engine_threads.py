"""What a second core of this machine is worth: two independent processes against one.

Processors share power, and virtual ones share cores; so a gain from threads is measured against
the gain of two processes that do nothing but arithmetic on numbers in registers, near in time.
"""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection
from types import TracebackType

STEPS = 400_000
"""Of a linear congruential generator in the interpreter: some hundredth of a second each process
and measurement."""

_MASK = (1 << 60) - 1


class TwoProcesses:
    """Two idle processes that compute when asked. A context manager."""

    def __enter__(self) -> TwoProcesses:
        # Forking a process with threads is unsafe, and these have nothing to inherit.
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(2):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        self.gain()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join()

    def gain(self) -> float:
        """Time of one process doing twice the work, over that of both doing half each: 2 where a
        second core is worth a whole one."""
        alone = self._seconds([2 * STEPS])
        together = self._seconds([STEPS, STEPS])
        return alone / together

    def _seconds(self, work: list[int]) -> float:
        start = time.perf_counter()
        for pipe, steps in zip(self._pipes, work, strict=False):
            pipe.send(steps)
        for pipe, _ in zip(self._pipes, work, strict=False):
            pipe.recv()
        return time.perf_counter() - start


def _serve(pipe: Connection) -> None:
    while True:
        try:
            steps = pipe.recv()
        except EOFError:
            return
        pipe.send(_arithmetic(steps))


def _arithmetic(steps: int) -> int:
    state = 1
    for _ in range(steps):
        state = (state * 6364136223846793 + 1442695040888963) & _MASK
    return state
