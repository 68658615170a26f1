"""The membership risk of the answers that a package will give, written into its statement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.plan import Plan
from strongroom.errors import InputError
from strongroom.models.graph import Graph
from strongroom.package.parity import affordable_rows
from strongroom.privacy.membership import membership_risk, sentence
from strongroom.privacy.signals import unusable

MEMBERSHIP_ROWS: Final = 1000
"""Of larger sets, this many rows are drawn of each."""

MEMBERSHIP_SECONDS: Final = 15.0
"""Of a slower model fewer, so that a set takes about so long, but never fewer than ..."""

LEAST_MEMBERSHIP_ROWS: Final = 100


@dataclass(frozen=True, slots=True, eq=False)
class MemberRows:
    """Rows with which membership inference is measured.

    Attributes:
        members: that the model was trained on, shape (n, columns), checked.
        nonmembers: like them, that it was not trained on.
        member_labels, nonmember_labels: the true answers, or None.
    """

    members: NDArray[np.float64]
    nonmembers: NDArray[np.float64]
    member_labels: Any
    nonmember_labels: Any

    @classmethod
    def of(
        cls,
        graph: Graph,
        members: Any,
        nonmembers: Any,
        member_labels: Any,
        nonmember_labels: Any,
    ) -> MemberRows | None:
        """What `protect` was given, checked before any work is done with it; None if nothing.

        Raises:
            InputError: SR-INPUT-MEMBERS, and those of `InputSpec.rows`.
        """
        given = (members, nonmembers, member_labels, nonmember_labels)
        if all(one is None for one in given):
            return None
        if members is None or nonmembers is None:
            lacking = "members" if members is None else "nonmembers"
            raise unusable(
                f"{lacking} are not given",
                "Give both: rows that the model was trained on, and rows that it was not",
            )
        rows = graph.input.rows(members), graph.input.rows(nonmembers)
        # Labels and numbers of rows are looked at here; the scores don't matter yet.
        scores = [np.zeros((len(one), graph.output.outputs)) for one in rows]
        membership_risk(graph.output, scores[0], scores[1], member_labels, nonmember_labels)
        return cls(*rows, member_labels, nonmember_labels)


def with_membership(
    plan: Plan, rows: MemberRows, scores_of: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> Plan:
    """The plan with the measured risk in its statement.

    Args:
        plan: of the protected model.
        rows: to measure with.
        scores_of: raw scores of rows by way of ciphertexts, shape (n, outputs).

    Raises:
        InputError: SR-INPUT-MEMBERS if a row is none that the model answers.
    """
    most = affordable_rows(plan, MEMBERSHIP_ROWS, LEAST_MEMBERSHIP_ROWS, MEMBERSHIP_SECONDS)
    scores, labels = [], []
    for what, table, its_labels in (
        ("members", rows.members, rows.member_labels),
        ("nonmembers", rows.nonmembers, rows.nonmember_labels),
    ):
        places = np.arange(len(table))
        if len(table) > most:
            places = np.random.default_rng(0).choice(len(table), most, replace=False)
        try:
            scores.append(scores_of(table[places]))
        except InputError as error:
            raise unusable(
                f"{what} hold a row that the protected model refuses ({error.code})",
                "Leave out rows far outside the sample's range, or give a wider sample",
            ) from error
        labels.append(None if its_labels is None else np.asarray(its_labels)[places])
    risk = membership_risk(plan.output, scores[0], scores[1], labels[0], labels[1])
    guarantee = msgspec.structs.replace(
        plan.guarantee, membership=risk, training_data=sentence(risk)
    )
    return msgspec.structs.replace(plan, guarantee=guarantee)
