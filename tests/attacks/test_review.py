"""Attacks that a review found: on clocks, on what the keeper opens for a worker, on the front by a
worker, and on firmware that is new in one field of a report only."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from amd_hardware import FIRMWARE, MEASUREMENT, Chip
from model_owner import OWNER
from served_proofs import HOST

import strongroom.server.clock as clock_module
import strongroom.server.serve as serve_module
from strongroom.attestation.evidence import RELEASE, report_data
from strongroom.attestation.rules import SevSnpRule, judge
from strongroom.attestation.sev_snp import SevSnpVerifier
from strongroom.errors import StrongroomError
from strongroom.package.grants import GrantLog
from strongroom.server.clock import Clock
from strongroom.server.config import ServerConfig
from strongroom.server.keeper_messages import Opened, Unlock, Unwrap
from strongroom.server.kept_keys import KeptKeys
from strongroom.server.no_network import give_up_network
from strongroom.server.private_process import drop_capabilities, hide_memory
from strongroom.server.replay import ReplayWindow, create_window

MINUTES = timedelta(minutes=1)
PACKAGE = "sha256:" + 64 * "7"
FILE_KEY = bytes(range(32))


class SetClock(datetime):
    """The machine's clock, which somebody sets."""

    ahead = timedelta(0)

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + cls.ahead


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> type[SetClock]:
    monkeypatch.setattr(SetClock, "ahead", timedelta(0))
    monkeypatch.setattr(clock_module, "datetime", SetClock)
    return SetClock


def test_request_sent_again_after_the_clock_was_set_ahead_and_back(
    machine: type[SetClock],
) -> None:
    """Ahead, the window forgets the request; back, it would be young enough once more."""
    clock, window = Clock(), ReplayWindow(create_window(10, 20 * 60_000))

    def take(until: int) -> bool | None:
        return window.take(bytes(16), until, int(clock.now().timestamp() * 1000))

    until = int((clock.now() + 5 * MINUTES).timestamp() * 1000)
    assert take(until) is True
    machine.ahead = 60 * MINUTES
    window.take(bytes(15) + b"1", until, int(clock.now().timestamp() * 1000))
    machine.ahead = timedelta(0)
    assert take(until) is False


def test_ended_grant_does_not_hold_again_after_the_clock_was_set_ahead_and_back(
    machine: type[SetClock],
) -> None:
    clock = Clock()
    begun = clock.now()
    machine.ahead = 60 * MINUTES
    later = clock.now()
    machine.ahead = -60 * MINUTES
    assert later - begun >= 60 * MINUTES
    assert clock.now() >= later


@pytest.fixture
def kept(tmp_path: Path) -> KeptKeys:
    start = Unlock("host", str(tmp_path / "home"), 43_200, 3_600, 100)
    return KeptKeys(HOST, start, lambda message: None)


@pytest.mark.parametrize(
    ("purpose", "age_days", "code"),
    [("broker", 0, "SR-PACKAGE-GRANT"), ("serve", 2, "SR-PACKAGE-EXPIRED")],
)
def test_worker_that_has_the_keeper_open_what_may_not_be_served(
    kept: KeptKeys, purpose: Any, age_days: int, code: str
) -> None:
    """Both grants are the owner's, and the server's identity would open them."""
    made = datetime.now(UTC) - timedelta(days=age_days)
    log = GrantLog.begin(OWNER, PACKAGE, FILE_KEY, now=made).with_grant(
        OWNER, HOST.public, purpose, FILE_KEY, now=made, expires=made + timedelta(days=1)
    )
    entry = log.entries[-1]
    assert HOST.unwrap(entry.wrapped, entry.info) == FILE_KEY
    with pytest.raises(StrongroomError) as caught:
        kept.answer(Unwrap(entry.wrapped, entry.info), None)  # type: ignore[arg-type]
    assert caught.value.code == code
    assert kept._rotation.packages == ()


def test_worker_that_makes_an_ended_grant_look_like_another(kept: KeptKeys) -> None:
    made = datetime.now(UTC) - timedelta(days=2)
    log = GrantLog.begin(OWNER, PACKAGE, FILE_KEY, now=made).with_grant(
        OWNER, HOST.public, "serve", FILE_KEY, now=made, expires=made + timedelta(days=1)
    )
    entry = log.entries[-1]
    endless = msgspec.structs.replace(entry, expires=None)
    with pytest.raises(StrongroomError) as caught:
        kept.answer(Unwrap(entry.wrapped, endless.info), None)  # type: ignore[arg-type]
    assert caught.value.code == "SR-PACKAGE-GRANT"


def test_what_may_be_served_is_opened(kept: KeptKeys) -> None:
    """Or the two tests above would pass for another reason."""
    log = GrantLog.begin(OWNER, PACKAGE, FILE_KEY, now=datetime.now(UTC)).with_grant(
        OWNER, HOST.public, "serve", FILE_KEY, now=datetime.now(UTC)
    )
    entry = log.entries[-1]
    assert kept.answer(Unwrap(entry.wrapped, entry.info), None) == Opened(  # type: ignore[arg-type]
        FILE_KEY
    )
    assert kept._rotation.packages == (PACKAGE,)


NOBODY = 65_534


def _in_another_process(act: Callable[[], bytes]) -> bytes:
    """What an action says, in a forked process that ends then."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, act())
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


def _worker_against_its_front(user: int) -> bytes:
    """A front, and a worker of it that was taken over, behind its filter."""

    def worker(front: int, address: int) -> bytes:
        give_up_network()
        drop_capabilities()
        done = []
        for name, mode in (("environ", os.O_RDONLY), ("mem", os.O_RDWR)):
            try:
                descriptor = os.open(f"/proc/{front}/{name}", mode)
                if name == "mem":
                    os.pwrite(descriptor, b"taken", address)
                done.append(name)
            except OSError:
                continue
        return " ".join(done).encode()

    def front() -> bytes:
        if user != os.geteuid():
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
        ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as after execve
        hide_memory()
        memory = ctypes.create_string_buffer(b"front's")
        pid, address = os.getpid(), ctypes.addressof(memory)
        said = _in_another_process(lambda: worker(pid, address))
        return said + (b" written" if memory.value.startswith(b"taken") else b"")

    return _in_another_process(front)


def test_worker_that_reads_the_passphrase_of_the_front_and_writes_its_memory() -> None:
    """The filter of system calls does not know files below /proc: the front closes them itself,
    and a worker that runs as root, as in many containers, has given up what would open them."""
    users = {os.geteuid(), NOBODY} if os.geteuid() == 0 else {os.geteuid()}
    for user in users:
        assert _worker_against_its_front(user) == b""


def test_front_closes_itself_before_it_reads_or_starts_anything(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done: list[str] = []

    def tokens(path: str) -> None:
        done.append("tokens")
        raise KeyboardInterrupt

    monkeypatch.setattr(serve_module, "hide_memory", lambda: done.append("hidden"))
    monkeypatch.setattr(serve_module, "limit_process", lambda: None)
    monkeypatch.setattr(serve_module, "start_log", lambda: None)
    monkeypatch.setattr(serve_module, "TokenFile", tokens)
    path = str(tmp_path / "none")
    with pytest.raises(KeyboardInterrupt):
        serve_module.serve(ServerConfig(packages=(path,), tokens=path, identity="default"))
    assert done == ["hidden", "tokens"]


def test_firmware_that_the_guest_began_under_or_the_host_can_go_back_to() -> None:
    """Of three security versions in a report, the certificate speaks of one."""
    chip = Chip.make("Milan")
    data = report_data("ab" * 32, HOST.fingerprint, RELEASE)
    rule = SevSnpRule((MEASUREMENT.hex(),), dict(FIRMWARE))  # type: ignore[arg-type]
    older = FIRMWARE | {"snp": FIRMWARE["snp"] - 1}

    def failing(**changes: Any) -> list[str]:
        now = datetime(2027, 1, 1, tzinfo=UTC)
        claims = SevSnpVerifier(chip.roots).verify(chip.evidence(data, **changes), now)
        return [one.name for one in judge((rule,), claims, data) if one.outcome == "fail"]

    assert failing() == []
    assert failing(launch=older) == ["firmware"]
    assert failing(committed=older) == ["firmware"]
