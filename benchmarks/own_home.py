"""The benchmarks' own home: an identity that owns packages and serves them.

Importing this module makes it what this process, and those that it starts, use: nobody's own
identities and keys are touched, and nothing of it stays.
"""

from __future__ import annotations

import atexit
import os
import secrets
import tempfile

import strongroom

_FOLDER = tempfile.TemporaryDirectory(prefix="strongroom-bench-")
atexit.register(_FOLDER.cleanup)

os.environ["STRONGROOM_HOME"] = _FOLDER.name
os.environ["STRONGROOM_PASSPHRASE"] = secrets.token_urlsafe(24)

OWNER = strongroom.IdentityStore.open().create()
"""The identity "default"."""
