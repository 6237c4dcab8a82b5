"""When a failed write is held against a milestone, and when the target is to blame (R6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.failing import failure, failure_counts
from mappings.problem import (
    QUARANTINED_AT,
    Effect,
    Problem,
    ProblemKind,
)
from tests.support.clock import NOW
from tests.support.world import PROJECT, World
from worker.errors import MilestoneNotFound
from worker.sync.apply.attempts import OUTAGE_AFTER
from worker.sync.apply.writer import MOST_LIMITED
from worker.sync.options import Options, RunMode, Trigger
from worker.sync.read.scope import Scope
from worker.sync.report import State
from worker.sync.run import run_pair

FAILED = Problem(ProblemKind.SERVER_ERROR, "It answered 500.", NOW)
COUNTED = replace(FAILED, counted_at=NOW)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


# --- what counts


@pytest.mark.parametrize(
    ("before", "after", "wrote", "counts"),
    [
        (None, MINUTE, True, True),
        (None, MINUTE, False, False),
        (FAILED, MINUTE, True, True),
        (FAILED, MINUTE, False, False),
        (FAILED, HOUR, False, True),
        (COUNTED, MINUTE, False, True),
        (COUNTED, -MINUTE, True, False),
        (Problem(ProblemKind.UNREAD, "It could not be read.", NOW), HOUR, False, False),
    ],
)
def test_a_failure_counts_where_the_target_takes_writes_or_it_has_failed_for_long(
    before: Problem | None, after: timedelta, wrote: bool, counts: bool
) -> None:
    """One that has a count already counts whatever else came of the run, but once a run."""
    once_since = NOW - MINUTE if after < timedelta(0) else NOW + after
    now = NOW + max(after, timedelta(0))
    assert failure_counts(before, now, wrote=wrote, once_since=once_since) is counts


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_three_counted_failures_quarantine_and_no_others(counted: list[bool]) -> None:
    """The age is that of the first failure, whatever its kind."""
    problem: Problem | None = None
    for number, counts in enumerate(counted):
        kind = (ProblemKind.TIMEOUT, ProblemKind.SERVER_ERROR)[number % 2]
        problem = failure(problem, kind, "It failed.", NOW + number * HOUR, counts=counts)
    assert problem is not None
    assert problem.since == NOW
    assert problem.has_count is any(counted)
    assert problem.count == max(sum(counted), 1)
    quarantined = sum(counted) >= QUARANTINED_AT
    assert (problem.kind is ProblemKind.KEEPS_FAILING) is quarantined
    assert problem.reason.startswith("It failed in ") is quarantined
    assert ProblemKind.KEEPS_FAILING.effect is Effect.RESTS


@pytest.mark.parametrize(
    ("count", "rests"), [(QUARANTINED_AT, HOUR), (QUARANTINED_AT + 1, DAY), (30, DAY)]
)
def test_a_quarantine_is_over_after_an_hour_and_then_after_a_day(
    count: int, rests: timedelta
) -> None:
    """To the moment."""
    problem = Problem(ProblemKind.KEEPS_FAILING, "It failed.", NOW, count, NOW)
    assert problem.rests(NOW + rests - timedelta(seconds=1))
    assert not problem.rests(NOW + rests)
    assert not COUNTED.rests(NOW)


# --- an outage


def poisoned(world: World, ids: Iterable[int]) -> None:
    """Every PATCH of these milestones answers 500 from now on."""
    for id_ in ids:
        world.to_ably.faults.script(
            "server_error", method="PATCH", contains=world.id_of(id_), times=1_000_000
        )


def renamed_in(world: World) -> list[str]:
    """The names in Testably that were written since `renamed`."""
    names = (str(row["name"]) for row in world.ably.live(PROJECT))
    return [name for name in names if "Renamed" in name]


def status(world: World, testrail_id: int) -> object:
    return world.ably.get(PROJECT, world.id_of(testrail_id))["status"]


def renamed(world: World, count: int) -> None:
    """So many milestones that are linked, and all renamed since."""
    for number in range(count):
        world.add(f"Release {number}")
    assert world.run().state is State.SUCCEEDED
    for id_ in range(1, count + 1):
        world.edit(id_, name=f"Renamed {id_}")


def test_an_outage_of_writes_is_held_against_nobody(world: World) -> None:
    """Every run of it ends soon and failed; after it one run brings everything."""
    outage_of_ten_minutes(world, 100)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_an_outage_with_five_thousand_items_due_is_held_against_nobody(world: World) -> None:
    """Ten minutes of it, and a run every minute."""
    outage_of_ten_minutes(world, 5000)


def outage_of_ten_minutes(world: World, count: int) -> None:
    """Every write answers 500 for ten minutes; runs go on every minute meanwhile."""
    renamed(world, count)
    world.to_ably.faults.script("server_error", method="PATCH", times=1_000_000)
    over = world.clock.now() + 10 * MINUTE
    while world.clock.now() < over:
        begun = world.clock.now()
        report = world.run(Trigger.SCHEDULE)
        assert report.state is State.FAILED
        assert report.error is not None
        assert report.error.kind == "takes_no_writes"
        assert sum(world.to_ably.writes.values()) <= 6 * OUTAGE_AFTER
        assert world.clock.now() - begun < 5 * MINUTE
    problems = [link.problem for link in world.links.values() if link.problem is not None]
    assert not any(problem.has_count for problem in problems)
    world.to_ably.faults.clear()
    assert world.run().state is State.SUCCEEDED
    assert world.differences() == []
    assert all(link.problem is None for link in world.links.values())


def test_an_outage_that_begins_within_a_run_is_held_against_nobody(world: World) -> None:
    """The rest gets one attempt each, and the writes before it prove nothing about the rest."""
    renamed(world, 40)
    sent = 0

    def stop_taking(method: str, _what: str) -> None:
        nonlocal sent
        sent += method == "PATCH"
        if sent == 5:
            world.to_ably.faults.script("server_error", method="PATCH", times=1_000_000)

    world.to_ably.before = stop_taking
    assert world.run().state is State.PARTIAL
    for _ in range(3):
        assert world.run().state is State.FAILED
    assert not any(link.has_count for link in world.links.values())
    world.to_ably.faults.clear()
    assert world.run().state is State.SUCCEEDED


def test_a_value_that_is_refused_is_no_sign_that_writes_are_taken(world: World) -> None:
    """An outage of all that it would take: what it refuses by itself it goes on refusing."""
    world.behave(ably=replace(world.ably.switches, null_clears=False))
    refused, *others = (world.add(f"Release {n}", due_on=1_790_000_000) for n in range(30))
    world.run()
    world.edit(refused, due_on=None)
    for one in others:
        world.edit(one, name=f"Renamed {one}")
    named = world.id_of(refused)

    def fail_but_one(method: str, what: str) -> None:
        world.to_ably.faults.clear()
        if method == "PATCH" and named not in what:
            world.to_ably.faults.script("server_error", method="PATCH")

    world.to_ably.before = fail_but_one
    report = world.run()
    assert (report.state, report.error and report.error.kind) == (State.FAILED, "takes_no_writes")
    assert not any(link.has_count for link in world.links.values())


def test_creates_that_all_fail_end_the_run(world: World) -> None:
    """Ten in doubt are enough, once it is seen that they left nothing."""
    for number in range(30):
        world.add(f"Release {number}")
    world.to_ably.faults.script("server_error", method="POST", times=1_000_000)
    assert world.run().state is State.FAILED
    assert world.to_ably.writes == {"POST": OUTAGE_AFTER}
    world.to_ably.faults.clear()
    assert world.run().state is State.SUCCEEDED
    assert world.differences() == []


def test_creates_that_are_left_to_a_person_are_no_outage(world: World) -> None:
    """Testably may have made them all; the others go on (R2)."""
    world.rules = replace(world.rules, footer=False)
    world.behave(ably=replace(world.ably.switches, hides_created_at=True))
    number = OUTAGE_AFTER + 4
    for one in range(number):
        world.add(f"Release {one}", description=f"Text {one}")
    world.to_ably.faults.script("server_error_after", method="POST", times=1_000_000)
    report = world.run()
    assert (report.state, report.counts["conflicts"]) == (State.PARTIAL, number)
    assert {told["kind"] for told in report.problems} == {"in_doubt_for_a_person"}
    assert len(world.ably.live(PROJECT)) == number


def test_more_bad_ones_than_end_a_run_do_not_stop_the_good_ones_for_ever(world: World) -> None:
    """What has failed before is tried after what has not, so that the next run tells."""
    renamed(world, 40)
    poisoned(world, range(1, 16))
    assert world.run().state is State.FAILED
    assert world.run().state is State.PARTIAL
    assert len(renamed_in(world)) == 25


def test_bad_parents_do_not_stop_what_is_below_them_for_ever(world: World) -> None:
    """Their good children are tried before they are tried again."""
    parents = [world.add(f"Release {number}") for number in range(OUTAGE_AFTER)]
    children = [world.add(f"Child {parent}", parent) for parent in parents]
    world.run()
    poisoned(world, parents)
    for id_ in (*parents, *children):
        world.edit(id_, name=f"Renamed {id_}")
    assert world.run().state is State.FAILED
    assert (world.run().counts["updated"], len(renamed_in(world))) == (len(children),) * 2


def test_a_child_comes_after_a_parent_that_has_failed_before(world: World) -> None:
    """Otherwise it would wait for another run, as it is created below that."""
    parent = world.add("Parent")
    world.to_ably.faults.script("maintenance", method="POST", times=1000)
    world.run()
    assert world.links[parent].has_failed
    world.to_ably.faults.clear()
    child = world.add("Child", parent)
    assert world.run().counts["created"] == 2
    assert world.in_target(child)["parent_id"] == world.id_of(parent)


def test_bad_ones_do_not_stop_an_archive(world: World) -> None:
    """It is done before what has failed is tried again."""
    renamed(world, OUTAGE_AFTER + 1)
    gone = OUTAGE_AFTER + 1
    poisoned(world, range(1, gone))
    assert world.run().state is State.FAILED
    world.rail.delete(gone)
    assert world.run().counts["archived"] == 1


def test_what_fails_for_an_hour_counts_though_nothing_else_is_written(world: World) -> None:
    """As many as end a run; a person hears of them, and the next runs end well."""
    renamed(world, OUTAGE_AFTER)
    bad = range(1, OUTAGE_AFTER + 1)
    poisoned(world, bad)
    for _ in range(2):
        assert world.run().state is State.FAILED
    world.clock.sleep(HOUR.total_seconds())
    assert world.run().state is State.FAILED
    for _ in range(QUARANTINED_AT):
        report = world.run()
    assert (report.state, report.counts["quarantined"]) == (State.PARTIAL, len(bad))
    assert {p["kind"] for p in report.problems} == {"keeps_failing"}


# --- one item


def test_a_404_to_one_update_concerns_that_one(world: World) -> None:
    """The others are written, and the next run reads the lists again."""
    renamed(world, 5)
    gone = world.id_of(2)

    def vanish(method: str, what: str) -> None:
        if method == "PATCH" and gone in what:
            raise MilestoneNotFound("Testably", "There is no such milestone.", status=404)

    world.to_ably.before = vanish
    report = world.run()
    assert report.state is State.PARTIAL
    assert (report.counts["updated"], report.counts["waiting"]) == (4, 1)
    assert [problem["kind"] for problem in report.problems] == ["not_found"]


def test_what_has_failed_before_waits_for_few_429s(world: World) -> None:
    """Its write alone is limited: every run after the first ends soon, and at last it rests."""
    renamed(world, 3)
    world.to_ably.faults.script(
        "rate_limited_bare", method="PATCH", contains=world.id_of(1), times=1_000_000
    )
    world.run()
    assert world.links[1].has_count
    for _ in range(QUARANTINED_AT - 1):
        begun = world.clock.now()
        assert world.run().state is State.PARTIAL
        assert world.to_ably.writes == {"PATCH": MOST_LIMITED}
        assert world.clock.now() - begun < 2 * MINUTE
    assert world.preview().plan.writes == 0


def refresh(world: World) -> int:
    """A refresh of the first milestone; how many writes it sent."""
    world.to_ably.requests.clear()
    mode = RunMode(exclusive=False)
    run_pair(world.context(), Options(Trigger.WEBHOOK), Scope((1,)), mode=mode)
    return sum(world.to_ably.writes.values())


def test_refreshes_count_once_in_fifteen_minutes(world: World) -> None:
    """However often TestRail calls about a milestone that Testably cannot store."""
    renamed(world, 2)
    world.to_ably.faults.script(
        "server_error", method="PATCH", contains=world.id_of(1), times=1_000_000
    )
    world.run()
    counts = []
    for wait in (5 * MINUTE, 5 * MINUTE, 6 * MINUTE, 5 * MINUTE):
        world.clock.sleep(wait.total_seconds())
        sent, problem = refresh(world), world.links[1].problem
        assert problem is not None
        counts.append((sent, problem.count))
    assert counts == [(0, 1), (0, 1), (1, 2), (0, 2)]
    world.edit(1, name="Another name")
    assert refresh(world) == 1
    assert world.links[1].problem is not None
    assert world.links[1].problem.count == 2


def test_the_slices_of_one_run_count_once_and_try_once(world: World) -> None:
    """A run that goes on leaves what an earlier slice has counted."""
    renamed(world, 2)
    world.to_ably.faults.script(
        "server_error", method="PATCH", contains=world.id_of(1), times=1_000_000
    )
    first = world.run()
    assert first.run is not None
    world.context().runs.change(first.run, state="unfinished", finished_at=None)
    world.to_ably.requests.clear()
    mode = RunMode(of=first.run)
    again = run_pair(world.context(), Options(Trigger.MANUAL), mode=mode)
    assert (again.run, again.state) == (first.run, State.PARTIAL)
    assert world.to_ably.writes == {}
    assert world.links[1].problem is not None
    assert world.links[1].problem.count == 1
