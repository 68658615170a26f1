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

from strongroom.client.client import Client
from strongroom.client.sealed_transport import SealedTransport
from strongroom.client.timings import Timings
from strongroom.compiler.plan import Costs, Guarantee, Plan
from strongroom.errors import InputRangeWarning, StrongroomError
from strongroom.keys.committee.holder import CommitteeHolder
from strongroom.keys.identity import Identity, PublicIdentity
from strongroom.keys.identity_store import IdentityStore
from strongroom.keys.store import KeyStore
from strongroom.models.trees.options import TreeOptions
from strongroom.package.build import plan, plans, protect
from strongroom.package.file import SealedPackage, load, read
from strongroom.package.manifest import Manifest, Parity
from strongroom.package.protected import Package
from strongroom.package.sharing import grant, recipients, revoke, rotate
from strongroom.policy import Policy
from strongroom.receipts.receipt import Receipt, verify_receipt

__all__ = [
    "Client",
    "CommitteeHolder",
    "Costs",
    "Guarantee",
    "Identity",
    "IdentityStore",
    "InputRangeWarning",
    "KeyStore",
    "Manifest",
    "Package",
    "Parity",
    "Plan",
    "Policy",
    "PublicIdentity",
    "Receipt",
    "SealedPackage",
    "SealedTransport",
    "StrongroomError",
    "Timings",
    "TreeOptions",
    "grant",
    "load",
    "plan",
    "plans",
    "protect",
    "read",
    "recipients",
    "revoke",
    "rotate",
    "verify_receipt",
]
