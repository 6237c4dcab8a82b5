"""What the proofs have found, each as the shortest story that shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from mappings.footer import Footer, marker_url, with_footer
from mappings.milestone import MappingRules
from tests.proofs.world import FaultScript, World
from tests.support.mortal import Boundaries, Died
from tests.support.world import IDENTITY, PROJECT, URL
from worker.sandbox.faults import FaultKind
from worker.sandbox.rules import Record
from worker.sandbox.switches import TestablySwitches
from worker.sync.options import OnSourceDelete, Options, Policy, RunMode, Trigger
from worker.sync.read.scope import Scope
from worker.sync.report import RunReport, State
from worker.sync.run import run_pair
from worker.sync.undo import undo
from worker.sync.verify import verify

MAY = 1_777_593_600
JUNE = 1_780_272_000


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def add(world: World, name: str, parent: int | None = None, **more: object) -> int:
    """A new TestRail milestone with a start date; its id."""
    done = more.pop("is_completed", False)
    body: Record = {"name": name, "parent_id": parent, "start_on": MAY, **more}
    made = int(str(world.rail.add(1, body)["id"]))
    if done:
        world.rail.update(made, {"is_completed": True})
    return made


def target_of(world: World, testrail_id: int) -> Record:
    """The one target that milesync made for a milestone."""
    [id_] = [id_ for id_, owner in world.made_by_us.items() if owner == testrail_id]
    return world.ably.get(PROJECT, id_)


def writes_nothing_more(world: World) -> bool:
    """Whether another migration leaves the target alone."""
    before = len(world.writes)
    world.migrate()
    return len(world.writes) == before


def test_what_changed_while_a_create_was_unclear_is_pushed_in_the_same_run(world: World) -> None:
    """A create that is found again is brought up to date at once, not by the run after."""
    one = add(world, "Before")
    _die(world, "before POST", late_by=39.0)
    world.rail.update(one, {"name": "After"})
    assert world.migrate().state is State.SUCCEEDED
    assert target_of(world, one)["name"] == "After"
    assert writes_nothing_more(world)


def test_an_edit_before_a_create_is_found_again_is_an_edit(world: World) -> None:
    """What a person wrote between an unclear create and the look for it follows the policy."""
    one = add(world, "Ours")

    def edit() -> None:
        world.clock.sleep(2)
        world.person_edits(world.target_ids()[0], {"name": "Theirs"})

    point = Boundaries(meanwhile=edit, meanwhile_on="after POST")
    faults = FaultScript([FaultKind.RESET_AFTER])
    run_pair(world.context(point=point, faults=faults), Options(Trigger.MIGRATION))
    world.migrate()
    assert target_of(world, one)["name"] == "Ours"
    assert writes_nothing_more(world)


def test_what_a_cut_off_create_left_behind_is_archived_with_its_source(world: World) -> None:
    """The source was deleted before the create was found again: the same run archives it."""
    one = add(world, "Gone soon")
    _die(world, "before POST", late_by=39.0)
    world.rail.delete(one)
    assert world.migrate().counts["archived"] == 1
    assert target_of(world, one)["status"] == "archived"
    assert writes_nothing_more(world)


def test_a_cut_off_create_that_left_nothing_needs_nothing_once_its_source_is_gone(
    world: World,
) -> None:
    """The source was deleted and the create never arrived: nothing is done."""
    one = add(world, "Gone soon")
    _die(world, "before POST")
    world.rail.delete(one)
    assert world.migrate().state is State.SUCCEEDED
    assert world.target_ids() == []
    assert writes_nothing_more(world)


@pytest.mark.parametrize("on_source_delete", OnSourceDelete)
def test_two_targets_of_a_cut_off_create_are_told_although_the_source_is_gone(
    world: World, on_source_delete: OnSourceDelete
) -> None:
    """Which of two the create left behind is for a person to say, also without a source."""
    one = add(world, "Gone soon")
    _die(world, "before POST", late_by=39.0)
    _adopted_later(world, one)
    world.rail.delete(one)
    policy = Policy(on_source_delete=on_source_delete)
    assert _kinds(world.migrate(policy)) == {"several_marked"}
    assert [row["status"] for row in world.ably.everything(PROJECT)] == ["active", "active"]


def test_a_date_that_is_silently_ignored_is_told() -> None:
    """A parent whose sub-milestones are not listed takes no date: every mouth says so."""
    world = World(ably=TestablySwitches(list_holds_subs=False, parent_dates_read_only=False))
    one = add(world, "Parent")
    world.migrate()
    above = str(target_of(world, one)["id"])
    below = world.make_target({"name": "Theirs", "parent_id": above})
    world.person_edits(below, {"start_date": "2026-01-01T00:00:00Z"})
    world.rail.update(one, {"start_on": JUNE})
    report = world.migrate()
    assert "altered" in _kinds(report)
    assert [one.kind for one in verify(world.context()).differences] == ["altered"]
    assert writes_nothing_more(world)
    assert _kinds(world.migrate()) == {"altered"}
    world.close()


def test_the_dates_of_a_parent_whose_sub_milestones_fail_are_pushed() -> None:
    """An adopted parent gets its dates although the sub-milestone it waits for is refused."""
    world = World(ably=TestablySwitches(max_name_length=20))
    one = add(world, "Parent", due_on=JUNE)
    above = _adopted_later(world, one)
    add(world, "A name that is much too long", parent=one)
    assert _kinds(world.migrate()) == {"refused"}
    assert world.ably.get(PROJECT, above)["due_date"] == "2026-06-01T00:00:00Z"
    assert writes_nothing_more(world)
    world.close()


def test_the_status_of_a_parent_whose_sub_milestones_fail_is_pushed() -> None:
    """A status that waited for sub-milestones is written in the same run if they do not come."""
    world = World(ably=TestablySwitches(max_name_length=20))
    one = add(world, "Parent")
    world.migrate()
    world.rail.update(one, {"is_completed": True})
    add(world, "A name that is much too long", parent=one)
    assert _kinds(world.migrate()) == {"refused"}
    assert target_of(world, one)["status"] == "completed"
    assert writes_nothing_more(world)
    world.close()


def test_the_status_of_a_parent_follows_its_last_sub_milestone_s_archiving() -> None:
    """The run that archives the last sub-milestone writes the status that was derived before."""
    world = World(ably=TestablySwitches(archived_subs_lock_status=False))
    one = add(world, "Parent", is_completed=True)
    two = add(world, "Below", parent=one)
    world.migrate()
    assert target_of(world, one)["status"] == "active"
    world.rail.delete(two)
    assert world.migrate().state is State.SUCCEEDED
    assert target_of(world, one)["status"] == "completed"
    assert writes_nothing_more(world)
    world.close()


def test_a_person_s_migration_archives_again_what_an_undo_revived(world: World) -> None:
    """An undone archiving is held, until a person migrates; then the source is still gone."""
    one = add(world, "Gone")
    world.migrate()
    world.rail.delete(one)
    report = world.migrate()
    assert report.counts["archived"] == 1
    undo(world.context(), report.run or "")
    run_pair(world.context(), Options(Trigger.SCHEDULE))
    assert target_of(world, one)["status"] == "active"
    world.migrate()
    assert target_of(world, one)["status"] == "archived"
    assert verify(world.context()).in_step


def test_an_undo_waits_for_what_a_dead_one_had_under_way(world: World) -> None:
    """The claim of an undo that died does not stop the next one from finishing."""
    for name in ("One", "Two"):
        add(world, name)
    run = world.migrate().run or ""
    point = _Boundary("before PATCH")
    with pytest.raises(Died):
        undo(world.context(point=point, dies_late_by=39.0), run)
    assert undo(world.context(), run).state is State.SUCCEEDED
    assert world.ably.live(PROJECT) == []


def test_a_move_that_only_a_refresh_saw_is_told_by_the_next_full_run(world: World) -> None:
    """A refresh that does not read the new parent proves no agreement; the move is not lost."""
    one, two = add(world, "One"), add(world, "Two")
    world.migrate()
    world.rail.update(one, {"parent_id": two})
    mode = RunMode(exclusive=False)
    run_pair(world.context(), Options(Trigger.WEBHOOK), Scope((one,)), mode=mode)
    assert _kinds(world.migrate()) == {"immovable"}


def test_changed_settings_reach_everything_although_the_first_run_with_them_died(
    world: World,
) -> None:
    """A run with another field mapping dies in the middle; the next one still rewrites the rest."""
    for name in ("One", "Two", "Three"):
        add(world, name, due_on=MAY + 3600)
    world.migrate()
    world.migrate()
    berlin = MappingRules(URL, ZoneInfo("Europe/Berlin"))
    dying = replace(world.context(point=_Boundary("after PATCH")), rules=berlin)
    with pytest.raises(Died):
        run_pair(dying, Options(Trigger.MIGRATION))
    resuming = replace(world.context(), rules=berlin)
    assert run_pair(resuming, Options(Trigger.MIGRATION)).counts["updated"] == 2
    assert verify(replace(world.context(), rules=berlin)).in_step


def test_a_lost_database_finds_what_was_moved_where_lists_hold_no_sub_milestones() -> None:
    """A moved milestone still hangs below its old parent; it is found there, not created again."""
    world = World(ably=TestablySwitches(list_holds_subs=False))
    one = add(world, "Parent")
    two = add(world, "Below", parent=one)
    world.migrate()
    world.rail.update(two, {"parent_id": None})
    world.lose_database()
    assert world.migrate().counts["adopted"] == 2
    assert world.doubles() == {}
    world.close()


class _Boundary(Boundaries):
    """Dies at the first boundary of this name."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def __call__(self, what: str) -> None:
        if what == self._name:
            self.dies_at = self.passed + 1
        super().__call__(what)


def _die(world: World, name: str, late_by: float | None = None) -> None:
    """A migration that dies at the first boundary of this name."""
    context = world.context(point=_Boundary(name), dies_late_by=late_by)
    with pytest.raises(Died):
        run_pair(context, Options(Trigger.MIGRATION))


def _adopted_later(world: World, testrail_id: int) -> str:
    """A target that a migration will adopt: it carries the marker, and nothing else is right."""
    text = with_footer("Old", Footer(marker_url(URL, testrail_id)))
    return world.make_target({"name": "Old", "description": text})


def _kinds(report: RunReport) -> set[str]:
    return {str(problem["kind"]) for problem in report.problems}


def test_a_create_that_somebody_else_found_keeps_its_history() -> None:
    """A refresh finds it while the run that sent it looks as well; the run says nothing more."""
    world = World()
    one = add(world, "Gone at the target")
    world.migrate()
    world.ably.remove(world.target_ids()[0])

    def refresh() -> None:
        scope, mode = Scope((one,)), RunMode(exclusive=False)
        run_pair(world.context(), Options(Trigger.WEBHOOK), scope, mode=mode)

    for at in range(1, 60):
        point = Boundaries(meanwhile_at=at, meanwhile=refresh)
        faults = FaultScript([FaultKind.SERVER_ERROR_AFTER], ())
        run_pair(world.context(point=point, faults=faults), Options(Trigger.MIGRATION), Scope())
        world.migrate()
        pair = world.store.find_pair(IDENTITY)
        assert pair is not None
        [link] = world.store.links(pair.id).values()
        made = world.store.journal.changes(pair.id, testably_id=link.testably_id)
        assert "done" in {change.state.value for change in made if change.kind == "create"}, at
        world.ably.remove(world.target_ids()[0])
    world.close()
