"""What people edited in Testably, over several runs and the undos of some."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mappings.problem import ProblemKind
from tests.support.mortal import Boundaries, Died
from tests.support.world import PROJECT, World
from worker.sandbox.switches import TestablySwitches
from worker.sync.options import OnTargetEdit, Options, Trigger
from worker.sync.report import RunReport, State
from worker.sync.run import run_pair
from worker.sync.undo import undo

BY_HAND = "2027-01-01T00:00:00Z"


def taken_back(world: World, run: str | None, *, force: bool = False) -> RunReport:
    assert run is not None
    return undo(world.context(), run, force=force)


def died_while_creating(world: World) -> str:
    """A run that ended when Testably had created something and before it had answered."""
    with pytest.raises(Died):
        run_pair(world.mortal(Boundaries(dies_on="after POST")), Options())
    return world.changes[-1].run_id


@pytest.mark.parametrize("times", [1, 2], ids=["undone", "undone twice"])
@pytest.mark.parametrize(
    ("field", "value", "is_found"),
    [
        ("due_date", BY_HAND, False),
        ("name", "By hand", False),
        ("description", "By hand", False),
        ("due_date", BY_HAND, True),
        ("name", "By hand", True),
    ],
)
def test_an_edit_that_an_undo_put_back_is_an_edit_to_the_next_one(
    world: World, field: str, value: str, is_found: bool, times: int
) -> None:
    """A later run wrote over it, be it one that found what the create in doubt had left.

    What is by hand again is archived by force alone.
    """
    one = world.add("One", description="Text")
    made = died_while_creating(world) if is_found else world.run().run
    world.clock.sleep(60)
    [target] = [str(row["id"]) for row in world.ably.live(PROJECT)]
    world.ably.update(PROJECT, target, {field: value})
    corrected = world.run().run
    assert world.ably.get(PROJECT, target)[field] != value
    for _ in range(times):
        assert taken_back(world, corrected).state is State.SUCCEEDED
    assert world.ably.get(PROJECT, target)[field] == value
    undone = taken_back(world, made)
    assert [problem["kind"] for problem in undone.problems] == ["changed_since"]
    assert world.ably.get(PROJECT, target)["status"] == "active"
    assert [found.kind for found in world.links[one].failures] == [ProblemKind.CHANGED_SINCE]
    assert taken_back(world, made, force=True).counts["archived"] == 1


def test_a_status_by_hand_that_an_undo_put_back_is_an_edit_too(world: World) -> None:
    """A person had completed it before its source was deleted."""
    one = world.add("One")
    made = world.run().run
    world.policy = replace(world.policy, on_target_edit=OnTargetEdit.TARGET)
    world.edit_target(one, status="completed")
    target = world.id_of(one)
    world.rail.delete(one)
    archived = world.run()
    assert archived.counts["archived"] == 1
    assert taken_back(world, archived.run).state is State.SUCCEEDED
    assert world.ably.get(PROJECT, target)["status"] == "completed"
    assert [p["kind"] for p in taken_back(world, made).problems] == ["changed_since"]


@pytest.mark.parametrize("policy", list(OnTargetEdit))
def test_a_migration_tells_such_an_edit_from_what_it_has_sent(
    world: World, policy: OnTargetEdit
) -> None:
    """What it would overwrite is in its plan; where edits win it stays."""
    one = world.add("One")
    world.run()
    world.edit_target(one, due_date=BY_HAND)
    taken_back(world, world.run().run)
    world.policy = replace(world.policy, on_target_edit=policy)
    actions = world.preview(trigger=Trigger.MIGRATION).plan.changes
    wins = policy is OnTargetEdit.TARGET
    assert [dict(action.overwritten) for action in actions if action.overwritten] == (
        [] if wins else [{"due_date": BY_HAND}]
    )
    world.run(Trigger.MIGRATION)
    assert world.in_target(one)["due_date"] == (BY_HAND if wins else None)


@pytest.mark.parametrize("policy", list(OnTargetEdit))
def test_an_edit_of_what_an_undone_run_had_not_written_stays_one(
    world: World, policy: OnTargetEdit
) -> None:
    """A migration keeps it where edits win, and shows that it overwrites it where they do not."""
    one = world.add("One", description="Old")
    world.run()
    world.policy = replace(world.policy, on_target_edit=OnTargetEdit.TARGET)
    world.edit_target(one, name="By hand")
    world.edit(one, description="New")
    taken_back(world, world.run().run)
    world.policy = replace(world.policy, on_target_edit=policy)
    wins = policy is OnTargetEdit.TARGET
    actions = world.preview(trigger=Trigger.MIGRATION).plan.changes
    assert [dict(action.overwritten) for action in actions if action.overwritten] == (
        [] if wins else [{"name": "By hand"}]
    )
    world.run(Trigger.MIGRATION)
    assert world.in_target(one)["name"] == ("By hand" if wins else "One")
    assert str(world.in_target(one)["description"]).startswith("New")


@pytest.mark.parametrize("cut", [None, 10], ids=["whole", "cut"])
def test_what_earlier_runs_wrote_is_no_edit(world: World, cut: int | None) -> None:
    """Undone and migrated again, as often as one likes, and stored otherwise as well."""
    world.behave(ably=TestablySwitches(cuts_name_at=cut))
    one = world.add("One long name of a release", description="Text", due_on=1_780_272_000)
    made = world.run().run
    world.edit(one, name="Two long names of a release", description="Other", due_on=None)
    for run in (world.run(), None, None):
        taken_back(world, (run or world.run(Trigger.MIGRATION)).run)
    undone = taken_back(world, made)
    assert undone.counts["archived"] == 1
    assert [p["kind"] for p in undone.problems if p["kind"] == "changed_since"] == []


@pytest.mark.parametrize("policy", list(OnTargetEdit))
def test_a_write_that_was_not_confirmed_is_nobodys_edit(world: World, policy: OnTargetEdit) -> None:
    """Its process died once it was carried out; the undo of a later run brings it back."""
    one = world.add("One")
    world.run(Trigger.MIGRATION)
    world.edit(one, name="Two")
    with pytest.raises(Died):
        run_pair(world.mortal(Boundaries(dies_on="after PATCH")), Options())
    world.clock.sleep(600)
    world.run(Trigger.MIGRATION)
    world.edit(one, name="Three")
    third = world.run(Trigger.MIGRATION).run
    world.clock.sleep(60)
    assert taken_back(world, third).state is State.SUCCEEDED
    assert world.in_target(one)["name"] == "Two"
    world.policy = replace(world.policy, on_target_edit=policy)
    [planned] = world.preview(trigger=Trigger.MIGRATION).plan.changes
    assert (dict(planned.push), dict(planned.overwritten)) == ({"name": "Three"}, {})


def test_what_a_later_run_has_changed_is_not_called_edited(world: World) -> None:
    """That run is named instead, and to be undone first."""
    one = world.add("One", description="Text")
    world.run()
    world.edit(one, name="Two", description="Other")
    second = world.run().run
    world.edit(one, name="Three")
    third = world.run().run
    world.edit_target(one, description="By hand")
    [told] = taken_back(world, second).problems
    assert f"The later run {third} has changed since: name. Undo that one first." in told["reason"]
    assert "It was edited in Testably since: description." in told["reason"]
    assert f"`milesync undo {second} --force`" in told["reason"]
    assert taken_back(world, third).state is State.SUCCEEDED
    [told] = taken_back(world, second).problems
    assert "later run" not in told["reason"]
    shown = world.ably.get(PROJECT, world.id_of(one))
    assert (shown["name"], shown["description"]) == ("One", "By hand")


def test_an_edit_that_a_later_undo_has_put_back_is_called_one(world: World) -> None:
    """To undo that undo would put away what a person wrote."""
    one = world.add("One")
    world.run()
    world.edit(one, name="Two")
    second = world.run().run
    world.edit_target(one, name="By hand")
    taken_back(world, world.run().run)
    [told] = taken_back(world, second).problems
    assert "It was edited in Testably since: name." in told["reason"]
    assert world.in_target(one)["name"] == "By hand"
