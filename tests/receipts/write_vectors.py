"""Writes docs/vectors/receipt-v1.json anew: python tests/receipts/write_vectors.py

The identities are those of the tests, whose seeds stand there too. ML-DSA draws randomness, so two
runs differ; a reader accepts both.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
VECTORS = TESTS.parent / "docs" / "vectors" / "receipt-v1.json"
TIME = datetime(2026, 11, 22, 12, 43, tzinfo=UTC)


def _faults(text: str) -> list[dict[str, str]]:
    """Each is the receipt with the first occurrence of `find` behind `after` replaced."""
    statement = json.loads(text)["statement"]
    signatures = json.loads(text)["signatures"]
    other = "sha256:" + "0" * 64
    ended = (TIME + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    behind = '"statement":'
    return [
        {"fault": "white_space", "after": "", "find": "{", "put": "{ "},
        {"fault": "other_format", "after": "", "find": '"format":1', "put": '"format":2'},
        {"fault": "unknown_field", "after": "", "find": '"format":1', "put": '"else":0,"format":1'},
        *(
            {"fault": f"other_{name}", "after": behind, "find": statement[name], "put": other}
            for name in ("request", "response", "package", "plan", "guarantee")
        ),
        {"fault": "after_the_grant", "after": behind, "find": statement["time"], "put": ended},
        {"fault": "other_key", "after": behind, "find": statement["key_id"], "put": "0" * 16},
        *(
            {
                "fault": f"no_{name}",
                "after": '"signatures":{',
                "find": signatures[name],
                "put": "A" * len(signatures[name].rstrip("=")) + "=" * signatures[name].count("="),
            }
            for name in ("ed25519", "ml_dsa_65")
        ),
        {"fault": "no_authority", "after": "", "find": '\\"kind\\":\\"grant\\"', "put": ""},
    ]


def vectors() -> dict[str, Any]:
    """What the file holds."""
    from model_owner import OWNER
    from served_proofs import HOST, REQUEST, RESPONSE, ProvenHost, package_of

    host = ProvenHost(package_of(name="tumour", release=4), time=TIME, lasts=timedelta(hours=1))
    receipt = host.receipt()
    return {
        "format": 1,
        "owner_seeds": OWNER.to_bytes().hex(),
        "owner": OWNER.public.to_text(),
        "owner_fingerprint": OWNER.fingerprint,
        "server_fingerprint": HOST.fingerprint,
        "serving_seeds": host.secrets.to_bytes().hex(),
        "request": REQUEST.hex(),
        "response": RESPONSE.hex(),
        "receipt": receipt.text,
        "refused": _faults(receipt.text),
    }


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))
    VECTORS.write_text(json.dumps(vectors(), indent=1) + "\n")
