"""Sends notices: a plain JSON webhook to http and https addresses, everything else by apprise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import structlog
from pydantic import SecretStr

TIMEOUT: Final = 10.0
"""Seconds that one address may take."""

log = structlog.get_logger(__name__)


def send(addresses: Sequence[SecretStr], title: str, text: str, facts: Mapping[str, Any]) -> bool:
    """Send one notice to every address; whether all of them took it.

    An address that does not is logged by its scheme and host alone: the rest of it is a secret.
    """
    taken = [_send_one(one.get_secret_value(), title, text, facts) for one in addresses]
    return all(taken)


def _send_one(address: str, title: str, text: str, facts: Mapping[str, Any]) -> bool:
    parts = urlsplit(address)
    try:
        if parts.scheme in ("http", "https"):
            answer = httpx.post(address, json=facts, timeout=TIMEOUT)
            taken, why = answer.is_success, f"HTTP {answer.status_code}"
        else:
            taken, why = _by_apprise(address, title, text), "it was not taken"
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        taken, why = False, type(error).__name__
    if not taken:
        log.warning("a notice was not sent", to=f"{parts.scheme}://{parts.hostname}", error=why)
    return taken


def _by_apprise(address: str, title: str, text: str) -> bool:
    import apprise

    service = apprise.Apprise()
    return bool(service.add(address)) and bool(service.notify(title=title, body=text))
