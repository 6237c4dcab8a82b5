"""Runs that die at any of their writes and commits, in settings that the proofs leave out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from tests.support.database import fresh_engine
from tests.support.mortal import Boundaries, Died
from tests.support.world import PROJECT, World
from worker.sync.options import OnTargetEdit, Options, Policy, Trigger
from worker.sync.report import State
from worker.sync.run import run_pair

HALVES = pytest.mark.parametrize(
    ("policy", "first"), [(OnTargetEdit.SOURCE, 1), (OnTargetEdit.TARGET, 2)]
)
"""Every second boundary with each policy."""


def family(world: World) -> None:
    """A completed root, and an open parent with a completed child."""
    world.add("Done", is_completed=True, due_on=1_780_000_000)
    world.add("Child", world.add("Parent"), is_completed=True)


def each_death(
    folder: Path,
    boundaries: Iterable[int],
    trigger: Trigger,
    prepare: Callable[[World], None],
    go_on: Callable[[World], None],
) -> int:
    """Lets a run die at each of these boundaries, each in a world of its own, then goes on there.

    Returns the first boundary that the run did not come to.
    """
    for number in boundaries:
        engine = fresh_engine(folder, f"death-{number}")
        try:
            world = World(engine)
            prepare(world)
            try:
                run_pair(world.mortal(Boundaries(number)), Options(trigger=trigger))
            except Died:
                go_on(world)
            else:
                return number
        finally:
            engine.dispose()
    raise AssertionError("There are endlessly many boundaries.")


@HALVES
@pytest.mark.parametrize("footer", [True, False], ids=["footer", "no footer"])
def test_a_migration_goes_on_where_it_died(
    tmp_path: Path, policy: OnTargetEdit, first: int, footer: bool
) -> None:
    """Before or after any request or commit: the next run ends in step, nothing is doubled."""

    def prepare(world: World) -> None:
        world.rules = replace(world.rules, footer=footer)
        world.policy = Policy(on_target_edit=policy)
        family(world)

    def go_on(world: World) -> None:
        report = world.run()
        assert (report.state, report.problems) == (State.SUCCEEDED, ())
        shown = sorted((str(row["name"]), row["status"]) for row in world.ably.everything(PROJECT))
        assert shown == [(name, "completed") for name in ("Child", "Done", "Parent")]
        world.run()
        assert world.to_ably.writes == {}

    assert each_death(tmp_path, count(first, 2), Trigger.MIGRATION, prepare, go_on) > 38


@HALVES
@pytest.mark.parametrize("moved_on", [False, True])
def test_a_scheduled_run_goes_on_where_it_died(
    tmp_path: Path, policy: OnTargetEdit, first: int, moved_on: bool
) -> None:
    """Also if the source is changed back before the next run, and also if that trusts the list."""

    def prepare(world: World) -> None:
        world.policy = Policy(on_target_edit=policy)
        family(world)
        world.run()
        world.edit(1, name="Renamed", is_completed=False)
        world.edit(3, due_on=1_790_000_000)

    def go_on(world: World) -> None:
        if moved_on:
            world.edit(1, name="Done", is_completed=True)
            world.edit(3, due_on=None)
        report = world.run(Trigger.SCHEDULE)
        assert (report.state, report.problems) == (State.SUCCEEDED, ())
        assert world.differences() == []
        world.run()
        assert world.to_ably.writes == {}

    assert each_death(tmp_path, count(first, 2), Trigger.SCHEDULE, prepare, go_on) > 14
