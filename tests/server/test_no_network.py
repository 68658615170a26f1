"""A process that has given up its network: it computes, and speaks with whom it did before."""

from __future__ import annotations

import errno
import os
import platform
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "src"


def run(code: str) -> list[str]:
    """What a process prints that gives up its network and then runs the code."""
    start = """
    import ctypes, errno, os, socket, subprocess, sys, threading
    import numpy as np
    from strongroom.server.no_network import give_up_network

    def tried(call, *arguments):
        try:
            call(*arguments)
        except OSError as error:
            return errno.errorcode[error.errno]
        return "done"
    """
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(start) + textwrap.dedent(code)],
        env=os.environ | {"PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.split()


@pytest.mark.parametrize(
    "family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK", "AF_PACKET", "AF_VSOCK"]
)
def test_no_socket_of_any_family_can_be_made(family: str) -> None:
    if not hasattr(socket, family):
        pytest.fail(f"this Python does not know {family}")
    printed = run(f"give_up_network(); print(tried(socket.socket, socket.{family}))")
    assert printed == ["EPERM"]


def test_threads_that_ran_before_and_child_processes_have_none_either() -> None:
    printed = run("""
    go, found = threading.Event(), []
    def other():
        go.wait()
        found.append(tried(socket.socket))
    thread = threading.Thread(target=other)
    thread.start()
    give_up_network()
    go.set()
    thread.join()
    code = "import socket\\ntry: socket.socket()\\nexcept PermissionError: print('EPERM')"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    print(*found, tried(socket.socketpair), child.stdout)
    """)
    assert printed == ["EPERM", "EPERM", "EPERM"]


def test_what_opens_sockets_past_the_filter_is_refused_too() -> None:
    assert platform.machine() in ("x86_64", "aarch64")
    others = {"x86_64": (101, 310, 311), "aarch64": (117, 270, 271)}[platform.machine()]
    printed = run(f"""
    libc = ctypes.CDLL(None, use_errno=True)
    give_up_network()
    for number in (425, 438, *{others}):
        print(libc.syscall(number, 0, 0, 0, 0), errno.errorcode[ctypes.get_errno()])
    """)
    assert printed == ["-1", "EPERM"] * 5


def test_the_x32_interface_is_refused() -> None:
    printed = run("""
    libc = ctypes.CDLL(None, use_errno=True)
    give_up_network()
    print(libc.syscall(0x40000000 + 41, 2, 1, 0), errno.errorcode[ctypes.get_errno()])
    print(libc.syscall(0x40000000 + 39), errno.errorcode[ctypes.get_errno()])
    """)
    assert printed == ["-1", "EPERM"] * 2


def test_a_filtered_process_computes_and_keeps_its_sockets() -> None:
    printed = run("""
    ours, theirs = socket.socketpair()
    give_up_network()
    give_up_network()
    ours.send(b"still")
    square = np.arange(250_000.0).reshape(500, 500)
    print(theirs.recv(9).decode(), np.isfinite(square @ square).all(), open("/dev/null").read())
    """)
    assert printed == ["still", "True"]


def test_another_machine_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from strongroom.server import no_network

    monkeypatch.setattr(platform, "machine", lambda: "pdp11")
    with pytest.raises(OSError, match="pdp11") as caught:
        no_network.give_up_network()
    assert caught.value.errno == errno.ENOSYS
