"""The recorded runs on both databases."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from mappings.answers import AnswerStore, Kept
from mappings.deaths import KEEPS_DYING, MOST_DEATHS
from mappings.errors import LostLock, StoreError
from mappings.link import Link
from mappings.locks import settle_dead
from mappings.overview import latest_runs
from mappings.rows import ChangeState
from mappings.run_record import RUNNING, UNFINISHED, RunRecord, new_run_id
from mappings.runs import SHORTEST_NAME, RunLog
from mappings.store import Store
from mappings.tables import runs
from tests.support.clock import NOW
from tests.support.rows import MINUTE, SECOND, change, identity

moments = st.datetimes(timezones=st.just(UTC)).filter(lambda at: at.year > 999)


@given(moments, moments)
def test_ids_sort_by_time(one: datetime, other: datetime) -> None:
    """Sorted by id, runs are sorted by the second in which they began."""
    earlier, later = sorted([one.replace(microsecond=0), other.replace(microsecond=0)])
    assert earlier == later or new_run_id(earlier) < new_run_id(later)


def test_an_id_can_be_typed() -> None:
    """Date, time and four more characters; two runs of one second differ."""
    ids = {new_run_id(NOW) for _ in range(3)}
    assert len(ids) > 1
    assert all(run_id.startswith("20260301-120000-") and len(run_id) == 20 for run_id in ids)


def test_no_two_runs_of_a_second_have_one_id(
    run_log: RunLog, pair_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The four characters are drawn again where a run of the same second has them."""
    drawn = iter(["aaaa", "aaaa", "aaaa", "bbbb"])
    monkeypatch.setattr("mappings.run_record.secrets.token_hex", lambda _: next(drawn))
    begun = [run_log.begin(pair_id, "webhook", "", NOW, exclusive=False) for _ in range(2)]
    assert [run.id[-4:] for run in begun] == ["aaaa", "bbbb"]


def test_a_run_that_begins_is_running(run_log: RunLog, pair_id: int) -> None:
    """Who runs the pair, since when, why and with which options is recorded at once."""
    run = run_log.begin(pair_id, "manual", "ann on host", NOW, {"only": "open"})
    expected = RunRecord(
        run.id, pair_id, "manual", RUNNING, "ann on host", NOW, options={"only": "open"}
    )
    assert run.heartbeat_at is not None
    assert replace(run, heartbeat_at=None) == expected
    found = run_log.get(run.id)
    assert found
    assert (found.id, found.options, list(found.problems)) == (run.id, {"only": "open"}, [])
    assert run_log.running(pair_id) == found


def test_a_run_keeps_how_it_went(run_log: RunLog, run_id: str, pair_id: int) -> None:
    """Progress, counts and the end of a run come back; an ended run holds nothing."""
    run_log.change(run_id, planned=3, stop_requested=True)
    counts, problems = {"created": 2}, [{"testrail_id": 7, "reason": "blank name"}]
    run_log.change(
        run_id,
        state="partial",
        finished_at=NOW + MINUTE,
        counts=counts,
        requests={"testably": 5},
        problems=problems,
        error={"kind": "guard", "message": "Too many.", "hint": "Look."},
    )
    found = run_log.get(run_id)
    assert found
    assert (found.state, found.planned, found.stop_requested) == ("partial", 3, True)
    assert (found.finished_at, found.counts, found.problems) == (NOW + MINUTE, counts, problems)
    assert found.requests == {"testably": 5}
    assert found.error == {"kind": "guard", "message": "Too many.", "hint": "Look."}
    assert run_log.running(pair_id) is None


def test_a_new_run_closes_the_dead_one(run_log: RunLog, run_id: str, pair_id: int) -> None:
    """A run that still counts as running when the next begins has died, and is told so."""
    following = run_log.begin(pair_id, "schedule", "beat", NOW + MINUTE)
    dead = run_log.get(run_id)
    assert dead
    assert (dead.state, dead.finished_at) == ("aborted", NOW + MINUTE)
    assert dead.error
    assert dead.error["kind"] == "died"
    running = run_log.running(pair_id)
    assert running
    assert running.id == following.id


def test_a_new_run_leaves_ended_and_other_runs_alone(
    store: Store, run_log: RunLog, run_id: str, pair_id: int
) -> None:
    """Neither how a run ended nor a run of another pair is touched by a new run."""
    run_log.change(run_id, state="succeeded", finished_at=NOW)
    other = run_log.begin(store.pair(identity(2)).id, "manual", "bob", NOW)
    run_log.begin(pair_id, "manual", "ann", NOW + MINUTE)
    ended, still = run_log.get(run_id), run_log.get(other.id)
    assert ended
    assert still
    assert (ended.state, ended.finished_at, ended.error) == ("succeeded", NOW, None)
    assert still.state == RUNNING


def test_a_run_beside_others_closes_none(run_log: RunLog, run_id: str, pair_id: int) -> None:
    """A run that does not hold the pair leaves the one that does as it is."""
    run_log.begin(pair_id, "webhook", "worker", NOW, exclusive=False)
    holding = run_log.get(run_id)
    assert holding
    assert holding.state == RUNNING


def test_however_many_refreshes_came_since_the_open_runs_of_a_pair_are_found(
    run_log: RunLog, run_id: str, pair_id: int
) -> None:
    """The exclusive ones: what holds the pair, and what waits to go on. A refresh is neither."""
    waiting = run_log.begin(
        pair_id, "migration", "the workers", NOW, exclusive=False, state=UNFINISHED
    )
    for number in range(25):
        run_log.begin(pair_id, "webhook", "refresher", NOW + number * MINUTE, exclusive=False)
    assert {run.id for run in run_log.open(pair_id)} == {run_id, waiting.id}
    running = run_log.running(pair_id)
    assert running
    assert running.id == run_id
    run_log.change(run_id, state="succeeded")
    assert run_log.running(pair_id) is None


def test_a_run_of_an_older_version_that_gave_no_sign_of_life_is_silent(
    run_log: RunLog, run_id: str
) -> None:
    """Whether it is dead, its lock says."""
    run_log.change(run_id, heartbeat_at=None)
    assert [run.id for run in run_log.silent()] == [run_id]


def test_an_unfinished_run_goes_on(run_log: RunLog, run_id: str, pair_id: int) -> None:
    """A run that ended its slice waits, survives other runs, and is resumed under its own id."""
    assert run_log.unfinished() == []
    run_log.change(run_id, state=UNFINISHED, finished_at=NOW, counts={"created": 2})
    run_log.begin(pair_id, "schedule", "beat", NOW + MINUTE, state=UNFINISHED)
    assert run_id in [run.id for run in run_log.unfinished()]
    resumed = run_log.resume(run_id, pair_id, "another worker")
    assert resumed == run_log.get(run_id)
    assert (resumed.state, resumed.holder, resumed.finished_at) == (RUNNING, "another worker", None)
    assert resumed.counts == {"created": 2}
    assert run_id not in [run.id for run in run_log.unfinished()]


def die(run_log: RunLog, run_id: str, *, by: str = "the sweep") -> RunRecord:
    """A process takes the run up and dies; who finds it takes it from that process."""
    run_log.change(run_id, heartbeat_at=None)
    if by == "the sweep":
        settle_dead(run_log)
    else:
        pair = run_log.get(run_id)
        assert pair
        with suppress(LostLock):
            run_log.resume(run_id, pair.pair_id, "a worker")
    found = run_log.get(run_id)
    assert found
    return found


@pytest.mark.parametrize("by", ["the sweep", "a message that came again"])
def test_a_run_whose_process_dies_each_time_ends(run_log: RunLog, pair_id: int, by: str) -> None:
    """At the fifth time, with what a person can do about it; and what is next begins anew."""
    run = run_log.begin(pair_id, "schedule", "worker 1", NOW)
    for _ in range(MOST_DEATHS - 1):
        left = die(run_log, run.id, by=by)
        assert left.state == (UNFINISHED if by == "the sweep" else RUNNING)
        if by == "the sweep":
            run_log.resume(run.id, pair_id, "a worker")
    ended = die(run_log, run.id, by=by)
    assert (ended.state, ended.error, ended.due_at) == ("failed", KEEPS_DYING, None)
    assert run_log.open(pair_id) == []
    with pytest.raises(LostLock):
        run_log.resume(run.id, pair_id, "a worker")


@pytest.mark.parametrize("further", ["written", "read"])
def test_a_run_that_gets_further_between_two_deaths_goes_on(
    store: Store, run_log: RunLog, pair_id: int, further: str
) -> None:
    """However often its process dies: with what it has written, or read, it comes to its end."""
    run = run_log.begin(pair_id, "schedule", "worker 1", NOW)
    for number in range(3 * MOST_DEATHS):
        if number % (MOST_DEATHS - 1) == 0 and further == "read":
            kept = Kept(f"page {number}", 1, 1, 200, b"")
            AnswerStore(run_log.engine).keep(run, "reading", [kept])
        elif number % (MOST_DEATHS - 1) == 0:
            done = replace(change(run.id, number + 1), state=ChangeState.DONE)
            assert store.journal.lease(pair_id, Link(number + 1), done, None)
        assert die(run_log, run.id).state == UNFINISHED
        run = run_log.resume(run.id, pair_id, f"worker {number}")
    assert run.error is None


def test_a_lost_connection_is_no_death(run_log: RunLog, pair_id: int) -> None:
    """The process lives, and goes on with the run as often as that takes."""
    run = run_log.begin(pair_id, "schedule", "worker 1", NOW)
    for number in range(3 * MOST_DEATHS):
        lost = {"kind": "database", "message": "The connection was cut.", "hint": ""}
        assert run_log.let_go(run, lost)
        run = run_log.resume(run.id, pair_id, f"worker {number}")
    assert run.state == RUNNING


def test_a_run_that_waits_is_stopped_where_it_is(
    run_log: RunLog, run_id: str, pair_id: int
) -> None:
    """Nobody is at it, and its turn may be minutes away; a running one ends after its milestone."""
    waiting = run_log.begin(
        pair_id, "migration", "the workers", NOW, exclusive=False, state=UNFINISHED
    )
    assert run_log.postpone(waiting.id, "a worker", 300.0)
    for each, state in ((waiting.id, "aborted"), (run_id, RUNNING)):
        run_log.stop(each)
        found = run_log.get(each)
        assert found
        assert (found.state, found.stop_requested) == (state, True)
    with pytest.raises(LostLock):
        run_log.resume(waiting.id, pair_id, "a worker")


def test_a_run_is_gone_on_with_in_its_own_pair_alone(
    store: Store, run_log: RunLog, run_id: str, pair_id: int
) -> None:
    """The same projects at another URL are another pair, and may be asked for by the same name."""
    run_log.change(run_id, state=UNFINISHED)
    with pytest.raises(LostLock):
        run_log.resume(run_id, store.pair(identity(2)).id, "a worker")
    found = run_log.get(run_id)
    assert found
    assert (found.state, found.holder) == (UNFINISHED, "ann on host")
    assert run_log.resume(run_id, pair_id, "a worker").state == RUNNING


@pytest.mark.parametrize("state", [UNFINISHED, RUNNING, "succeeded", "partial", "failed"])
def test_only_a_run_that_waits_is_closed_by_others(
    run_log: RunLog, run_id: str, state: str
) -> None:
    """How a run ended stays what it was, and what somebody is at is theirs to end."""
    run_log.change(run_id, state=state, error=None)
    error = {"kind": "settings", "message": "Not configured.", "hint": ""}
    assert run_log.abort_waiting(run_id, error) is (state == UNFINISHED)
    found = run_log.get(run_id)
    assert found
    expected = ("aborted", error) if state == UNFINISHED else (state, None)
    assert (found.state, found.error) == expected


@pytest.mark.parametrize(
    ("state", "holder", "is_postponed"),
    [
        (UNFINISHED, "another", True),
        ("failed", "ann on host", True),
        ("failed", "another", False),
        (RUNNING, "another", False),
        (RUNNING, "ann on host", False),
        ("succeeded", "ann on host", False),
        ("aborted", "ann on host", False),
    ],
)
def test_only_what_waits_or_was_ones_own_is_postponed(
    run_log: RunLog, run_id: str, state: str, holder: str, is_postponed: bool
) -> None:
    """A message that comes twice leaves alone what another process is at, or has ended."""
    run_log.change(run_id, state=state)
    assert run_log.postpone(run_id, holder, 5.0) is is_postponed
    found = run_log.get(run_id)
    assert found
    assert found.state == (UNFINISHED if is_postponed else state)
    assert (found.due_at is not None) is is_postponed


def test_an_unknown_run_cannot_be_resumed(run_log: RunLog, pair_id: int) -> None:
    """Resuming what was never begun is said, not invented."""
    with pytest.raises(StoreError, match="no run"):
        run_log.resume("20260301-120000-ffff", pair_id, "ann")


def test_the_latest_runs_come_newest_first(store: Store, run_log: RunLog, pair_id: int) -> None:
    """Only the pair's own, and no more than were asked for."""
    run_log.begin(store.pair(identity(2)).id, "manual", "bob", NOW + MINUTE)
    ids = [run_log.begin(pair_id, "manual", "ann", NOW + n * SECOND).id for n in range(4)]
    assert [run.id for run in run_log.latest(pair_id)] == ids[::-1]
    assert [run.id for run in run_log.latest(pair_id, 2)] == ids[:1:-1]


def test_an_unknown_run_is_none(run_log: RunLog, pair_id: int) -> None:
    """A mistyped id is not an error of the database."""
    assert run_log.get("20260301-120000-ffff") is None
    assert run_log.running(pair_id) is None
    assert run_log.latest(pair_id) == []


def test_a_run_of_no_pair_is_a_store_error(run_log: RunLog) -> None:
    """A run belongs to a recorded pair; the database sees to it."""
    with pytest.raises(StoreError):
        run_log.begin(999, "manual", "ann", NOW)


# --- naming one


def test_a_run_is_named_by_its_id_or_any_unique_part_of_either_end(
    run_log: RunLog, pair_id: int
) -> None:
    one, other = (run_log.begin(pair_id, "manual", "ann", NOW) for _ in range(2))
    assert [run.id for run in run_log.named(one.id)] == [one.id]
    assert {run.id for run in run_log.named("20260301")} == {one.id, other.id}
    assert run_log.named("260301-120000") == []
    for run in (one, other):
        name = run_log.shortest_name(run.id)
        assert len(name) >= SHORTEST_NAME
        assert run.id.endswith(name)
        assert [found.id for found in run_log.named(name)] == [run.id]


def test_an_ending_that_begins_another_id_is_made_longer(run_log: RunLog, pair_id: int) -> None:
    run = run_log.begin(pair_id, "manual", "ann", NOW)
    rename(run_log, run.id, "20260301-120000-2026")
    assert run_log.shortest_name("20260301-120000-2026") == "2026"
    later = run_log.begin(pair_id, "manual", "ann", NOW)
    assert later.id.startswith("2026")
    assert run_log.shortest_name("20260301-120000-2026") == "-2026"


def test_what_stands_for_any_character_stands_for_itself(run_log: RunLog, run_id: str) -> None:
    assert run_id
    for name in ("%%%%", "____", "2026%", "20260301_120000"):
        assert run_log.named(name) == []


def test_runs_of_several_pairs_come_together_newest_first(
    run_log: RunLog, store: Store, pair_id: int
) -> None:
    other = store.pair(replace(identity(), testrail_project=2)).id
    begun = [
        run_log.begin(pair, "manual", "ann", NOW + number * MINUTE).id
        for number, pair in enumerate([pair_id, other, pair_id])
    ]
    assert [run.id for run in run_log.of_pairs([pair_id, other])] == begun[::-1]
    assert [run.id for run in run_log.of_pairs([pair_id, other], 2)] == begun[:0:-1]
    assert [run.id for run in run_log.of_pairs([other])] == [begun[1]]
    assert run_log.of_pairs([]) == []


def rename(run_log: RunLog, run_id: str, name: str) -> None:
    with run_log.engine.begin() as connection:
        connection.execute(update(runs).where(runs.c.id == run_id).values(id=name))


def test_the_newest_runs_of_every_pair_are_found_together(
    store: Store, run_log: RunLog, pair_id: int
) -> None:
    """So many of each, newest first, whichever pair has run more or not at all."""
    other, idle = store.pair(identity(2)).id, store.pair(identity(3)).id
    ids = [run_log.begin(pair_id, "manual", "", NOW + n * MINUTE).id for n in range(7)]
    same = [run_log.begin(other, "manual", "", NOW).id for _ in range(3)]
    found = latest_runs(store.engine, [pair_id, other, idle], 2)
    assert [run.id for run in found[pair_id]] == [ids[6], ids[5]]
    assert [run.id for run in found[other]] == sorted(same, reverse=True)[:2]
    assert found[idle] == []
    assert found[pair_id] == run_log.latest(pair_id, 2)
