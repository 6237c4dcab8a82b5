"""Sends notices: a plain JSON webhook to http and https addresses, everything else by apprise."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

import structlog
from pydantic import SecretStr

from worker.clients.answers import Call
from worker.clients.connection import Connection
from worker.clients.credentials import basic_auth
from worker.clock import SystemClock
from worker.errors import ApiError, SettingsError

TIMEOUT: Final = 10.0
"""Seconds that one address may take in all, if it is a plain webhook."""

log = structlog.get_logger(__name__)


def send(addresses: Sequence[SecretStr], title: str, text: str, facts: Mapping[str, Any]) -> bool:
    """Send one notice to every address; whether all of them took it.

    An address that does not is logged by its scheme, and a plain webhook by its host too: the rest
    is a secret. Of other schemes the host is one as well, for it may be a token.
    """
    taken = [_send_one(one.get_secret_value(), title, text, facts) for one in addresses]
    return all(taken)


def _send_one(address: str, title: str, text: str, facts: Mapping[str, Any]) -> bool:
    parts = urlsplit(address)
    is_plain = parts.scheme in ("http", "https")
    try:
        if is_plain:
            status = _post(parts, facts)
            taken, why = 200 <= status < 300, f"HTTP {status}"
        else:
            taken, why = _by_apprise(address, title, text), "it was not taken"
    except (ApiError, SettingsError, OSError, ValueError) as error:
        taken, why = False, type(error).__name__
    if not taken:
        shown = f"{parts.scheme}://{parts.hostname if is_plain else '…'}"
        log.warning("a notice was not sent", to=shown, error=why)
    return taken


def _post(parts: SplitResult, facts: Mapping[str, Any]) -> int:
    """Post the facts; the status. The answer is bounded in time and size, as an API's is (R11)."""
    _, _, host = parts.netloc.rpartition("@")
    headers = {"Accept-Encoding": "identity"}
    if parts.username is not None:
        user, password = unquote(parts.username), unquote(parts.password or "")
        account = basic_auth(user, SecretStr(password))
        headers["Authorization"] = account.header.get_secret_value()
    connection = Connection(
        "The address of a notice",
        f"{parts.scheme}://{host}",
        headers,
        redacted=lambda _: "",
        clock=SystemClock(),
        request_timeout=TIMEOUT,
    )
    path = parts._replace(scheme="", netloc="", fragment="").geturl().removeprefix("/")
    content = json.dumps(facts).encode()
    try:
        return connection.exchange(Call("notice", "POST", path), content).status
    finally:
        connection.close()


def _by_apprise(address: str, title: str, text: str) -> bool:
    import apprise

    service = apprise.Apprise()
    return bool(service.add(address)) and bool(service.notify(title=title, body=text))
