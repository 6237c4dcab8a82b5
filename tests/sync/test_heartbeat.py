"""A run's sign of life: it outlives many, and a run that lost its pair writes nothing more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import structlog
from sqlalchemy import Engine, text

from mappings.errors import LostLock
from mappings.link import Link
from mappings.locks import settle_dead
from mappings.milestone import FIELDS
from mappings.run_record import DEAD_AFTER, RUNNING, UNFINISHED, RunRecord
from mappings.runs import RunLog
from mappings.tables import runs
from tests.support.world import World
from worker.errors import BudgetExhausted
from worker.sync.apply.creates import Creates
from worker.sync.apply.outcome import Outcome
from worker.sync.apply.writer import TargetWriter
from worker.sync.decide.target_snapshot import TargetSnapshot
from worker.sync.heartbeat import Heartbeat
from worker.sync.options import Options, RunMode, Trigger
from worker.sync.report import State
from worker.sync.run import Run

OFTEN, NEVER = 0.01, 3600.0
SOON = 20.0
"""Seconds that a thread has for what takes it a moment."""


@pytest.fixture
def world(engine: Engine) -> World:
    """On both databases, with three milestones to create."""
    made = World(engine)
    for number in range(3):
        made.add(f"M{number}")
    return made


def migrate(world: World, in_between: Callable[[Run], None], every: float) -> Run:
    """A scheduled run that beats so often, with something that happens after its first create."""
    context = replace(world.context(), heartbeat_every=every)
    happened: list[Outcome] = []

    def after(outcome: Outcome) -> None:
        happened.append(outcome)
        if len(happened) == 1:
            in_between(run)
            world.clock.sleep(1.0)  # so that the run looks whether it goes on

    with Run(context, Options(Trigger.SCHEDULE)) as run:
        run.plan()
        run.apply(after)
    return run


def recorded(world: World) -> RunRecord:
    return world.context().runs.latest(world.pair.id, 1)[0]


def silence(world: World) -> None:
    """As if the last signs of life were so old that the runs must have died."""
    with world.engine.begin() as connection:
        for row in list(connection.execute(runs.select()).mappings()):
            before = row["heartbeat_at"] - DEAD_AFTER - timedelta(seconds=1)
            chosen = runs.update().where(runs.c.id == row["id"])
            connection.execute(chosen.values(heartbeat_at=before))


def cut_connections(world: World) -> None:
    """All but the one that cuts, as a restarted server would; none holds a lock any more."""
    others = "pid <> pg_backend_pid() AND datname = current_database()"
    cut = f"SELECT pg_terminate_backend(pid, {SOON * 1000:.0f}) FROM pg_stat_activity"
    with world.engine.begin() as connection:
        assert all(connection.execute(text(f"{cut} WHERE {others}")).scalars())


def until_lost(run: Run) -> None:
    assert run.recording.heartbeat._lost.wait(SOON)


def test_a_run_outlives_many_heartbeats(world: World) -> None:
    """A thread of its own asks whether the pair is still held."""

    def beats(run: Run) -> None:
        seen: set[datetime | None] = set()
        while len(seen) < 5:
            found = RunLog(world.engine).get(run.id)
            seen.add(found.heartbeat_at if found else None)
            assert not run.recording.heartbeat._lost.is_set()

    run = migrate(world, beats, OFTEN)
    assert run.report.state is State.SUCCEEDED
    assert len(world.marked()) == 3


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_run_whose_connection_was_cut_stops_and_is_gone_on_with(world: World) -> None:
    """Nobody has taken it over yet: it is left to the sweep, due at once."""

    def cut(run: Run) -> None:
        cut_connections(world)
        until_lost(run)

    with pytest.raises(LostLock):
        migrate(world, cut, OFTEN)
    assert (recorded(world).state, recorded(world).due_at is not None) == (UNFINISHED, True)
    assert len(world.marked()) == 1
    with Run(world.context(), Options(Trigger.SCHEDULE), RunMode(recorded(world).id)) as run:
        run.plan()
        run.apply()
    assert (recorded(world).state, len(world.marked())) == ("succeeded", 3)


@pytest.mark.parametrize("every", [OFTEN, NEVER], ids=["by its heartbeat", "by its next note"])
@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_run_that_a_rival_took_over_writes_nothing_more(world: World, every: float) -> None:
    """Neither to the target nor over what the rival records of the run."""

    def take_over(run: Run) -> None:
        cut_connections(world)
        silence(world)
        if every == NEVER:
            [taken] = settle_dead(RunLog(world.engine))
            RunLog(world.engine).resume(taken.id, world.pair.id, "the rival")
            return
        until_lost(run)
        RunLog(world.engine).let_go(recorded(world))
        RunLog(world.engine).resume(run.id, world.pair.id, "the rival")

    with pytest.raises(LostLock):
        migrate(world, take_over, every)
    run = recorded(world)
    assert (run.state, run.holder, run.finished_at) == (RUNNING, "the rival", None)
    assert len(world.marked()) == 1


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_run_that_was_taken_over_at_its_end_does_not_close_it(world: World) -> None:
    """The rival is at it, and says how it ended."""

    def be_late() -> None:
        with Run(world.context(), Options(Trigger.SCHEDULE)) as run:
            run.plan()
            cut_connections(world)
            silence(world)
            [taken] = settle_dead(RunLog(world.engine))
            RunLog(world.engine).resume(taken.id, world.pair.id, "the rival")
            run.close(State.SUCCEEDED)

    with pytest.raises(LostLock):
        be_late()
    assert (recorded(world).state, recorded(world).holder) == (RUNNING, "the rival")


@pytest.mark.parametrize("is_cut", [False, True])
@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_what_a_slice_leaves_counts_only_if_it_held_its_pair_to_the_end(
    world: World, is_cut: bool
) -> None:
    """A standby that took over may lack what was written last, and the next beat is yet to come."""
    context = replace(world.context(), heartbeat_every=NEVER)
    with suppress(BudgetExhausted), Run(context, Options(Trigger.SCHEDULE)) as run:
        run.plan()
        if is_cut:
            cut_connections(world)
        raise BudgetExhausted("This slice is over.", 0.0)
    assert run.report.state is (State.FAILED if is_cut else State.UNFINISHED)
    assert recorded(world).state == UNFINISHED


def test_a_command_that_lost_its_pair_is_closed_with_what_happened(world: World) -> None:
    going = Run(world.context(), Options(Trigger.MIGRATION))

    def lose() -> None:
        with going:
            going.plan()
            raise LostLock("This run no longer holds its project pair, and stops.")

    with pytest.raises(LostLock):
        lose()
    assert all(going.report.requests.values())
    run = recorded(world)
    assert (run.state, (run.error or {})["message"][:8]) == ("aborted", "This run")


def test_a_run_that_is_alive_or_has_ended_is_not_gone_on_with(world: World) -> None:
    """By a message that came twice, and was looked at before the other one was done."""
    runs_ = RunLog(world.engine)
    run = runs_.begin(world.pair.id, "schedule", "process 1", world.clock.now())
    with pytest.raises(LostLock):
        runs_.resume(run.id, world.pair.id, "process 2")
    assert recorded(world).holder == "process 1"
    silence(world)
    assert runs_.resume(run.id, world.pair.id, "process 2").holder == "process 2"
    runs_.change(run.id, state="succeeded")
    silence(world)
    with pytest.raises(LostLock):
        runs_.resume(run.id, world.pair.id, "process 3")
    assert (recorded(world).state, recorded(world).holder) == ("succeeded", "process 2")


def test_a_write_that_waited_for_its_turn_asks_once_more(world: World) -> None:
    """The wait can be long, and the pair be lost in it."""

    def require() -> None:
        raise LostLock("lost")

    writer = TargetWriter(world.pair, "run", world.target, world.store, world.clock, require)
    creates = Creates(writer, world.rules, TargetSnapshot())
    with pytest.raises(LostLock):
        creates.create(Link(1), dict.fromkeys(FIELDS), None, writer.patience())
    assert (world.to_ably.requests, world.links) == ([], {})


def test_what_a_heartbeat_logs_names_its_run() -> None:
    """Although it comes from another thread; and no error of any kind stops it."""
    told, enough = [], threading.Event()

    def beat() -> bool:
        told.append(structlog.contextvars.get_contextvars())
        if len(told) > 2:
            enough.set()
        raise RuntimeError("not one that is expected")

    with structlog.contextvars.bound_contextvars(run="r"), Heartbeat(beat).every(OFTEN) as heart:
        assert enough.wait(SOON)
        heart.require()
    assert all(bound["run"] == "r" for bound in told)
