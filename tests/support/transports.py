"""Clients on a script, and servers that speak bytes."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from pydantic import SecretStr

from worker.clients.credentials import basic_auth, bearer
from worker.clients.rate_limit import LocalRateLimiter, RateLimit
from worker.clients.testrail import HEADERS
from worker.clients.transport import Transport
from worker.clock import SystemClock

TOKEN = "tok-very-secret"
KEY = "key-very-secret"


def plenty(clock: Any) -> LocalRateLimiter:
    """A rate limiter that hardly ever makes anybody wait."""
    return LocalRateLimiter(RateLimit(1_000_000, 60), clock)


def transport(
    api: str = "Testably", base_url: str = "https://api.example", **given: Any
) -> Transport:
    """A transport with made-up credentials, on the system's clock unless told otherwise."""
    clock = given.setdefault("clock", SystemClock())
    given.setdefault("rate_limiter", plenty(clock))
    testrail = api == "TestRail"
    secret = basic_auth("ann@example", SecretStr(KEY)) if testrail else bearer(SecretStr(TOKEN))
    if testrail:
        given.setdefault("headers", HEADERS)
    return Transport(api, base_url, secret, **given)


Reply = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class Script(httpx.BaseTransport):
    """Answers with one reply after the other, the last one for ever; keeps what was asked."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.asked.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        given = reply if isinstance(reply, httpx.Response) else reply(request)
        if not given.is_stream_consumed:
            return given
        return httpx.Response(given.status_code, headers=given.headers, stream=_Again(given))

    def body(self, number: int = -1) -> Any:
        return json.loads(self.asked[number].content)

    def lines(self) -> list[str]:
        return [f"{one.method} {one.url.raw_path.decode()}" for one in self.asked]


class _Again(httpx.SyncByteStream):
    def __init__(self, reply: httpx.Response) -> None:
        self._content = reply.content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content


def answer(value: object, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=value, headers=headers)


Handler = Callable[[socket.socket, bytes], None]


@dataclass
class RawServer:
    """A server that speaks bytes; ``requests`` are the heads that it read."""

    url: str
    requests: list[bytes] = field(default_factory=list)


@contextmanager
def raw_server(
    handler: Handler, secure: Callable[[socket.socket], socket.socket] = lambda plain: plain
) -> Iterator[RawServer]:
    """Serve each connection with ``handler(connection, request)`` in a thread of its own.

    ``secure`` may make another of the connection first, such as one with TLS.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = RawServer(f"http://127.0.0.1:{listening.getsockname()[1]}")

        def serve(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError), secure(connection) as open_connection:
                while request := _read_request(open_connection):
                    server.requests.append(request)
                    handler(open_connection, request)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield server
        finally:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (part := connection.recv(65536)):
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0].split(b":")[1]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def http(body: bytes, status: str = "200 OK", *headers: str, length: int | None = None) -> bytes:
    """The bytes of an HTTP answer; ``length`` other than the body's promises too much."""
    size = len(body) if length is None else length
    head = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {size}"]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body
