"""A run with `--only`, an undo and a rebuild tell nothing of the whole pair (R10)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mappings.failures import failures
from mappings.overview import Condition, Standing, condition, overview
from tests.support.world import World
from worker.sync.options import Only, Trigger
from worker.sync.rebuild import rebuild
from worker.sync.report import State
from worker.sync.undo import undo

MINUTES = 60.0


def standing(world: World) -> Standing:
    """Where the pair stands by what is recorded."""
    return overview(world.engine, [world.pair])[world.pair.id]


def only_open(world: World) -> None:
    world.run(only=Only.OPEN)


def undo_of_nothing(world: World) -> None:
    """Of a run that wrote nothing; a while after the one before."""
    run = next(one for one in world.context().runs.latest(world.pair.id) if one.counts["unchanged"])
    world.clock.sleep(MINUTES)
    undo(world.context(), run.id)


def rebuilt(world: World) -> None:
    world.clock.sleep(MINUTES)
    rebuild(world.context())


PARTS = [only_open, undo_of_nothing, rebuilt]


def test_a_run_of_a_part_is_no_drift_check(world: World) -> None:
    """It lists the target, and decides about a part of it: the whole is listed when it is due."""
    world.add("open")
    world.add("done", is_completed=True)
    world.run(Trigger.MIGRATION)
    world.edit_target(2, name="Edited")
    for _ in range(2):
        world.clock.sleep(40 * MINUTES)
        world.run(only=Only.OPEN)
        world.run(Trigger.SCHEDULE)
    assert world.in_target(2)["name"] == "done"


def stopped_by_the_guard(world: World) -> None:
    """In step once, then most of it was deleted in TestRail."""
    for number in range(14):
        world.add(f"d{number}", is_completed=True)
    world.add("open")
    world.run(Trigger.MIGRATION)
    world.run(Trigger.MIGRATION)
    for number in range(12):
        world.rail.delete(number + 1)
    assert world.run().state is State.ABORTED


@pytest.mark.parametrize("another", PARTS)
def test_what_the_guard_stopped_stays_so_whatever_is_done_to_a_part(
    world: World, another: Callable[[World], None]
) -> None:
    """Nobody knows whether the pair is in step before a run of all of it has come to its end."""
    stopped_by_the_guard(world)
    before = standing(world)
    another(world)
    assert standing(world) == before
    assert (before.in_step, condition(world.pair, before)) == (None, Condition.FAILED)


@pytest.mark.parametrize("another", PARTS)
def test_what_a_run_found_of_no_milestone_stays_told(
    world: World, another: Callable[[World], None]
) -> None:
    """A list that was not read whole is told until a run of all of it has read it whole."""
    world.add("open")
    world.run(Trigger.MIGRATION)
    world.run(Trigger.MIGRATION)
    world.source.incomplete = True
    world.run()
    world.source.incomplete = False
    another(world)
    listed = failures(world.store, world.pair, standing(world).last_run, None)["failures"]
    assert [one["kind"] for one in listed] == ["source_incomplete"]
    world.run()
    assert failures(world.store, world.pair, standing(world).last_run, None)["failures"] == []
