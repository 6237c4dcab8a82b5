"""A network backend that bounds a whole request by one deadline, and knows whether it was sent.

The timeouts of an HTTP library are counted anew for each phase and each read, so a server that
sends one byte now and then could hold a request for ever, and with it the lease on a link. And
no library tells with an error whether anything of the request had left (R2).
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpcore

from worker.clock import Clock

_PIECE: Final = 64 * 1024
SocketOptions = Iterable[httpcore.SOCKET_OPTION] | None


class Deadline(threading.local):
    """When the request of this thread has to be over, and whether a byte of it was ``sent``.

    ``sent`` is None where nobody looks, which is so without a `BoundedBackend`. ``heard`` says
    whether anything has come since the last byte left.
    """

    sent: bool | None
    heard: bool

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at = float("inf")
        self.sent = None
        self.heard = False

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Whatever happens inside has ``seconds`` in all."""
        self._at = self._clock.monotonic() + seconds
        try:
            yield
        finally:
            self._at = float("inf")

    def left(self, timeout: float | None, expired: type[Exception]) -> float | None:
        """The shorter of ``timeout`` and what is left, in seconds; raises ``expired`` after it."""
        left = self._at - self._clock.monotonic()
        if left <= 0:
            raise expired("the deadline has passed")
        bounded = left if timeout is None else min(left, timeout)
        return None if bounded == float("inf") else bounded


class BoundedBackend(httpcore.NetworkBackend):
    """Connects as usual, within the deadline over all addresses of a host together.

    ``handshakes`` is how many TLS handshakes a connection needs before it carries the request:
    what was sent by then, to a proxy for example, is no part of it.
    """

    def __init__(self, deadline: Deadline, handshakes: int = 0) -> None:
        self._deadline = deadline
        self._handshakes = handshakes
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: SocketOptions = None,
    ) -> httpcore.NetworkStream:
        addresses = _addresses(host, port)
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for tried, address in enumerate(addresses):
            left = self._deadline.left(timeout, httpcore.ConnectTimeout)
            share = None if left is None else left / (len(addresses) - tried)
            try:
                stream = self._inner.connect_tcp(
                    address, port, share, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return BoundedStream(stream, self._deadline, self._handshakes)
        raise failure


class BoundedStream(httpcore.NetworkStream):
    """A connection that reads and writes no longer than the deadline, and notes the first byte."""

    def __init__(
        self, inner: httpcore.NetworkStream, deadline: Deadline, handshakes: int = 0
    ) -> None:
        self._inner = inner
        self._deadline = deadline
        self._handshakes = handshakes

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        came = self._inner.read(max_bytes, self._deadline.left(timeout, httpcore.ReadTimeout))
        self._deadline.heard = True
        return came

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE):
            left = self._deadline.left(timeout, httpcore.WriteTimeout)
            if self._handshakes <= 0:
                self._deadline.sent = True
            self._deadline.heard = False
            self._inner.write(buffer[start : start + _PIECE], left)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout, httpcore.ConnectTimeout)
        secure = self._inner.start_tls(ssl_context, server_hostname, left)
        return BoundedStream(secure, self._deadline, self._handshakes - 1)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(f"{host} cannot be resolved: {error}") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
