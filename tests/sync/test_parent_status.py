"""When the status of a milestone with sub-milestones counts as not exact."""

from __future__ import annotations

import pytest

from tests.support.world import PROJECT, World
from worker.sync.options import OnTargetEdit, Policy, Trigger

TARGET_WINS = Policy(on_target_edit=OnTargetEdit.TARGET)


def status_of(world: World, testrail_id: int) -> object:
    return world.ably.get(PROJECT, world.id_of(testrail_id))["status"]


def counted(world: World) -> int:
    """How often it is counted by a run that has read both sides."""
    return world.run().not_exact.get("parent_status", 0)


@pytest.fixture
def parent(world: World) -> int:
    """A completed milestone without sub-milestones, on both sides."""
    testrail_id = world.add("Parent", is_completed=True)
    world.run(Trigger.MIGRATION)
    return testrail_id


def test_what_a_sub_milestone_of_theirs_derives_is_counted(world: World, parent: int) -> None:
    """TestRail knows of none there: only Testably's own answer tells."""
    world.ably.create(PROJECT, {"name": "Theirs", "parent_id": world.id_of(parent)})
    assert (counted(world), status_of(world, parent)) == (1, "active")
    assert counted(world) == 1


def test_what_a_sub_milestone_derives_that_was_moved_away_is_counted(
    world: World, parent: int
) -> None:
    """It cannot be moved in Testably, so it goes on deciding there."""
    child = world.add("Child", parent)
    world.run(Trigger.MIGRATION)
    world.edit(child, parent_id=None)
    assert (counted(world), status_of(world, parent)) == (1, "active")
    assert counted(world) == 1


def test_what_an_archived_sub_milestone_does_not_derive_is_not_counted(
    world: World, parent: int
) -> None:
    """It stays archived where Testably's edits win, and decides nothing there."""
    child = world.add("Child", parent)
    world.run()
    world.policy = TARGET_WINS
    world.edit_target(child, status="archived")
    assert (counted(world), status_of(world, parent)) == (0, "completed")
    assert counted(world) == 0


def test_a_run_that_changes_what_is_below_counts_what_comes_of_it(
    world: World, parent: int
) -> None:
    """A first sub-milestone, one that is completed, reopened and gone: as the next run finds it."""
    child = world.add("Child", parent)
    assert (counted(world), counted(world)) == (1, 1)
    world.edit(child, is_completed=True)
    assert (counted(world), counted(world)) == (0, 0)
    world.edit(child, is_completed=False)
    assert (counted(world), counted(world)) == (1, 1)
    world.add("Another", parent, is_completed=True)
    world.rail.delete(child)
    assert (counted(world), counted(world)) == (0, 0)
