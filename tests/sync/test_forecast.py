"""A plan announces what the migration does, and its requests to both sides exactly (R10).

What nobody can know before the first such milestone is there is left out: whether the target's
list hides what is completed, or sub-milestones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.support.build import FEBRUARY, JANUARY
from tests.support.world import PROJECT, World
from worker.errors import AccessDenied
from worker.sandbox.rules import Problem as Refusal
from worker.sandbox.rules import Record
from worker.sandbox.switches import TestablySwitches
from worker.sync.decide.action import Kind
from worker.sync.options import OnSourceDelete, OnTargetEdit, Policy, Trigger
from worker.sync.report import RunReport, State
from worker.sync.undo import undo

MARCH: Final = 1_772_323_200
Ids = dict[str, int]
Event = Callable[[World, Ids], None]
LISTS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"list_holds_completed": False, "list_holds_archived": True},
    {"list_holds_subs": False},
    {"list_holds_completed": False, "list_holds_subs": False},
    {"list_holds_subs": False, "status_lists_hold_subs": True},
    {"most_per_page": 4},
    {"most_per_page": 11},
    {"total": "missing"},
    {"total": "missing", "most_per_page": 4},
    {"total": "too_small"},
)


def families(world: World) -> Ids:
    """Parents that are completed and open, with sub-milestones of both kinds, and roots."""
    ids: Ids = {}

    def add(name: str, above: str | None = None, *, done: bool = False) -> None:
        ids[name] = world.add(name, ids[above] if above else None, is_completed=done)

    add("Done", done=True)
    add("Done one", "Done", done=True)
    add("Done two", "Done", done=True)
    add("Open")
    add("Open one", "Open")
    add("Open done", "Open", done=True)
    add("Closed early", done=True)
    add("Only one", "Closed early")
    add("Root done", done=True)
    add("Root")
    add("Another")
    return ids


RUN: Final[Record] = {"id": "run_1", "name": "Nightly", "status": "active"}
WRITES: Final = 11 + 4
"""A create of each, and the status of each that is completed and has no sub-milestones."""


def foretold(world: World) -> RunReport:
    """A migration that took exactly the requests of the plan made just before it."""
    planned = world.preview(trigger=Trigger.MIGRATION).requests
    report = world.run(Trigger.MIGRATION)
    assert dict(report.requests) == planned
    return report


def stop_after(world: World, writes: int) -> None:
    """A migration that dies with this number of its writes done."""
    done = 0

    def count(method: str, _what: str) -> None:
        nonlocal done
        if method != "GET":
            if done == writes:
                raise KeyboardInterrupt
            done += 1

    world.to_ably.before = count
    with pytest.raises(KeyboardInterrupt):
        world.run(Trigger.MIGRATION)
    world.to_ably.before = lambda _method, _what: None


@pytest.mark.parametrize("writes", range(WRITES))
def test_the_plan_after_a_migration_that_was_cut_off_is_what_the_next_one_does(
    world: World, writes: int
) -> None:
    """Each milestone under its own heading, and not one that the run leaves alone."""
    families(world)
    stop_after(world, writes)
    before = len(world.changes)
    planned = world.preview(trigger=Trigger.MIGRATION).plan
    report = foretold(world)
    assert report.state is State.SUCCEEDED
    written = {change.testrail_id for change in world.changes[before:]}
    assert {action.testrail_id for action in planned.changes} == written
    reasons = {action.reason for action in planned.actions}
    assert not any("once its sub-milestones are gone" in reason for reason in reasons)
    assert world.differences() == []


@pytest.mark.parametrize("lists", LISTS)
def test_a_plan_to_go_on_knows_what_the_list_hides(world: World, lists: dict[str, Any]) -> None:
    """Once one of each kind is there, it is seen to be missing from the list."""
    families(world)
    world.behave(ably=TestablySwitches(**lists))
    stop_after(world, WRITES - 2)
    assert foretold(world).state is State.SUCCEEDED


def test_a_completed_parent_is_written_where_none_of_its_sub_milestones_can_be_made(
    world: World,
) -> None:
    """Nobody knew that before: the status is then its own, and is written in the same run."""
    parent = world.add("Done", is_completed=True)
    world.add("Never to be made" + "!" * 300, parent, is_completed=True)
    world.behave(ably=TestablySwitches(max_name_length=200))
    stop_after(world, 1)
    [action] = [a for a in world.preview().plan.actions if a.testrail_id == parent]
    assert (action.kind, action.writes) == (Kind.SKIP, 0)
    report = world.run(Trigger.MIGRATION)
    assert (report.counts["updated"], report.counts["quarantined"]) == (1, 1)
    assert world.in_target(parent)["status"] == "completed"


# --- what a later plan may meet


def renamed(world: World, ids: Ids) -> None:
    world.edit(ids["Root"], name="Renamed")


def completed(world: World, ids: Ids) -> None:
    world.edit(ids["Root"], is_completed=True)


def reopened(world: World, ids: Ids) -> None:
    world.edit(ids["Root done"], is_completed=False)


def first_child(world: World, ids: Ids) -> None:
    world.add("First below", ids["Root"], is_completed=True)


def one_more_of_each(world: World, ids: Ids) -> None:
    world.add("New below", ids["Open"], is_completed=True)
    world.add("New root", is_completed=True)


def gone(world: World, ids: Ids) -> None:
    world.rail.delete(ids["Root"])


def last_child_gone(world: World, ids: Ids) -> None:
    world.rail.delete(ids["Only one"])


def gone_and_kept(world: World, ids: Ids) -> None:
    world.policy = Policy(on_source_delete=OnSourceDelete.KEEP)
    gone(world, ids)
    reopened(world, ids)


def in_use(world: World, ids: Ids) -> None:
    world.ably.link_run(world.id_of(ids["Root"]), RUN)
    gone(world, ids)
    reopened(world, ids)


def last_child_in_use(world: World, ids: Ids) -> None:
    world.ably.link_run(world.id_of(ids["Only one"]), RUN)
    last_child_gone(world, ids)
    reopened(world, ids)


def still_in_use(world: World, ids: Ids) -> None:
    in_use(world, ids)
    world.run(Trigger.MIGRATION)
    renamed_done(world, ids)


def renamed_done(world: World, ids: Ids) -> None:
    world.edit(ids["Root done"], name="Renamed")


def lost_there(world: World, ids: Ids) -> None:
    world.ably.remove(world.id_of(ids["Root"]))


def names_taken(world: World, ids: Ids) -> None:
    for above in (None, ids["Open"]):
        parent = world.id_of(above) if above else None
        world.ably.create(PROJECT, {"name": "Taken", "parent_id": parent})
        world.add("Taken", above)
    renamed(world, ids)


def second_target(world: World, ids: Ids) -> None:
    text = world.ably.get(PROJECT, world.id_of(ids["Root"]))["description"]
    world.ably.create(PROJECT, {"name": "A copy", "description": text})
    renamed_done(world, ids)


def orphan(world: World, ids: Ids) -> None:
    text = str(world.ably.get(PROJECT, world.id_of(ids["Root"]))["description"])
    other = text.replace(f"/view/{ids['Root']}", "/view/999")
    world.ably.create(PROJECT, {"name": "Of another", "description": other})
    renamed_done(world, ids)


def known_orphan(world: World, ids: Ids) -> None:
    orphan(world, ids)
    world.run(Trigger.MIGRATION)
    renamed(world, ids)


def taken_out_of_the_archive(world: World, ids: Ids) -> None:
    target = world.id_of(ids["Root"])
    gone(world, ids)
    world.run(Trigger.MIGRATION)
    world.clock.sleep(60)
    world.ably.update(PROJECT, target, {"status": "active"})
    renamed_done(world, ids)


def brought_back(world: World, ids: Ids) -> None:
    gone(world, ids)
    world.run(Trigger.MIGRATION)
    world.edit_target(ids["Root"], status="active")


def brought_back_in_use(world: World, ids: Ids) -> None:
    brought_back(world, ids)
    world.ably.link_run(world.id_of(ids["Root"]), RUN)
    renamed_done(world, ids)


def brought_back_and_kept(world: World, ids: Ids) -> None:
    world.policy = Policy(on_target_edit=OnTargetEdit.TARGET)
    brought_back(world, ids)
    renamed_done(world, ids)


def kept_until_now(world: World, ids: Ids) -> None:
    gone_and_kept(world, ids)
    world.run(Trigger.MIGRATION)
    world.policy = Policy()


def kept_until_now_in_use(world: World, ids: Ids) -> None:
    kept_until_now(world, ids)
    world.ably.link_run(world.id_of(ids["Root"]), RUN)
    renamed_done(world, ids)


def refused_and_edited(world: World, ids: Ids) -> None:
    target, real = world.id_of(ids["Root"]), world.ably.update

    def refuse(project: str, id_: str, body: Record) -> Record:
        if id_ == target:
            raise Refusal(400, "No")
        return real(project, id_, body)

    gone(world, ids)
    world.ably.update = refuse  # type: ignore[method-assign, assignment]
    world.run(Trigger.MIGRATION)
    world.ably.update = real  # type: ignore[method-assign]
    world.edit_target(ids["Root"], status="completed")


def refused_and_in_use(world: World, ids: Ids) -> None:
    refused_and_edited(world, ids)
    world.ably.link_run(world.id_of(ids["Root"]), RUN)
    renamed_done(world, ids)


def gone_and_unread(world: World, ids: Ids) -> None:
    target = world.id_of(ids["Root"])

    def deny(method: str, what: str) -> None:
        if method == "GET" and what.endswith(target):
            raise AccessDenied("Testably", "no access")

    gone(world, ids)
    world.to_ably.before = deny
    renamed_done(world, ids)


def edited_there(world: World, ids: Ids) -> None:
    world.policy = Policy(on_target_edit=OnTargetEdit.TARGET)
    world.edit_target(ids["Root"], name="Somebody's")
    renamed_done(world, ids)


def undone(world: World, ids: Ids) -> None:
    renamed(world, ids)
    run = world.run(Trigger.MIGRATION).run
    assert run is not None
    undo(world.context(), run)


def links_lost(world: World, _ids: Ids) -> None:
    with world.engine.begin() as connection:
        connection.exec_driver_sql("delete from changes")
        connection.exec_driver_sql("delete from links")


EVENTS: Final[tuple[Event, ...]] = (
    renamed,
    completed,
    reopened,
    first_child,
    one_more_of_each,
    gone,
    last_child_gone,
    gone_and_kept,
    in_use,
    last_child_in_use,
    still_in_use,
    lost_there,
    names_taken,
    second_target,
    orphan,
    known_orphan,
    taken_out_of_the_archive,
    brought_back,
    brought_back_in_use,
    brought_back_and_kept,
    kept_until_now,
    kept_until_now_in_use,
    refused_and_edited,
    refused_and_in_use,
    gone_and_unread,
    edited_there,
    undone,
    links_lost,
)


@pytest.mark.parametrize(
    "lists", LISTS, ids=lambda one: ",".join(f"{k}={v}" for k, v in one.items()) or "all"
)
@pytest.mark.parametrize("event", EVENTS, ids=lambda one: one.__name__)
def test_a_migration_takes_the_requests_of_its_plan(
    world: World, event: Event, lists: dict[str, Any]
) -> None:
    """Whatever has happened since the first one, and whatever Testably's list hides."""
    ids = families(world)
    world.behave(ably=TestablySwitches(**lists))
    world.run(Trigger.MIGRATION)
    event(world, ids)
    before = len(world.changes)
    assert foretold(world).state in (State.SUCCEEDED, State.PARTIAL)
    assert len(world.changes) > before


def test_a_plan_counts_the_questions_that_its_reading_left_to_the_proof(world: World) -> None:
    """It stopped asking for what is missing where a mass would stop the run (R5)."""
    for number in range(30):
        world.add(f"Release {number}")
    world.run(Trigger.MIGRATION)
    for id_ in range(1, 12):
        if id_ < 11:
            world.ably.link_run(world.id_of(id_), RUN)
        world.rail.delete(id_)
    world.edit(20, name="Renamed")
    planned = world.preview(trigger=Trigger.MIGRATION)
    report = world.run(Trigger.MIGRATION)
    assert report.requests["testrail"] == planned.requests["testrail"] == 10 + 11 + 2


@pytest.mark.parametrize("locks", [True, False])
@pytest.mark.parametrize("by_hand", [True, False])
def test_what_comes_back_from_the_archive_gives_its_parent_its_dates(
    world: World, locks: bool, by_hand: bool
) -> None:
    """They are Testably's own then, so that no run sends others to be refused."""
    world.behave(ably=TestablySwitches(archived_subs_lock_status=locks))
    parent = world.add("Parent", start_on=JANUARY, due_on=MARCH)
    child = world.add("Child", parent, start_on=FEBRUARY, due_on=FEBRUARY)
    first = world.run(Trigger.MIGRATION)
    assert first.run is not None
    if by_hand:
        world.edit_target(child, status="archived")
    else:
        undo(world.context(), first.run)
    again = foretold(world)
    if locks:
        assert world.to_ably.count("PATCH", world.id_of(parent)) == 0
    assert again.state is State.SUCCEEDED
    assert (again.not_exact, again.verified) == (first.not_exact, first.verified)
    later = world.run(Trigger.MIGRATION)
    assert (later.not_exact, later.verified) == (first.not_exact, first.verified)
