"""Where a server is, and that it is the one: URLs, certificates, failed handshakes."""

from __future__ import annotations

import ipaddress
import os
import ssl

import httpx

from strongroom.errors import ServerError


def checked_url(url: str) -> str:
    """A server's URL in its normal form, which is also how pins name it.

    Raises:
        ServerError: SR-SERVER-URL, or SR-SERVER-TLS for plain http to another machine.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise _unusable_url("is malformed") from error
    if parsed.userinfo or parsed.query or parsed.fragment:
        # Not quoted: this is where people put passwords.
        raise _unusable_url("holds a user name, a query or a fragment")
    if parsed.scheme not in ("https", "http") or not parsed.host:
        raise _unusable_url("does not begin with https:// and the name of a machine")
    if parsed.scheme == "http" and not _is_loopback(parsed.host):
        raise ServerError(
            "SR-SERVER-TLS",
            f"plain http to {parsed.host} is refused: it is not this machine",
            "Use an https:// address, with ca= for a certificate of your own authority",
        )
    return str(parsed).rstrip("/")


def _unusable_url(why: str) -> ServerError:
    return ServerError(
        "SR-SERVER-URL",
        f"the server's URL {why}",
        "Write it like https://models.example:8443",
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":  # always loopback: RFC 6761, section 6.3
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def certificates(ca: str | os.PathLike[str] | None) -> ssl.SSLContext:
    """What checks the server's certificate.

    Args:
        ca: PEM file of the only authorities to trust; the usual public ones if None.

    Raises:
        ServerError: SR-SERVER-TLS if the file can't be read.
    """
    try:
        if ca is None:
            context = httpx.create_ssl_context(trust_env=False)
        else:
            context = ssl.create_default_context(cafile=os.fspath(ca))
    except OSError as error:  # ssl.SSLError is one
        raise ServerError(
            "SR-SERVER-TLS",
            f"the certificates in {ca} can't be read",
            "Pass a PEM file of certificates as ca",
        ) from error
    # Names are the certificate's subject alternative names, never its common name (RFC 9525).
    context.hostname_checks_common_name = False
    return context


def tls_failure(error: BaseException) -> ServerError | None:
    """The error for a handshake that fails for good; None for a connection that broke."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if cause is None or isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return None
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ServerError(
            "SR-SERVER-TLS",
            f"the server's certificate is not trusted: {cause.verify_message}",
            "Pass the file of the certificate's authority as ca",
        )
    return ServerError(
        "SR-SERVER-TLS",
        f"no TLS connection to the server: {getattr(cause, 'reason', None) or 'failed'}",
        "Check that the port speaks TLS",
    )
