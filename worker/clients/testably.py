"""Testably's milestones, API v1: list, detail, create and update.

Source: the Testably page on milestones. There is no DELETE, no status in POST and no parent in
PATCH; the list counts its milestones in ``meta.total``, by which a listing is known complete.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

from mappings.milestone import BadRecord, TargetMilestone, Values
from worker.clients.records import parse_target
from worker.clients.transport import Transport
from worker.sync.ports import TargetListing

PER_PAGE: Final = 100
TRIES: Final = 3
_CREATED_WITH: Final = ("description", "start_date", "due_date")


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


class Testably:
    """The client; `Target` of the one path. Every method may raise ApiError."""

    __test__ = False  # the name is the product's; it is no test case

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def requests(self) -> int:
        """How many HTTP requests this client has sent so far, repeats included."""
        return self._transport.requests

    @property
    def request_timeout(self) -> float:
        """The total deadline of one request, in seconds."""
        return self._transport.request_timeout

    def list_page(
        self,
        project_id: str,
        *,
        status: str | None = None,
        page: int = 1,
        per_page: int = PER_PAGE,
    ) -> TargetPage:
        """One page of a project's milestones; ``status`` is active, completed or archived."""
        query = f"page={page}&per_page={per_page}"
        if status is not None:
            query += f"&status={quote(status, safe='')}"
        return self._transport.get(f"{_path(project_id)}?{query}", _page)

    def list_all(self, project_id: str, status: str | None = None) -> TargetListing:
        """Every page of the list, tried up to three times until it is complete.

        After that what all tries brought together, marked incomplete.
        """
        found = TargetListing(complete=False)
        for _ in range(TRIES):
            listing, provable = self._list_once(project_id, status)
            if listing.complete:
                return listing
            found = _together(found, listing)
            if not provable:
                break
        return found

    def get(self, project_id: str, milestone_id: str) -> TargetMilestone:
        """One milestone with its sub-milestones and linked runs. Raises NotFound."""

        def read(value: object) -> TargetMilestone:
            return _same(milestone_id, value)

        return self._transport.get(_path(project_id, milestone_id), read)

    def wait_turn(self) -> None:
        """Return when the rate ledger has granted this caller one request."""
        self._transport.wait_turn()

    def create(self, project_id: str, values: Values, parent_id: str | None) -> TargetMilestone:
        """POST once, never repeated, on a turn already granted by `wait_turn`.

        Sends ``name`` and those of ``description``, ``start_date``, ``due_date`` and
        ``parent_id`` that are not None; never a status.
        """
        given = {key: values.get(key) for key in _CREATED_WITH} | {"parent_id": parent_id}
        body = {"name": values["name"]}
        body |= {key: value for key, value in given.items() if value is not None}
        return self._transport.post(_path(project_id), body, _milestone)

    def update(self, project_id: str, milestone_id: str, values: Values) -> TargetMilestone:
        """PATCH once, never repeated, with exactly ``values``, on a turn already granted."""

        def read(value: object) -> TargetMilestone:
            return _same(milestone_id, value)

        return self._transport.patch(_path(project_id, milestone_id), dict(values), read)

    def _list_once(self, project_id: str, status: str | None) -> tuple[TargetListing, bool]:
        """One pass over the pages, and whether the last page said how many there are."""
        milestones: dict[str, TargetMilestone] = {}
        problems: list[BadRecord] = []
        seen: set[str] = set()
        number = 1
        while True:
            page = self.list_page(project_id, status=status, page=number)
            brought_new = not page.ids <= seen
            seen |= page.ids
            milestones.update((found.id, found) for found in page.milestones)
            problems.extend(page.problems)
            if not brought_new or (page.total is not None and len(seen) >= page.total):
                break
            number += 1
        readable = all(problem.id is not None for problem in problems)
        complete = readable and page.total == len(seen)
        return TargetListing(milestones, tuple(problems), complete), page.total is not None


def _path(project_id: str, milestone_id: str | None = None) -> str:
    path = f"v1/projects/{_segment(project_id)}/milestones"
    return path if milestone_id is None else f"{path}/{_segment(milestone_id)}"


def _segment(text: str) -> str:
    quoted = quote(text, safe="")
    # "." and ".." would be steps of the path, and lead to another address.
    return quoted if quoted.strip(".") else quoted.replace(".", "%2E")


def _page(value: object) -> TargetPage:
    rows = value.get("data") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(rows, list):
        raise ValueError("a list should be an object with an array named data")
    read = [parse_target(row) for row in rows]
    meta = value.get("meta")
    return TargetPage(
        tuple(found for found in read if isinstance(found, TargetMilestone)),
        tuple(
            replace(found, path=f"data[{index}].{found.path}".rstrip("."))
            for index, found in enumerate(read)
            if isinstance(found, BadRecord)
        ),
        total=_count(meta, "total"),
        per_page=_count(meta, "per_page"),
    )


def _count(meta: object, name: str) -> int | None:
    found = meta.get(name) if isinstance(meta, dict) else None
    return found if type(found) is int and found >= 0 else None


def _milestone(value: object) -> TargetMilestone:
    inner = value.get("data") if isinstance(value, dict) else None
    read = parse_target(inner if isinstance(inner, dict) else value)
    if isinstance(read, BadRecord):
        raise ValueError(read.reason)
    return read


def _same(milestone_id: str, value: object) -> TargetMilestone:
    read = _milestone(value)
    if read.id != milestone_id:
        raise ValueError("it is another milestone's record")
    return read


def _together(one: TargetListing, other: TargetListing) -> TargetListing:
    """What two tries brought; the later one knows better, and a problem counts once."""
    milestones = {**one.milestones, **other.milestones}
    problems = {(bad.id, bad.path): bad for bad in (*one.problems, *other.problems)}
    return TargetListing(milestones, tuple(problems.values()), complete=False)
