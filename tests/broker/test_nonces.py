"""Challenges: fresh, good once, for a short time, and without memory for those not used."""

from __future__ import annotations

import pytest

from strongroom.broker.nonces import Nonces
from strongroom.errors import AttestationError, ServerError


def refused(nonces: Nonces, nonce: str) -> str:
    with pytest.raises(AttestationError) as error:
        nonces.use(nonce)
    assert error.value.code == "SR-BROKER-REFUSED"
    return error.value.message


def test_a_nonce_is_good_once() -> None:
    nonces = Nonces()
    nonce = nonces.issue()
    nonces.use(nonce)
    assert "used before" in refused(nonces, nonce)


def test_every_nonce_is_another() -> None:
    nonces = Nonces()
    assert len({nonces.issue() for _ in range(1000)}) == 1000


def test_a_nonce_expires() -> None:
    clock = [0.0]
    nonces = Nonces(lifetime_seconds=60, clock=lambda: clock[0])
    early, late = nonces.issue(), nonces.issue()
    clock[0] = 59.9
    nonces.use(early)
    clock[0] = 60.0
    assert "older than 60 seconds" in refused(nonces, late)


@pytest.mark.parametrize(
    "change",
    [
        lambda nonce: nonce[:-1] + ("0" if nonce[-1] != "0" else "1"),
        lambda nonce: ("0" if nonce[0] != "0" else "1") + nonce[1:],
        lambda nonce: nonce[:20] + ("0" if nonce[20] != "0" else "1") + nonce[21:],
        lambda nonce: nonce[:-2],
        lambda nonce: "00" * 32,
        lambda nonce: "",
        lambda nonce: "zz" * 32,
        lambda nonce: "é" * 64,
        lambda nonce: nonce.upper() if nonce.upper() != nonce else "A" * 64,
    ],
)
def test_what_the_broker_did_not_make_is_refused(change) -> None:  # type: ignore[no-untyped-def]
    nonces = Nonces()
    assert "did not make" in refused(nonces, change(nonces.issue()))


def test_a_nonce_of_another_process_is_refused() -> None:
    assert "did not make" in refused(Nonces(), Nonces().issue())


def test_challenges_take_no_memory_and_used_ones_only_for_their_lifetime() -> None:
    clock = [0.0]
    nonces = Nonces(lifetime_seconds=60, capacity=3, clock=lambda: clock[0])
    for _ in range(100):
        nonces.issue()
    for _ in range(3):
        nonces.use(nonces.issue())
    with pytest.raises(ServerError) as error:
        nonces.use(nonces.issue())
    assert (error.value.code, error.value.http_status) == ("SR-REQUEST-BUSY", 503)
    clock[0] = 60.0
    nonces.use(nonces.issue())
