"""Sends notices: a plain JSON webhook to http and https addresses, everything else by apprise."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from queue import Empty, SimpleQueue
from threading import Thread
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
"""Seconds that one address may take in all."""

_PLAIN: Final = ("http", "https")
_LONGEST_SCHEME: Final = 30

log = structlog.get_logger(__name__)


def mark_of(address: SecretStr) -> str:
    """Tells an address from others, and says nothing else about it."""
    text = address.get_secret_value().encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def require_usable(addresses: Sequence[SecretStr]) -> None:
    """Raises SettingsError for the first address that no notice can be sent to; asks nobody.

    It is named by its place and its scheme: the rest is a secret.
    """
    for number, address in enumerate(addresses, 1):
        if why := _fault(address.get_secret_value()):
            raise SettingsError(
                f"MILESYNC_NOTIFY: address no. {number} {why}.",
                "Write https://… for a JSON webhook, or an address as apprise documents it.",
            )


def _fault(address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme in _PLAIN:
        return "" if parts.hostname else "names no host"
    import apprise
    from apprise.manager_plugins import NotificationManager

    known: list[str] = NotificationManager().schemas()  # type: ignore[no-untyped-call]
    if parts.scheme not in known:
        near = get_close_matches(parts.scheme, known, n=1)
        meant = f" (did you mean {near[0]}://?)" if near else ""
        return (
            f"begins with {parts.scheme[:_LONGEST_SCHEME]}://, which apprise does not know{meant}"
        )
    with _in_silence("apprise"):
        made = apprise.Apprise.instantiate(address)
    return "" if made else f"is not all that apprise needs for {parts.scheme}://"


@contextmanager
def _in_silence(logger: str) -> Iterator[None]:
    """What a library says of an address quotes parts of it, which are secrets."""
    found = logging.getLogger(logger)
    before, found.disabled = found.disabled, True
    try:
        yield
    finally:
        found.disabled = before


def send(to: SecretStr, title: str, text: str, facts: Mapping[str, Any]) -> bool:
    """Send one notice to an address, within `TIMEOUT`; whether it took it.

    An address that does not is logged by its scheme, and a plain webhook by its host too: the rest
    is a secret. Of other schemes the host is one as well, for it may be a token.
    """
    address = to.get_secret_value()
    parts = urlsplit(address)
    is_plain = parts.scheme in _PLAIN
    try:
        if is_plain:
            status = _post(parts, facts)
            taken, why = 200 <= status < 300, f"HTTP {status}"
        else:
            taken = _in_time(lambda: _by_apprise(address, title, text))
            why = "it was not taken"
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


def _in_time(work: Callable[[], bool]) -> bool:
    """What the work gives. Raises TimeoutError after `TIMEOUT`; a library's call then ends alone.

    Apprise bounds each phase of a call and each of an address's receivers, and not the whole.
    """
    answers: SimpleQueue[bool] = SimpleQueue()

    def answer() -> None:
        taken = False
        try:
            taken = work()
        finally:
            answers.put(taken)

    Thread(target=answer, daemon=True).start()
    try:
        return answers.get(timeout=TIMEOUT)
    except Empty:
        raise TimeoutError from None
