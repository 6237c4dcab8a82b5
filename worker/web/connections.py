"""Every connection is bounded: in time at each step that waits for the caller, and in number.

uvicorn has a time-out for idle connections alone: one whose headers never end, or whose answer
is never read, stays for ever, and a few hundred of them leave no file for anybody else. So this
is uvicorn's own HTTP/1.1 protocol with a timer for what the connection waits for. The wait for a
body is bounded by who reads it (`worker.web.intake`). When there are too many connections, the
one that has kept us waiting longest makes room: so somebody who holds many open shuts nobody out.
"""

from __future__ import annotations

import asyncio
import resource
from enum import Enum
from http import HTTPStatus
from typing import Final

import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol

from worker.sparing import Sparing
from worker.web.edge import HEADERS

MOST_CONNECTIONS: Final = 1000
LARGEST_BACKLOG: Final = 128
_OWN_FILES: Final = 100
"""Open files that are left for the database, Redis and everything else."""

log = structlog.get_logger(__name__)
_sparing: Final = Sparing()


class Wait(Enum):
    """What a connection waits for, and for how many seconds at most."""

    REQUEST = 10.0
    READER = 30.0
    CLOSED = 5.0


def most_connections() -> int:
    """How many connections may be open at once, by this process's limit of open files."""
    return min(MOST_CONNECTIONS, _spare_files() // 2)


def backlog() -> int:
    """How many connections may be accepted at one go.

    asyncio accepts so many before it looks at any of them, and some rounds of that may be under
    way: a quarter of what `most_connections` allows keeps all of them within the open files.
    """
    return min(LARGEST_BACKLOG, _spare_files() // 8)


def _spare_files() -> int:
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return 2 * MOST_CONNECTIONS
    return max(allowed - _OWN_FILES, 16)


class BoundedProtocol(H11Protocol):
    """One connection: uvicorn's protocol that does not wait for its caller for ever."""

    waiting_since = 0.0
    """When this wait began, by the event loop's clock."""
    _timer: asyncio.TimerHandle | None = None
    _wait: Wait | None = None

    @property
    def keeps_us_waiting(self) -> bool:
        """Whether it is the caller's turn: to send the rest of the request, or to read."""
        return self._wait is not None or self.cycle.more_body

    # --- what happens to a connection: after each, look what it waits for now

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look()
        self._make_room()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_timer()

    # --- time

    def _look(self) -> None:
        """Start the timer of what is waited for now, unless it runs already."""
        wait = self._waits_for()
        if wait is self._wait:
            return
        self._stop_timer()
        self._wait = wait
        self.waiting_since = self.loop.time()
        if wait is not None:
            self._timer = self.loop.call_later(wait.value, self._late)

    def _waits_for(self) -> Wait | None:
        """None while it is the application's turn."""
        if self.transport.is_closing():
            return Wait.CLOSED  # until what was written has been read
        if self.flow.write_paused:
            return Wait.READER
        at_work = self.cycle is not None and not self.cycle.response_complete
        return None if at_work else Wait.REQUEST

    def _late(self) -> None:
        """The caller took too long: say so where a request was begun, and close."""
        unread, _ = self.conn.trailing_data
        if self._wait is Wait.REQUEST and unread and not self.transport.is_closing():
            self._end_with(408, "The request took too long.")
        else:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls for bytes that are no HTTP; ``msg`` is its own text."""
        self._end_with(400, msg)

    def _end_with(self, status: int, text: str) -> None:
        """Answer where there is no request that the application could answer, and close."""
        headers = {"content-type": "text/plain", "connection": "close", **HEADERS}
        headers["content-length"] = str(len(text) + 1)
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.transport.write("\r\n".join([*lines, "", f"{text}\n"]).encode("ascii"))
        self.transport.close()
        self._look()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- number

    def _make_room(self) -> None:
        """Close the connection that has kept us waiting longest, if this one is too many."""
        if len(self.connections) <= (most := most_connections()):
            return
        open_ = [
            other
            for other in self.connections
            if isinstance(other, BoundedProtocol) and not other.transport.is_closing()
        ]
        if len(open_) <= most:
            return
        waiting = (other for other in open_ if other is not self and other.keeps_us_waiting)
        min(waiting, key=lambda other: other.waiting_since, default=self).transport.abort()
        self._tell(most)

    def _tell(self, most: int) -> None:
        _sparing.tell(
            log.warning,
            f"more than {most} connections at once; those that wait longest are closed",
            hint="Raise the limit of open files (ulimit -n), or put a proxy in front.",
        )
