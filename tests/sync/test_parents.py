"""A milestone with sub-milestones keeps its own dates in its footer."""

from __future__ import annotations

import pytest

from tests.support.world import PROJECT, World
from worker.sandbox.rules import Record
from worker.sync.options import Only, Trigger
from worker.sync.read.scope import Scope
from worker.sync.report import State
from worker.sync.verify import verify

OWN_START = "Start: 2026-03-01T00:00:00Z"


def footer_of(world: World, testrail_id: int) -> str:
    return str(world.in_target(testrail_id)["description"]).rpartition("---")[2]


def in_step(world: World) -> bool:
    """Whether another whole run has nothing to write."""
    world.run()
    return world.to_ably.writes == {}


@pytest.fixture
def parent(world: World) -> int:
    """A milestone without sub-milestones, found in step twice."""
    testrail_id = world.add("Parent")
    world.run(Trigger.MIGRATION)
    assert in_step(world)
    assert OWN_START not in footer_of(world, testrail_id)
    return testrail_id


def test_the_first_sub_milestone_costs_one_patch_of_its_parent(world: World, parent: int) -> None:
    """In the same run that creates it; the second costs nothing but itself."""
    world.add("First", parent)
    world.run()
    assert world.to_ably.writes == {"PATCH": 1, "POST": 1}
    assert OWN_START in footer_of(world, parent)
    world.add("Second", parent)
    world.run()
    assert world.to_ably.writes == {"POST": 1}
    assert in_step(world)


def test_a_parent_is_created_with_its_own_dates_in_its_footer(world: World) -> None:
    """So a migration writes nothing twice."""
    above = world.add("Parent", due_on=1_775_001_600)
    world.add("Child", above)
    world.run(Trigger.MIGRATION)
    assert world.to_ably.writes == {"POST": 2}
    assert footer_of(world, above).endswith(f"{OWN_START}\nDue: 2026-04-01T00:00:00Z")
    assert in_step(world)


def test_after_the_last_sub_milestone_is_gone_the_lines_are_taken_out(
    world: World, parent: int
) -> None:
    child = world.add("Child", parent)
    world.run()
    world.rail.delete(child)
    world.run()
    assert OWN_START not in footer_of(world, parent)
    assert in_step(world)


def test_a_refresh_takes_it_from_the_last_whole_reading(world: World, parent: int) -> None:
    """One milestone's record does not tell; so no refresh writes what the next run takes back."""
    child = world.add("Child", parent)
    for testrail_id in (parent, child):
        world.run(Trigger.WEBHOOK, Scope((testrail_id,)))
        assert "PATCH" not in world.to_ably.writes
    world.run()
    assert OWN_START in footer_of(world, parent)
    world.run(Trigger.WEBHOOK, Scope((parent,)))
    world.run(Trigger.WEBHOOK, Scope((child,)))
    assert world.to_ably.writes == {}
    assert OWN_START in footer_of(world, parent)


def test_what_only_leaves_out_still_counts(world: World) -> None:
    """The whole list says whether a milestone has sub-milestones."""
    above = world.add("Parent")
    child = world.add("Child", above, is_completed=True)
    world.run(Trigger.MIGRATION, only=Only.OPEN)
    assert OWN_START in footer_of(world, above)
    assert child not in world.links
    world.run(Trigger.MIGRATION)
    assert world.in_target(child)
    assert in_step(world)


def test_a_sub_milestone_that_cannot_be_read_counts(world: World, parent: int) -> None:
    world.rail.plant({"id": 90, "name": " ", "parent_id": parent}, project_id=1)
    world.run()
    assert OWN_START in footer_of(world, parent)
    assert in_step(world)


@pytest.mark.parametrize("answer", ["rejected", "altered"])
def test_an_archived_parent_that_does_not_come_back_is_told(
    world: World, parent: int, answer: str
) -> None:
    """Its status is no derived one then: sent once, and a person's from then on."""
    world.edit_target(parent, status="archived")
    world.ably.create(PROJECT, {"name": "By hand", "parent_id": world.id_of(parent)})
    if answer == "altered":
        ignoring(world)
    for again in (world.run(), world.run()):
        assert (again.state, [p["kind"] for p in again.problems]) == (State.PARTIAL, [answer])
    assert world.to_ably.writes == {}
    assert not verify(world.context()).in_step


def ignoring(world: World) -> None:
    """Every PATCH is answered with the milestone as it was."""
    real = world.ably.get

    def get(project: str, id_: str, _body: object) -> Record:
        return real(project, id_)

    world.ably.update = get  # type: ignore[method-assign, assignment]
