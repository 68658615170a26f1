"""What a user demands of a protection: what must hold, or nothing is protected or sent.

A `Policy` is the same object on both sides. The owner of a model passes it to `protect`; an
asker passes it to `Client`, which refuses a served plan that falls short of it.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec

from strongroom.errors import PolicyError

Security = Literal["classical-128", "quantum-128"]

Objective = Literal["latency", "throughput", "bytes"]

Hidden = Literal["inputs", "model"]
"""What protection fhe keeps encrypted while it computes: inputs and answers, or the model too."""


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Demands on a protected model; immutable.

    Attributes:
        security: which column of the security table every parameter set must satisfy.
        minimum_agreement: least share of the sample's rows whose protected prediction equals
            the plain one (labels equal; regression: within the declared precision).
        sanitising_bits: lambda. A response's noise is flooded so that the statistical distance
            between responses of two models with equal answers is about 2^-lambda a query. 0
            means that the clients are trusted with the weights, and the statement says so.
        decryption_bits: kappa. Decryption floods so that published answers keep about kappa bits
            of statistical security (Li, Micciancio, Schultz, Sorrell, eprint 2022/816).
        decryption_queries: how many published answers (rows), per key, the decryption flooding
            is sized for. Models on the same parameters share a key, and so these answers.
        query_budget: number of queries after which the statement gives the distance that
            `sanitising_bits` leaves. A query is a row that a ciphertext holds, whether or not its
            request names it.
        precision_bits: least number of bits that the largest score of the sample must keep above
            the error of scores.
        objective: what a plan is chosen for where there is a choice: the time of one row, the time
            of many, or what travels.
        key_bytes: most bytes of evaluation keys that a client uploads for a model, once.
        protection: the one protection that an asker accepts; None: the one under which this machine
            first used the owner's model, or whichever comes at first.
        headroom: how many times the sample's range an input to a linear model may reach before it
            is refused; networks say themselves how far their polynomials hold.
        hide: what stays encrypted on the server: "inputs", and then the server holds the model; or
            "model", and then its weights are encrypted too.
    """

    security: Security = "classical-128"
    minimum_agreement: float = 0.999
    sanitising_bits: int = 30
    decryption_bits: int = 30
    decryption_queries: int = 65_536
    query_budget: int = 1_048_576
    precision_bits: int = 14
    objective: Objective = "latency"
    key_bytes: int = 1 << 30
    headroom: float = 8.0
    protection: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    hide: Hidden = "inputs"

    def __post_init__(self) -> None:
        if self.security not in get_args(Security):
            raise PolicyError(
                "SR-POLICY-VALUE",
                "policy field security is no column of the security table",
                f"Choose one of: {', '.join(get_args(Security))}",
            )
        if self.objective not in get_args(Objective):
            raise PolicyError(
                "SR-POLICY-VALUE",
                "policy field objective is no objective",
                f"Choose one of: {', '.join(get_args(Objective))}",
            )
        if self.hide not in get_args(Hidden):
            raise PolicyError(
                "SR-POLICY-VALUE",
                "policy field hide is nothing that can be hidden",
                f"Choose one of: {', '.join(get_args(Hidden))}",
            )
        bounds: dict[str, tuple[float, float]] = {
            "minimum_agreement": (0.0, 1.0),
            "sanitising_bits": (0, 64),
            "decryption_bits": (0, 64),
            "decryption_queries": (1, 2**40),
            "query_budget": (1, 2**40),
            "precision_bits": (1, 40),
            "key_bytes": (0, 2**40),
            "headroom": (1.0, 1024.0),
        }
        for field, (low, high) in bounds.items():
            value = getattr(self, field)
            if not low <= value <= high:
                raise PolicyError(
                    "SR-POLICY-VALUE",
                    f"policy field {field} is {value}",
                    f"Choose a value from {low:g} to {high:g}",
                )
