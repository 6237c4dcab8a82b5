"""Writes that were carried out although no answer said so, and whose values the target shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from mappings.rows import ChangeState
from tests.proofs.slicing import Pair, migrated, pairs_in
from tests.support.mortal import Boundaries
from tests.support.world import PROJECT, World
from worker.sync.options import OnTargetEdit, Policy, Trigger
from worker.sync.report import RunReport, State
from worker.sync.verify import verify

ALWAYS = 1000


def counted(report: RunReport) -> dict[str, int]:
    return {name: number for name, number in report.counts.items() if number}


def lose_answers_about(world: World, *testrail_ids: int) -> None:
    """Each PATCH of these is carried out, and answered 500."""
    for id_ in testrail_ids:
        about = f"milestones/{world.id_of(id_)}"
        world.to_ably.faults.script(
            "server_error_after", times=ALWAYS, method="PATCH", contains=about
        )


def states(world: World, run: str | None) -> dict[int, list[ChangeState]]:
    """What the journal says of the writes of each milestone in a run."""
    found: dict[int, list[ChangeState]] = {}
    for change in world.store.journal.changes(world.pair.id, run_id=run):
        found.setdefault(change.testrail_id, []).append(change.state)
    return found


def test_a_write_whose_answers_were_lost_is_counted_as_what_the_proof_saw_it_do(
    world: World,
) -> None:
    """The journal then says that it was carried out, and so does the record of the run."""
    one, two, three, gone, _ = [world.add(name) for name in ("One", "Two", "Three", "Gone", "Five")]
    world.run(Trigger.MIGRATION)
    for id_ in (one, two, three):
        world.edit(id_, description="New")
    world.rail.delete(gone)
    lose_answers_about(world, one, two, gone)
    report = world.run(Trigger.MIGRATION)
    assert (report.state, report.problems) == (State.SUCCEEDED, ())
    assert counted(report) == {"updated": 3, "archived": 1, "unchanged": 1}
    [recorded] = world.context().runs.latest(world.pair.id, 1)
    assert recorded.counts == report.counts
    last = {id_: every[-1] for id_, every in states(world, report.run).items()}
    assert set(last.values()) == {ChangeState.DONE}


def test_what_the_proof_itself_wrote_without_an_answer_is_counted(world: World) -> None:
    """Somebody edits a milestone after the run has read it, so that its proof sends that."""
    one, two = world.add("One"), world.add("Two")
    world.run(Trigger.MIGRATION)
    world.edit(one, name="First")
    lose_answers_about(world, two)

    def edited(method: str) -> None:
        if method == "PATCH" and world.rail.get(two)["name"] == "Two":
            world.edit(two, name="Second")

    world.target.after = edited
    report = world.run(Trigger.MIGRATION)
    assert (report.state, counted(report)) == (State.SUCCEEDED, {"updated": 2})
    assert (report.verified or {})["in_step"]


def test_a_write_that_was_not_carried_out_is_not_counted_as_done(world: World) -> None:
    """The source took it back before the proof, so both sides agree all the same."""
    one, two = world.add("One"), world.add("Two")
    world.run(Trigger.MIGRATION)
    world.edit(one, name="First")
    world.edit(two, name="Second")
    about = f"milestones/{world.id_of(one)}"
    world.to_ably.faults.script("server_error", times=ALWAYS, method="PATCH", contains=about)

    def taken_back(method: str) -> None:
        if method == "PATCH":
            world.edit(one, name="One")

    world.target.after = taken_back
    report = world.run(Trigger.MIGRATION)
    assert counted(report) == {"updated": 1, "unchanged": 1}
    assert set(states(world, report.run)[one]) == {ChangeState.AMBIGUOUS}


@pytest.mark.parametrize("verifies", [False, True])
def test_a_later_reading_that_finds_the_value_there_tells_the_journal(
    world: World, verifies: bool
) -> None:
    """A sync has no proof: what became of it is not known at its end, and is by the next."""
    one, gone = world.add("One"), world.add("Gone")
    world.run(Trigger.MIGRATION)
    world.edit(one, name="First")
    world.rail.delete(gone)
    lose_answers_about(world, one, gone)
    first = world.run()
    assert counted(first) == {"waiting": 2}
    if verifies:
        assert verify(world.context()).in_step
    else:
        assert counted(world.run()) == {"unchanged": 2}
    last = {id_: every[-1] for id_, every in states(world, first.run).items()}
    assert last == {one: ChangeState.DONE, gone: ChangeState.DONE}


@pytest.mark.parametrize("wins", OnTargetEdit)
def test_what_was_archived_so_is_opened_again_once_testrail_has_it_again(
    world: World, wins: OnTargetEdit
) -> None:
    """As after an archive that was answered: Testably's list leaves it out, and the link tells."""
    world.policy = Policy(wins)
    world.add("One")
    gone = world.add("Gone")
    world.run(Trigger.MIGRATION)
    row = world.rail.get(gone)
    world.rail.delete(gone)
    lose_answers_about(world, gone)
    world.run()
    world.to_ably.faults.clear()
    assert verify(world.context()).in_step
    world.rail.plant(row, project_id=1)
    assert counted(world.run()) == {"updated": 1, "unchanged": 1}
    assert world.in_target(gone)["status"] == "active"
    assert verify(world.context()).in_step


def in_step_and_renamed(pair: Pair, count: int, renamed: int) -> None:
    """So many milestones, the first of which TestRail has renamed since both sides agreed."""
    for number in range(1, count + 1):
        pair.rail.model.add(1, {"name": f"M{number}", "start_on": 1_772_366_400})
    migrated(pair)
    for number in range(1, renamed + 1):
        pair.rail.model.update(number, {"name": f"Renamed {number}"})


@pytest.mark.parametrize("seconds", [4.0, 7.0, 20.0, 1000.0])
def test_they_are_counted_in_whatever_slices_the_run_is_done(
    tmp_path: Path, seconds: float
) -> None:
    with pairs_in(tmp_path) as make:
        pair = make()
        in_step_and_renamed(pair, 12, 8)
        for number in (2, 5, 8):
            about = f"milestones/{pair.target_of(number)}"
            pair.ably.faults.script("server_error_after", times=6, method="PATCH", contains=about)
        report = pair.in_slices(seconds)
        recorded = pair.record(report.run or "")
    assert counted(report) == {"updated": 8, "unchanged": 4}
    assert recorded.counts == report.counts


def test_what_a_slice_wrote_as_its_process_died_is_counted(tmp_path: Path) -> None:
    """The write was carried out, and nobody was left to hear the answer."""
    with pairs_in(tmp_path) as make:
        pair = make()
        in_step_and_renamed(pair, 6, 3)
        ids = [pair.target_of(number) for number in (1, 2)]
        address = f"{pair.ably.url}/v1/projects/{PROJECT}/milestones"
        points = {
            number: Boundaries(dies_on=f"after PATCH {address}/{id_}")
            for number, id_ in enumerate(ids, 1)
        }
        report = pair.in_slices(1000.0, point_of=points.get)
        assert [point.dead for point in points.values()] == [True, True]
        assert pair.ably.count("PATCH") == 3
    assert counted(report) == {"updated": 3, "unchanged": 3}
