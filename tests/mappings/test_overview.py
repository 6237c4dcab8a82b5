"""What is recorded of a pair's runs, as the overview tells it."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, event

from mappings.overview import LastRun, in_step, overview
from mappings.problem import ProblemKind
from mappings.rows import Pair
from mappings.runs import RunLog
from mappings.store import Store
from tests.support.clock import NOW
from tests.support.rows import identity

OF_PARTS = ({"only": None}, {"only": "open"}, {"undoes": "a run"}, None)
STATES = ("succeeded", "partial", "failed", "aborted", "unfinished", "running")


@pytest.mark.parametrize("seed", range(5))
def test_a_pair_was_synced_when_the_last_run_of_it_ended_well(
    store: Store, run_log: RunLog, seed: int
) -> None:
    """Whichever began first: a run in the background may end after one that began later."""
    random = Random(seed)
    pairs = [store.pair(identity(number)) for number in range(1, 5)]
    expected = {}
    for pair in pairs:
        well = []
        for _ in range(random.randrange(8)):
            at = NOW + timedelta(minutes=random.randrange(1000))
            end = at + timedelta(minutes=random.randrange(1000))
            state, exclusive = random.choice(STATES), random.random() < 0.7
            options, trigger = random.choice(OF_PARTS), "manual"
            if options is None:
                options, trigger = {}, random.choice(("manual", "rebuild"))
            run = run_log.begin(pair.id, trigger, "ann on host", at, options, exclusive=exclusive)
            run_log.change(run.id, state=state, finished_at=None if state == "running" else end)
            is_whole = exclusive and trigger == "manual" and not any(options.values())
            if is_whole and state in ("succeeded", "partial"):
                well.append(end)
        expected[pair.id] = max(well, default=None)
    found = overview(store.engine, pairs)
    assert {id_: standing.synced_at for id_, standing in found.items()} == expected


def test_when_a_pair_was_synced_is_found_by_an_index(engine: Engine) -> None:
    """However many runs it had: only the one that ended last is looked at."""
    if engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL tells its plan by the size of its tables")
    pair = Store(engine).pair(identity(1))
    plans: list[str] = []

    def note(connection: Any, _1: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "finished_at DESC" in statement:
            rows = connection.connection.cursor().execute(
                f"EXPLAIN QUERY PLAN {statement}", parameters
            )
            plans.append(" ".join(str(row[3]) for row in rows))

    event.listen(engine, "before_cursor_execute", note)
    overview(engine, [pair])
    [plan] = plans
    assert "ix_runs_pair_id_finished_at" in plan
    assert "SCAN runs" not in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize(
    ("problems", "run_after", "answer"),
    [
        ({ProblemKind.REJECTED}, 0, False),
        ({ProblemKind.UNREAD}, 0, None),
        ({ProblemKind.ABSENCE_UNPROVED, ProblemKind.REJECTED}, 0, False),
        ({ProblemKind.NOT_PROVED}, 1, None),
        ({ProblemKind.NOT_PROVED}, -1, True),
        ({ProblemKind.TARGET_INCOMPLETE}, 1, None),
        (set(), -1, True),
    ],
)
def test_what_could_not_be_read_is_not_known_to_differ(
    problems: set[ProblemKind], run_after: int, answer: bool | None
) -> None:
    """A proof that came after the run that could not read it knows better."""
    pair = Pair(1, identity(1), proved_at=NOW)
    partial = LastRun("partial", NOW + timedelta(minutes=run_after))
    assert in_step(pair, partial, problems) is answer
