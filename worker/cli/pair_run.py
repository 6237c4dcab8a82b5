"""One pair's part of a migration, so that several can be open at once and fail on their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from contextvars import copy_context
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import structlog

from mappings.commands import for_project
from mappings.deliveries import Deliveries
from mappings.errors import MilesyncError
from worker.sync.apply.updates import FRESH
from worker.sync.context import PlannedRun
from worker.sync.report import RunReport, State, action_json, unrecorded, worst
from worker.sync.reviewed_plan import differences
from worker.sync.run import Run

if TYPE_CHECKING:
    from mappings.link import Link
    from mappings.rows import PairIdentity
    from worker.bootstrap import Deployment
    from worker.settings import ProjectPair
    from worker.sync.apply.outcome import Outcome
    from worker.sync.decide.snapshot import Snapshot
    from worker.sync.options import Options


log = structlog.get_logger(__name__)
_SOME = 1000
"""Links that are read together."""


class PairRun:
    """Holds one pair from its lock to its report; an error of its own ends only this one.

    ``report`` says how it ended, ``outcomes`` what came of each milestone.
    """

    def __init__(self, deployment: Deployment, pair: ProjectPair, options: Options) -> None:
        self.pair = pair
        self._deployment = deployment
        self._options = options
        # the log's context of one run must not spill over into those that are open beside it
        self._context = copy_context()
        self._stack = ExitStack()
        self._run: Run | None = None
        self._planned_at: datetime | None = None
        self._report: RunReport | None = None
        self._hinted: int | None = None
        """The newest webhook call that waited for a reading before this run's began."""

    @property
    def identity(self) -> PairIdentity:
        """The pair in the database."""
        return self._deployment.identity(self.pair)

    @property
    def planned(self) -> PlannedRun | None:
        """The plan, while it is still to be applied."""
        if self._report is not None or self._run is None:
            return None
        return self._run.planned

    @property
    def report(self) -> RunReport:
        """How it ended; only once it has."""
        assert self._report is not None  # noqa: S101  (nobody asks before `end`)
        return self._report

    @property
    def outcomes(self) -> list[Outcome]:
        """What came of each milestone by the end."""
        return [] if self._run is None else self._run.ended

    def links_in_step(self) -> Iterator[Link]:
        """The links of the milestones that agreed as before, of which there are no outcomes."""
        run = self._run
        if run is None or run.planned is None or not run.recording.in_step:
            return
        known = {outcome.action.testrail_id for outcome in run.ended}
        ids = [id_ for id_ in run.planned.plan.in_step.named if id_ not in known]
        for start in range(0, len(ids), _SOME):
            some = ids[start : start + _SOME]
            yield from run.context.store.links(run.pair.id, some).values()

    @property
    def snapshot(self) -> Snapshot:
        """What was read of both sides; only where there are outcomes."""
        assert self._run is not None  # noqa: S101
        assert self._run.planned is not None  # noqa: S101
        return self._run.planned.snapshot

    def last_seen(self, testrail_id: int) -> Snapshot:
        """The snapshot in which a milestone was read last: the proof's, if that has read it."""
        proof = self._run.proof if self._run else None
        read = proof.snapshot if proof else None
        is_there = read is not None and testrail_id in read.source.milestones
        return read if read is not None and is_there else self.snapshot

    def plan(self) -> None:
        """Take the pair, read both sides and plan."""
        self._guarded(self._plan)

    def _plan(self) -> None:
        by_timer = not self._options.by_person  # a `sync`, which may be a timer's
        opened = self._deployment.context(self.pair, scheduled=by_timer)
        context = self._stack.enter_context(opened)
        self._run = Run(context, self._options)
        self._stack.enter_context(self._run)
        self._decide(self._run)

    def _decide(self, run: Run) -> None:
        run.planned = None  # of a large pair, one plan is enough to hold
        self._hinted = Deliveries(run.context.store.engine).newest(self.pair.testrail)
        run.plan()
        self._planned_at = run.context.clock.now()

    @property
    def is_old(self) -> bool:
        """Whether it was read too long ago for its first write, which is still to come."""
        run, planned = self._run, self.planned
        if run is None or planned is None or self._planned_at is None:
            return False
        return bool(planned.plan.changes) and run.context.clock.now() - self._planned_at > FRESH

    def plan_again(self) -> list[str]:
        """Read both sides once more and decide anew; in what it would do otherwise, in words."""
        run, before = self._run, self._changes()
        if run is not None:
            self._guarded(lambda: self._decide(run))
        return differences(before, self._changes()) if self.planned is not None else []

    def _changes(self) -> dict[str, Any]:
        """What is to be done, as a plan that can be compared."""
        changes = self.planned.plan.changes if self.planned is not None else ()
        pair = {
            "testrail_project": self.identity.testrail_project,
            "testably_project": self.identity.testably_project,
            "actions": [action_json(action) for action in changes],
        }
        return {"projects": [pair]}

    def apply(self, on_outcome: Callable[[Outcome], None]) -> None:
        """Do what was planned, and let go of the pair."""
        run = self._run
        if run is not None and self.planned is not None:
            self._guarded(lambda: run.apply(on_outcome))
            self.end()
            self._close_hinted(run)

    def _close_hinted(self, run: Run) -> None:
        """Close the webhook calls for which this run has read, as the slices of a service do."""
        is_whole = self._options.only is None and self.report.error is None
        if self._hinted is None or not is_whole or self.report.tries_again:
            return
        from worker.tasks.hinted import Waiting

        try:
            waiting = Waiting(self._deployment, self.pair.testrail, None, self._hinted)
            waiting.were_read([run.pair.id])
        except MilesyncError as error:
            log.warning("no webhook call could be closed", error=error.message)

    def _guarded(self, work: Callable[[], object]) -> None:
        try:
            self._context.run(work)
        except MilesyncError as error:
            self.end(error)

    def end(self, error: BaseException | None = None) -> None:
        """Let go of the pair, because of an error if there is one; the first end counts."""
        if self._report is not None:
            return
        ended = (None, None, None) if error is None else (type(error), error, error.__traceback__)
        try:
            self._context.run(self._stack.__exit__, *ended)
        except MilesyncError as worse:  # its end could not be recorded
            error = worse
        self._report = self._run.report if self._run else unrecorded(self.identity, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end(error)


Naming = Callable[[int], int | None]
"""What the commands about a TestRail project name, as in `Deployment.project_to_name`."""


def runs_json(reports: Iterable[RunReport], name: Naming, *, proves: bool = True) -> dict[str, Any]:
    """The document of ``migrate --json``: all runs, and the first error that ended one.

    Where nobody wanted the proof (not ``proves``), there is no ``verified`` of a run without one.
    """
    ended = list(reports)
    state = worst(report.state for report in ended)
    projects = [_named(report.as_json(), name) for report in ended]
    for project in projects:
        if not proves and project["verified"] is None:
            del project["verified"]
    document: dict[str, Any] = {"state": state.value, "projects": projects}
    errors = [project["error"] for project in projects if "error" in project]
    if errors and state in (State.FAILED, State.ABORTED):
        document["error"] = errors[0]
    return document


def projects_json(found: Iterable[dict[str, Any]], name: Naming) -> dict[str, Any]:
    """The document of a command that only reads: its projects, and the first error."""
    projects = [_named(one, name) for one in found]
    errors = [project["error"] for project in projects if "error" in project]
    failed = {"state": State.FAILED.value, "error": errors[0]} if errors else {}
    return {**failed, "projects": projects}


def _named(project: dict[str, Any], name: Naming) -> dict[str, Any]:
    """One project's object whose hints name the project in their commands, where they have to."""
    id_ = name(project["testrail_project"])

    def described(one: dict[str, Any]) -> dict[str, Any]:
        return {**one, "hint": for_project(one["hint"], id_)}

    error = {"error": described(project["error"])} if "error" in project else {}
    guards = {"guards": list(map(described, project["guards"]))} if "guards" in project else {}
    return {**project, **error, **guards}
