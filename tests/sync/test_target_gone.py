"""A target that is gone or cannot be read, whatever is open about its milestone (R4, R10)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mappings.problem import WHOLE
from tests.support.world import PROJECT, World
from worker.errors import AccessDenied, UnreadableAnswer
from worker.sandbox.faults import FaultKind
from worker.sandbox.switches import TestablySwitches
from worker.sync.options import OnTargetEdit, Policy, Trigger
from worker.sync.read.scope import Scope
from worker.sync.report import State
from worker.sync.undo import undo
from worker.sync.verify import verify

LONG = "A name that is much too long"
HOUR = 3600


def refused(world: World) -> int:
    world.behave(ably=TestablySwitches(max_name_length=20))
    one = world.add("One")
    world.run(Trigger.MIGRATION)
    world.edit(one, name=LONG)
    world.run()
    return one


def failing(world: World) -> int:
    """Three updates failed while another's was taken: it rests."""
    one, other = world.add("One"), world.add("Other")
    world.run(Trigger.MIGRATION)
    world.edit(one, name="Two")
    target = world.id_of(one)
    for number in range(3):
        world.to_ably.faults.script(
            FaultKind.SERVER_ERROR, method="PATCH", contains=target, times=9
        )
        world.edit(other, name=f"Other {number}")
        world.run()
        world.clock.sleep(HOUR / 3)
    world.to_ably.faults.clear()
    return one


def altered(world: World) -> int:
    world.behave(ably=TestablySwitches(cuts_name_at=15))
    one = world.add(LONG)
    world.run(Trigger.MIGRATION)
    return one


def undone(world: World) -> int:
    one = world.add("One")
    world.run(Trigger.MIGRATION)
    world.edit(one, name="Two")
    world.run(Trigger.MIGRATION)
    undo(world.context(), world.context().runs.latest(world.pair.id, 1)[0].id)
    return one


def accepted(world: World, happens: Callable[[World], int]) -> int:
    one, now = happens(world), world.clock.now()
    for link in world.store.links_with_problems(world.pair.id):
        known = dict(link.field_problems)
        if link.is_held:
            known[WHOLE] = link.whole_accepted(now.isoformat())
        taken = {name: problem.decided(accepted=True) for name, problem in known.items()}
        world.store.save(world.pair.id, link.deciding(taken), now)
    assert verify(world.context()).in_step
    return one


OPEN: dict[str, Callable[[World], int]] = {
    "refused": refused,
    "failing": failing,
    "altered": altered,
    "undone": undone,
    "altered and accepted": lambda world: accepted(world, altered),
    "undone and accepted": lambda world: accepted(world, undone),
}
anything_open = pytest.mark.parametrize("happens", OPEN.values(), ids=OPEN)
by_policy = pytest.mark.parametrize("edits", OnTargetEdit)


@by_policy
@anything_open
def test_a_milestone_whose_target_is_gone_is_missing(
    world: World, happens: Callable[[World], int], edits: OnTargetEdit
) -> None:
    """Nothing is compared with a target that is not there, nor told to differ from it."""
    one = happens(world)
    world.policy = Policy(on_target_edit=edits)
    world.ably.remove(world.id_of(one))
    found = verify(world.context())
    assert [missing.testrail_id for missing in found.missing] == [one]
    assert (found.differences, found.extra, found.accepted) == ((), (), ())
    assert found.compared == len(world.links) - 1
    plan = world.preview().plan
    assert [action.testably_id for action in plan.actions] == [None]
    report = world.run()
    assert (report.state is State.SUCCEEDED) == verify(world.context()).in_step


@anything_open
def test_what_is_gone_from_both_sides_is_over(
    world: World, happens: Callable[[World], int]
) -> None:
    """Nobody is asked about it any more, and TestRail is asked for it once."""
    one = happens(world)
    world.ably.remove(world.id_of(one))
    world.rail.delete(one)
    report = world.run()
    assert (report.state, report.problems) == (State.SUCCEEDED, ())
    assert verify(world.context()).in_step
    assert world.store.links_with_problems(world.pair.id) == []
    world.run()
    assert world.to_rail.count("GET", f"get_milestone/{one}") == 0


@anything_open
def test_a_milestone_whose_target_cannot_be_read_proves_nothing(
    world: World, happens: Callable[[World], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it showed long ago may be otherwise by now."""
    unread = world.id_of(happens(world))
    lists = world.target.list_all

    def without(*args: Any, **how: Any) -> Any:
        listing = lists(*args, **how)
        rows = {id_: row for id_, row in listing.milestones.items() if id_ != unread}
        same = {id_: row for id_, row in listing.unchanged.items() if id_ != unread}
        return replace(listing, milestones=rows, unchanged=same)

    def refuse(method: str, what: str) -> None:
        if method == "GET" and what.endswith(unread):
            raise AccessDenied("Testably", "no access")

    monkeypatch.setattr(world.target, "list_all", without)
    world.to_ably.before = refuse
    with pytest.raises(UnreadableAnswer, match="no access"):
        verify(world.context())
    report = world.run()
    assert report.state is State.PARTIAL
    assert (report.verified or {"in_step": None})["in_step"] is None


@pytest.mark.parametrize("happens", [refused, undone])
def test_nothing_is_created_below_a_target_that_is_gone(
    world: World, happens: Callable[[World], int]
) -> None:
    """It waits for its parent, and needs nobody once that is there again."""
    parent = happens(world)
    world.ably.remove(world.id_of(parent))
    child = world.add("Child", parent)
    report = world.run()
    assert world.to_ably.writes == {}
    assert {told["kind"] for told in report.problems if told["testrail_id"] == child} == {"waiting"}
    world.edit(parent, name="Short")
    assert world.run(Trigger.MIGRATION).state is State.SUCCEEDED
    assert world.in_target(child)["parent_id"] == world.id_of(parent)


def deleted_and_kept(world: World) -> int:
    """Testably's edits win, and the target of one of two was deleted there."""
    world.policy = Policy(on_target_edit=OnTargetEdit.TARGET)
    one = world.add("One")
    world.add("Other")
    world.run(Trigger.MIGRATION)
    world.ably.remove(world.id_of(one))
    assert world.run().state is State.PARTIAL
    return one


@pytest.mark.parametrize("scope", [None, Scope((1,))])
def test_what_needs_a_person_stays_told_by_a_run_that_does_not_list(
    world: World, scope: Scope | None
) -> None:
    """That it is gone was proved: no list is read for it each time (R10)."""
    one = deleted_and_kept(world)
    (told,) = world.store.links_with_problems(world.pair.id)
    trigger = Trigger.SCHEDULE if scope is None else Trigger.WEBHOOK
    report = world.run(trigger, scope)
    assert (report.state, report.counts["conflicts"]) == (State.PARTIAL, 1)
    asks_for_project = scope is not None
    assert world.to_ably.count("GET", "milestones?") == asks_for_project
    (still,) = world.store.links_with_problems(world.pair.id)
    assert (still.testrail_id, still.problem) == (one, told.problem)


def test_what_a_person_deleted_is_created_again_once_edits_win_no_more(world: World) -> None:
    """A run that trusts the last listing lists for it."""
    one = deleted_and_kept(world)
    world.policy = Policy()
    report = world.run(Trigger.SCHEDULE)
    assert (report.state, world.to_ably.writes) == (State.SUCCEEDED, {"POST": 1})
    assert world.in_target(one)["name"] == "One"
    assert verify(world.context()).in_step


def test_what_needed_a_person_is_over_once_it_is_there_again(world: World) -> None:
    """As a listing tells."""
    one = deleted_and_kept(world)
    row = next(iter(world.marked().values()))[0]
    world.ably.plant(PROJECT, row | {"id": world.id_of(one), "name": "One"})
    assert world.run(Trigger.WEBHOOK, Scope((one,))).state is State.SUCCEEDED
    assert world.store.links_with_problems(world.pair.id) == []
