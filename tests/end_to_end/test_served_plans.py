"""A server that serves a plan which is too weak, too large or a lie. The client refuses it before
any row leaves, quickly, in bounded memory, and without a key made or a package pinned, even where
its user trusts that very package's digest."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from recorded_traffic import RecordingTransport
from served_proofs import ProvenHost
from trained_models import Trained

from strongroom import Client, KeyStore, Policy, StrongroomError
from strongroom.canonical import canonical_json, digest
from strongroom.package.manifest import FORMAT_VERSION

MALFORMED, INVALID = "SR-PACKAGE-FILE", "SR-PLAN-INVALID"
FLOODING, GUARANTEE = "SR-PLAN-FLOODING", "SR-PLAN-GUARANTEE"
HUGE = 2**40

# What the manifest says instead, by its path, and how it is refused.
LIES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown parameters": ({"plan.parameters": "n10-q104-v1"}, "SR-PARAMETERS-UNKNOWN"),
    "parameters of another ring": ({"plan.parameters": "n13-q144-v1"}, INVALID),
    "parameters that are no text": ({"plan.parameters": 5}, MALFORMED),
    "another ring degree in the statement": ({"plan.guarantee.ring_degree": 1024}, GUARANTEE),
    "too little sanitising": ({"plan.layout.flooding_log_sigma": 20.0}, FLOODING),
    "too little decryption flooding": ({"plan.layout.decryption_log_sigma": 1.0}, FLOODING),
    "negative flooding": ({"plan.layout.decryption_log_sigma": -1e9}, INVALID),
    "fewer published answers than the policy": (
        {"plan.guarantee.decryption_queries": 1},
        GUARANTEE,
    ),
    "inputs that the server sees": ({"plan.guarantee.inputs_from_server": "visible"}, GUARANTEE),
    "a visibility that nobody knows": (
        {"plan.guarantee.inputs_from_server": "mostly hidden"},
        MALFORMED,
    ),
    "a statement that promises too much": (
        {"plan.guarantee.weights_from_server": "hidden"},
        GUARANTEE,
    ),
    "security that the parameters lack": (
        {"plan.guarantee.security": "quantum-128"},
        GUARANTEE,
    ),
    "2^40 columns": (
        {
            "plan.layout.columns": HUGE,
            "plan.prediction.input.columns": HUGE,
            "plan.prediction.input.names": [],
        },
        INVALID,
    ),
    "2^40 columns of the layout alone": ({"plan.layout.columns": HUGE}, INVALID),
    "a million columns that are not there": (
        {
            "plan.layout.columns": 2**20,
            "plan.prediction.input.columns": 2**20,
            "plan.prediction.input.names": [],
        },
        INVALID,
    ),
    "2^40 outputs": (
        {"plan.layout.outputs": HUGE, "plan.prediction.output.outputs": HUGE},
        INVALID,
    ),
    "2^40 rows": ({"plan.layout.rows_per_ciphertext": HUGE}, INVALID),
    "2^40 blocks": ({"plan.layout.blocks_per_request": HUGE}, INVALID),
    "2^63 rows": ({"plan.layout.rows_per_ciphertext": 2**63}, MALFORMED),
    "2^1000 rows": ({"plan.layout.rows_per_ciphertext": 2**1000}, MALFORMED),
    "2^40 primes": ({"plan.layout.input_limbs": HUGE}, INVALID),
    "an absurd scale": ({"plan.layout.log_input_scale": 2**60}, INVALID),
    "an absurd step": ({"plan.layout.log_output_step": 2**60}, INVALID),
    "answers of an exabyte": ({"plan.costs.full_response_bytes": 2**60}, INVALID),
    "NaN in a centre": ({"plan.layout.centre.3": float("nan")}, MALFORMED),
    "infinity in a half width": ({"plan.layout.half_width.3": float("inf")}, MALFORMED),
    "NaN for flooding": ({"plan.layout.flooding_log_sigma": float("nan")}, MALFORMED),
    "text for a number": ({"plan.layout.headroom": "8"}, MALFORMED),
    "a field too many": ({"plan.layout.secret_key": 1}, MALFORMED),
    "another protection": ({"plan.protection": "none", "protection": "none"}, MALFORMED),
    "another protection throughout": (
        {
            "plan.protection": "none",
            "protection": "none",
            "plan.guarantee.protection": "none",
        },
        INVALID,
    ),
    "labels that are no labels": ({"plan.prediction.output.label_dtype": "|V1000000"}, INVALID),
    "a plan that is no object": ({"plan": []}, MALFORMED),
    "a newer version": ({"format_version": FORMAT_VERSION + 1}, "SR-PACKAGE-VERSION"),
}


def set_at(document: Any, path: str, value: Any) -> None:
    *above, last = path.split(".")
    for name in above:
        document = document[name]
    document[int(last) if isinstance(document, list) else last] = value


def manifest_text(known: Trained, changes: dict[str, Any]) -> str:
    """A manifest with some changes, and every digest in it made to fit."""
    document = json.loads(canonical_json(known.package.manifest))
    for path, value in changes.items():
        set_at(document, path, value)
    plan = json.dumps(document["plan"], sort_keys=True, separators=(",", ":")).encode()
    document["plan_digest"] = digest(plan)
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


class LyingServer(httpx.BaseTransport):
    """Serves the metadata of one manifest, which the owner signed and granted, and answers nothing
    else."""

    def __init__(self, known: Trained, manifest: str) -> None:
        data = manifest.encode()
        proof = ProvenHost(known.package).proof(data)
        parameters = msgspec.to_builtins(proof) | {"package_digest": digest(data)}
        self.metadata = msgspec.json.encode({"name": "binary", "parameters": parameters})

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        assert request.method == "GET", "rows were sent"
        return httpx.Response(200, stream=httpx.ByteStream(self.metadata))


def connect_to(known: Trained, manifest: str, keys: KeyStore, trust: str, **options: Any) -> Client:
    transport = RecordingTransport(LyingServer(known, manifest))
    try:
        return Client(
            "http://127.0.0.1:1",
            model="binary",
            trust=trust,
            keys=keys,
            transport=transport,
            **options,
        )
    finally:
        assert transport.asked == [("GET", "/v2/models/binary")]


def assert_nothing_kept(home: Path) -> None:
    """But the time: no key was made, no owner pinned, nothing of the package remembered."""
    files = (path for path in home.rglob("*") if path.is_file() and path.stat().st_size)
    # The identity is that of all tests.
    kept = {path.name for path in files if path.parent.name != "identities"}
    assert kept <= {"seen.json"}
    if kept:
        marks = json.loads((home / "seen.json").read_text())
        assert not any(marks[name] for name in marks if name not in ("format_version", "latest"))


def test_the_true_manifest_is_accepted(binary: Trained) -> None:
    manifest = manifest_text(binary, {})
    assert digest(manifest.encode()) == binary.package.digest
    connect_to(binary, manifest, KeyStore.in_memory(), binary.package.digest).close()


@pytest.mark.parametrize("trust", ["the digest", "first-use"])
@pytest.mark.parametrize("lie", LIES)
def test_a_lying_plan_is_refused_before_any_row_leaves(
    binary: Trained, home: Path, lie: str, trust: str
) -> None:
    changes, code = LIES[lie]
    manifest = manifest_text(binary, changes)
    trusted = digest(manifest.encode()) if trust == "the digest" else trust
    keys = KeyStore.open(passphrase="a passphrase")
    tracemalloc.start()
    started = time.monotonic()
    try:
        with pytest.raises(StrongroomError) as caught:
            connect_to(binary, manifest, keys, trusted)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.code == code, str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert time.monotonic() - started < 5.0
    assert peak < 32 * 2**20
    assert_nothing_kept(home)


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        (Policy(security="quantum-128"), "SR-PARAMETERS-INSECURE"),
        (Policy(decryption_bits=31), GUARANTEE),
        (Policy(decryption_queries=2**17), GUARANTEE),
    ],
    ids=["security", "decryption bits", "published answers"],
)
def test_a_plan_below_the_callers_policy_is_refused(
    binary: Trained, home: Path, policy: Policy, code: str
) -> None:
    keys = KeyStore.open(passphrase="a passphrase")
    with pytest.raises(StrongroomError) as caught:
        connect_to(binary, manifest_text(binary, {}), keys, "first-use", policy=policy)
    assert caught.value.code == code
    assert_nothing_kept(home)


def test_metadata_without_end_is_not_read_to_its_end(binary: Trained) -> None:
    class Endless(httpx.SyncByteStream):
        sent = 0

        def __iter__(self) -> Any:
            while True:
                self.sent += 2**20
                yield b" " * 2**20

    stream = Endless()

    class Flood(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, stream=stream)

    with pytest.raises(StrongroomError, match="exceeds the") as caught:
        Client("http://127.0.0.1:1", model="binary", trust=binary.package, transport=Flood())
    assert caught.value.code == "SR-SERVER-PROTOCOL"
    assert stream.sent <= 64 * 2**20
