"""A package that its owner granted to a host, and a receipt of an answer."""

from __future__ import annotations

import pytest
from served_proofs import ProvenHost, package_of

from strongroom.receipts.receipt import Receipt


@pytest.fixture(scope="session")
def host() -> ProvenHost:
    return ProvenHost(package_of())


@pytest.fixture(scope="session")
def receipt(host: ProvenHost) -> Receipt:
    return host.receipt()
