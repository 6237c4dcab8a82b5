"""One sandbox server: an application on uvicorn in a thread, with a log of every request."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from worker.clock import Clock, SystemClock
from worker.sandbox.faults import HANG_UP, Faults, address, misbehaving

Model = TypeVar("Model")
_START_TIMEOUT: Final = 10.0


@dataclass(slots=True)
class Exchange:
    """One request as it arrived, and the status of its answer (None if it got none).

    ``path`` is the address with its query; ``at`` is the clock's monotonic time, in seconds.
    """

    method: str
    path: str
    at: float
    headers: Mapping[str, str]
    body: bytes = b""
    status: int | None = None

    @property
    def json(self) -> object:
        """The body as JSON; None where there is none."""
        return json.loads(self.body) if self.body else None


class SandboxServer(Generic[Model]):
    """An application on a port of its own from `__enter__` to `__exit__`.

    ``requests`` is the log, in the order of arrival; ``faults`` decides what goes wrong.
    Port 0 is any free port; ``url`` has no slash at its end. A server that runs for long keeps
    no ``log``.
    """

    def __init__(
        self,
        app: ASGIApp,
        model: Model,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        path: str = "",
        faults: Faults | None = None,
        clock: Clock | None = None,
        log: bool = True,
    ) -> None:
        self.model = model
        self.faults = faults or Faults()
        self.requests: list[Exchange] = []
        self._log = log
        self._clock = clock or SystemClock()
        self._host, self._port, self._path = host, port, path
        self._server = _Server(self._logged(misbehaving(app, self.faults)))
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        host = "localhost" if self._host in ("0.0.0.0", "::") else self._host  # noqa: S104
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self._port}{self._path}"

    def count(
        self, method: str | None = None, contains: str = "", status: int | None = None
    ) -> int:
        """How many logged requests have this method, text in their address, and status."""
        return sum(
            method in (None, seen.method)
            and contains in seen.path
            and status in (None, seen.status)
            for seen in list(self.requests)
        )

    def __enter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.create_server((self._host, self._port), family=family)
        # asyncio does so only for sockets that name their protocol; Nagle costs 40 ms an answer.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._port = listener.getsockname()[1]
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()
        if not self._server.ready.wait(_START_TIMEOUT):
            raise RuntimeError("the sandbox server did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop()
        if self._thread is not None:
            self._thread.join()

    def _logged(self, app: ASGIApp) -> ASGIApp:
        async def logged(scope: Scope, receive: Receive, send: Send) -> None:
            headers = {
                name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
            }
            seen = Exchange(scope["method"], address(scope), self._clock.monotonic(), headers)
            if self._log:
                self.requests.append(seen)

            async def receive_logged() -> Message:
                message = await receive()
                seen.body += message.get("body", b"")
                return message

            async def send_logged(message: Message) -> None:
                seen.status = message.get("status", seen.status)
                await send(message)

            # Only a server that stops cancels a request, and then nobody waits for it.
            with contextlib.suppress(asyncio.CancelledError):
                await app(scope, receive_logged, send_logged)

        return logged


class _Protocol(H11Protocol):
    """uvicorn's HTTP protocol, which also lets the application hang up."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        app = self.app

        async def with_hang_up(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("extensions", {})[HANG_UP] = transport.close
            await app(scope, receive, send)

        self.app = with_hang_up


class _Server(uvicorn.Server):
    """uvicorn without its polling: ready and stopped as soon as it can be."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=_Protocol,
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                log_level="warning",
            )
        )
        self.ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = asyncio.Event()

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.ready.set()
        await self._over.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close everything at once; requests that are still waiting are cancelled."""
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()
        await asyncio.gather(*self.server_state.tasks, return_exceptions=True)

    def stop(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._over.set)
