"""The ways a model can be guarded, one package each, behind one interface.

Server, client and command line look a protection up by its name and know only
`protections.interface`.
"""

from __future__ import annotations

from strongroom.errors import PolicyError
from strongroom.protections.fhe.protection import FheProtection
from strongroom.protections.interface import ServedProtection
from strongroom.protections.sealed.protection import SealedProtection

_PROTECTIONS: dict[str, ServedProtection] = {
    protection.name: protection for protection in (FheProtection(), SealedProtection())
}


def by_name(name: str) -> ServedProtection:
    """The protection of that name.

    Raises:
        PolicyError: SR-PLAN-INVALID if there is none.
    """
    protection = _PROTECTIONS.get(name)
    if protection is None:
        raise PolicyError(
            "SR-PLAN-INVALID",
            f"there is no protection named {name[:40]!r}",
            f"Choose one of: {', '.join(_PROTECTIONS)}",
        )
    return protection
