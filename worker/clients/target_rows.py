"""Testably's pages as a listing: each id once, and whether that is all of them (R4, R11)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from mappings.milestone import BadRecord, TargetMilestone
from worker.clients.bounds import MOST_PAGES, MOST_PROBLEMS, MOST_ROWS, TooMuchError, most_of_page
from worker.clients.records import parse_target
from worker.clients.same_rows import unchanged_target
from worker.clients.shapes import moment_or_none
from worker.clients.words import require_no_error
from worker.sync.ports import NO_TARGET_KNOWN, Paging, Shown, TargetListing, newest_of

PER_PAGE: Final = 100
"""The most rows that a page may be asked for (Testably page)."""


@dataclass(frozen=True, slots=True)
class TargetPage:
    """One page of the list; ``total`` and ``per_page`` are from its ``meta``, None if absent."""

    milestones: tuple[TargetMilestone, ...]
    problems: tuple[BadRecord, ...]
    unchanged: Mapping[str, Shown]
    newest_unchanged: str | None
    total: int | None
    per_page: int | None

    @property
    def ids(self) -> set[str]:
        """Every id on the page that could be read, those of bad records too."""
        bad = {str(problem.id) for problem in self.problems if problem.id is not None}
        return bad | self.unchanged.keys() | {milestone.id for milestone in self.milestones}

    @property
    def rows(self) -> int:
        """How many rows the page has."""
        return len(self.milestones) + len(self.problems) + len(self.unchanged)

    @property
    def cap(self) -> int | None:
        """How many rows a page the server gives, where these are fewer than are asked for."""
        return self.per_page if self.per_page and self.per_page < PER_PAGE else None

    @property
    def is_capped_and_full(self) -> bool:
        """Whether the server gives fewer rows a page than are asked for, and this page has all."""
        size = self.per_page
        return size is not None and size < PER_PAGE and self.rows >= size


def read_page(
    value: object, per_page: int, known: Mapping[str, str] = NO_TARGET_KNOWN
) -> TargetPage:
    """The page in an answer; a row that has its ``known`` fingerprint is not kept.

    Raises ValueError, or TooMuchError beyond ten times ``per_page``.
    """
    rows = value.get("data") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(rows, list):
        raise ValueError("a list should be an object with an array named data")
    require_no_error(value)
    if len(rows) > most_of_page(per_page):
        raise TooMuchError(f"{len(rows):,} milestones where {per_page} were asked for")
    read: list[tuple[int, TargetMilestone | BadRecord]] = []
    unchanged: dict[str, Shown] = {}
    created: list[str | None] = []
    for index, row in enumerate(rows):
        same = unchanged_target(row, known) if known and isinstance(row, dict) else None
        if same is None:
            read.append((index, parse_target(row)))
        else:
            unchanged[str(row["id"])] = same
            created.append(row.get("created_at"))
    return TargetPage(
        tuple(found for _, found in read if isinstance(found, TargetMilestone)),
        tuple(
            replace(found, path=f"data[{index}].{found.path}".rstrip("."))
            for index, found in read
            if isinstance(found, BadRecord)
        ),
        unchanged,
        _newest(created),
        total=_count(value.get("meta"), "total"),
        per_page=_count(value.get("meta"), "per_page"),
    )


def _newest(created: Iterable[str | None]) -> str | None:
    """The newest of these dates. Of two in UTC and of one length the greater text is the later."""
    latest: dict[int | str, str] = {}
    for text in filter(None, created):
        form = len(text) if text.endswith("Z") else text
        latest[form] = max(text, latest.get(form, ""))
    moments = []
    for text in latest.values():
        with suppress(ValueError):
            moments.append(moment_or_none(text))
    return max(filter(None, moments), key=datetime.fromisoformat, default=None)


def _count(meta: object, name: str) -> int | None:
    found = meta.get(name) if isinstance(meta, dict) else None
    return found if type(found) is int and found >= 0 else None


class TargetRows:
    """What one pass over the pages brought. ``is_over`` says whether a further page is needed.

    ``is_too_much``: a bound of R11 was reached, so that another pass would bring no more.
    """

    def __init__(self) -> None:
        self.is_over = False
        self.is_too_much = False
        self._milestones: dict[str, TargetMilestone] = {}
        self._unchanged: dict[str, Shown] = {}
        self._newest: str | None = None
        self._problems: dict[object, BadRecord] = {}
        self._ids: set[str] = set()
        self._pages = self._rows = self._fullest = self._filled = 0
        self._cap: int | None = None
        self._total: int | None = None
        self._because = ""

    def add(self, page: TargetPage) -> None:
        """Take a page in."""
        self._pages += 1
        self._rows += page.rows
        self._fullest = max(self._fullest, page.rows)
        self._filled += page.rows > 0
        self._cap = page.cap
        self._total = page.total
        ids = page.ids
        brought_new = not ids <= self._ids
        self._ids |= ids
        for found in page.milestones:
            self._milestones[found.id] = found
            self._unchanged.pop(found.id, None)
        for id_, shown in page.unchanged.items():
            self._unchanged[id_] = shown
            self._milestones.pop(id_, None)
        self._newest = newest_of((), self._newest, page.newest_unchanged)
        for problem in page.problems:
            self._keep(problem)
        self._look_whether_over(page, brought_new)

    def _keep(self, problem: BadRecord) -> None:
        if problem.id is None:
            self._because = "a record has no readable id"
        key = (self._pages, problem.path) if problem.id is None else problem.id
        if len(self._problems) < MOST_PROBLEMS:
            self._problems.setdefault(key, problem)

    def stop(self, because: str) -> None:
        """End the list here, incomplete: there is more than is read."""
        self.is_too_much = True
        self.end(because)

    def end(self, because: str) -> None:
        """End the list here, incomplete."""
        self.is_over = True
        self._because = because

    def end_before(self, number: int) -> None:
        """End the list before a page that the server says is not there: all, if its total is."""
        self.is_over = True
        if self._total is None or len(self._ids) < self._total:
            self._because = self._because or f"page {number} of the list is not there"

    @property
    def listing(self) -> TargetListing:
        """The listing so far."""
        because = self._because or ("" if self.is_over else "not all pages were read")
        return TargetListing(
            self._milestones,
            tuple(self._problems.values()),
            not because,
            because,
            self._unchanged,
            self._newest,
            self._paging,
        )

    @property
    def _paging(self) -> Paging:
        rows = self._cap or (self._fullest if self._filled > 1 else PER_PAGE)
        return Paging(rows, self._total != len(self._ids), self._cap is not None)

    @property
    def pages_left(self) -> int:
        """How many further pages there must be, by the last total, if all are full; 0 if unknown.

        Not more than the rows that are read.
        """
        if self.is_over or not self._fullest:
            return 0
        left = min(self._total or 0, MOST_ROWS) - len(self._ids)
        return max(-(-left // self._fullest), 0)

    def _look_whether_over(self, page: TargetPage, brought_new: bool) -> None:
        """R4. A total below what came already says nothing: then a further page decides.

        So it does after a full page of a server that gives fewer rows than it was asked for: its
        total may be that of the page.
        """
        total = page.total
        if self._rows > MOST_ROWS or self._pages >= MOST_PAGES:
            self.stop(f"there are more than {MOST_ROWS:,} milestones, or too many pages")
        elif len(self._problems) >= MOST_PROBLEMS:
            self.stop(f"more than {MOST_PROBLEMS:,} records cannot be read")
        elif not brought_new:
            self.is_over = True
            if total is not None and len(self._ids) < total:
                came = f"{len(self._ids):,} of the {total:,} milestones that it counts came"
                self._because = self._because or came
        elif total == len(self._ids) and not page.is_capped_and_full:
            self.is_over = True


def together(one: TargetListing, other: TargetListing) -> TargetListing:
    """What two tries brought; the later one knows better, and a problem counts once."""
    earlier = {id_: m for id_, m in one.milestones.items() if id_ not in other.unchanged}
    before = {id_: u for id_, u in one.unchanged.items() if id_ not in other.milestones}
    newest = newest_of((), one.newest_unchanged, other.newest_unchanged)
    problems = {(bad.id, bad.path): bad for bad in (*one.problems, *other.problems)}
    because = other.incomplete_because or one.incomplete_because
    return TargetListing(
        {**earlier, **other.milestones},
        tuple(problems.values()),
        False,
        because,
        {**before, **other.unchanged},
        newest,
    )
