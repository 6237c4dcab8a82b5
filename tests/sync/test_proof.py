"""The proof at the end of a migration: what it finds to push, and what is told of that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mappings.overview import overview
from tests.proofs.slicing import pairs_in
from tests.support.build import FEBRUARY, JANUARY
from tests.support.world import PROJECT, World
from worker.errors import Done, NotFound, ServerTrouble
from worker.sandbox.rules import Record
from worker.sync.options import Trigger
from worker.sync.proof import Proof
from worker.sync.report import RunReport, State
from worker.sync.run import Run

MARCH = 1_772_323_200


def meanwhile(world: World, does: Callable[[], object], at: str = "PATCH") -> None:
    """Somebody does this while the next run sends its first PATCH, or whatever it is sent ``at``.

    So that is after the run has read both sides, and before its proof does.
    """

    def once(method: str, _what: str) -> None:
        if method == at:
            world.to_ably.before = lambda _method, _what: None
            does()

    world.to_ably.before = once


def counted(report: RunReport) -> dict[str, int]:
    return {name: number for name, number in report.counts.items() if number}


def in_step(world: World) -> bool | None:
    """What is recorded of the pair."""
    return overview(world.engine, [world.pair])[world.pair.id].in_step


def migrated(world: World, *names: str) -> list[int]:
    ids = [world.add(name) for name in names]
    world.run(Trigger.MIGRATION)
    return ids


def test_what_the_proof_writes_is_counted_once(world: World) -> None:
    """And recorded, whatever came of the milestone before; what was written stays counted so."""
    one, two, gone, _ = migrated(world, "One", "Two", "Gone", "Left alone")
    world.edit(one, name="First")

    def everything() -> None:
        world.edit(one, name="First again")
        world.edit(two, name="Second")
        world.rail.delete(gone)
        world.add("Child", world.add("New"))

    meanwhile(world, everything)
    report = world.run(Trigger.MIGRATION)
    assert counted(report) == {"created": 2, "updated": 2, "archived": 1, "unchanged": 1}
    assert report.state is State.SUCCEEDED
    assert (report.verified or {})["in_step"]
    [recorded] = world.context().runs.latest(world.pair.id, 1)
    assert recorded.counts == report.counts


def test_what_waited_and_the_proof_could_do_is_counted_as_done(world: World) -> None:
    """A name that was taken is free by then: it is no conflict of the run any more."""
    one, _ = migrated(world, "One", "Two")
    taken = str(world.ably.create(PROJECT, {"name": "Taken"})["id"])
    world.add("Taken")
    world.edit(one, name="First")
    meanwhile(world, lambda: world.ably.update(PROJECT, taken, {"name": "Another"}))
    report = world.run(Trigger.MIGRATION)
    assert counted(report) == {"created": 1, "updated": 1, "unchanged": 1}
    assert (report.state, report.problems) == (State.SUCCEEDED, ())


def test_what_the_proof_finds_refused_is_counted_so(world: World) -> None:
    """The milestone agreed when the run read it; now it needs a person."""
    one, two = migrated(world, "One", "Two")
    world.edit(one, name="First")

    def too_long() -> None:
        world.edit(two, name="L" * 300)
        world.ably.switches = world.ably.switches.__class__(max_name_length=255)

    meanwhile(world, too_long)
    report = world.run(Trigger.MIGRATION)
    assert counted(report) == {"updated": 1, "quarantined": 1}
    assert report.state is State.PARTIAL


def test_what_a_proof_wrote_before_it_failed_is_counted(world: World) -> None:
    """What it would have found is not known; what it has written is."""
    one, two, three = migrated(world, "One", "Two", "Three")
    world.edit(one, name="First")

    def edited() -> None:
        world.edit(two, name="Second")
        world.edit(three, name="Third")

    meanwhile(world, edited)
    answered: list[str] = []

    def goes_away(method: str) -> None:
        answered.append(method)
        if answered == ["PATCH"] * 2:
            world.ably.projects.discard(PROJECT)

    world.target.after = goes_away
    report = world.run(Trigger.MIGRATION)
    assert (report.state, (report.verified or {})["in_step"]) == (State.PARTIAL, None)
    assert counted(report) == {"updated": 2, "unchanged": 1}


def test_what_a_proof_left_to_push_is_known_of_the_pair(world: World) -> None:
    """Someone edits while the proof writes: the report and the record say the same of it (R10)."""
    (one,) = migrated(world, "One")
    world.run(Trigger.MIGRATION)
    world.edit(one, due_on=1_790_000_000)
    edits = [{"name": "Edited"}, {"start_date": "2026-01-01T00:00:00Z"}]

    def after(method: str) -> None:
        if method == "PATCH" and edits:
            world.ably.update(PROJECT, world.id_of(one), edits.pop(0))

    world.target.after = after
    verified = world.run(Trigger.MIGRATION).verified or {}
    assert (verified["in_step"], verified["changed_since"]) == (False, 1)
    assert in_step(world) is False
    world.run()
    assert in_step(world) is None
    world.run(Trigger.MIGRATION)
    assert in_step(world) is True


@pytest.mark.parametrize("seconds", [4.0, 7.0, 1000.0])
def test_what_the_proof_writes_is_counted_in_whatever_slices_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """Those that only prove know of everything else by what the proof has read."""
    with pairs_in(tmp_path) as make:
        pair = make()
        rail = pair.rail.model
        edited: list[object] = []
        for number in range(1, 13):
            rail.add(1, {"name": f"M{number}", "start_on": 1_772_366_400})
        assert pair.in_one_go().counts["created"] == 12
        for number in range(1, 7):
            rail.update(number, {"name": f"Renamed {number}"})
        reads = Run._read_again

        def reads_what_was_edited(run: Run) -> Proof:
            if not edited:
                edited.append(rail.add(1, {"name": "New"}))
                rail.update(6, {"name": "Renamed again"})
                rail.update(7, {"name": "Renamed too"})
                rail.delete(8)
            return reads(run)

        monkeypatch.setattr(Run, "_read_again", reads_what_was_edited)
        report = pair.in_slices(seconds)
        recorded = pair.record(report.run or "")
        assert (pair.slices > 1) is (seconds < 100)
    assert counted(report) == {"created": 1, "updated": 7, "archived": 1, "unchanged": 4}
    assert recorded.counts == report.counts


# --- what it writes


@pytest.mark.parametrize("below", [False, True])
def test_what_is_not_adopted_by_its_name_is_not_adopted_beside_something_else(
    world: World, below: bool
) -> None:
    """And nothing is created below it: it would wait there, and be told as what needs a person."""
    world.add("One")
    theirs = str(world.ably.create(PROJECT, {"name": "Late", "description": "Theirs"})["id"])
    late: list[int] = []

    def added() -> None:
        late.append(world.add("Late"))
        world.add("Child" if below else "Late too", late[0] if below else None)

    meanwhile(world, added, at="POST")
    report = world.run(Trigger.MIGRATION, adopt_by_name=True)
    assert world.ably.get(PROJECT, theirs)["description"] == "Theirs"
    assert theirs not in {link.testably_id for link in world.links.values()}
    assert counted(report) == {"created": 1 if below else 2}
    assert (report.state, report.problems) == (State.SUCCEEDED, ())
    assert report.verified is not None
    left = 2 if below else 1
    assert (report.verified["in_step"], report.verified["changed_since"]) == (False, left)
    world.run(Trigger.MIGRATION, adopt_by_name=True)
    assert world.id_of(late[0]) == theirs
    assert world.differences() == []


def test_the_proof_of_a_reviewed_plan_writes_nothing(world: World) -> None:
    """Nobody has reviewed it. What it finds is counted; the next run does it."""
    one, two, gone, four = migrated(world, "One", "Two", "Gone", "Four")
    world.edit(one, name="First")

    def everything() -> None:
        world.edit(two, name="Second")
        world.rail.delete(gone)
        world.add("New")
        world.ably.update(PROJECT, world.id_of(four), {"name": "By hand"})

    meanwhile(world, everything)
    report = world.run(Trigger.MIGRATION, reviewed=True)
    assert world.to_ably.writes == {"PATCH": 1}
    assert counted(report) == {"updated": 1, "unchanged": 3}
    assert (report.state, report.problems) == (State.SUCCEEDED, ())
    assert report.verified is not None
    assert (report.verified["in_step"], report.verified["changed_since"]) == (False, 4)
    world.run()
    assert world.differences() == []


def test_what_the_proof_created_is_not_taken_for_deleted_by_a_404(world: World) -> None:
    """It was in no list of the proof, nor missing from one: so nothing is known of it (R4)."""
    (one,) = migrated(world, "One")
    world.edit(one, name="First")
    known = world.id_of(one)

    def deny(method: str, what: str) -> None:
        if method == "GET" and what.startswith("milestones/") and not what.endswith(known):
            raise NotFound("Testably", "There is no such milestone", status=404)

    def added() -> None:
        world.add("New")
        world.to_ably.before = deny

    meanwhile(world, added)
    report = world.run(Trigger.MIGRATION)
    assert (report.state, (report.verified or {})["in_step"]) == (State.PARTIAL, None)
    assert world.links[2].has_target
    world.to_ably.before = lambda *_: None
    assert world.run(Trigger.MIGRATION).state is State.SUCCEEDED
    assert world.to_ably.writes == {}


def test_the_dates_of_a_parent_that_are_not_exact_are_counted_as_the_exempt_ones_are(
    world: World,
) -> None:
    """Each field that differs, in the first run and in those that find it as it was."""
    both = world.add("Both", start_on=JANUARY, due_on=MARCH)
    world.add("Below both", both, start_on=FEBRUARY, due_on=FEBRUARY)
    one = world.add("One", start_on=JANUARY, due_on=MARCH)
    world.add("Below one", one, start_on=JANUARY, due_on=FEBRUARY)
    for _ in range(3):
        report = world.run(Trigger.MIGRATION)
        assert report.not_exact["parent_dates"] == 3
        assert (report.verified or {})["exempt"]["parent_dates"] == 4


@pytest.mark.parametrize("reviewed", [False, True])
def test_what_waits_for_a_parent_that_fails_is_nothing_that_was_changed_since(
    world: World, monkeypatch: pytest.MonkeyPatch, reviewed: bool
) -> None:
    """Nobody edits anything: it is planned again because its parent has failed in this run."""
    parent = world.add("Parent")
    for name in ("Child", "Another"):
        world.add(name, parent)
    create = world.ably.create

    def fails(project: str, body: object) -> Record:
        if "'Parent'" in str(body):
            raise ServerTrouble("Testably", "Testably failed.", done=Done.MAYBE)
        return create(project, body)

    monkeypatch.setattr(world.ably, "create", fails)
    for number in range(3):
        world.add(f"Beside {number}")
        report = world.run(Trigger.MIGRATION, reviewed=reviewed)
        assert counted(report)["created"] == 1
        verified = report.verified or {}
        assert (verified["in_step"], verified["changed_since"]) == (False, 0)


def test_what_comes_below_a_parent_that_has_not_failed_is_changed_since(world: World) -> None:
    """Somebody has added both after the plan that was reviewed."""
    (one,) = migrated(world, "One")
    world.edit(one, name="First")
    meanwhile(world, lambda: world.add("Child", world.add("New")))
    report = world.run(Trigger.MIGRATION, reviewed=True)
    assert (report.verified or {})["changed_since"] == 2
