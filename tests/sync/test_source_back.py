"""A milestone that TestRail had no longer, and lists again: its target is looked for (R4, R10)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from mappings.problem import ProblemKind
from tests.support.world import PROJECT, World
from worker.sandbox.faults import FaultKind
from worker.sandbox.switches import TestablySwitches
from worker.sync.context import read_snapshot
from worker.sync.options import OnSourceDelete, OnTargetEdit, Options, Policy, Trigger
from worker.sync.read.scope import Scope
from worker.sync.report import State
from worker.sync.verify import verify

BACK = 2


def archive(world: World) -> None:
    world.edit_target(BACK, status="archived")


def remove(world: World) -> None:
    world.ably.remove(world.id_of(BACK))


def untouched(_world: World) -> None:
    """Nothing happens to it."""


def away(world: World, before: Callable[[World], None] = untouched) -> Callable[[], object]:
    """One of three goes from TestRail, as a run notes; the answer puts it back as it was."""
    for number in range(3):
        world.add(f"Release {number}")
    world.run(Trigger.MIGRATION)
    before(world)
    record = world.rail.get(BACK)
    world.rail.delete(BACK)
    world.run()
    return lambda: world.rail.plant(record)


def before_it_goes(put_away: Callable[[World], None]) -> Callable[[World], None]:
    """A person does that to its target first: the run notes that it is archived already."""

    def happens(world: World) -> None:
        away(world, put_away)()

    return happens


def after_it_went(
    put_away: Callable[[World], None], policy: OnSourceDelete
) -> Callable[[World], None]:
    """A person does that once the run has archived it, or kept it."""

    def happens(world: World) -> None:
        world.policy = replace(world.policy, on_source_delete=policy)
        put_back = away(world)
        put_away(world)
        world.run()
        put_back()

    return happens


def archived_unheard(world: World) -> None:
    """Testably archived it and answered with an error; a verification has noted that."""

    def fail(world: World) -> None:
        world.to_ably.faults.script(FaultKind.SERVER_ERROR_AFTER, method="PATCH", times=9)

    put_back = away(world, fail)
    world.to_ably.faults.clear()
    verify(world.context())
    put_back()


WAYS: dict[str, Callable[[World], None]] = {
    "archived by the run": before_it_goes(untouched),
    "archived by the run, unheard": archived_unheard,
    "archived by a person before": before_it_goes(archive),
    "deleted by a person before": before_it_goes(remove),
    "kept, then archived by a person": after_it_went(archive, OnSourceDelete.KEEP),
    "kept, then deleted by a person": after_it_went(remove, OnSourceDelete.KEEP),
    "archived, then deleted by a person": after_it_went(remove, OnSourceDelete.ARCHIVE),
}
whatever_became_of_its_target = pytest.mark.parametrize("happens", WAYS.values(), ids=WAYS)
both_lists = pytest.mark.parametrize("shown", [True, False])


def is_deleted(world: World) -> bool:
    return world.id_of(BACK) not in {row["id"] for row in world.ably.everything(PROJECT)}


@both_lists
@whatever_became_of_its_target
def test_a_verification_sees_that_it_is_not_in_step(
    world: World, happens: Callable[[World], None], shown: bool
) -> None:
    """The first one, and every later one."""
    world.behave(ably=TestablySwitches(list_holds_archived=shown))
    happens(world)
    for _ in range(2):
        found = verify(world.context())
        assert [one.field for one in found.differences] == ([] if is_deleted(world) else ["status"])
        assert [one.testrail_id for one in found.missing] == ([BACK] if is_deleted(world) else [])


@both_lists
@whatever_became_of_its_target
@pytest.mark.parametrize("trigger", [Trigger.MANUAL, Trigger.SCHEDULE])
def test_a_run_brings_it_back_with_one_write(
    world: World, happens: Callable[[World], None], shown: bool, trigger: Trigger
) -> None:
    """Also one that trusts the last listing: it lists for what is back as for what is new."""
    world.behave(ably=TestablySwitches(list_holds_archived=shown))
    happens(world)
    world.drift_check = timedelta(days=1)
    write = "POST" if is_deleted(world) else "PATCH"
    report = world.run(trigger)
    assert (report.state, world.to_ably.writes) == (State.SUCCEEDED, {write: 1})
    assert world.differences() == []
    assert verify(world.context()).in_step
    world.run()
    assert world.to_ably.requests == [("GET", world.to_ably.requests[0][1])]


@whatever_became_of_its_target
def test_a_refresh_reads_its_target(world: World, happens: Callable[[World], None]) -> None:
    """One by itself proves no absence: what answers 404 is left to a run (R4)."""
    happens(world)
    report = world.run(Trigger.WEBHOOK, Scope((BACK,)))
    if is_deleted(world):
        assert (report.state, world.to_ably.writes) == (State.PARTIAL, {})
        assert [problem["kind"] for problem in report.problems] == [ProblemKind.UNREAD]
        world.run()
    else:
        assert (report.state, world.to_ably.writes) == (State.SUCCEEDED, {"PATCH": 1})
    assert world.differences() == []
    assert verify(world.context()).in_step


@pytest.mark.parametrize("put_away", [archive, remove])
def test_where_edits_win_what_a_person_did_stays(
    world: World, put_away: Callable[[World], None]
) -> None:
    """An archived one is told as kept, a deleted one is missing."""
    world.policy = Policy(on_target_edit=OnTargetEdit.TARGET)
    before_it_goes(put_away)(world)
    gone = put_away is remove
    found = verify(world.context())
    assert [one.actual for one in found.kept] == ([] if gone else ["archived"])
    assert [one.testrail_id for one in found.missing] == ([BACK] if gone else [])
    report = world.run()
    told = State.PARTIAL if gone else State.SUCCEEDED
    assert (report.state, world.to_ably.writes) == (told, {})
    assert (world.run(Trigger.SCHEDULE).state, world.to_ably.requests) == (told, [])


@pytest.mark.parametrize("put_away", [archive, remove])
def test_a_later_slice_looks_for_what_has_come_back_since_the_first(
    world: World, put_away: Callable[[World], None]
) -> None:
    before_it_goes(put_away)(world)
    read = ("GET", f"milestones/{world.id_of(BACK)}")
    report = world.run(scope=Scope(recalled={}))
    assert world.to_ably.requests[0] == read
    assert report.counts["updated"] == (put_away is archive)
    assert (report.verified or {}).get("in_step") is not True
    world.run()
    assert world.differences() == []


def test_a_later_slice_reads_nothing_again_that_the_first_has_tried(world: World) -> None:
    """However many have come back: it would never come to its writes."""
    before_it_goes(archive)(world)
    id_ = world.id_of(BACK)
    row = read_snapshot(world.context(), world.pair, Options(), Scope()).target.milestones[id_]
    for listed in (
        Scope(recalled={id_: row}),
        Scope(recalled={}, gone=frozenset({id_})),
        Scope(recalled={}, unread={id_: "It could not be read."}),
    ):
        world.to_ably.requests.clear()
        read_snapshot(world.context(), world.pair, Options(), listed)
        assert world.to_ably.requests == []


@pytest.mark.parametrize("subs", [True, False])
@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("by_hand", [True, False])
def test_a_family_comes_back_as_a_whole(
    world: World, subs: bool, shown: bool, by_hand: bool
) -> None:
    """The parent's status and dates are Testably's own again with its sub-milestone."""
    free = TestablySwitches(archived_subs_lock_status=False)
    world.behave(ably=replace(free, list_holds_subs=subs, list_holds_archived=shown))
    parent = world.add("Parent", is_completed=True)
    child = world.add("Child", parent)
    world.run(Trigger.MIGRATION)
    if by_hand:
        for id_ in (child, parent):
            world.edit_target(id_, status="archived")
    records = [world.rail.get(id_) for id_ in (parent, child)]
    world.rail.delete(parent)
    world.run()
    for record in records:
        world.rail.plant(record)
    assert not verify(world.context()).in_step
    report = world.run(Trigger.MIGRATION)
    assert (report.state, (report.verified or {})["in_step"]) == (State.SUCCEEDED, True)
    assert (world.to_ably.writes.get("POST"), world.differences()) == (None, [])
