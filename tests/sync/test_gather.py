"""What is read, and what not: counted in requests."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mappings.footer import marker_url
from mappings.link import Link
from mappings.link_record import LinkState
from mappings.links import Links
from mappings.problem import Problem, ProblemKind
from tests.support.world import PROJECT, URL, World
from worker.errors import NotFound, ServerTrouble
from worker.sandbox.rules import Problem as Refusal
from worker.sandbox.rules import Record
from worker.sandbox.switches import TestablySwitches, TestRailSwitches
from worker.sync.decide.snapshot import Snapshot
from worker.sync.decide.unreadable import Unreadable
from worker.sync.options import Only, OnSourceDelete, OnTargetEdit, Options, Policy, Trigger
from worker.sync.ports import SourceListing, TargetListing
from worker.sync.read.scope import Reader, Scope
from worker.sync.rebuild import rebuild
from worker.sync.report import State

ABLY = TestablySwitches()


def gather(world: World, scope: Scope | None = None, **options: object) -> Snapshot:
    """The scene as the next run would gather it."""
    world.to_rail.requests.clear()
    world.to_ably.requests.clear()
    reader = Reader(
        world.pair,
        world.source,
        world.target,
        world.rules,
        world.policy,
        Options(**options),  # type: ignore[arg-type]
        Links(world.links),
    )
    return reader.snapshot(scope or Scope(), world.clock.now())


def migrated(world: World, roots: int = 2, children: int = 1) -> World:
    """So many roots, each with so many children, all of them in step."""
    for number in range(roots):
        root = world.add(f"Root {number}")
        for child in range(children):
            world.add(f"Child {number}.{child}", root)
    assert world.run().as_json()["state"] == "succeeded"
    return world


def reads(world: World) -> list[str]:
    """What was read at the target, without the page sizes."""
    return [what.replace("&per_page=100", "") for _, what in world.to_ably.requests]


def details(world: World) -> list[str]:
    """The milestones that were read singly."""
    asked = world.to_ably.requests
    return [what for method, what in asked if method == "GET" and what.startswith("milestones/")]


LIST, COMPLETED, ARCHIVED = (
    f"milestones?status={status}&page=1" for status in ("", "completed", "archived")
)


# --- the lists


def test_an_empty_target_costs_two_requests(world: World) -> None:
    """It may hide completed ones; there is no archived one to ask for where nothing is ours."""
    world.add("One")
    snapshot = gather(world)
    assert (world.source.requests, reads(world)) == (1, [LIST, COMPLETED])
    assert (snapshot.target.listed, snapshot.target.complete) == (True, True)


def test_in_step_only_the_pages_are_read(world: World) -> None:
    """Nothing is read singly and the archived list is not needed."""
    gather(migrated(world))
    assert reads(world) == [LIST]


def test_a_missing_target_costs_the_archived_list(world: World) -> None:
    """One that was archived by hand is found there, and not read singly."""
    migrated(world)
    world.ably.update(PROJECT, world.id_of(2), {"status": "archived"})
    snapshot = gather(world)
    assert reads(world) == [LIST, COMPLETED, ARCHIVED]
    assert snapshot.target.milestones[world.id_of(2)].status == "archived"


def test_a_list_that_shows_a_completed_one_hides_none(world: World) -> None:
    """Then the completed ones need no list of their own."""
    migrated(world)
    world.ably.update(PROJECT, world.id_of(2), {"status": "archived"})
    world.ably.update(PROJECT, world.id_of(4), {"status": "completed"})
    gather(world)
    assert reads(world) == [LIST, ARCHIVED]


def test_a_list_that_holds_archived_ones_is_enough(world: World) -> None:
    """Then the second list could tell nothing more."""
    migrated(world)
    world.behave(ably=replace(ABLY, list_holds_archived=True))
    world.ably.update(PROJECT, world.id_of(2), {"status": "archived"})
    gather(world)
    assert reads(world) == [LIST]


def test_a_create_in_doubt_costs_no_archived_list(world: World) -> None:
    """What it left is looked for in all lists once its wait is over, and not before the plan."""
    world.add("One")
    link = Link(1, state=LinkState.CREATING)
    saved = world.store.save(world.pair.id, link, world.clock.now())
    assert saved is not None
    gather(world)
    assert reads(world) == [LIST, COMPLETED]
    problem = Problem(ProblemKind.IN_DOUBT_FOR_A_PERSON, "It can be: ms_1.")
    asked = saved.left_to_person(problem, world.clock.now(), ["ms_1"])
    world.store.save(world.pair.id, asked, world.clock.now())
    gather(world)
    assert reads(world) == [LIST]


def test_a_marker_without_a_link_costs_the_archived_list(world: World) -> None:
    """After the loss of the database, some may be there already and archived."""
    migrated(world)
    other = replace(world.identity, testably_url="https://elsewhere.example")
    world.identity = other
    gather(world)
    assert reads(world) == [LIST, ARCHIVED]


def test_a_linked_target_that_no_list_holds_is_read_singly(world: World) -> None:
    """It is there: an account may list neither sub-milestones nor new ones."""
    migrated(world)
    world.behave(ably=replace(ABLY, list_holds_subs=False))
    snapshot = gather(world)
    children = {world.id_of(2), world.id_of(4)}
    assert {what.removeprefix("milestones/") for what in reads(world)[3:]} == children
    assert children <= set(snapshot.target.milestones)
    assert snapshot.target.gone == frozenset()


def test_gone_only_if_the_project_still_answers(world: World) -> None:
    """404 on the id, and then one more request to the project."""
    migrated(world)
    world.ably.remove(world.id_of(1))
    snapshot = gather(world)
    assert snapshot.target.gone == {world.id_of(1), world.id_of(2)}
    assert reads(world)[-1] == LIST
    assert world.to_ably.count("GET", "milestones/") == 2


def test_a_project_that_is_gone_as_well_proves_nothing(world: World) -> None:
    """Every id answers 404 then, and so does the list: the run ends instead."""
    migrated(world)

    def vanish(_method: str, what: str) -> None:
        if what.startswith("milestones/"):
            world.ably.projects.clear()

    world.ably.remove(world.id_of(1))
    world.to_ably.before = vanish
    with pytest.raises(NotFound):
        gather(world)


def denied(world: World, testrail_id: int) -> str:
    """The id of its target, which answers 404 to whoever asks for it by itself."""
    target = world.id_of(testrail_id)

    def deny(method: str, what: str) -> None:
        if method == "GET" and what.endswith(target):
            raise NotFound("Testably", "There is no such milestone", status=404)

    world.to_ably.before = deny
    return target


@pytest.mark.parametrize("policy", OnTargetEdit)
def test_a_refresh_proves_no_target_gone(world: World, policy: OnTargetEdit) -> None:
    """It reads no list (R4): so it waits for a run of the whole pair, and no person is asked."""
    migrated(world)
    world.policy = Policy(on_target_edit=policy)
    world.edit(1, name="Renamed")
    target = denied(world, 1)
    report = world.run(Trigger.WEBHOOK, Scope((1,)))
    assert [told["kind"] for told in report.problems] == ["unread"]
    assert (world.to_ably.writes, world.id_of(1)) == ({}, target)
    world.to_ably.before = lambda *_: None
    assert world.run(Trigger.WEBHOOK, Scope((1,))).counts["updated"] == 1


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_run_that_goes_on_takes_for_gone_what_its_lists_had_proved(
    world: World, is_gone: bool
) -> None:
    """Of what was listed and settled then, a 404 tells nothing (R4)."""
    migrated(world)
    world.store.mark_to_look_again(world.pair.id, 1)
    target = denied(world, 1)
    proved = frozenset([target] if is_gone else [])
    read = gather(world, Scope(recalled={}, gone=proved)).target
    assert (read.gone, list(read.unproved)) == (proved, [] if is_gone else [target])


def test_a_target_that_cannot_be_read_is_not_gone(world: World) -> None:
    """5xx proves nothing; the reason is kept."""
    migrated(world)
    world.ably.remove(world.id_of(1))
    world.to_ably.faults.script("server_error", contains=f"milestones/{world.id_of(1)}")
    snapshot = gather(world)
    assert snapshot.target.gone == {world.id_of(2)}
    assert list(snapshot.target.unproved) == [world.id_of(1)]


def test_an_unreadable_row_is_not_gone(world: World) -> None:
    """A linked milestone whose row has the wrong shape is there; it is not asked for again."""
    migrated(world)
    broken = world.id_of(2)
    world.ably.plant(PROJECT, {"id": broken, "name": "X", "due_date": "soon"})
    snapshot = gather(world)
    assert list(snapshot.target.unproved) == [broken]
    assert broken not in snapshot.target.gone
    assert world.to_ably.count("GET", "milestones/") == 0


def test_an_incomplete_list_is_read_no_further(world: World) -> None:
    """Three tries are the client's; what is not in it is not read singly but set aside."""
    migrated(world)
    world.target.incomplete = True
    world.behave(ably=replace(ABLY, list_holds_subs=False))
    snapshot = gather(world)
    assert not snapshot.target.complete
    assert set(snapshot.target.unproved) == {world.id_of(2), world.id_of(4)}
    assert world.to_ably.count("GET", "milestones/") == 0


def test_an_incomplete_archived_list_makes_the_whole_incomplete(world: World) -> None:
    """A marker may be on the page that is missing."""
    migrated(world)
    world.ably.update(PROJECT, world.id_of(2), {"status": "archived"})

    def cut(_method: str, what: str) -> None:
        world.target.incomplete = "archived" in what

    world.to_ably.before = cut
    assert not gather(world).target.complete


# --- what a scheduled run trusts


def scheduled(world: World, **more: object) -> list[str]:
    """What a scheduled run reads at the target."""
    world.run(Trigger.SCHEDULE, **more)  # type: ignore[arg-type]
    return [what for what in reads(world) if not what.startswith(("POST", "PATCH"))]


def test_a_scheduled_run_reads_only_the_source(world: World) -> None:
    """Within the drift check, nothing at the target; after it, the list again."""
    migrated(world)
    assert scheduled(world) == []
    world.clock.sleep(3600)
    assert scheduled(world) == [LIST]
    assert scheduled(world) == []


@pytest.mark.parametrize(("drift", "expected"), [(timedelta(0), [LIST]), (None, [])])
def test_always_and_never(world: World, drift: timedelta | None, expected: list[str]) -> None:
    """Both ends of the setting."""
    migrated(world)
    world.drift_check = drift
    world.clock.sleep(7200)
    assert scheduled(world) == expected


def test_an_update_needs_no_listing(world: World) -> None:
    """A change at the source is one PATCH and nothing else."""
    migrated(world)
    world.edit(1, name="Renamed")
    world.run(Trigger.SCHEDULE)
    assert [method for method, _ in world.to_ably.requests] == ["PATCH"]


def test_where_the_targets_edits_win_what_is_to_be_written_is_read_first(world: World) -> None:
    """An edit since the last listing is kept; what the source has not changed is not read."""
    world.policy = Policy(on_target_edit=OnTargetEdit.TARGET)
    migrated(world)
    world.ably.update(PROJECT, world.id_of(2), {"name": "Edited in Testably"})
    world.edit(2, name="Renamed", due_on=1_780_272_000)
    for expected in (["GET", "PATCH"], ["GET"]):  # what is kept is looked at for as long
        world.run(Trigger.SCHEDULE)
        assert [method for method, _ in world.to_ably.requests] == expected
    assert world.ably.get(PROJECT, world.id_of(2))["name"] == "Edited in Testably"


@pytest.mark.parametrize("is_edited", [False, True])
def test_what_could_not_be_read_is_read_singly_until_it_can_be(
    world: World, monkeypatch: pytest.MonkeyPatch, is_edited: bool
) -> None:
    """Nothing is written over what nobody can see, and that it is unread stays told (R10)."""
    migrated(world)
    broken, shown = world.id_of(2), world.ably._shown
    world.ably.update(PROJECT, broken, {"name": "A person's"})
    spoiled = {broken: {"due_date": "soon"}}
    monkeypatch.setattr(world.ably, "_shown", lambda key: shown(key) | spoiled.get(key, {}))
    world.run(Trigger.MANUAL)
    if is_edited:
        world.edit(2, name="Renamed")
    for _ in range(2):
        report = world.run(Trigger.SCHEDULE)
        assert reads(world) == [f"milestones/{broken}"]
        assert [(one["kind"], one["testrail_id"]) for one in report.problems] == [("unread", 2)]
    spoiled.clear()
    assert not world.run(Trigger.SCHEDULE).problems
    assert world.links[2].problem is None
    assert world.ably.get(PROJECT, broken)["name"] == world.rail.get(2)["name"]


def test_a_new_milestone_needs_the_listing(world: World) -> None:
    """Before anything is created it must be known what is there."""
    migrated(world)
    world.add("New")
    world.run(Trigger.SCHEDULE)
    assert [method for method, _ in world.to_ably.requests] == ["GET", "GET", "POST"]


def test_what_can_never_be_created_needs_no_listing(world: World) -> None:
    """A record in quarantine, or one that is its own parent."""
    migrated(world)
    world.rail.plant({"id": 50, "name": "Self", "parent_id": 50})
    world.behave(ably=replace(ABLY, max_name_length=10))
    world.add("Much too long a name")
    world.run()
    assert scheduled(world) == []


def test_what_is_doubtful_is_read_singly(world: World) -> None:
    """A failed write leaves a mark; the next run looks at that target alone."""
    migrated(world)
    world.edit(1, name="Renamed")
    world.to_ably.faults.script("timeout_after", method="PATCH", times=6)
    assert world.run(Trigger.SCHEDULE).counts["waiting"] == 1
    world.to_ably.faults.clear()
    world.edit(1, name="Root 0")
    assert world.run(Trigger.SCHEDULE).counts["updated"] == 1
    assert [method for method, _ in world.to_ably.requests] == ["GET", "PATCH"]
    assert world.differences() == []


# --- sub-milestones below known parents


def test_unlisted_children_are_looked_for_below_parents_that_get_one(world: World) -> None:
    """Only there: a list without any sub-milestone may leave them all out."""
    world.behave(ably=replace(ABLY, list_holds_subs=False))
    migrated(world, children=0)
    parent = world.id_of(1)
    by_hand = world.ably.create(PROJECT, {"name": "Child", "parent_id": parent})["id"]
    world.add("Child", 1)
    snapshot = gather(world)
    assert by_hand in snapshot.target.milestones
    assert [w for w in reads(world) if "/" in w] == [
        f"milestones/{parent}",
        f"milestones/{by_hand}",
    ]
    assert world.run().counts["conflicts"] == 1


def test_unlisted_children_are_found_after_the_loss_of_the_database(world: World) -> None:
    """By the parents' markers, also a milestone that was flattened."""
    world.behave(ably=replace(ABLY, list_holds_subs=False))
    migrated(world)
    world.rail.plant({"id": 30, "name": "Third level", "parent_id": 2})
    world.run()
    world.identity = replace(world.identity, testably_url="https://elsewhere.example")
    report = world.run()
    assert (report.counts["adopted"], report.counts["created"]) == (5, 0)
    assert world.to_ably.writes == {}


@pytest.mark.parametrize("word", ["completed", "archived"])
def test_a_status_list_that_shows_sub_milestones_tells_nothing_of_the_plain_one(
    world: World, word: str
) -> None:
    """Where the links were lost, those that no list shows are found and not made again."""
    world.behave(ably=replace(ABLY, list_holds_subs=False, status_lists_hold_subs=True))
    parent = world.add("Parent")
    ids = [world.add(f"Child {n}", parent, is_completed=n == 1) for n in range(3)]
    world.run(Trigger.MIGRATION)
    if word == "archived":
        world.rail.delete(ids[1])
        world.run(Trigger.MIGRATION)
    world.identity = replace(world.identity, testably_url="https://elsewhere.example")
    living = 4 if word == "completed" else 3
    assert rebuild(world.context()).counts["adopted"] == living
    report = world.run(Trigger.MIGRATION)
    assert (report.counts["unchanged"], report.counts["created"]) == (living, 0)
    assert world.to_ably.writes == {}


def test_unlisted_children_are_found_below_a_parent_adopted_by_name(world: World) -> None:
    """What was copied by hand is adopted on both levels, not doubled on the second."""
    world.behave(ably=replace(ABLY, list_holds_subs=False))
    parent = world.ably.create(PROJECT, {"name": "Root"})["id"]
    world.ably.create(PROJECT, {"name": "Child", "parent_id": parent})
    world.add("Child", world.add("Root"))
    assert world.run(adopt_by_name=True).counts["adopted"] == 2
    assert len(world.ably.everything(PROJECT)) == 2


def test_a_sub_milestone_that_vanishes_meanwhile_hides_no_other(world: World) -> None:
    """Between the parent's detail and the look at one of its children somebody deletes that."""
    world.behave(ably=replace(ABLY, list_holds_subs=False))
    migrated(world, roots=1, children=0)
    above = world.id_of(1)
    made = [
        str(world.ably.create(PROJECT, {"name": f"Hand {i}", "parent_id": above})["id"])
        for i in range(3)
    ]

    def vanish(_method: str, what: str) -> None:
        if what == f"milestones/{made[0]}":
            world.to_ably.before = lambda _method, _what: None
            world.ably.remove(made[0])

    world.add("Child", 1)
    world.to_ably.before = vanish
    assert set(made[1:]) <= set(gather(world).target.milestones)


def test_a_sub_milestone_that_cannot_be_read_stops_only_what_can_be_it(world: World) -> None:
    """Below its parent nothing new is created; all else goes on (R6)."""
    world.behave(ably=replace(ABLY, list_holds_subs=False))
    migrated(world)
    theirs: Record = {"id": "ms_bad", "name": "Theirs", "due_date": "soon"}
    world.ably.plant(PROJECT, theirs | {"parent_id": world.id_of(1)})
    child, root = world.add("Child", 1), world.add("Root")
    other = world.add("Other child", 3)
    world.edit(4, name="Renamed")
    report = world.run()
    assert world.to_ably.writes == {"POST": 2, "PATCH": 1}
    assert {root, other} <= world.links.keys()
    (problem,) = [one for one in report.problems if one["testrail_id"] == child]
    assert problem["kind"] == "unread"
    assert 'ms_bad ("Theirs")' in str(problem["reason"])
    assert "correct or delete it in Testably" in str(problem["reason"])
    world.ably.remove("ms_bad")
    assert world.run().counts["created"] == 1


@pytest.mark.parametrize("key", ["parent_id", "parent_milestone_id"])
def test_what_hangs_in_a_place_that_cannot_be_read_can_be_any_of_its_name(
    world: World, key: str
) -> None:
    """A person's milestone is not doubled (R7), wherever it is; others are created."""
    migrated(world)
    theirs: Record = {"id": "ms_bad", "name": "Theirs"}
    world.ably.plant(PROJECT, theirs | {key: {"id": world.id_of(1)}})
    ids = [world.add("Theirs", 1), world.add("Theirs")]
    other = world.add("Other child", 1)
    report = world.run()
    assert sorted(one["testrail_id"] for one in report.problems) == ids
    assert {one["kind"] for one in report.problems} == {"unread"}
    assert other in world.links
    assert world.run(create_anyway=True).counts["created"] == 2


def test_a_parent_that_cannot_be_read_stops_only_what_comes_below_it(world: World) -> None:
    """Its detail answers 5xx in every run."""
    world.behave(ably=replace(ABLY, list_holds_subs=False))
    migrated(world)
    child = world.add("Child", 1)
    world.add("Root")
    detail = f"milestones/{world.id_of(1)}"
    world.to_ably.faults.script("server_error", method="GET", contains=detail, times=1000)
    report = world.run()
    assert world.to_ably.writes == {"POST": 1}
    assert child in [one["testrail_id"] for one in report.problems]


def test_a_run_that_goes_on_creates_nothing_below_what_could_not_be_read(world: World) -> None:
    """Its first part found that; the list is not read again."""
    migrated(world)
    world.add("Child", 1)
    hidden = Unreadable(below={world.id_of(1): "It is hidden."})
    snapshot = gather(world, Scope(recalled={}, unreadable=hidden))
    assert snapshot.target.unreadable == hidden


@pytest.mark.parametrize("listed", [True, False])
def test_what_a_person_made_in_place_of_a_lost_child_is_not_doubled(
    world: World, listed: bool
) -> None:
    """Its name is taken (R7), whether or not the list shows sub-milestones."""
    world.behave(ably=replace(ABLY, list_holds_subs=listed))
    migrated(world)
    world.ably.remove(world.id_of(2))
    name = {"name": "Child 0.0", "parent_id": world.id_of(1)}
    world.ably.create(PROJECT, name)
    assert [one["kind"] for one in world.run().problems] == ["name_conflict"]
    assert world.to_ably.writes == {}


@pytest.mark.parametrize("children", [0, 2])
def test_a_copied_marker_costs_no_look_below_every_root(world: World, children: int) -> None:
    """Its milestone has its target, so no link was lost; what is new is made where it belongs."""
    world.behave(ably=replace(ABLY, list_holds_subs=False))
    migrated(world, children=children)
    shown = world.in_target(1)
    copied = ("name", "description", "start_date")
    world.ably.create(PROJECT, {name: shown[name] for name in copied})
    root = 4 if children else 2
    parent, child = world.id_of(root), world.add("New child", root)
    hidden = [link.testably_id for link in world.links.values() if link.parent_id]
    world.run(Trigger.SCHEDULE, Scope())
    for another in (parent, world.id_of(child)):
        assert sorted(details(world)) == sorted(f"milestones/{id_}" for id_ in (*hidden, another))
        world.run(Trigger.SCHEDULE, Scope())


def test_of_several_markers_without_a_link_none_has_every_root_read(world: World) -> None:
    """A person decides about them, and nothing else is to be created."""
    world.behave(ably=replace(ABLY, list_holds_subs=False))
    migrated(world, children=0)
    new = world.add("New")
    for _ in range(2):
        description = f"---\nTestRail: {marker_url(world.rules.testrail_url, new)}"
        world.ably.create(PROJECT, {"name": "Copy", "description": description})
    report = world.run()
    assert report.counts["conflicts"] == 1
    assert details(world) == []


def test_nobody_looks_below_for_a_child_that_both_sides_have_lost(world: World) -> None:
    """Nothing comes in its place."""
    world.behave(ably=replace(ABLY, list_holds_subs=False))
    migrated(world)
    world.ably.remove(world.id_of(2))
    world.rail.delete(2)
    gather(world)
    assert f"milestones/{world.id_of(1)}" not in reads(world)


def test_where_the_list_shows_sub_milestones_nobody_looks_below(world: World) -> None:
    """It would show these as well."""
    migrated(world)
    world.add("Another", 1)
    gather(world)
    assert reads(world) == [LIST, COMPLETED]


# --- absence at the source


def test_what_is_missing_is_asked_for(world: World) -> None:
    """One request each; 400 proves it, 403 and 5xx do not."""
    migrated(world, roots=3, children=0)
    gone, denied, failing = 1, 2, 3
    world.rail.delete(gone)
    world.rail.plant({"id": denied, "name": "Root 1"}, project_id=2)
    world.rail.plant({"id": failing, "name": "Root 2"}, project_id=3)
    world.rail.projects |= {2, 3}
    world.rail.no_access.add(2)
    world.to_rail.faults.script("server_error", contains=f"get_milestone/{failing}")
    snapshot = gather(world)
    assert (set(snapshot.gone), set(snapshot.unproved)) == ({gone}, {denied, failing})
    assert world.to_rail.count("GET", "get_milestone/") == 3


def test_what_is_there_after_all_counts(world: World) -> None:
    """A list that changed between two pages can leave a milestone out."""
    migrated(world, roots=2, children=0)
    world.rail.plant({"id": 1, "name": "Moved", "start_on": 1}, project_id=2)
    world.rail.projects.add(2)
    snapshot = gather(world)
    assert snapshot.gone == frozenset()
    assert snapshot.source.milestones[1].name == "Moved"


@pytest.mark.parametrize(("kind", "most"), [("server_error", 2), ("rate_limited", 1)])
def test_what_carries_unknown_markers_is_left_once_testrail_fails(
    world: World, kind: str, most: int
) -> None:
    """As with the absence of what is linked: each question has been repeated by then."""
    migrated(world, roots=1, children=0)
    ids = range(1000, 1030)
    for id_ in ids:
        text = f"---\nTestRail: {marker_url(URL, id_)}"
        world.ably.create(PROJECT, {"name": f"Other {id_}", "description": text})
    world.to_rail.faults.script(kind, contains="get_milestone/", times=10_000)
    assert world.run().state is State.SUCCEEDED
    asked = {what for _, what in world.to_rail.requests if "get_milestone/" in what}
    assert len(asked) == most


@pytest.mark.parametrize("scope", [(2,), (1, 2), (2, 1)])
def test_a_refresh_of_a_record_that_names_no_parent_takes_it_for_none(
    world: World, scope: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document's own example names none: only the list tells that it has moved."""
    migrated(world)
    world.edit(2, name="Child renamed")
    real = world.source.get_milestone

    def without_parent(id_: int) -> SourceListing:
        found = real(id_)
        rows = {key: replace(one, parent_id=None) for key, one in found.milestones.items()}
        return replace(found, milestones={**found.milestones, id_: rows[id_]})

    monkeypatch.setattr(world.source, "get_milestone", without_parent)
    report = world.run(Trigger.WEBHOOK, Scope(scope))
    assert (report.state, report.problems) == (State.SUCCEEDED, ())
    assert world.in_target(2)["name"] == "Child renamed"


def test_an_unreadable_answer_proves_nothing(world: World) -> None:
    """It is there, in whatever shape."""
    migrated(world, roots=1, children=0)
    world.rail.plant({"id": 1, "name": None}, project_id=2)
    world.rail.projects.add(2)
    snapshot = gather(world)
    assert (snapshot.gone, list(snapshot.unproved)) == (frozenset(), [1])


@pytest.mark.parametrize("why", ["incomplete", "only", "refresh"])
def test_absence_is_not_asked_about_where_it_means_nothing(world: World, why: str) -> None:
    """An incomplete list, a filtered run and a refresh cost no extra request."""
    migrated(world, roots=2, children=0)
    world.rail.delete(1)
    world.source.incomplete = why == "incomplete"
    scope = Scope((2,)) if why == "refresh" else None
    snapshot = gather(world, scope, **({"only": Only.OPEN} if why == "only" else {}))
    assert (snapshot.gone, snapshot.unproved) == (frozenset(), {})
    assert world.to_rail.count("GET", "get_milestone/1") == 0


def test_the_proof_stops_where_the_guard_stops_the_run_anyway(world: World) -> None:
    """An emptied project costs ten questions and not a thousand."""
    migrated(world, roots=40, children=0)
    for id_ in range(1, 41):
        world.rail.delete(id_)
    assert len(gather(world).gone) == 10
    assert len(gather(world, allow_mass_archive=True).gone) == 40
    assert len(gather(world, Scope(every_absence=True)).gone) == 40
    world.policy = Policy(on_source_delete=OnSourceDelete.KEEP)
    assert len(gather(world).gone) == 40


def test_what_is_not_to_be_archived_is_not_looked_into(world: World) -> None:
    """A person brought it back, and Testably's edits win; or it is archived already."""
    migrated(world, roots=2, children=0)
    world.rail.delete(1)
    world.run()
    gather(world)
    assert details(world) == []
    world.edit_target(1, status="active")
    gather(world)
    assert details(world) == [f"milestones/{world.id_of(1)}"]
    world.policy = Policy(on_target_edit=OnTargetEdit.TARGET)
    gather(world)
    assert details(world) == []


def test_what_a_later_slice_is_to_archive_is_looked_into_again(world: World) -> None:
    """What the first one kept of it says nothing of what hangs there (R12)."""
    migrated(world, roots=2, children=0)
    world.rail.delete(1)
    world.run()
    world.edit_target(1, status="active")
    id_ = world.id_of(1)
    row = gather(world).target.milestones[id_]
    kept = replace(row, linked_runs=(), sub_milestones=())
    snapshot = gather(world, Scope(recalled={id_: kept}))
    assert reads(world) == [f"milestones/{id_}"]
    assert snapshot.target.detailed == {id_}


# --- a refresh


def test_a_refresh_reads_the_milestone_and_its_target(world: World) -> None:
    """Itself and its sub-milestones by one call, each target by its id, and no list."""
    migrated(world)
    snapshot = gather(world, Scope((1,)))
    assert [what for _, what in world.to_rail.requests] == ["get_milestone/1"]
    ids = {world.id_of(1), world.id_of(2)}
    assert {what.removeprefix("milestones/") for what in reads(world)} == ids
    assert (snapshot.target.listed, snapshot.whole_project) == (False, False)
    assert set(snapshot.source.milestones) == {1, 2}


def test_a_refresh_of_what_is_gone_does_nothing(world: World) -> None:
    """It never archives; the next full run proves the absence."""
    migrated(world)
    world.rail.delete(1)
    report = world.run(Trigger.WEBHOOK, Scope((1,)))
    assert (report.state.value, world.to_ably.requests) == ("succeeded", [])


def test_a_refresh_writes_what_changed(world: World) -> None:
    """The change arrives; other changes wait for their own turn."""
    migrated(world)
    world.edit(2, name="Child renamed")
    world.edit(3, name="Root renamed")
    assert world.run(Trigger.WEBHOOK, Scope((2,))).counts["updated"] == 1
    assert world.to_ably.writes == {"PATCH": 1}
    assert world.in_target(2)["name"] == "Child renamed"
    assert world.in_target(3)["name"] == "Root 1"


def test_a_refresh_creates_nothing(world: World) -> None:
    """Without the list nobody knows what is there."""
    migrated(world)
    world.add("New child", 1)
    report = world.run(Trigger.WEBHOOK, Scope((1,)))
    assert (report.counts["waiting"], world.to_ably.writes) == (1, {})


# --- a source that cannot be read


@pytest.mark.parametrize("shape", ["nested", "flat", "roots_only"])
def test_a_failing_source_ends_the_run_before_any_write(world: World, shape: str) -> None:
    """And before the target is asked at all."""
    world.behave(rail=TestRailSwitches(sub_milestones=shape))  # type: ignore[arg-type]
    world.add("One")
    world.to_rail.faults.script("server_error", contains="get_milestones/")
    with pytest.raises(ServerTrouble):
        gather(world)
    assert world.to_ably.requests == []


def test_a_milestone_that_cannot_be_read_again_proves_nothing_and_stops_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its family is opened, and the record beside its link is not that of its fingerprint."""
    migrated(world)
    world.run()
    monkeypatch.setattr(type(world.source), "recall", lambda *_: None)
    read = world.rail.get

    def refused(milestone_id: int) -> Record:
        if milestone_id == 1:
            raise Refusal(410, "No")
        return read(milestone_id)

    monkeypatch.setattr(world.rail, "get", refused)
    world.edit(2, name="Renamed")
    world.edit(4, name="Renamed")
    report = world.run()
    assert (report.state, report.counts["updated"]) == (State.PARTIAL, 2)
    assert "milestone 1 could not be read" in str(report.problems)


def test_a_project_that_testrail_does_not_know(world: World) -> None:
    """Its 400 is told as what it is: the project id is wrong."""
    world.identity = replace(world.identity, testrail_project=99)
    with pytest.raises(NotFound):
        gather(world)


def test_a_run_that_goes_on_reads_singly_what_is_doubtful(world: World) -> None:
    """The free milestones are recalled from its first part; the list is not read again."""
    migrated(world)
    world.store.mark_to_look_again(world.pair.id, 1)
    snapshot = gather(world, Scope(recalled={}))
    assert reads(world) == [f"milestones/{world.id_of(1)}"]
    assert snapshot.target.listed


@pytest.mark.parametrize("count", [5, 30])
def test_what_could_not_be_read_costs_a_refresh_nothing_and_a_run_no_more_than_a_list(
    world: World, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """One list that came incomplete leaves all that it did not show unread."""
    ids = [world.add(f"M{number}") for number in range(count)]
    world.run(Trigger.MIGRATION)
    listed = world.target.list_all

    def short(*asked: Any, **more: Any) -> TargetListing:
        return replace(listed(*asked[:2], **more), milestones={}, unchanged={}, complete=False)

    with monkeypatch.context() as patched:
        patched.setattr(world.target, "list_all", short)
        assert world.run(Trigger.MANUAL).state is State.PARTIAL
    world.run(Trigger.WEBHOOK, Scope((ids[0],)))
    assert world.to_ably.count("GET") == 1
    world.drift_check = None
    assert world.run(Trigger.SCHEDULE).state is State.SUCCEEDED
    assert world.to_ably.count("GET") == (count - 1 if count < 10 else 1)
