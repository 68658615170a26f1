"""The vendor's process: trains, keeps the model, protects it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from examples.command import run
from examples.model_sharing import model
from examples.parties import PACKAGE
from strongroom import IdentityStore, Policy, protect
from strongroom.cli.policy_options import JsonOption


def vendor(folder: Path, seed: int, as_json: JsonOption = False) -> None:
    """Train and protect; the package and the plain weights go into the folder."""
    trained = model.train(seed)
    np.savez(folder / "weights.npz", *model.weights(trained))
    owner = IdentityStore.open().identity()
    package = protect(
        trained,
        sample=model.training_rows(seed),
        protection="sealed",
        policy=Policy(),
        name=model.NAME,
        owner=owner,
    )
    package.save(folder / PACKAGE, owner=owner)
    print(json.dumps({"digest": package.digest, "owner": owner.fingerprint}))


if __name__ == "__main__":
    sys.exit(run(vendor, "the vendor", sys.argv[1:]))
