"""What becomes of each milestone that is gone at the source: the whole action, word for word."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mappings.link import Link
from mappings.link_record import LinkState
from mappings.milestone import BadRecord, LinkedRun, SubMilestone, TargetMilestone
from mappings.problem import FieldProblem, Problem, ProblemKind
from tests.support.build import bad, link, plan, source, target
from tests.support.clock import NOW
from worker.sync.decide.absence import GONE, used_by
from worker.sync.decide.action import Action, Kind
from worker.sync.decide.guards import rules_guard
from worker.sync.decide.verdict import Difference, Verdict
from worker.sync.options import OnSourceDelete, OnTargetEdit, Options, Policy, Trigger

SOURCE = source(1)
TARGET = target(SOURCE)
LINK = link(SOURCE, TARGET)
SINCE = "2026-03-01T12:00:00Z"
KEEP = Policy(on_source_delete=OnSourceDelete.KEEP)
CREATING = Link(1, state=LinkState.CREATING, name="Release 1", version=1)


def decided(known: Link, *targets: TargetMilestone, **rest: Any) -> Action:
    """The one action about a milestone that is gone."""
    found = plan([], targets, [known], gone=frozenset({1}), **rest)
    assert list(found.by_id) == [1]
    return found[1]


def about(kind: Kind, reason: str, known: Link, **more: Any) -> Action:
    given = {"testably_id": known.testably_id, "link": known, **more}
    return Action(kind, 1, "Release 1", reason, **given)


def test_it_is_archived() -> None:
    push = Difference("status", "archived", "active", Verdict.PUSH)
    assert decided(LINK, TARGET) == about(
        Kind.ARCHIVE,
        GONE,
        LINK,
        push={"status": "archived"},
        before={"status": "active"},
        differences=(push,),
    )


def test_where_the_target_was_not_read_it_stands_as_last_observed() -> None:
    done = replace(LINK, observed={**LINK.observed, "status": "completed"})
    action = decided(done, view={"listed": False})
    assert (action.kind, action.before) == (Kind.ARCHIVE, {"status": "completed"})
    assert [one.live for one in action.differences] == ["completed"]
    kept = decided(done, view={"listed": False}, policy=KEEP)
    assert [one.live for one in kept.differences] == ["completed"]


def test_where_both_are_there_the_target_is_believed() -> None:
    done = replace(LINK, observed={**LINK.observed, "status": "completed"})
    action = decided(done, TARGET)
    assert [one.live for one in action.differences] == ["active"]
    kept = decided(done, TARGET, policy=KEEP)
    assert [(one.live, one.verdict) for one in kept.differences] == [("active", Verdict.KEPT)]


def test_by_the_policy_it_is_kept() -> None:
    kept = Difference("status", "archived", "active", Verdict.KEPT)
    assert decided(LINK, TARGET, policy=KEEP) == about(
        Kind.SKIP,
        f"{GONE} Kept in Testably.",
        LINK.orphaned(),
        learned=True,
        differences=(kept,),
    )


@pytest.mark.parametrize("archived", [True, False])
def test_where_its_target_is_gone_or_archived_nothing_is_done(archived: bool) -> None:
    shown = [replace(TARGET, status="archived")] if archived else []
    view = {} if archived else {"gone": frozenset({"ms_1"})}
    assert decided(LINK, *shown, view=view) == about(
        Kind.SKIP, f"{GONE} Archived already.", LINK.archived(), learned=True
    )


def test_where_its_target_could_not_be_read_it_waits() -> None:
    reason = f"{GONE} Its target could not be read: Testably did not answer."
    problem = Problem(ProblemKind.UNREAD, reason, NOW)
    view = {"unproved": {"ms_1": "Testably did not answer."}}
    action = decided(LINK, TARGET, view=view)
    assert action == about(
        Kind.SKIP,
        reason,
        replace(LINK, problem=problem),
        learned=True,
        problem=replace(problem, since=None),
    )


def test_what_people_work_in_is_a_conflict() -> None:
    busy = replace(TARGET, linked_runs=(LinkedRun("r1", "Smoke", "in_progress"),))
    reason = f"{GONE} Test runs that are not over hang on ms_1 in Testably: Smoke (in_progress)."
    problem = Problem(ProblemKind.IN_USE, reason, NOW)
    assert decided(LINK, busy) == about(
        Kind.CONFLICT,
        reason,
        replace(LINK, problem=problem),
        learned=True,
        problem=replace(problem, since=None),
    )
    assert decided(LINK, busy, options=Options(archive_in_use=True)).kind is Kind.ARCHIVE


def test_what_rests_after_its_failures_is_left_alone_until_it_is_due() -> None:
    tired = Problem(ProblemKind.KEEPS_FAILING, "It failed in 3 runs.", NOW, 3, NOW)
    resting = replace(LINK, problem=tired)
    action = decided(resting, TARGET)
    assert (action.kind, action.reason, action.problem) == (Kind.QUARANTINE, tired.reason, tired)
    assert [(one.verdict, one.live) for one in action.differences] == [(Verdict.PUSH, "active")]
    unread = decided(resting, view={"listed": False})
    assert [one.live for one in unread.differences] == ["active"]
    due = replace(tired, counted_at=NOW - timedelta(hours=1))
    assert decided(replace(LINK, problem=due), TARGET).kind is Kind.ARCHIVE


def test_what_testably_refused_to_archive_is_not_sent_again() -> None:
    problem = FieldProblem(ProblemKind.REJECTED, "archived", "active", "Refused.", SINCE)
    refused = replace(LINK, field_problems={"status": problem})
    action = decided(refused, TARGET)
    assert (action.kind, action.reason, action.push) == (Kind.SKIP, f"{GONE} Refused.", {})
    assert [one.verdict for one in action.differences] == [Verdict.REJECTED]


@pytest.mark.parametrize(
    ("policy", "kind", "reason"),
    [
        (Policy(), Kind.ARCHIVE, "Its create was cut off; what that left behind goes as well."),
        (KEEP, Kind.SKIP, "Its create was cut off."),
    ],
)
def test_a_create_that_was_cut_off(policy: Policy, kind: Kind, reason: str) -> None:
    archive = kind is Kind.ARCHIVE
    problem = Problem(ProblemKind.IN_DOUBT, f"{GONE} {reason}") if archive else None
    push = {"status": "archived"} if archive else {}
    assert decided(CREATING, policy=policy) == about(
        kind, f"{GONE} {reason}", CREATING, push=push, problem=problem
    )


def test_what_a_cut_off_create_left_is_kept_like_any_other() -> None:
    """Where the policy keeps; of two that it may be a person tells which."""
    kept = Difference("status", "archived", "active", Verdict.KEPT)
    expected = about(
        Kind.SKIP,
        f"{GONE} Its create was cut off.",
        CREATING,
        testably_id=TARGET.id,
        differences=(kept,),
    )
    assert decided(CREATING, TARGET, policy=KEEP) == expected
    twin = replace(TARGET, id="ms_z")
    both = decided(CREATING, TARGET, twin, policy=KEEP)
    asked = Problem(
        ProblemKind.SOURCE_GONE,
        f"{GONE} {TARGET.id}, ms_z in Testably carries its TestRail address.",
    )
    told = CREATING.with_problem(asked, NOW)
    assert both == about(
        Kind.CONFLICT, asked.reason, told, testably_id=None, problem=asked, learned=True
    )
    assert decided(told, TARGET, policy=KEEP) == replace(expected, learned=True)


def test_a_create_that_a_person_decides_about() -> None:
    asked = Problem(ProblemKind.SEVERAL_MARKED, "Which of two?", NOW)
    waits = replace(CREATING, problem=asked)
    assert decided(waits) == about(Kind.CONFLICT, f"{GONE} Which of two?", waits, problem=asked)


def test_what_a_person_brought_back_is_an_edit_of_theirs() -> None:
    """It was archived when its source went; whose edits win decides what becomes of it."""
    put_away = replace(TARGET, status="archived")
    known = link(SOURCE, put_away, last_applied={"status": "archived"}, state=LinkState.ARCHIVED)
    back = replace(TARGET, updated_at="2026-03-01T11:00:00Z")
    assert decided(known, back).push == {"status": "archived"}
    left = decided(known, back, policy=Policy(on_target_edit=OnTargetEdit.TARGET))
    assert (left.kind, left.push) == (Kind.SKIP, {})
    assert [(one.live, one.verdict) for one in left.differences] == [("active", Verdict.KEPT)]


def test_a_second_target_is_told_until_it_is_gone() -> None:
    """Also of a milestone that is archived; told once, nothing is learned the second time."""
    archived = replace(TARGET, status="archived")
    second = replace(TARGET, id="ms_9")
    first = decided(LINK, archived, second)
    assert first.problem is not None
    assert (first.problem.kind, first.learned) == (ProblemKind.SECOND_TARGET, True)
    assert first.link is not None
    again = decided(first.link, archived, second)
    assert (again.problem and again.problem.kind, again.learned) == (
        ProblemKind.SECOND_TARGET,
        False,
    )
    over = decided(first.link, archived)
    assert (over.problem, over.link, over.learned) == (None, LINK.archived(), True)
    unseen = decided(first.link, second)
    assert (unseen.kind, unseen.push, unseen.learned) == (Kind.SKIP, {}, False)


def test_what_only_a_marker_still_names_is_told_by_its_address() -> None:
    """Nobody links it any more."""
    found = plan([], [replace(TARGET, id="ms_9"), TARGET], gone=frozenset({1}))[1]
    assert found.reason == f"{GONE} ms_1, ms_9 in Testably carries its TestRail address."
    assert found.problem is not None
    assert (found.kind, found.problem.kind) == (Kind.CONFLICT, ProblemKind.SOURCE_GONE)
    assert found.link is not None
    over = plan([], [], [found.link], gone=frozenset({1}))[1]
    assert (over.kind, over.problem, over.link) == (Kind.SKIP, None, Link(1))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (bad(), "In TestRail its name is blank ('')."),
        (replace(bad(), value=""), "In TestRail its name is blank."),
        (
            replace(bad(), id=None),
            "A record of TestRail's list cannot be read, milestones[9].name: name is blank ('').",
        ),
    ],
)
def test_what_cannot_be_read_is_said_with_its_value(record: BadRecord, reason: str) -> None:
    (action,) = plan(problems=[record]).plan.actions
    assert (action.kind, action.name, action.reason) == (Kind.QUARANTINE, "Bad", reason)


def test_what_cannot_be_read_is_recorded_once() -> None:
    first = plan(problems=[bad()])[9]
    assert first.learned
    assert first.link is not None
    again = plan([], [], [first.link], problems=[bad()])[9]
    assert (again.learned, again.problem) == (False, first.problem)


def test_what_is_missing_without_proof_is_left_and_told() -> None:
    found = plan([], [TARGET], [LINK], unproved={1: "TestRail answered 403."})[1]
    reason = "It is missing from TestRail's list, but not proved to be gone. TestRail answered 403."
    problem = Problem(ProblemKind.ABSENCE_UNPROVED, reason, NOW)
    assert found == about(
        Kind.SKIP,
        reason,
        replace(LINK, problem=problem),
        learned=True,
        problem=replace(problem, since=None),
    )
    assert found.link is not None
    assert not plan([], [TARGET], [found.link], unproved={1: "TestRail answered 403."})[1].learned
    unasked = plan([], [TARGET], [LINK])[1]
    assert unasked.reason.endswith("TestRail was not asked for it in this run.")


def test_what_has_no_target_and_is_missing_is_forgotten() -> None:
    blocked = Link(1, name="Release 1", problem=Problem(ProblemKind.REFUSED, "no"), version=1)
    assert plan([], [], [blocked])[1] == about(
        Kind.SKIP,
        "It is not in TestRail's list any more, and has no target.",
        replace(blocked, problem=None),
        learned=True,
    )
    assert plan([], [], [replace(blocked, problem=None)]).by_id == {}


def test_what_an_undo_holds_stays_held_until_a_person_migrates() -> None:
    held = LINK.held(NOW)
    action = plan([], [TARGET], [held], gone=frozenset({1}))[1]
    assert (action.kind, action.is_held) == (Kind.SKIP, True)
    assert [(one.field, one.verdict) for one in action.differences] == [("milestone", Verdict.HELD)]
    assert action.testably_id == "ms_1"
    assert action.link is not None
    assert not plan([], [TARGET], [action.link], gone=frozenset({1}))[1].learned
    by_person = Options(Trigger.MIGRATION)
    assert decided(held, TARGET, options=by_person).kind is Kind.ARCHIVE
    unproved = plan([], [TARGET], [held], unproved={1: "It answered 403."}, options=by_person)
    assert unproved[1].reason.endswith("It answered 403.")
    archived = LINK.archived()
    left = plan([], [TARGET], [archived], unproved={1: "It answered 403."}, options=by_person)
    assert left.by_id == {}


@pytest.mark.parametrize("status", ["Completed ", "closed", "PASSED", "failed", "cancelled"])
def test_a_run_that_is_over_keeps_nothing(status: str) -> None:
    assert used_by(replace(TARGET, linked_runs=(LinkedRun("r1", "", status),)), ()) is None


def test_it_is_said_who_works_in_a_target_and_at_most_three() -> None:
    runs = tuple(LinkedRun(f"r{n}", "", "open") for n in range(4))
    assert used_by(replace(TARGET, linked_runs=runs), ()) == (
        "Test runs that are not over hang on ms_1 in Testably: r0 (open), r1 (open), r2 (open)."
    )
    subs = (SubMilestone("ms_5", "Theirs", "active"), SubMilestone("ms_6", "", "active"))
    assert used_by(replace(TARGET, sub_milestones=subs), ()) == (
        "ms_1 in Testably has sub-milestones that people made: Theirs, ms_6."
    )
    many = tuple(SubMilestone(f"ms_{n}", "", "active") for n in range(4))
    assert str(used_by(replace(TARGET, sub_milestones=many), ())).endswith(": ms_0, ms_1, ms_2.")
    assert used_by(replace(TARGET, sub_milestones=subs), ("ms_5", "ms_6")) is None
    gone = tuple(replace(sub, status="archived") for sub in subs)
    assert used_by(replace(TARGET, sub_milestones=gone), ()) is None


def test_a_changed_mapping_is_said_in_full() -> None:
    guard = rules_guard(
        "timezone=none footer=on", "mapping=2 timezone=Europe/Berlin footer=on", by_person=False
    )
    assert guard is not None
    assert guard.kind == "settings_changed"
    assert guard.message == (
        "Milestones are mapped otherwise than in the last run: a new version of milesync's mapping"
        " (1 before, 2 now), another time zone (none before, Europe/Berlin now)."
    )
    assert guard.hint == (
        "See in `milesync plan` what that rewrites, then run `milesync migrate` once."
    )
    lost = rules_guard("mapping=2 footer=on", "mapping=2", by_person=False)
    assert lost is not None
    assert "(on before, none now)" in lost.message
    new = rules_guard("mapping=2", "mapping=2 footer=on", by_person=False)
    assert new is not None
    assert "(none before, on now)" in new.message
    other = rules_guard("mapping=2 x=1", "mapping=2 x=2", by_person=False)
    assert other is not None
    assert other.message.endswith("last run: mapping=2 x=2.")
    odd = rules_guard("mapping=a=b words", "mapping=a=c", by_person=False)
    assert odd is not None
    assert "(a=b before, a=c now)" in odd.message
