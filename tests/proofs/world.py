"""A world for the proofs: both sides in memory, a database, a clock, and a process that may die.

Everything that milesync writes at the target goes through a watched model, so that the proofs
know who wrote a value; what people do goes to the models directly.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import cast

from sqlalchemy import Engine

from mappings.footer import marked_id
from mappings.milestone import ARCHIVED, FIELDS
from mappings.store import Store
from tests.support.database import fresh_engine
from tests.support.in_memory import InMemorySource, InMemoryTarget
from tests.support.mortal import Boundaries, Died, MortalRunLog, MortalStore
from tests.support.world import NEVER, PROJECT, URL
from tests.support.world import World as PairWorld
from worker.sandbox.faults import Fault, FaultKind
from worker.sandbox.rules import Problem, Record
from worker.sandbox.switches import TestablySwitches, TestRailSwitches
from worker.sandbox.testably_model import Listing, TestablyModel
from worker.sandbox.testrail_model import Page, TestRailModel
from worker.sync.apply.writer import GRACE
from worker.sync.context import PairContext
from worker.sync.lanes import Lanes
from worker.sync.options import Options, Policy, Trigger
from worker.sync.read.answers import Answers
from worker.sync.read.scope import Scope
from worker.sync.report import RunReport
from worker.sync.run import run_pair

TIMEOUT = 30.0
MIGRATION = Options(trigger=Trigger.MIGRATION)


# --- the two sides ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Write:
    """A write of milesync that the target carried out."""

    method: str
    testably_id: str
    body: Record


class _WatchedSource:
    def __init__(self, model: TestRailModel, point: Boundaries) -> None:
        self._model = model
        self._point = point
        self.switches = model.switches

    def page(self, project_id: int, *, offset: int = 0) -> Page:
        self._point("before GET source list")
        answer = self._model.page(project_id, offset=offset)
        self._point("after GET source list")
        return answer

    def get(self, milestone_id: int) -> Record:
        self._point("before GET source milestone")
        answer = self._model.get(milestone_id)
        self._point("after GET source milestone")
        return answer


class _WatchedTarget:
    """The target as a process sees it that may die; what it writes is noted in the world."""

    def __init__(self, world: World, point: Boundaries, late_by: float | None) -> None:
        self._world = world
        self._model = world.ably
        self._point = point
        self._late_by = late_by

    def listing(self, project: str, status: str | None, page: int, per_page: int) -> Listing:
        self._point("before GET list")
        answer = self._model.listing(project, status, page, per_page)
        self._point("after GET list")
        return answer

    def get(self, project: str, milestone_id: str) -> Record:
        self._point("before GET milestone")
        answer = self._model.get(project, milestone_id)
        self._point("after GET milestone")
        return answer

    def create(self, project: str, body: Record) -> Record:
        return self._write("POST", lambda: self._create(project, body))

    def update(self, project: str, milestone_id: str, body: Record) -> Record:
        return self._write("PATCH", lambda: self._update(project, milestone_id, body))

    def _write(self, method: str, work: Callable[[], Record]) -> Record:
        if self._world.arriving:
            return work()
        try:
            self._point(f"before {method}")
        except Died:
            if self._late_by is not None:
                self._world.under_way(self._late_by, work)
            raise
        answer = work()
        self._point(f"after {method}")
        return answer

    def _create(self, project: str, body: Record) -> Record:
        answer = self._model.create(project, body)
        self._world.note(Write("POST", str(answer["id"]), body))
        return answer

    def _update(self, project: str, milestone_id: str, body: Record) -> Record:
        answer = self._model.update(project, milestone_id, body)
        self._world.note(Write("PATCH", milestone_id, body))
        return answer


@dataclass
class FaultScript:
    """The faults of a run's successive writes and of its successive reads; None is no fault."""

    writes: Sequence[FaultKind | None] = ()
    reads: Sequence[FaultKind | None] = ()
    late_by: float = 0.0
    on_late: Callable[[float], None] = lambda _: None
    _seen: dict[bool, int] = field(default_factory=dict)

    def __call__(self, method: str, _what: str) -> Fault | None:
        is_read = method == "GET"
        script = self.reads if is_read else self.writes
        number = self._seen.get(is_read, 0)
        self._seen[is_read] = number + 1
        kind = script[number] if number < len(script) else None
        if kind is None:
            return None
        if kind is FaultKind.LATE:
            self.on_late(self.late_by)
        return Fault(kind)


class World(PairWorld):
    """Both sides, the database and the clock, and what has been written by whom."""

    def __init__(
        self, rail: TestRailSwitches | None = None, ably: TestablySwitches | None = None
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="milesync-proofs-")
        self._databases = 0
        super().__init__(self._new_engine())
        self.behave(rail, ably)
        self.writes: list[Write] = []
        self.made_by_us: dict[str, int] = {}
        self.authors: dict[tuple[str, str], str] = {}
        self.forgotten: set[str] = set()
        self.on_write: Callable[[Write], None] = lambda _: None
        self.arriving = False
        self.arrived = 0
        self.lanes: Callable[[], Lanes] = Lanes

    def close(self) -> None:
        self.engine.dispose()
        self._folder.cleanup()

    def lose_database(self) -> None:
        """Begin with an empty one; its history is lost with it, and all but the markers."""
        self.engine.dispose()
        self.forgotten.update(self.target_ids())
        self.engine = self._new_engine()
        self.store = Store(self.engine)
        self.authors.clear()

    def _new_engine(self) -> Engine:
        self._databases += 1
        return fresh_engine(Path(self._folder.name), f"milesync-{self._databases}")

    # --- what milesync does

    def context(
        self,
        policy: Policy | None = None,
        *,
        point: Boundaries | None = None,
        faults: FaultScript | None = None,
        dies_late_by: float | None = None,
        drift_check: timedelta | None = timedelta(0),
    ) -> PairContext:
        """A process of milesync. ``dies_late_by`` carries out a write that was being sent when
        it died, so many seconds later."""
        point = point or Boundaries()
        watched = _WatchedTarget(self, point, dies_late_by)
        answers = Answers()
        target = InMemoryTarget(
            cast(TestablyModel, watched),
            self.clock,
            faults,
            request_timeout=TIMEOUT,
            pace=1.0,
            answers=answers,
        )
        if faults is not None:
            faults.on_late = lambda delay: self.under_way(TIMEOUT + delay, target.arrive)
        source = InMemorySource(
            cast(TestRailModel, _WatchedSource(self.rail, point)), answers=answers
        )
        return PairContext(
            self.identity,
            self.rules,
            policy or self.policy,
            source,
            target,
            MortalStore(self.engine, point),
            MortalRunLog(self.engine, point),
            self.clock,
            "the proof",
            drift_check,
            heartbeat_every=NEVER,
            lanes=self.lanes,
            answers=answers,
        )

    def migrate(self, policy: Policy | None = None) -> RunReport:
        """A clean migration."""
        return run_pair(self.context(policy), MIGRATION, Scope())

    def under_way(self, delay: float, work: Callable[[], object]) -> None:
        """A request that the server carries out later."""

        def arrive() -> None:
            self.arriving = True
            try:
                work()
            finally:
                self.arriving = False

        self.clock.alarm(delay, _unless_refused(arrive))

    def calm_down(self) -> None:
        """Let everything arrive that is under way, and every claim run out."""
        self.clock.sleep(TIMEOUT + 2 * GRACE.total_seconds() + 10)

    def note(self, write: Write) -> None:
        """milesync wrote this."""
        self.on_write(write)
        self.writes.append(write)
        self.arrived += self.arriving
        for name in write.body:
            self.authors[write.testably_id, name] = "milesync"
        if write.method == "POST":
            marked = marked_id(cast(str, write.body.get("description")), URL)
            assert marked is not None, "a milestone was created without its marker"
            self.made_by_us[write.testably_id] = marked

    # --- what people do

    def source_ids(self) -> list[int]:
        return [cast(int, row["id"]) for row in self.rail.everything(1)]

    def target_ids(self) -> list[str]:
        return [str(row["id"]) for row in self.ably.everything(PROJECT)]

    def person_edits(self, testably_id: str, body: Record) -> None:
        """A person edits a milestone in Testably."""
        self.ably.update(PROJECT, testably_id, body)
        for name in body:
            self.authors[testably_id, name] = "person"

    def make_target(self, body: Record) -> str:
        """A person makes a milestone in Testably."""
        return str(self.ably.create(PROJECT, body)["id"])

    # --- what is true

    def rows(self) -> list[Record]:
        """Every milestone in Testably as it is stored, archived and unlisted ones too."""
        ably, switches = self.ably, self.ably.switches
        ably.switches = replace(switches, unsteady=False)
        try:
            return ably.everything(PROJECT)
        finally:
            ably.switches = switches

    def doubles(self) -> dict[int, list[str]]:
        """Source ids with more than one living target that milesync made.

        Where no link holds it, and the marker was taken away by a person, or cut off by the target
        before a person edited it or the database was lost, nothing tells any more whose it is.
        """
        pair = self.store.find_pair(self.identity)
        links = {} if pair is None else self.store.links(pair.id)
        linked = {link.testably_id for link in links.values()}
        found: dict[int, list[str]] = {}
        for row in self.ably.live(PROJECT):
            id_ = str(row["id"])
            owner = self.made_by_us.get(id_)
            marked = marked_id(str(row["description"] or ""), URL)
            edited = any(self.authors.get((id_, name)) == "person" for name in FIELDS[:-1])
            is_lost = id_ not in linked and (edited or id_ in self.forgotten)
            if owner is not None and (owner == marked or not is_lost):
                found.setdefault(owner, []).append(id_)
        return {owner: ids for owner, ids in found.items() if len(ids) > 1}

    def is_archived(self, testably_id: str) -> bool:
        return any(
            row["id"] == testably_id and row["status"] == ARCHIVED
            for row in self.ably.everything(PROJECT)
        )


def _unless_refused(work: Callable[[], None]) -> Callable[[], None]:
    def tried() -> None:
        try:
            work()
        except Problem:
            return  # the milestone has gone in the meantime

    return tried
