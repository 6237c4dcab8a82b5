"""Misbehaviour by kind: scripted for the next matching request, or random with a seed.

`Faults` decides which request gets which fault; `misbehaving` wraps an ASGI application and
carries it out over HTTP; the tests' clients in memory raise the matching errors instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HANG_UP: Final = "milesync.hang_up"
"""The scope extension that closes the connection (see `worker.sandbox.server`)."""
OTHER_HOST: Final = "http://elsewhere.invalid/login"
NO_HOST: Final = "https:login.html"
"""A place that no request can go to, so that a library raises where it prepares one."""
_LOGIN_PAGE: Final = "<html><body><form action='/login'>Please sign in</form></body></html>"


class FaultKind(StrEnum):
    """What goes wrong.

    Those that end in ``after``, and ``cut_body``, carry the request out and then fail. ``late``
    carries it out too, but only after the delay, when its caller may have given up long ago.
    """

    SERVER_ERROR = "server_error"
    SERVER_ERROR_AFTER = "server_error_after"
    BAD_GATEWAY_HTML = "bad_gateway_html"
    HTML = "html"
    RATE_LIMITED = "rate_limited"
    RATE_LIMITED_BARE = "rate_limited_bare"
    RESET = "reset"
    RESET_AFTER = "reset_after"
    CUT_BODY = "cut_body"
    TIMEOUT = "timeout"
    TIMEOUT_AFTER = "timeout_after"
    LATE = "late"
    MAINTENANCE = "maintenance"
    REDIRECT = "redirect"
    REDIRECT_AFTER = "redirect_after"


CARRIED_OUT: Final = frozenset(
    {
        FaultKind.SERVER_ERROR_AFTER,
        FaultKind.RESET_AFTER,
        FaultKind.CUT_BODY,
        FaultKind.TIMEOUT_AFTER,
        FaultKind.LATE,
        FaultKind.REDIRECT_AFTER,
    }
)
"""The kinds whose request is carried out although its caller does not hear so."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. ``delay`` (seconds) is how late a timeout answers; ``retry_after`` in seconds."""

    kind: FaultKind
    delay: float = 5.0
    retry_after: int = 1


@dataclass(slots=True)
class _Scripted:
    fault: Fault
    method: str | None
    contains: str
    left: int


class Faults:
    """Decides which request fails, and how. Thread-safe; the same seed gives the same faults.

    ``rates`` maps kinds to probabilities (their sum at most 1) and may be changed at any time.
    """

    def __init__(
        self, rates: Mapping[FaultKind, float] | None = None, *, seed: int = 1, delay: float = 5.0
    ) -> None:
        self.rates = dict(rates or {})
        self.delay = delay
        self._random = random.Random(seed)
        self._scripted: list[_Scripted] = []
        self._lock = threading.Lock()

    def script(
        self,
        kind: FaultKind | str,
        *,
        method: str | None = None,
        contains: str = "",
        times: int = 1,
        delay: float | None = None,
        retry_after: int = 1,
    ) -> None:
        """Let the next ``times`` requests fail that have this method and text in their address."""
        fault = Fault(FaultKind(kind), self.delay if delay is None else delay, retry_after)
        with self._lock:
            self._scripted.append(_Scripted(fault, method, contains, times))

    def clear(self) -> None:
        """Behave from now on."""
        with self._lock:
            self._scripted.clear()
            self.rates = {}

    def __call__(self, method: str, what: str) -> Fault | None:
        """The fault of a request with this method and address, or None."""
        with self._lock:
            for scripted in self._scripted:
                if scripted.method in (None, method) and scripted.contains in what:
                    scripted.left -= 1
                    if not scripted.left:
                        self._scripted.remove(scripted)
                    return scripted.fault
            return self._by_chance()

    def _by_chance(self) -> Fault | None:
        if not self.rates:
            return None
        drawn = self._random.random()
        for kind, rate in self.rates.items():
            drawn -= rate
            if drawn < 0:
                return Fault(FaultKind(kind), self.delay)
        return None


# --- over HTTP --------------------------------------------------------------------------------


def misbehaving(app: ASGIApp, faults: Faults) -> ASGIApp:
    """The application with these faults; a request without one reaches it untouched."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        fault = faults(scope["method"], address(scope)) if scope["type"] == "http" else None
        if fault is None:
            await app(scope, receive, send)
        else:
            await _carry_out(fault, app, scope, receive, send)

    return wrapped


def address(scope: Scope) -> str:
    """Path and query of a request as they came, which for TestRail is where the call stands."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return (raw + b"?" + query if query else raw).decode("latin-1")


async def _carry_out(
    fault: Fault, app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    if fault.kind not in CARRIED_OUT:
        receive = await _read_ahead(receive)
    answer = _PLAIN.get(fault.kind)
    if answer is not None:
        await answer(fault)(scope, receive, send)
    elif fault.kind is FaultKind.RESET:
        await _hang_up(scope, receive)
    elif fault.kind is FaultKind.TIMEOUT:
        await _while_connected(receive, fault.delay)
        await _json(504, "Gateway timeout")(scope, receive, send)
    else:
        await _after(fault, app, scope, receive, send)


async def _after(fault: Fault, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Let the application do its work, and spoil its answer."""
    messages: list[Message] = []
    if fault.kind is FaultKind.LATE:
        receive = await _read_ahead(receive)
        await asyncio.sleep(fault.delay)

    async def keep(message: Message) -> None:
        messages.append(dict(message))

    await app(scope, receive, keep)
    if fault.kind is FaultKind.SERVER_ERROR_AFTER:
        await _json(500, "Internal error")(scope, receive, send)
    elif fault.kind is FaultKind.REDIRECT_AFTER:
        await Response(b"", 302, {"Location": NO_HOST})(scope, receive, send)
    elif fault.kind is FaultKind.RESET_AFTER:
        await _hang_up(scope, receive)
    elif fault.kind is FaultKind.CUT_BODY:
        await _send_half(messages, send)
        await _hang_up(scope, receive)
    else:
        if fault.kind is FaultKind.TIMEOUT_AFTER:
            await _while_connected(receive, fault.delay)
        for message in messages:
            await send(message)


async def _send_half(messages: list[Message], send: Send) -> None:
    """The head with the length of the whole body (of at least a byte), and half of the body."""
    start, body = messages[0], b"".join(message.get("body", b"") for message in messages[1:])
    headers = [pair for pair in start["headers"] if pair[0] != b"content-length"]
    length = (b"content-length", str(len(body) or 1).encode())
    await send({**start, "headers": [*headers, length]})
    half = body[: len(body) // 2]
    await send({"type": "http.response.body", "body": half, "more_body": True})


async def _read_ahead(receive: Receive) -> Receive:
    """Read the request's body, so that the client has sent all of it; the same body once more."""
    messages = [await receive()]
    while messages[-1].get("more_body"):
        messages.append(await receive())

    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    return again


async def _hang_up(scope: Scope, receive: Receive) -> None:
    """Close the connection and wait until the server has noticed."""
    scope["extensions"][HANG_UP]()
    await _disconnected(receive)


async def _while_connected(receive: Receive, seconds: float) -> None:
    """Wait this long, or until the client has gone or the server stops."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(_disconnected(receive), seconds)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _json(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": message}, status, headers)


_PLAIN: Final[Mapping[FaultKind, Callable[[Fault], Response]]] = {
    FaultKind.SERVER_ERROR: lambda _: _json(500, "Internal error"),
    FaultKind.BAD_GATEWAY_HTML: lambda _: HTMLResponse("<h1>Bad Gateway</h1>", 502),
    FaultKind.HTML: lambda _: HTMLResponse(_LOGIN_PAGE),
    FaultKind.RATE_LIMITED: lambda fault: _json(
        429, "Rate limit exceeded", {"Retry-After": str(fault.retry_after)}
    ),
    FaultKind.RATE_LIMITED_BARE: lambda _: _json(429, "Rate limit exceeded"),
    FaultKind.MAINTENANCE: lambda _: _json(409, "TestRail is under maintenance"),
    FaultKind.REDIRECT: lambda _: Response(b"", 302, {"Location": OTHER_HOST}),
}
"""The faults that are an answer of their own, whatever the request was."""
