"""Whole runs in memory: milestones that are gone at the source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mappings.link_record import LinkState
from tests.support.mortal import Boundaries, Died
from tests.support.world import PROJECT, World
from worker.errors import (
    AccessDenied,
    ApiError,
    NotFound,
    Redirected,
    ServerTrouble,
    UnreadableAnswer,
)
from worker.sandbox.rules import Problem as Refusal
from worker.sandbox.rules import Record
from worker.sandbox.switches import TestablySwitches
from worker.sync.decide.action import Kind
from worker.sync.options import OnSourceDelete, OnTargetEdit, Options, Policy, Trigger
from worker.sync.report import State
from worker.sync.run import run_pair
from worker.sync.undo import undo
from worker.sync.verify import verify

ABLY = TestablySwitches()


@pytest.fixture
def family(world: World) -> World:
    """Parent 1 with child 2, and another root 3, in step."""
    world.add("Child", world.add("Parent"))
    world.add("Other")
    world.run()
    return world


def status(world: World, testrail_id: int) -> object:
    return world.ably.get(PROJECT, world.id_of(testrail_id))["status"]


def busy(world: World, testrail_id: int) -> None:
    """A test run that is not over hangs on its target."""
    world.ably.link_run(world.id_of(testrail_id), {"id": f"r{testrail_id}", "status": "open"})


def quiet(world: World) -> None:
    """The next run writes nothing and asks TestRail for nothing but the list."""
    world.run()
    assert world.to_ably.writes == {}
    assert world.to_rail.count("GET", "get_milestone/") == 0


def test_what_is_gone_is_archived(family: World) -> None:
    """One PATCH, and from then on nobody looks at it."""
    family.rail.delete(3)
    report = family.run()
    assert (report.state, report.counts["archived"]) == (State.SUCCEEDED, 1)
    assert family.to_ably.writes == {"PATCH": 1}
    assert status(family, 3) == "archived"
    assert family.links[3].state is LinkState.ARCHIVED
    quiet(family)


def test_sub_milestones_are_archived_before_their_parent(family: World) -> None:
    """Where archived ones do not lock it, the parent follows in the same run."""
    family.behave(ably=replace(ABLY, archived_subs_lock_status=False))
    family.rail.delete(1)
    assert family.run().counts["archived"] == 2
    assert (status(family, 1), status(family, 2)) == ("archived", "archived")
    quiet(family)


def test_a_parent_that_cannot_be_archived_is_told_until_it_is(family: World) -> None:
    """Its status is read-only while it has sub-milestones; no run tries it again."""
    family.rail.delete(1)
    report = family.run()
    assert (report.state, report.counts["archived"]) == (State.PARTIAL, 1)
    for again in (report, family.run()):
        assert [problem["kind"] for problem in again.problems] == ["rejected"]
        assert again.state is State.PARTIAL
    assert family.links[1].state is LinkState.LINKED
    quiet(family)


def test_a_server_that_ignores_archiving_is_told(family: World) -> None:
    """The answer shows another status."""
    family.rail.delete(3)
    real = family.ably.get

    def ignoring(project: str, id_: str, _body: object) -> Record:
        return real(project, id_)

    family.ably.update = ignoring  # type: ignore[method-assign, assignment]
    report = family.run()
    assert [problem["kind"] for problem in report.problems] == ["altered"]
    quiet(family)


def test_a_target_that_is_gone_as_well(family: World) -> None:
    """Deleted on both sides: no write, and the link is closed."""
    family.rail.delete(3)
    family.ably.remove(family.id_of(3))
    assert family.run().state is State.SUCCEEDED
    assert family.to_ably.writes == {}
    assert family.links[3].state is LinkState.ARCHIVED
    quiet(family)


def test_a_target_that_vanishes_before_it_is_archived_is_proved_gone_by_the_next_run(
    family: World,
) -> None:
    """A 404 to the PATCH tells only that the write was not done (R4)."""
    family.rail.delete(3)
    doomed = family.id_of(3)

    def vanishes(method: str, _: str) -> None:
        if method == "PATCH":
            family.ably.remove(doomed)

    family.to_ably.before = vanishes
    report = family.run()
    assert (report.counts["waiting"], report.counts["archived"]) == (1, 0)
    assert [told["kind"] for told in report.problems] == ["not_found"]
    family.to_ably.before = lambda *_: None
    assert family.run().state is State.SUCCEEDED
    assert (family.to_ably.writes, family.links[3].state) == ({}, LinkState.ARCHIVED)
    quiet(family)


def answers_404(world: World, method: str, testably_id: str) -> None:
    """Testably lists the milestone, and denies it to whoever asks for it in this way."""

    def deny(asked: str, what: str) -> None:
        if asked == method and what.endswith(testably_id):
            raise NotFound("Testably", "There is no such milestone", status=404)

    world.to_ably.before = deny


def test_what_answers_404_to_its_archiving_and_is_there_is_not_archived(family: World) -> None:
    """In no run, and no proof says that both sides agree; it is tried as any failed write is."""
    family.rail.delete(3)
    answers_404(family, "PATCH", family.id_of(3))
    kinds = []
    for trigger in (Trigger.MANUAL, Trigger.MIGRATION, Trigger.SCHEDULE, Trigger.MANUAL):
        report = family.run(trigger)
        assert (report.state, report.counts["archived"]) == (State.PARTIAL, 0)
        assert family.links[3].state is LinkState.LINKED
        kinds += [told["kind"] for told in report.problems]
        assert (report.verified or {"in_step": False})["in_step"] is False
    assert set(kinds) <= {"not_found", "keeps_failing"}
    assert not verify(family.context()).in_step
    family.to_ably.before = lambda *_: None
    family.clock.sleep(2 * 3600)
    assert (family.run().counts["archived"], status(family, 3)) == (1, "archived")
    quiet(family)


@pytest.mark.parametrize("trigger", [Trigger.MANUAL, Trigger.MIGRATION, Trigger.SCHEDULE])
def test_nothing_is_gone_that_is_listed(family: World, trigger: Trigger) -> None:
    """Its detail answers 404: nobody says that both sides agree, and it is archived later (R4)."""
    family.rail.delete(3)
    answers_404(family, "GET", family.id_of(3))
    report = family.run(trigger)
    assert (report.state, report.counts["waiting"]) == (State.PARTIAL, 1)
    assert [told["kind"] for told in report.problems if told["testrail_id"] == 3] == ["unread"]
    assert (family.to_ably.writes, family.links[3].state) == ({}, LinkState.LINKED)
    assert (report.verified or {"in_step": None})["in_step"] is not True
    with pytest.raises(UnreadableAnswer):
        verify(family.context())
    family.to_ably.before = lambda *_: None
    assert (family.run(trigger).counts["archived"], status(family, 3)) == (1, "archived")
    quiet(family)


@pytest.mark.parametrize("is_gone", [True, False], ids=["gone at the source", "edited"])
def test_the_second_look_takes_nothing_for_gone_that_was_listed(
    family: World, is_gone: bool
) -> None:
    """It is neither archived for it nor told as missing: nothing is proved."""
    if is_gone:
        family.rail.delete(3)
    else:
        family.edit_target(3, name="A person's")
    seen: list[str] = []

    def deny(method: str, what: str) -> None:
        seen.extend([what] if method == "GET" and what.endswith(family.id_of(3)) else [])
        if len(seen) == 1 + is_gone and what == seen[-1]:
            raise NotFound("Testably", "There is no such milestone", status=404)

    family.to_ably.before = deny
    with pytest.raises(UnreadableAnswer):
        verify(family.context())
    assert (len(seen), family.links[3].state) == (1 + is_gone, LinkState.LINKED)
    family.to_ably.before = lambda *_: None
    assert not verify(family.context()).in_step


def test_archiving_that_fails_for_a_while_is_tried_by_the_next_run(family: World) -> None:
    """5xx is no refusal."""
    family.rail.delete(3)
    family.to_ably.faults.script("server_error", method="PATCH", times=6)
    assert family.run().counts["waiting"] == 1
    assert family.run().counts["archived"] == 1


def test_keep(family: World) -> None:
    """The target stays as it is, told by nobody, looked at by nobody."""
    family.policy = Policy(on_source_delete=OnSourceDelete.KEEP)
    family.rail.delete(3)
    assert family.run().state is State.SUCCEEDED
    assert (family.to_ably.writes, status(family, 3)) == ({}, "active")
    quiet(family)


@pytest.mark.parametrize("between", OnSourceDelete)
def test_what_a_person_brings_back_stays_where_testably_s_edits_win(
    family: World, between: OnSourceDelete
) -> None:
    """In every later run too, whatever the setting for deleted ones was between them."""
    family.rail.delete(3)
    family.run()
    family.edit_target(3, status="active")
    for deletes in (between, OnSourceDelete.ARCHIVE, OnSourceDelete.ARCHIVE):
        family.policy = Policy(OnTargetEdit.TARGET, deletes)
        report = family.run()
        assert (report.state, family.to_ably.writes) == (State.SUCCEEDED, {})
        assert status(family, 3) == "active"
        assert (report.verified or {"in_step": True})["in_step"]
    family.policy = Policy(OnTargetEdit.SOURCE)
    assert family.run().counts["archived"] == 1
    assert status(family, 3) == "archived"
    quiet(family)


# --- what people work in (R12)


def brought_back(world: World) -> None:
    """A person takes it out of the archive again."""
    world.rail.delete(3)
    world.run()
    world.edit_target(3, status="active")


def kept_until_now(world: World) -> None:
    """The setting for what is deleted becomes another one."""
    world.policy = Policy(on_source_delete=OnSourceDelete.KEEP)
    world.rail.delete(3)
    world.run()
    world.policy = Policy()


def refused_and_edited(world: World) -> None:
    """Testably did not take that it be archived, and a person has changed its status since."""

    def refuse(*_: object) -> Record:
        raise Refusal(400, "No")

    world.rail.delete(3)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(world.ably, "update", refuse)
        assert [told["kind"] for told in world.run().problems] == ["rejected"]
    world.edit_target(3, status="completed")


def listed_in_part(world: World) -> None:
    """Testably's list came incomplete, and holds it."""
    world.rail.delete(3)
    world.target.incomplete = True


@pytest.mark.parametrize(
    "happened", [brought_back, kept_until_now, refused_and_edited, listed_in_part]
)
def test_whatever_is_to_be_archived_is_looked_into_first(
    family: World, happened: Callable[[World], None]
) -> None:
    """Whatever became of it before: the plan shows that people work in it, and so does verify."""
    happened(family)
    busy(family, 3)
    before, planned = status(family, 3), family.preview()
    assert [a.kind for a in planned.plan.actions if a.testrail_id == 3] == [Kind.CONFLICT]
    for trigger in (Trigger.MANUAL, Trigger.SCHEDULE, Trigger.MIGRATION):
        report = family.run(trigger)
        assert ("in_use", 3) in [(one["kind"], one["testrail_id"]) for one in report.problems]
        assert family.to_ably.writes == {}
    assert status(family, 3) == before
    family.target.incomplete = False
    assert not verify(family.context()).in_step
    assert family.run(archive_in_use=True).counts["archived"] == 1
    quiet(family)


def test_without_access_nothing_is_proved(family: World) -> None:
    """403 means no access, never deleted."""
    family.rail.plant({"id": 3, "name": "Other"}, project_id=2)
    family.rail.projects.add(2)
    family.rail.no_access.add(2)
    report = family.run()
    assert (report.counts["waiting"], family.to_ably.writes) == (1, {})
    assert "absence_unproved" in [problem["kind"] for problem in report.problems]
    assert (report.verified or {})["in_step"] is None
    assert family.links[3].state is LinkState.LINKED


@pytest.mark.parametrize("edit", [{}, {"name": "Renamed"}], ids=["nothing to push", "a push"])
def test_a_target_that_cannot_be_read_proves_nothing(family: World, edit: Record) -> None:
    """It is not archived (R12), and nobody says that both sides agree."""
    family.rail.delete(3)
    family.edit(1, **edit)
    unread = family.id_of(3)

    def refuse(method: str, what: str) -> None:
        if method == "GET" and what.endswith(unread):
            raise AccessDenied("Testably", "no access")

    family.to_ably.before = refuse
    report = family.run(Trigger.MIGRATION)
    assert (report.state, report.counts["waiting"]) == (State.PARTIAL, 1)
    assert (report.verified or {})["in_step"] is None
    assert "PATCH" not in family.to_ably.writes or edit
    assert family.links[3].state is LinkState.LINKED


def test_an_incomplete_list_proves_nothing(family: World) -> None:
    """What is on it is kept up to date all the same."""
    family.rail.delete(3)
    family.edit(1, name="Renamed")
    family.source.incomplete = True
    report = family.run()
    assert (report.counts["archived"], report.counts["updated"]) == (0, 1)
    family.source.incomplete = False
    assert family.run().counts["archived"] == 1


def test_a_scheduled_run_reads_what_it_archives(family: World) -> None:
    """The proof is TestRail's; what hangs on the target is read, and then one PATCH (R12)."""
    family.rail.delete(3)
    assert family.run(Trigger.SCHEDULE).counts["archived"] == 1
    one = f"milestones/{family.id_of(3)}"
    assert family.to_ably.requests == [("GET", one), ("PATCH", one)]


def test_a_mass_archive_stops_the_run_before_its_first_write(world: World) -> None:
    """Also before the updates that the same run would make; the flag allows it."""
    for number in range(30):
        world.add(f"Release {number}")
    world.run()
    for id_ in range(1, 13):
        world.rail.delete(id_)
    world.edit(20, name="Renamed")
    stopped = world.run(Trigger.SCHEDULE)
    assert (stopped.state, world.to_ably.writes) == (State.ABORTED, {})
    assert stopped.error is not None
    assert "--allow-mass-archive" in stopped.error.hint
    allowed = world.run(Trigger.MIGRATION, allow_mass_archive=True)
    assert (allowed.counts["archived"], allowed.counts["updated"]) == (12, 1)
    quiet(world)


@pytest.mark.parametrize("used", [1, 5])
def test_a_mass_archive_is_stopped_whatever_of_it_is_in_use(world: World, used: int) -> None:
    """TestRail is asked for no more than would be a mass; the rest would go in the next runs."""
    for number in range(50):
        world.add(f"Release {number}")
    world.run()
    for id_ in range(1, 41):
        world.rail.delete(id_)
    for id_ in range(1, used + 1):
        busy(world, id_)
    stopped = world.run(Trigger.SCHEDULE)
    assert (stopped.state, world.to_ably.writes) == (State.ABORTED, {})
    assert "40 of 50 linked" in str(stopped.error)
    assert "11 of them so far are proved" in str(stopped.error)


def test_a_mass_archive_is_stopped_where_testrail_fails_in_the_midst_of_it(world: World) -> None:
    """Run by run a few would be proved to be gone, until all are archived."""
    for number in range(50):
        world.add(f"Release {number}")
    world.run()
    for id_ in range(1, 41):
        world.rail.delete(id_)
    for id_ in (8, 9):
        world.to_rail.faults.script("server_error", contains=f"get_milestone/{id_}", times=99)
    assert (world.run().state, world.to_ably.writes) == (State.ABORTED, {})


def test_what_is_in_use_keeps_no_other_from_being_proved_gone(world: World) -> None:
    """However many they are: the next run asks for the others."""
    for number in range(30):
        world.add(f"Release {number}")
    world.run()
    for id_ in range(1, 12):
        world.rail.delete(id_)
    for id_ in range(1, 11):
        busy(world, id_)
    first, second = world.run(), world.run()
    assert (first.counts["conflicts"], first.counts["waiting"]) == (10, 1)
    assert (second.counts["conflicts"], second.counts["archived"]) == (10, 1)


def test_an_emptied_project_archives_nothing_by_itself(world: World) -> None:
    """Few links, but all of them at once: below ten it is no mass; from ten on it is."""
    for number in range(10):
        world.add(f"Release {number}")
    world.run()
    for id_ in range(1, 11):
        world.rail.delete(id_)
    assert world.run().state is State.ABORTED
    assert world.to_ably.writes == {}


def test_a_child_that_outlives_its_parent_is_kept(family: World) -> None:
    """It was moved to the root at the source; its old parent cannot be archived around it."""
    family.edit(2, parent_id=None)
    family.rail.delete(1)
    report = family.run()
    kinds = {problem["kind"] for problem in report.problems}
    assert kinds == {"immovable", "rejected"}
    assert status(family, 2) == "active"
    quiet(family)


@pytest.mark.parametrize("policy", OnTargetEdit)
@pytest.mark.parametrize("child_done", [False, True])
def test_with_its_last_child_gone_a_completed_parent_is_completed(
    world: World, child_done: bool, policy: OnTargetEdit
) -> None:
    """In the same run, after the archiving: until then its status was Testably's own.

    The third PATCH takes its own dates out of its footer.
    """
    world.policy = Policy(on_target_edit=policy)
    world.behave(ably=replace(ABLY, archived_subs_lock_status=False))
    parent = world.add("Parent", is_completed=True)
    child = world.add("Child", parent, is_completed=child_done)
    world.run()
    world.rail.delete(child)
    assert world.run().state is State.SUCCEEDED
    assert (world.to_ably.writes, status(world, parent)) == ({"PATCH": 3}, "completed")
    quiet(world)


def test_with_its_last_child_gone_a_parent_gets_its_own_dates_back_in_the_same_run(
    world: World,
) -> None:
    """What was left of them is looked at; where they are the wanted ones nothing is written."""
    world.behave(ably=replace(ABLY, archived_subs_lock_status=False))
    changed, same = (world.add(f"Parent {n}", due_on=1_780_272_000) for n in range(2))
    children = [world.add("Child", one, due_on=1_782_864_000) for one in (changed, same)]
    world.run()
    world.edit(changed, due_on=1_785_542_400)
    world.run()
    for child in children:
        world.rail.delete(child)
    report = world.run()
    assert (report.counts["archived"], report.counts["updated"]) == (2, 2)
    assert world.to_ably.writes == {"PATCH": 5}  # two footers, two archives and one date
    assert verify(world.context()).in_step
    assert world.differences() == []
    quiet(world)


@pytest.mark.parametrize("deletes", OnSourceDelete)
def test_with_its_last_child_gone_from_both_sides_a_parent_gets_its_own_dates_at_once(
    world: World, deletes: OnSourceDelete
) -> None:
    """Nothing is left to be archived, so the parent's dates are its own in this run already."""
    parent = world.add("Parent", due_on=1_780_272_000)
    world.run()
    world.policy = Policy(on_target_edit=OnTargetEdit.TARGET)
    world.edit_target(parent, due_date="2026-12-01T00:00:00Z")
    child = world.add("Child", parent, due_on=1_782_864_000)
    world.run()
    world.rail.delete(child)
    world.ably.remove(world.id_of(child))
    world.policy = Policy(on_source_delete=deletes)
    world.run()
    assert world.in_target(parent)["due_date"] == "2026-06-01T00:00:00Z"
    quiet(world)


def test_where_archived_children_lock_the_status_that_is_told(world: World) -> None:
    """The parent stays open in Testably; no run tries it again, until the source changes."""
    parent = world.add("Parent", is_completed=True)
    child = world.add("Child", parent)
    world.run()
    world.rail.delete(child)
    report = world.run()
    assert [problem["kind"] for problem in report.problems] == ["rejected"]
    assert dict(world.run().not_exact) == {"rejected": 1}
    quiet(world)


@pytest.mark.parametrize("mode", ["auto", "manual", None])
def test_a_status_that_its_last_child_leaves_behind_is_not_sent(
    world: World, mode: str | None
) -> None:
    """It was written before there was a child; it is looked at whosever the dates are."""
    world.behave(ably=replace(ABLY, shows_date_mode=mode is not None))
    parent = world.add("Parent", is_completed=True)
    world.run()
    world.ably._shelf.record(world.id_of(parent))["date_mode"] = mode or "auto"
    child = world.add("Child", parent)
    world.run()
    assert status(world, parent) == "active"
    world.rail.delete(child)
    planned = world.preview().requests
    report = world.run()
    assert (report.state, status(world, parent)) == (State.SUCCEEDED, "completed")
    assert report.requests["testably"] == planned["testably"] - 1  # the status need not be sent
    quiet(world)
    assert world.run(Trigger.SCHEDULE).state is State.SUCCEEDED


def test_a_parent_whose_child_could_not_be_archived_stays_as_it_is(world: World) -> None:
    """Its status is derived still; the next run sees to both."""
    world.behave(ably=replace(ABLY, archived_subs_lock_status=False))
    parent = world.add("Parent", is_completed=True)
    child = world.add("Child", parent)
    world.run()
    world.rail.delete(child)
    archived = f"milestones/{world.id_of(child)}"
    world.to_ably.faults.script("server_error", method="PATCH", contains=archived, times=6)
    report = world.run()
    assert [problem["testrail_id"] for problem in report.problems] == [child]
    assert world.run().state is State.SUCCEEDED
    assert status(world, parent) == "completed"
    quiet(world)


@pytest.mark.parametrize("on_source_delete", OnSourceDelete)
def test_a_copy_of_what_is_gone_is_told_until_it_is_archived(
    world: World, on_source_delete: OnSourceDelete
) -> None:
    """Whether the target itself was archived or kept, and by every mouth."""
    world.policy = Policy(on_source_delete=on_source_delete)
    one = world.add("One")
    world.run(Trigger.MIGRATION)
    copied = {"name": "Copy", "description": world.in_target(one)["description"]}
    copy = world.ably.create(PROJECT, copied)["id"]
    world.rail.delete(one)
    for _ in range(2):
        report = world.run()
        assert [told["kind"] for told in report.problems] == ["second_target"]
        assert [extra.testably_id for extra in verify(world.context()).extra] == [copy]
    world.ably.update(PROJECT, str(copy), {"status": "archived"})
    assert world.run().state is State.SUCCEEDED
    assert verify(world.context()).in_step
    assert world.store.links_with_problems(world.store.pair(world.identity).id) == []


# --- what a create in doubt has left


def left_in_doubt(world: World) -> str:
    """The process of a create dies, its source goes, and the Testably id of what it left."""
    world.add("Other")
    world.run()
    gone = world.add("One")
    with pytest.raises(Died):
        run_pair(world.mortal(Boundaries(dies_on="after POST")), Options())
    world.rail.delete(gone)
    (made,) = (row["id"] for row in world.ably.everything(PROJECT) if row["name"] == "One")
    return str(made)


@pytest.mark.parametrize("below", [True, False])
def test_what_a_create_in_doubt_left_is_not_archived_where_people_work_in_it(
    world: World, below: bool
) -> None:
    """No reading has shown it, so it is looked into first (R12)."""
    made = left_in_doubt(world)
    if below:
        world.ably.create(PROJECT, {"name": "A person's", "parent_id": made})
    else:
        world.ably.link_run(made, {"id": "run_1", "name": "Smoke", "status": "in_progress"})
    for _ in range(2):
        report = world.run()
        assert [(p["testrail_id"], p["kind"]) for p in report.problems] == [(2, "in_use")]
        assert world.to_ably.writes == {}
    assert world.ably.get(PROJECT, made)["status"] == "active"


DENIED_ALONE = (AccessDenied, NotFound, Redirected, ServerTrouble, UnreadableAnswer)


def cannot_be_read(world: World, testably_id: str, error: type[ApiError]) -> None:
    def fail(method: str, what: str) -> None:
        if method == "GET" and what.endswith(testably_id):
            raise error("Testably", "it cannot be read")

    world.to_ably.before = fail


@pytest.mark.parametrize("error", DENIED_ALONE)
def test_what_a_create_in_doubt_left_is_not_archived_where_it_cannot_be_read(
    world: World, error: type[ApiError]
) -> None:
    """It waits, and is no write that failed (R12): the run comes to its end."""
    made = left_in_doubt(world)
    cannot_be_read(world, made, error)
    for _ in range(2):
        report = world.run()
        assert (report.state, report.counts["waiting"]) == (State.PARTIAL, 1)
        (kind, *_) = (p["kind"] for p in report.problems if p["testrail_id"] == 2)
        assert (kind, world.to_ably.writes) == ("unread", {})
    world.to_ably.before = lambda *_: None
    assert world.run().counts["archived"] == 1


@pytest.mark.parametrize("error", DENIED_ALONE)
def test_what_was_read_long_ago_is_not_archived_where_it_cannot_be_read_again(
    family: World, error: type[ApiError]
) -> None:
    """It waits, and what else has gone is archived (R12)."""
    family.rail.delete(3)
    family.edit(2, name="Renamed")

    def takes_long(method: str, _: str) -> None:
        if method == "PATCH":
            family.clock.sleep(400)
            cannot_be_read(family, family.id_of(3), error)

    family.to_ably.before = takes_long
    report = family.run()
    assert (report.state, report.counts["updated"]) == (State.PARTIAL, 1)
    assert [p["kind"] for p in report.problems if p["testrail_id"] == 3] == ["unread"]
    family.to_ably.before = lambda *_: None
    assert family.run().counts["archived"] == 1
    assert family.run().state is State.SUCCEEDED


@pytest.mark.parametrize("error", DENIED_ALONE)
def test_dates_that_are_its_own_again_wait_where_they_cannot_be_read(
    world: World, error: type[ApiError]
) -> None:
    """Its sub-milestone is archived; that it cannot be read is no write that failed."""
    world.behave(ably=replace(ABLY, archived_subs_lock_status=False))
    parent = world.add("Parent", due_on=1_780_272_000)
    child = world.add("Child", parent, start_on=1_778_000_000, due_on=1_779_000_000)
    world.run()
    world.rail.delete(child)

    def after_a_write(method: str, _: str) -> None:
        if method == "PATCH":
            cannot_be_read(world, world.id_of(parent), error)

    world.to_ably.before = after_a_write
    report = world.run()
    assert report.counts["archived"] == 1
    told = [p["kind"] for p in report.problems if p["testrail_id"] == parent]
    assert (report.state, told[0]) == (State.PARTIAL, "unread")
    world.to_ably.before = lambda *_: None
    assert world.run().state is State.SUCCEEDED
    assert world.differences() == []
    assert world.store.links_with_problems(world.store.pair(world.identity).id) == []


@pytest.mark.parametrize("is_old", [True, False])
def test_nothing_is_concluded_from_a_project_that_goes_before_an_archive(
    family: World, is_old: bool
) -> None:
    """Then a 404 says nothing of a milestone (R4), be it of a reading or of the write."""
    family.rail.delete(3)
    family.edit(2, name="Renamed")

    def goes(method: str, what: str) -> None:
        if method == "PATCH" and what.endswith(family.id_of(2)):
            family.clock.sleep(400 if is_old else 1)
            family.to_ably.before = no_project

    def no_project(*_: str) -> None:
        raise NotFound("Testably", "no such project")

    family.to_ably.before = goes
    assert family.run().state is State.FAILED
    assert family.links[3].state is LinkState.LINKED
    family.to_ably.before = lambda *_: None
    assert family.run().counts["archived"] == 1


@pytest.mark.parametrize("in_use", [True, False])
def test_an_undo_brings_back_what_a_create_in_doubt_had_left(world: World, in_use: bool) -> None:
    """It was archived as its source had gone, and its status is known from then."""
    made = left_in_doubt(world)
    if in_use:
        world.ably.link_run(made, {"id": "run_1", "name": "Smoke", "status": "in_progress"})
    report = world.run(archive_in_use=in_use)
    assert (report.state, report.counts["archived"]) == (State.SUCCEEDED, 1)
    world.clock.sleep(60)
    assert undo(world.context(), str(report.run)).state is State.SUCCEEDED
    assert world.ably.get(PROJECT, made)["status"] == "active"


def test_a_plan_counts_the_look_into_what_a_create_in_doubt_had_left(world: World) -> None:
    """It is read once more before it is archived (R12)."""
    left_in_doubt(world)
    planned = world.preview()
    before = world.target.requests
    assert world.run().counts["archived"] == 1
    assert planned.requests["testably"] == world.target.requests - before
