"""A run that reads what a quiet run read is as quiet; any difference makes it read and decide."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete

from mappings.link import Link
from mappings.link_record import LinkState
from mappings.quiet import QuietReadings
from mappings.rows import PairIdentity
from mappings.tables import quiet_readings
from tests.support.database import fresh_engine
from tests.support.world import IDENTITY, PROJECT, URL, World
from tests.sync.test_unchanged import family, happen
from worker.sandbox.rules import Problem
from worker.sync.options import OnTargetEdit, Policy, Trigger
from worker.sync.report import RunReport, State

SEEDS = 15
DAY = 86_400


def told(report: RunReport) -> dict[str, Any]:
    """What a run says, without its own id."""
    return {name: fact for name, fact in report.as_json().items() if name != "run"}


@contextmanager
def closing_engine(folder: Path) -> Iterator[Engine]:
    folder.mkdir()
    engine = fresh_engine(folder)
    yield engine
    engine.dispose()


def forget(world: World) -> None:
    """Have the next run read and decide, whatever was before."""
    with world.engine.begin() as connection:
        connection.execute(delete(quiet_readings))


class Looks:
    """Whether runs look into what they read: those that do read the links."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self._world, self._looked = world, 0
        outlines = world.store.outlines

        def counted(pair_id: int) -> Any:
            self._looked += 1
            return outlines(pair_id)

        monkeypatch.setattr(world.store, "outlines", counted)

    def __call__(self, trigger: Trigger = Trigger.MANUAL, **options: Any) -> bool:
        """Whether a run does now; it comes to a good end."""
        before = self._looked
        assert self._world.run(trigger, **options).state is State.SUCCEEDED
        return self._looked > before


@pytest.fixture
def quiet(world: World) -> World:
    """Three milestones, one below another, in step; the last run had nothing to do."""
    root = world.add("Release 1", due_on=1_773_000_000)
    world.add("Sprint 1", root)
    world.add("Release 2", start_on=int(world.clock.now().timestamp()) + 10 * DAY)
    for trigger in (Trigger.MIGRATION, Trigger.MANUAL, Trigger.MANUAL):
        assert world.run(trigger).state is State.SUCCEEDED
    return world


@pytest.fixture
def looks(quiet: World, monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(quiet, monkeypatch)


# --- the same


@pytest.mark.parametrize("trigger", [Trigger.MANUAL, Trigger.SCHEDULE])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_lives_are_the_same_with_and_without_quiet_readings(
    tmp_path: Path, seed: int, trigger: Trigger
) -> None:
    """Every report, its requests among it, and what Testably holds in the end."""

    def life(world: World, before: Callable[[World], None]) -> object:
        dice, reports = random.Random(seed), []
        for _ in range(4):
            family(world, dice)
        reports.append(world.run(Trigger.MIGRATION))
        for _ in range(10):
            if dice.random() < 0.4:
                with suppress(Problem):  # what Testably derives nobody can edit
                    happen(world, dice)
            before(world)
            reports.append(world.run(trigger))
        return [told(report) for report in reports], world.ably.everything(PROJECT)

    with closing_engine(tmp_path / "one") as one, closing_engine(tmp_path / "other") as other:
        assert life(World(one), lambda _: None) == life(World(other), forget)


def test_a_quiet_run_reads_no_link_and_says_what_was_said_before(
    quiet: World, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(quiet)
    decided = quiet.run()
    monkeypatch.setattr(quiet.store, "links", None)
    assert not looks()
    again = quiet.run()
    assert told(again) == told(decided)
    assert again.verified is not None
    assert (again.verified["compared"], again.counts["unchanged"]) == (3, 3)
    assert again.requests == {"testrail": 1, "testably": 1}
    assert quiet.pair.proved_at == quiet.pair.listed_at == quiet.clock.now()


def test_a_schedule_is_quiet_without_a_list_of_the_target(quiet: World, looks: Looks) -> None:
    assert looks(Trigger.SCHEDULE)
    assert not looks(Trigger.SCHEDULE)
    assert not quiet.to_ably.requests
    listed = quiet.pair.listed_at
    quiet.clock.sleep(7200)
    assert not looks(Trigger.SCHEDULE)  # by the quiet reading of both
    assert quiet.pair.listed_at != listed


def test_the_plan_of_a_person_names_every_milestone(quiet: World) -> None:
    plan = quiet.preview().plan
    assert sorted(action.testrail_id for action in plan.in_step) == [1, 2, 3]
    assert quiet.run(Trigger.MIGRATION).counts["unchanged"] == 3


# --- another


def renamed(world: World) -> None:
    world.edit(2, name="Sprint one")


def edited(world: World) -> None:
    world.edit_target(3, description="Theirs")


def added(world: World) -> None:
    world.add("Release 3")


def made_by_hand(world: World) -> None:
    world.ably.create(PROJECT, {"name": "Theirs"})


def other_policy(world: World) -> None:
    world.policy = Policy(OnTargetEdit.TARGET)


def link_saved(world: World) -> None:
    link = world.links[3]
    assert world.store.save(world.pair.id, link, world.clock.now())


def marked(world: World) -> None:
    world.store.mark_to_look_again(world.pair.id, 1)


def date_passed(world: World) -> None:
    """Testably shows Release 2 as started from its start date on."""
    world.clock.sleep(11 * DAY)


def other_pair(world: World) -> None:
    """Another pair holds a target in the same Testably project."""
    identity = PairIdentity(URL, 2, IDENTITY.testably_url, PROJECT)
    link = Link(77, state=LinkState.LINKED, testably_id="ms_other")
    assert world.store.save(world.store.pair(identity).id, link, world.clock.now())


@pytest.mark.parametrize(
    "happens",
    [
        renamed,
        edited,
        added,
        made_by_hand,
        other_policy,
        link_saved,
        marked,
        date_passed,
        other_pair,
    ],
)
def test_whatever_is_another_is_looked_into(
    quiet: World, looks: Looks, happens: Callable[[World], None]
) -> None:
    assert not looks()
    happens(quiet)
    assert looks()


@pytest.mark.parametrize("option", ["adopt_by_name", "allow_mass_archive"])
def test_other_options_are_other_runs(looks: Looks, option: str) -> None:
    given: dict[str, Any] = {option: True}
    assert looks(**given)
    assert not looks(**given)


def test_a_clock_that_was_set_back_is_not_believed(quiet: World, looks: Looks) -> None:
    assert not looks()
    quiet.clock.start -= timedelta(hours=1)
    assert looks()


def test_another_milesync_decides_itself(looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.sync.quiet.version", lambda _: "0.0.0")
    assert looks()


# --- what is no quiet reading


def kept(world: World) -> bool:
    readings = QuietReadings(world.engine)
    return readings.find(world.pair.id, with_target=True) is not None


def test_what_wrote_or_needs_a_person_is_not_kept(world: World) -> None:
    one = world.add("One")
    world.run()
    assert not kept(world)
    world.rail.plant({**world.rail.get(one), "name": " "})
    world.run()
    assert not kept(world)


def test_a_list_that_came_incomplete_is_not_kept(quiet: World) -> None:
    forget(quiet)
    quiet.source.incomplete = True
    quiet.run()
    assert not kept(quiet)
    quiet.source.incomplete = False
    quiet.run()
    assert kept(quiet)
