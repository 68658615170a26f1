"""Membership inference: how well the served answers tell rows of the training data from others.

A model that fits its training rows better than new ones answers them more surely. The attack that
is measured is the simplest one that is known to work: call a row a member if its answer is better
than a threshold.

- With labels: the loss of the answer (Yeom, Giacomelli, Fredrikson, Jha 2018, "Privacy Risk in
  Machine Learning", section 3.2); squared error for a regressor.
- Without labels: how sure the answer is of itself (Salem et al. 2019, "ML-Leaks", adversary 3).

The advantage is the share of members that are recognised minus the share of others that are taken
for members. Beside it stands what is recognised at a low false-positive rate, since an attack that
names a few people for certain does harm that averages don't show (Carlini et al. 2022, "Membership
Inference Attacks From First Principles"). Both thresholds come from one half of the rows and are
measured on the other.

Stronger attacks train models of their own to compare with (Shokri et al. 2017; Carlini et al.
2022): what is found here is a lower bound.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.errors import PolicyError
from strongroom.models.output import OutputSpec
from strongroom.privacy.signals import signal, unusable

MINIMUM_ROWS: Final = 20
"""Fewest members, and fewest others, that a measurement is made of."""

LOW_FALSE_POSITIVE_RATE: Final = 0.01
"""Share of others that the second threshold may take for members, in the calibration half."""

_Z_95: Final = 1.959963984540054
"""Quantile of the normal distribution for a two-sided interval of 95 %."""

_SEED: Final = 0

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
SignedShare = Annotated[float, msgspec.Meta(ge=-1.0, le=1.0)]
Rows = Annotated[int, msgspec.Meta(ge=1, le=2**40)]


class MembershipRisk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a threshold attack reached on rows that its threshold was not chosen on.

    Attributes:
        attack: "loss" if the attacker knows the label of the row, "confidence" if not.
        members, nonmembers: rows that were measured: half of those that were given.
        advantage: share of members recognised minus share of others taken for members.
        advantage_low, advantage_high: its 95 % confidence interval.
        low_true_positives, low_false_positives: the two shares at the threshold that took at most
            one in a hundred of the calibration half's others for members.

    Raises:
        PolicyError: SR-PLAN-INVALID if the fields contradict each other.
    """

    attack: Literal["loss", "confidence"]
    members: Rows
    nonmembers: Rows
    advantage: SignedShare
    advantage_low: SignedShare
    advantage_high: SignedShare
    low_true_positives: Share
    low_false_positives: Share

    def __post_init__(self) -> None:
        if not self.advantage_low <= self.advantage <= self.advantage_high:
            raise PolicyError(
                "SR-PLAN-INVALID", "the plan's membership advantage lies outside its own interval"
            )


def membership_risk(
    output: OutputSpec,
    member_scores: NDArray[np.float64],
    nonmember_scores: NDArray[np.float64],
    member_labels: Any = None,
    nonmember_labels: Any = None,
) -> MembershipRisk:
    """Measure the attack. The same rows always give the same numbers.

    Args:
        output: of the model.
        member_scores: raw scores as they are served, rounded to the declared step, of rows that
            the model was trained on, shape (n, outputs).
        nonmember_scores: the same of rows like them that it was not trained on.
        member_labels, nonmember_labels: the true answers, shape (n,), or (n, outputs) for a
            regressor; both or neither. A regressor needs them.

    Raises:
        InputError: SR-INPUT-MEMBERS: too few rows, labels for one side only, labels that the
            model does not know, or none where they are needed.
    """
    for what, scores in (("members", member_scores), ("nonmembers", nonmember_scores)):
        if len(scores) < MINIMUM_ROWS:
            raise unusable(
                f"{what} holds {len(scores)} rows, at least {MINIMUM_ROWS} are needed",
                "Give more rows; some hundred of each make a narrow interval",
            )
    if (member_labels is None) != (nonmember_labels is None):
        raise unusable(
            "there are labels for members or for nonmembers only", "Give both, or neither"
        )
    member_half, member_rest = _halves(
        signal(output, member_scores, member_labels, "member_labels")
    )
    other_half, other_rest = _halves(
        signal(output, nonmember_scores, nonmember_labels, "nonmember_labels")
    )
    best = _best_threshold(member_half, other_half)
    low = _low_threshold(other_half)
    recognised, mistaken = int(np.sum(member_rest >= best)), int(np.sum(other_rest >= best))
    interval = difference_interval(recognised, len(member_rest), mistaken, len(other_rest))
    return MembershipRisk(
        attack="confidence" if member_labels is None else "loss",
        members=len(member_rest),
        nonmembers=len(other_rest),
        advantage=recognised / len(member_rest) - mistaken / len(other_rest),
        advantage_low=interval[0],
        advantage_high=interval[1],
        low_true_positives=float(np.mean(member_rest >= low)),
        low_false_positives=float(np.mean(other_rest >= low)),
    )


def sentence(risk: MembershipRisk) -> str:
    """The measurement in words, for the statement."""
    knows = "knows the true label of a row" if risk.attack == "loss" else "knows the row alone"
    found = (
        "the rows that were given do not show an advantage over guessing"
        if risk.advantage_low <= 0
        else f"an asker who {knows} can tell better than by guessing whether the model was trained "
        "on it"
    )
    return (
        f"Measured on the answers as they are served, by a threshold on their {risk.attack}: "
        f"{found}; advantage {risk.advantage:.3f}, 95 % interval {risk.advantage_low:.3f} to "
        f"{risk.advantage_high:.3f} (0 is guessing, 1 is certainty); at a threshold that takes "
        f"{risk.low_false_positives:.1%} of other rows for members, {risk.low_true_positives:.1%} "
        f"of the members are recognised. {risk.members:,} members and {risk.nonmembers:,} others "
        "were measured; stronger attacks exist."
    )


def difference_interval(
    first: int, first_total: int, second: int, second_total: int
) -> tuple[float, float]:
    """95 % confidence interval of a difference of two shares, first minus second.

    Newcombe 1998, "Interval estimation for the difference between independent proportions",
    method 10: from the Wilson interval of each.
    """
    p, q = first / first_total, second / second_total
    p_low, p_high = _wilson(first, first_total)
    q_low, q_high = _wilson(second, second_total)
    return (
        max(-1.0, p - q - math.hypot(p - p_low, q_high - q)),
        min(1.0, p - q + math.hypot(p_high - p, q - q_low)),
    )


def _wilson(count: int, total: int) -> tuple[float, float]:
    share, square = count / total, _Z_95**2 / total
    middle = share + square / 2
    reach = math.sqrt(square * (share * (1 - share) + square / 4))
    return max(0.0, (middle - reach) / (1 + square)), min(1.0, (middle + reach) / (1 + square))


def _halves(signal: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Calibration and evaluation: drawn, since rows may come sorted, and always the same."""
    drawn = signal[np.random.default_rng(_SEED).permutation(len(signal))]
    return drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]


def _best_threshold(members: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """The threshold of the largest advantage; infinite if none has any."""
    candidates = np.unique(members)
    recognised = 1.0 - np.searchsorted(np.sort(members), candidates) / len(members)
    mistaken = 1.0 - np.searchsorted(np.sort(others), candidates) / len(others)
    best = int(np.argmax(recognised - mistaken))
    return float(candidates[best]) if recognised[best] > mistaken[best] else math.inf


def _low_threshold(others: NDArray[np.float64]) -> float:
    """The lowest threshold at which few enough others are taken for members."""
    allowed = int(LOW_FALSE_POSITIVE_RATE * len(others))
    return float(np.nextafter(np.sort(others)[::-1][allowed], math.inf))
