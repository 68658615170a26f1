"""Committees under whose keys a server's models are encrypted, as its workers use them.

Folders are read when a worker starts: the statement is verified, and every key is the one that all
members signed. Keys are public; they are mapped while they are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from strongroom.compiler.plan import CommitteeKey
from strongroom.engine import KeyCache
from strongroom.errors import CommitteeError
from strongroom.keys.committee.folder import CommitteeKeys, CommitteeKeySets


class CommitteeFolders:
    """The committees of one server.

    Args:
        folders: paths.
        cache_bytes: how much of all their keys is kept mapped.

    Raises:
        CommitteeError: SR-COMMITTEE-FILE, SR-COMMITTEE-ACCESS.
        KeyStoreError: SR-KEYS-FILE, SR-KEYS-PERMISSIONS for a key file.
    """

    def __init__(self, folders: Sequence[str], cache_bytes: int) -> None:
        cache = KeyCache(cache_bytes)
        opened = [CommitteeKeys(Path(folder), cache) for folder in folders]
        self._keys = {one.committee.digest: one for one in opened}
        self.key_bytes = sum(
            path.stat().st_size for folder in folders for path in Path(folder).glob("*.key")
        )

    def key_sets(self, holder: CommitteeKey) -> CommitteeKeySets:
        """The keys of the committee that a plan names.

        Raises:
            CommitteeError: SR-COMMITTEE-MISMATCH if the server has no such committee, or its key
                is another one.
        """
        keys = self._keys.get(holder.committee)
        if keys is None:
            raise CommitteeError(
                "SR-COMMITTEE-MISMATCH",
                f"the model is encrypted under the key of committee {holder.committee}, which the "
                "server does not have",
                "Serve it with --committee and that committee's folder",
            )
        if keys.committee.statement.public_key != holder.public_key:
            raise CommitteeError(
                "SR-COMMITTEE-MISMATCH",
                f"the plan names another key than committee {holder.committee} made",
                "Ask the model's owner for a package of this committee",
            )
        return CommitteeKeySets(keys)
