"""TestRail's list, page by page: its two shapes, where it ends, and what its rows tell.

Source: the TestRail page on milestones, which shows both shapes; real instances differ in whether
they heed the limit and the offset, and in how they say that there is no further page.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from worker.clients.bounds import TooMuchError, most_of_page
from worker.clients.shapes import list_of_empty
from worker.clients.words import require_no_error

PAGE: Final = 250


@dataclass(frozen=True, slots=True)
class SourcePage:
    """One answer of get_milestones, its rows as they came.

    ``next`` is whether the envelope's ``_links`` promise a further page; None without such a word.
    """

    rows: list[object]
    shape: Literal["array", "envelope"]
    next: bool | None = None
    limit: int = PAGE


@dataclass(slots=True)
class SourceList:
    """What the rows of the list itself tell, beside the milestones that they are.

    ``roots`` are the ids that name no parent, in order; ``shows_subs``: some row has milestones of
    its own or a parent; ``starts_over``: the latest rows are among the first page's; ``because``:
    why rows may be missing. What cannot be read tells nothing of the others.
    """

    rows: int = 0
    ids: set[int] = field(default_factory=set)
    roots: dict[int, None] = field(default_factory=dict)
    shows_subs: bool = False
    starts_over: bool = False
    because: str = ""
    _first: frozenset[int] | None = None

    def add(self, rows: Iterable[object]) -> bool:
        """Take a page's rows in; whether one of them has an id that no earlier row has."""
        before, page = len(self.ids), set()
        for row in rows:
            self.rows += 1
            parent = read_id(row, "parent_id")
            self.shows_subs |= parent is not None or _has_subs(row)
            if (id_ := read_id(row)) is not None:
                page.add(id_)
                if parent is None:
                    self.roots[id_] = None
        self.ids |= page
        if self._first is None:
            self._first = frozenset(page)
        else:
            self.starts_over = not page.isdisjoint(self._first)
        return len(self.ids) > before

    def ended(self, because: str) -> SourceList:
        """The same, with the reason why rows may be missing."""
        self.because = because
        return self


def read_page(value: object, limit: int) -> SourcePage:
    """The page in an answer. Raises ValueError, or TooMuchError beyond ten times ``limit``.

    A bare array is the whole list where an instance ignores the limit, so that only the size of
    its answer is bounded.
    """
    if isinstance(value, list):
        return SourcePage(value, "array")
    rows = list_of_empty(value.get("milestones")) if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(rows, list):
        raise ValueError("a list of milestones should be an array, or an object that holds one")
    require_no_error(value)
    if len(rows) > most_of_page(limit):
        raise TooMuchError(f"{len(rows):,} milestones where {limit} were asked for")
    links, given = value.get("_links"), value.get("limit")
    promised = bool(links["next"]) if isinstance(links, dict) and "next" in links else None
    return SourcePage(rows, "envelope", promised, given if type(given) is int else limit)


def goes_on(page: SourcePage, received: int, limit: int) -> bool:
    """Whether there may be a further page after ``received`` rows in all."""
    if page.shape == "array":
        return received >= PAGE or len(page.rows) >= limit
    if page.next is not None:
        return page.next
    return len(page.rows) >= page.limit


def read_id(row: object, name: str = "id") -> int | None:
    """The id of a row, or that of the parent that it names, if it has one that can be read."""
    found = row.get(name) if isinstance(row, dict) else None
    return found if type(found) is int and found > 0 else None


def _has_subs(row: object) -> bool:
    """Whether a row says which sub-milestones it has, be it none."""
    found = row.get("milestones") if isinstance(row, dict) else None
    return isinstance(list_of_empty(found), list)
