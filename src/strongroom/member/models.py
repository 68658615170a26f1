"""The packages whose results a member answers: their plans, and for audits their encrypted weights.

Of a package a member needs what is public: the manifest, and in it the plan. It checks the plan as
an asker would, and that it is under the key of its own committee and smudged for that key's budget.
To compute results again the package has to be granted to the member, and the committee's evaluation
keys have to be there; neither shows it a weight.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from strongroom import protections
from strongroom.broker.shelf import Shelf
from strongroom.compiler.plan import CommitteeKey, HiddenLinearLayout, NetworkLayout, Plan
from strongroom.errors import (
    AttestationError,
    CiphertextError,
    CommitteeError,
    KeyStoreError,
    ServerError,
)
from strongroom.keys.committee.folder import CommitteeKeys, CommitteeKeySets
from strongroom.keys.committee.parts import require_committee
from strongroom.keys.committee.statement import Committee
from strongroom.keys.identity import Identity
from strongroom.keys.seen import Seen
from strongroom.member.policy import refused
from strongroom.package.file import SealedPackage
from strongroom.policy import Policy
from strongroom.protections.interface import ServerSide, SharedResult


class PackageFolder:
    """The packages in one folder, of one committee. Safe for threads.

    Args:
        folder: of `.strongroom` files.
        committee: whose member this is.
        identity: that packages are granted to.
        keys: the committee's evaluation keys; None where nothing is computed again.
        seen: what was seen of packages before.
        threads: of one evaluation.

    Raises:
        ServerError: SR-SERVER-CONFIG if there is no such folder.
    """

    def __init__(
        self,
        folder: Path,
        committee: Committee,
        identity: Identity,
        keys: CommitteeKeys | None,
        seen: Seen,
        threads: int,
    ) -> None:
        require_folder(folder)
        self._shelf = Shelf(folder, seen)
        self._committee = committee
        self._identity = identity
        self._keys = keys
        self._seen = seen
        self._threads = threads
        self._lock = threading.Lock()
        self._models: dict[str, PackageModel] = {}

    def find(self, package: str) -> PackageModel:
        """One package.

        Raises:
            CommitteeError: SR-MEMBER-POLICY if it is not here, SR-COMMITTEE-MISMATCH if it is not
                under this committee's key.
            PolicyError: its plan does not hold.
        """
        with self._lock:
            if (known := self._models.get(package)) is not None:
                return known
            try:
                found = self._shelf.find(package)
            except AttestationError as error:
                raise refused(f"this member does not have package {package}") from error
            model = self._open(found)
            self._models[package] = model
            return model

    def _open(self, package: SealedPackage) -> PackageModel:
        plan = package.manifest.plan
        require_model(plan, self._committee)
        protections.by_name(plan.protection).check(plan, Policy())
        self._seen.saw_release(
            package.owner.fingerprint, package.manifest.name, package.manifest.release
        )
        return PackageModel(package, self._identity, self._keys, self._seen, self._threads)


def require_folder(folder: Path) -> None:
    """That there is a folder of packages.

    Raises:
        ServerError: SR-SERVER-CONFIG.
    """
    if not folder.is_dir():
        raise ServerError(
            "SR-SERVER-CONFIG", f"{folder} is no folder", "Name the folder of the packages"
        )


class PackageModel:
    """One package, as `shares.Model`. Safe for threads. Made by `PackageFolder`."""

    def __init__(
        self,
        package: SealedPackage,
        identity: Identity,
        keys: CommitteeKeys | None,
        seen: Seen,
        threads: int,
    ) -> None:
        self._package = package
        self._identity = identity
        self._keys = keys
        self._seen = seen
        self._threads = threads
        self._lock = threading.Lock()
        self._side: ServerSide | None = None
        plan = package.manifest.plan
        self._shared = protections.by_name(plan.protection).shared_results(
            plan, package=package.digest
        )

    @property
    def log_sigma(self) -> float:
        """Base-2 logarithm of the smudging that its plan says."""
        return self._shared.log_sigma

    def results(self, partial: memoryview) -> Sequence[SharedResult]:
        """See `shares.Model.results`."""
        return self._shared.results(partial)

    def expected(self, request: memoryview) -> bytes:
        """See `shares.Model.expected`."""
        if self._keys is None:
            raise CommitteeError(
                "SR-MEMBER-AUDIT",
                "this member shall compute results again, and has no evaluation keys",
                "Let its operator run `strongroom member adopt FOLDER/committee.json` with the "
                "committee's whole folder, or set audit_rate to 0",
                http_status=503,
            )
        plan = self._package.manifest.plan
        keys = CommitteeKeySets(self._keys)
        try:
            return self._opened(plan).answer(request, keys=keys, threads=self._threads)
        except KeyStoreError as error:
            if error.code != "SR-KEYS-HOLDER":
                raise
            # The rows' fault and not this member's: no server computes with another's keys.
            raise CiphertextError(
                "SR-CIPHERTEXT-MISMATCH", error.message, "Ask with the committee's public key"
            ) from error

    def _opened(self, plan: Plan) -> ServerSide:
        with self._lock:
            if self._side is None:
                opened = self._package.open(self._identity, purpose="serve", now=self._seen.now())
                self._side = protections.by_name(plan.protection).open_server(
                    plan, opened.payload, package=self._package.digest
                )
            return self._side


def require_model(plan: Plan, committee: Committee) -> None:
    """A plan is of a model under this committee's key, and smudged for its budget and for the noise
    of a key of so many parts.

    Raises:
        CommitteeError: SR-COMMITTEE-MISMATCH.
    """
    holder = plan.holder
    if not isinstance(holder, CommitteeKey):
        raise CommitteeError(
            "SR-COMMITTEE-MISMATCH",
            "the package is not encrypted under a committee's key",
            'Protect it with hide="model" for this committee',
        )
    require_committee(committee, holder.committee, holder.public_key)
    budget = committee.statement.share_budget
    if holder.share_budget != budget:
        raise CommitteeError(
            "SR-COMMITTEE-MISMATCH",
            f"the package is smudged for {holder.share_budget} results, the key allows {budget}",
            "Protect it again for this committee",
        )
    layout, parts = plan.layout, len(committee.access.parts())
    holding = layout.holding if isinstance(layout, HiddenLinearLayout | NetworkLayout) else None
    if holding is None or holding.parts < parts:
        planned = 0 if holding is None else holding.parts
        raise CommitteeError(
            "SR-COMMITTEE-MISMATCH",
            f"the package is smudged for a key of {planned} parts, this committee's has {parts}",
            "Protect it again for this committee",
        )
