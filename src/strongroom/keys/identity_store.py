"""IdentityStore: identities by name, the private half sealed, the public half in the clear.

    $STRONGROOM_HOME, or ~/.strongroom     not writable by others
        identities/                         0700
            <name>.key                      0600, the seeds, see `keys.sealing`
            <name>.pub                      0644, one line, see `keys.identity`

The public half is read without a passphrase; it is compared with the private one whenever that
is opened, so a line that somebody exchanged does not outlive the first use. Each identity may
have a lock of its own, and the passphrase of one is not tried on another.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from strongroom.durable import write_durably
from strongroom.errors import KeyStoreError
from strongroom.keys.custody import NEW_PASSPHRASE_ENVIRONMENT, Custody, Prompt
from strongroom.keys.custody_choices import parse_choice
from strongroom.keys.home import home_folder
from strongroom.keys.identity import Identity, PublicIdentity
from strongroom.keys.permissions import NOT_WRITABLE, read_private_file, unusable
from strongroom.keys.sealed_files import SealedFiles
from strongroom.keys.sealing import Header

DEFAULT_NAME: Final = "default"

_MAXIMUM_PUBLIC_BYTES: Final = 8192
_PUBLIC_MODE: Final = 0o644


class IdentityStore:
    """Identities below one home. Made by `open`; holds no private key between two calls."""

    def __init__(self, files: SealedFiles, passphrase: str | None, prompt: Prompt | None) -> None:
        self._files = files
        self._passphrase = passphrase
        self._prompt = prompt

    @classmethod
    def open(
        cls,
        home: str | os.PathLike[str] | None = None,
        *,
        passphrase: str | None = None,
        prompt: Prompt | None = None,
    ) -> IdentityStore:
        """A store on disk. Creates nothing, and asks for nothing, before it is needed.

        Args:
            home: the home folder; $STRONGROOM_HOME, else ~/.strongroom, if None.
            passphrase: that opens the identities; else $STRONGROOM_PASSPHRASE, or the prompt.
            prompt: asks a person for a passphrase, or for the PIN of a token.

        Raises:
            KeyStoreError: SR-KEYS-PERMISSIONS if other users of the machine have access;
                SR-KEYS-PASSPHRASE if the passphrase is empty.
        """
        store = cls(SealedFiles(home_folder(home), "identities"), passphrase, prompt)
        store._custody()
        store._files.check()
        return store

    def __repr__(self) -> str:
        return f"IdentityStore({str(self._files.home)!r})"

    def create(self, name: str = DEFAULT_NAME, *, custody: str | None = None) -> Identity:
        """A fresh identity, stored before it is returned.

        Args:
            name: letters, digits, ".", "_", "@", "-".
            custody: what locks it, "passphrase", "keyring", "pkcs11:…" or "kms:…" (see
                `keys.custody`); if None, the passphrase where one is given, else the keyring.

        Raises:
            KeyStoreError: SR-IDENTITY-EXISTS if there is one of that name; SR-KEYS-LOCKED,
                -PASSPHRASE, -PERMISSIONS, -FILE, -CUSTODY.
        """
        choice = None if custody is None else parse_choice(custody)
        # Of an identity whose other half is elsewhere, the public line alone may lie here.
        if self._files.header(name) is not None or self._public(name) is not None:
            raise _exists(name)
        identity = Identity.generate(name)
        try:
            self._files.create(name, identity.to_bytes(), self._custody(name), choice)
        except FileExistsError:
            raise _exists(name) from None
        self._publish(identity.public)
        return identity

    def identity(self, name: str = DEFAULT_NAME) -> Identity:
        """The identity of that name, opened.

        Raises:
            KeyStoreError: SR-IDENTITY-MISSING if there is none; SR-IDENTITY-FILE if its public
                line belongs to another; SR-KEYS-LOCKED, -PASSPHRASE, -PERMISSIONS, -FILE,
                -CUSTODY.
        """
        seeds = self._files.open(name, self._custody(name))
        if seeds is None:
            raise _missing(name)
        identity = Identity(seeds, name)
        public = self._public(name)
        if public is None:  # the process that made it ended between its two files
            self._publish(identity.public)
        elif public != identity.public:
            raise KeyStoreError(
                "SR-IDENTITY-FILE",
                f"{self.public_path(name)} is not the public half of the identity {name}",
                "Delete that file; it is written anew when the identity is next used",
            )
        return identity

    def public(self, name: str = DEFAULT_NAME) -> PublicIdentity:
        """The public half of the identity of that name; needs no passphrase.

        Raises:
            KeyStoreError: SR-IDENTITY-MISSING if there is none; SR-IDENTITY-FILE if its line
                is damaged; SR-KEYS-PERMISSIONS, SR-KEYS-FILE.
        """
        if (public := self._public(name)) is None:
            raise _missing(name)
        return public

    def public_path(self, name: str = DEFAULT_NAME) -> Path:
        """Where the public line of that name is, or would be."""
        return self._files.path(name).with_suffix(".pub")

    def header(self, name: str = DEFAULT_NAME) -> Header:
        """When the identity was made, and what locks it. Opens nothing.

        Raises:
            KeyStoreError: SR-IDENTITY-MISSING; SR-KEYS-PERMISSIONS, SR-KEYS-FILE.
        """
        if (header := self._files.header(name)) is None:
            raise _missing(name)
        return header

    def names(self) -> list[str]:
        """The names of all identities whose private half is here, sorted."""
        return self._files.names()

    def lock(
        self,
        name: str = DEFAULT_NAME,
        *,
        custody: str = "passphrase",
        passphrase: str | None = None,
    ) -> None:
        """Lock an identity in another way, or under another passphrase; its keys stay the same.

        Args:
            custody: what locks it from now on, as of `create`.
            passphrase: the new one; else $STRONGROOM_NEW_PASSPHRASE, or the prompt.

        Raises:
            KeyStoreError: SR-IDENTITY-MISSING; as `identity` and `create` do.
        """
        choice = parse_choice(custody)
        if self._files.header(name) is None:
            raise _missing(name)
        new = Custody(
            passphrase,
            self._prompt,
            subject=_subject(name),
            environment=NEW_PASSPHRASE_ENVIRONMENT,
        )
        self._files.lock_again(name, self._custody(name), new, choice)

    def remove(self, name: str) -> None:
        """Remove an identity for good; what was granted to it alone can't be opened any more.

        Raises:
            KeyStoreError: SR-IDENTITY-MISSING; SR-KEYS-PERMISSIONS, -FILE, -LOCKED.
        """
        path = self.public_path(name)
        self._files.check()
        # The line first: of an interrupted removal the private half stays, and is listed.
        try:
            path.unlink()
            found = True
        except FileNotFoundError:
            found = False
        except OSError as error:
            raise unusable(path, error) from error
        if not self._files.delete(name, self._custody(name)) and not found:
            raise _missing(name)

    def _custody(self, name: str = DEFAULT_NAME) -> Custody:
        return Custody(self._passphrase, self._prompt, subject=_subject(name))

    def _public(self, name: str) -> PublicIdentity | None:
        path = self.public_path(name)
        self._files.check()
        data = read_private_file(path, _MAXIMUM_PUBLIC_BYTES, NOT_WRITABLE)
        if data is None:
            return None
        try:
            return PublicIdentity.from_text(data.decode("ascii", "replace"))
        except KeyStoreError as error:
            raise KeyStoreError(
                "SR-IDENTITY-FILE",
                f"{path} is damaged",
                "Delete that file; it is written anew when the identity is next used",
            ) from error

    def _publish(self, public: PublicIdentity) -> None:
        path = self.public_path(public.name)
        line = public.to_text().encode() + b"\n"
        try:
            write_durably(path, [line], replace=True, mode=_PUBLIC_MODE)
        except OSError as error:
            raise unusable(path, error) from error


def default_identity(passphrase: str | None = None, *, prompt: Prompt | None = None) -> Identity:
    """The identity "default" of the usual home.

    Raises:
        KeyStoreError: SR-IDENTITY-MISSING if there is none; as `IdentityStore.identity` does.
    """
    return IdentityStore.open(passphrase=passphrase, prompt=prompt).identity()


def _subject(name: str) -> str:
    return f"the identity {name}"


def _missing(name: str) -> KeyStoreError:
    option = "" if name == DEFAULT_NAME else f" --name {name}"
    return KeyStoreError(
        "SR-IDENTITY-MISSING",
        f"there is no identity {name} in the key store",
        f"Run `strongroom keygen{option}` to make one, or set STRONGROOM_HOME to where it is",
    )


def _exists(name: str) -> KeyStoreError:
    return KeyStoreError(
        "SR-IDENTITY-EXISTS",
        f"there is an identity {name} already",
        "Use it, or choose another name",
    )
