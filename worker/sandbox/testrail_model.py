"""A TestRail instance in memory: its projects, its milestones and its rules, without HTTP.

Fields, filters and answers: the TestRail page on milestones (API v2). What that page leaves open,
and what instances are known to do differently, is a field of `TestRailSwitches`.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from worker.clock import Clock, SystemClock
from worker.sandbox.rules import (
    Check,
    Problem,
    Record,
    checked,
    filled_text,
    flag,
    locked,
    nullable,
    text,
    whole_number,
)
from worker.sandbox.shelf import Shelf
from worker.sandbox.switches import TestRailSwitches

PAGE: Final = 250
"""The most rows of one answer, and the default (TestRail page: 250)."""
_DAY: Final = 24 * 60 * 60

_ADD: Final[Mapping[str, Check]] = {
    "name": filled_text,
    "description": nullable(text),
    "due_on": nullable(whole_number),
    "parent_id": nullable(whole_number),
    "refs": nullable(text),
    "start_on": nullable(whole_number),
}
_UPDATE: Final[Mapping[str, Check]] = {**_ADD, "is_completed": flag, "is_started": flag}


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of a list from ``offset`` on, and how many rows the whole list has."""

    rows: list[Record]
    total: int
    offset: int
    limit: int


class TestRailModel:
    """The milestones of one TestRail instance.

    ``projects`` exist; those in ``no_access`` answer 403, those in ``read_only`` refuse writes.
    Every refusal is a `Problem`. The order of a list is the order of creation.
    """

    __test__ = False

    def __init__(
        self,
        projects: Iterable[int] = (1,),
        *,
        clock: Clock | None = None,
        ids: Iterator[int] | None = None,
        url: str = "https://example.testrail.io",
        switches: TestRailSwitches | None = None,
    ) -> None:
        self.projects = set(projects)
        self.project_names: dict[int, str] = {}
        self.no_access: set[int] = set()
        self.read_only: set[int] = set()
        self.switches = switches or TestRailSwitches()
        self.url = url
        self.lock = threading.RLock()
        self._clock = clock or SystemClock()
        self._ids = ids or itertools.count(1)
        self._shelf: Shelf[int] = Shelf()

    # --- reading

    @locked
    def get(self, milestone_id: int) -> Record:
        """One milestone, always with its ``milestones``."""
        self._visible(milestone_id)
        return {"milestones": [], **self._shown(milestone_id, nested=True)}

    @locked
    def page(
        self,
        project_id: int,
        *,
        is_completed: bool | None = None,
        is_started: bool | None = None,
        limit: int | None = PAGE,
        offset: int = 0,
    ) -> Page:
        """The rows of a project's list from ``offset`` on; a limit of None means all of them."""
        self._open_project(project_id)
        nested = self.switches.sub_milestones == "nested"
        roots = self.switches.sub_milestones != "flat"
        asked = {"is_completed": is_completed, "is_started": is_started}
        wanted = {name: value for name, value in asked.items() if value is not None}
        keys = self._shelf.order(project_id, roots=roots)
        if wanted:
            keys = [key for key in keys if self._fits(key, wanted)]
        end = len(keys) if limit is None else offset + limit
        below = wanted if self.switches.filters_reach_nested else {}
        rows = [self._row(key, nested, below) for key in keys[offset:end]]
        return Page(rows, len(keys), offset, len(keys) if limit is None else limit)

    @locked
    def open_projects(self) -> list[Record]:
        """The projects that the caller may see, as get_projects shows them."""
        if not self.switches.lists_projects:
            raise Problem(403, "This user may not list projects.")
        return [
            {
                "id": project,
                "name": self.project_names.get(project, f"Project {project}"),
                "announcement": None,
                "show_announcement": False,
                "is_completed": False,
                "completed_on": None,
                "suite_mode": 1,
                "url": f"{self.url}/index.php?/projects/overview/{project}",
            }
            for project in sorted(self.projects - self.no_access)
        ]

    @locked
    def everything(self, project_id: int) -> list[Record]:
        """Every milestone of a project as one flat list: what is true, for tests to compare."""
        order = self._shelf.order(project_id, roots=False)
        return [self._shown(key, nested=False) for key in order]

    def today(self) -> int:
        """Midnight in UTC of the clock's day, in Unix seconds: what its calendar would pick."""
        return self._now() // _DAY * _DAY

    # --- writing

    @locked
    def add(self, project_id: int, body: object) -> Record:
        """A new milestone; one without ``start_on`` is started at once."""
        self._writable(project_id)
        fields = checked(body, _ADD)
        filled_text("name", fields.get("name", ""))
        self._may_hang(project_id, fields.get("parent_id"), child=None)
        new_id = next(key for key in self._ids if key not in self._shelf)
        record = self._blank(new_id, project_id) | fields
        if record["start_on"] is None:
            record |= {"is_started": True, "started_on": self._now()}
        self._shelf.put(new_id, record, project_id, record["parent_id"])
        return self.get(new_id)

    @locked
    def update(self, milestone_id: int, body: object) -> Record:
        """The milestone with only the given fields changed."""
        project_id = self._visible(milestone_id)
        self._writable(project_id)
        fields = checked(body, _UPDATE)
        record = self._shelf.record(milestone_id)
        if "parent_id" in fields:
            self._may_hang(project_id, fields["parent_id"], child=milestone_id)
            self._shelf.put(milestone_id, record, project_id, fields["parent_id"])
        for name, stamp in (("is_completed", "completed_on"), ("is_started", "started_on")):
            if name in fields and fields[name] != record.get(name):
                record[stamp] = self._now() if fields[name] else None
        record |= fields
        return self.get(milestone_id)

    @locked
    def delete(self, milestone_id: int) -> None:
        """Take the milestone away, and its sub-milestones with it."""
        self._writable(self._visible(milestone_id))
        self._shelf.drop(milestone_id)

    @locked
    def plant(self, record: Record, project_id: int | None = None) -> Hashable:
        """Put a raw record in exactly as it is, however wrong; its id, or the key in its place.

        It lies in ``project_id``, else in the record's own project, else in project 1.
        """
        own = record.get("id")
        key = own if isinstance(own, int | str) else f"planted-{len(self._shelf)}"
        given = record.get("project_id") if project_id is None else project_id
        project = given if isinstance(given, int) else 1
        parent = record.get("parent_id")
        self._shelf.put(key, record, project, parent if isinstance(parent, int | str) else None)
        return key

    # --- rules

    def _open_project(self, project_id: int) -> None:
        if project_id not in self.projects:
            raise Problem(400, "Field :project_id is not a valid or accessible project.")
        if project_id in self.no_access:
            raise Problem(403, "The requested project is not open to this user.")

    def _writable(self, project_id: int) -> None:
        self._open_project(project_id)
        if project_id in self.read_only:
            raise Problem(403, "This user may not change milestones.")

    def _visible(self, milestone_id: int) -> int:
        """The project of a milestone that exists and is open to the caller."""
        if milestone_id not in self._shelf:
            raise Problem(400, "Field :milestone_id is not a valid milestone.")
        project_id = self._shelf.project(milestone_id)
        self._open_project(project_id)
        return project_id

    def _may_hang(self, project_id: int, parent: object, *, child: int | None) -> None:
        """Whether ``parent`` may have this child: same project, and one level of nesting."""
        if parent is None:
            return
        known = isinstance(parent, int) and parent in self._shelf
        if not known or self._shelf.project(parent) != project_id or parent == child:
            raise Problem(400, "Field :parent_id is not a valid milestone.")
        has_children = child is not None and bool(self._shelf.children(child))
        if has_children or self._shelf.parent(parent) in self._shelf:
            raise Problem(400, "Milestones nest one level deep.")

    # --- records

    def _fits(self, key: Hashable, wanted: Mapping[str, bool]) -> bool:
        record = self._shelf.record(key)
        return all(bool(record.get(name)) == value for name, value in wanted.items())

    def _row(self, key: Hashable, nested: bool, below: Mapping[str, bool]) -> Record:
        row = self._shown(key, nested, below)
        return {"milestones": [], **row} if nested else row

    def _shown(
        self, key: Hashable, nested: bool, below: Mapping[str, bool] | None = None
    ) -> Record:
        """A copy of the record; nested ones come along, filtered by ``below``, if asked for."""
        record = dict(self._shelf.record(key))
        children = self._shelf.children(key) if nested and "milestones" not in record else []
        if children:
            inner = [child for child in children if self._fits(child, below or {})]
            record["milestones"] = [self._shown(child, nested, below) for child in inner]
        return record

    def _blank(self, new_id: int, project_id: int) -> Record:
        empty: Record = dict.fromkeys(
            ("completed_on", "description", "due_on", "parent_id", "refs", "start_on", "started_on")
        )
        url = f"{self.url}/index.php?/milestones/view/{new_id}"
        return empty | {
            "id": new_id,
            "is_completed": False,
            "is_started": False,
            "name": "",
            "project_id": project_id,
            "url": url,
        }

    def _now(self) -> int:
        return int(self._clock.now().timestamp())
