"""Opening a package for serving: what a server's worker does with a path.

Of a package that is granted to the server's identity the keeper opens the file key, and the payload
is decrypted in this process, in memory. Whatever the protection, nothing of it was readable on the
disk.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from strongroom import protections
from strongroom.canonical import canonical_json
from strongroom.compiler.plan import UNSEEN, CommitteeKey
from strongroom.errors import PackageError, ServerError
from strongroom.moments import parse_moment
from strongroom.package.file import SealedPackage, read
from strongroom.package.grants import MAY_SERVE
from strongroom.protections.interface import KeySets, ServerSide, Serving
from strongroom.receipts.authority import grant_authority
from strongroom.receipts.statement import Subject
from strongroom.server.committees import CommitteeFolders
from strongroom.server.model import Answer, Means, ServedModel, Shared, never


def open_served(path: str, means: Means) -> ServedModel:
    """Open the package at `path` and make its model ready to answer.

    A worker that takes the place of another does not fail where a grant has ended or was taken
    away meanwhile, so that the server's other models are served on: the model answers with that
    error.

    Raises:
        PackageError: the file can't be read, is damaged, or is not granted to the server.
        PolicyError: its plan is not valid here.
        ServerError: SR-SERVER-CONFIG if the server has no identity, or this machine can't take
            the network from a process that sees inputs.
    """
    package = read(path)
    try:
        return _open(package, means)
    except PackageError as error:
        if not means.again or error.code not in ("SR-PACKAGE-EXPIRED", "SR-PACKAGE-GRANT"):
            raise
        return _described(package, _refusing(error), "")


def _open(package: SealedPackage, means: Means) -> ServedModel:
    keeper, manifest = means.keeper, package.manifest
    if keeper is None:
        raise ServerError(
            "SR-SERVER-CONFIG",
            f"package {manifest.name!r} is encrypted, and the server has no identity to open it",
            "Name the identity that the package is granted to",
        )
    protection = protections.by_name(manifest.protection)
    if _sees_inputs(package) and means.has_network:
        raise ServerError(
            "SR-SERVER-CONFIG",
            f"model {manifest.name!r} has to run without network, this system can't take that away",
            "Serve it on Linux with seccomp filters, on x86-64 or arm64",
        )
    now, digest = means.clock.now(), package.digest
    try:
        grant = package.grant_for(keeper.fingerprint, MAY_SERVE, now)
        payload = package.open(keeper, purpose="serve", now=now).payload
        authority = grant_authority(grant)
        end = None if grant.expires is None else parse_moment(grant.expires)
        ends: Callable[[], datetime | None] = lambda: end  # noqa: E731
    except PackageError as error:
        if error.code != "SR-PACKAGE-GRANT" or not keeper.has_broker:
            raise
        released = keeper.release(digest, package.owner.to_text())
        payload = package.open_with_key(released.file_key).payload
        authority = released.authority
        ends = partial(keeper.release_ends, digest)
    serving = Serving(keeper, means.clock.now, means.threads)
    side = protection.open_server(manifest.plan, payload, package=digest, serving=serving)
    holder = manifest.plan.holder
    if not isinstance(holder, CommitteeKey):
        return _described(package, side.answer, authority, ends)
    answer = _with_keys(side, _committees(means, manifest.name).key_sets(holder))
    results = protection.shared_results(manifest.plan, package=digest)
    return _described(package, answer, authority, ends, Shared(holder.committee, results.shown))


def _described(
    package: SealedPackage,
    answer: Answer,
    authority: str,
    ends: Callable[[], datetime | None] = never,
    shared: Shared | None = None,
) -> ServedModel:
    manifest = package.manifest
    protection = protections.by_name(manifest.protection)
    # A committee's keys are the server's, and nobody sends any.
    needs = None
    if not isinstance(manifest.plan.holder, CommitteeKey):
        needs = protection.key_needs(manifest.plan)
    return ServedModel(
        name=manifest.name,
        version=manifest.version,
        protection=manifest.protection,
        digest=package.digest,
        manifest_json=package.manifest_json.decode(),
        request_limit=protection.request_limit(manifest.plan),
        answer=answer,
        key_needs=needs,
        owner=package.owner.to_text(),
        signatures=canonical_json(package.signatures).decode(),
        authority=authority,
        ends=ends,
        subject=Subject.of(manifest),
        grant_log=(package.log.generation, len(package.grants)),
        shared=shared,
    )


def _committees(means: Means, model: str) -> CommitteeFolders:
    if means.committees is None:
        raise ServerError(
            "SR-SERVER-CONFIG",
            f"model {model!r} is encrypted under a committee's key, and the server has none",
            "Serve it with --committee and that committee's folder",
        )
    return means.committees


def _with_keys(side: ServerSide, committee: KeySets) -> Answer:
    """Answers with a committee's keys, whoever asks."""

    def answer(
        request: bytes | memoryview, *, keys: KeySets | None = None, threads: int = 1
    ) -> bytes:
        return side.answer(request, keys=committee, threads=threads)

    return answer


def _sees_inputs(package: SealedPackage) -> bool:
    """Whether the process that serves it can read what askers send."""
    return package.manifest.plan.guarantee.inputs_from_server not in UNSEEN


def _refusing(error: PackageError) -> Answer:
    """The answer of a model that can't be opened any more."""

    def refuse(
        request: bytes | memoryview, *, keys: KeySets | None = None, threads: int = 1
    ) -> bytes:
        raise ServerError(error.code, error.message, error.remedy, http_status=403)

    return refuse
