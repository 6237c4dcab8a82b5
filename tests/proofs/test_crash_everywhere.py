"""A run that dies at any of its boundaries, and one that resumes: the same end, every time.

A boundary is a point before or after an HTTP request or a commit. The clock stands still unless
somebody sleeps, so that waiting for what may still be under way costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from mappings.footer import marked_id
from mappings.milestone import TargetMilestone
from tests.proofs.world import MIGRATION, FaultScript, World
from tests.support.lanes import SteppedLanes
from tests.support.mortal import Boundaries, Died
from tests.support.world import IDENTITY, PROJECT, URL
from worker.clients.records import parse_target
from worker.sandbox.faults import FaultKind
from worker.sandbox.rules import Record
from worker.sandbox.seed import seed
from worker.sandbox.switches import TestablySwitches
from worker.sync.context import PairContext
from worker.sync.lanes import Lanes
from worker.sync.options import Phase
from worker.sync.read.scope import Scope
from worker.sync.report import RunReport, State
from worker.sync.run import run_pair
from worker.sync.undo import undo
from worker.sync.verify import verify

REQUESTS = {
    f"after {what}" for what in ("GET source list", "GET list", "GET milestone", "POST", "PATCH")
}
MILESTONES = 42
LATEST = 39.0
"""Seconds for which a server may still carry out what was being sent."""

LOST = (FaultKind.RESET_AFTER, None, FaultKind.TIMEOUT, FaultKind.SERVER_ERROR_AFTER)
"""Two creates that were carried out and one that was not; all are in doubt."""

End = dict[int | None, Any]


def _migrate(context: PairContext) -> RunReport:
    return run_pair(context, MIGRATION, Scope())


def _undo_last(context: PairContext) -> RunReport:
    """Take back the first run of all: the migration."""
    runs = context.runs.latest(context.store.pair(IDENTITY).id, 100)
    return undo(context, min(run.id for run in runs))


def _undo_newest(context: PairContext) -> RunReport:
    """Take back the newest run that was no undo, with what was edited since."""
    runs = context.runs.latest(context.store.pair(IDENTITY).id, 100)
    done = max(run.id for run in runs if "undoes" not in run.options)
    return undo(context, done, force=True)


@dataclass(frozen=True)
class Story:
    """What is there, the work that dies and is done again, and whether both sides then agree.

    ``lost`` says for each of its writes which answer is lost: then creates are in doubt.
    """

    prepare: Callable[[World], None]
    work: Callable[[PairContext], RunReport]
    agrees: bool = True
    lanes: Callable[[], Lanes] = Lanes
    lost: tuple[FaultKind | None, ...] = ()
    phases: tuple[Phase, ...] = tuple(Phase)

    def begin(self) -> World:
        world = World(ably=TestablySwitches(archived_subs_lock_status=False))
        world.lanes = self.lanes
        self.prepare(world)
        return world


def _many(world: World) -> None:
    _seed(world, MILESTONES)
    rows = world.rail.everything(1)
    assert len({row["parent_id"] for row in rows}) > 5
    assert sum(bool(row["is_completed"]) for row in rows) > 5


def _seed(world: World, count: int) -> None:
    seed(world.rail, 1, count)


def _migrated(world: World, count: int) -> None:
    _seed(world, count)
    assert world.migrate().state is State.SUCCEEDED
    world.clock.sleep(60)


def _changed(world: World) -> None:
    """Every kind of update: renamed, completed, reopened, postponed, added, deleted, edited."""
    above = _id(world.rail.add(1, {"name": "Above two"}))
    twins = [_id(world.rail.add(1, {"name": name, "parent_id": above})) for name in "AB"]
    _migrated(world, 14)
    rows = world.rail.everything(1)
    parents = {row["parent_id"] for row in rows}
    exclusive = [row for row in rows if row["id"] not in {*parents, *twins}]
    done = [_id(row) for row in exclusive if row["is_completed"]]
    still_open = [_id(row) for row in exclusive if not row["is_completed"]]
    today = world.rail.today()
    world.rail.update(done[0], {"is_completed": False, "name": "Reopened"})
    world.rail.update(done[1], {"description": "Another text"})
    world.rail.update(still_open[0], {"is_completed": True})
    world.rail.update(still_open[1], {"due_on": today, "start_on": None, "refs": "RF-1"})
    root = _id(world.rail.add(1, {"name": "New root"}))
    below = _id(world.rail.add(1, {"name": "New below", "parent_id": root}))
    world.rail.update(below, {"is_completed": True})
    world.rail.delete(twins[0])
    world.person_edits(world.target_ids()[-1], {"name": "Edited by a person"})


def _updated(world: World) -> None:
    _changed(world)
    assert world.migrate().state is State.SUCCEEDED
    world.clock.sleep(60)


def _id(row: Record) -> int:
    return int(str(row["id"]))


STORIES = {
    "migration": Story(_many, _migrate),
    "small migration": Story(lambda world: _seed(world, 6), _migrate),
    "update": Story(_changed, _migrate),
    "several at once": Story(
        lambda world: _seed(world, 12), _migrate, lanes=lambda: SteppedLanes(4, Random(1).randrange)
    ),
    "update, several at once": Story(
        _changed, _migrate, lanes=lambda: SteppedLanes(4, Random(2).randrange)
    ),
    "undo": Story(
        lambda world: _migrated(world, 7),
        _undo_last,
        agrees=False,
        phases=(Phase.READING, Phase.APPLYING),
    ),
    "undo, several at once": Story(
        lambda world: _migrated(world, 9),
        _undo_last,
        agrees=False,
        lanes=lambda: SteppedLanes(4, Random(3).randrange),
        phases=(Phase.READING, Phase.APPLYING),
    ),
    "undo of an update, several at once": Story(
        _updated,
        _undo_newest,
        agrees=False,
        lanes=lambda: SteppedLanes(4, Random(4).randrange),
        phases=(Phase.READING, Phase.APPLYING),
    ),
    "creates in doubt": Story(lambda world: _seed(world, 6), _migrate, lost=LOST),
}


def _end(world: World) -> End:
    """Every target milestone by its marker, with its parent's; ids depend on the order."""
    rows = [parse_target(row) for row in world.ably.everything(PROJECT)]
    targets = [row for row in rows if isinstance(row, TargetMilestone)]
    markers = {row.id: marked_id(row.description, URL) for row in targets}
    found: End = {
        markers[row.id]: (row.values, markers.get(row.parent_id or "")) for row in targets
    }
    assert len(found) == len(targets), "two targets carry the same marker"
    return found


def _undisturbed(story: Story) -> tuple[Boundaries, End]:
    """The boundaries that the work has, and how it ends if nothing happens."""
    with closing(story.begin()) as world:
        point = Boundaries()
        report = story.work(world.context(point=point, faults=FaultScript(story.lost)))
        assert report.state is State.SUCCEEDED, report
        return point, _end(world)


def _die_and_resume(story: Story, boundary: int, late_by: float | None) -> End:
    with closing(story.begin()) as world:
        faults = FaultScript(story.lost)
        dying = world.context(point=Boundaries(boundary), faults=faults, dies_late_by=late_by)
        with pytest.raises(Died):
            story.work(dying)
        report = story.work(world.context())
        assert report.state is State.SUCCEEDED, report
        assert world.context().runs.running(world.store.pair(IDENTITY).id) is None
        assert world.doubles() == {}
        assert not story.agrees or verify(world.context()).in_step
        writes = len(world.writes)
        story.work(world.context())
        assert len(world.writes) == writes
        return _end(world)


@pytest.mark.parametrize("name", STORIES)
def test_the_boundaries_are_in_every_phase(name: str) -> None:
    """A run reads, applies and proves, and may die at a request and at a commit of each."""
    point, _ = _undisturbed(STORIES[name])
    for phase in STORIES[name].phases:
        assert {what for where, what in point.seen if where == phase} & REQUESTS, phase
    ends = [what for where, what in point.seen if where == STORIES[name].phases[-1]]
    assert {"before commit", "after commit"} <= set(ends)


def test_the_looks_of_creates_in_doubt_are_among_the_boundaries() -> None:
    """Two looks at the target's list, taken while the run applies."""
    point, _ = _undisturbed(STORIES["creates in doubt"])
    assert point.seen.count(("applying", "after GET list")) >= 2


@pytest.mark.parametrize(
    ("name", "step", "first"),
    [
        ("migration", 19, 1),
        ("small migration", 1, 1),
        *(("update", 2, first) for first in (1, 2)),
        *(("undo", 2, first) for first in (1, 2)),
        ("creates in doubt", 2, 1),
        ("several at once", 3, 1),
        ("update, several at once", 5, 1),
        ("undo, several at once", 5, 2),
        ("undo of an update, several at once", 5, 1),
    ],
)
def test_a_run_may_die_anywhere(name: str, step: int, first: int) -> None:
    """Wherever a run dies, the next one brings the same end: no double, and nothing missing."""
    story = STORIES[name]
    point, expected = _undisturbed(story)
    for boundary in range(first, point.passed + 1, step):
        late_by = None if boundary // step % 2 else LATEST
        assert _die_and_resume(story, boundary, late_by) == expected, (boundary, late_by)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("late_by", [None, 0.5, LATEST])
@pytest.mark.parametrize("name", STORIES)
def test_a_run_may_die_at_every_single_boundary(name: str, late_by: float | None) -> None:
    """The same for each boundary, and for a server that finishes what it was sent, or does not."""
    story = STORIES[name]
    point, expected = _undisturbed(story)
    for boundary in range(1, point.passed + 1):
        assert _die_and_resume(story, boundary, late_by) == expected, boundary
