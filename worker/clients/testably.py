"""Testably's milestones, API v1: list, detail, create and update.

Source: the Testably page on milestones. There is no DELETE, no status in POST and no parent in
PATCH; the list counts its milestones in ``meta.total``, by which a listing is known complete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final
from urllib.parse import quote

from mappings.milestone import BadRecord, TargetMilestone, Values
from worker.clients.bounds import TRIES, too_large_at_last
from worker.clients.projects import Project, list_target
from worker.clients.records import parse_target
from worker.clients.target_list import TargetList
from worker.clients.target_rows import PER_PAGE, TargetPage, TargetRows, read_page, together
from worker.clients.transport import Transport
from worker.errors import (
    AnswerTooLarge,
    ApiError,
    EmptyAnswer,
    MilestoneNotFound,
    NotFound,
    Refused,
    Transient,
)
from worker.sync.lanes import Lanes
from worker.sync.ports import NO_TARGET_KNOWN, TakeOne, TargetListing
from worker.sync.streak import Streak

_CREATED_WITH: Final = ("description", "start_date", "due_date")


class Testably:
    """The client; `Target` of the one path. Every method may raise ApiError.

    ``lanes`` makes what asks for several pages of a list, or milestones, side by side.
    """

    __test__ = False  # the name is the product's; it is no test case

    def __init__(self, transport: Transport, lanes: Callable[[], Lanes] = Lanes) -> None:
        self._transport = transport
        self._lanes = lanes

    @property
    def requests(self) -> int:
        """How many HTTP requests this client has sent so far, repeats included."""
        return self._transport.requests

    @property
    def last_status(self) -> int | None:
        """The HTTP status of the last answer that came for this thread."""
        return self._transport.last_status

    @property
    def request_timeout(self) -> float:
        """The total deadline of one request, in seconds."""
        return self._transport.request_timeout

    def list_projects(self) -> list[Project]:
        """Every project that the token may see."""
        return list_target(self._transport.get)

    def list_page(
        self,
        project_id: str,
        *,
        status: str | None = None,
        page: int = 1,
        per_page: int = PER_PAGE,
        known: Mapping[str, str] = NO_TARGET_KNOWN,
    ) -> TargetPage:
        """One page of a project's milestones; ``status`` is active, completed or archived."""
        path = _page_path(project_id, status, per_page)(page)
        return self._transport.get(path, lambda value: read_page(value, per_page, known))

    def list_all(
        self,
        project_id: str,
        status: str | None = None,
        known: Mapping[str, str] = NO_TARGET_KNOWN,
    ) -> TargetListing:
        """Every page of the list, tried up to three times until it is complete.

        After that what all tries brought together, marked incomplete. ``known`` are fingerprints
        by id: a milestone that has its own is not kept.
        """
        found = TargetListing(complete=False)
        for _ in range(TRIES):
            rows = self._list_that_fits(project_id, status, known)
            if rows.listing.complete:
                return rows.listing
            found = together(found, rows.listing)
            if rows.is_too_much:
                break
        return found

    def repeats(self, digests: Mapping[str, str]) -> bool:
        """Whether the questions of an earlier reading are still answered as they were then."""
        return self._transport.repeats(digests, self._lanes())

    def check_project(self, project_id: str) -> None:
        """Return if the project answers. Raises NotFound: then no 404 says anything of an item.

        Raises Transient where the question is refused, so that nobody takes that for a milestone's.
        """
        path = _page_path(project_id, None, 1)(1)
        try:
            self._transport.ask(path, lambda value: read_page(value, 1), anew=True)
        except Refused as error:
            raise Transient(error.api, error.message, status=error.status) from error

    def get(self, project_id: str, milestone_id: str) -> TargetMilestone:
        """One milestone with its sub-milestones and linked runs.

        Raises NotFound for its 404; whoever concludes from that asks `check_project` (R4).
        """

        return self._get(project_id, milestone_id, Lanes())

    def get_each(
        self,
        project_id: str,
        ids: Mapping[int, str],
        take: TakeOne,
        streak: Streak | None = None,
    ) -> None:
        """`get` each of ``ids``, side by side; ``take`` is told its key and what came of it.

        That is the milestone, or the error that concerns it alone; any other is raised.
        ``streak`` says how often the rest are tried, and goes on in the next call.
        """
        lanes, row = self._lanes(), streak or Streak()

        def read(key: int) -> None:
            ask = partial(self._get, project_id, ids[key], lanes, once=row.is_sparing)
            take(key, row.read(ask))

        lanes.each(ids, read, lambda key: (key, None))

    def _get(
        self, project_id: str, milestone_id: str, lanes: Lanes, *, once: bool = False
    ) -> TargetMilestone:
        read, path = partial(_same, milestone_id), _path(project_id, milestone_id)
        return self._transport.ask(path, read, lanes=lanes, once=once).value

    def wait_for_permit(self) -> None:
        """Return when the rate limiter has granted this caller one request."""
        self._transport.wait_for_permit()

    def create(self, project_id: str, values: Values, parent_id: str | None) -> TargetMilestone:
        """POST once, never repeated, on a permit already granted by `wait_for_permit`.

        Sends ``name`` and those of ``description``, ``start_date``, ``due_date`` and
        ``parent_id`` that are not None; never a status. Raises MilestoneNotFound where a 404
        concerns it or its parent alone, and NotFound where the project is not there.
        """
        given = {key: values.get(key) for key in _CREATED_WITH} | {"parent_id": parent_id}
        body = {"name": values["name"]}
        body |= {key: value for key, value in given.items() if value is not None}
        try:
            return self._transport.post(_path(project_id), body, _milestone)
        except NotFound as error:
            raise self._not_found(project_id, error) from error

    def update(self, project_id: str, milestone_id: str, values: Values) -> TargetMilestone:
        """PATCH once, never repeated, with exactly ``values``, on a permit already granted.

        What came of it is read where the answer is empty. Raises MilestoneNotFound where a 404
        concerns this milestone alone, and NotFound where the project is not there.
        """

        def read(value: object) -> TargetMilestone:
            return _same(milestone_id, value)

        try:
            return self._transport.patch(_path(project_id, milestone_id), dict(values), read)
        except NotFound as error:
            raise self._not_found(project_id, error) from error
        except EmptyAnswer as error:
            try:
                return self.get(project_id, milestone_id)
            except ApiError as unread:
                raise error from unread

    def _not_found(self, project_id: str, error: NotFound) -> NotFound:
        """What a write's 404 concerns: one milestone, if the project itself still answers."""
        self.check_project(project_id)
        return MilestoneNotFound(error.api, error.message, status=error.status)

    def _list_that_fits(
        self, project_id: str, status: str | None, known: Mapping[str, str]
    ) -> TargetRows:
        """One pass over the pages; with half as many rows a page where they are too large."""
        per_page = PER_PAGE
        while True:
            try:
                return self._list_once(project_id, status, per_page, known)
            except AnswerTooLarge as error:
                if per_page == 1:
                    raise too_large_at_last(error) from error
                per_page //= 2

    def _list_once(
        self, project_id: str, status: str | None, per_page: int, known: Mapping[str, str]
    ) -> TargetRows:
        path = _page_path(project_id, status, per_page)
        read = partial(read_page, per_page=per_page, known=known)
        return TargetList(self._transport, self._lanes(), path, read).read()


def _page_path(project_id: str, status: str | None, per_page: int) -> Callable[[int], str]:
    """The address of each page by its number."""
    query = f"per_page={per_page}" + (f"&status={quote(status, safe='')}" if status else "")
    return lambda page: f"{_path(project_id)}?page={page}&{query}"


def _path(project_id: str, milestone_id: str | None = None) -> str:
    path = f"v1/projects/{_segment(project_id)}/milestones"
    return path if milestone_id is None else f"{path}/{_segment(milestone_id)}"


def _segment(text: str) -> str:
    quoted = quote(text, safe="")
    # "." and ".." would be steps of the path, and lead to another address.
    return quoted if quoted.strip(".") else quoted.replace(".", "%2E")


def _milestone(value: object) -> TargetMilestone:
    inner = value.get("data") if isinstance(value, dict) and "id" not in value else None
    read = parse_target(inner if isinstance(inner, dict) else value)
    if isinstance(read, BadRecord):
        raise ValueError(read.reason)
    return read


def _same(milestone_id: str, value: object) -> TargetMilestone:
    read = _milestone(value)
    if read.id != milestone_id:
        raise ValueError("it is another milestone's record")
    return read
