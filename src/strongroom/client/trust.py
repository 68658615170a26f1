"""Trust: which package a client talks to, and whose keys it seals to. It trusts an owner, not a
server.

The rules, applied before anything but the question for the metadata is sent:

1. A package comes with its whole proof (`receipts.proof`): its owner's identity and signatures,
   the owner's grant to the server, and the server's signed keys. Whatever is missing is refused,
   under every protection and whatever is trusted: there is no older server that may leave it out.
2. The digest of a package is taken here, over the manifest's text as it came. What the server says
   the digest is only has to agree with it. The text is decoded only once it is the trusted package
   or signed by its owner; and then strictly.
3. With an owner as `trust`, a package of that owner is served or it is refused. With a digest, or a
   package, that one is; its owner is then the one that it names. What was pinned or seen of
   releases earlier plays no part for these two.
4. With "first-use", the pinned owner's package is served or it is refused. Where none is pinned,
   the served one's owner is pinned and printed once, but only after the plan satisfied the policy.
5. The package is of the model that was asked for, by the name in its manifest.
6. The release of an owner's model never goes back: one below the highest that was accepted here is
   refused. Nor does the generation of its grants, so that a server to which a package is not
   granted any more can't show what it was granted before, to who has seen the newer grants.
7. A server's key configuration never goes back.
8. A model stays under the protection under which it was used here, unless the policy names
   another: an owner may publish a sealed release after one that no server could read along with,
   and whoever asks has to know. A digest as `trust` says it, too.
9. All of it holds now, by this machine's clock, which must not be behind what it was before.
10. Only what was accepted in the end is remembered.

Example: the vendor grants `tumour`, release 4, to the hospital's server. A stolen copy of release 3
on another machine: that machine has no grant, refused by rule 1. The hospital's server goes back to
release 3, properly granted once: refused by rule 6. Somebody else's package of the same name,
properly signed and granted by somebody else: refused by rule 3.
"""

from __future__ import annotations

import sys
from datetime import datetime
from typing import NoReturn

from strongroom.canonical import digest
from strongroom.client.v2 import ModelMetadata, wrong
from strongroom.errors import PackageError, PolicyError
from strongroom.keys.pins import Pins
from strongroom.keys.seen import Seen
from strongroom.keys.serving import refused
from strongroom.receipts.proof import ProvenServer, Trust, Trusted, verify_proof


class Verifier:
    """Applies the rules to one model at one server.

    Args:
        trust: whom to trust.
        pins: where first use is remembered.
        seen: where releases, grants, key configurations and the time are.
        url: of the server, in normal form.
        model: name of the model.

    Raises:
        PackageError, KeyStoreError: `trust` is none, see `receipts.proof.Trusted`.
    """

    def __init__(self, trust: Trust, pins: Pins, seen: Seen, url: str, model: str) -> None:
        self._trusted = Trusted.of(trust)
        self._first_use = self._trusted == Trusted(None, None)
        self._pins = pins
        self._seen = seen
        self._url = url
        self._model = model

    def now(self) -> datetime:
        """The time by which everything is judged, UTC.

        Raises:
            KeyStoreError: SR-IDENTITY-CLOCK if it can't be right; SR-KEYS-* if what was seen can't
                be read.
        """
        return self._seen.now()

    def verify(self, served: ModelMetadata, package: str | None = None) -> ProvenServer:
        """What a server shows, if the rules hold; remembers nothing of it.

        Args:
            package: digest of the one package that is accepted from now on, if there is one.

        Raises:
            PackageError: SR-PACKAGE-DIGEST, -OWNER, -SIGNATURE, -GRANT, -EXPIRED, -ROLLBACK, -FILE,
                -VERSION.
            ServerError: SR-SERVER-KEYS, SR-SERVER-PROTOCOL.
            PolicyError: SR-PLAN-INVALID if the plan contradicts itself.
            KeyStoreError: as for `now`.
        """
        now = self.now()
        found = digest(served.proof.manifest.encode("utf-8", "surrogatepass"))
        if found != served.package_digest:
            raise wrong("the manifest does not have the digest that the server says")
        trusted = self._trusted
        if self._first_use:
            trusted = Trusted(self._pins.get(self._url, self._model), None)
        try:
            proven = verify_proof(served.proof, trusted, now)
            if package not in (None, proven.package):
                raise PackageError(
                    "SR-PACKAGE-DIGEST",
                    f"it is package {proven.package} now, and was {package}",
                    "Open a new client",
                )
            self._check_name(proven)
            self._check_marks(proven)
        except PackageError as error:
            self._refuse(error)
        return proven

    def check_protection(self, proven: ProvenServer, demanded: str | None) -> None:
        """Rule 8.

        Args:
            demanded: by the policy, or None.

        Raises:
            PolicyError: SR-PLAN-GUARANTEE.
        """
        manifest = proven.manifest
        expected = demanded
        if demanded is None and self._trusted.package is None:
            expected = self._seen.protection(proven.owner.fingerprint, manifest.name)
        if expected not in (None, manifest.protection):
            why = "it was" if demanded is None else "the policy demands"
            raise PolicyError(
                "SR-PLAN-GUARANTEE",
                f"model {self._model} at {self._url} is under the protection "
                f"{manifest.protection}, {why} {expected}",
                f"Read `strongroom explain`; to accept it, ask with a policy whose protection is "
                f"{manifest.protection}",
            )

    def accept(self, proven: ProvenServer) -> None:
        """Remember a server whose plan satisfied the policy; pin its owner on first use.

        Raises:
            PackageError: SR-PACKAGE-OWNER if another owner was pinned meanwhile,
                SR-PACKAGE-ROLLBACK if a newer release was used meanwhile.
            ServerError: SR-SERVER-KEYS if newer keys were.
        """
        owner, manifest = proven.owner.fingerprint, proven.manifest
        if self._trusted.package is None:
            self._seen.saw_release(owner, manifest.name, manifest.release)
            self._seen.saw_protection(owner, manifest.name, manifest.protection)
        generation, _ = self._seen.grant_log(proven.package)
        if proven.generation > generation:
            self._seen.saw_grant_log(proven.package, proven.generation, 0)
        self._seen.saw_key_configuration(proven.server.fingerprint, proven.configuration.counter)
        if not self._first_use or self._pins.get(self._url, self._model) is not None:
            return
        pinned = self._pins.pin(self._url, self._model, owner)
        if pinned != owner:
            raise PackageError(
                "SR-PACKAGE-OWNER",
                f"model {self._model} at {self._url} is signed by {owner}, trusted on first use is "
                f"{pinned}",
                "Ask the model's owner which one is right, and pass that one as trust",
            )
        print(
            f"strongroom: the owner of model {self._model} at {self._url} is trusted on first use: "
            f"{owner}. Compare it with the fingerprint that the owner gives",
            file=sys.stderr,
        )

    def _check_name(self, proven: ProvenServer) -> None:
        if proven.manifest.name != self._model:
            raise PackageError(
                "SR-PACKAGE-OWNER",
                f"what is served under that name is the model {proven.manifest.name}",
                "Ask for the model by the name that its owner gave it",
            )

    def _check_marks(self, proven: ProvenServer) -> None:
        manifest = proven.manifest
        seen = self._seen.release(proven.owner.fingerprint, manifest.name)
        if self._trusted.package is None and manifest.release < seen:
            raise PackageError(
                "SR-PACKAGE-ROLLBACK",
                f"it is release {manifest.release}, and release {seen} was used before",
                "Ask the server's operator for the newer one, or trust one package by its digest",
            )
        generation, _ = self._seen.grant_log(proven.package)
        if proven.generation < generation:
            raise PackageError(
                "SR-PACKAGE-ROLLBACK",
                f"the server's grant is of generation {proven.generation}, and generation "
                f"{generation} was seen: it may have been revoked",
                "Ask the package's owner whether this server may still serve it",
            )
        counter = proven.configuration.counter
        if counter < (highest := self._seen.key_configuration(proven.server.fingerprint)):
            raise refused(
                f"its key configuration (counter {counter}) is older than one that was seen "
                f"({highest})"
            )

    def _refuse(self, error: PackageError) -> NoReturn:
        raise PackageError(
            error.code, f"model {self._model} at {self._url}: {error.message}", error.remedy
        ) from error
