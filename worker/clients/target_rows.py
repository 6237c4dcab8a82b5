"""Testably's pages as a listing: each id once, and whether that is all of them (R4, R11)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from mappings.milestone import BadRecord, TargetMilestone
from worker.clients.bounds import MOST_PAGES, MOST_PROBLEMS, MOST_ROWS, TooMuchError, most_of_page
from worker.clients.records import parse_target
from worker.sync.ports import TargetListing

PER_PAGE: Final = 100
"""The most rows that a page may be asked for (Testably page)."""


@dataclass(frozen=True, slots=True)
class TargetPage:
    """One page of the list; ``total`` and ``per_page`` are from its ``meta``, None if absent."""

    milestones: tuple[TargetMilestone, ...]
    problems: tuple[BadRecord, ...]
    total: int | None
    per_page: int | None

    @property
    def ids(self) -> set[str]:
        """Every id on the page that could be read, those of bad records too."""
        bad = {str(problem.id) for problem in self.problems if problem.id is not None}
        return bad | {milestone.id for milestone in self.milestones}

    @property
    def is_capped_and_full(self) -> bool:
        """Whether the server gives fewer rows a page than are asked for, and this page has all."""
        size, rows = self.per_page, len(self.milestones) + len(self.problems)
        return size is not None and size < PER_PAGE and rows >= size


def read_page(value: object, per_page: int) -> TargetPage:
    """The page in an answer. Raises ValueError, or TooMuchError beyond ten times ``per_page``."""
    rows = value.get("data") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(rows, list):
        raise ValueError("a list should be an object with an array named data")
    if len(rows) > most_of_page(per_page):
        raise TooMuchError(f"{len(rows):,} milestones where {per_page} were asked for")
    read = [parse_target(row) for row in rows]
    return TargetPage(
        tuple(found for found in read if isinstance(found, TargetMilestone)),
        tuple(
            replace(found, path=f"data[{index}].{found.path}".rstrip("."))
            for index, found in enumerate(read)
            if isinstance(found, BadRecord)
        ),
        total=_count(value.get("meta"), "total"),
        per_page=_count(value.get("meta"), "per_page"),
    )


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
        self._problems: dict[object, BadRecord] = {}
        self._ids: set[str] = set()
        self._pages = self._rows = 0
        self._because = ""

    def add(self, page: TargetPage) -> None:
        """Take a page in."""
        self._pages += 1
        self._rows += len(page.milestones) + len(page.problems)
        brought_new = not page.ids <= self._ids
        self._ids |= page.ids
        self._milestones.update((found.id, found) for found in page.milestones)
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
        self.is_over = self.is_too_much = True
        self._because = because

    @property
    def listing(self) -> TargetListing:
        """The listing so far."""
        because = self._because or ("" if self.is_over else "not all pages were read")
        return TargetListing(self._milestones, tuple(self._problems.values()), not because, because)

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
    milestones: Mapping[str, TargetMilestone] = {**one.milestones, **other.milestones}
    problems = {(bad.id, bad.path): bad for bad in (*one.problems, *other.problems)}
    because = other.incomplete_because or one.incomplete_because
    return TargetListing(milestones, tuple(problems.values()), False, because)
