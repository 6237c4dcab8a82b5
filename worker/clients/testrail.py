"""TestRail's milestones, API v2: the five documented methods, and the listing of a whole project.

Beside them the list of projects, to choose from.

Source: the TestRail page on milestones, which shows two shapes of the list and names sub-milestones
for get_milestone only; real instances differ, so every shape is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

from mappings.milestone import BadRecord, SourceMilestone
from worker.clients.bounds import (
    MOST_BYTES,
    MOST_BYTES_IN_WORDS,
    MOST_PAGES,
    TRIES,
    list_too_long,
    too_large_at_last,
)
from worker.clients.passes import CHANGED, ListChangedError, Pass
from worker.clients.projects import Project, list_source
from worker.clients.records import parse_source
from worker.clients.source_pages import PAGE, SourceList, SourcePage, goes_on, read_id, read_page
from worker.clients.source_rows import SourceRows
from worker.clients.transport import Transport
from worker.clients.words import require_no_error
from worker.errors import (
    AnswerTooLarge,
    ApiError,
    Maintenance,
    NotFound,
    RateLimited,
    Refused,
    UnknownId,
)
from worker.sync.ports import NOTHING_KNOWN, OF_ONE, SourceListing

HEADERS: Final[Mapping[str, str]] = {
    "Content-Type": "application/json",
    "x-api-ident": "beta",
}
"""For the Transport: TestRail wants the type on a GET too, and the second asks for envelopes."""

Submilestones = Literal["auto", "list", "each"]
_FAILURES_IN_A_ROW: Final = 3
_Get = Callable[[str, Callable[[object], SourcePage]], SourcePage]


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

    def get_projects(self) -> list[Project]:
        """Every project that the account may see."""
        return list_source(self._transport.get)

    def get_milestone(self, milestone_id: int) -> SourceListing:
        """One milestone and its sub-milestones. Raises UnknownId if TestRail answers 400."""
        rows = SourceRows()
        rows.add([self._record(milestone_id)])
        return _listing(rows, "")

    def recall(self, record: Mapping[str, object], parent_id: int | None) -> SourceMilestone | None:
        """A milestone from its ``raw`` record, or None if that cannot be read; asks nobody."""
        found = parse_source(dict(record), parent_id)
        return found if isinstance(found, SourceMilestone) else None

    def repeats(self, digests: Mapping[str, str]) -> bool:
        """Whether the questions of an earlier reading are still answered as they were then."""
        return self._transport.repeats(digests)

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
        list_ = f"{_path('get_milestones', project_id)}{_filters(is_completed, is_started)}"
        return self._page(self._transport.get, list_, limit, offset)

    def _page(self, get: _Get, list_: str, limit: int, offset: int) -> SourcePage:
        path = f"{list_}&limit={limit}" + (f"&offset={offset}" if offset else "")
        try:
            return get(path, lambda value: read_page(value, limit))
        except Refused as error:  # the page: 400 is an invalid or unknown project
            raise NotFound(error.api, error.message, status=error.status) from error

    def read_project(
        self, project_id: int, *, known: Mapping[int, str] = NOTHING_KNOWN
    ) -> SourceListing:
        """Every milestone of the project, whichever way this instance gives sub-milestones.

        ``known`` are fingerprints by id: a milestone that has its own is not kept. Raises
        AnswerTooLarge where the list is longer than any project's: then it may have no end.
        """
        path = _path("get_milestones", project_id)
        for _ in range(TRIES):
            rows = SourceRows(known)
            list_ = self._read_list(path, rows)
            if list_.because != CHANGED:
                break
        because = list_.because
        if self._submilestones == "each" or (
            self._submilestones == "auto" and not list_.shows_subs
        ):
            because = because or self._read_each(list_.roots, rows)
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
        self._transport.wait_for_permit()
        return self._transport.post(_path("add_milestone", project_id), body, _milestone)

    def update_milestone(self, milestone_id: int, **fields: object) -> SourceMilestone:
        """Change only the given fields: those of `add_milestone`, is_completed and is_started.

        Raises UnknownId if TestRail answers 400.
        """
        self._transport.wait_for_permit()
        path = _path("update_milestone", milestone_id)
        return self._transport.post(path, fields, _milestone, by_id=True)

    def delete_milestone(self, milestone_id: int) -> None:
        """Delete a milestone for good. Raises UnknownId if TestRail answers 400."""
        self._transport.wait_for_permit()
        self._transport.post_for_nothing(_path("delete_milestone", milestone_id), {}, by_id=True)

    # --- reading a project --------------------------------------------------------------------

    def _read_list(self, path: str, into: SourceRows) -> SourceList:
        """Read all pages of the list, and tell why the last of them may be missing."""
        pages = Pass[SourcePage](self._transport, lambda page: [read_id(row) for row in page.rows])
        seen = SourceList()
        try:
            seen = self._read_pages(path, pages, seen, into)
            pages.end()
        except ListChangedError:
            return seen.ended(CHANGED)
        return seen

    def _read_pages(
        self, path: str, pages: Pass[SourcePage], seen: SourceList, into: SourceRows
    ) -> SourceList:
        began, limit, promised = self._transport.received, PAGE, False
        for _ in range(MOST_PAGES):
            try:
                page, limit = self._page_that_fits(pages, path, seen.rows, limit)
            except NotFound as error:
                if not seen.rows:
                    raise
                return seen.ended(f"the page after {seen.rows} milestones: {error.message}")
            brought_new = seen.add(page.rows)
            into.add(page.rows)
            if self._transport.received - began > MOST_BYTES:
                raise list_too_long("TestRail", MOST_BYTES_IN_WORDS)
            if not brought_new and (promised or page.next):
                return seen.ended("TestRail promised a further page, which brought nothing new")
            is_cut = page.shape == "array" and len(page.rows) in (PAGE, limit)
            if not brought_new and seen.starts_over and is_cut:
                return seen.ended(f"this TestRail ignores the offset and lists {len(page.rows)}")
            if not brought_new or not goes_on(page, seen.rows, limit):
                return seen
            promised = page.next is True
        raise list_too_long("TestRail", f"{MOST_PAGES:,} pages")

    def _page_that_fits(
        self, pages: Pass[SourcePage], path: str, offset: int, limit: int
    ) -> tuple[SourcePage, int]:
        """The page from ``offset`` on, asked for with half the limit where it is too large."""
        while True:
            try:
                return self._page(pages.page, path, limit, offset), limit
            except AnswerTooLarge as error:
                if limit == 1:
                    raise too_large_at_last(error) from error
                limit //= 2

    def _read_each(self, roots: Iterable[int], into: SourceRows) -> str:
        """Read the roots' own records, forget those that are gone, and tell why some are missing.

        What the list shows is not gone (R4), so the list is not whole where the record is: whether
        it has gone meanwhile, and what hung below it, the next list tells.
        """
        because, in_a_row = "", 0
        for root in roots:
            try:
                into.add([self._record(root)])
            except UnknownId:
                into.forget(root)
                because = because or _gone_meanwhile(root)
            except (RateLimited, Maintenance, NotFound):  # 404 is an unknown method
                raise
            except OF_ONE as error:
                in_a_row += 1
                if in_a_row >= _FAILURES_IN_A_ROW:
                    raise
                because = because or _missing(root, error)
                continue
            in_a_row = 0
        return because

    def _record(self, milestone_id: int) -> object:
        path = _path("get_milestone", milestone_id)

        def read(value: object) -> object:
            if not isinstance(value, dict):
                raise ValueError("a milestone should be an object")
            require_no_error(value)
            if read_id(value) != milestone_id:
                raise ValueError("it is another milestone's record, or has no id")
            return value

        return self._transport.get(path, read, by_id=True)


def _filters(is_completed: bool | None, is_started: bool | None) -> str:
    given = {"is_completed": is_completed, "is_started": is_started}
    return "".join(f"&{name}={value:d}" for name, value in given.items() if value is not None)


def _path(method: str, number: int) -> str:
    return f"index.php?/api/v2/{method}/{number}"


def _milestone(value: object) -> SourceMilestone:
    read = parse_source(value)
    if isinstance(read, BadRecord):
        raise ValueError(read.reason)
    return read


def _listing(rows: SourceRows, because: str) -> SourceListing:
    because = because or rows.because
    return SourceListing(rows.milestones, rows.problems, not because, because, rows.unchanged)


def _gone_meanwhile(root: int) -> str:
    return f"TestRail lists milestone {root} and answers that it does not exist"


def _missing(root: int, error: ApiError) -> str:
    return f"the sub-milestones of {root} could not be read: {error.message}"
