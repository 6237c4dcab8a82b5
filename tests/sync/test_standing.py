"""How milestones stand before anything is written: linked, adoptable, new or stuck."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mappings.fingerprints import fingerprint_of_source
from mappings.link import Link
from mappings.link_record import ASKED, LinkState
from mappings.problem import Problem, ProblemKind
from tests.support.build import Planned, link, plan, snapshot, source, target, trouble_of
from tests.support.clock import NOW
from worker.sync.decide.action import Kind
from worker.sync.decide.case import Step
from worker.sync.decide.rules import Cases
from worker.sync.decide.unreadable import Unreadable
from worker.sync.options import OnTargetEdit, Options, Policy, Trigger

ONE = source(1)
THERE = target(ONE)
TARGET_WINS = Policy(on_target_edit=OnTargetEdit.TARGET)
BY_NAME = Options(adopt_by_name=True)
UNMARKED = target(ONE, "ms_7", description="Made by hand")


# --- markers


def test_a_milestone_without_anything_is_new() -> None:
    """Nothing is known of it and Testably's list is whole: it is created."""
    case = Cases(snapshot([ONE])).of(1)
    assert (case.step, case.arrives) == (Step.CREATE, True)


def test_a_marker_is_adopted_although_no_link_knows_it() -> None:
    """The footer is the identity: after the loss of the database nothing is doubled."""
    found = plan([ONE], [THERE])
    assert (found[1].kind, found[1].testably_id, found[1].push) == (Kind.ADOPT, "ms_1", {})


def test_a_marker_counts_before_a_name() -> None:
    """A milestone of the same name made by hand does not stand in the way of the marked one."""
    assert plan([ONE], [UNMARKED, target(ONE, "ms_2")])[1].testably_id == "ms_2"


def test_the_marker_of_another_testrail_is_nobodys() -> None:
    """Two TestRails may share a Testably project; ids are only unique within one."""
    foreign = replace(
        THERE,
        name="Else",
        description="---\nTestRail: https://other.example/index.php?/milestones/view/1",
    )
    assert plan([ONE], [foreign]).kinds == {1: "create"}


def test_several_markers_are_a_conflict_and_nothing_is_guessed() -> None:
    """Two living targets carry the marker: a person has to choose."""
    action = plan([ONE], [target(ONE, "ms_1"), target(ONE, "ms_2")])[1]
    assert (action.kind, trouble_of(action)) == (Kind.CONFLICT, "several_marked")
    assert "ms_1, ms_2" in action.reason


def test_a_living_marker_counts_before_an_archived_one() -> None:
    """Archived ones were put away; only where there is no other are they taken back."""
    archived = target(ONE, "ms_1", status="archived")
    assert plan([ONE], [archived, target(ONE, "ms_2")])[1].testably_id == "ms_2"
    revived = plan([ONE], [archived])[1]
    assert (revived.kind, revived.push) == (Kind.ADOPT, {"status": "active"})


def test_a_target_that_another_link_holds_is_not_free() -> None:
    """Its marker was copied by somebody, perhaps; a linked target is never adopted again."""
    two = source(2)
    held = target(ONE, "ms_2")
    assert plan([ONE, two], [held], [link(two, held)])[1].kind is Kind.CREATE


@pytest.mark.parametrize("seen", [0, 1, 2])
def test_a_marker_does_not_end_the_doubt_about_a_create(seen: int) -> None:
    """Another may still come: its wait and two looks tell, and not the reading before the plan."""
    in_doubt = Link(1, name="Release 1").begin_create({"name": "Release 1"}, NOW, NOW)
    marked = [target(ONE, f"ms_{number}") for number in range(seen)]
    action = plan([ONE], marked, [in_doubt])[1]
    assert (action.kind, action.testably_id) == (Kind.CREATE, None)
    assert action.reason == "An earlier create was cut off; it is looked for first."


@pytest.mark.parametrize("kind", sorted(ASKED))
def test_a_create_that_is_for_a_person_is_neither_made_nor_linked(kind: ProblemKind) -> None:
    """Whatever stands in Testably: it stays in `failures` until somebody says `retry`.

    Unless one alone was asked about, and carries its marker by now. After `retry` what is left of
    what was asked about is linked, and else it is created.
    """
    problem = Problem(kind, "It can be: ms_1, ms_2.", NOW)
    asked = Link(1, state=LinkState.CREATING, in_flight={"name": "Release 1"}, version=1)
    link = asked.left_to_person(problem, NOW, ["ms_1", "ms_2"])
    for targets in ([], [THERE], [UNMARKED]):
        action = plan([ONE], targets, [link], options=Options(create_anyway=True))[1]
        assert (action.kind, action.problem, action.writes) == (Kind.CONFLICT, problem, 0)
    alone = asked.left_to_person(problem, NOW, ["ms_1"])
    for targets, kind_then in (([THERE], Kind.ADOPT), ([UNMARKED], Kind.CONFLICT)):
        assert plan([ONE], targets, [alone])[1].kind is kind_then
    assert plan([ONE], [THERE], [link.retried()])[1].kind is Kind.ADOPT
    assert plan([ONE], [], [link.retried()])[1].kind is Kind.CREATE


# --- names


def test_a_name_that_is_there_already_is_a_conflict() -> None:
    """A milestone made by hand has the name: neither adopted nor doubled without a word."""
    action = plan([ONE], [UNMARKED])[1]
    assert (action.kind, trouble_of(action)) == (Kind.CONFLICT, "name_conflict")
    assert "ms_7" in action.reason


def test_adopt_by_name() -> None:
    """With the flag it is adopted, and what differs is pushed."""
    action = plan([ONE], [UNMARKED], options=BY_NAME)[1]
    assert (action.kind, action.testably_id, list(action.push)) == (
        Kind.ADOPT,
        "ms_7",
        ["description"],
    )


def test_create_anyway() -> None:
    """With the other flag a second one is made."""
    assert plan([ONE], [UNMARKED], options=Options(create_anyway=True))[1].kind is Kind.CREATE


def test_white_space_around_a_name_does_not_tell_two_names_apart() -> None:
    """The target may have trimmed it."""
    padded = replace(ONE, name=" Release 1 ")
    assert plan([padded], [UNMARKED])[1].kind is Kind.CONFLICT


@pytest.mark.parametrize("options", [Options(), BY_NAME])
def test_archived_milestones_stand_in_nobodys_way(options: Options) -> None:
    """The name of an archived milestone is free again."""
    assert plan([ONE], [replace(UNMARKED, status="archived")], options=options)[1].kind is (
        Kind.CREATE
    )


def test_two_candidates_for_one_name_are_not_guessed() -> None:
    """Also with the flag, which of them is meant cannot be told."""
    for options in (BY_NAME, Options()):
        action = plan([ONE], [UNMARKED, replace(UNMARKED, id="ms_8")], options=options)[1]
        assert (action.kind, trouble_of(action)) == (Kind.CONFLICT, "several_named")
        assert "--adopt-by-name" not in action.reason


def test_two_milestones_do_not_adopt_one_target() -> None:
    """Rivals for a name are told, not served first come, first served."""
    for options in (BY_NAME, Options()):
        found = plan([ONE, source(2, "Release 1")], [UNMARKED], options=options)
        assert found.kinds == {1: "conflict", 2: "conflict"}
        assert [trouble_of(found[i]) for i in (1, 2)] == ["several_named", "several_named"]
        assert "Which of 2 milestones in TestRail with this name ms_7 is" in found[1].reason


def test_rivals_below_a_parent_that_is_adopted_itself() -> None:
    """Two sub-milestones of one name claim one target below a parent adopted by name."""
    parent = source(1, "Parent")
    children = [source(i, "Child", parent_id=1) for i in (2, 3)]
    by_hand = [
        target(parent, "ms_1", description=None),
        target(children[0], "ms_2", parent_id="ms_1", description=None),
    ]
    found = plan([parent, *children], by_hand, options=BY_NAME)
    assert found.kinds == {1: "adopt", 2: "conflict", 3: "conflict"}


def test_a_milestone_whose_target_is_gone_is_a_rival_too() -> None:
    """It would claim the name just as one that never had a target."""
    lost = link(source(2, "Release 1"), target(source(2, "Release 1"), "ms_2"))
    found = plan(
        [ONE, source(2, "Release 1")],
        [UNMARKED],
        [lost],
        options=BY_NAME,
        view={"gone": frozenset({"ms_2"})},
    )
    assert found.kinds == {1: "conflict", 2: "conflict"}


def test_the_same_name_under_another_parent_is_no_conflict() -> None:
    """Names are compared among siblings."""
    child = source(2, "Release 7", parent_id=1)
    elsewhere = target(source(7), "ms_7", description=None)
    found = plan([ONE, child], [THERE, elsewhere], [link(ONE, THERE)])
    assert found.kinds == {1: "skip", 2: "create"}
    below = replace(elsewhere, parent_id="ms_1")
    assert plan([ONE, child], [THERE, below], [link(ONE, THERE)]).kinds[2] == "conflict"


def test_below_a_parent_that_is_created_names_are_free() -> None:
    """Nothing can be there yet."""
    child = source(2, "Release 7", parent_id=1)
    at_root = target(source(7), "ms_7", description=None)
    assert plan([ONE, child], [at_root]).kinds == {1: "create", 2: "create"}


# --- held and quarantined


def test_what_an_undo_took_back_is_held_until_a_person_migrates() -> None:
    """No schedule, webhook or sync touches it; a migration releases it."""
    archived = replace(THERE, status="archived")
    held = link(ONE, archived, state=LinkState.HELD, last_applied={})
    for trigger in (Trigger.SCHEDULE, Trigger.WEBHOOK, Trigger.MANUAL):
        action = plan([ONE], [archived], [held], options=Options(trigger=trigger))[1]
        assert (action.kind, action.push, trouble_of(action)) == (Kind.SKIP, {}, "held")
        assert [(one.field, one.verdict) for one in action.differences] == [("status", "held")]
        assert action.testably_id == "ms_1"
    released = plan([ONE], [archived], [held], options=Options(trigger=Trigger.MIGRATION))[1]
    assert (released.kind, released.push) == (Kind.UPDATE, {"status": "active"})
    assert "undo" in released.reason


def test_what_is_held_is_recorded_as_it_is_shown_and_without_what_testably_derives() -> None:
    child = source(2, parent_id=1)
    edited = replace(THERE, name="Edited", status="completed", updated_at="later")
    below = target(child, "ms_2", parent_id="ms_1")
    held = link(ONE, THERE).held(NOW)
    action = plan([ONE, child], [edited, below], [held, link(child, below)])[1]
    assert [(one.field, one.verdict) for one in action.differences] == [("name", "held")]
    assert action.link is not None
    assert (action.link.observed, action.link.observed_at) == (edited.values, "later")


def test_what_is_held_and_has_no_target_differs_as_a_whole() -> None:
    """There is nothing that its fields could be compared with."""
    (left,) = plan([ONE], [], [Link(1, version=1).held(NOW)])[1].differences
    assert (left.field, left.desired, left.live, left.verdict) == ("milestone", None, None, "held")


REFUSED = Problem(ProblemKind.REFUSED, "name must have at most 5 characters")


@pytest.mark.parametrize("kind", [ProblemKind.REFUSED, ProblemKind.KEEPS_FAILING])
def test_quarantine_lasts_until_the_source_record_changes(kind: ProblemKind) -> None:
    """While the record stays as it was refused, nothing is sent; any change tries again."""
    problem = replace(REFUSED, kind=kind, counted_at=NOW)
    blocked = Link(1, source_fingerprint=fingerprint_of_source(ONE), problem=problem, version=1)
    action = plan([ONE], links=[blocked])[1]
    assert (action.kind, action.problem, action.writes) == (Kind.QUARANTINE, problem, 0)
    assert plan([replace(ONE, refs="RF-1")], links=[blocked])[1].kind is Kind.CREATE


def test_a_linked_milestone_in_quarantine_keeps_its_target() -> None:
    """Its update was refused; its sub-milestones still have their parent."""
    child = source(2, parent_id=1)
    edited = replace(THERE, name="Edited")
    blocked = link(ONE, THERE, problem=REFUSED)
    found = plan([ONE, child], [edited], [blocked])
    assert found.kinds == {1: "quarantine", 2: "create"}
    assert found[1].testably_id == "ms_1"
    assert found[1].writes == 0


def test_a_quarantine_ends_when_both_sides_are_equal() -> None:
    """A person did by hand what was refused."""
    action = plan([ONE], [THERE], [link(ONE, THERE, problem=REFUSED)])[1]
    assert (action.kind, action.problem, action.reason) == (Kind.SKIP, None, "In step.")
    assert action.link is not None
    assert action.link.problem is None


def test_other_troubles_do_not_block() -> None:
    """A conflict that a person has solved in Testably is over by itself."""
    solved = Link(
        1,
        source_fingerprint=fingerprint_of_source(ONE),
        problem=Problem(ProblemKind.NAME_CONFLICT, "…"),
    )
    action = plan([ONE], links=[solved])[1]
    assert action.kind is Kind.CREATE
    assert action.link is not None
    assert action.link.problem is None


def test_children_of_what_is_stuck_wait() -> None:
    """Never created at the root, from where they could not be moved."""
    child = source(2, parent_id=1)
    action = plan([ONE, child], [UNMARKED])[2]
    assert (action.kind, trouble_of(action)) == (Kind.SKIP, "waiting")


# --- targets that are gone or could not be read


GONE = {"gone": frozenset({"ms_1"})}


def test_a_target_that_is_gone_is_created_again() -> None:
    """The source wins: as new, with nothing of the old target left in its link."""
    action = plan([ONE], links=[link(ONE, THERE)], view=GONE)[1]
    assert (action.kind, action.push) == (
        Kind.CREATE,
        {"name": "Release 1", "description": THERE.description},
    )
    assert action.link is not None
    assert (action.link.testably_id, action.link.last_applied, action.link.observed) == (
        None,
        {},
        {},
    )
    assert "deleted" in action.reason


def test_a_target_that_is_gone_stays_gone_where_testablys_edits_win() -> None:
    """A deletion is an edit: told, and its children wait."""
    child = source(2, parent_id=1)
    found = plan([ONE, child], links=[link(ONE, THERE)], view=GONE, policy=TARGET_WINS)
    assert found.kinds == {1: "conflict", 2: "skip"}
    assert trouble_of(found[1]) == "target_gone"


def test_a_second_target_is_adopted_when_the_first_is_gone() -> None:
    """Somebody deleted one of two; the other one carries the marker."""
    action = plan([ONE], [target(ONE, "ms_2")], [link(ONE, THERE)], view=GONE)[1]
    assert (action.kind, action.testably_id) == (Kind.ADOPT, "ms_2")


def test_a_parent_and_its_children_that_are_gone_are_created_again() -> None:
    """Parents first, all of them as new."""
    child = source(2, parent_id=1)
    below = target(child, "ms_2", parent_id="ms_1")
    found = plan(
        [ONE, child],
        links=[link(ONE, THERE), link(child, below)],
        view={"gone": frozenset({"ms_1", "ms_2"})},
    )
    assert [a.kind for a in found.plan.actions] == [Kind.CREATE, Kind.CREATE]


def test_a_target_that_could_not_be_read_waits() -> None:
    """Neither updated nor created again: nothing is known of it."""
    view = {"unproved": {"ms_1": "Testably answered 500."}}
    action = plan([replace(ONE, name="New")], links=[link(ONE, THERE)], view=view)[1]
    assert (action.kind, trouble_of(action)) == (Kind.SKIP, "unread")
    assert "500" in action.reason


def test_where_something_below_the_parent_could_not_be_read_nothing_new_comes_there() -> None:
    """It may be one of them; what is linked or marked there, and all else, goes on (R6)."""
    new, marked, known = (source(id_, parent_id=1) for id_ in (2, 3, 4))
    adopted, kept = (target(one, parent_id="ms_1") for one in (marked, known))
    found = plan(
        [ONE, new, marked, replace(known, name="New"), source(5)],
        [THERE, adopted, kept],
        [link(ONE, THERE), link(known, kept)],
        view={"unreadable": Unreadable(below={"ms_1": "ms_9 cannot be read."})},
        options=Options(create_anyway=True),
    )
    kinds = {1: "update", 2: "skip", 3: "adopt", 4: "update", 5: "create"}
    assert {**found.kinds, 1: "update"} == kinds
    assert trouble_of(found[2]) == "unread"
    assert "ms_9 cannot be read." in found[2].reason


@pytest.mark.parametrize("view", [{"complete": False}, {"listed": False}])
def test_without_a_whole_list_there_is_nothing_but_updates(view: dict[str, bool]) -> None:
    """What is linked is kept up to date; nothing is created or adopted, by marker or by name."""
    two, three, four = source(2), source(3), source(4)
    marked, by_hand = target(three), target(four, description=None)
    found = plan(
        [replace(ONE, name="New"), two, three, four],
        [THERE, marked, by_hand],
        [link(ONE, THERE)],
        view=view,
        options=BY_NAME,
    )
    assert found.kinds == {1: "update", 2: "skip", 3: "skip", 4: "skip"}
    assert {trouble_of(found[i]) for i in (2, 3, 4)} == {"unread"}


# --- what a person reads


FIRST = link(ONE, THERE)
BELOW = source(2, parent_id=1)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (plan([ONE]), "Is not in Testably yet."),
        (plan([ONE], [THERE]), "ms_1 carries its TestRail address."),
        (
            plan([ONE], [THERE, target(ONE, "ms_2")]),
            "2 milestones in Testably carry its TestRail address: ms_1, ms_2.",
        ),
        (
            plan([ONE], [UNMARKED]),
            (
                "Testably has a milestone of this name already (ms_7). "
                "Link it with --adopt-by-name or make a second one with --create-anyway."
            ),
        ),
        (plan([ONE], [UNMARKED], options=BY_NAME), "ms_7 has its name, and a person said so."),
        (
            plan([ONE], [UNMARKED, replace(UNMARKED, id="ms_8")], options=BY_NAME),
            "Which milestone of this name is meant cannot be told (ms_7, ms_8).",
        ),
        (
            plan([ONE], view={"complete": False}),
            "Testably's list did not come whole; nothing is created before it does.",
        ),
        (plan([ONE], [], [FIRST], view=GONE), "Its target ms_1 was deleted."),
        (
            plan([ONE], [], [FIRST], view=GONE, policy=TARGET_WINS),
            "ms_1 was deleted in Testably, and Testably's edits win.",
        ),
        (
            plan([ONE], [THERE], [FIRST.held(NOW)]),
            "An undo took it back.",
        ),
    ],
)
def test_every_answer_is_said_in_a_full_sentence(found: Planned, reason: str) -> None:
    assert found[1].reason == reason


def test_who_waits_says_for_which_parent() -> None:
    found = plan([ONE, BELOW], [UNMARKED])
    assert found[2].reason == "It waits for its parent 1, which has no target yet."


@pytest.mark.parametrize("archived", [True, False])
def test_nothing_is_made_below_what_an_undo_archived(archived: bool) -> None:
    """Until a person's migration brings the parent back, and then below it."""
    parent = replace(THERE, status="archived") if archived else THERE
    held = FIRST.held(NOW)
    waits = "It waits for its parent 1, which an undo archived and holds."
    in_background = plan([ONE, BELOW], [parent], [held])[2]
    assert (in_background.reason == waits) is archived
    assert (in_background.kind is Kind.CREATE) is not archived
    by_person = plan([ONE, BELOW], [parent], [held], options=Options(Trigger.MIGRATION))
    assert by_person[2].kind is Kind.CREATE
