"""Processes that take requests into one window and are killed meanwhile.

    python killed_takers.py lines | times

Prints a line of JSON. "lines": for each line of the code that one process was killed at, what
others then got. "times": how often each identifier was taken by processes killed at random times.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from types import FrameType
from typing import Any

from strongroom.server.replay import ReplayWindow, create_window

NOW = 1_795_000_000_000
MINUTE = 60_000
OLD, LIVE, KILLED = (bytes([letter]) * 16 for letter in b"old")


def killed_at(descriptor: int, line: int) -> bool:
    """A process that dies at the line, counted from the call; whether it came so far."""
    pid = os.fork()
    if pid == 0:
        window, left = ReplayWindow(descriptor), line

        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal left
            if event == "line":
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        window.take(KILLED, NOW + 5 * MINUTE, NOW + 2 * MINUTE)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def lines() -> list[list[bool | None]]:
    found = []
    while True:
        # One bucket of two slots: one free for what is taken, one in use.
        descriptor = create_window(2, 20 * MINUTE)
        window = ReplayWindow(os.dup(descriptor))
        assert window.take(OLD, NOW + MINUTE, NOW)
        assert window.take(LIVE, NOW + 5 * MINUTE, NOW)
        if not killed_at(descriptor, len(found)):
            return found
        later = NOW + 2 * MINUTE
        again = [window.take(KILLED, NOW + 5 * MINUTE, later) for _ in range(2)]
        others = [window.take(one, NOW + 5 * MINUTE, later) for one in (LIVE, OLD)]
        found.append(again + others)


def times() -> list[int]:
    identifiers = [number.to_bytes(16) for number in range(4000)]
    descriptor = create_window(len(identifiers), 20 * MINUTE)
    read_end, write_end = os.pipe()
    taken: Counter[bytes] = Counter()
    os.set_blocking(read_end, False)

    def taker() -> int:
        if pid := os.fork():
            return pid
        window = ReplayWindow(descriptor)
        random.seed()
        while True:
            one = random.choice(identifiers)
            if window.take(one, NOW + MINUTE, NOW):
                os.write(write_end, one)

    for _ in range(150):
        pids = [taker() for _ in range(3)]
        for pid in pids:
            time.sleep(random.uniform(0, 0.004))
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)
        try:
            while content := os.read(read_end, 65536):
                taken.update(content[at : at + 16] for at in range(0, len(content), 16))
        except BlockingIOError:
            pass
    window = ReplayWindow(descriptor)
    again = [one for one in taken if window.take(one, NOW + MINUTE, NOW) is not False]
    return [len(taken), max(taken.values()), len(again)]


if __name__ == "__main__":
    print(json.dumps({"lines": lines, "times": times}[sys.argv[1]]()))
