"""Every error that Strongroom raises on purpose: one tree, each with a stable code.

An error is one line for a person (what is wrong, where, what to do) and a code for a
program. Codes never change meaning; `docs/errors.md` lists them. The class says who has to
act: the caller's data, the caller's key store, the model, the server.

The text of an error never holds a secret: no input value of a protected request, no key, no
weight. Shapes, names, indices and limits are fine.
"""

from __future__ import annotations

from typing import ClassVar, Final

CODES: Final[dict[str, str]] = {
    # rows that a user asks a prediction for
    "SR-INPUT-COLUMNS": "the rows have another number of columns, or other names, than the model",
    "SR-INPUT-MISSING": "a value is missing (NaN, None or an empty cell)",
    "SR-INPUT-INFINITE": "a value is infinite",
    "SR-INPUT-TYPE": "a value is text or an object where a number belongs",
    "SR-INPUT-CATEGORY": "a category is none of those that the model knows",
    "SR-INPUT-SHAPE": "the rows are not a two-dimensional table, or there is none",
    "SR-INPUT-RANGE": "a value is so far outside the sample's range that the score could overflow",
    "SR-INPUT-FILE": "a file of rows can't be read, or an output file can't be written",
    "SR-INPUT-MEMBERS": "members, nonmembers or their labels can't be used to measure membership",
    # the model that is to be protected
    "SR-MODEL-UNSUPPORTED": "the model holds an operator or estimator that can't run protected",
    "SR-MODEL-UNFITTED": "the model has not been fitted",
    "SR-MODEL-FILE": "the model file can't be read, or holds types that are not trusted",
    "SR-MODEL-METHOD": "the plain model has no such method",
    "SR-MODEL-VALUES": "a weight of the model is missing or infinite",
    "SR-MODEL-TRAINING": "a module can't be fine-tuned on these rows, or its loss is not finite",
    "SR-MODEL-TREES": "options of trees are given for a model that has none",
    "SR-MODEL-EXTRA": "a library that this kind of model needs is not installed",
    # what a policy or a plan asks for
    "SR-POLICY-VALUE": "a field of the policy has a value that makes no sense",
    "SR-POLICY-PARITY": "the protected model agrees with the plain one on too few rows",
    "SR-POLICY-PRECISION": "no parameters in the catalogue reach the precision that is asked for",
    "SR-PARAMETERS-INSECURE": "the parameters are below the security floor",
    "SR-PARAMETERS-UNKNOWN": "the parameters are not in this version's catalogue",
    "SR-PLAN-INVALID": "a plan contradicts itself or is out of bounds",
    "SR-PLAN-KEYS": "a served plan asks for more evaluation keys than the policy allows",
    "SR-PLAN-FLOODING": "a served plan floods less than the policy demands",
    "SR-PLAN-HIDING": "this model can't be hidden from the server; the message has the figures",
    "SR-PLAN-GUARANTEE": "a served guarantee statement is weaker than the policy demands",
    # packages
    "SR-PACKAGE-FILE": "the file is not a Strongroom package, or is damaged",
    "SR-PACKAGE-VERSION": "the package was written by a newer version of Strongroom",
    "SR-PACKAGE-EXISTS": "the output file exists already",
    "SR-PACKAGE-NAME": "a package's name or version has characters or a length that can't be used",
    "SR-PACKAGE-DIGEST": "the package's digest is not the one that is trusted",
    "SR-PACKAGE-SIGNATURE": "a signature on the package is missing, wrong, or of something else",
    "SR-PACKAGE-OWNER": "the package is not signed by the owner who is trusted",
    "SR-PACKAGE-GRANT": "the package is not granted to this identity for this purpose",
    "SR-PACKAGE-EXPIRED": "a grant, or what follows from it, has expired",
    "SR-PACKAGE-ROLLBACK": "the package is an older release than one that was used before",
    "SR-PACKAGE-PAYLOAD": "the encrypted payload does not open, or is not what was signed",
    # identities: who signs packages and to whom they are granted
    "SR-IDENTITY-MISSING": "there is no identity of that name in the key store",
    "SR-IDENTITY-EXISTS": "there is an identity of that name already",
    "SR-IDENTITY-FILE": "a public identity can't be read, or is none",
    "SR-IDENTITY-CLOCK": "the machine's clock is behind a time that has been seen already",
    # ciphertexts and keys on the wire
    "SR-CIPHERTEXT-FORMAT": "a ciphertext or key is truncated, oversize or otherwise malformed",
    "SR-CIPHERTEXT-RANGE": "a ciphertext or key has a coefficient that is not below its modulus",
    "SR-CIPHERTEXT-MISMATCH": "a ciphertext or key was made for other parameters or another model",
    # keys at rest
    "SR-KEYS-LOCKED": "the key store needs a passphrase or an operating-system keyring",
    "SR-KEYS-PASSPHRASE": "the passphrase is wrong, or the key file is damaged",
    "SR-KEYS-PERMISSIONS": "the key store can be read by other users of this machine",
    "SR-KEYS-FILE": "the key store can't be read or written",
    "SR-KEYS-MISSING": "an evaluation key that the computation needs is missing",
    "SR-KEYS-CUSTODY": "a hardware token or key service that locks a key does not do its part",
    "SR-KEYS-SIGNING": "a key that is to sign for other tools can't be read, or is of another kind",
    "SR-KEYS-HOLDER": "the model is encrypted under another key than the asker's",
    # keys at a server
    "SR-KEYS-UPLOAD": "an upload of a key is not what the protocol says, or does not continue it",
    "SR-KEYS-QUOTA": "the tenant's keys would take more room than the server gives it",
    "SR-KEYS-SPACE": "the server has no room for more keys",
    # the server and the way to it
    "SR-SERVER-URL": "the server's address is not one that a client can use",
    "SR-SERVER-UNREACHABLE": "the server does not answer",
    "SR-SERVER-PROTOCOL": "the server's answer is not what the protocol says",
    "SR-SERVER-TOKEN": "the token is missing, unknown or revoked",
    "SR-SERVER-MODEL": "the server has no such model",
    "SR-SERVER-TLS": "TLS is required unless the server is bound to loopback",
    "SR-SERVER-CONFIG": "the server's configuration is wrong",
    "SR-REQUEST-SIZE": "the request is larger than the server allows, or than its header says",
    "SR-REQUEST-FORMAT": "the request is not what the Open Inference Protocol says",
    "SR-REQUEST-TIMEOUT": "the request's body did not arrive in time",
    "SR-REQUEST-BUSY": "all workers are busy and the queue is full",
    "SR-WORKER-TIMEOUT": "the evaluation took longer than the server allows and was ended",
    "SR-WORKER-MEMORY": "the evaluation took more memory than the server allows and was ended",
    "SR-WORKER-LOST": "the worker that evaluated the request ended unexpectedly",
    # sealed exchanges, receipts, attestation
    "SR-SEALED-FORMAT": "a sealed message is malformed",
    "SR-SEALED-KEY": "a request is sealed to a key that the server does not have any more",
    "SR-SEALED-OPEN": "a sealed message does not open: it is damaged, or for another exchange",
    "SR-SEALED-REPLAY": "a sealed request was answered before, or is too old to be told apart",
    "SR-SERVER-KEYS": "the server does not prove that its keys are those of a granted identity",
    "SR-RECEIPT-INVALID": "a receipt is malformed, not signed as it must be, or of something else",
    "SR-ATTESTATION-EVIDENCE": "evidence of what a process is does not hold",
    "SR-ATTESTATION-POLICY": "evidence holds, but not for what the policy demands",
    "SR-BROKER-REFUSED": "the key broker does not release the key",
    "SR-BROKER-CONFIG": "the key broker's configuration or policy is wrong",
    # committees: who holds the parts of a key, and what they answer
    "SR-COMMITTEE-ACCESS": "an access structure makes no sense, or does not allow these members",
    "SR-COMMITTEE-SETUP": "a message with which a committee makes its keys is wrong",
    "SR-COMMITTEE-FILE": "what a committee signed, or a member's parts, can't be read or written",
    "SR-COMMITTEE-MISMATCH": "a committee or its key is another one than the package's",
    "SR-MEMBER-REFUSED": "a member of a committee refuses; the message says which and why",
    "SR-MEMBER-UNREACHABLE": "a member of a committee does not answer",
    "SR-MEMBER-BUDGET": "a member has given as many shares as its key allows",
    "SR-MEMBER-POLICY": "a member's operator does not allow this",
    "SR-MEMBER-QUERY": "a query is not signed as it must be, or was changed or used before",
    "SR-MEMBER-AUDIT": "a member computed again and got another result than the server",
    "SR-MEMBER-ROLLBACK": "a member's log is behind what its peers have seen of it",
    "SR-MEMBER-SHARE": "a member's share of a result is not one, or it did not prove it",
    # the command line and the last resort
    "SR-USAGE": "the command line is wrong",
    "SR-INTERNAL": "an unexpected fault of Strongroom itself",
}
"""Every code with its meaning, the source of `docs/errors.md`."""


class StrongroomError(Exception):
    """Base of all errors that Strongroom raises on purpose.

    Args:
        code: one of `CODES`.
        message: what is wrong and where, with the offending value where that is no secret;
            no closing full stop.
        remedy: what to do about it, an imperative sentence without a closing full stop.

    Attributes:
        code: the stable code, for programs.
        http_status: what a server answers when this error ends a request.
        exit_status: what a command exits with.
    """

    http_status: ClassVar[int] = 500
    exit_status: ClassVar[int] = 1

    def __init__(self, code: str, message: str, remedy: str = "") -> None:
        if code not in CODES:
            raise ValueError(f"unknown error code {code!r}")
        super().__init__(code, message, remedy)
        self.code = code
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        sentence = f"{self.message}. {self.remedy}." if self.remedy else f"{self.message}."
        return f"[{self.code}] {sentence}"


class InputError(StrongroomError):
    """The rows are not what the model takes."""

    http_status = 400
    exit_status = 3


class ModelError(StrongroomError):
    """The model can't be protected, or is not used as the plain one would be."""

    http_status = 400
    exit_status = 4


class PolicyError(StrongroomError):
    """What is asked for, or offered, is weaker than the policy demands: refused."""

    http_status = 400
    exit_status = 5


class PackageError(StrongroomError):
    """A package can't be read, written or trusted."""

    http_status = 500
    exit_status = 6


class CiphertextError(StrongroomError):
    """Bytes that should be a ciphertext or a key are not, or belong to something else."""

    http_status = 400
    exit_status = 7


class KeyStoreError(StrongroomError):
    """The keys at rest can't be opened or written.

    Args:
        http_status: the status that goes with it, 500 unless given.
    """

    exit_status = 8

    def __init__(
        self, code: str, message: str, remedy: str = "", *, http_status: int = 500
    ) -> None:
        super().__init__(code, message, remedy)
        self.http_status = http_status  # type: ignore[misc]  # an instance may be more exact


class ServerError(StrongroomError):
    """The server can't be reached, refuses, or is not configured.

    Args:
        http_status: the status that goes with it, 500 unless given.
    """

    exit_status = 9

    def __init__(
        self, code: str, message: str, remedy: str = "", *, http_status: int = 500
    ) -> None:
        super().__init__(code, message, remedy)
        self.http_status = http_status  # type: ignore[misc]  # an instance may be more exact


class AttestationError(StrongroomError):
    """What a process or a receipt says of itself does not hold, or is not enough."""

    http_status = 403
    exit_status = 10


class CommitteeError(StrongroomError):
    """A committee of key holders can't be formed, or one of its members does not do its part.

    Args:
        member: the name of the member that it is about, the first of `members`; None if it is
            about none.
        http_status: the status that goes with it, 400 unless given.
    """

    http_status = 400
    exit_status = 11

    def __init__(
        self,
        code: str,
        message: str,
        remedy: str = "",
        *,
        member: str | None = None,
        http_status: int = 400,
    ) -> None:
        super().__init__(code, message, remedy)
        self.member = member
        self.members: tuple[str, ...] = () if member is None else (member,)
        self.http_status = http_status  # type: ignore[misc]  # an instance may be more exact


class InputRangeWarning(UserWarning):
    """Rows lie outside the range of the sample: the answer may be less precise."""
