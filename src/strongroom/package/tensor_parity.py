"""How far a protected model of named tensors agrees with the plain one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.plan import Plan
from strongroom.errors import ModelError
from strongroom.keys.local_serving import NO_PACKAGE, OwnKeys
from strongroom.keys.store import KeyStore
from strongroom.models.extras import extra
from strongroom.package.manifest import Parity
from strongroom.package.payload import Payload
from strongroom.policy import Policy
from strongroom.protections.interface import ServedProtection, Serving
from strongroom.protections.sealed.layout import layout_of, made_up_inputs

TOLERANCE: Final = 1e-5
"""Of the largest number of a tensor: threads add up in different orders."""


def typed_inputs(plan: Plan, sample: Mapping[str, Any] | None) -> dict[str, NDArray[Any]]:
    """The tensors to run a model with: those of the sample, in its types, or made up ones.

    Raises:
        PolicyError: SR-PLAN-INVALID if the plan is not that of a sealed model.
    """
    layout = layout_of(plan)
    if sample is None:
        return made_up_inputs(layout)
    dtypes = {spec.name: spec.dtype for spec in layout.inputs}
    return {name: np.asarray(value, dtype=dtypes[name]) for name, value in sample.items()}


def protected_tensors(
    protection: ServedProtection,
    plan: Plan,
    payload: Payload,
    inputs: Mapping[str, Any],
    policy: Policy,
) -> dict[str, NDArray[Any]]:
    """What a protected model gives, by way of messages as an asker would send and open them.

    Raises:
        PolicyError: the plan falls short of the policy.
        InputError: SR-INPUT-SHAPE if the inputs are not those that the model takes.
    """
    keys = OwnKeys()
    serving = Serving(keys, keys.now, threads=1)
    server = protection.open_server(plan, payload, package=NO_PACKAGE, serving=serving)
    client = protection.open_client(
        plan, KeyStore.in_memory(), policy, package=NO_PACKAGE, serving=keys
    )
    pending = client.encrypt(client.encode(inputs))
    found: dict[str, NDArray[Any]] = client.decrypt(pending, server.answer(pending.body))
    return found


def plain_tensors(model: Any, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What ONNX Runtime gives for the plain model, by name.

    Args:
        model: an `onnx.ModelProto`, its bytes, or the path of a file.
        inputs: by name, in the types that the model takes.

    Raises:
        ModelError: SR-MODEL-VALUES if it does not run.
    """
    runtime = extra("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    if hasattr(model, "SerializeToString"):
        model = model.SerializeToString()
    source = os.fspath(model) if isinstance(model, Path) else model
    try:
        session = runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))
    except Exception as error:  # its classes are many, and not documented
        raise ModelError(
            "SR-MODEL-VALUES",
            "the plain model does not run here, so there is nothing to compare with",
            "Pass the path of its file, and a sample: tensors that it takes, by name",
        ) from error


def tensor_parity(
    protected: Mapping[str, NDArray[Any]], plain: Mapping[str, NDArray[Any]]
) -> Parity:
    """One comparison of all that a model gives."""
    errors, agree = [0.0], protected.keys() == plain.keys()
    for name in protected.keys() & plain.keys():
        mine, theirs = (np.asarray(one[name], dtype=np.float64) for one in (protected, plain))
        if mine.shape != theirs.shape or not np.array_equal(np.isfinite(mine), np.isfinite(theirs)):
            agree = False
            continue
        finite = np.isfinite(mine)
        error = float(np.abs(mine[finite] - theirs[finite]).max(initial=0.0))
        agree = agree and error <= TOLERANCE * float(np.abs(theirs[finite]).max(initial=1.0))
        errors.append(error)
    return Parity(rows=1, agreement=float(agree), max_score_error=max(errors))
