"""Undoing a run whose milestones have gone in Testably, and which a later run has made again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mappings.link_record import LinkState
from tests.support.mortal import Boundaries, Died
from tests.support.world import PROJECT, World
from worker.sandbox.switches import TestablySwitches
from worker.sync.options import Options, Trigger
from worker.sync.report import RunReport, State
from worker.sync.run import run_pair
from worker.sync.undo import undo


def taken_back(world: World, report: RunReport, *, force: bool = False) -> RunReport:
    assert report.run is not None
    return undo(world.context(), report.run, force=force)


def dies_while_creating(world: World) -> None:
    """A run that ends when Testably has created something and before it has answered."""
    with pytest.raises(Died):
        run_pair(world.mortal(Boundaries(dies_on="after POST")), Options())


def gone_since(world: World) -> tuple[int, RunReport, RunReport]:
    """A milestone that has gone in Testably: its id, the run that made it, and one that edited."""
    one = world.add("One long name of a release")
    made = world.run()
    world.edit(one, due_on=1_780_272_000)
    edited = world.run()
    world.ably.remove(world.id_of(one))
    return one, made, edited


@pytest.mark.parametrize("which", [1, 2], ids=["created", "edited"])
@pytest.mark.parametrize("footer", [True, False], ids=["footer", "no footer"])
@pytest.mark.parametrize("cut", [None, 10], ids=["whole", "cut"])
def test_an_undo_forgets_no_create_in_doubt(
    world: World, which: int, footer: bool, cut: int | None
) -> None:
    """A later run has sent it, and nobody knows yet what became of it: it is not doubled (R2)."""
    world.rules = replace(world.rules, footer=footer)
    world.behave(ably=TestablySwitches(cuts_name_at=cut))
    one, *runs = gone_since(world)
    dies_while_creating(world)
    before = world.links[one]
    undone = taken_back(world, runs[which - 1])
    assert [problem["kind"] for problem in undone.problems] == ["in_doubt"]
    assert (undone.state, undone.counts["waiting"]) == (State.PARTIAL, 1)
    after = world.links[one]
    assert (after.state, after.attempt_at) == (LinkState.CREATING, before.attempt_at)
    world.clock.sleep(3600)
    migrated = world.run(Trigger.MIGRATION)
    assert len(world.ably.live(PROJECT)) == 1
    if cut is None:
        assert migrated.state is State.SUCCEEDED
        assert world.id_of(one) == world.ably.live(PROJECT)[0]["id"]


@pytest.mark.parametrize("which", [1, 2], ids=["created", "edited"])
def test_an_undo_holds_nothing_that_a_later_run_has_made(world: World, which: int) -> None:
    """What the run wrote has gone, and what was made since is the later run's to take back."""
    one, *runs = gone_since(world)
    again = world.run()
    assert again.counts["created"] == 1
    undone = taken_back(world, runs[which - 1])
    assert (undone.state, undone.counts["unchanged"], undone.counts["held"]) == (
        State.SUCCEEDED,
        1,
        0,
    )
    assert world.links[one].state is LinkState.LINKED
    world.edit(one, name="Renamed")
    assert world.run(Trigger.SCHEDULE).state is State.SUCCEEDED
    assert world.in_target(one)["name"] == "Renamed"
    assert taken_back(world, again, force=True).counts["archived"] == 1


def test_an_undo_holds_nothing_beside_an_archived_one_that_was_made_again(world: World) -> None:
    """What the run made was away for a while, and another one is linked by now."""
    one = world.add("One")
    made = world.run()
    first = world.ably.get(PROJECT, world.id_of(one))
    world.ably.remove(world.id_of(one))
    assert world.run().counts["created"] == 1
    world.ably.plant(PROJECT, {**first, "status": "archived"})
    assert taken_back(world, made).state is State.SUCCEEDED
    assert world.links[one].state is LinkState.LINKED
