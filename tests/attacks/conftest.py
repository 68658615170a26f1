"""Makes the modules beside the attacks importable, and the small networks and their exchanges, and
the parts of packages."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]

sys.path[:0] = [
    str(TESTS / "attacks"),
    str(TESTS / "protections" / "fhe"),
    str(TESTS / "compiler"),
    str(TESTS / "package"),
    str(TESTS / "client"),
    str(TESTS / "attestation"),
]
