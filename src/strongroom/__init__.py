"""Strongroom serves machine-learning models encrypted.

Protect a trained model, serve it, ask it:

    import strongroom

    package = strongroom.protect(model, sample=X_train, protection="fhe")
    package.save("model.strongroom")          # then: strongroom serve model.strongroom

    with strongroom.Client(url, model="model", token=token, trust=package.digest) as client:
        labels = client.predict(X_test)

The server computes on rows that it can't read. `package.manifest.plan.guarantee` says who sees
what and under which assumptions; `Policy` says what must hold, or nothing is protected or sent.
Every error is a `StrongroomError` with a stable code. What is not exported here is not public.
"""

from strongroom.client.client import Client, Timings
from strongroom.compiler.plan import Costs, Guarantee, Plan
from strongroom.errors import InputRangeWarning, StrongroomError
from strongroom.keys.store import KeyStore
from strongroom.models.trees.options import TreeOptions
from strongroom.package.build import plan, plans, protect
from strongroom.package.file import Package, load
from strongroom.package.manifest import Manifest, Parity
from strongroom.policy import Policy

__all__ = [
    "Client",
    "Costs",
    "Guarantee",
    "InputRangeWarning",
    "KeyStore",
    "Manifest",
    "Package",
    "Parity",
    "Plan",
    "Policy",
    "StrongroomError",
    "Timings",
    "TreeOptions",
    "load",
    "plan",
    "plans",
    "protect",
]
