"""What an application ends with: plain beside encrypted, time, bytes, and who learned what.

Who learned what is the guarantee statement of the package that the asker verified, in the words
that `strongroom explain` has for it. Nothing of that is written down here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from strongroom import Client, Guarantee, Timings
from strongroom.cli import show, statement

Figures = Mapping[str, float | None]
"""By name: shares, or areas under a curve; None where there was nothing to judge."""


@dataclass
class Traffic:
    """What an asker saw of its requests.

    Attributes:
        waited_seconds: for each row, from when it was there until its answer was.
        server_seconds: the server's own time, for each request.
        bytes_sent, bytes_received: of all requests, keys left out.
        requests: how many there were.
    """

    waited_seconds: list[float] = field(default_factory=list)
    server_seconds: list[float] = field(default_factory=list)
    bytes_sent: int = 0
    bytes_received: int = 0
    requests: int = 0

    def count(self, timings: Timings, waited_seconds: list[float]) -> None:
        """Add one call of a client.

        Args:
            timings: of the call.
            waited_seconds: of each of its rows.
        """
        self.waited_seconds += waited_seconds
        self.server_seconds.append(timings.compute_seconds)
        self.bytes_sent += timings.bytes_sent
        self.bytes_received += timings.bytes_received
        self.requests += timings.requests

    def summary(self, client: Client) -> dict[str, Any]:
        """Figures for a program: milliseconds by percentile, and bytes."""
        waited = np.percentile(self.waited_seconds, [50, 95, 99]) * 1000.0
        return {
            "latency_ms": {
                name: round(float(value), 1)
                for name, value in zip(("median", "p95", "p99"), waited, strict=True)
            },
            "server_ms": round(1000.0 * float(np.median(self.server_seconds)), 1),
            "requests": self.requests,
            "bytes_sent": self.bytes_sent,
            "bytes_received": self.bytes_received,
            "key_bytes_sent": client.key_bytes_sent,
        }


def compared(plain: Figures, encrypted: Figures) -> None:
    """A table of the field's own figures, of the plain model and of the encrypted one."""
    show.print_table(
        "How good the answers are",
        ("", "plain", "encrypted"),
        [(name, _share(plain[name]), _share(encrypted[name])) for name in plain],
    )


def costs(summary: Mapping[str, Any], rows: int) -> None:
    """A table of time and bytes, of `Traffic.summary`."""
    latency, sent, received = (
        summary[name] for name in ("latency_ms", "bytes_sent", "bytes_received")
    )
    show.print_table(
        "Time and bytes",
        ("", ""),
        [
            ("a row waits for its answer, median", show.milliseconds(latency["median"])),
            ("95 % of the rows wait at most", show.milliseconds(latency["p95"])),
            ("99 % of the rows wait at most", show.milliseconds(latency["p99"])),
            ("of that the server, one request", show.milliseconds(summary["server_ms"])),
            (f"sent, {rows} rows in {summary['requests']} requests", show.byte_count(sent)),
            ("received", show.byte_count(received)),
            ("keys sent before, once", show.byte_count(summary["key_bytes_sent"])),
        ],
    )


def who_learned_what(guarantee: Guarantee, *, server: str, asker: str) -> None:
    """The guarantee statement.

    Args:
        guarantee: of the package that was asked, as the asker verified it.
        server: who that is here: "the host".
        asker: who that is here: "the hospital".
    """
    show.print_table(
        "Who learned what, as the package's guarantee statement says",
        ("", server, asker),
        statement.visibility_rows(guarantee),
    )
    show.print_lines(statement.sentences(guarantee))


def _share(value: float | None) -> str:
    return "nothing to judge" if value is None else f"{value:.4f}"
