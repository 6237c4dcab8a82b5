"""A run goes on that the database, or Redis, knows from an earlier time: nothing is made twice.

What it had read of Testably is older than what it has written there since, and no journal or no
link may tell of that (R2).
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mappings.milestone import Values
from mappings.rows import Change
from mappings.store import Store
from tests.proofs.over_http import PROJECT
from tests.proofs.slicing import Make, Pair, migrated
from tests.support.mortal import Boundaries
from worker.sandbox.switches import TestablySwitches
from worker.sync.options import OnTargetEdit, Options, Policy, Trigger
from worker.sync.report import State

SCHEDULE = Options(trigger=Trigger.SCHEDULE)
NOON = 1_772_366_400


@pytest.fixture(params=["in Redis", "in the database"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the slices find what was read: a long reading is kept in the database as well."""
    if request.param == "in the database":
        monkeypatch.setattr("worker.sync.read.reading._LONG", 1)
    return str(request.param)


def filled(make: Make, count: int) -> Pair:
    """So many milestones that are new in TestRail, and others of Testably's own."""
    pair = make(ably=TestablySwitches(most_per_page=4))
    for number in range(count):
        pair.rail.model.add(1, {"name": f"M{number}", "start_on": NOON})
        pair.ably.model.create(PROJECT, {"name": f"A person's {number}"})
    return pair


def copy(pair: Pair, source: Path, target: Path) -> None:
    """Back up a database, or restore it, while nobody writes."""
    pair.engine.dispose()
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)


def database(pair: Pair) -> Path:
    return Path(pair.engine.url.database or "")


def names(pair: Pair) -> Counter[str]:
    return Counter(str(row["name"]) for row in pair.ably.model.everything(PROJECT))


def restores(pair: Pair, at: int, after: int, *, loses_redis: bool) -> Callable[[int], None]:
    """Between two slices: a backup after slice ``at``, which is restored after slice ``after``."""
    backup = database(pair).with_name("backup.db")

    def between(number: int) -> None:
        if number == at:
            copy(pair, database(pair), backup)
        if number == after:
            copy(pair, backup, database(pair))
            if loses_redis:
                pair.redis.flushall()

    return between


@pytest.mark.parametrize("loses_redis", [False, True], ids=["redis kept", "redis lost"])
@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.usefixtures("kept")
def test_what_was_created_since_a_backup_is_not_created_again(
    make: Make, at: int, loses_redis: bool
) -> None:
    """A backup while it reads, before its first write, and while it writes."""
    for seconds in (2.0, 3.0, 4.0):
        pair = filled(make, 14)
        between = restores(pair, at, at + 1, loses_redis=loses_redis)
        report = pair.in_slices(seconds, SCHEDULE, between)
        assert (report.state, pair.slices > at + 1) == (State.SUCCEEDED, True)
        assert names(pair).most_common(1)[0][1] == 1, seconds


@pytest.mark.parametrize("loses_redis", [False, True], ids=["redis kept", "redis lost"])
@pytest.mark.parametrize("dies_at", [14, 22])
@pytest.mark.usefixtures("kept")
def test_what_a_slice_created_that_died_before_the_restore_is_not_created_again(
    make: Make, dies_at: int, loses_redis: bool
) -> None:
    """It left nothing in Redis: what the slice before had left there counts no more."""
    for seconds in (3.0, 5.0):
        pair = filled(make, 14)

        def point_of(number: int) -> Boundaries | None:
            return Boundaries(dies_at=dies_at) if number == 2 else None

        between = restores(pair, 1, 2, loses_redis=loses_redis)
        report = pair.in_slices(seconds, SCHEDULE, between, point_of)
        assert (report.state, pair.slices > 2) == (State.SUCCEEDED, True)
        assert names(pair).most_common(1)[0][1] == 1, seconds


def written(pair: Pair) -> list[Change]:
    store = Store(pair.engine)
    return store.journal.changes(store.pair(pair.identity).id)


@pytest.mark.parametrize("how", ["it died", "redis came back with an older dump"])
@pytest.mark.parametrize(
    ("edits", "seconds", "dies_at"),
    [(OnTargetEdit.SOURCE, 8.0, 30), (OnTargetEdit.TARGET, 10.0, 55)],
)
def test_what_the_run_wrote_since_is_neither_written_again_nor_taken_for_an_edit(
    make: Make, edits: OnTargetEdit, seconds: float, dies_at: int, how: str
) -> None:
    """The third slice knows what the second has written, though that one left nothing.

    Under the policy `target` each changed one is read by itself, which takes more of a slice.
    """
    pair = filled(make, 12)
    migrated(pair)
    before: dict[str, Values] = {}
    for number in range(1, 13):
        before[pair.target_of(number)] = {"name": f"M{number - 1}"}
        pair.rail.model.update(number, {"name": f"Renamed {number}"})
    known = len(written(pair))
    dump: dict[bytes, bytes] = {}

    def between(number: int) -> None:
        if number == 1:
            dump.update({key: pair.redis.get(key) for key in pair.redis.scan_iter()})
            assert dump
        elif number == 2:
            assert 4 < pair.ably.count("PATCH") < 12
            if how != "it died":
                pair.redis.mset(dump)

    def point_of(number: int) -> Boundaries | None:
        return Boundaries(dies_at=dies_at) if (number, how) == (2, "it died") else None

    policy = Policy(on_target_edit=edits)
    report = pair.in_slices(seconds, SCHEDULE, between, point_of, policy=policy)
    assert (report.state, pair.slices > 2) == (State.SUCCEEDED, True)
    assert report.problems == ()
    sent = [path for _, path, _ in pair.writes()]
    assert len(sent) == len(set(sent)) == 12
    assert {c.testably_id: c.before for c in written(pair)[known:]} == before
