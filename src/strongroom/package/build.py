"""Protecting a model: import, plan, protect, and measure parity before anything is handed out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom import protections
from strongroom.compiler.holding import ONE_OWNER, KeyHolding
from strongroom.compiler.plan import Plan
from strongroom.errors import CommitteeError, InputError, PolicyError
from strongroom.keys.identity import Identity, PublicIdentity
from strongroom.keys.model_holder import OwnerHolder
from strongroom.keys.store import KeyStore
from strongroom.models.feature_columns import RowRefused
from strongroom.models.graph import Graph
from strongroom.models.load import import_model
from strongroom.models.plain import plain_predictions
from strongroom.models.trees.options import TreeOptions
from strongroom.package.manifest import Parity
from strongroom.package.membership import MemberRows, with_membership
from strongroom.package.parity import (
    affordable_rows,
    agreeing,
    plain_scores,
    protected_scores,
)
from strongroom.package.payload import Payload
from strongroom.package.protected import Package, public_owner
from strongroom.package.tensor_parity import (
    plain_tensors,
    protected_tensors,
    tensor_parity,
    typed_inputs,
)
from strongroom.policy import Hidden, Policy
from strongroom.protections.interface import Candidate, ModelHolder, ServedProtection

PARITY_ROWS: Final = 20_000
"""Of a larger sample, this many rows are drawn for the measurement of parity."""

PARITY_SECONDS: Final = 30.0
"""Of a slower model fewer, so that it takes about so long, but never fewer than ..."""

LEAST_PARITY_ROWS: Final = 100

DECISIVE_ROWS: Final = 1000
"""Before a model is refused for what a few rows say, this many are compared."""

SCORED_ROWS: Final = 256
"""Of these, so many scores are compared with a computation in float64, which may be slow."""

_ROWS_AT_ONCE: Final = 1024
"""That are looked at, so that the features of a wide model fit into memory."""

_DEFAULT_POLICY: Final = Policy()


def plan(
    model: Any,
    *,
    sample: Any = None,
    protection: str = "fhe",
    policy: Policy = _DEFAULT_POLICY,
    trees: TreeOptions | None = None,
    hide: Hidden | None = None,
    holding: KeyHolding = ONE_OWNER,
) -> Plan:
    """Say how a model would run protected, and what it would cost. Makes no key.

    Args:
        model: a fitted model of scikit-learn, XGBoost, LightGBM or CatBoost, a PyTorch module, an
            ONNX model, or the path of an `.onnx`, `.skops`, `.json`, `.ubj` or `.txt` file.
        sample: rows like those that will be asked about, shape (n, columns): an array or a
            pandas frame. Of an ONNX model that is to be asked with named tensors ("sealed" only):
            a dictionary of these, or None, and then small ones are made up.
        protection: how the model is guarded: "fhe" or "sealed".
        policy: what must hold.
        trees: of a tree model, what its grid reveals and how trees are grouped.
        hide: what stays encrypted on the server, "inputs" or "model"; in place of the policy's
            field of that name, if given.
        holding: how the key of a model that is hidden will be held.

    Raises:
        ModelError: the model can't be imported or protected.
        InputError: the sample is not a table of the model's columns.
        PolicyError: no parameters meet the policy.
    """
    return plans(
        model,
        sample=sample,
        protection=protection,
        policy=policy,
        trees=trees,
        hide=hide,
        holding=holding,
    )[0]


def plans(
    model: Any,
    *,
    sample: Any = None,
    protection: str = "fhe",
    policy: Policy = _DEFAULT_POLICY,
    trees: TreeOptions | None = None,
    hide: Hidden | None = None,
    holding: KeyHolding = ONE_OWNER,
) -> Sequence[Plan]:
    """All plans that meet a policy, the one that `plan` and `protect` take first.

    Args and Raises: see `plan`.
    """
    found = candidates(
        model,
        sample=sample,
        protection=protection,
        policy=policy,
        trees=trees,
        hide=hide,
        holding=holding,
    )
    return [candidate.plan for candidate in found]


def candidates(
    model: Any,
    *,
    sample: Any = None,
    protection: str = "fhe",
    policy: Policy = _DEFAULT_POLICY,
    trees: TreeOptions | None = None,
    hide: Hidden | None = None,
    holding: KeyHolding = ONE_OWNER,
) -> Sequence[Candidate]:
    """The same with what only the owner has: payloads, and what each layer costs.

    Args and Raises: see `plan`.
    """
    policy = _hiding(policy, hide)
    chosen = protections.by_name(protection)
    if _takes_tensors(sample):
        return chosen.tensor_candidates(model, sample, policy)
    graph = import_model(model, sample=sample, trees=trees, whole_trees=chosen.whole_trees)
    return chosen.candidates(graph, _checked(graph, sample), policy, holding)


def protect(
    model: Any,
    *,
    sample: Any = None,
    protection: str = "fhe",
    policy: Policy = _DEFAULT_POLICY,
    trees: TreeOptions | None = None,
    hide: Hidden | None = None,
    holder: ModelHolder | None = None,
    name: str | None = None,
    version: str = "1",
    release: int = 1,
    owner: PublicIdentity | Identity | None = None,
    members: Any = None,
    nonmembers: Any = None,
    member_labels: Any = None,
    nonmember_labels: Any = None,
) -> Package:
    """Protect a model.

    The protected model is run on the sample, encrypted, with a key that is thrown away, and
    compared with the plain one; the result is kept in the manifest. With members and nonmembers
    it is also measured how well the answers tell the two apart (`privacy.membership`), and written
    into the guarantee statement.

    Args:
        model, sample, protection, policy, trees, hide: see `plan`.
        holder: who will hold the key of a model that is hidden; the owner alone, by the client key
            store of this user, if None.
        name: under which it is served; derived from the model if None.
        version: the owner's own word for this release.
        release: a number that only grows from one release of a model to the next: clients refuse
            a lower one than they saw.
        owner: whose package it will be, who signs it when it is saved; the identity "default" of
            the key store if None.
        members: rows that the model was trained on, shape (n, columns), or None.
        nonmembers: rows like them that it was not trained on; with members only.
        member_labels, nonmember_labels: the true answers for both, or None.

    Raises:
        ModelError, InputError, PolicyError: see `plan`.
        InputError: SR-INPUT-MEMBERS if membership can't be measured with what is given.
        PolicyError: SR-POLICY-PARITY if it agrees with the plain model on too few rows.
        PackageError: SR-PACKAGE-NAME if name, version or release can't be used.
        KeyStoreError: SR-IDENTITY-MISSING if no owner is given and there is no default identity.
    """
    policy = _hiding(policy, hide)
    its_owner = public_owner(owner)
    chosen = protections.by_name(protection)
    if _takes_tensors(sample):
        if any(one is not None for one in (members, nonmembers, member_labels, nonmember_labels)):
            raise InputError(
                "SR-INPUT-MEMBERS",
                "membership is measured of models of rows, and this one takes named tensors",
                "Leave members out, or pass a sample of rows",
            )
        candidate = chosen.tensor_candidates(model, sample, policy)[0]
        return Package.create(
            name=name or "model",
            plan=candidate.plan,
            payload=candidate.payload(),
            parity=_compared_tensors(model, chosen, candidate, sample, policy),
            version=version,
            release=release,
            owner=its_owner,
        )
    graph = import_model(model, sample=sample, trees=trees, whole_trees=chosen.whole_trees)
    rows = _checked(graph, sample)
    told_apart = MemberRows.of(graph, members, nonmembers, member_labels, nonmember_labels)
    hidden = policy.hide == "model"
    if hidden and holder is None:
        holder = OwnerHolder(KeyStore.open())
    holding = ONE_OWNER if holder is None else holder.holding
    candidate = suiting(chosen.candidates(graph, rows, policy, holding), chosen, holder)[0]
    its_plan = candidate.plan
    # Whoever will hold the key need not be here: the model is tried under one that is thrown away.
    trial_keys = KeyStore.in_memory()
    trial_plan, payload = _encrypted(candidate, OwnerHolder(trial_keys) if hidden else None)

    def answers(asked: NDArray[np.float64]) -> NDArray[np.float64]:
        # There is no package yet whose digest could be bound.
        return protected_scores(chosen, trial_plan, payload, asked, policy, keys=trial_keys)

    def measured(places: NDArray[np.intp]) -> Parity:
        compared = rows[places]
        try:
            scores = answers(compared)
        except RowRefused as refusal:
            raise refusal.of_row(int(places[refusal.row])) from None
        plain = plain_predictions(model, graph, compared)
        agree = agreeing(graph.output, scores, plain, its_plan.costs.score_error)
        some = slice(SCORED_ROWS)
        error = float(np.abs(scores[some] - plain_scores(graph, compared[some])).max())
        return Parity(rows=len(compared), agreement=float(np.mean(agree)), max_score_error=error)

    order = np.random.default_rng(0).permutation(len(rows))
    most = affordable_rows(its_plan, PARITY_ROWS, LEAST_PARITY_ROWS, PARITY_SECONDS)
    parity = measured(np.sort(order[:most]))
    if parity.agreement < policy.minimum_agreement and most < min(DECISIVE_ROWS, len(rows)):
        parity = measured(np.sort(order[:DECISIVE_ROWS]))
    if parity.agreement < policy.minimum_agreement:
        raise PolicyError(
            "SR-POLICY-PARITY",
            f"protected and plain predictions agree on {parity.agreement:.4%} of "
            f"{parity.rows} rows, the policy demands {policy.minimum_agreement:.4%}",
            "Raise precision_bits in the policy, or look for rows on a decision boundary",
        )
    if told_apart is not None:
        its_plan = with_membership(its_plan, told_apart, answers)
    if hidden and holder is not None:
        held, payload = _encrypted(candidate, holder)
        its_plan = msgspec.structs.replace(its_plan, holder=held.holder)
    return Package.create(
        name=name or _name(graph.name),
        plan=its_plan,
        payload=payload,
        parity=parity,
        version=version,
        release=release,
        owner=its_owner,
    )


def _hiding(policy: Policy, hide: Hidden | None) -> Policy:
    """The policy with what an argument says in the field's place."""
    return policy if hide is None else msgspec.structs.replace(policy, hide=hide)


def suiting(
    found: Sequence[Candidate], chosen: ServedProtection, holder: ModelHolder | None
) -> Sequence[Candidate]:
    """The candidates for which the holder has keys; all where there is none.

    Raises:
        CommitteeError: SR-COMMITTEE-MISMATCH if it has for none.
    """
    if holder is None:
        return found
    suited = []
    for candidate in found:
        needs = chosen.key_needs(candidate.plan)
        if needs is not None and holder.suits(candidate.plan, needs):
            suited.append(candidate)
    if suited:
        return suited
    plans = ", ".join(dict.fromkeys(candidate.plan.parameters for candidate in found))
    raise CommitteeError(
        "SR-COMMITTEE-MISMATCH",
        "the committee has no keys for this model: it can run on "
        f"{plans}, each with its own evaluation keys",
        "Make a committee for this model with `strongroom committee create`",
    )


def _encrypted(candidate: Candidate, holder: ModelHolder | None) -> tuple[Plan, Payload]:
    """A candidate's plan and payload, under a holder's key if there is one."""
    if holder is None:
        return candidate.plan, candidate.payload()
    key, its_holder = holder.weight_key(candidate.plan)
    return msgspec.structs.replace(candidate.plan, holder=its_holder), candidate.payload(key)


def _takes_tensors(sample: Any) -> bool:
    """Whether a model is asked with named tensors."""
    return sample is None or isinstance(sample, Mapping)


def _compared_tensors(
    model: Any,
    chosen: ServedProtection,
    candidate: Candidate,
    sample: Mapping[str, Any] | None,
    policy: Policy,
) -> Parity:
    """Parity of a model of named tensors, on the sample or on tensors that are made up."""
    its_plan = candidate.plan
    inputs = typed_inputs(its_plan, sample)
    protected = protected_tensors(chosen, its_plan, candidate.payload(), inputs, policy)
    parity = tensor_parity(protected, plain_tensors(model, inputs))
    if parity.agreement < policy.minimum_agreement:
        raise PolicyError(
            "SR-POLICY-PARITY",
            "the protected model gives other numbers than the plain one, off by up to "
            f"{parity.max_score_error:.1e}",
            "Leave operators out of the model that draw random numbers",
        )
    return parity


def _checked(graph: Graph, sample: Any) -> NDArray[np.float64]:
    """The sample as the model takes it. Planning takes some of its rows only, so whether the
    preprocessing has an answer to each is found out here, by its number in the sample."""
    rows = graph.input.rows(sample)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        graph.features.encode(rows[start : start + _ROWS_AT_ONCE], start)
    return rows


def _name(graph_name: str) -> str:
    """A name that can stand in a URL."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", graph_name).strip("-._")[:100].lower()
    return name or "model"
