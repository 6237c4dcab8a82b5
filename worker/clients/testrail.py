"""TestRail's milestones, API v2: the five documented methods, and the listing of a whole project.

Source: the TestRail page on milestones, which shows two shapes of the list and names sub-milestones
for get_milestone only; real instances differ, so every shape is accepted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from mappings.milestone import BadRecord, SourceMilestone
from worker.clients.records import collect_source, parse_source
from worker.clients.transport import Transport
from worker.errors import (
    AccessDenied,
    ApiError,
    Maintenance,
    NotFound,
    RateLimited,
    Refused,
    Transient,
    UnknownId,
)
from worker.sync.ports import SourceListing

PAGE: Final = 250
HEADERS: Final[Mapping[str, str]] = {
    "Content-Type": "application/json",
    "x-api-ident": "beta",
}
"""For the Transport: TestRail wants the type on a GET too, and the second asks for envelopes."""

Submilestones = Literal["auto", "list", "each"]
_FAILURES_IN_A_ROW: Final = 3


@dataclass(frozen=True, slots=True)
class SourcePage:
    """One answer of get_milestones, its rows as they came.

    ``next`` is whether the envelope's ``_links`` promise a further page; None without such a word.
    """

    rows: list[object]
    shape: Literal["array", "envelope"]
    next: bool | None = None
    limit: int = PAGE


class TestRail:
    """The client; `Source` of the one path. Every method may raise ApiError.

    ``submilestones`` says where they are: ``list`` trusts the list, ``each`` asks for every root,
    ``auto`` asks only where the list shows neither nested milestones nor any parent.
    """

    __test__ = False  # the name is the product's; it is no test case

    def __init__(self, transport: Transport, submilestones: Submilestones = "auto") -> None:
        self._transport = transport
        self._submilestones = submilestones

    @property
    def requests(self) -> int:
        """How many HTTP requests this client has sent so far, repeats included."""
        return self._transport.requests

    def get_milestone(self, milestone_id: int) -> SourceListing:
        """One milestone and its sub-milestones. Raises UnknownId if TestRail answers 400."""
        return _listing([self._record(milestone_id)], "")

    def get_milestones(
        self,
        project_id: int,
        *,
        is_completed: bool | None = None,
        is_started: bool | None = None,
        limit: int = PAGE,
        offset: int = 0,
    ) -> SourcePage:
        """One page of a project's milestones, in whichever shape this instance answers.

        Raises NotFound for a project that TestRail does not know.
        """
        filters = {"is_completed": is_completed, "is_started": is_started}
        words = [f"&{name}={value:d}" for name, value in filters.items() if value is not None]
        words.append(f"&limit={limit}")
        if offset:
            words.append(f"&offset={offset}")
        try:
            return self._transport.get(_path("get_milestones", project_id) + "".join(words), _page)
        except Refused as error:  # the page: 400 is an invalid or unknown project
            raise NotFound(error.api, error.message, status=error.status) from error

    def read_project(self, project_id: int) -> SourceListing:
        """Every milestone of the project, whichever way this instance gives sub-milestones."""
        rows, because = self._all_rows(project_id)
        if self._must_ask_each(rows):
            details, vanished, failed = self._each(_root_ids(rows))
            rows = [row for row in rows if _id(row) not in vanished]
            rows.extend(details)
            because = because or failed
        return _listing(rows, because)

    def add_milestone(
        self,
        project_id: int,
        name: str,
        *,
        description: str | None = None,
        due_on: int | None = None,
        parent_id: int | None = None,
        refs: str | None = None,
        start_on: int | None = None,
    ) -> SourceMilestone:
        """Create a milestone, once and never repeated; timestamps are Unix seconds.

        Without ``start_on`` TestRail starts it at once.
        """
        fields = {
            "description": description,
            "due_on": due_on,
            "parent_id": parent_id,
            "refs": refs,
            "start_on": start_on,
        }
        body = {"name": name} | {key: value for key, value in fields.items() if value is not None}
        self._transport.wait_turn()
        return self._transport.post(_path("add_milestone", project_id), body, _milestone)

    def update_milestone(self, milestone_id: int, **fields: object) -> SourceMilestone:
        """Change only the given fields: those of `add_milestone`, is_completed and is_started.

        Raises UnknownId if TestRail answers 400.
        """
        self._transport.wait_turn()
        path = _path("update_milestone", milestone_id)
        return self._transport.post(path, fields, _milestone, by_id=True)

    def delete_milestone(self, milestone_id: int) -> None:
        """Delete a milestone for good. Raises UnknownId if TestRail answers 400."""
        self._transport.wait_turn()
        self._transport.post_for_nothing(_path("delete_milestone", milestone_id), {}, by_id=True)

    # --- reading a project --------------------------------------------------------------------

    def _all_rows(self, project_id: int) -> tuple[list[object], str]:
        """The rows of all pages, and why the last of them may be missing."""
        rows: list[object] = []
        seen: set[int] = set()
        promised = False
        while True:
            page = self.get_milestones(project_id, offset=len(rows))
            ids = {found for row in page.rows if (found := _id(row)) is not None}
            brought_new = not ids <= seen
            seen |= ids
            rows.extend(page.rows)
            if not brought_new and (promised or page.next):
                return rows, "TestRail promised a further page, which brought nothing new"
            if not brought_new and page.shape == "array" and len(page.rows) == PAGE == len(seen):
                return rows, f"this TestRail lists {PAGE} milestones and ignores the offset"
            if not brought_new or not _goes_on(page, len(rows)):
                return rows, ""
            promised = page.next is True

    def _must_ask_each(self, rows: list[object]) -> bool:
        if self._submilestones != "auto":
            return self._submilestones == "each"
        return not any(
            isinstance(row, dict) and ("milestones" in row or row.get("parent_id") is not None)
            for row in rows
        )

    def _each(self, roots: Iterable[int]) -> tuple[list[object], set[int], str]:
        """The roots' own records, the roots that are gone by now, and why others are missing."""
        details: list[object] = []
        vanished: set[int] = set()
        because, in_a_row = "", 0
        for root in roots:
            try:
                details.append(self._record(root))
            except UnknownId:
                vanished.add(root)
            except (RateLimited, Maintenance):
                raise
            except (Transient, AccessDenied) as error:
                in_a_row += 1
                if in_a_row >= _FAILURES_IN_A_ROW:
                    raise
                because = because or _missing(root, error)
                continue
            in_a_row = 0
        return details, vanished, because

    def _record(self, milestone_id: int) -> object:
        path = _path("get_milestone", milestone_id)

        def read(value: object) -> object:
            if not isinstance(value, dict):
                raise ValueError("a milestone should be an object")
            if _id(value) not in (None, milestone_id):
                raise ValueError("it is another milestone's record")
            return value

        return self._transport.get(path, read, by_id=True)


def _path(method: str, number: int) -> str:
    return f"index.php?/api/v2/{method}/{number}"


def _page(value: object) -> SourcePage:
    if isinstance(value, list):
        return SourcePage(value, "array")
    rows = value.get("milestones") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(rows, list):
        raise ValueError("a list of milestones should be an array, or an object that holds one")
    links, limit = value.get("_links"), value.get("limit")
    promised = links["next"] is not None if isinstance(links, dict) and "next" in links else None
    return SourcePage(rows, "envelope", promised, limit if type(limit) is int else PAGE)


def _goes_on(page: SourcePage, received: int) -> bool:
    """Whether there may be a further page after ``received`` rows in all."""
    if page.shape == "array":
        return received >= PAGE
    if page.next is not None:
        return page.next
    return len(page.rows) >= page.limit


def _milestone(value: object) -> SourceMilestone:
    read = parse_source(value)
    if isinstance(read, BadRecord):
        raise ValueError(read.reason)
    return read


def _listing(rows: list[object], because: str) -> SourceListing:
    milestones, problems = collect_source(_drained(rows))
    if not because and any(not isinstance(bad.id, int) for bad in problems):
        because = "a record has no readable id"
    return SourceListing(milestones, tuple(problems), not because, because)


def _drained(rows: list[object]) -> Iterator[object]:
    """Each row, let go as soon as it was used: a large project is not held in memory twice."""
    waiting = deque(rows)
    rows.clear()
    while waiting:
        yield waiting.popleft()


def _root_ids(rows: list[object]) -> list[int]:
    roots = (_id(row) for row in rows if isinstance(row, dict) and row.get("parent_id") is None)
    return list(dict.fromkeys(root for root in roots if root is not None))


def _id(row: object) -> int | None:
    found = row.get("id") if isinstance(row, dict) else None
    return found if type(found) is int and found > 0 else None


def _missing(root: int, error: ApiError) -> str:
    return f"the sub-milestones of {root} could not be read: {error.message}"
