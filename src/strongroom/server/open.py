"""Opening a package for serving: what a server's worker does with a path."""

from __future__ import annotations

from strongroom import protections
from strongroom.package.file import load
from strongroom.package.manifest import encode_manifest
from strongroom.server.model import ServedModel


def open_served(path: str) -> ServedModel:
    """Open the package at `path` and make its model ready to answer.

    Raises:
        PackageError: the file can't be read or is damaged.
        PolicyError: its plan is not valid here.
    """
    package = load(path)
    manifest = package.manifest
    protection = protections.by_name(manifest.protection)
    side = protection.open_server(manifest.plan, package.payload, package=package.digest)
    return ServedModel(
        name=manifest.name,
        version=manifest.version,
        protection=manifest.protection,
        digest=package.digest,
        manifest_json=encode_manifest(manifest).decode(),
        request_limit=protection.request_limit(manifest.plan),
        answer=side.answer,
        key_needs=protection.key_needs(manifest.plan),
    )
