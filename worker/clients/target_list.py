"""One pass over the pages of Testably's list, several of which may be under way.

The first page tells how many there are, so that the further ones need not wait for each other. They
are taken in by their order all the same; and none is asked for that would not be needed if they
went one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from worker.clients.bounds import MOST_BYTES, MOST_BYTES_IN_WORDS
from worker.clients.passes import CHANGED, ListChangedError, Pass
from worker.clients.target_rows import TargetPage, TargetRows
from worker.clients.transport import Asked, Transport
from worker.errors import NotFound, Refused
from worker.sync.lanes import Lanes


class _OverError(Exception):
    """No further page is needed: what is under way ends with its request."""


@dataclass(slots=True)
class TargetList:
    """Reads one list; ``path`` gives the address of each page, ``parse`` the page in an answer."""

    transport: Transport
    lanes: Lanes
    path: Callable[[int], str]
    parse: Callable[[object], TargetPage]
    _rows: TargetRows = field(default_factory=TargetRows)
    _next: int = 1
    _early: dict[int, Asked[TargetPage]] = field(default_factory=dict)
    """Pages that came before the one that is next."""
    _pages: Pass[TargetPage] = field(init=False)
    _began: int = field(init=False)

    def __post_init__(self) -> None:
        self._pages = Pass(self.transport, lambda page: (page.total, page.ids))
        self._began = self.transport.received

    def read(self) -> TargetRows:
        """Every page, until no further one is needed. Raises ApiError."""
        try:
            while not self._rows.is_over:
                try:
                    self._read_next()
                except (NotFound, Refused):  # what some servers answer to a page after the last
                    if self._next == 1:
                        raise
                    self._rows.end_before(self._next)
            self._pages.end()
        except ListChangedError:
            self._rows.end(CHANGED)
        return self._rows

    def _read_next(self) -> None:
        certain = range(self._next, self._next + self._rows.pages_left)
        if self._pages.is_recalled or len(certain) < 2:
            self._take(self._pages.page(self.path(self._next), self.parse))
            return
        try:
            self.lanes.each(certain, self._read_beside, lambda number: (number, None))
        except _OverError:
            return

    def _read_beside(self, number: int) -> None:
        """Ask for a page while others are under way, and take in all whose turn has come."""
        lanes, path = self.lanes, self.path(number)
        lanes.require()
        if number >= self._next + self._rows.pages_left:
            return  # the total has become smaller
        self._early[number] = self.transport.ask(path, self.parse, anew=True, lanes=lanes)
        while self._next in self._early and not self._rows.is_over:
            path = self.path(self._next)
            self._take(self._pages.follow(path, self.parse, self._early.pop(self._next)))
        if self._rows.is_over:
            raise _OverError

    def _take(self, page: TargetPage) -> None:
        self._rows.add(page)
        self._next += 1
        if self.transport.received - self._began > MOST_BYTES:
            self._rows.stop(f"there are more than {MOST_BYTES_IN_WORDS}")
