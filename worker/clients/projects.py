"""The projects that an account may see, at either side: to choose from, never to conclude from.

Sources: the TestRail page on projects (get_projects: an array before 6.7, then an envelope with
``_links``); Testably's page on projects (``data`` with id, name and prefix, and ``meta``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from worker.clients.bounds import PAGE_FACTOR, TooMuchError
from worker.clients.clean import clean_text
from worker.clients.shapes import list_of_empty
from worker.errors import NotFound, Refused

SOURCE_PAGE: Final = 250
TARGET_PAGE: Final = 100
_MOST_PROJECTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Project:
    """A project as its tool shows it; ``id`` is a number in TestRail, as text."""

    id: str
    name: str
    is_completed: bool = False


@dataclass(frozen=True, slots=True)
class ProjectPage:
    """One page: its projects, how many rows it had, and whether it says that it is the last."""

    projects: tuple[Project, ...]
    rows: int
    is_last: bool


Fetch = Callable[[str, Callable[[object], ProjectPage]], ProjectPage]
"""GET of a path, whose answer the second argument reads."""


def list_source(fetch: Fetch) -> list[Project]:
    """TestRail's projects, in its order. Raises ApiError."""

    def page(_: int, received: int) -> ProjectPage:
        offset = f"&offset={received}" if received else ""
        return fetch(f"index.php?/api/v2/get_projects{offset}", _source_page)

    return _every_page(page)


def list_target(fetch: Fetch) -> list[Project]:
    """Testably's projects, in its order. Raises ApiError."""

    def page(number: int, received: int) -> ProjectPage:
        path = f"v1/projects?page={number}&per_page={TARGET_PAGE}"
        return fetch(path, lambda value: _target_page(value, received))

    return _every_page(page)


def _every_page(page: Callable[[int, int], ProjectPage]) -> list[Project]:
    """The projects of all pages, each once; one that brings nothing new, or is denied, is none."""
    found: dict[str, Project] = {}
    received = number = 0
    while len(found) < _MOST_PROJECTS:
        number += 1
        try:
            latest = page(number, received)
        except (NotFound, Refused):
            if number == 1:
                raise
            break
        received += latest.rows
        new = {one.id: one for one in latest.projects if one.id not in found}
        found |= new
        if latest.is_last or not new:
            break
    return list(found.values())


def _source_page(value: object) -> ProjectPage:
    rows = list_of_empty(value.get("projects")) if isinstance(value, dict) else value
    if not isinstance(rows, list):
        raise ValueError("a list of projects should be an array, or an object that holds one")
    links = value.get("_links") if isinstance(value, dict) else None
    is_last = len(rows) < SOURCE_PAGE
    if isinstance(links, dict) and "next" in links:
        is_last = not links["next"]
    return ProjectPage(_projects(rows, SOURCE_PAGE), len(rows), is_last)


def _target_page(value: object, received: int) -> ProjectPage:
    rows = value.get("data") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(rows, list):
        raise ValueError("a list should be an object with an array named data")
    meta = value.get("meta")
    total = meta.get("total") if isinstance(meta, dict) else None
    is_last = type(total) is int and received + len(rows) >= total
    return ProjectPage(_projects(rows, TARGET_PAGE), len(rows), is_last)


def _projects(rows: list[object], size: int) -> tuple[Project, ...]:
    """The rows that are projects; any other is left out, for there is nothing to choose in it."""
    if len(rows) > size * PAGE_FACTOR:
        raise TooMuchError(f"{len(rows):,} projects where {size} were asked for")
    read = (_project(row) for row in rows)
    return tuple(one for one in read if one is not None)


def _project(row: object) -> Project | None:
    id_ = row.get("id") if isinstance(row, dict) else None
    if not isinstance(row, dict) or type(id_) not in (int, str) or not str(id_).strip():
        return None
    name = row.get("name")
    called = clean_text(name) if isinstance(name, str) else ""
    return Project(clean_text(str(id_)), called, row.get("is_completed") is True)


def same_name(one: str, other: str) -> bool:
    """Whether two projects are called the same, whatever the case and the white space."""
    return _bare(one) == _bare(other) != ""


def _bare(name: str) -> str:
    return " ".join(name.casefold().split())
