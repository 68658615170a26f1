"""A client process that sends its keys slowly and asks once: URL TOKEN DIGEST SECONDS_A_CHUNK.

Prints how many bytes of keys it sent.
"""

from __future__ import annotations

import sys
import time

import httpx
import numpy as np
from key_fakes import RotatingProtection, plain

from strongroom import protections
from strongroom.client.client import Client
from strongroom.keys.store import KeyStore

url, token, digest, seconds = sys.argv[1:]
protections.by_name = lambda name: RotatingProtection("m")


class Slow(httpx.HTTPTransport):
    """A network that takes its time with every chunk."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            time.sleep(float(seconds))
        return super().handle_request(request)


rows = np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
with Client(
    url, model="m", trust=digest, token=token, keys=KeyStore.open(), transport=Slow()
) as client:
    np.testing.assert_allclose(client.decision_function(rows), plain("m", rows), atol=1e-3)
    print(client.key_bytes_sent, flush=True)
