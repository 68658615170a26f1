"""Protection `sealed` behind the interface that every protection has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.holding import ONE_OWNER, KeyHolding
from strongroom.compiler.plan import Plan
from strongroom.compiler.stages import Stage
from strongroom.engine import PublicKey
from strongroom.errors import PolicyError, ServerError
from strongroom.models.graph import Graph
from strongroom.package.payload import Payload
from strongroom.policy import Policy
from strongroom.protections.interface import (
    KeyProvider,
    SealingKeys,
    Serving,
    SharedClientSide,
    SharedResults,
    WeightKey,
)
from strongroom.protections.sealed.client_side import RowClient, TensorClient
from strongroom.protections.sealed.layout import contradiction, layout_of
from strongroom.protections.sealed.message import request_bytes, response_bytes
from strongroom.protections.sealed.planning import Planned, plan_rows, plan_tensors
from strongroom.protections.sealed.server_side import SealedServer
from strongroom.protections.sealed.session import Session, require_layout
from strongroom.protections.sealed.statement import NAME, sealed_guarantee

_SENTENCES: Final = (
    "structure_visible",
    "assumptions",
    "security",
    "queries_to_extract",
    "training_data",
    "membership",
)
"""Fields of a statement that do not follow from the plan, or are for people."""


@dataclass(frozen=True, slots=True, eq=False)
class SealedCandidate:
    """The one way in which a model runs sealed."""

    planned: Planned

    @property
    def plan(self) -> Plan:
        """See `protections.interface.Candidate`."""
        return self.planned.plan

    def payload(self, key: WeightKey | None = None) -> Payload:
        """See `protections.interface.Candidate`; a sealed model has no encrypted weights."""
        if key is not None:
            raise ValueError("a key for weights of a model that computes in the clear")
        return self.planned.payload

    def stages(self) -> tuple[Stage, ...]:
        """None: ONNX Runtime decides what runs one after the other."""
        return ()


class SealedProtection:
    """The model runs in the clear of one process; everywhere else, and on every way, there is
    ciphertext."""

    @property
    def name(self) -> str:
        """As in a manifest."""
        return NAME

    @property
    def whole_trees(self) -> bool:
        """See `protections.interface.ServedProtection.whole_trees`."""
        return True

    def candidates(
        self,
        graph: Graph,
        sample: NDArray[np.float64],
        policy: Policy,
        holding: KeyHolding = ONE_OWNER,
    ) -> Sequence[SealedCandidate]:
        """See `protections.interface.ServedProtection.candidates`."""
        _require_computed_in_the_clear(policy)
        return [SealedCandidate(plan_rows(graph, sample, policy))]

    def tensor_candidates(
        self, model: Any, inputs: Mapping[str, Any] | None, policy: Policy
    ) -> Sequence[SealedCandidate]:
        """See `protections.interface.ServedProtection.tensor_candidates`."""
        _require_computed_in_the_clear(policy)
        return [SealedCandidate(plan_tensors(model, inputs, policy))]

    def open_server(
        self, plan: Plan, payload: Payload, *, package: str, serving: Serving | None = None
    ) -> SealedServer:
        """See `protections.interface.ServedProtection.open_server`."""
        if serving is None:
            raise ServerError(
                "SR-SERVER-CONFIG",
                "a sealed model needs a server with an identity",
                "Make one with `strongroom keygen` and serve with --identity",
            )
        layout = layout_of(plan)
        session = Session(payload, threads=serving.threads)
        require_layout(session, layout)
        return SealedServer(session, layout, package=package, serving=serving)

    def check(self, plan: Plan, policy: Policy) -> None:
        """See `protections.interface.ServedProtection.check`."""
        layout, stated = layout_of(plan), plan.guarantee
        true = sealed_guarantee(policy.security, (), 1)
        for name in true.__struct_fields__:
            if name not in _SENTENCES and getattr(stated, name) != getattr(true, name):
                raise PolicyError(
                    "SR-PLAN-GUARANTEE",
                    f"the guarantee statement is not that of a sealed model: {name}",
                    "Ask the model's owner for a new one",
                )
        costs = (
            plan.costs.rows_per_request,
            plan.costs.full_request_bytes,
            plan.costs.full_response_bytes,
        )
        if costs != (
            layout.rows_per_request,
            request_bytes(layout.request_content_bytes),
            response_bytes(layout.response_content_bytes),
        ):
            raise contradiction("its costs are not those of its messages")

    def open_client(
        self,
        plan: Plan,
        keys: KeyProvider,
        policy: Policy,
        *,
        package: str,
        serving: SealingKeys | None = None,
    ) -> RowClient | TensorClient:
        """See `protections.interface.ServedProtection.open_client`; the asker keeps no keys."""
        self.check(plan, policy)
        if serving is None:
            raise ServerError(
                "SR-SERVER-KEYS",
                "there are no keys of the server to seal to",
                "Connect to a server that proves its keys",
            )
        layout = layout_of(plan)
        if plan.prediction is None:
            return TensorClient(layout, package, serving)
        return RowClient(layout, plan.features, package, serving)

    def open_shared_client(
        self, plan: Plan, key: PublicKey, policy: Policy, *, package: str
    ) -> SharedClientSide:
        """See `protections.interface.ServedProtection.open_shared_client`: there are none."""
        raise contradiction("a sealed model is under no committee's key")

    def shared_results(self, plan: Plan, *, package: str) -> SharedResults:
        """See `protections.interface.ServedProtection.shared_results`: there are none."""
        raise contradiction("a sealed model is under no committee's key")

    def request_limit(self, plan: Plan) -> int:
        """See `protections.interface.ServedProtection.request_limit`."""
        return request_bytes(layout_of(plan).request_content_bytes)

    def key_needs(self, plan: Plan) -> None:
        """None: an asker brings no keys."""
        return None


def _require_computed_in_the_clear(policy: Policy) -> None:
    if policy.hide == "model":
        raise PolicyError(
            "SR-POLICY-VALUE",
            "policy field hide is model, and protection sealed computes with the model in the "
            "clear of the serving process",
            "Use protection fhe, or leave hide out",
        )
