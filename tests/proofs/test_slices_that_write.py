"""A run whose slices end while it writes: it ends, forgets nothing, and says what is true."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mappings.rows import Pair as RecordedPair
from mappings.store import Store
from tests.proofs.over_http import PROJECT
from tests.proofs.slicing import Make, Pair, migrated
from worker.sandbox.switches import TestablySwitches, TestRailSwitches
from worker.sync.options import Options, RunMode, Trigger
from worker.sync.read.scope import Scope
from worker.sync.report import State
from worker.sync.run import run_pair

SCHEDULE = Options(trigger=Trigger.SCHEDULE)
NOON = 1_772_366_400


def in_step(make: Make, count: int, **switches: Any) -> Pair:
    """A pair of so many roots, which has just been migrated."""
    pair = make(**switches)
    for number in range(count):
        pair.rail.model.add(1, {"name": f"M{number + 1}", "start_on": NOON})
    migrated(pair)
    return pair


def recorded(pair: Pair) -> RecordedPair:
    return Store(pair.engine).pair(pair.identity)


def rename(pair: Pair, *ids: int) -> None:
    for testrail_id in ids:
        pair.rail.model.update(testrail_id, {"name": f"Renamed {testrail_id}"})


def names(pair: Pair) -> set[str]:
    return {str(row["name"]) for row in pair.ably.model.live("proj_abc123")}


def test_a_run_that_does_not_list_testably_asks_testrail_once(make: Make) -> None:
    """Its reading is longer than a slice, and several slices write: each is read in one of them."""
    pair = in_step(make, 40, rail=TestRailSwitches(sub_milestones="roots_only"))
    rename(pair, *range(1, 31))
    report = pair.in_slices(14.0, SCHEDULE, scope=None)
    assert (report.state, report.counts["updated"]) == (State.SUCCEEDED, 30)
    assert pair.slices >= 5
    assert (pair.lists(), pair.ably.count("PATCH")) == (0, 30)
    assert pair.rail.count("GET", "get_milestone/") == 40


def test_a_run_comes_to_its_end_though_redis_loses_what_it_had_listed(make: Make) -> None:
    """Its list is longer than a slice, so it is made anew in several, and not in each again."""
    pair = in_step(make, 40, ably=TestablySwitches(most_per_page=2))
    rename(pair, *range(1, 31))
    lost: list[int] = []

    def lose(number: int) -> None:
        if not lost and pair.ably.count("PATCH"):
            pair.redis.flushall()
            lost.append(number)

    report = pair.in_slices(12.0, between=lose)
    assert (report.state, report.counts["updated"], len(lost)) == (State.SUCCEEDED, 30, 1)
    assert (pair.ably.count("PATCH"), pair.rail.count("GET")) == (30, 2)  # and one for the proof
    assert {f"Renamed {number}" for number in range(1, 31)} <= names(pair)


@pytest.mark.parametrize("seconds", [7.0, 16.0, 30.0])
def test_what_was_edited_in_testably_is_put_right_though_redis_loses_it(
    make: Make, seconds: float
) -> None:
    """A scheduled run that lists because that was due does so again where the list is lost."""
    pair = in_step(make, 20, ably=TestablySwitches(most_per_page=5))
    pair.clock.sleep(7200)
    for number in range(1, 21):
        edit = {"name": f"By hand {number}"}
        pair.ably.model.update("proj_abc123", pair.target_of(number), edit)

    def lose(_: int) -> None:
        if pair.ably.count("PATCH") < 10:
            pair.redis.flushall()

    report = pair.in_slices(seconds, SCHEDULE, between=lose, scope=None)
    assert (report.state, report.counts["updated"]) == (State.SUCCEEDED, 20)
    assert names(pair) == {f"M{number}" for number in range(1, 21)}


@pytest.mark.parametrize("edits", [0, 15])
def test_a_pair_was_listed_and_proved_when_the_reading_began(make: Make, edits: int) -> None:
    """Not when its last slice read: what was edited meanwhile may not be in it."""
    pair = in_step(make, 40, ably=TestablySwitches(most_per_page=2))
    pair.clock.sleep(7200)
    rename(pair, *range(1, edits + 1))
    began = pair.clock.now()
    report = pair.in_slices(9.0, SCHEDULE, scope=None)
    assert (report.state, report.counts["updated"]) == (State.SUCCEEDED, edits)
    assert pair.slices > 2
    found = recorded(pair)
    assert found.listed_at is not None
    assert found.proved_at is not None
    assert found.listed_at - began < timedelta(seconds=2)
    assert edits or found.proved_at - began < timedelta(seconds=2)


def test_what_a_refresh_wrote_between_two_slices_is_not_written_again(make: Make) -> None:
    """What was listed before it is older than what the refresh has noted."""
    pair = in_step(make, 20)
    rename(pair, *range(1, 21))

    def refresh(number: int) -> None:
        if number == 1:
            with pair.process() as context:
                mode = RunMode(exclusive=False)
                run_pair(context, Options(Trigger.WEBHOOK), Scope((20,)), mode=mode)

    report = pair.in_slices(9.0, between=refresh)
    assert report.state is State.SUCCEEDED
    written = [path.rpartition("/")[2] for _, path, _ in pair.writes()]
    assert len(written) == len(set(written)) == 20
    assert (report.verified or {})["in_step"]


def test_later_slices_know_what_was_there_before_their_creates(make: Make) -> None:
    """Neither an old archived one, nor a record that cannot be read, is what a create left."""
    pair = make()
    model = pair.ably.model
    put_away = model.create("proj_abc123", {"name": "M"})
    model.update("proj_abc123", str(put_away["id"]), {"status": "archived"})
    pair.clock.sleep(60)
    model.create("proj_abc123", {"name": "Newest"})
    model.plant("proj_abc123", {"id": "ms_bad", "name": "M", "status": "active", "due_date": "?"})
    for number in range(15):
        pair.rail.model.add(1, {"name": f"M{number + 1}", "start_on": NOON})

    def fail(number: int) -> None:
        if number == 1:
            pair.ably.faults.script("server_error", method="POST")

    report = pair.in_slices(9.0, between=fail)
    assert pair.slices > 1
    assert pair.ably.count("POST") == 16
    assert (report.counts["created"], report.counts["conflicts"]) == (15, 0)


@pytest.mark.parametrize("is_edited", [False, True])
def test_later_slices_write_nothing_into_what_the_first_could_not_read(
    make: Make, is_edited: bool
) -> None:
    """It stays told as unread (R10), although its milestone has not changed in TestRail."""
    pair = in_step(make, 20)
    bad, model = pair.target_of(20), pair.ably.model
    shown = model.get(PROJECT, bad)
    model.plant(PROJECT, shown | {"name": "A person's", "due_date": "soon"})
    rename(pair, *range(1, 11), *([20] if is_edited else []))
    report = pair.in_slices(6.0, SCHEDULE)
    assert (report.state, pair.slices > 1) == (State.PARTIAL, True)
    assert [(one["kind"], one["testrail_id"]) for one in report.problems] == [("unread", 20)]
    assert pair.lists() == 3  # by the first slice: what the plain list lacks is looked for
    assert not [path for _, path, _ in pair.writes() if path.endswith(bad)]
    assert pair.ably.count("GET", f"milestones/{bad}") == 0
