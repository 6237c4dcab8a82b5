"""Whole runs in memory: the first migration, and that a second run writes nothing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from mappings.database import open_engine
from mappings.link_record import LinkState
from mappings.milestone import DATE_FIELDS
from mappings.rows import ChangeState
from tests.support.world import PROJECT, World
from worker.sandbox.seed import edit_some, seed
from worker.sandbox.switches import TestablySwitches, TestRailSwitches
from worker.sync.options import Only, Trigger
from worker.sync.report import RunReport, State

SHAPES = ("nested", "flat", "roots_only")
SWITCHED: list[dict[str, Any]] = [
    {},
    {"list_holds_subs": False},
    {"list_holds_subs": False, "status_lists_hold_subs": True},
    {"list_holds_archived": True},
    {"newest_first": True},
    {"listing_delay": 100.0},
    {"null_clears": False},
    {"archived_subs_lock_status": False},
    {"parent_dates_read_only": False},
    {"max_name_length": 20},
    {"trims_text": True},
    {"echo_differs": True},
    {"status_vocabulary": "lifecycle"},
    {"parent_key": "parent_milestone_id"},
    {"parent_key": "both"},
    {"date_style": ".000Z"},
    {"date_style": "+00:00"},
    {"shows_date_mode": False},
]


def rail(shape: str) -> TestRailSwitches:
    return TestRailSwitches(sub_milestones=shape)  # type: ignore[arg-type]


def several(world: World) -> None:
    """Milestones of all kinds, eight in all."""
    world.add("Open", due_on=1_780_000_000, description="Text\r\nwith lines \n", refs="RF-1")
    world.add("Done", is_completed=True)
    parent = world.add("Parent", due_on=1_775_000_000)
    world.add("Child", parent, description=None, start_on=None)
    world.add("Child done", parent, is_completed=True, due_on=1_770_000_000)
    done = world.add(" Parent done ", is_completed=True, description="  ")
    world.add("Its child", done, is_completed=True)
    world.add("Name of more than twenty characters", is_started=True)


# --- the first migration


def test_one_post_each_and_one_patch_for_each_that_is_completed(world: World) -> None:
    """Parents are completed by their sub-milestones, so they take no PATCH."""
    several(world)
    report = world.run(Trigger.MIGRATION)
    assert (report.state, report.counts["created"]) == (State.SUCCEEDED, 8)
    assert world.to_ably.writes == {"POST": 8, "PATCH": 3}
    assert world.differences() == []


def test_parents_are_posted_before_children_and_statuses_come_last(world: World) -> None:
    """The order of the writes, as the server sees it."""
    several(world)
    world.run()
    methods = [method for method, _ in world.to_ably.requests]
    assert methods == ["GET", "GET", *["POST"] * 8, *["PATCH"] * 3]
    kinds = [(change.testrail_id, change.kind) for change in world.changes]
    assert [id_ for id_, kind in kinds if kind == "create"] == [1, 2, 3, 6, 8, 4, 5, 7]
    assert [id_ for id_, kind in kinds if kind == "update"] == [2, 5, 7]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [0, 1, 250, 251])
def test_the_first_migration_reads_as_few_pages_as_there_are(
    world: World, shape: str, count: int
) -> None:
    """ceil(rows / 250) at the source, and one page of each list of an empty target.

    The completed ones are listed apart, since the plain list may hide them.
    """
    world.behave(rail(shape))
    seed(world.rail, 1, count)
    rows = len(world.rail.everything(1))
    roots = sum(row["parent_id"] is None for row in world.rail.everything(1))
    pages = max(1, ceil((rows if shape == "flat" else roots) / 250))
    prepared = world.preview(trigger=Trigger.MIGRATION)
    assert len(prepared.plan.changes) == count
    details = roots if shape == "roots_only" else 0
    lists = ["", "completed"] if count else [""]
    assert prepared.reads == {"testrail": pages + details, "testably": len(lists)}
    assert world.to_ably.requests == [
        ("GET", f"milestones?status={status}&page=1&per_page=100") for status in lists
    ]


@pytest.mark.parametrize("there", [0, 99, 100, 101, 250])
def test_the_target_is_read_once_page_by_page(world: World, there: int) -> None:
    """max(1, ceil(T / 100)) requests, and one for the completed ones that it may hide."""
    for number in range(there):
        world.ably.create(PROJECT, {"name": f"By hand {number}"})
    world.add("One")
    assert world.run().counts["created"] == 1
    assert world.to_ably.count("GET") == max(1, ceil(there / 100)) + 1


def test_a_dry_run_writes_nothing_and_knows_what_it_will_cost(world: World) -> None:
    """The same plan, and exactly the requests that the migration then takes."""
    several(world)
    prepared = world.preview(trigger=Trigger.MIGRATION)
    assert world.to_ably.writes == {}
    assert world.links == {}
    report = world.run(Trigger.MIGRATION)
    assert dict(report.requests) == prepared.requests


def test_everything_is_recorded(world: World) -> None:
    """A link for each milestone with the raw record, and a change for each write."""
    several(world)
    world.run()
    assert {known.state for known in world.links.values()} == {LinkState.LINKED}
    assert world.links[1].raw["refs"] == "RF-1"
    assert len(world.changes) == 11
    assert {change.state.value for change in world.changes} == {"done"}


def test_the_report_counts_what_cannot_be_carried_exactly(world: World) -> None:
    """An open parent of which all is done is completed in Testably."""
    parent = world.add("Parent")
    world.add("Child", parent, is_completed=True)
    assert dict(world.run().not_exact) == {"parent_status": 1}


# --- scope and names


def test_only_open_then_the_rest(world: World) -> None:
    """A filtered migration brings the parent along and archives nothing; the rest comes later."""
    several(world)
    first = world.run(Trigger.MIGRATION, only=Only.COMPLETED)
    assert first.counts["created"] == 5  # 2, 5 with its parent 3, and 6 with 7
    second = world.run(Trigger.MIGRATION)
    assert (second.counts["created"], second.counts["unchanged"]) == (3, 5)
    assert world.differences() == []


def test_milestones_made_by_hand_are_left_alone(world: World) -> None:
    """What carries no marker of ours is neither changed nor archived."""
    mine = world.ably.create(PROJECT, {"name": "Mine", "description": "by hand"})
    several(world)
    world.run()
    world.run()
    assert world.ably.get(PROJECT, str(mine["id"]))["description"] == "by hand"


def test_a_name_conflict_is_told_and_solved_by_a_flag(world: World) -> None:
    """Neither doubled nor taken over without a word."""
    world.ably.create(PROJECT, {"name": "Open"})
    several(world)
    first = world.run(Trigger.MIGRATION)
    assert (first.state, first.counts["conflicts"]) == (State.PARTIAL, 1)
    assert first.problems[0]["kind"] == "name_conflict"
    assert world.run(Trigger.MIGRATION, adopt_by_name=True).counts["adopted"] == 1
    assert world.differences() == []
    assert len(world.ably.live(PROJECT)) == 8


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("name", ["R & D", "R  &\tD", "R &amp; D"])
def test_a_name_is_the_same_however_it_is_shown(world: World, name: str, listed: bool) -> None:
    """With HTML entities, say, or other white space: nothing is doubled, and it can be adopted."""
    world.behave(ably=TestablySwitches(html_entities=True, list_holds_subs=listed))
    by_hand = world.ably.create(PROJECT, {"name": "R & D"})["id"]
    below = world.ably.create(PROJECT, {"name": "R & D", "parent_id": by_hand})["id"]
    root = world.add(name)
    child = world.add(name, root)
    report = world.run()
    assert world.to_ably.writes == {}
    assert next((p["testrail_id"], p["kind"]) for p in report.problems) == (root, "name_conflict")
    world.run(adopt_by_name=True)
    assert (world.id_of(root), world.id_of(child)) == (by_hand, below)
    assert "POST" not in world.to_ably.writes


@pytest.mark.parametrize("shown", ["R &amp; D", "R & D"])
def test_names_that_are_shown_alike_are_for_a_person(world: World, shown: str) -> None:
    """Which of both the one in Testably is cannot be told."""
    world.ably.create(PROJECT, {"name": shown})
    for name in ("R & D", "R &amp; D"):
        world.add(name)
    report = world.run(adopt_by_name=True)
    assert [problem["kind"] for problem in report.problems] == ["several_named"] * 2
    assert world.to_ably.writes == {}


def test_create_anyway_makes_a_second_one(world: World) -> None:
    """The other way to solve it."""
    world.ably.create(PROJECT, {"name": "Open"})
    several(world)
    assert world.run(Trigger.MIGRATION, create_anyway=True).counts["created"] == 8
    assert len(world.ably.live(PROJECT)) == 9


def test_after_the_loss_of_the_database_everything_is_adopted(world: World) -> None:
    """Another pair over the same two projects finds all markers and writes nothing."""
    several(world)
    world.run()
    world.identity = replace(world.identity, testably_url="https://elsewhere.example")
    report = world.run(Trigger.MIGRATION)
    assert (report.counts["adopted"], world.to_ably.writes) == (8, {})
    assert world.run().counts["unchanged"] == 8
    assert world.to_ably.writes == {}


# --- without the footer


def test_without_the_footer_nothing_is_added_to_descriptions(world: World) -> None:
    """Then only the links know what belongs together; the second run is in step all the same."""
    world.rules = replace(world.rules, footer=False)
    several(world)
    world.run(Trigger.MIGRATION)
    texts = [row["description"] for row in world.ably.live(PROJECT)]
    assert not any("TestRail:" in str(text) for text in texts)
    world.run()
    assert world.to_ably.writes == {}


def test_changed_settings_wait_for_a_person(world: World) -> None:
    """A scheduled run stops itself; after one migration everything is as the setting says."""
    several(world)
    world.run(Trigger.MIGRATION)
    world.rules = replace(world.rules, footer=False)
    stopped = world.run(Trigger.SCHEDULE)
    assert (stopped.state, world.to_ably.requests) == (State.ABORTED, [])
    assert stopped.error is not None
    assert "migrate" in stopped.error.hint
    assert world.run(Trigger.MIGRATION).counts["updated"] == 8
    assert world.run(Trigger.SCHEDULE).state is State.SUCCEEDED


def test_a_new_version_of_the_mapping_waits_for_a_person(world: World) -> None:
    """A database of the version before waits; a new one has nothing to wait for."""
    several(world)
    assert world.run(Trigger.SCHEDULE).state is State.SUCCEEDED
    world.store.update_pair(world.pair.id, rules="timezone=none footer=True")
    for trigger in (Trigger.SCHEDULE, Trigger.WEBHOOK, Trigger.MANUAL):
        stopped = world.run(trigger)
        assert (stopped.state, world.to_ably.requests) == (State.ABORTED, [])
        assert stopped.error is not None
        assert "a new version of milesync's mapping (1 before, 2 now)" in stopped.error.message
    assert world.run(Trigger.MIGRATION).state is State.SUCCEEDED
    assert world.run(Trigger.SCHEDULE).state is State.SUCCEEDED


# --- the second run, whatever is left open


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("switched", SWITCHED, ids=str)
def test_the_second_run_writes_nothing(world: World, switched: dict[str, Any], shape: str) -> None:
    """Each behaviour that the documents leave open, both ways, with each shape of the source."""
    world.behave(rail(shape), TestablySwitches(**switched))
    several(world)
    first = world.run(Trigger.MIGRATION)
    too_long = 1 if "max_name_length" in switched else 0
    assert (first.counts["created"], first.counts["quarantined"]) == (8 - too_long, too_long)
    assert len(world.differences()) == too_long
    for trigger in (Trigger.MIGRATION, Trigger.SCHEDULE, Trigger.MANUAL):
        again = world.run(trigger)
        assert world.to_ably.writes == {}
        assert again.counts["unchanged"] == 8 - too_long


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("switched", SWITCHED, ids=str)
def test_changes_arrive_and_then_nothing_is_written(
    world: World, switched: dict[str, Any], shape: str
) -> None:
    """A day's work at the source, with each behaviour both ways: in step after one run."""
    world.behave(rail(shape), TestablySwitches(**{**switched, "max_name_length": None}))
    seed(world.rail, 1, 25)
    world.run(Trigger.MIGRATION)
    edit_some(world.rail, 1, 10)
    assert world.run().problems == ()
    assert world.differences() == []
    world.run()
    assert world.to_ably.writes == {}


@contextmanager
def new_world(template: Path) -> Iterator[World]:
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine(f"sqlite:///{shutil.copy(template, folder)}")
        yield World(engine)
        engine.dispose()


@settings(phases=[Phase.explicit, Phase.reuse, Phase.generate])  # shrinking takes minutes
@given(
    st.builds(
        TestablySwitches,
        list_holds_subs=st.booleans(),
        status_lists_hold_subs=st.booleans(),
        list_holds_archived=st.booleans(),
        newest_first=st.booleans(),
        listing_delay=st.sampled_from([0.0, 100.0]),
        null_clears=st.booleans(),
        archived_subs_lock_status=st.booleans(),
        parent_dates_read_only=st.booleans(),
        max_name_length=st.sampled_from([None, 20]),
        trims_text=st.booleans(),
        echo_differs=st.booleans(),
        status_vocabulary=st.sampled_from(["active", "lifecycle"]),
        parent_key=st.sampled_from(["parent_id", "parent_milestone_id", "both"]),
        date_style=st.sampled_from(["Z", ".000Z", "+00:00"]),
        shows_date_mode=st.booleans(),
    ),
    st.sampled_from(SHAPES),
    st.data(),
)
def test_any_work_on_any_target_ends_in_runs_that_write_nothing(
    sqlite_template: Path, switches: TestablySwitches, shape: str, data: st.DataObject
) -> None:
    """Whatever people do at the source, and whatever the target is like: no write is repeated."""
    with new_world(sqlite_template) as world:
        world.behave(rail(shape), switches)
        several(world)
        world.run(Trigger.MIGRATION)
        for _ in range(2):
            for _ in range(data.draw(st.integers(0, 4))):
                _work(world, data)
            world.run()
            again = world.run()
            if world.to_ably.writes:
                _require_only_dates_of_parents(world, again)
                world.run()
            assert world.to_ably.writes == {}
            doubled = [found for found in world.marked().values() if len(found) > 1]
            assert doubled == []


def _require_only_dates_of_parents(world: World, report: RunReport) -> None:
    """Archiving a sub-milestone can change which date its parent shows: it is tried once more."""
    written = [change for change in world.changes if change.run_id == report.run]
    assert {name for change in written for name in change.after} <= set(DATE_FIELDS)
    refuses = world.ably.switches.parent_dates_read_only  # else it takes them, and shows others
    states = {ChangeState.REFUSED} if refuses else {ChangeState.REFUSED, ChangeState.DONE}
    assert {change.state for change in written} <= states


def _work(world: World, data: st.DataObject) -> None:
    """One thing that somebody does at the source."""
    there = [int(str(row["id"])) for row in world.rail.everything(1)]
    does = data.draw(st.sampled_from(["edit", "edit", "add", "delete"]))
    if does == "add" or not there:
        world.add(data.draw(st.sampled_from(["New", "Open", "A very long name, for some"])))
        return
    chosen = data.draw(st.sampled_from(there))
    if does == "delete":
        world.rail.delete(chosen)
        return
    fields = st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from(["X", "Renamed to something quite long"]),
            "description": st.sampled_from([None, "", " padded ", "text"]),
            "due_on": st.sampled_from([None, 1_780_000_000]),
            "start_on": st.sampled_from([None, 1_760_000_000]),
            "is_completed": st.booleans(),
        },
    )
    world.edit(chosen, **data.draw(fields))


def test_the_proof_asks_for_each_of_a_mass_that_was_deleted_meanwhile(world: World) -> None:
    """As `verify` does: it says how many are gone since, and not that it could not read them."""
    many = [world.add(f"M{number}") for number in range(15)]
    world.run(Trigger.MIGRATION)
    world.edit(many[0], name="Renamed")

    def deleted_while_it_writes(method: str, _: str) -> None:
        if method == "PATCH":
            for id_ in many[1:]:
                world.rail.delete(id_)
            world.to_ably.before = lambda _method, _what: None

    world.to_ably.before = deleted_while_it_writes
    report = world.run(Trigger.MIGRATION)
    assert report.verified is not None
    assert (report.verified["in_step"], report.verified["changed_since"]) == (False, 14)
    assert world.ably.everything(PROJECT) == world.ably.live(PROJECT), "a guard is for the next run"
    assert report.state is State.SUCCEEDED


def test_the_proof_follows_a_milestone_that_was_made_anew_meanwhile(world: World) -> None:
    """What carries its address under another id is adopted, so that an undo knows it."""
    one, two = world.add("One"), world.add("Two")
    world.run(Trigger.MIGRATION)
    world.edit(one, name="Renamed")
    restored: list[str] = []

    def restored_while_it_writes(method: str, _: str) -> None:
        if method == "PATCH" and not restored:
            (row,) = [row for row in world.ably.everything(PROJECT) if row["name"] == "Two"]
            world.ably.remove(str(row["id"]))
            told = {name: row[name] for name in ("name", "description", *DATE_FIELDS)}
            restored.append(str(world.ably.create(PROJECT, told)["id"]))

    world.to_ably.before = restored_while_it_writes
    report = world.run(Trigger.MIGRATION)
    assert report.verified is not None
    assert (report.state, report.verified["in_step"]) == (State.SUCCEEDED, True)
    assert world.links[two].testably_id == restored[0]
    assert world.run(Trigger.MANUAL).counts["adopted"] == 0


def test_a_migration_whose_every_write_was_refused_says_that_both_sides_differ(
    world: World,
) -> None:
    """It read both sides and changed nothing, so that is its proof; nobody edited meanwhile."""
    one = world.add("One")
    world.add("Two")
    world.run(Trigger.MIGRATION)
    world.behave(ably=replace(world.ably.switches, max_name_length=10))
    world.edit(one, name="Longer than that")
    first = world.run(Trigger.MIGRATION)
    assert (first.state, first.counts["quarantined"]) == (State.PARTIAL, 1)
    world.edit(2, name="Second")
    second = world.run(Trigger.MIGRATION)
    for report in (first, second):
        assert report.verified is not None
        assert (report.verified["in_step"], report.verified["changed_since"]) == (False, 0)


def test_a_refusal_is_nothing_that_was_changed_since(world: World) -> None:
    """Where others were written, both sides are read again; what was refused is left as refused."""
    one, two = world.add("One"), world.add("Two")
    world.run(Trigger.MIGRATION)
    world.behave(ably=replace(world.ably.switches, max_name_length=10))
    world.edit(one, name="Longer than that")
    world.edit(two, name="Second")
    verified = world.run(Trigger.MIGRATION).verified
    assert verified is not None
    assert (verified["in_step"], verified["changed_since"]) == (False, 0)


@pytest.mark.parametrize("names", [["R & D", "R &amp; D"], ["R & D"], ["R &amp; D"]])
def test_a_name_is_first_of_all_that_which_it_is_exactly(world: World, names: list[str]) -> None:
    """Of two that read the same, each is adopted for the one that has its very name."""
    shown = ["R & D", "R &amp; D"]
    ids = {name: str(world.ably.create(PROJECT, {"name": name})["id"]) for name in shown}
    sources = {name: world.add(name) for name in names}
    report = world.run(Trigger.MIGRATION, adopt_by_name=True)
    assert report.counts["adopted"] == len(names)
    assert {n: world.id_of(id_) for n, id_ in sources.items()} == {n: ids[n] for n in names}


def test_the_proof_adopts_nothing_by_its_name_that_the_plan_did_not_show(world: World) -> None:
    """It appears in TestRail during the run; Testably has one of a person's with its name."""
    world.add("One")
    theirs = str(world.ably.create(PROJECT, {"name": "Late", "description": "Theirs"})["id"])
    late: list[int] = []

    def meanwhile(method: str, _what: str) -> None:
        if method == "POST" and not late:
            late.append(world.add("Late"))

    world.to_ably.before = meanwhile
    world.run(Trigger.MIGRATION, adopt_by_name=True)
    assert world.ably.get(PROJECT, theirs)["description"] == "Theirs"
    assert theirs not in {link.testably_id for link in world.links.values()}
