"""What every call meets before an endpoint, and what every answer carries.

Which hosts are answered is a list: else a page of a stranger, opened by somebody inside, could
read ours under a name of its own (DNS rebinding). The intake and /healthz are for everybody;
everything else, an unknown path too, asks for the token.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

from pydantic import SecretStr
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.settings import WebSettings
from worker.settings.network import are_loopback, host_of
from worker.web.service import Service

OPEN_PATHS: Final = frozenset({"/webhooks/testrail", "/healthz"})
"""Whoever may reach them needs no token: the intake has a secret of its own."""
NOTHING: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""The Content-Security-Policy of an answer that loads nothing."""
HEADERS: Final = {
    "content-security-policy": NOTHING,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""On every answer that does not say otherwise."""
_CHALLENGE: Final = {"www-authenticate": 'Basic realm="milesync", charset="UTF-8"'}
_FORWARDED: Final = (b"forwarded", b"via", b"x-real-ip", b"x-forwarded-")
"""The beginnings of what a proxy adds: the caller is somebody else than the one who connects."""


class Edge:
    """The outermost layer of the application, also around its answer to an error of its own."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = refusal(scope, self._service.settings.web)
        answer = refused or _nothing_there(scope["path"]) or self._app
        await answer(scope, receive, _with_headers(send))


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sent


def refusal(scope: Scope, web: WebSettings) -> Response | None:
    """The answer to a call that no endpoint may see: 421, 401 or 403; None for any other."""
    host = host_of(_only(scope, b"host").decode("latin-1"))
    if not web.answers_to(host):
        return _refused(421, "This host name is not among MILESYNC_WEB_HOSTS.")
    if scope["path"].removeprefix(scope.get("root_path", "")) in OPEN_PATHS:
        return None
    if web.token is not None:
        if _holds(_only(scope, b"authorization"), web.token):
            return None
        answer = _refused(401, "Give the value of MILESYNC_WEB_TOKEN as the password.")
        answer.headers.update(_CHALLENGE)
        return answer
    if _is_local(scope, host):
        return None
    return _refused(
        403, "Without MILESYNC_WEB_TOKEN this is answered on a loopback address only: set it."
    )


def _nothing_there(path: str) -> Response | None:
    """404 for a path that names nothing in any database: NUL, half a character."""
    if "\0" in path or any("\ud800" <= char <= "\udfff" for char in path):
        return _refused(404, "There is nothing at this address.")
    return None


def _refused(status: int, reason: str) -> Response:
    return PlainTextResponse(f"{reason}\n", status)


def _only(scope: Scope, name: bytes) -> bytes:
    """The value of a header that may come once; nothing where it comes never or twice."""
    found = [value for key, value in scope["headers"] if key == name]
    return found[0] if len(found) == 1 else b""


def _holds(authorization: bytes, token: SecretStr) -> bool:
    """Whether the header is ``Bearer TOKEN``, or ``Basic`` with it as the password."""
    scheme, _, said = authorization.partition(b" ")
    given = said.strip()
    if scheme.lower() == b"basic":
        try:
            _, _, given = base64.b64decode(given, validate=True).partition(b":")
        except binascii.Error:
            given = b""
    elif scheme.lower() != b"bearer":
        given = b""
    expected = token.get_secret_value().encode()
    # of the same length whatever is given, so that the time tells nothing of the token's
    return hmac.compare_digest(_digest(given), _digest(expected))


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def _is_local(scope: Scope, host: str | None) -> bool:
    """Whether somebody on this machine calls: a proxy on it, which brings others, does not count.

    Both ends of the connection and the name that was asked for are this machine's. A proxy that
    hides all of that cannot be told from a person; the operators' page says so.
    """
    ends = [scope.get("client"), scope.get("server")]
    if not all(ends) or not are_loopback([*(end[0] for end in ends if end), host or ""]):
        return False
    return not any(name.startswith(_FORWARDED) for name, _ in scope["headers"])
