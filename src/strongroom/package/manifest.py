"""Manifest: what a package says of itself; public, immutable, named by its digest.

A package's digest is the SHA-256 of its manifest's canonical bytes. The manifest binds the
owner, the plan (with the guarantee statement in it), the measured parity and the digest of the
payload in the clear, so whoever trusts the digest trusts all of these. It never changes: grants
come and go beside it, and the payload may be encrypted anew.
"""

from __future__ import annotations

import importlib.metadata
import math
import secrets
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec

from strongroom.canonical import Digest, canonical_json, digest
from strongroom.compiler.plan import Plan
from strongroom.errors import PackageError
from strongroom.keys.identity import Fingerprint

FORMAT_VERSION: Final = 2
"""Version of the package format, manifest and file alike."""

MAXIMUM_MANIFEST_BYTES: Final = 16 * 2**20
"""Longest manifest that is parsed at all; two numbers a column are its bulk."""

_CREATED: Final = "%Y-%m-%dT%H:%M:%SZ"
_REFUSED_FILE: Final = "Fetch the package again from its owner"

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")]
Version = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}\Z")]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class Parity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far protected and plain predictions agreed when the model was protected.

    No digest of the sample is kept: the manifest is public, and rows that can be guessed could
    be confirmed with one.

    Attributes:
        rows: number of rows that were compared.
        agreement: share of rows whose predictions agreed, from 0 to 1.
        max_score_error: largest |protected - plain| score.
    """

    rows: Annotated[int, msgspec.Meta(ge=1, le=2**40)]
    agreement: Share
    max_score_error: Annotated[float, msgspec.Meta(ge=0.0)]

    def __post_init__(self) -> None:
        if not math.isfinite(self.max_score_error) or not math.isfinite(self.agreement):
            raise ValueError("parity is not finite")


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a package says of itself. Made by `new_manifest` or `decode_manifest`.

    Attributes:
        format_version: of this format.
        package_id: 32 random hex digits.
        name: of the model; letters, digits, ".", "_", "-", since it becomes part of a URL.
        version: the owner's own word for the release, for people.
        release: a counter that only grows, for programs: a lower one is a rollback.
        created: UTC, "2026-11-22T12:43:00Z".
        strongroom_version: that wrote it.
        protection: the same as the plan's.
        plan: how the model runs, with the guarantee statement and the predicted costs.
        plan_digest: digest of the plan's canonical bytes.
        parity: agreement with the plain model, measured at protection.
        owner: fingerprint of who signs it.
        payload_digest, payload_bytes: of the payload stream in the clear, salt included.
    """

    format_version: Annotated[int, msgspec.Meta(ge=FORMAT_VERSION, le=FORMAT_VERSION)]
    package_id: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
    name: Name
    version: Version
    release: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    created: Annotated[str, msgspec.Meta(max_length=20)]
    strongroom_version: Version
    protection: Name
    plan: Plan
    plan_digest: Digest
    parity: Parity
    owner: Fingerprint
    payload_digest: Digest
    payload_bytes: Annotated[int, msgspec.Meta(ge=0, le=2**53)]

    def __post_init__(self) -> None:
        parsed = datetime.strptime(self.created, _CREATED)
        if parsed.strftime(_CREATED) != self.created:
            raise ValueError("created is not a UTC time")
        if not self.protection == self.plan.protection == self.plan.guarantee.protection:
            raise ValueError("manifest, plan and guarantee name different protections")
        if digest(canonical_json(self.plan)) != self.plan_digest:
            raise ValueError("plan_digest is not the digest of the plan")

    @property
    def digest(self) -> str:
        """The package's digest, "sha256:…"."""
        return digest(encode_manifest(self))


class _Versioned(msgspec.Struct):
    format_version: int


def new_manifest(
    *,
    name: str,
    version: str,
    release: int,
    plan: Plan,
    parity: Parity,
    owner: str,
    payload_digest: str,
    payload_bytes: int,
) -> Manifest:
    """A manifest for a new package, dated now, with a fresh identifier.

    Args:
        owner: fingerprint of who will sign it.
        payload_digest, payload_bytes: of the payload stream.

    Raises:
        PackageError: SR-PACKAGE-NAME if name, version or release can't be used,
            SR-PLAN-INVALID if plan or parity hold what JSON can't (NaN, an infinity).
    """
    try:
        # Reading the plan back turns whole numbers in fields of floating point, and NumPy's
        # subclasses, into what every reader of the manifest will hold.
        plan = msgspec.json.decode(canonical_json(plan), type=Plan)
        parity = msgspec.json.decode(canonical_json(parity), type=Parity)
        plan_digest = digest(canonical_json(plan))
    except (ValueError, TypeError) as error:
        raise PackageError(
            "SR-PLAN-INVALID", f"the plan or its parity can't be written: {_one_line(error)}"
        ) from error
    fields = {
        "format_version": FORMAT_VERSION,
        "package_id": secrets.token_hex(16),
        "name": name,
        "version": version,
        "release": release,
        "created": datetime.now(UTC).strftime(_CREATED),
        "strongroom_version": _strongroom_version(),
        "protection": plan.protection,
        "plan": msgspec.to_builtins(plan),
        "plan_digest": plan_digest,
        "parity": msgspec.to_builtins(parity),
        "owner": owner,
        "payload_digest": payload_digest,
        "payload_bytes": payload_bytes,
    }
    try:
        return msgspec.convert(fields, Manifest)
    except msgspec.ValidationError as error:
        at_name = any(f"`$.{field}`" in str(error) for field in ("name", "version", "release"))
        raise PackageError(
            "SR-PACKAGE-NAME" if at_name else "SR-PLAN-INVALID",
            f"name {name[:100]!a}, version {version[:64]!a} or release {release} can't be used"
            if at_name
            else f"the package can't be described: {_one_line(error)}",
            "Begin with a letter or digit, go on with letters, digits, '.', '_' and '-', and count "
            "releases from 1"
            if at_name
            else "",
        ) from error


def encode_manifest(manifest: Manifest) -> bytes:
    """The canonical bytes of a manifest: what its digest is taken over."""
    return canonical_json(manifest)


def decode_manifest(data: bytes) -> Manifest:
    """Read untrusted canonical bytes; whatever is not exactly canonical is refused.

    Raises:
        PackageError: SR-PACKAGE-VERSION if a newer version wrote it, SR-PACKAGE-FILE otherwise.
        PolicyError: SR-PLAN-INVALID if the plan in it contradicts itself.
    """
    if len(data) > MAXIMUM_MANIFEST_BYTES:
        raise PackageError(
            "SR-PACKAGE-FILE",
            f"the manifest has {len(data)} bytes, more than {MAXIMUM_MANIFEST_BYTES}",
            _REFUSED_FILE,
        )
    try:
        found = msgspec.json.decode(data, type=_Versioned).format_version
        if found > FORMAT_VERSION:
            raise newer_version(found)
        manifest = msgspec.json.decode(data, type=Manifest)
        canonical = encode_manifest(manifest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise PackageError(
            "SR-PACKAGE-FILE", f"the manifest is not valid: {_one_line(error)}", _REFUSED_FILE
        ) from error
    if canonical != data:
        raise PackageError(
            "SR-PACKAGE-FILE", "the manifest is not in canonical form", _REFUSED_FILE
        )
    return manifest


def newer_version(found: int) -> PackageError:
    """The error for a package of a version that this one doesn't know."""
    return PackageError(
        "SR-PACKAGE-VERSION",
        f"the package has format version {found}, this Strongroom reads up to {FORMAT_VERSION}",
        "Upgrade Strongroom: pip install --upgrade strongroom",
    )


def _strongroom_version() -> str:
    try:
        return importlib.metadata.version("strongroom")
    except importlib.metadata.PackageNotFoundError:  # run from a source tree
        return "0+source"


def _one_line(error: Exception) -> str:
    # What is refused may quote itself, so it is escaped and cut before a person sees it.
    return ascii(str(error))[1:-1][:200]
