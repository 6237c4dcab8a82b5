"""Twenty hours of a schedule, pruned: what stays is short, and everything else is as it was."""

from __future__ import annotations

from mappings.overview import latest_runs, overview
from mappings.retention import KEPT_SINGLY, prune
from mappings.runs import RunLog
from tests.support.world import World
from worker.facts.runs import run_json, what
from worker.sync.options import Trigger
from worker.sync.report import State
from worker.sync.undo import undo

RUNS = 40


def ten_hours(world: World) -> None:
    """A run every fifteen minutes."""
    for _ in range(RUNS):
        world.clock.sleep(900)
        assert world.run(Trigger.SCHEDULE).state is State.SUCCEEDED


def test_twenty_hours_without_changes_are_two_rows_and_what_wrote_can_be_undone(
    world: World,
) -> None:
    release = world.add("Release 1")
    created = world.run(Trigger.MIGRATION)
    ten_hours(world)
    world.edit(release, name="Release 1.1")
    renamed = world.run(Trigger.SCHEDULE)
    ten_hours(world)
    pair, log = world.store.pair(world.identity), RunLog(world.engine)
    before = overview(world.engine, [pair])
    assert prune(world.engine, None).folded == 2 * RUNS - KEPT_SINGLY - 2
    kept = log.latest(pair.id, 1000)
    assert len(kept) == 4 + KEPT_SINGLY
    wrote = [run.id for run in kept if "stands_for" not in run.options][KEPT_SINGLY:]
    assert wrote == [renamed.run, created.run]
    told = [what(run_json(run)) for run in kept if "stands_for" in run.options]
    assert [int(one.split("; ")[1].split()[0]) for one in told] == [RUNS - KEPT_SINGLY, RUNS]
    assert overview(world.engine, [pair]) == before
    assert latest_runs(world.engine, [pair.id])[pair.id] == kept[:5]
    assert renamed.run is not None
    assert undo(world.context(), renamed.run).counts["updated"] == 1
    assert world.in_target(release)["name"] == "Release 1"
