"""Every step in the life of a link: exactly what it changes, from a link that has everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest

from mappings.link import Link
from mappings.link_record import LinkState, Sent
from mappings.link_values import altered
from mappings.milestone import TargetMilestone
from mappings.problem import WHOLE, FieldProblem, Problem, ProblemKind
from tests.support.clock import NOW

HOUR = timedelta(hours=1)
SINCE = "2026-03-01T12:00:00Z"
DATE = FieldProblem(ProblemKind.ALTERED, "a", "b", "why", SINCE, 2, accepted=True)
REFUSED = Problem(ProblemKind.REFUSED, "no", NOW - HOUR, 2)
POSTED = {"name": "One", "description": "What was sent", "due_date": None}
FULL = Link(
    7,
    "ms_7",
    LinkState.LINKED,
    "One",
    last_applied={"name": "One"},
    observed={"name": "One", "status": "active"},
    observed_at="2026-02-01T00:00:00Z",
    parent_id=3,
    target_parent="ms_3",
    has_children=True,
    source_fingerprint="source",
    target_fingerprint="target",
    raw={"id": 7},
    in_flight=POSTED,
    sent={"due_date": Sent("a", 1)},
    attempt_at=NOW - HOUR,
    attempt_deadline=NOW,
    attempt_newest="2026-02-02T00:00:00Z",
    attempt_before=("ms_2",),
    attempt_asked=("ms_3",),
    attempt_parent="ms_4",
    attempts=2,
    change_id=9,
    lease_until=NOW + HOUR,
    version=5,
    look_again=True,
    problem=REFUSED,
    field_problems={"due_date": DATE},
)
MADE = TargetMilestone(
    "ms_8",
    "One",
    "What was sent",
    None,
    None,
    "active",
    "ms_4",
    updated_at="2026-03-01T11:00:00Z",
    created_at="2026-03-01T11:00:00Z",
)
NO_ATTEMPT: dict[str, Any] = {
    "attempt_at": None,
    "attempt_deadline": None,
    "attempt_newest": None,
    "attempt_before": None,
    "attempt_asked": None,
    "attempt_parent": None,
    "attempts": 0,
}
FORGOTTEN: dict[str, Any] = {
    "last_applied": {},
    "observed": {},
    "observed_at": None,
    "in_flight": None,
    "sent": {},
    "field_problems": {},
    "target_parent": None,
    "target_fingerprint": None,
}
TAKEN_BACK: dict[str, Any] = {
    "state": LinkState.HELD,
    "last_applied": {},
    "field_problems": {},
    "sent": {},
    "in_flight": None,
    "target_fingerprint": None,
    "problem": Problem(ProblemKind.HELD, "An undo took it back.", NOW),
}
ENDED: dict[str, Any] = {"problem": None, "field_problems": {}, "sent": {}}

Steps = dict[str, tuple[Callable[[Link], Link], dict[str, Any]]]

STEPS: Steps = {
    "below": (lambda k: k.below(4), {"parent_id": 4}),
    "begin_create": (
        lambda k: k.begin_create({"name": "x"}, NOW, NOW + HOUR, "newest", ("ms_1",), "ms_5"),
        {
            "state": LinkState.CREATING,
            "in_flight": {"name": "x"},
            "attempt_at": NOW,
            "attempt_deadline": NOW + HOUR,
            "attempt_newest": "newest",
            "attempt_before": ("ms_1",),
            "attempt_asked": None,
            "attempt_parent": "ms_5",
        },
    ),
    "in_doubt": (lambda k: k.in_doubt(NOW + HOUR), {"attempts": 3, "attempt_deadline": NOW + HOUR}),
    "not_created": (
        lambda k: k.not_created(),
        {"state": LinkState.UNLINKED, "in_flight": None, "attempt_deadline": None},
    ),
    "created": (
        lambda k: k.created(MADE, "ms_3", SINCE),
        {
            "testably_id": "ms_8",
            "last_applied": {**POSTED, "status": "active"},
            "observed": MADE.values,
            "observed_at": "2026-03-01T11:00:00Z",
            "target_parent": "ms_4",
            "in_flight": None,
            **NO_ATTEMPT,
            **ENDED,
        },
    ),
    "without_target": (
        lambda k: k.without_target(),
        {"testably_id": None, "state": LinkState.UNLINKED, **FORGOTTEN},
    ),
    "adopted": (
        lambda k: k.adopted(MADE),
        {**FORGOTTEN, **NO_ATTEMPT, "testably_id": "ms_8", "problem": None},
    ),
    "rebuilt": (
        lambda k: k.rebuilt(MADE),
        {
            **FORGOTTEN,
            **NO_ATTEMPT,
            "testably_id": "ms_8",
            "problem": None,
            "target_parent": "ms_4",
        },
    ),
    "linked": (lambda k: k.linked(), {"target_fingerprint": None}),
    "archived": (lambda k: k.archived(), {"state": LinkState.ARCHIVED, **ENDED}),
    "archived_if_shown": (lambda k: k.archived_if_shown(), {}),
    "orphaned": (lambda k: k.orphaned(), {"state": LinkState.ORPHANED, **ENDED}),
    "held": (lambda k: k.held(NOW), TAKEN_BACK),
    "held_without_target": (
        lambda k: k.held_without_target(NOW),
        {**TAKEN_BACK, "testably_id": None, "observed": {}, "target_parent": None},
    ),
    "seen_without_target": (
        lambda k: k.seen_without_target(),
        {"testably_id": None, "observed": {}, "target_parent": None},
    ),
    "to_try": (lambda k: k.to_try(), {}),
    "refused": (
        lambda k: k.refused("never", NOW),
        {"problem": Problem(ProblemKind.REFUSED, "never", NOW - HOUR, 3)},
    ),
    "failed": (
        lambda k: k.failed(ProblemKind.TIMEOUT, "Slow.", NOW, counts=False),
        {"problem": Problem(ProblemKind.TIMEOUT, "Slow.", NOW, 1, None)},
    ),
    "retried": (
        lambda k: k.retried(),
        {**ENDED, "attempts": 0, "target_fingerprint": None, "look_again": True},
    ),
    "seen_as": (
        lambda k: k.seen_as(MADE),
        {
            "observed": MADE.values,
            "observed_at": "2026-03-01T11:00:00Z",
            "target_parent": "ms_4",
        },
    ),
    "to_look_again": (lambda k: k.to_look_again(), {"look_again": True}),
    "begin_update": (
        lambda k: k.begin_update({"name": "Two"}),
        {"in_flight": {**POSTED, "name": "Two"}},
    ),
    "not_updated": (
        lambda k: k.not_updated(replace(FULL, in_flight={"name": "before"})),
        {"in_flight": {"name": "before"}},
    ),
    "updated": (
        lambda k: k.updated({"name": "One"}, MADE, SINCE),
        {
            "observed": {"name": "One", "status": "active"},
            "observed_at": "2026-03-01T11:00:00Z",
            "in_flight": None,
            "problem": None,
        },
    ),
    "left_to_target": (
        lambda k: k.left_to_target("due_date", "c"),
        {
            "last_applied": {"name": "One", "due_date": "c"},
            "in_flight": {"name": "One", "description": "What was sent"},
            "field_problems": {},
            "sent": {},
        },
    ),
    "rejects": (
        lambda k: k.rejects("name", DATE),
        {
            "in_flight": {"description": "What was sent", "due_date": None},
            "field_problems": {"due_date": DATE, "name": DATE},
            "observed": {"name": "b", "status": "active"},
        },
    ),
    "forgiving": (lambda k: k.forgiving(frozenset({"due_date"})), {"field_problems": {}}),
    "deciding": (
        lambda k: k.deciding({"name": DATE}),
        {"field_problems": {"due_date": DATE, "name": DATE}},
    ),
    "leased": (lambda k: k.leased(NOW, 11), {"lease_until": NOW, "change_id": 11}),
    "released": (lambda k: k.released(), {"lease_until": None}),
    "saved": (lambda k: k.saved(), {"version": 6}),
    "brought_up_to": (
        lambda k: Link(7, name="New", raw={"new": 1}, source_fingerprint="new").brought_up_to(k),
        {"name": "New", "raw": {"new": 1}, "has_children": False, "source_fingerprint": "new"},
    ),
}


def changes(before: Link, after: Link) -> dict[str, Any]:
    """The fields that differ, as they are after."""
    names = (field.name for field in fields(Link))
    return {n: getattr(after, n) for n in names if getattr(after, n) != getattr(before, n)}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_changes_exactly_this(name: str) -> None:
    step, expected = STEPS[name]
    differing = {n: value for n, value in expected.items() if value != getattr(FULL, n)}
    assert changes(FULL, step(FULL)) == differing


CREATING = replace(FULL, testably_id=None, state=LinkState.CREATING)


def test_what_a_create_in_doubt_had_in_flight_is_kept_by_an_adoption() -> None:
    adopted = CREATING.adopted(MADE)
    assert (adopted.state, adopted.in_flight) == (LinkState.LINKED, {**POSTED, "status": "active"})


def test_a_create_left_to_a_person_keeps_its_deadline_and_gets_one() -> None:
    asked = Problem(ProblemKind.SEVERAL_MARKED, "Which?")
    assert changes(CREATING, CREATING.left_to_person(asked, NOW + HOUR, ["ms_2", "ms_1"])) == {
        "attempt_asked": ("ms_1", "ms_2"),
        "problem": replace(asked, since=NOW + HOUR),
    }
    decided = replace(CREATING, attempt_deadline=None)
    assert decided.left_to_person(asked, NOW, ()).attempt_deadline == NOW


def test_a_create_that_waits_for_a_person_is_decided_by_a_retry() -> None:
    waits = replace(CREATING, problem=Problem(ProblemKind.IN_DOUBT_FOR_A_PERSON, "Which?"))
    assert (waits.awaits_person, waits.is_decided) == (True, False)
    decided = waits.retried()
    assert (decided.awaits_person, decided.is_decided) == (False, True)
    assert not CREATING.awaits_person


def test_a_retry_of_everything_leaves_what_a_person_has_accepted() -> None:
    """The other fields of such a milestone are tried again."""
    both = {"name": DATE, "due_date": DATE.decided(accepted=False)}
    link = replace(FULL, field_problems=both)
    assert link.retried(named=False).field_problems == {"name": both["name"]}
    assert link.retried(named=True).field_problems == {}


def test_what_was_found_untouched_is_as_it_was_created() -> None:
    assert CREATING.found(MADE, "ms_3", SINCE) == CREATING.created(MADE, "ms_3", SINCE)


def test_what_was_changed_since_it_was_created_is_a_persons_edit() -> None:
    """What is shown otherwise then is no fault of the target's, but drift."""
    edited = replace(MADE, name="Renamed", updated_at="2026-03-01T11:30:00Z")
    found = CREATING.found(edited, "ms_3", SINCE)
    assert (found.observed["name"], found.field_problems) == ("One", {})
    cut = replace(edited, name="One", description="What was sent (1)")
    assert CREATING.found(cut, None, SINCE).target_parent == "ms_4"


def test_another_status_of_what_was_found_is_a_persons() -> None:
    """A POST sends none, and leaves a milestone active."""
    for at in (MADE.created_at, "2026-03-01T11:30:00Z"):
        found = CREATING.found(replace(MADE, status="completed", updated_at=at), "ms_3", SINCE)
        assert (found.last_applied["status"], found.observed["status"]) == ("active", "active")


def test_an_answer_that_names_no_parent_leaves_the_one_that_was_asked_for() -> None:
    assert CREATING.created(replace(MADE, parent_id=None), "ms_3", SINCE).target_parent == "ms_3"


def test_a_value_that_is_shown_otherwise_is_altered_at_once() -> None:
    shown = replace(MADE, name="On", due_date="2026-05-01T00:00:00Z")
    after = replace(FULL, field_problems={}, sent={}).answered({"name": "One"}, shown, SINCE)
    assert after.field_problems == {
        "name": FieldProblem(
            ProblemKind.ALTERED,
            "One",
            "On",
            "Testably took the name 'One' and shows 'On'.",
            SINCE,
            1,
            "2026-03-01T11:00:00Z",
        )
    }


def test_the_same_value_that_is_sent_again_is_counted() -> None:
    sent = replace(FULL, sent={"name": Sent("One", 1)}, field_problems={})
    assert sent.answered({"name": "One"}, MADE, SINCE).sent == {"name": Sent("One", 2)}
    other = replace(MADE, name="Two")
    assert sent.answered({"name": "Two"}, other, SINCE).sent == {}
    refused = sent.answered({"name": "One"}, other, SINCE)
    assert refused.field_problems["name"].count == 2


@pytest.mark.parametrize(
    ("field", "sent", "said"),
    [
        ("due_date", None, "Testably took the empty due date and still shows a value."),
        ("description", "a", "Testably stored the description otherwise than it was sent."),
        ("start_date", "a", "Testably took the start date 'a' and shows 'b'."),
    ],
)
def test_what_was_altered_is_said_in_words(field: str, sent: str | None, said: str) -> None:
    assert altered(field, sent, "b") == said


def test_a_problem_of_the_same_kind_keeps_its_age_and_its_count() -> None:
    again = FULL.with_problem(Problem(ProblemKind.REFUSED, "other words"), NOW)
    assert again.problem == replace(REFUSED, reason="other words")
    assert FULL.with_problem(None, NOW).problem is None
    asked = Problem(ProblemKind.NAME_CONFLICT, "Whose?")
    assert FULL.with_problem(asked, NOW).problem == replace(asked, since=NOW)


def test_a_first_refusal_begins_to_count() -> None:
    first = replace(FULL, problem=None).refused("no", NOW)
    assert first.problem == Problem(ProblemKind.REFUSED, "no", NOW)


def test_only_that_writes_failed_outlives_a_new_try() -> None:
    waits = replace(FULL, problem=Problem(ProblemKind.WAITING, "for its parent"))
    assert (waits.to_try().problem, waits.linked().problem) == (None, None)


def test_what_a_person_accepted_of_a_held_milestone() -> None:
    held = FULL.held(NOW)
    accepted = held.whole_accepted(SINCE)
    assert (accepted.kind, accepted.desired, accepted.accepted) == (
        ProblemKind.HELD,
        "source",
        True,
    )
    assert held.whole_accepted(SINCE).live != replace(held, observed={}).whole_accepted(SINCE).live
    without = held.held_without_target(NOW).whole_accepted(SINCE)
    assert (without.live, without.reason) == (None, "An undo took it back.")
    decided = held.deciding({WHOLE: accepted})
    assert [(one.kind, one.accepted) for one in decided.failures] == [(ProblemKind.HELD, True)]
    assert decided.without_whole().field_problems == {}


def test_what_was_accepted_of_a_held_one_tells_nothing_of_it_once_it_is_released() -> None:
    """Nor of anything else that is wrong with it while it is held."""
    held = Link(7, "ms_7").held(NOW)
    accepted = held.deciding({WHOLE: held.whole_accepted(SINCE)})
    assert [one.accepted for one in accepted.failures] == [True]
    second = Problem(ProblemKind.SECOND_TARGET, "ms_8 too.")
    assert [one.accepted for one in accepted.with_problem(second, NOW).failures] == [False]
    assert accepted.linked().field_problems == {}


def test_everything_that_needs_a_person_is_listed_once() -> None:
    first, second = FULL.failures
    assert (first.field, first.kind, first.reason, first.since, first.count, first.accepted) == (
        None,
        ProblemKind.REFUSED,
        "no",
        "2026-03-01T11:00:00Z",
        2,
        False,
    )
    assert (second.field, second.kind, second.desired, second.live, second.count) == (
        "due_date",
        ProblemKind.ALTERED,
        "a",
        "b",
        2,
    )
    assert (second.reason, second.since, second.accepted) == ("why", SINCE, True)


def test_what_a_link_says_of_itself() -> None:
    assert FULL.has_open_matter
    assert not Link(7).has_open_matter
    assert FULL.can_be_retried
    assert not FULL.held(NOW).can_be_retried
    assert not Link(7).can_be_retried
    status = replace(DATE, desired="archived")
    assert replace(FULL, field_problems={"status": status}).archive_failed
    assert not replace(FULL, field_problems={"status": DATE}).archive_failed
    assert (FULL.has_failed, FULL.has_count, FULL.is_held) == (False, False, False)
    counted = Problem(ProblemKind.TIMEOUT, "slow", NOW, 1, NOW)
    assert (
        replace(FULL, problem=counted).has_failed,
        replace(FULL, problem=counted).has_count,
    ) == (
        True,
        True,
    )
