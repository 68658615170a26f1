"""Makes the modules beside the tests importable, the compiler's small networks and the small
committees; and one small model for those that need any."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "compiler"))
sys.path.insert(0, str(Path(__file__).parents[2] / "keys" / "committee"))

from exchanges import Exchange


@pytest.fixture(scope="session")
def exchange() -> Exchange:
    """A model with 30 columns and one output: 136 rows a ciphertext."""
    generator = np.random.default_rng(7)
    weights = generator.normal(size=(1, 30))
    sample = generator.normal(loc=3.0, scale=2.0, size=(200, 30))
    return Exchange.over(weights, generator.normal(size=1), sample)
