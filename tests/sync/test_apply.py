"""What comes of each item of a plan, to the last word, where things went wrong on the way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mappings.dates import Day, calendar_day
from mappings.link import Link
from mappings.link_record import LinkState, Sent
from mappings.milestone import ACTIVE
from mappings.problem import FieldProblem, Problem, ProblemKind
from mappings.rows import Change
from tests.support.build import JANUARY, bad, link, plan, source, target, trouble_of
from tests.support.clock import NOW
from tests.support.world import PROJECT, World
from worker.errors import Refused
from worker.sandbox.switches import TestablySwitches
from worker.sync.apply.outcome import Outcome, Result
from worker.sync.decide.action import Kind
from worker.sync.options import Options
from worker.sync.run import Run

ABLY = TestablySwitches()


def outcomes(world: World) -> dict[int, Outcome]:
    """A run, and what came of each milestone: one outcome for each action, told under its own."""
    world._forget_requests()
    with Run(world.context(), Options()) as run:
        actions = run.plan().plan.actions
        run.apply()
    told = {number: outcome.action.testrail_id for number, outcome in run.outcomes.items()}
    assert told == {number: action.testrail_id for number, action in enumerate(actions)}
    return {outcome.action.testrail_id: outcome for outcome in run.outcomes.values()}


def kinds(outcome: Outcome) -> list[str]:
    """The kinds of what is told about a milestone."""
    return [problem.kind for problem in outcome.problems]


def cut_off(world: World, fault: str, times: int = 1) -> dict[int, Outcome]:
    """A run whose first creates are cut off, and that cannot find out what became of them."""
    world.to_ably.faults.script(fault, method="POST", times=times)

    def blind(method: str, _what: str) -> None:
        world.target.incomplete = world.target.incomplete or method == "POST"

    world.to_ably.before = blind
    found = outcomes(world)
    world.to_ably.before = lambda _method, _what: None
    world.target.incomplete = False
    return found


def refuse(world: World, name: str, text: str = "No such thing.") -> None:
    """Testably understands every request of this method, and says no."""

    def no(method: str, _what: str) -> None:
        if method == name:
            raise Refused("Testably", text, status=422)

    world.to_ably.before = no


# --- a create that was cut off, and its source gone


def test_what_a_cut_off_create_left_is_archived_with_its_source(world: World) -> None:
    """Found in the same run that hears that the source is gone."""
    world.add("Stays")
    world.run()
    world.add("Gone")
    cut_off(world, "late")
    assert len(world.ably.everything(PROJECT)) == 1
    world.target.arrive()
    world.rail.delete(2)
    found = outcomes(world)[2]
    (id_,) = [str(row["id"]) for row in world.ably.everything(PROJECT) if row["name"] == "Gone"]
    assert (found.result, found.testably_id, found.problems) == (Result.ARCHIVED, id_, ())
    assert world.ably.get(PROJECT, id_)["status"] == "archived"
    assert world.links[2].state is LinkState.ARCHIVED


def test_cut_off_creates_that_left_nothing_are_unchanged_once_their_sources_are_gone(
    world: World,
) -> None:
    """Each is counted, none is told of, and afterwards nobody asks for them."""
    world.add("Stays")
    world.run()
    world.add("Gone")
    world.add("Gone too")
    cut_off(world, "reset", times=2)
    world.rail.delete(2)
    world.rail.delete(3)
    found = outcomes(world)
    for id_ in (2, 3):
        assert (found[id_].result, found[id_].testably_id) == (Result.UNCHANGED, None)
        assert found[id_].problems == ()
        assert world.links[id_].state is LinkState.UNLINKED
    assert world.to_ably.writes == {}
    assert not outcomes(world).keys() & {2, 3}


def test_a_cut_off_create_that_is_still_unclear_waits_although_its_source_is_gone(
    world: World,
) -> None:
    """Nothing is concluded from half a list; the next run looks first, and then archives."""
    world.add("Stays")
    world.run()
    world.add("Gone")
    world.add("Gone too")
    cut_off(world, "reset", times=2)
    world.rail.delete(2)
    world.rail.delete(3)
    world.target.incomplete = True
    found = outcomes(world)
    for id_ in (2, 3):
        assert (found[id_].result, found[id_].testably_id) == (Result.WAITING, None)
        assert kinds(found[id_]) == ["in_doubt"]
        assert found[id_].action.kind is Kind.ARCHIVE
        assert world.links[id_].state is LinkState.CREATING
    world.target.incomplete = False
    assert outcomes(world)[2].result is Result.UNCHANGED


# --- what is left waiting, settled late, or set aside


def test_an_unclear_create_says_that_it_is_not_known(world: World) -> None:
    """It does not say that it waits for a parent."""
    world.add("One")
    found = cut_off(world, "reset")[1]
    assert (found.result, found.testably_id, kinds(found)) == (Result.WAITING, None, ["in_doubt"])
    reason = found.problems[0].reason
    assert reason.startswith("Whether Testably has created it is not known")
    assert reason.endswith("the next run looks first.")


def test_a_child_whose_parent_was_refused_waits_for_it_by_name(world: World) -> None:
    """It is never sent, and says which parent it waits for."""
    parent = world.add("Parent")
    child = world.add("Child", parent)
    refuse(world, "POST")
    found = outcomes(world)[child]
    assert (found.result, found.testably_id, kinds(found)) == (Result.WAITING, None, ["waiting"])
    assert found.problems[0].reason.startswith(f"It waits for its parent {parent}, ")
    assert world.to_ably.writes == {"POST": 1}


def test_what_an_earlier_run_posted_is_adopted_and_caught_up_with(world: World) -> None:
    """Without a marker only the look finds it; what changed since is pushed and journaled."""
    world.rules = replace(world.rules, footer=False)
    world.add("Before")
    cut_off(world, "late")
    assert len(world.ably.everything(PROJECT)) == 0
    world.target.arrive()
    world.edit(1, name="After")
    found = outcomes(world)[1]
    assert (found.result, found.problems) == (Result.ADOPTED, ())
    assert world.to_ably.writes == {"PATCH": 1}
    last = world.changes[-1]
    assert (dict(last.before), dict(last.after)) == ({"name": "Before"}, {"name": "After"})
    assert [row["name"] for row in world.ably.everything(PROJECT)] == ["After"]


def test_a_create_that_always_fails_is_quarantined_and_no_conflict(world: World) -> None:
    """It waits while its failures do not count, and then for three runs that count."""
    world.add("One")
    world.to_ably.faults.script("server_error", method="POST", times=1000)
    found = outcomes(world)[1]
    assert (found.result, kinds(found)) == (Result.WAITING, ["create_fails"])
    world.clock.sleep(3600)
    for kind in ("create_fails", "create_fails", "keeps_failing"):
        found = outcomes(world)[1]
        assert kinds(found) == [kind]
    assert (found.result, found.testably_id) == (Result.QUARANTINED, None)
    assert world.to_ably.writes == {"POST": 1}


# --- what fails


def test_a_refused_update_is_set_aside_with_the_reason_that_testably_gave(world: World) -> None:
    """With the id of its target, so that a person can look at it there."""
    world.add("One")
    world.run()
    world.edit(1, name="Renamed")
    refuse(world, "PATCH", "The name is taken.")
    found = outcomes(world)[1]
    assert (found.result, found.testably_id) == (Result.QUARANTINED, world.id_of(1))
    assert kinds(found) == ["refused"]
    assert "The name is taken." in found.problems[0].reason
    assert world.links[1].problem == found.problems[0]


def test_what_is_refused_again_keeps_its_age_and_is_counted(world: World) -> None:
    """Since the first refusal, however often the source was changed in vain."""
    world.add("One")
    refuse(world, "POST", "First.")
    first = outcomes(world)[1].problems[0]
    assert first.since == world.clock.now()
    for count in (2, 3):
        world.edit(1, name=f"Renamed {count}")
        refuse(world, "POST", f"Refusal {count}.")
        again = outcomes(world)[1].problems[0]
        assert again == Problem(ProblemKind.REFUSED, f"Refusal {count}.", first.since, count)
        assert world.links[1].problem == again


def test_another_kind_of_trouble_starts_anew(world: World) -> None:
    """The age and the count of what was wrong before are not its own."""
    world.add("One")
    old = Problem(
        ProblemKind.BAD_RECORD, "Its name was blank.", datetime(2026, 1, 1, tzinfo=UTC), 7
    )
    world.store.save(world.pair.id, Link(1, problem=old), world.clock.now())
    refuse(world, "POST", "No.")
    found = outcomes(world)[1].problems
    assert found == (Problem(ProblemKind.REFUSED, "No.", world.clock.now(), 1),)


def test_an_update_that_failed_for_now_waits_and_is_looked_at_again(world: World) -> None:
    """Told with what went wrong and with its target; the next run reads that and tries again."""
    world.add("One")
    world.run()
    world.edit(1, name="Renamed")
    world.to_ably.faults.script("server_error", method="PATCH", times=1000)
    found = outcomes(world)[1]
    assert (found.result, found.testably_id) == (Result.WAITING, world.id_of(1))
    assert kinds(found) == ["server_error"]
    assert "server_error" in found.problems[0].reason
    assert world.links[1].look_again
    world.to_ably.faults.clear()
    assert outcomes(world)[1].result is Result.UPDATED
    assert world.links[1].look_again is False


def test_a_failed_update_does_not_keep_its_status_from_being_finished(world: World) -> None:
    """The note to look again changes the link; the write after it knows of that."""
    world.behave(ably=replace(ABLY, archived_subs_lock_status=False))
    world.add("Child", world.add("Parent"))
    world.run()
    world.rail.delete(2)
    world.edit(1, name="Renamed", is_completed=True)
    world.to_ably.faults.script("server_error", method="PATCH", contains=world.id_of(1), times=6)
    found = outcomes(world)
    assert (found[1].result, found[2].result) == (Result.WAITING, Result.ARCHIVED)
    assert kinds(found[1]) == ["server_error"]
    assert world.ably.get(PROJECT, world.id_of(1))["status"] == "completed"


# --- what somebody else holds


def lease(world: World, until: timedelta) -> None:
    """Another process claims the link of milestone 1 for a write."""
    now, run = world.clock.now(), world.changes[-1].run_id
    change = Change(run, 1, world.id_of(1), "update", {}, {}, now)
    assert world.store.journal.lease(world.pair.id, world.links[1], change, now + until) is not None


def test_what_was_held_before_is_waited_for_and_written_once(world: World) -> None:
    """The claim of a dead process runs out; nothing is written twice for it."""
    world.add("One")
    world.run()
    world.edit(1, name="Renamed")
    lease(world, timedelta(seconds=45))  # the longest that a write takes
    until = world.links[1].lease_until
    assert until is not None
    found = outcomes(world)[1]
    assert (found.result, found.problems) == (Result.UPDATED, ())
    assert world.to_ably.writes == {"PATCH": 1}
    assert world.clock.now() > until


def test_what_was_changed_and_is_held_is_left_to_whoever_has_it(world: World) -> None:
    """It is not waited for: what was planned is not true any more."""
    world.add("One")
    world.run()
    world.edit(1, name="Renamed")

    def meanwhile() -> None:
        del world.target.wait_for_permit
        lease(world, timedelta(seconds=300))

    world.target.wait_for_permit = meanwhile  # type: ignore[method-assign]
    before = world.clock.now()
    found = outcomes(world)[1]
    assert (found.result, found.testably_id) == (Result.UNCHANGED, world.id_of(1))
    assert (found.action.kind, found.problems) == (Kind.UPDATE, ())
    assert world.to_ably.writes == {}
    assert world.clock.now() < before + timedelta(seconds=300)
    assert world.links[1].look_again


# --- what is planned for a link that lost its target, or found one

EVERYTHING: dict[str, Any] = {
    "observed_at": "2026-02-01T00:00:00Z",
    "in_flight": {"name": "Cut off"},
    "sent": {"name": Sent("Cut off", 1)},
    "field_problems": {
        "due_date": FieldProblem(ProblemKind.REJECTED, None, None, "It is so.", "2026-02-01")
    },
    "target_parent": "ms_7",
    "problem": Problem(ProblemKind.UNREAD, "It could not be read.", NOW, 3),
    "attempt_at": NOW,
    "attempt_deadline": NOW,
}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (LinkState.LINKED, LinkState.UNLINKED),
        (LinkState.CREATING, LinkState.CREATING),
    ],
)
def test_a_target_that_was_deleted_leaves_nothing_behind(
    before: LinkState, after: LinkState
) -> None:
    """It is created again as if it never was; only a create that is under way stays one."""
    one = source(1)
    known = link(one, target(one), state=before, **EVERYTHING)
    action = plan([one], [], [known], view={"gone": frozenset({"ms_1"})})[1]
    assert (action.kind, action.reason) == (Kind.CREATE, "Its target ms_1 was deleted.")
    forgotten = Link(
        1,
        state=after,
        name=one.name,
        source_fingerprint=known.source_fingerprint,
        attempt_at=NOW,
        attempt_deadline=NOW,
        version=1,
    )
    assert (action.link, action.learned) == (forgotten, True)


def test_what_a_person_left_of_a_create_in_doubt_is_adopted_with_a_clean_link() -> None:
    """No problem, no attempt; what was posted is told from what a person edited since."""
    one = source(1, "Wanted")
    left = target(one, name="Cut off")
    known = Link(1, state=LinkState.CREATING, version=1, **{**EVERYTHING, "attempts": 2})
    found = known.adopted(left)
    assert (found.state, found.testably_id, found.problem) == (LinkState.LINKED, "ms_1", None)
    assert (found.attempt_at, found.attempt_deadline, found.attempts) == (None, None, 0)
    assert found.in_flight == {"name": "Cut off", "status": ACTIVE}
    assert dict(found.field_problems) == {}
    assert found.target_parent is None


def test_what_was_intended_for_a_deleted_target_is_not_expected_of_another() -> None:
    """A second target with the marker is adopted; the cut-off PATCH was not for that one."""
    one = source(1, "Wanted")
    other = target(one, "ms_2", name="Cut off")
    known = link(one, target(one), **EVERYTHING)
    action = plan([one], [other], [known], view={"gone": frozenset({"ms_1"})})[1]
    assert (action.kind, action.testably_id) == (Kind.ADOPT, "ms_2")
    assert dict(action.before) == {"name": "Cut off"}
    assert action.link is not None
    assert (action.link.state, action.link.in_flight) == (LinkState.LINKED, None)
    assert (action.link.attempt_at, action.link.attempt_deadline) == (None, None)


# --- what is stuck


def test_a_child_that_waits_is_listed_until_its_parent_is_there() -> None:
    """It passes with its parent's problem, and no failure is left out of the list (R10)."""
    action = plan([source(2, parent_id=9)], problems=[bad(9)])[2]
    assert (action.kind, trouble_of(action)) == (Kind.SKIP, "waiting")
    assert action.link is not None
    assert action.link.problem is not None
    assert action.link.problem.kind is ProblemKind.WAITING


def test_what_could_not_be_read_is_listed_until_it_is() -> None:
    """Both where the target's list was cut and where its detail was."""
    cut = plan([source(1)], view={"complete": False})[1]
    one = source(1)
    known = link(one, target(one))
    unread = plan([one], [], [known], view={"unproved": {"ms_1": "It answered 500."}})[1]
    for action in (cut, unread):
        assert (action.kind, trouble_of(action)) == (Kind.SKIP, "unread")
        assert action.link is not None
        assert action.link.problem is not None
        assert action.link.problem.since == NOW


def test_a_conflict_is_kept_with_the_link() -> None:
    """With the moment since which a person is needed."""
    one = source(1)
    action = plan([one], [target(one, description=None)])[1]
    assert (action.kind, trouble_of(action)) == (Kind.CONFLICT, "name_conflict")
    assert action.link is not None
    assert action.link.problem is not None
    assert (action.link.problem.kind, action.link.problem.since) == ("name_conflict", NOW)
    assert action.learned


# --- days


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose own clock is nine hours off UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("elsewhere")
def test_midnight_in_utc_does_not_depend_on_the_machine() -> None:
    """A UTC day is one wherever milesync runs, and the machine's own midnight is none."""
    new_york = ZoneInfo("America/New_York")
    assert calendar_day(JANUARY, new_york) == Day(date(2026, 1, 1), exact=True)
    in_tokyo = JANUARY - 9 * 3600
    assert calendar_day(in_tokyo, new_york) == Day(date(2025, 12, 31), exact=False)
