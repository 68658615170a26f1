"""A home for the whole run, with an identity that owns packages: nobody's own home is touched.

Tests with a home of their own put the identity into it with `model_owner.write_identity`, and
sign with `model_owner.OWNER` where they have no passphrase.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from model_owner import PASSPHRASE, write_identity


@pytest.fixture(scope="session", autouse=True)
def home_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What $STRONGROOM_HOME names unless a test says otherwise."""
    home = tmp_path_factory.mktemp("home")
    write_identity(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRONGROOM_HOME", str(home))
        patch.setenv("STRONGROOM_PASSPHRASE", PASSPHRASE)
        yield home
