"""Where the time of a call went."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of one call went, and how much was sent; all requests together.

    Attributes:
        encode_seconds, encrypt_seconds, decrypt_seconds: here.
        send_seconds: sending, the network both ways, and repetitions after failures.
        queue_seconds, compute_seconds: at the server, as it says.
        receive_seconds: reading the answers.
        bytes_sent, bytes_received: of the HTTP bodies.
        requests: how many.
    """

    encode_seconds: float = 0.0
    encrypt_seconds: float = 0.0
    send_seconds: float = 0.0
    queue_seconds: float = 0.0
    compute_seconds: float = 0.0
    receive_seconds: float = 0.0
    decrypt_seconds: float = 0.0
    bytes_sent: int = 0
    bytes_received: int = 0
    requests: int = 0

    @property
    def waited_seconds(self) -> float:
        """For the server and the way to it."""
        return self.send_seconds + self.queue_seconds + self.compute_seconds + self.receive_seconds

    def __add__(self, other: Timings) -> Timings:
        return Timings(
            **{name: getattr(self, name) + getattr(other, name) for name in self.__slots__}
        )
