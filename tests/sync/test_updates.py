"""Whole runs in memory: what people change on either side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mappings.dates import moment, moment_of
from mappings.link_record import LinkState
from mappings.rows import ChangeState
from tests.support.world import PROJECT, World
from worker.sandbox.rules import Problem, Record
from worker.sandbox.switches import TestablySwitches
from worker.sync.options import OnTargetEdit, Policy, Trigger
from worker.sync.read.scope import Scope
from worker.sync.report import State
from worker.sync.verify import verify

ABLY = TestablySwitches()
TARGET_WINS = Policy(on_target_edit=OnTargetEdit.TARGET)


@pytest.fixture
def one(world: World) -> World:
    """A world with one milestone that has everything, in step."""
    world.add("One", description="Text", due_on=1_780_000_000, refs="RF-1")
    world.run()
    return world


def in_step_after(world: World, patches: int) -> None:
    """One run takes so many PATCHes and no other write, and the next one none."""
    world.run()
    assert world.to_ably.writes == ({"PATCH": patches} if patches else {})
    assert world.differences() == []
    world.run()
    assert world.to_ably.writes == {}


# --- edits at the source


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "Renamed"},
        {"description": "Other text"},
        {"description": None},
        {"due_on": None},
        {"due_on": 1_790_000_000},
        {"start_on": 1_760_000_000},
        {"refs": None},
        {"is_completed": True},
        {"name": "Renamed", "due_on": None, "is_completed": True},
    ],
    ids=str,
)
def test_a_change_at_the_source_is_one_patch(one: World, fields: dict[str, Any]) -> None:
    """Whatever changed, and however much of it: one PATCH with exactly the changed fields."""
    one.edit(1, **fields)
    in_step_after(one, patches=1)


def test_completed_and_reopened(one: World) -> None:
    """The status follows in both directions; the footer tells the moment of completion."""
    one.edit(1, is_completed=True)
    in_step_after(one, patches=1)
    assert one.in_target(1)["status"] == "completed"
    assert "Completed: " in str(one.in_target(1)["description"])
    one.edit(1, is_completed=False)
    in_step_after(one, patches=1)
    assert one.in_target(1)["status"] == "active"


def test_a_null_that_is_refused_is_told_and_the_rest_goes_without_it(one: World) -> None:
    """The date stays in Testably; no run sends it again until the source wants another value."""
    one.behave(ably=replace(ABLY, null_clears=False))
    one.edit(1, name="Renamed", due_on=None)
    report = one.run()
    assert (report.state, report.counts["updated"]) == (State.PARTIAL, 1)
    assert [problem["kind"] for problem in report.problems] == ["rejected"]
    assert one.in_target(1)["name"] == "Renamed"
    for _ in range(2):
        again = one.run()
        assert (again.state, one.to_ably.writes) == (State.PARTIAL, {})
        assert dict(again.not_exact) == {"lifecycle": 1, "rejected": 1}
    one.edit(1, due_on=1_790_000_000)
    in_step_after(one, patches=1)


@pytest.mark.parametrize("trigger", [Trigger.MANUAL, Trigger.MIGRATION])
def test_what_was_refused_as_a_whole_is_not_updated(one: World, trigger: Trigger) -> None:
    """The journal says refused; the counts and what is not exact say so in the same run."""
    one.behave(ably=replace(ABLY, null_clears=False))
    one.edit(1, due_on=None)
    report = one.run(trigger)
    assert {str(change.state) for change in one.changes if change.run_id == report.run} == {
        "refused"
    }
    assert {name: n for name, n in report.counts.items() if n} == {"unchanged": 1}
    assert dict(report.not_exact) == {"lifecycle": 1, "rejected": 1}
    again = one.run(trigger)
    assert (again.counts, again.not_exact) == (report.counts, report.not_exact)


@pytest.mark.parametrize("more", [{}, {"due_on": None}], ids=["alone", "beside a null"])
def test_of_a_name_and_a_description_refused_together_the_good_one_arrives(
    one: World, more: dict[str, None]
) -> None:
    """Each goes alone (R3); the refused one is told, and sent again only once it is another."""
    one.behave(ably=replace(ABLY, max_name_length=10, null_clears=not more))
    one.edit(1, name="Longer than that", description="A new text", **more)
    report = one.run()
    assert (report.state, report.counts["updated"]) == (State.PARTIAL, 1)
    fields = sorted(str(failure.field) for failure in one.links[1].failures)
    assert fields == ["due_date", "name"] if more else ["name"]
    assert str(one.in_target(1)["description"]).startswith("A new text")
    assert one.in_target(1)["name"] == "One"
    for _ in range(2):
        assert (one.run().state, one.to_ably.writes) == (State.PARTIAL, {})
    one.edit(1, name="Short", due_on=1_790_000_000)
    assert one.run().state is State.SUCCEEDED
    assert one.in_target(1)["name"] == "Short"


def test_a_refused_name_keeps_no_date_away(one: World) -> None:
    """Nor what the source makes of it later."""
    one.behave(ably=replace(ABLY, max_name_length=10))
    for due in (1_790_000_000, 1_791_000_000):
        one.edit(1, name="Longer than that", due_on=due)
        assert one.run().state is State.PARTIAL
        assert [failure.field for failure in one.links[1].failures] == ["name"]
        assert one.in_target(1)["name"] == "One"
        assert moment(str(one.in_target(1)["due_date"])) == moment_of(due)
    assert (one.run().state, one.to_ably.writes) == (State.PARTIAL, {})


def refuse(
    one: World, monkeypatch: pytest.MonkeyPatch, why: Callable[[Record, Record], bool]
) -> None:
    """Have Testably answer 400 to a PATCH for what it would come to beside what there is."""
    update = one.ably.update

    def strict(project: str, id_: str, body: Record) -> Record:
        (there,) = (row for row in one.ably.everything(project) if row["id"] == id_)
        if why(there, body):
            raise Problem(400, "Not as it is")
        return update(project, id_, body)

    monkeypatch.setattr(one.ably, "update", strict)


def test_dates_that_move_together_are_sent_together(
    one: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else is refused: alone, the new start lies after the due date that there is."""

    def why(there: Record, body: Record) -> bool:
        then = {**there, **body}
        turned = str(then["start_date"] or "") > str(then["due_date"] or "9")
        return turned or "status" in body

    one.edit(1, start_on=1_780_000_000, due_on=1_781_000_000)
    one.run()
    refuse(one, monkeypatch, why)
    one.edit(1, start_on=1_790_000_000, due_on=1_791_000_000, is_completed=True)
    assert one.run().state is State.PARTIAL
    assert [failure.field for failure in one.links[1].failures] == ["status"]
    shown = [moment(str(one.in_target(1)[name])) for name in ("start_date", "due_date")]
    assert shown == [moment_of(1_790_000_000), moment_of(1_791_000_000)]


def test_what_is_archived_is_opened_before_anything_else_is_sent(
    one: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the target takes nothing else of it."""
    refuse(
        one,
        monkeypatch,
        lambda there, body: there["status"] == "archived" and list(body) != ["status"],
    )
    one.edit_target(1, status="archived")
    one.edit(1, name="Other")
    in_step_after(one, patches=3)
    assert (one.in_target(1)["name"], one.in_target(1)["status"]) == ("Other", "active")


def test_where_name_and_description_are_both_refused_the_milestone_is(
    one: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one whose name alone is refused: it waits until TestRail's record changes."""

    def refused(*_: object) -> Record:
        raise Problem(400, "No such words here")

    one.edit(1, name="Other", description="A new text")
    monkeypatch.setattr(one.ably, "update", refused)
    report = one.run()
    assert (report.state, report.counts["quarantined"]) == (State.PARTIAL, 1)
    assert (one.run().state, one.to_ably.writes) == (State.PARTIAL, {})


def test_an_edit_that_cannot_be_taken_back_is_tried_once(one: World) -> None:
    """What was refused was refused over the value that the person wrote."""
    one.edit(1, due_on=None)
    one.run()
    one.behave(ably=replace(ABLY, null_clears=False))
    one.edit_target(1, due_date="2026-05-01T00:00:00Z")
    assert [problem["kind"] for problem in one.run().problems] == ["rejected"]
    assert one.links[1].field_problems["due_date"].live == "2026-05-01T00:00:00Z"
    assert (one.run().state, one.to_ably.writes) == (State.PARTIAL, {})


def test_a_null_that_changes_nothing_is_told(one: World) -> None:
    """A server that takes it and shows the old value cannot be told from one that refuses."""
    one.edit(1, due_on=None)
    real = one.ably.update

    def ignoring(project: str, id_: str, body: dict[str, Any]) -> Any:
        kept = {name: value for name, value in body.items() if value is not None}
        return real(project, id_, kept)

    one.ably.update = ignoring  # type: ignore[method-assign, assignment]
    assert [p["kind"] for p in one.run().problems] == ["altered"]
    assert one.run().state is State.PARTIAL
    assert one.to_ably.writes == {}


def test_a_move_at_the_source_is_told_until_a_person_moves_it(world: World) -> None:
    """Testably cannot move a milestone; it is kept up to date where it is."""
    first, second = world.add("First"), world.add("Second")
    child = world.add("Child", first)
    world.run()
    world.edit(child, parent_id=second, name="Moved child")
    report = world.run()
    assert [problem["kind"] for problem in report.problems] == ["immovable"]
    assert dict(report.not_exact) == {"lifecycle": 2, "moved": 1}
    assert world.in_target(child)["name"] == "Moved child"
    again = world.run()
    assert (again.state, world.to_ably.writes) == (State.PARTIAL, {})
    assert dict(again.not_exact) == {"lifecycle": 2, "moved": 1}


def test_a_parents_dates_follow_the_source_only(world: World) -> None:
    """What Testably derives is no edit; a new date at the source is tried once.

    The whole is refused, so the date and the footer that keeps it go each alone.
    """
    world.policy = TARGET_WINS
    parent = world.add("Parent", due_on=1_780_000_000)
    child = world.add("Child", parent, due_on=1_781_000_000)
    world.run()
    world.edit(child, due_on=1_782_000_000)
    assert world.run().problems == ()
    assert world.to_ably.writes == {"PATCH": 1}
    world.edit(parent, due_on=1_783_000_000)
    assert world.run().problems == ()
    assert world.to_ably.writes == {"PATCH": 3}
    assert world.run().state is State.SUCCEEDED
    assert world.to_ably.writes == {}


# --- edits in the target


def test_the_source_wins_and_the_history_keeps_what_was_overwritten(one: World) -> None:
    """The value goes back with one PATCH, and the edit can be read in the changes."""
    one.edit_target(1, name="Edited", due_date="2026-12-24T00:00:00Z")
    in_step_after(one, patches=1)
    last = one.changes[-1]
    assert dict(last.before) == {"name": "Edited", "due_date": "2026-12-24T00:00:00Z"}
    assert (last.state, last.after["name"]) == (ChangeState.DONE, "One")


def test_the_targets_edits_win(one: World) -> None:
    """The field is left alone and told each time; other fields still follow the source."""
    one.policy = TARGET_WINS
    one.edit_target(1, name="Edited")
    one.edit(1, name="Renamed", due_on=None)
    for patches in ({"PATCH": 1}, {}):
        report = one.run()
        assert one.to_ably.writes == patches
        assert [problem["kind"] for problem in report.problems] == ["target_edit_kept"]
        assert report.state is State.SUCCEEDED
    assert (one.in_target(1)["name"], one.in_target(1)["due_date"]) == ("Edited", None)


def test_edits_in_the_target_are_seen_when_it_is_read_again(one: World) -> None:
    """A scheduled run trusts the last listing for as long as it is set to."""
    one.edit_target(1, name="Edited")
    one.run(Trigger.SCHEDULE)
    assert one.to_ably.requests == []
    one.clock.sleep(3600)
    one.run(Trigger.SCHEDULE)
    assert one.to_ably.writes == {"PATCH": 1}


def test_archived_by_hand(one: World) -> None:
    """The source wins: it comes back. Where edits win it stays archived, and is told."""
    one.edit_target(1, status="archived")
    in_step_after(one, patches=1)
    one.policy = TARGET_WINS
    one.edit_target(1, status="archived")
    assert [p["kind"] for p in one.run().problems] == ["target_edit_kept"]
    assert one.to_ably.writes == {}


# --- targets that are gone


def test_a_deleted_target_is_created_again(one: World) -> None:
    """As new, completed if it has to be, and in step afterwards."""
    one.edit(1, is_completed=True)
    one.run()
    one.ably.remove(one.id_of(1))
    report = one.run()
    assert (report.counts["created"], one.to_ably.writes) == (1, {"POST": 1, "PATCH": 1})
    assert one.differences() == []
    one.run()
    assert one.to_ably.writes == {}


def test_a_deleted_target_stays_deleted_where_edits_win(one: World) -> None:
    """A deletion is an edit; a person has to decide."""
    one.policy = TARGET_WINS
    one.ably.remove(one.id_of(1))
    report = one.run()
    assert (report.counts["conflicts"], one.to_ably.writes) == (1, {})
    assert report.problems[0]["kind"] == "target_gone"


def test_many_deleted_targets_stop_the_run(world: World) -> None:
    """Somebody may have emptied the wrong project; the flag recreates them."""
    ids = [world.add(f"Release {number}") for number in range(12)]
    world.run()
    for id_ in ids:
        world.ably.remove(world.id_of(id_))
    stopped = world.run()
    assert (stopped.state, world.to_ably.writes) == (State.ABORTED, {})
    assert stopped.error is not None
    assert "--allow-mass-recreate" in stopped.error.hint
    assert world.run(allow_mass_recreate=True).counts["created"] == 12
    assert world.differences() == []


def test_a_target_deleted_between_plan_and_write_waits(one: World) -> None:
    """The PATCH answers 404; the next run looks at it and creates it again."""
    one.edit(1, name="Renamed")
    doomed = one.id_of(1)

    def delete(method: str, _what: str) -> None:
        if method == "PATCH":
            one.ably.remove(doomed)

    one.to_ably.before = delete
    report = one.run(Trigger.SCHEDULE)
    assert (report.counts["waiting"], report.problems[0]["kind"]) == (1, "not_found")
    one.to_ably.before = lambda _method, _what: None
    assert one.run(Trigger.SCHEDULE).counts["created"] == 1
    assert one.differences() == []


def test_a_second_target_that_cannot_be_read_is_told_too(one: World) -> None:
    """By its marker, which can be read; an archived one stands in nobody's way."""
    theirs: Record = {"id": "ms_bad", "name": "Twin", "due_date": "soon"}
    theirs["description"] = one.in_target(1)["description"]
    one.ably.plant(PROJECT, theirs)
    for scope in (Scope(), Scope(list_target=False), Scope()):
        report = one.run(Trigger.SCHEDULE, scope)
        assert [problem["kind"] for problem in report.problems] == ["second_target"]
        assert (report.state, one.to_ably.writes) == (State.PARTIAL, {})
    found = verify(one.context())
    assert [extra.testably_id for extra in found.extra] == ["ms_bad"]
    one.ably.plant(PROJECT, theirs | {"status": "archived"})
    assert one.run().state is State.SUCCEEDED


def test_a_second_target_with_the_marker_is_always_told(one: World) -> None:
    """It cannot be known which one people use; nothing is done about it."""
    one.ably.create(PROJECT, {"name": "Twin", "description": one.in_target(1)["description"]})
    for scope in (Scope(), Scope(list_target=False), Scope()):
        report = one.run(Trigger.SCHEDULE, scope)
        assert [problem["kind"] for problem in report.problems] == ["second_target"]
        assert (report.state, one.to_ably.writes) == (State.PARTIAL, {})


# --- faults


@pytest.mark.parametrize(
    "kind", ["server_error", "timeout", "timeout_after", "reset", "rate_limited", "html"]
)
def test_a_patch_is_repeated(one: World, kind: str) -> None:
    """It is safe to repeat; the clock waits in between, and nothing is told."""
    one.edit(1, name="Renamed")
    one.to_ably.faults.script(kind, method="PATCH", times=3)
    assert one.run().state is State.SUCCEEDED
    assert one.to_ably.writes == {"PATCH": 4}
    assert one.differences() == []


def test_a_patch_that_keeps_failing_waits_for_the_next_run(one: World) -> None:
    """Other milestones go on."""
    two = one.add("Two")
    one.edit(1, name="Renamed")
    one.to_ably.faults.script("server_error", method="PATCH", times=6)
    report = one.run()
    assert (report.state, report.counts["waiting"], report.counts["created"]) == (
        State.PARTIAL,
        1,
        1,
    )
    assert one.links[two].state is LinkState.LINKED
    in_step_after(one, patches=1)


def test_a_target_that_is_down_ends_the_run(world: World) -> None:
    """Five are tried again at once, five more once; the rest would only fail as well."""
    for number in range(12):
        world.add(f"Release {number}")
    world.run()
    for id_ in range(1, 13):
        world.edit(id_, name=f"Renamed {id_}")
    world.to_ably.faults.script("server_error", method="PATCH", times=1000)
    assert world.run().state is State.FAILED
    assert world.to_ably.writes == {"PATCH": 35}
    world.to_ably.faults.clear()
    in_step_after(world, patches=12)


def test_lost_access_ends_the_run(one: World) -> None:
    """403 concerns everything."""
    one.edit(1, name="Renamed")
    one.to_ably.before = lambda method, _what: (
        one.ably.no_access.add(PROJECT) if method == "PATCH" else None
    )
    report = one.run()
    assert report.state is State.FAILED
    assert report.error is not None
    assert report.error.kind == "access_denied"


# --- the two vocabularies of the status


@pytest.mark.parametrize(
    ("start", "word"), [(1_700_000_000, "started"), (1_999_000_000, "upcoming")]
)
def test_where_active_is_refused_the_object_tables_word_is_tried_and_remembered(
    world: World, start: int, word: str
) -> None:
    """Once, for the first that is opened again; the next ones are opened by it at once."""
    first, second = (
        world.add(name, is_completed=True, start_on=start) for name in ("First", "Second")
    )
    world.run()
    world.behave(ably=replace(ABLY, status_words="lifecycle", status_vocabulary="lifecycle"))
    world.edit(first, is_completed=False)
    report = world.run()
    assert (report.state, world.to_ably.writes) == (State.SUCCEEDED, {"PATCH": 4})
    assert world.in_target(first)["status"] == word
    assert world.pair.open_word == "table"
    world.edit(second, is_completed=False)
    report = world.run()
    assert (report.state, world.to_ably.writes) == (State.SUCCEEDED, {"PATCH": 1})


def test_a_remembered_word_that_is_refused_is_forgotten(world: World) -> None:
    """The other one is tried instead."""
    one = world.add("One", is_completed=True)
    world.run()
    world.store.update_pair(world.pair.id, open_word="table")
    world.behave(ably=replace(ABLY, refused_statuses=("started", "upcoming")))
    world.edit(one, is_completed=False)
    assert world.run().state is State.SUCCEEDED
    assert (world.pair.open_word, world.in_target(one)["status"]) == (None, "active")


def test_where_no_word_is_taken_the_status_is_rejected(world: World) -> None:
    """Both were tried once, and neither is sent again; nothing is remembered."""
    one = world.add("One", is_completed=True)
    world.run()
    world.behave(ably=replace(ABLY, refused_statuses=("active", "started", "upcoming")))
    world.edit(one, is_completed=False)
    assert [problem["kind"] for problem in world.run().problems] == ["rejected"]
    assert world.run().state is State.PARTIAL
    assert (world.to_ably.writes, world.pair.open_word) == ({}, None)
