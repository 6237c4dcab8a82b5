"""The decision about one linked milestone: three values a field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from mappings.link import Link
from mappings.link_record import LinkState, Sent
from mappings.link_values import altered
from mappings.milestone import DATE_FIELDS, FIELDS, TargetMilestone, Values
from mappings.problem import FieldProblem, ProblemKind
from worker.sync.decide.differences import MOST_SENT_TO_EDITS, Sides, compare
from worker.sync.decide.verdict import Verdict
from worker.sync.options import OnTargetEdit

SOURCE, TARGET = OnTargetEdit.SOURCE, OnTargetEdit.TARGET
BOTH = pytest.mark.parametrize("policy", OnTargetEdit)
OLD: Values = {
    "name": "Old",
    "description": "Old text",
    "start_date": "2026-01-01T00:00:00Z",
    "due_date": "2026-02-01T00:00:00Z",
    "status": "active",
}
NEW: Values = {
    "name": "New",
    "description": "New text",
    "start_date": "2026-01-02T00:00:00Z",
    "due_date": "2026-02-02T00:00:00Z",
    "status": "completed",
}
OTHER: Values = {
    "name": "Other",
    "description": "Other text",
    "start_date": "2026-01-03T00:00:00Z",
    "due_date": "2026-02-03T00:00:00Z",
    "status": "archived",
}
EACH_FIELD = pytest.mark.parametrize("name", FIELDS)


def linked(**changed: Any) -> Link:
    """A link that was last pushed and echoed OLD."""
    known = Link(
        1, "ms_1", LinkState.LINKED, last_applied=OLD, observed=OLD, observed_at="before", version=1
    )
    return replace(known, **changed)


def shows(values: Values = OLD, updated_at: str | None = "before", **more: Any) -> TargetMilestone:
    return TargetMilestone(**{"id": "ms_1", **values, "updated_at": updated_at, **more})


class Decision(NamedTuple):
    """What is decided about one milestone: what to push, and what was learned."""

    link: Link
    push: Values = {}  # noqa: RUF012  (nobody changes it)
    edited: Values = {}  # noqa: RUF012
    kept: Values = {}  # noqa: RUF012
    problems: Mapping[str, str] = {}


def decided(
    link: Link,
    desired: Values,
    actual: TargetMilestone | None,
    policy: OnTargetEdit = SOURCE,
    *,
    derived: bool = False,
    agreed: bool = False,
) -> Decision:
    own = frozenset({"status", *DATE_FIELDS} if derived else ())
    found = compare(Sides(link, desired, actual, policy, "2026-03-01T12:00:00Z", own, agreed))
    kept = {d.field: d.live for d in found.differences if d.verdict is Verdict.KEPT}
    problems = {d.field: d.verdict.value for d in found.differences if d.verdict.needs_person}
    edited = {d.field: d.live for d in found.differences if d.overwrites}
    return Decision(found.link, found.push, edited, kept, problems)


def one(name: str, value: Values) -> Values:
    """OLD with one field of another value."""
    return {**OLD, name: value[name]}


# --- the table


@BOTH
def test_nothing_changed(policy: OnTargetEdit) -> None:
    """In step: nothing is pushed, and nothing about the link changes."""
    assert decided(linked(), OLD, shows(), policy) == Decision(linked())


@BOTH
@EACH_FIELD
def test_the_source_changed(name: str, policy: OnTargetEdit) -> None:
    """Exactly the changed field is pushed, under either policy."""
    decision = decided(linked(), one(name, NEW), shows(), policy)
    assert (decision.push, decision.edited, decision.kept) == ({name: NEW[name]}, {}, {})


@EACH_FIELD
def test_the_target_changed_and_the_source_wins(name: str) -> None:
    """The source's value goes back, and the overwritten one is handed to the history."""
    decision = decided(linked(), OLD, shows(one(name, OTHER), "later"))
    assert (decision.push, decision.edited) == ({name: OLD[name]}, {name: OTHER[name]})


@EACH_FIELD
def test_the_target_changed_and_its_edits_win(name: str) -> None:
    """The field is left alone and told; it stays an edit in the next run."""
    actual = shows(one(name, OTHER), "later")
    decision = decided(linked(), OLD, actual, TARGET)
    assert (decision.push, decision.kept) == ({}, {name: OTHER[name]})
    again = decided(decision.link, OLD, actual, TARGET)
    assert (again.push, again.kept) == ({}, {name: OTHER[name]})


@EACH_FIELD
def test_both_changed(name: str) -> None:
    """The policy decides, also where the source changed as well."""
    actual = shows(one(name, OTHER), "later")
    by_source = decided(linked(), one(name, NEW), actual)
    assert (by_source.push, by_source.edited) == ({name: NEW[name]}, {name: OTHER[name]})
    by_target = decided(linked(), one(name, NEW), actual, TARGET)
    assert (by_target.push, by_target.kept) == ({}, {name: OTHER[name]})


@BOTH
@EACH_FIELD
def test_both_changed_to_the_same(name: str, policy: OnTargetEdit) -> None:
    """They agree: recorded as pushed and echoed without a write."""
    decision = decided(linked(), one(name, NEW), shows(one(name, NEW), "later"), policy)
    assert (decision.push, decision.kept) == ({}, {})
    assert (decision.link.last_applied, decision.link.observed) == (one(name, NEW), one(name, NEW))


@BOTH
def test_only_the_form_differs(policy: OnTargetEdit) -> None:
    """Trimmed text and other line ends are the same value."""
    wanted = {**OLD, "description": "One\nTwo\n"}
    decision = decided(linked(), wanted, shows({**OLD, "description": "One\r\nTwo"}), policy)
    assert (decision.push, decision.kept) == ({}, {})


@BOTH
def test_without_having_read_the_target_only_source_changes_count(policy: OnTargetEdit) -> None:
    """The target then stands as last echoed; what is known of it stays as it was."""
    link = linked(target_parent="ms_9", look_again=True)
    decision = decided(link, one("due_date", NEW), None, policy)
    assert decision.push == {"due_date": NEW["due_date"]}
    assert decision.link == link


@BOTH
def test_what_was_read_is_recorded(policy: OnTargetEdit) -> None:
    """The time of the last change, the parent, and that nobody need look again."""
    learned = decided(
        linked(look_again=True), OLD, shows(updated_at="later", parent_id="ms_9"), policy
    ).link
    assert (learned.observed_at, learned.target_parent, learned.look_again) == (
        "later",
        "ms_9",
        False,
    )


# --- after a crash


@BOTH
@EACH_FIELD
def test_what_was_intended_before_a_crash_is_ours(name: str, policy: OnTargetEdit) -> None:
    """A target value equal to the journaled one is not an edit, whatever the source says now."""
    link = linked(in_flight={name: NEW[name]})
    arrived = decided(link, one(name, NEW), shows(one(name, NEW), "later"), policy)
    assert (arrived.push, arrived.kept, arrived.link.in_flight) == ({}, {}, None)


@BOTH
@EACH_FIELD
def test_what_was_intended_and_undone_at_the_source_is_taken_back(
    name: str, policy: OnTargetEdit
) -> None:
    """The crash left a value that the source does not want any more: it is overwritten."""
    link = linked(in_flight={name: NEW[name]})
    decision = decided(link, OLD, shows(one(name, NEW), "later"), policy)
    assert (decision.push, decision.edited, decision.kept) == ({name: OLD[name]}, {}, {})


def test_what_was_intended_is_kept_until_the_target_was_read() -> None:
    """A run that does not read the target cannot know whether the cut-off write arrived."""
    link = linked(in_flight={"name": "New"})
    assert decided(link, OLD, None).link.in_flight == {"name": "New"}


@BOTH
def test_an_edit_of_another_field_is_an_edit_also_after_a_crash(policy: OnTargetEdit) -> None:
    """Only the intended values are ours."""
    decision = decided(
        linked(in_flight={"name": "New"}), OLD, shows(one("due_date", OTHER), "later"), policy
    )
    assert "due_date" in (decision.edited if policy is SOURCE else decision.kept)


# --- adoption


def test_after_adoption_the_source_pushes_what_differs() -> None:
    """Nothing was ever pushed or echoed: what is the same is recorded, what differs is pushed."""
    adopted = linked(last_applied={}, observed={}, observed_at=None)
    decision = decided(adopted, OLD, shows(one("name", OTHER)))
    assert (decision.push, decision.edited) == ({"name": "Old"}, {})
    assert decision.link.last_applied == {n: v for n, v in OLD.items() if n != "name"}


def test_after_adoption_the_targets_edits_win_if_they_are_to() -> None:
    """Under the other policy what differs is kept, in the next run as well."""
    adopted = linked(last_applied={}, observed={}, observed_at=None)
    first = decided(adopted, OLD, shows(one("name", OTHER)), TARGET)
    second = decided(first.link, OLD, shows(one("name", OTHER)), TARGET)
    assert first.kept == second.kept == {"name": "Other"}
    assert first.push == second.push == {}


def test_adopting_what_a_crash_left_goes_on_where_it_stopped() -> None:
    """Values that our own POST left are ours, so that the milestone is completed all the same."""
    left = linked(last_applied={}, observed={}, observed_at=None, in_flight=OLD)
    decision = decided(left, {**OLD, "status": "completed"}, shows(), TARGET)
    assert (decision.push, decision.kept) == ({"status": "completed"}, {})


# --- parents


@BOTH
def test_a_parents_status_is_testablys_own(policy: OnTargetEdit) -> None:
    """Derived: never written and never an edit, whatever either side says."""
    actual = shows(one("status", NEW), "later")
    decision = decided(linked(), OLD, actual, policy, derived=True)
    assert (decision.push, decision.kept) == ({}, {})
    assert decision.link.observed["status"] == "completed"


def test_a_parents_status_is_pushed_once_it_is_no_parent_any_more() -> None:
    """What was derived is forgotten, so that the source's status is written then."""
    wanted = {**OLD, "status": "completed"}
    as_parent = decided(linked(), wanted, shows(), derived=True)
    assert as_parent.push == {}
    assert "status" not in as_parent.link.last_applied
    assert decided(as_parent.link, wanted, shows()).push == {"status": "completed"}


def test_an_archived_parent_is_brought_back_once() -> None:
    """Archiving is no derived status: somebody did that."""
    actual = shows({**OLD, "status": "archived"}, "later")
    decision = decided(linked(), OLD, actual, derived=True)
    assert (decision.push, decision.edited) == ({"status": "active"}, {"status": "archived"})
    completed = decided(linked(), {**OLD, "status": "completed"}, actual, derived=True)
    assert completed.push == {"status": "active"}


@EACH_FIELD
def test_what_is_the_targets_to_say_is_nobodys_problem_any_more(name: str) -> None:
    """Because it is derived now, or because the target's edits win: nothing stays open."""
    open_matter = linked(
        sent={name: Sent(NEW[name], 1)},
        field_problems={name: problem(ProblemKind.REJECTED, name, NEW)},
    )
    kept = decided(open_matter, one(name, OTHER), shows(one(name, NEW), "later"), TARGET)
    assert (dict(kept.kept), kept.link.has_open_matter) == ({name: NEW[name]}, False)
    if name in ("status", *DATE_FIELDS):
        derived = decided(open_matter, OLD, shows(one(name, NEW), "later"), derived=True)
        assert (derived.push, derived.link.has_open_matter) == ({}, False)
        assert derived.link.observed[name] == NEW[name]
        assert derived.link.last_applied.get(name) == (None if name == "status" else OLD[name])


@BOTH
@pytest.mark.parametrize("name", ["start_date", "due_date"])
def test_a_parents_dates_are_written_only_when_the_sources_change(
    name: str, policy: OnTargetEdit
) -> None:
    """What Testably derives meanwhile is no edit: neither overwritten nor kept against us."""
    actual = shows(one(name, OTHER), "later")
    unchanged = decided(linked(), OLD, actual, policy, derived=True)
    assert (unchanged.push, unchanged.edited, unchanged.kept) == ({}, {}, {})
    changed = decided(linked(), one(name, NEW), actual, policy, derived=True)
    assert (changed.push, changed.edited, changed.kept) == ({name: NEW[name]}, {}, {})


@BOTH
def test_a_parents_name_is_compared_like_any_other(policy: OnTargetEdit) -> None:
    """Only status and dates are derived."""
    decision = decided(linked(), OLD, shows(one("name", OTHER), "later"), policy, derived=True)
    assert bool(decision.push) is (policy is SOURCE)


@BOTH
def test_an_adopted_parents_dates_are_left_to_testably(policy: OnTargetEdit) -> None:
    """They may be derived; they are written when the source's change after that."""
    adopted = linked(last_applied={}, observed={}, observed_at=None)
    actual = shows(one("due_date", OTHER))
    first = decided(adopted, OLD, actual, policy, derived=True)
    assert (first.push, first.kept) == ({}, {})
    second = decided(first.link, one("due_date", NEW), actual, policy, derived=True)
    assert second.push == {"due_date": NEW["due_date"]}


# --- what cannot converge


def problem(
    kind: ProblemKind, name: str, live: Values, *, count: int = 1, at: str | None = "before"
) -> FieldProblem:
    """A problem with OLD's value, which the target showed as in ``live``."""
    return FieldProblem(kind, OLD[name], live[name], "It is so.", "2026-02-01", count, at)


CLOSED = pytest.mark.parametrize("kind", [ProblemKind.REJECTED, ProblemKind.ALTERED])


@BOTH
@CLOSED
@EACH_FIELD
def test_what_the_target_does_not_take_is_not_sent_again(
    name: str, kind: ProblemKind, policy: OnTargetEdit
) -> None:
    """Not while both values are as they were; it stays a problem in every run."""
    known = problem(kind, name, OTHER)
    link = linked(field_problems={name: known})
    for _ in range(3):
        decision = decided(link, OLD, shows(one(name, OTHER), "later"), policy)
        assert (decision.push, decision.kept) == ({}, {})
        assert decision.problems == {name: kind.value}
        link = decision.link
    assert link.field_problems == {name: known}


@CLOSED
@EACH_FIELD
def test_another_desired_value_is_sent(name: str, kind: ProblemKind) -> None:
    """A problem is about one value only."""
    link = linked(field_problems={name: problem(kind, name, OTHER)})
    decision = decided(link, one(name, NEW), shows(one(name, OTHER)))
    assert (decision.push, decision.problems) == ({name: NEW[name]}, {})
    assert decision.link.field_problems == {}


@CLOSED
@EACH_FIELD
def test_a_value_that_somebody_changed_since_is_sent_again(name: str, kind: ProblemKind) -> None:
    """The target says that it was changed: one more try is due, but not for ever."""
    link = linked(field_problems={name: problem(kind, name, OTHER, count=2)})
    assert decided(link, OLD, shows(one(name, NEW), "later")).push == {name: OLD[name]}
    link = linked(field_problems={name: problem(kind, name, OTHER, count=MOST_SENT_TO_EDITS)})
    decision = decided(link, OLD, shows(one(name, NEW), "later"))
    assert (decision.push, decision.problems) == ({}, {name: kind.value})


@CLOSED
@EACH_FIELD
def test_a_target_that_shows_another_value_each_time_is_not_written_to(
    name: str, kind: ProblemKind
) -> None:
    """Nobody changed it since, as far as the target says; the new value is noted."""
    link = linked(field_problems={name: problem(kind, name, OTHER)})
    decision = decided(link, OLD, shows(one(name, NEW)))
    assert (decision.push, decision.problems) == ({}, {name: kind.value})
    assert decision.link.field_problems[name].live == NEW[name]


@BOTH
@EACH_FIELD
def test_a_problem_ends_when_both_sides_are_equal(name: str, policy: OnTargetEdit) -> None:
    """However that came about."""
    known = problem(ProblemKind.ALTERED, name, OTHER)
    link = linked(field_problems={name: known}, sent={name: Sent(OLD[name], 2)})
    decision = decided(link, OLD, shows(updated_at="later"), policy)
    assert (decision.push, decision.problems) == ({}, {})
    assert (decision.link.field_problems, decision.link.sent) == ({}, {})


@EACH_FIELD
def test_an_accepted_problem_counts_again_when_the_target_changes(name: str) -> None:
    """A person accepted what stood there, and nothing else."""
    known = problem(ProblemKind.ALTERED, name, OTHER, count=3).decided(accepted=True)
    link = linked(field_problems={name: known})
    assert decided(link, OLD, shows(one(name, OTHER))).problems == {}
    assert decided(link, OLD, shows(one(name, NEW))).problems == {name: "altered"}


@EACH_FIELD
def test_a_value_that_was_sent_twice_and_never_seen_is_altered(name: str) -> None:
    """The target said yes both times, and its list never showed it."""
    actual = shows(one(name, OTHER))
    first = decided(linked(), OLD, actual)
    assert first.push == {name: OLD[name]}
    answered = first.link.updated({name: OLD[name]}, shows(), "2026-03-01")
    second = decided(answered, OLD, actual)
    assert (second.push, second.problems) == ({}, {name: "altered"})


@EACH_FIELD
def test_an_edit_that_is_made_again_and_again_ends_as_a_problem(name: str) -> None:
    """A person may make the same edit again once; what then comes back is not taken at all."""
    link, sent = linked(), 0
    for number in range(5):
        decision = decided(link, OLD, shows(one(name, OTHER), f"change {number}"))
        link = decision.link
        if not decision.push:
            break
        sent += 1
        link = link.updated(decision.push, shows(updated_at=f"answer {number}"), "2026-03-01")
    assert (sent, decision.problems) == (2, {name: "altered"})


@EACH_FIELD
def test_a_value_that_both_sides_agreed_on_is_sent_twice_over_edits(name: str) -> None:
    """It was seen since it was sent, so edits are overwritten though the target tells no times."""
    link, sent = linked(), 0
    for number, edit in enumerate((OTHER, NEW, OTHER)):
        actual = shows(one(name, edit))
        decision = decided(link, OLD, actual, agreed=number == 0)
        if not decision.push:
            break
        sent += 1
        link = decision.link.updated(decision.push, shows(), "2026-03-01")
    assert (sent, decision.problems) == (2, {name: "altered"})


@EACH_FIELD
def test_what_is_altered_says_what_the_target_shows_now(name: str) -> None:
    """Whatever it showed when that was first noted."""
    first = decided(linked(sent={name: Sent(OLD[name], 2)}), OLD, shows(one(name, OTHER)))
    again = decided(first.link, OLD, shows(one(name, NEW)))
    known = again.link.field_problems[name]
    assert known.reason == altered(name, OLD[name], NEW[name])


@EACH_FIELD
def test_what_an_answer_shows_otherwise_is_altered_at_once(name: str) -> None:
    """One write and its answer are enough to tell."""
    link = linked().updated({name: NEW[name]}, shows(one(name, OTHER)), "2026-03-01")
    decision = decided(link, one(name, NEW), shows(one(name, OTHER)))
    assert (decision.push, decision.problems) == ({}, {name: "altered"})


@BOTH
def test_a_date_is_cleared(policy: OnTargetEdit) -> None:
    """An empty field at the source is a null for the target."""
    assert decided(linked(), {**OLD, "due_date": None}, shows(), policy).push == {"due_date": None}


@BOTH
def test_an_empty_text_and_none_are_the_same(policy: OnTargetEdit) -> None:
    """Clearing what is empty already takes no write."""
    actual = shows({**OLD, "description": ""}, "later")
    decision = decided(linked(), {**OLD, "description": None}, actual, policy)
    assert decision.push == {}


# --- a target that keeps a part of what its answer showed whole


@BOTH
@pytest.mark.parametrize(("name", "kept"), [("name", "Ol"), ("description", "Old te")])
def test_what_is_left_of_a_sent_value_is_altered_where_nobody_has_edited_since(
    name: str, kept: str, policy: OnTargetEdit
) -> None:
    """The answer showed the whole; the target's own time of change tells that no person did it."""
    decision = decided(linked(), OLD, shows({**OLD, name: kept}), policy)
    assert (decision.push, decision.problems) == ({}, {name: "altered"})


@pytest.mark.parametrize("updated_at", ["later", None])
def test_what_is_left_of_a_sent_value_is_sent_again_where_somebody_may_have_edited(
    updated_at: str | None,
) -> None:
    """Another time of change, or none, does not tell; after a second send it is altered."""
    decision = decided(linked(), OLD, shows({**OLD, "name": "Ol"}, updated_at))
    assert decision.push == {"name": "Old"}


def test_another_value_at_the_same_time_of_change_is_an_edit() -> None:
    """Times of change are whole seconds: a person can have edited in that of the write."""
    decision = decided(linked(), OLD, shows({**OLD, "name": "Older"}))
    assert (decision.push, decision.edited) == ({"name": "Old"}, {"name": "Older"})


def test_what_is_left_of_a_write_that_was_cut_off_is_no_edit() -> None:
    """Nobody saw its answer; where the target's edits win, it is written all the same."""
    link = linked(in_flight={"name": "A new name"})
    decision = decided(
        link, {**OLD, "name": "A new name"}, shows({**OLD, "name": "A new"}, "later"), TARGET
    )
    assert (decision.push, decision.kept) == ({"name": "A new name"}, {})


# --- a run that does not read the target


@BOTH
@EACH_FIELD
def test_what_was_otherwise_when_it_was_last_read_is_left_by_a_run_that_does_not_read_it(
    name: str, policy: OnTargetEdit
) -> None:
    """It was kept, or the target's own to say: the source has not changed."""
    decision = decided(linked(observed=one(name, NEW)), OLD, None, policy)
    assert (decision.push, decision.kept, decision.problems) == ({}, {}, {})


def test_a_status_that_was_derived_is_left_by_a_run_that_does_not_read_it() -> None:
    """A person's sub-milestone is in no link: only a reading shows that it is there."""
    applied = {name: value for name, value in OLD.items() if name != "status"}
    link = linked(last_applied=applied, observed=one("status", NEW))
    assert decided(link, OLD, None).push == {}
