"""The models that a server has, by name and version, and their metadata documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from strongroom.errors import ServerError
from strongroom.server import v2
from strongroom.server.model import ModelDescription

_BASE64_NUMERATOR: Final = 4
_BASE64_DENOMINATOR: Final = 3
_ENDING: Final = b"}}"
"""Of a metadata document: its parameters come last."""

_LISTED: Final = 16
"""Of the models, in the refusal of an unknown one."""


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A model that can be asked.

    Attributes:
        index: of its package, as the workers count.
        model: its description.
        body_limit: largest body of a request in bytes.
    """

    index: int
    model: ModelDescription
    body_limit: int
    _metadata: bytes

    def metadata(self, key_configuration: str | None, authority: str | None = None) -> bytes:
        """The V2 metadata document, encoded.

        Args:
            key_configuration: the present one; shown if something says that this server may
                serve the model.
            authority: what says so at present; the model's own if None.
        """
        authority = authority or self.model.authority
        if key_configuration is None or not authority:
            return self._metadata
        # Encoded once, without what changes: the manifest may have megabytes.
        changing = {"authority": authority, "key_configuration": key_configuration}
        text = b"," + msgspec.json.encode(changing)[1:] + _ENDING[1:]
        return self._metadata[: -len(_ENDING)] + text


class Catalogue:
    """All models of a server; immutable.

    Args:
        models: in the order of the configured packages.
        request_bytes: the server's own limit on a body.

    Raises:
        ServerError: SR-SERVER-CONFIG if two packages hold one version of one model, or if a name
            or version can't be part of a URL's path.
    """

    def __init__(self, models: Sequence[ModelDescription], request_bytes: int) -> None:
        self._entries: dict[str, dict[str, CatalogueEntry]] = {}
        for index, model in enumerate(models):
            for part in (model.name, model.version):
                if not part or "/" in part or not part.isprintable():
                    raise ServerError(
                        "SR-SERVER-CONFIG",
                        f"model {model.name!r} version {model.version!r} can't be put into a URL",
                        "Protect it under a name and version without slashes",
                    )
            versions = self._entries.setdefault(model.name, {})
            if model.version in versions:
                raise ServerError(
                    "SR-SERVER-CONFIG",
                    f"two packages hold version {model.version!r} of model {model.name!r}",
                    "Serve one of them",
                )
            all_versions = [other.version for other in models if other.name == model.name]
            base64_limit = model.request_limit * _BASE64_NUMERATOR // _BASE64_DENOMINATOR
            versions[model.version] = CatalogueEntry(
                index=index,
                model=model,
                body_limit=min(request_bytes, base64_limit + v2.BODY_OVERHEAD_BYTES),
                _metadata=msgspec.json.encode(_metadata(model, all_versions)),
            )

    @property
    def models(self) -> list[ModelDescription]:
        """All of them, the versions of one model together."""
        return [entry.model for entries in self._entries.values() for entry in entries.values()]

    def find(self, name: str, version: str | None) -> CatalogueEntry:
        """The model of that name and version, or the version that was configured last. Only for
        who has a token: a refusal lists the models that there are.

        Raises:
            ServerError: SR-SERVER-MODEL if there is none.
        """
        versions = self._entries.get(name)
        if not versions:
            raise ServerError(
                "SR-SERVER-MODEL",
                f"the server has no model {name[:64]!r}",
                f"Ask for one of: {_listed(list(self._entries))}",
                http_status=404,
            )
        if version is None:
            return next(reversed(versions.values()))
        if version not in versions:
            raise ServerError(
                "SR-SERVER-MODEL",
                f"the server has no version {version[:64]!r} of model {name!r}",
                f"Ask for one of: {_listed(list(versions))}",
                http_status=404,
            )
        return versions[version]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _metadata(model: ModelDescription, versions: list[str]) -> dict[str, Any]:
    parameters = {"package_digest": model.digest, "manifest": model.manifest_json}
    if model.authority:
        parameters |= {
            "owner": model.owner,
            "signatures": model.signatures,
        }
    return {
        "name": model.name,
        "versions": versions,
        "platform": f"strongroom_{model.protection}",
        "inputs": [{"name": v2.INPUT_NAME, "datatype": v2.DATATYPE, "shape": [1]}],
        "outputs": [{"name": v2.OUTPUT_NAME, "datatype": v2.DATATYPE, "shape": [1]}],
        "parameters": parameters,
    }
