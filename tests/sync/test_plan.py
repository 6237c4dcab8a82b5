"""The decision table as a whole: order, derived values, scope, and what is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mappings.fingerprints import fingerprint_of_source
from mappings.link import Link
from mappings.link_record import LinkState
from mappings.milestone import MappingRules, SourceMilestone, SubMilestone, TargetMilestone
from mappings.problem import FieldProblem, Problem, ProblemKind
from tests.support.build import FEBRUARY, JANUARY, bad, link, plan, source, target, trouble_of
from tests.support.clock import NOW
from worker.sync.decide.action import Action, Kind
from worker.sync.decide.verdict import Cause, Difference, Verdict, why_pushed
from worker.sync.options import Only, OnSourceDelete, OnTargetEdit, Options, Policy

PARENT, CHILD = source(1), source(2, parent_id=1)
ABOVE = target(PARENT)
BELOW = target(CHILD, parent_id="ms_1")
WITHOUT_STATUS = {name: value for name, value in ABOVE.values.items() if name != "status"}
LINKED = [
    link(PARENT, ABOVE, has_children=True, last_applied=WITHOUT_STATUS),
    link(CHILD, BELOW),
]


def only(scope: Only) -> Options:
    return Options(only=scope)


def in_step(*sources: SourceMilestone) -> tuple[list[TargetMilestone], list[Link]]:
    """The targets and links of milestones at the root that are in step."""
    targets = [target(one) for one in sources]
    return targets, [link(*pair) for pair in zip(sources, targets, strict=True)]


def told(action: Action) -> list[str]:
    """What is told although the action goes on."""
    problem = [action.problem.kind.value] if action.problem else []
    return [*problem, *(one.verdict.value for one in action.lasting)]


# --- order and reasons


def test_parents_come_before_their_children() -> None:
    """Whatever their ids are."""
    found = plan([source(1, parent_id=9), source(2, parent_id=9), source(9), source(5)])
    assert list(found.by_id) == [5, 9, 1, 2]


def test_in_step_there_is_nothing_to_do() -> None:
    """One action each, without a write, and nothing new learned of the links."""
    found = plan([PARENT, CHILD], [ABOVE, BELOW], LINKED)
    assert found.kinds == {1: "skip", 2: "skip"}
    assert (found.plan.writes, found.plan.changes) == (0, ())
    assert not any(action.learned for action in found.plan.actions)


def test_a_create_sends_what_is_not_empty() -> None:
    """No nulls and no status: POST takes neither."""
    action = plan([source(1, due_on=FEBRUARY)])[1]
    assert list(action.push) == ["name", "description", "due_date"]
    assert (action.writes, action.status_later) == (1, False)


def test_a_completed_milestone_takes_a_second_write() -> None:
    """A POST, and then a PATCH of its status."""
    action = plan([source(1, is_completed=True)])[1]
    assert (action.push["status"], action.writes, action.status_later) == ("completed", 2, True)


def test_a_completed_parent_takes_one_write() -> None:
    """Testably derives its status from the sub-milestones."""
    found = plan([replace(PARENT, is_completed=True), replace(CHILD, is_completed=True)])
    assert [action.writes for action in found.plan.actions] == [1, 2]
    assert "status" not in found[1].push


def test_a_completed_milestone_whose_only_child_waits_is_completed() -> None:
    """A child that does not arrive derives nothing."""
    stuck = source(2, "Taken", parent_id=1)
    by_hand = target(stuck, "ms_2", parent_id="ms_1", description=None)
    found = plan(
        [replace(PARENT, is_completed=True), stuck], [ABOVE, by_hand], [link(PARENT, ABOVE)]
    )
    assert found.kinds == {1: "skip", 2: "conflict"}  # the one made by hand derives it


def test_an_update_says_what_changed_and_where() -> None:
    """The reason names the side and the fields; before holds what the target shows now."""
    targets, links = in_step(source(1), source(2))
    found = plan(
        [source(1, "Renamed", due_on=FEBRUARY), source(2)],
        [targets[0], replace(targets[1], name="Edited", updated_at="later")],
        links,
    )
    assert found[1].reason == "Name and due date changed in TestRail."
    assert dict(found[1].before) == {"name": "Release 1", "due_date": None}
    assert found[2].reason == "Name edited in Testably and overwritten."
    assert dict(found[2].overwritten) == {"name": "Edited"}


def test_kept_edits_are_told() -> None:
    """Where Testably's edits win, each run says which fields it left alone."""
    targets, links = in_step(source(1))
    policy = Policy(on_target_edit=OnTargetEdit.TARGET)
    edited = replace(targets[0], name="Edited", updated_at="later")
    action = plan([source(1)], [edited], links, policy=policy)[1]
    assert (action.kind, told(action)) == (Kind.SKIP, ["kept"])


def test_the_raw_record_is_kept_beside_the_link() -> None:
    """Also where nothing is pushed, so that nothing of the source is ever lost."""
    targets, links = in_step(source(1))
    action = plan([source(1, raw={"id": 1, "custom": "x"})], targets, links)[1]
    assert action.learned
    assert action.link is not None
    assert action.link.raw == {"id": 1, "custom": "x"}


# --- parents


def test_a_parents_status_is_never_written() -> None:
    """Whether Testably lists sub-milestones, details them, or only a link knows them."""
    done = replace(PARENT, is_completed=True)
    for targets, links in (
        ([ABOVE, BELOW], LINKED),
        ([replace(ABOVE, sub_milestones=(SubMilestone("x", "X", "active"),))], LINKED[:1]),
        ([ABOVE, replace(BELOW, id="ms_8", description=None)], LINKED[:1]),
    ):
        assert plan([done, CHILD], targets, links)[1].writes == 0


def test_a_parent_not_read_is_known_as_one_by_its_links() -> None:
    """In a run that trusts the last listing there is no target to look at."""
    done = replace(PARENT, is_completed=True)
    assert plan([done, CHILD], [], LINKED, view={"listed": False})[1].writes == 0


def test_archived_sub_milestones_do_not_decide() -> None:
    """With the last living child gone its parent's own status is tried, once."""
    done = replace(PARENT, is_completed=True)
    archived = link(CHILD, BELOW, state=LinkState.ARCHIVED)
    above = replace(ABOVE, sub_milestones=(SubMilestone("ms_2", "X", "archived"),))
    for targets in ([above, replace(BELOW, status="archived")], [above]):
        action = plan([done], targets, [link(PARENT, ABOVE), archived])[1]
        assert action.push == {"status": "completed"}


# --- moves and second targets


def test_a_move_is_told_once_for_each_new_parent() -> None:
    """Testably cannot move a milestone; it is kept up to date where it is."""
    other = source(3)
    moved = replace(CHILD, parent_id=3, name="Renamed")
    targets = [ABOVE, BELOW, target(other)]
    links = [*LINKED, link(other, target(other))]
    first = plan([PARENT, moved, other], targets, links)
    assert (told(first[2]), dict(first[2].push)) == (["immovable"], {"name": "Renamed"})
    assert first.plan.not_exact["moved"] == 1
    known = first[2].link
    assert known is not None
    second = plan([PARENT, moved, other], targets, [links[0], known, links[2]])
    assert (told(second[2]), second.plan.not_exact["moved"]) == (["immovable"], 1)
    to_root = plan([PARENT, replace(moved, parent_id=None), other], targets, [links[0], known])
    assert told(to_root[2]) == ["immovable"]


@pytest.mark.parametrize(("parent_id", "where"), [(None, "at the root"), (3, "under 3")])
def test_a_move_is_told_with_what_a_person_does_about_it(parent_id: int | None, where: str) -> None:
    moved, other = replace(CHILD, parent_id=parent_id), source(3)
    sides = ([PARENT, moved, other], [ABOVE, BELOW, target(other)])
    links = [LINKED[0], link(other, target(other))]
    known = plan(*sides, [*links, LINKED[1]])[2].link
    assert known is not None
    told = known.field_problems["parent_id"]
    assert told == FieldProblem(
        ProblemKind.IMMOVABLE,
        "ms_3" if parent_id else None,
        "ms_1",
        f"In TestRail it is {where} now; Testably's API cannot move ms_2, "
        "which is kept up to date where it is.",
        "2026-03-01T12:00:00Z",
    )
    taken = replace(told, since="2026-02-01", accepted=True)
    same = plan(*sides, [*links, replace(known, field_problems={"parent_id": taken})])[2]
    assert [one.verdict for one in same.differences] == [Verdict.ACCEPTED]
    assert same.link is not None
    assert same.link.field_problems == {"parent_id": taken}
    elsewhere = replace(taken, desired="ms_7")
    again = plan(*sides, [*links, replace(known, field_problems={"parent_id": elsewhere})])[2]
    assert again.link is not None
    assert again.link.field_problems == {"parent_id": told}


def test_a_move_that_was_done_by_hand_is_over() -> None:
    """Then the next move is told again."""
    moved = FieldProblem(ProblemKind.IMMOVABLE, None, "ms_1", "It is so.", "2026-02-01")
    known = replace(LINKED[1], field_problems={"parent_id": moved})
    action = plan([PARENT, CHILD], [ABOVE, BELOW], [LINKED[0], known])[2]
    assert (told(action), action.learned) == ([], True)
    assert action.link is not None
    assert action.link.field_problems == {}


def test_a_child_whose_new_parent_cannot_be_placed_is_not_called_moved() -> None:
    """Nobody knows where it hangs now."""
    lost = replace(CHILD, parent_id=77)
    assert told(plan([PARENT, lost], [ABOVE, BELOW], LINKED)[2]) == []


def test_a_child_moved_below_a_parent_without_a_target_is_moved() -> None:
    """Also where both say that there is no parent in the target yet."""
    at_root = replace(BELOW, parent_id=None)
    action = plan([PARENT, CHILD], [at_root], [link(CHILD, at_root)])[2]
    assert told(action) == ["immovable"]


def test_a_child_is_not_called_moved_while_nobody_knows_its_parent_s_target() -> None:
    """Its parent has no link, and something of its name is there: that may be where it hangs."""
    child = replace(LINKED[1], last_applied=BELOW.values)
    unmarked, other = replace(ABOVE, description="By hand"), source(3)
    action = plan([PARENT, CHILD], [unmarked, BELOW], [child])
    assert (trouble_of(action[1]), told(action[2])) == ("name_conflict", [])
    moved = FieldProblem(ProblemKind.IMMOVABLE, "ms_7", "ms_1", "It was so.", "2026-02-01")
    known = replace(child, field_problems={"parent_id": moved})
    assert told(plan([PARENT, CHILD], [unmarked, BELOW], [known])[2]) == ["immovable"]
    below_other = replace(BELOW, parent_id="ms_3")
    sides = ([PARENT, CHILD, other], [unmarked, below_other, target(other)])
    elsewhere = [replace(child, target_parent="ms_3"), link(other, target(other))]
    assert told(plan(*sides, elsewhere)[2]) == ["immovable"]


def test_a_second_target_is_always_told() -> None:
    """A server that committed a create very late leaves one; it is told until it is archived."""
    twin = target(PARENT, "ms_9")
    for _ in range(2):
        action = plan([PARENT], [ABOVE, twin], [link(PARENT, ABOVE)])[1]
        assert told(action) == ["second_target"]
        assert action.problem is not None
        assert "ms_9" in action.problem.reason
    archived = replace(twin, status="archived")
    assert told(plan([PARENT], [ABOVE, archived], [link(PARENT, ABOVE)])[1]) == []


# --- scope

STATES = [
    source(1),
    source(2, is_started=True),
    source(3, is_completed=True),
    source(4, is_completed=True, is_started=True),
]


@pytest.mark.parametrize(
    ("scope", "ids"),
    [
        (Only.OPEN, {1, 2}),
        (Only.UPCOMING, {1}),
        (Only.STARTED, {2}),
        (Only.COMPLETED, {3, 4}),
    ],
)
def test_only_goes_by_the_flags(scope: Only, ids: set[int]) -> None:
    """Open is not completed; started and upcoming are open."""
    assert set(plan(STATES, options=only(scope)).by_id) == ids


def test_a_parent_comes_along_with_its_child() -> None:
    """Also the topmost parent of a deeper one, and only parents that are needed."""
    sources = [
        source(1),
        source(2, parent_id=1),
        source(3, parent_id=2, is_completed=True),
        source(4),
    ]
    assert list(plan(sources, options=only(Only.COMPLETED)).by_id) == [1, 3]


def test_a_filtered_run_says_nothing_about_absence() -> None:
    """What is out of scope is not missing."""
    found = plan([], [ABOVE], [link(PARENT, ABOVE)], options=only(Only.OPEN), gone=frozenset({1}))
    assert found.plan.actions == ()


# --- absence


def test_what_is_proved_gone_is_archived() -> None:
    """With the status that the target shows now as what was there before."""
    action = plan([], [ABOVE], [link(PARENT, ABOVE)], gone=frozenset({1}))[1]
    assert (action.kind, action.push, action.before) == (
        Kind.ARCHIVE,
        {"status": "archived"},
        {"status": "active"},
    )


def test_without_the_target_read_its_last_echo_counts() -> None:
    """A scheduled run archives as well."""
    action = plan([], [], [link(PARENT, ABOVE)], gone=frozenset({1}), view={"listed": False})[1]
    assert (action.kind, action.before) == (Kind.ARCHIVE, {"status": "active"})


def test_sub_milestones_are_archived_before_their_parent() -> None:
    """A parent cannot be archived while its status is derived."""
    found = plan([], [ABOVE, BELOW], LINKED, gone=frozenset({1, 2}))
    assert list(found.by_id) == [2, 1]


def test_keep_leaves_the_target_alone() -> None:
    """It is told in every run that it is kept, and nothing else happens."""
    policy = Policy(on_source_delete=OnSourceDelete.KEEP)
    action = plan([], [ABOVE], [link(PARENT, ABOVE)], gone=frozenset({1}), policy=policy)[1]
    assert (action.kind, action.writes, action.learned) == (Kind.SKIP, 0, True)
    assert action.link is not None
    assert action.link.state is LinkState.ORPHANED
    again = plan([], [ABOVE], [action.link], gone=frozenset({1}), policy=policy)[1]
    assert (told(again), again.writes, again.learned) == (["kept"], 0, False)


@pytest.mark.parametrize(
    ("targets", "view"),
    [([replace(ABOVE, status="archived")], {}), ([], {"gone": frozenset({"ms_1"})})],
)
def test_what_is_archived_or_gone_already_takes_no_write(
    targets: list[TargetMilestone], view: dict[str, Any]
) -> None:
    """Only the link is closed."""
    action = plan([], targets, [link(PARENT, ABOVE)], gone=frozenset({1}), view=view)[1]
    assert (action.kind, action.writes) == (Kind.SKIP, 0)
    assert action.link is not None
    assert action.link.state is LinkState.ARCHIVED


def test_an_unproved_absence_waits() -> None:
    """403, 5xx or an empty answer prove nothing; the reason is told."""
    found = plan([], [ABOVE, BELOW], LINKED, unproved={1: "TestRail answered 403."})
    assert found.kinds == {1: "skip", 2: "skip"}
    assert {trouble_of(action) for action in found.plan.actions} == {"absence_unproved"}
    assert "403" in found[1].reason


@pytest.mark.parametrize("rest", [{"source_complete": False}, {"whole_project": False}])
def test_an_incomplete_list_says_nothing_about_absence(rest: dict[str, Any]) -> None:
    """Neither does a refresh of single milestones."""
    assert plan([], [ABOVE], [link(PARENT, ABOVE)], **rest).by_id == {}


def test_a_troubled_record_that_never_arrived_is_forgotten_with_its_source() -> None:
    """Nobody needs to look at it any more, once a whole list lacks it."""
    problem = Problem(ProblemKind.REFUSED, "too long")
    unlinked = Link(1, source_fingerprint=fingerprint_of_source(PARENT), problem=problem, version=1)
    action = plan([], links=[unlinked])[1]
    assert (action.kind, action.learned) == (Kind.SKIP, True)
    assert action.link is not None
    assert action.link.problem is None
    assert plan([], links=[unlinked], source_complete=False).by_id == {}
    assert plan([], links=[action.link]).by_id == {}


# --- records that cannot be read


def test_an_unreadable_record_is_a_quarantine_and_stops_nobody() -> None:
    """With where it stands and why; its link keeps the record for a person to look at."""
    found = plan([PARENT], problems=[bad(9)])
    assert found.kinds == {1: "create", 9: "quarantine"}
    assert trouble_of(found[9]) == "bad_record"
    assert "name is blank" in found[9].reason
    assert found[9].link is not None
    assert found[9].link.problem == Problem(ProblemKind.BAD_RECORD, found[9].reason, NOW)


def test_a_record_without_an_id_is_told_without_a_link() -> None:
    """There is nothing to record it under."""
    for id_ in (None, "7"):
        action = plan(problems=[bad(id_)])[0]
        assert (action.kind, action.link, action.learned) == (Kind.QUARANTINE, None, False)


def test_an_unreadable_record_keeps_its_target() -> None:
    """It is not missing, so nothing is archived, and its children hang where they hung."""
    found = plan([CHILD], [ABOVE, BELOW], LINKED, problems=[bad(1)])
    assert found.kinds == {2: "skip", 1: "quarantine"}
    assert found[1].testably_id == "ms_1"


def test_children_of_an_unreadable_record_without_a_target_wait() -> None:
    """They cannot be created before it."""
    found = plan([CHILD], problems=[bad(1)])
    assert trouble_of(found[2]) == "waiting"


def test_a_trouble_keeps_its_age_while_it_is_of_the_same_kind() -> None:
    """Since when somebody should have looked."""
    first = plan(problems=[bad(9)])[9].link
    assert first is not None
    old = replace(first, version=1, problem=Problem(ProblemKind.BAD_RECORD, "other words", None, 3))
    again = plan(links=[old], problems=[bad(9)])[9].link
    assert again is not None
    assert again.problem is not None
    assert (again.problem.since, again.problem.count) == (None, 3)
    other = replace(old, problem=Problem(ProblemKind.REFUSED, "x", None))
    fresh = plan(links=[other], problems=[bad(9)])[9].link
    assert fresh is not None
    assert fresh.problem == first.problem


# --- what cannot be carried exactly


def test_a_plan_foretells_the_dates_that_a_new_parent_will_show() -> None:
    """Those of its sub-milestones, where they have any and these are others than its own."""
    situations: tuple[tuple[dict[str, Any], dict[str, Any], int], ...] = (
        ({"due_on": JANUARY}, {"due_on": FEBRUARY}, 1),
        ({"due_on": JANUARY}, {"due_on": JANUARY}, 0),
        ({"due_on": JANUARY}, {}, 0),
        ({}, {"start_on": JANUARY}, 1),
        ({"start_on": JANUARY, "due_on": JANUARY}, {"start_on": FEBRUARY, "due_on": FEBRUARY}, 2),
    )
    for parent, child, counted in situations:
        found = plan([source(1, **parent), source(2, parent_id=1, **child)]).plan
        assert found.not_exact.get("parent_dates", 0) == counted, (parent, child)


def test_not_exact_counts_each_kind() -> None:
    """Nesting, dates, a parent's own status and a moved milestone, each milestone once a kind."""
    rules = MappingRules("https://rail.example", timezone=ZoneInfo("Europe/Berlin"))
    sources = [
        source(1, is_completed=True),
        source(2, parent_id=1),
        source(3, parent_id=2),
        source(4, due_on=JANUARY + 3600 * 5, start_on=JANUARY + 3600 * 7),
    ]
    assert plan(sources, rules=rules).plan.not_exact == {
        "dates": 1,
        "nesting": 1,
        "parent_status": 1,
    }


def test_what_the_target_does_not_take_is_counted() -> None:
    """A refused value, and one that shows otherwise than it was sent."""
    targets, links = in_step(source(1, due_on=FEBRUARY), source(2), source(3))
    shown = [replace(targets[0], name="Rel", due_date=None), *targets[1:]]
    desired = links[0].last_applied
    problems = {
        "name": FieldProblem(
            ProblemKind.ALTERED, desired["name"], "Rel", "It is so.", "2026-02-01"
        ),
        "due_date": FieldProblem(
            ProblemKind.REJECTED, desired["due_date"], None, "It is so.", "2026-02-01"
        ),
    }
    known = [replace(links[0], observed=shown[0].values, field_problems=problems), *links[1:]]
    found = plan([source(1, due_on=FEBRUARY), source(2), source(3)], shown, known)
    assert found.plan.writes == 0
    assert found.plan.not_exact == {"altered": 1, "rejected": 1}


def test_what_does_not_arrive_is_not_counted_as_inexact() -> None:
    """It is counted as a problem already."""
    sources = [source(1, parent_id=1), source(2, parent_id=9)]
    assert plan(sources).plan.not_exact == {}


@pytest.mark.parametrize("completed", [True, False])
def test_a_status_that_was_derived_is_written_once_the_last_sub_milestone_is_gone(
    completed: bool,
) -> None:
    """It was not seen until then, and is active unless it was completed."""
    done = replace(PARENT, is_completed=completed)
    known = link(done, ABOVE, last_applied=WITHOUT_STATUS)
    action = plan([done], [ABOVE, BELOW], [known, LINKED[1]], gone=frozenset({2}))[1]
    waits = "Its status is its own again once its sub-milestones are gone."
    expected = (Kind.UPDATE, waits, True) if completed else (Kind.SKIP, "In step.", False)
    assert (action.kind, action.reason, action.status_later) == expected
    stays = plan([done, CHILD], [ABOVE, BELOW], [known, LINKED[1]])[1]
    assert not stays.status_later


def test_each_cause_of_an_update_is_named_with_its_fields() -> None:
    found = [
        Difference(name, None, None, Verdict.PUSH, cause)
        for name, cause in (
            ("name", Cause.CHANGED),
            ("due_date", Cause.EDITED),
            ("description", Cause.CHANGED),
            ("start_date", Cause.CHANGED),
        )
    ]
    assert why_pushed(tuple(found)) == (
        "Name, description and start date changed in TestRail; "
        "due date edited in Testably and overwritten."
    )
    assert why_pushed(tuple(found[:3:2])) == "Name and description changed in TestRail."
