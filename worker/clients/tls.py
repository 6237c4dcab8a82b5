"""Which certificates are trusted, and what a TLS connection that was not made has failed of."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import httpx

from worker.errors import SettingsError

_VARIABLES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Whose certificates are trusted instead of the bundled ones; the first that is set decides."""

_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})
"""OpenSSL's words for bytes that are no TLS, such as the answer of a plain HTTP server."""

_NOT_YET_VALID, _EXPIRED, _OTHER_HOST, _OTHER_ADDRESS = 9, 10, 62, 64
_HINTS: Final[Mapping[int, str]] = {
    _NOT_YET_VALID: "Check this machine's clock; else the server needs a valid certificate.",
    _EXPIRED: "Check this machine's clock; else the server needs a new certificate.",
    _OTHER_HOST: "Set the base URL to a host name that the certificate is for.",
    _OTHER_ADDRESS: "Set the base URL to a host name that the certificate is for.",
}
_UNKNOWN_AUTHORITY: Final = (
    "If a company's proxy or a private authority has signed it, set SSL_CERT_FILE to a file with"
    " that authority's certificate in PEM form."
)


def trusted_context(environ: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """A client's context that trusts what the environment says, else the bundled certificates.

    SSL_CERT_FILE, SSL_CERT_DIR, REQUESTS_CA_BUNDLE (a file or a directory) and CURL_CA_BUNDLE are
    read, in this order. Raises SettingsError where the first that is set holds no certificates.
    Reading them takes longer than a run of a small pair, so it is done again only after a change.
    """
    for name in _VARIABLES:
        if value := environ.get(name):
            path = Path(value)
            try:
                changed_at = path.stat().st_mtime_ns
            except OSError:
                raise _unusable(name, path, "which is not there") from None
            return _context(name, path, changed_at)
    return _bundled()


@cache
def _bundled() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


@lru_cache(maxsize=4)
def _context(name: str, path: Path, _changed_at: int) -> ssl.SSLContext:
    if path.is_dir():
        return ssl.create_default_context(capath=path)
    try:
        return ssl.create_default_context(cafile=path)
    except ssl.SSLError as error:
        raise _unusable(name, path, "which holds no certificate in PEM form") from error
    except OSError as error:
        raise _unusable(name, path, f"which cannot be read ({error.strerror})") from error


def _unusable(name: str, path: Path, why: str) -> SettingsError:
    message = f"{name} names {path}, {why}."
    return SettingsError(message, f"Correct {name}, or unset it to trust the usual authorities.")


def refused_certificate(error: BaseException) -> tuple[str, str] | None:
    """Why the server's certificate was refused, and what to do; None for any other failure."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = str(cause.verify_message).rstrip(".")
            return reason, _HINTS.get(cause.verify_code, _UNKNOWN_AUTHORITY)
    return None


def is_no_tls(error: BaseException) -> bool:
    """Whether the server answered the TLS handshake with something else, such as plain HTTP."""
    reasons = (cause.reason for cause in _causes(error) if isinstance(cause, ssl.SSLError))
    return any(reason in _NO_TLS for reason in reasons)


def _causes(error: BaseException | None) -> list[BaseException]:
    """The error and what it came from."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
