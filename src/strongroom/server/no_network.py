"""A process without network: a filter of system calls that no later code can take off.

Workers and the keeper see what nobody else may: keys, and of sealed models inputs and answers.
They speak with the front over sockets that they were given at their start, and from then on can
make no others of any family: a datagram socket of the local family could speak with any daemon
of the machine, which in turn has a network. Refused with EPERM are

- `socket`, `socketpair`;
- `io_uring_setup`: a ring makes and uses sockets without a system call for each;
- `ptrace`, `process_vm_readv`, `process_vm_writev`, `pidfd_getfd`: by these a process acts through
  another one of its user, the front for instance, which has a network.

System calls of another architecture (32-bit ones on x86-64), whose numbers mean something else,
end the process; those of the x32 interface are refused. The filter holds for every thread there
is, is inherited by child processes, and stays through `execve`.

Source: Linux, Documentation/userspace-api/seccomp_filter.rst; numbers from the kernel's tables of
system calls.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from typing import Final, NamedTuple

_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_SET_MODE_FILTER: Final = 1
_SECCOMP_FILTER_FLAG_TSYNC: Final = 1
_RET_KILL_PROCESS: Final = 0x80000000
_RET_ERRNO: Final = 0x00050000
_RET_ALLOW: Final = 0x7FFF0000

_LOAD_WORD: Final = 0x20
_JUMP_IF_EQUAL: Final = 0x15
_JUMP_IF_AT_LEAST: Final = 0x35
_RETURN: Final = 0x06
_NUMBER_AT: Final = 0
_ARCHITECTURE_AT: Final = 4
_X32_BIT: Final = 0x40000000


class _Machine(NamedTuple):
    """One architecture's constants: AUDIT_ARCH_*, the number of `seccomp`, those to refuse."""

    architecture: int
    seccomp: int
    refused: tuple[int, ...]


_MACHINES: Final = {
    # socket, socketpair, ptrace, process_vm_readv, process_vm_writev, io_uring_setup, pidfd_getfd
    "x86_64": _Machine(0xC000003E, 317, (41, 53, 101, 310, 311, 425, 438)),
    "aarch64": _Machine(0xC00000B7, 277, (198, 199, 117, 270, 271, 425, 438)),
}


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def give_up_network() -> None:
    """Set the filter on every thread of this process; there is no way back.

    Raises:
        OSError: the kernel can't: it has no seccomp filters, or this is another architecture.
    """
    machine = _MACHINES.get(platform.machine())
    if machine is None or ctypes.sizeof(ctypes.c_void_p) != 8:
        raise OSError(errno.ENOSYS, f"no filter is known for {platform.machine()}")
    libc = ctypes.CDLL(None, use_errno=True)
    code = _program(machine)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(code) // 8, ctypes.addressof(buffer))
    _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    failed = libc.syscall(
        ctypes.c_long(machine.seccomp),
        ctypes.c_ulong(_SECCOMP_SET_MODE_FILTER),
        ctypes.c_ulong(_SECCOMP_FILTER_FLAG_TSYNC),
        ctypes.byref(program),
    )
    if failed > 0:  # the number of a thread that has another filter
        raise OSError(errno.EBUSY, "a thread of this process can't take the filter")
    _check(failed)


def _program(machine: _Machine) -> bytes:
    """The filter in classic BPF: each instruction a code, two jump distances and an operand."""
    refuse = _RET_ERRNO | errno.EPERM
    code = [
        (_LOAD_WORD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_IF_EQUAL, 1, 0, machine.architecture),
        (_RETURN, 0, 0, _RET_KILL_PROCESS),
        (_LOAD_WORD, 0, 0, _NUMBER_AT),
        (_JUMP_IF_AT_LEAST, len(machine.refused) + 1, 0, _X32_BIT),
    ]
    for place, number in enumerate(machine.refused):
        code.append((_JUMP_IF_EQUAL, len(machine.refused) - place, 0, number))
    code += [(_RETURN, 0, 0, _RET_ALLOW), (_RETURN, 0, 0, refuse)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
