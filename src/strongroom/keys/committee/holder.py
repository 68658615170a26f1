"""A committee as the holder of a hidden model's key: what its owner encrypts the weights with."""

from __future__ import annotations

from pathlib import Path

from strongroom.compiler.holding import KeyHolding
from strongroom.compiler.plan import CommitteeKey, Plan
from strongroom.engine import PublicKey
from strongroom.errors import CommitteeError
from strongroom.keys.committee.folder import read_public_key
from strongroom.keys.server_layout import Wanted, missing_of
from strongroom.protections.interface import KeyNeeds


class CommitteeHolder:
    """A `ModelHolder`.

    Args:
        folder: of the committee.
        owner: fingerprint that the coordinator must have; anybody's if None.

    Raises:
        CommitteeError: SR-COMMITTEE-FILE, SR-COMMITTEE-MISMATCH, SR-COMMITTEE-ACCESS.
    """

    def __init__(self, folder: Path, *, owner: str | None = None) -> None:
        self._committee, self._key = read_public_key(folder, owner=owner)

    @property
    def holding(self) -> KeyHolding:
        """See `protections.interface.ModelHolder`."""
        parts = len(self._committee.access.parts())
        return KeyHolding(parts, self._committee.statement.share_budget)

    def suits(self, plan: Plan, needs: KeyNeeds) -> bool:
        """See `protections.interface.ModelHolder`."""
        statement = self._committee.statement
        made = [(key.element, key.limbs) for key in statement.keys]
        wanted = Wanted(tuple((need.element, need.limbs) for need in needs.keys), 0)
        return plan.parameters == statement.parameters and not missing_of(made, wanted).keys

    def weight_key(self, plan: Plan) -> tuple[PublicKey, CommitteeKey]:
        """See `protections.interface.ModelHolder`.

        Raises:
            CommitteeError: SR-COMMITTEE-MISMATCH if the key is for other parameters.
        """
        committee = self._committee
        if plan.parameters != committee.statement.parameters:
            raise CommitteeError(
                "SR-COMMITTEE-MISMATCH",
                f"the model needs parameters {plan.parameters}, and the committee's key is for "
                f"{committee.statement.parameters}",
                "Make a committee for this model with `strongroom committee create`",
            )
        statement = committee.statement
        return self._key, CommitteeKey(
            committee.digest, statement.public_key, statement.share_budget
        )
