"""Whole runs in memory: records that are wrong, and names that are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mappings.link_record import LinkState
from mappings.problem import Problem
from tests.support.world import PROJECT, World
from worker.sandbox.switches import TestablySwitches, TestRailSwitches
from worker.sync.options import Trigger
from worker.sync.report import State

ABLY = TestablySwitches()
SHAPES = pytest.mark.parametrize("shape", ["nested", "flat", "roots_only"])

BAD: list[tuple[str, dict[str, Any]]] = [
    ("bad_record", {"id": 90, "name": "   "}),
    ("bad_record", {"id": 90, "name": ""}),
    ("bad_record", {"id": 90}),
    ("bad_record", {"id": 90, "name": None}),
    ("bad_record", {"id": 90, "name": 7}),
    ("bad_record", {"id": 90, "name": "X", "due_on": "1389968184"}),
    ("bad_record", {"id": 90, "name": "X", "due_on": -1}),
    ("bad_record", {"id": 90, "name": "X", "start_on": 1_389_968_184_000}),
    ("bad_record", {"id": 90, "name": "X", "due_on": 10**30}),
    ("bad_record", {"id": 90, "name": "X", "is_completed": "yes"}),
    ("bad_record", {"id": 90, "name": "X", "description": {"text": 1}}),
    ("unknown_parent", {"id": 90, "name": "X", "parent_id": 4711}),
    ("own_parent", {"id": 90, "name": "X", "parent_id": 90}),
]


@SHAPES
@pytest.mark.parametrize(("kind", "record"), BAD, ids=lambda value: str(value)[:60])
def test_a_bad_record_is_one_problem_and_the_others_arrive(
    world: World, kind: str, record: dict[str, Any], shape: str
) -> None:
    """Named with its id and a reason; it costs nothing at the target, now or later."""
    shape = "flat" if kind == "own_parent" else shape  # nested, it would be nowhere in the list
    world.behave(TestRailSwitches(sub_milestones=shape))  # type: ignore[arg-type]
    world.rail.plant(record)
    world.add("Child", world.add("Good"))
    for trigger in (Trigger.MIGRATION, Trigger.MANUAL):
        report = world.run(trigger)
        assert (report.state, report.counts["quarantined"]) == (State.PARTIAL, 1)
        (problem,) = report.problems
        assert (problem["testrail_id"], problem["kind"]) == (90, kind)
        assert problem["reason"]
    assert world.to_ably.writes == {}
    assert {row["name"] for row in world.ably.everything(PROJECT)} == {"Good", "Child"}


@pytest.mark.parametrize("record", [{"name": "X"}, {"id": "7", "name": "X"}, {"id": 0, "name": ""}])
def test_a_record_without_an_id_is_a_problem_too(world: World, record: dict[str, Any]) -> None:
    """There is nothing to link it under; it is told in each run."""
    world.rail.plant(record)
    world.add("Good")
    for _ in range(2):
        report = world.run()
        assert (report.counts["quarantined"], report.problems[0]["testrail_id"]) == (1, None)


def test_a_bad_record_that_was_put_right_arrives(world: World) -> None:
    """Nobody has to say so, and its trouble is over."""
    world.rail.plant({"id": 90, "name": " "})
    world.run()
    assert world.links[90].problem is not None
    world.rail.plant({"id": 90, "name": "Fine"})
    assert world.run().state is State.SUCCEEDED
    assert world.links[90].problem is None
    assert world.links[90].state is LinkState.LINKED


def test_a_bad_record_keeps_the_target_it_had(world: World) -> None:
    """It is not archived, and its children stay in step."""
    parent = world.add("Parent")
    child = world.add("Child", parent)
    world.run()
    row = next(row for row in world.rail.everything(1) if row["id"] == parent)
    world.rail.plant({**row, "due_on": "soon"})
    world.edit(child, name="Renamed")
    report = world.run()
    assert (report.counts["quarantined"], report.counts["updated"]) == (1, 1)
    assert world.to_ably.writes == {"PATCH": 1}


def test_children_of_a_bad_record_wait_and_arrive_with_it(world: World) -> None:
    """Never at the root."""
    world.rail.plant({"id": 90, "name": ""})
    world.rail.plant({"id": 91, "name": "Child", "parent_id": 90})
    report = world.run()
    assert (report.counts["quarantined"], report.counts["waiting"]) == (1, 1)
    assert world.ably.everything(PROJECT) == []
    world.rail.plant({"id": 90, "name": "Parent"})
    world.run()
    assert world.in_target(91)["parent_id"] == world.id_of(90)


@SHAPES
def test_three_levels_of_nesting_become_two(world: World, shape: str) -> None:
    """The deepest hangs under the topmost; the report counts it."""
    world.behave(TestRailSwitches(sub_milestones=shape))  # type: ignore[arg-type]
    top = world.add("Top")
    middle = world.add("Middle", top)
    world.rail.plant({"id": 90, "name": "Deep", "parent_id": middle})
    world.rail.plant({"id": 91, "name": "Deeper", "parent_id": 90})
    report = world.run()
    assert (report.state, dict(report.not_exact)) == (
        State.SUCCEEDED,
        {"lifecycle": 1, "nesting": 2},
    )
    assert {world.in_target(id_)["parent_id"] for id_ in (middle, 90, 91)} == {world.id_of(top)}
    world.run()
    assert world.to_ably.writes == {}


def test_a_circle_of_parents(world: World) -> None:
    """Each of them is a problem, what hangs below waits, and the others arrive."""
    world.behave(TestRailSwitches(sub_milestones="flat"))
    world.rail.plant({"id": 90, "name": "A", "parent_id": 91})
    world.rail.plant({"id": 91, "name": "B", "parent_id": 90})
    world.rail.plant({"id": 92, "name": "C", "parent_id": 91})
    world.add("Good")
    report = world.run()
    assert {p["testrail_id"]: p["kind"] for p in report.problems} == {
        90: "parent_circle",
        91: "parent_circle",
        92: "waiting",
    }
    assert report.counts["created"] == 1


# --- refused by the target


@pytest.fixture
def strict(world: World) -> World:
    """A target that takes names of at most ten characters."""
    world.behave(ably=replace(ABLY, max_name_length=10))
    return world


def test_a_refused_name_is_set_aside_and_costs_nothing_more(strict: World) -> None:
    """One POST, then no request about it until its source record changes."""
    long = strict.add("Much too long a name")
    child = strict.add("Child", long)
    strict.add("Good")
    first = strict.run(Trigger.MIGRATION)
    assert (first.counts["quarantined"], first.counts["waiting"], first.counts["created"]) == (
        1,
        1,
        1,
    )
    assert first.problems[0]["kind"] == "refused"
    second = strict.run(Trigger.MIGRATION)
    assert (second.counts["quarantined"], second.counts["waiting"]) == (1, 1)
    assert strict.to_ably.writes == {}
    strict.edit(long, name="Short")
    assert strict.run().counts["created"] == 2
    assert strict.in_target(child)["parent_id"] == strict.id_of(long)
    assert strict.run().state is State.SUCCEEDED


def test_a_refused_update_is_set_aside_as_well(strict: World) -> None:
    """The target keeps its last good value."""
    one = strict.add("One")
    strict.run()
    strict.edit(one, name="Much too long a name")
    assert strict.run().counts["quarantined"] == 1
    assert strict.run().counts["quarantined"] == 1
    assert strict.to_ably.writes == {}
    strict.edit(one, name="One again")
    assert strict.run().counts["updated"] == 1
    assert strict.differences() == []


def test_a_refusal_counts_how_often_and_since_when(strict: World) -> None:
    """For the person who looks through the failures."""
    one = strict.add("Much too long a name")
    strict.run()
    before = strict.links[one].problem
    strict.clock.sleep(86_400)
    strict.edit(one, name="Still much too long")
    strict.run()
    after = strict.links[one].problem
    assert before is not None
    assert after is not None
    assert (after.since, after.count) == (before.since, 2)


def test_a_retry_by_a_person_tries_again(strict: World) -> None:
    """Clearing the trouble is all that `milesync retry` does."""
    one = strict.add("Much too long a name")
    strict.run()
    strict.behave(ably=ABLY)
    cleared = replace(strict.links[one], problem=None)
    assert strict.store.save(strict.pair.id, cleared, strict.clock.now()) is not None
    assert strict.run().counts["created"] == 1


def test_quarantine_survives_a_link_that_changes_meanwhile(strict: World) -> None:
    """Somebody changes the link between the refusal and its note: the run goes on."""
    strict.add("Much too long a name")
    strict.add("Good")
    save = strict.store.save

    def loses(pair_id: int, link: Any, now: Any) -> Any:
        return None if isinstance(link.problem, Problem) else save(pair_id, link, now)

    strict.store.save = loses  # type: ignore[method-assign]
    report = strict.run()
    assert (report.counts["quarantined"], report.counts["created"]) == (1, 1)


def test_one_refused_field_does_not_hold_up_the_others(strict: World) -> None:
    """A refused name is no doubtful field: the whole update is set aside with its reason."""
    one = strict.add("One", due_on=1_780_000_000)
    strict.behave(ably=replace(ABLY, max_name_length=10, null_clears=False))
    strict.run()
    strict.edit(one, due_on=None, description="New text")
    report = strict.run()
    assert [problem["kind"] for problem in report.problems] == ["rejected"]
    assert str(strict.in_target(one)["description"]).startswith("New text")
