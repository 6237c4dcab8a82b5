"""The source and the target of `worker.sync.ports` over the sandbox models, without HTTP.

They raise what an HTTP client would raise and count the requests it would send, and so pass the
same contract suite. A fault hook, such as a `Faults`, may let any request fail. Unlike the HTTP
clients they never repeat a read by themselves: every fault is seen by the caller.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, TypeVar

from mappings.milestone import BadRecord, SourceMilestone, TargetMilestone, Values
from worker.clients.pauses import MOST_IN_A_ROW
from worker.clients.records import parse_source, parse_target
from worker.clients.source_rows import SourceRows
from worker.clients.target_rows import TargetRows, read_page
from worker.clock import Clock
from worker.errors import (
    AccessDenied,
    ApiError,
    ConnectionLost,
    CredentialsRefused,
    Done,
    Maintenance,
    MilestoneNotFound,
    NotFound,
    RateLimited,
    Redirected,
    Refused,
    ServerTrouble,
    TimedOut,
    UnknownId,
    UnreadableAnswer,
)
from worker.sandbox.faults import CARRIED_OUT, Fault, FaultKind
from worker.sandbox.rules import Problem, Record
from worker.sandbox.testably_model import PAGE as TARGET_PAGE
from worker.sandbox.testably_model import Listing, TestablyModel
from worker.sandbox.testrail_model import PAGE as SOURCE_PAGE
from worker.sandbox.testrail_model import Page, TestRailModel
from worker.sync.ports import (
    NO_TARGET_KNOWN,
    NOTHING_KNOWN,
    SourceListing,
    TakeOne,
    TargetListing,
)
from worker.sync.read.answers import Answers
from worker.sync.streak import Streak

FaultHook = Callable[[str, str], Fault | None]
"""Given the HTTP method and what is asked for, the fault of this request, or None."""

_Answer = TypeVar("_Answer")
_ATTEMPTS: Final = 3
_TARGET_LIST: Final = re.compile(r"milestones\?status=(\w*)&page=(\d+)&per_page=\d+")

_RAISED: Final[Mapping[FaultKind, tuple[type[ApiError], int | None]]] = {
    FaultKind.SERVER_ERROR: (ServerTrouble, 500),
    FaultKind.SERVER_ERROR_AFTER: (ServerTrouble, 500),
    FaultKind.BAD_GATEWAY_HTML: (ServerTrouble, 502),
    FaultKind.HTML: (UnreadableAnswer, 200),
    FaultKind.RATE_LIMITED: (RateLimited, 429),
    FaultKind.RATE_LIMITED_BARE: (RateLimited, 429),
    FaultKind.RESET: (ConnectionLost, None),
    FaultKind.RESET_AFTER: (ConnectionLost, None),
    FaultKind.CUT_BODY: (ConnectionLost, None),
    FaultKind.TIMEOUT: (TimedOut, None),
    FaultKind.TIMEOUT_AFTER: (TimedOut, None),
    FaultKind.LATE: (TimedOut, None),
    FaultKind.MAINTENANCE: (Maintenance, 409),
    FaultKind.REDIRECT: (Redirected, 302),
    FaultKind.REDIRECT_AFTER: (Redirected, 302),
}
_NOT_DONE: Final = (RateLimited, Maintenance, Refused)


class _Wire:
    """Where HTTP would be: counts requests, turns refusals into errors, lets requests fail."""

    def __init__(self, api: str, faults: FaultHook | None, answers: Answers | None) -> None:
        self.requests = 0
        self._answers = answers or Answers()
        self._api = api
        self._faults = faults
        self._under_way: list[Callable[[], object]] = []
        self._limited = 0

    def get(
        self, project: str, what: str, work: Callable[[], _Answer], *, repeatable: bool = True
    ) -> _Answer:
        """The answer to a question, which the reading under way keeps, or has already."""
        name = f"{self._api} {project}/{what}"
        told = self._answers.recall(name)
        if told is not None:
            answer: _Answer = pickle.loads(told.body)
            return answer
        answer = self.call("GET", what, work)
        self._answers.keep(name, pickle.dumps(answer), repeatable=repeatable)
        return answer

    def repeats(self, digests: Mapping[str, str], work_of: Callable[[str, str], object]) -> bool:
        """Whether questions are answered as before; ``work_of`` answers one of a project."""

        def ask(name: str) -> bytes:
            project, what = name.removeprefix(f"{self._api} ").split("/", 1)
            return pickle.dumps(self.call("GET", what, lambda: work_of(project, what)))

        own = [name for name in digests if name.startswith(f"{self._api} ")]
        return all(self._answers.repeat(name, digests[name], partial(ask, name)) for name in own)

    def call(self, method: str, what: str, work: Callable[[], _Answer]) -> _Answer:
        """The answer of one request, or the error that a client would raise for it."""
        self.requests += 1
        fault = self._faults(method, what) if self._faults else None
        if fault is None:
            self._limited = 0
            return self._done(what, work)
        if fault.kind is FaultKind.LATE:
            self._under_way.append(work)
        elif fault.kind in CARRIED_OUT:
            self._done(what, work)
        error = self._fault_error(fault, f"{method} {what}", write=method != "GET")
        if isinstance(error, RateLimited):
            self._limited += 1
            error.stays = self._limited >= MOST_IN_A_ROW
        raise error

    def arrive(self) -> None:
        """Let the server carry out what was still under way when its caller gave up."""
        while self._under_way:
            late = self._under_way.pop(0)
            try:
                late()
            except Problem:
                continue

    def _done(self, what: str, work: Callable[[], _Answer]) -> _Answer:
        try:
            return work()
        except Problem as problem:
            kind = self._error_class(what, problem.status)
            raise kind(self._api, problem.message, status=problem.status) from None

    def _error_class(self, what: str, status: int) -> type[ApiError]:
        if status == 400 and self._api == "TestRail":
            return UnknownId if what.startswith("get_milestone/") else NotFound
        kinds = {401: CredentialsRefused, 403: AccessDenied, 404: NotFound}
        return kinds.get(status, Refused)

    def _fault_error(self, fault: Fault, what: str, *, write: bool) -> ApiError:
        kind, status = _RAISED[fault.kind]
        maybe = write and not issubclass(kind, _NOT_DONE)
        known_wait = fault.kind is FaultKind.RATE_LIMITED
        return kind(
            self._api,
            f"{what}: {fault.kind}",
            status=status,
            done=Done.MAYBE if maybe else Done.NO,
            retry_after=float(fault.retry_after) if known_wait else None,
        )


class InMemorySource:
    """A `worker.sync.ports.Source` over a `TestRailModel`."""

    def __init__(
        self,
        model: TestRailModel,
        faults: FaultHook | None = None,
        answers: Answers | None = None,
    ) -> None:
        self.model = model
        self._wire = _Wire("TestRail", faults, answers)

    @property
    def requests(self) -> int:
        return self._wire.requests

    def read_project(
        self, project_id: int, *, known: Mapping[int, str] = NOTHING_KNOWN
    ) -> SourceListing:
        rows = self._all_pages(project_id)
        if self.model.switches.sub_milestones == "roots_only":
            rows = [self._detail(row) for row in rows]
        return _listing(rows, known)

    def recall(self, record: Mapping[str, object], parent_id: int | None) -> SourceMilestone | None:
        found = parse_source(dict(record), parent_id)
        return found if isinstance(found, SourceMilestone) else None

    def get_milestone(self, milestone_id: int) -> SourceListing:
        return _listing([self._record(milestone_id)])

    def repeats(self, digests: Mapping[str, str]) -> bool:
        def page(project: str, what: str) -> Page:
            return self.model.page(int(project), offset=int(what.rpartition("=")[2]))

        return self._wire.repeats(digests, page)

    def _all_pages(self, project_id: int) -> list[Record]:
        rows: list[Record] = []
        while True:
            page = self._page(project_id, len(rows))
            rows += page.rows
            if not page.rows or len(rows) >= page.total:
                return rows

    def _page(self, project_id: int, offset: int) -> Page:
        what = f"get_milestones/{project_id}&limit={SOURCE_PAGE}&offset={offset}"
        project = str(project_id)
        return self._wire.get(project, what, lambda: self.model.page(project_id, offset=offset))

    def _detail(self, row: Record) -> Record:
        own = row.get("id")
        if type(own) is not int:
            return row
        return self._record(own)

    def _record(self, milestone_id: int) -> Record:
        what = f"get_milestone/{milestone_id}"
        return self._wire.get("", what, lambda: self.model.get(milestone_id), repeatable=False)


def _listing(records: Iterable[object], known: Mapping[int, str] = NOTHING_KNOWN) -> SourceListing:
    rows = SourceRows(known)
    rows.add(records)
    return SourceListing(rows.milestones, rows.problems, unchanged=rows.unchanged)


class InMemoryTarget:
    """A `worker.sync.ports.Target` over a `TestablyModel`.

    ``permits`` counts the permits that callers waited for; every write needs one of its own. With a
    clock, time passes on it: ``pace`` seconds a permit, ``request_timeout`` for one that times out.
    """

    def __init__(
        self,
        model: TestablyModel,
        clock: Clock | None = None,
        faults: FaultHook | None = None,
        *,
        request_timeout: float = 30.0,
        pace: float = 0.0,
        answers: Answers | None = None,
    ) -> None:
        self.model = model
        self.permits = 0
        self.request_timeout = request_timeout
        self._clock = clock
        self._pace = pace
        self._wire = _Wire("Testably", faults, answers)

    @property
    def requests(self) -> int:
        return self._wire.requests

    @property
    def last_status(self) -> int | None:
        return None

    def list_all(
        self,
        project_id: str,
        status: str | None = None,
        known: Mapping[str, str] = NO_TARGET_KNOWN,
    ) -> TargetListing:
        listing = TargetListing(complete=False)
        for _ in range(_ATTEMPTS):
            listing = self._list_once(project_id, status, known)
            if listing.complete:
                break
        return listing

    def check_project(self, project_id: str) -> None:
        self._page(project_id, None, 1)

    def repeats(self, digests: Mapping[str, str]) -> bool:
        def answer(project: str, what: str) -> object:
            if (page := _TARGET_LIST.fullmatch(what)) is not None:
                return self.model.listing(project, page[1] or None, int(page[2]), TARGET_PAGE)
            return self.model.get(project, what.removeprefix("milestones/"))

        return self._wire.repeats(digests, answer)

    def get(self, project_id: str, milestone_id: str) -> TargetMilestone:
        def work() -> Record:
            return self.model.get(project_id, milestone_id)

        what = f"milestones/{milestone_id}"
        return self._read("GET", lambda: self._wire.get(project_id, what, work))

    def get_each(
        self,
        project_id: str,
        ids: Mapping[int, str],
        take: TakeOne,
        streak: Streak | None = None,
    ) -> None:
        row = streak or Streak()
        for key, milestone_id in ids.items():
            take(key, row.read(partial(self.get, project_id, milestone_id)))

    def wait_for_permit(self) -> None:
        self.permits += 1
        self._pass(self._pace)

    def create(self, project_id: str, values: Values, parent_id: str | None) -> TargetMilestone:
        sent = {**values, "parent_id": parent_id}
        body = {
            name: value for name, value in sent.items() if name != "status" and value is not None
        }
        return self._one("POST", "milestones", lambda: self.model.create(project_id, body))

    def update(self, project_id: str, milestone_id: str, values: Values) -> TargetMilestone:
        body = dict(values)
        what = f"milestones/{milestone_id}"
        try:
            return self._one(
                "PATCH", what, lambda: self.model.update(project_id, milestone_id, body)
            )
        except NotFound as error:
            self.check_project(project_id)
            raise MilestoneNotFound(error.api, error.message, status=404) from error

    def arrive(self) -> None:
        """Let the server carry out the writes of ``late`` faults now."""
        self._wire.arrive()

    def _list_once(
        self, project_id: str, status: str | None, known: Mapping[str, str]
    ) -> TargetListing:
        rows, number = TargetRows(), 1
        while not rows.is_over:
            page = self._page(project_id, status, number)
            rows.add(read_page(page.body, TARGET_PAGE, known))
            number += 1
        return rows.listing

    def _page(self, project_id: str, status: str | None, page: int) -> Listing:
        what = f"milestones?status={status or ''}&page={page}&per_page={TARGET_PAGE}"
        return self._wire.get(
            project_id, what, lambda: self.model.listing(project_id, status, page, TARGET_PAGE)
        )

    def _one(self, method: str, what: str, work: Callable[[], Record]) -> TargetMilestone:
        return self._read(method, lambda: self._wire.call(method, what, work))

    def _read(self, method: str, call: Callable[[], Record]) -> TargetMilestone:
        try:
            record = parse_target(call())
        except TimedOut:
            self._pass(self.request_timeout)
            raise
        if isinstance(record, BadRecord):
            done = Done.NO if method == "GET" else Done.MAYBE
            raise UnreadableAnswer("Testably", f"{record.path}: {record.reason}", done=done)
        return record

    def _pass(self, seconds: float) -> None:
        if self._clock is not None:
            self._clock.sleep(seconds)
