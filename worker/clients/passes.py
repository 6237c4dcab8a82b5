"""One pass over the pages of a list that may have begun in an earlier slice of its run (R4).

Between two slices rows may come and go, so that pages of both do not fit together. Where pages of
two slices meet, the earlier one is asked for again, and at the end the first one: if either does
not tell what it told, the list has changed, and the pass is good for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from worker.clients.transport import Asked, Transport

CHANGED: Final = "the list changed while it was read, in several slices"

Page = TypeVar("Page")


class ListChangedError(Exception):
    """The pages that were read are not of one list."""


@dataclass(frozen=True, slots=True)
class _Seen(Generic[Page]):
    """A page, and how to ask for it."""

    path: str
    read: Callable[[object], Page]
    asked: Asked[Page]


class Pass(Generic[Page]):
    """The pages of one list; ``tells`` gives the facts by which a page is the same as before.

    ``is_recalled`` says whether the pages so far are those that an earlier slice has read. Every
    method may raise ListChangedError, beside what the transport raises.
    """

    def __init__(self, transport: Transport, tells: Callable[[Page], object]) -> None:
        self._transport = transport
        self._tells = tells
        self._first: _Seen[Page] | None = None
        self._last: _Seen[Page] | None = None
        self.is_recalled = True

    def page(self, path: str, read: Callable[[object], Page]) -> Page:
        """The next page: as an earlier slice got it, or else asked for, as are all after it."""
        asked = self._transport.ask(path, read, anew=not self.is_recalled)
        return self.follow(path, read, asked)

    def follow(self, path: str, read: Callable[[object], Page], asked: Asked[Page]) -> Page:
        """The next page, which was asked for already."""
        self.is_recalled = asked.is_recalled
        before, self._last = self._last, _Seen(path, read, asked)
        self._first = self._first or self._last
        if before is not None:
            self._require_same(before, asked.part)
        return asked.value

    def end(self) -> None:
        """The list has no further page."""
        if self._first is not None and self._last is not None:
            self._require_same(self._first, self._last.asked.part)

    def _require_same(self, seen: _Seen[Page], part: int) -> None:
        """Raise ListChangedError unless a slice from ``part`` on was told the same."""
        again = seen.asked
        if again.part >= part:
            return
        while again.part < part:
            again = self._transport.ask(seen.path, seen.read)
        if self._tells(again.value) != self._tells(seen.asked.value):
            raise ListChangedError
