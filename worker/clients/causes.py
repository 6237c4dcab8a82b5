"""Causes that a server's answer tells by its words, and what a person does about each.

TestRail's words for an API that is switched off: as people quote them in public bug reports.
Those of nginx, Apache and Go for plain HTTP on a port with TLS: as these programs send them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

from worker.clients.words import words_in

SET_HTTPS: Final = "Set the base URL to https://…."
SAYS_ITSELF: Final = (
    "The server says so itself: once it is mended there, run the same command again."
)


@dataclass(frozen=True, slots=True)
class Cause:
    """What an answer of ``api`` with one of ``statuses`` means if its text matches ``words``."""

    api: str
    statuses: frozenset[int]
    words: re.Pattern[str]
    hint: str


CAUSES: Final = (
    Cause(
        "TestRail",
        frozenset({200, 401, 403}),
        re.compile(
            r"\bAPI\b.*\b(disabled|not enabled|deactivated|switched off)"
            r"|\b(disabled|not enabled|deactivated)\b.*\bAPI\b",
            re.IGNORECASE,
        ),
        "Switch the API on in TestRail, under Administration > Site Settings > API; for an API key"
        " switch on session authentication there or use the user's password.",
    ),
)
_WANTS_TLS: Final = re.compile(
    r"plain HTTP request was sent to HTTPS port"
    r"|HTTP request to an HTTPS server"
    r"|speaking plain HTTP to an SSL-enabled",
    re.IGNORECASE,
)


def hint_of(api: str, status: int, text: str) -> str:
    """What to do about an answer with this text; empty where only its status says that."""
    found = (one for one in CAUSES if one.api == api and status in one.statuses)
    return next((one.hint for one in found if one.words.search(text)), "")


def wants_tls(base_url: str, body: bytes) -> bool:
    """Whether a server that was asked over plain HTTP says that it expects TLS.

    It says so in text or HTML; an API's JSON may quote the same words, as of a milestone.
    """
    if not base_url.startswith("http:") or words_in(body):
        return False
    return bool(_WANTS_TLS.search(body[:4096].decode("latin-1")))


def hint_of_redirect(base_url: str, location: str) -> str:
    """What to do where an address is sent on to the same host with https; else empty."""
    try:
        here, there = urlsplit(base_url), urlsplit(urljoin(base_url, location))
        to_https = (here.scheme, there.scheme) == ("http", "https")
        if not to_https or here.hostname != there.hostname:
            return ""
        port = f":{there.port}" if there.port else ""
    except ValueError:
        return ""
    return f"It wants https: set the base URL to https://{there.hostname}{port}{here.path}."
