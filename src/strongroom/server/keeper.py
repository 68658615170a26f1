"""The keeper: the one process of a server that holds its identity.

    python -m strongroom.server.keeper CONTROL PARENT

The arguments are an inherited socket (`server.keeper_messages`) and the process id of the front.
Rules of this process:

1. It opens the identity itself: the passphrase comes from its environment, from the operating
   system's keyring, or from a person at the terminal, and never through the front.
2. Other processes of its user can't read its memory, nor its environment with the passphrase; once
   the identity is open, that memory is locked where the system allows, and it has no network. It
   is never written to a core file.
3. It gives file keys and serving keys to workers, on the links that the front passed to it, and
   tells the front key configurations, and signatures of messages to a committee's members, and
   nothing else. The configurations name the packages whose keys it has opened.
4. It makes the replay window, in which workers take each sealed request once, and hands it to each
   of them with its first answer.
5. It dies with the front. When it is gone, so is every serving key that no worker holds, and the
   front ends the server; no worker takes a sealed request any more.
"""

from __future__ import annotations

import getpass
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from strongroom.errors import StrongroomError
from strongroom.keys.custody import Prompt
from strongroom.keys.identity import Identity
from strongroom.keys.identity_store import IdentityStore
from strongroom.keys.seen import Seen
from strongroom.server.channel import ErrorReport
from strongroom.server.keeper_messages import (
    MAXIMUM_BYTES,
    BrokerFailed,
    BrokerSaid,
    Failed,
    FromFront,
    FromKeeper,
    FromWorker,
    Link,
    Refused,
    Server,
    Sign,
    Unlock,
    Unlocked,
    decode,
    encode,
)
from strongroom.server.kept_keys import KeptKeys
from strongroom.server.no_network import give_up_network
from strongroom.server.private_process import die_with, hide_memory, lock_memory, no_core_file

_TERMINAL: Final = "/dev/tty"

_from_front: Final = msgspec.msgpack.Decoder(FromFront)
_from_worker: Final = msgspec.msgpack.Decoder(FromWorker)


def main(arguments: list[str]) -> None:
    """Run a keeper until the front ends it."""
    control_descriptor, parent = map(int, arguments)
    # While a person is asked, the end is an interrupt: it puts the terminal back in order.
    die_with(parent, signal.SIGINT)
    no_core_file()
    hide_memory()
    control = socket.socket(fileno=control_descriptor)
    start = decode(control.recv(MAXIMUM_BYTES), _from_front)
    if not isinstance(start, Unlock):
        return
    try:
        identity = _open_identity(start)
    except StrongroomError as error:
        _tell(control, Failed(ErrorReport.of(error)))
        return
    except KeyboardInterrupt:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    die_with(parent)
    lock_memory()
    with suppress(OSError):  # a worker finds out for itself, and opens no sealed model then
        give_up_network()
    _tell(control, Unlocked(identity.public.to_text()))
    keys = KeptKeys(identity, start, lambda message: _tell(control, message))
    _Keeper(control, keys).run()


class _Keeper:
    """The sockets of the keeper: that of the front, and a link to each worker."""

    def __init__(self, control: socket.socket, keys: KeptKeys) -> None:
        self._control = control
        self._keys = keys
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Answer until the front is gone."""
        self._selector.register(self._control, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select(self._keys.seconds_until_next()):
                assert isinstance(key.fileobj, socket.socket)
                if key.fileobj is self._control:
                    if not self._hear_front():
                        return
                elif not self._answer(key.fileobj):
                    self._selector.unregister(key.fileobj)
                    key.fileobj.close()
            self._keys.pass_time()

    def _hear_front(self) -> bool:
        """Take one message; false if the front is gone, or not to be understood."""
        packet, descriptors, _, _ = socket.recv_fds(self._control, MAXIMUM_BYTES + 1, 1)
        links = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        message = decode(packet, _from_front)
        if isinstance(message, BrokerSaid | BrokerFailed):
            if (heard := self._keys.hear_broker(message)) is not None:
                waiting, answer = heard
                for link in waiting:
                    with suppress(OSError):  # that worker is gone
                        link.send(encode(answer))
            return True
        if isinstance(message, Sign):
            _tell(self._control, self._keys.sign(message))
            return True
        if not isinstance(message, Link) or len(links) != 1:
            return False
        links[0].setblocking(False)
        self._selector.register(links[0], selectors.EVENT_READ)
        return True

    def _answer(self, link: socket.socket) -> bool:
        """Answer one question; false if the worker is gone, or not to be understood."""
        try:
            question = decode(link.recv(MAXIMUM_BYTES + 1), _from_worker)
            if question is None:
                return False
            try:
                answer = self._keys.answer(question, link)
            except StrongroomError as error:
                answer = Refused(ErrorReport.of(error))
            if answer is not None:
                # A worker that does not fetch its answers is not waited for.
                descriptors = [self._keys.window] if isinstance(answer, Server) else []
                socket.send_fds(link, [encode(answer)], descriptors)
        except OSError:
            return False
        return True


def _open_identity(start: Unlock) -> Identity:
    if start.broker:
        # What a broker releases is for a process that proved what it is. An identity from a disk
        # would be that of whoever can read the disk, in this process or in another.
        Seen(Path(start.home)).now()
        return Identity.generate("attested")
    store = IdentityStore.open(start.home, prompt=_prompt())
    identity = store.identity(start.identity)
    Seen(Path(start.home)).now()  # under a clock that was set back nothing would expire
    return identity


def _prompt() -> Prompt | None:
    """A hidden question at the terminal of this process, or None if it has none."""
    try:
        os.close(os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return None
    return lambda question: getpass.getpass(f"{question}: ")


def _tell(control: socket.socket, message: FromKeeper) -> None:
    with suppress(OSError):  # the end of the front is noticed by its silence
        control.send(encode(message))


if __name__ == "__main__":
    main(sys.argv[1:])
