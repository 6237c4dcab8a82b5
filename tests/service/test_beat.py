"""The schedule: what it starts and when, once, whatever happens to Redis or to a beat."""

from __future__ import annotations

import base64
import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery.beat import SchedulingError
from hypothesis import given
from hypothesis import strategies as st
from redbeat.schedulers import ensure_conf
from redis.exceptions import LockError
from structlog.testing import capture_logs

from tests.service.stack import ENDED, Stack, eventually, free_port
from tests.service.test_chaos import own_redis
from tests.support.clock import NOW
from worker.tasks import app, sweep_deliveries, sync_project, use_settings
from worker.tasks.age import redis_time
from worker.tasks.beat import (
    SPREAD,
    SWEEP_EVERY,
    Entry,
    Scheduler,
    beat_schedule,
    offset,
    period,
)


def ticks(stack: Stack, queue: str = "sync") -> int:
    return int(stack.redis.llen(queue))


def test_each_enabled_pair_has_its_own_line(stack: Stack) -> None:
    """Arguments are ids; a disabled pair has no entry."""
    stack.extra["MILESYNC_PROJECTS"] = ""
    (stack.folder / "milesync.toml").write_text(
        """
        [[projects]]
        testrail = 1
        testably = "proj_a"
        schedule = "5 3 * * 1"
        [[projects]]
        testrail = 2
        testably = "proj_b"
        enabled = false
        """
    )
    entries = beat_schedule(stack.settings)
    assert set(entries) == {"sync 1=proj_a", "sweep"}
    entry = entries["sync 1=proj_a"]
    assert entry["args"] == (1, "proj_a", "schedule")
    assert str(entry["schedule"]) == "<crontab: 5 3 * * 1 (m/h/dM/MY/d)>"
    assert entry["kwargs"] == {"good_for": 7 * 24 * 3600}


@pytest.mark.parametrize(
    ("line", "seconds"), [("*/15 * * * *", 900), ("0 * * * *", 3600), ("0 2 * * *", 86400)]
)
def test_period(line: str, seconds: int) -> None:
    assert period(line) == pytest.approx(seconds, abs=1)


@given(st.text(), st.datetimes())
def test_the_offset_is_small_and_the_same_for_one_moment(name: str, moment: datetime) -> None:
    assert 0 <= offset(name, moment) < SPREAD
    assert offset(name, moment) == offset(name, moment.replace(second=59))


def test_no_pair_is_always_the_last_to_start() -> None:
    """Of 50 pairs, each comes last or nearly so now and then, and none of them often."""
    names = [f"sync {number}=proj_{number}" for number in range(50)]
    last = Counter(
        name
        for number in range(200)
        for name in sorted(names, key=lambda n: offset(n, NOW + number * timedelta(minutes=15)))[
            -5:
        ]
    )
    assert set(last) == set(names)
    assert max(last.values()) < 50


def test_an_entry_is_kept_in_redis_until_it_starts(stack: Stack) -> None:
    """Its place is that of its start, so that a tick reads none that is not due."""
    use_settings(stack.settings)
    ensure_conf(app)
    schedule = beat_schedule(stack.settings)["sync 1=proj_abc123"]["schedule"]
    at = NOW.replace(minute=15)
    for now in (NOW + timedelta(minutes=3), at + timedelta(seconds=SPREAD)):
        schedule.nowfun = lambda now=now: now
        entry = Entry("sync 1", "milesync.sync_project", schedule, app=app, last_run_at=NOW)
        starts = at + timedelta(seconds=offset("sync 1", at))
        assert abs(entry.due_at - starts) < timedelta(milliseconds=1)
        assert entry.is_due()[0] is (now > at)


def test_two_beats_start_each_moment_once(stack: Stack) -> None:
    """The second waits for the first one's lock, and takes over when it is gone."""
    began = time.monotonic()
    first = stack.start("beat1", "celery", "-A", "worker.tasks", "beat")
    eventually(lambda: ticks(stack) == 1, 20, stack.logs("beat1"))
    stack.start("beat2", "celery", "-A", "worker.tasks", "beat")
    eventually(lambda: "Starting" in stack.log("beat2"), 20, stack.logs("beat2"))
    assert ticks(stack) == 1
    stack.redis.delete("milesync:beat:ticked")
    stack.kill(first, 15)
    eventually(lambda: stack.redis.get("milesync:beat:ticked"), 20, stack.logs("beat2"))
    assert ticks(stack) == 1
    moments = (time.monotonic() - began) // SWEEP_EVERY + 1
    assert 1 <= ticks(stack, "sweep") <= moments


def test_a_redis_that_came_back_empty_is_filled_again(stack: Stack) -> None:
    """The beat notices, takes its lock anew and starts every pair."""
    stack.start("beat", "celery", "-A", "worker.tasks", "beat")
    eventually(lambda: ticks(stack) == 1, 20, stack.logs("beat"))
    stack.redis.flushall()
    eventually(lambda: ticks(stack) == 1, 20, stack.logs("beat"))
    assert stack.redis.zcard("milesync:beat::schedule") == 2


def test_a_redis_that_is_away_is_waited_for(stack: Stack) -> None:
    """When the beat starts, and later: said once each time, without a traceback."""
    port = free_port()
    stack.redis_url = f"redis://127.0.0.1:{port}/0"
    stack.start("beat", "celery", "-A", "worker.tasks", "beat")
    for _ in range(2):
        before = stack.log("beat").count("beat goes on")
        eventually(lambda: stack.log("beat").count("beat cannot use Redis") > before, 30)  # noqa: B023
        with own_redis(stack.folder, port):
            eventually(lambda: stack.log("beat").count("beat goes on") > before, 30)  # noqa: B023
            eventually(lambda: ticks(stack) == 1, 20, stack.logs("beat"))
    assert stack.log("beat").count("beat cannot use Redis") == 2
    assert "Traceback" not in stack.log("beat")


def test_a_lock_that_never_ends_is_nobodys(stack: Stack) -> None:
    stack.redis.set("milesync:beat::lock", "somebody")
    stack.start("beat", "celery", "-A", "worker.tasks", "beat")
    eventually(lambda: ticks(stack) == 1, 20, stack.logs("beat"))


def test_a_beat_that_waits_for_another_says_so(stack: Stack) -> None:
    """And its process ends at once when it is asked to."""
    stack.redis.set("milesync:beat::lock", "somebody", ex=30)
    beat = stack.start("beat", "celery", "-A", "worker.tasks", "beat")
    eventually(lambda: "another beat is at work" in stack.log("beat"), 20, stack.logs("beat"))
    beat.terminate()
    assert beat.wait(ENDED) == 0
    assert ticks(stack) == 0


@pytest.fixture
def scheduler(stack: Stack) -> Iterator[Scheduler]:
    """A beat of this process, whose ticks are made by hand; both its entries have started."""
    app.__dict__.pop("redbeat_redis", None)
    app.__dict__.pop("redbeat_conf", None)
    use_settings(stack.settings)
    made = Scheduler(app=app, lazy=False)
    made.tick()
    assert (ticks(stack), ticks(stack, "sweep")) == (1, 1)
    yield made
    made.close()


def test_a_clock_that_is_set_back_stops_no_schedule(stack: Stack, scheduler: Scheduler) -> None:
    """Everything has started two hours from now, as the clock is; it is due at once."""
    for name in ("sync 1=proj_abc123", "sweep"):
        entry = Entry.from_key(Entry.generate_key(app, name), app=app)
        entry.reschedule(datetime.now(UTC) + timedelta(hours=2))
    scheduler.tick()
    assert (ticks(stack), ticks(stack, "sweep")) == (1, 1)
    scheduler._latest += 7200
    scheduler.tick()
    assert (ticks(stack), ticks(stack, "sweep")) == (2, 2)
    scheduler.tick()
    assert (ticks(stack), ticks(stack, "sweep")) == (2, 2)


def test_a_tick_that_lasts_keeps_its_lock(stack: Stack, scheduler: Scheduler) -> None:
    """With many thousand pairs, whose writing or sending takes longer than the lock does."""
    entry = Entry.from_key(Entry.generate_key(app, "sweep"), app=app)
    for lasts in (
        lambda: scheduler.update_from_dict(beat_schedule(stack.settings)),
        lambda: scheduler.maybe_due(entry),
    ):
        scheduler._extended_at = float("-inf")
        stack.redis.pexpire(scheduler.lock_key, 2000)
        lasts()
        assert int(stack.redis.pttl(scheduler.lock_key)) > 20_000


def test_a_message_that_cannot_be_sent_stays_due(
    stack: Stack, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its schedule; and it keeps no other from being sent."""
    for name in ("sync 1=proj_abc123", "sweep"):
        entry = Entry.from_key(Entry.generate_key(app, name), app=app)
        entry.reschedule(datetime.now(UTC) - timedelta(days=1))
    send = Scheduler.apply_async

    def refuse(self: Scheduler, entry: Entry, **more: Any) -> Any:
        if entry.name != "sweep":
            raise SchedulingError("the broker is away")
        return send(self, entry, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Scheduler, "apply_async", refuse)
        scheduler.tick()
        assert (ticks(stack), ticks(stack, "sweep")) == (1, 2)
    scheduler.tick()
    assert (ticks(stack), ticks(stack, "sweep")) == (2, 2)


@pytest.mark.parametrize("made_of_it", [SystemExit, ValueError, SchedulingError, LockError])
def test_a_signal_ends_it_whatever_it_interrupts(
    stack: Stack, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, made_of_it: type[Exception]
) -> None:
    """Celery's handler closes it and raises SystemExit, which what it interrupts may replace."""
    entry = Entry.from_key(Entry.generate_key(app, "sweep"), app=app)
    entry.reschedule(datetime.now(UTC) - timedelta(days=1))

    def interrupted(*_: Any, **__: Any) -> None:
        scheduler.close()
        raise made_of_it

    monkeypatch.setattr(Scheduler, "apply_async", interrupted)
    with capture_logs() as told:
        for _ in range(2):
            with pytest.raises(SystemExit):
                scheduler.tick()
    assert stack.redis.exists(entry.key, scheduler.app.redbeat_conf.schedule_key) == 2
    assert told == []
    scheduler.close()
    assert not stack.redis.exists(scheduler.lock_key)


def test_a_pair_starts_a_little_after_its_moment(stack: Stack) -> None:
    """Due by its line, and not yet by its offset."""
    use_settings(stack.settings)
    ensure_conf(app)
    moment = datetime.now(UTC).replace(second=0, microsecond=0)
    schedule = beat_schedule(stack.settings)["sync 1=proj_abc123"]["schedule"]
    entry = Entry(
        "sync 1=proj_abc123", "milesync.sync_project", schedule, app=app, last_run_at=None
    )
    assert entry.is_due()[0]
    late = timedelta(seconds=offset(entry.name, moment.replace(minute=0)))
    for after, due in ((late / 2, False), (late + timedelta(seconds=1), True)):
        schedule.nowfun = lambda after=after: moment.replace(minute=0) + after
        entry.last_run_at = moment.replace(minute=0) - timedelta(minutes=15)
        assert entry.is_due()[0] is due


@pytest.mark.usefixtures("scheduler")
def test_how_old_a_message_is_no_machines_clock_says(stack: Stack) -> None:
    """Redis alone is asked, when it is sent and when it is taken up: machines' clocks differ."""
    for queue, good_for in (("sync", 900), ("sweep", SWEEP_EVERY)):
        message = json.loads(stack.redis.lindex(queue, 0) or b"{}")
        assert message["headers"]["expires"] is None
        _, said, _ = json.loads(base64.b64decode(message["body"]))
        assert said["good_for"] == good_for
        assert said["sent_at"] == pytest.approx(redis_time(stack.redis), abs=60)


@pytest.mark.usefixtures("scheduler")
def test_a_worker_whose_clock_is_ahead_drops_no_message(stack: Stack) -> None:
    """By an hour: it sweeps, and does what is due."""
    stack.testrail.model.add(1, {"name": "M"})
    quiet = ("--without-gossip", "--without-mingle", "-c", "1")
    stack.start("worker", "tests.service.ahead", "3600", "-A", "worker.tasks", "worker", *quiet)
    eventually(lambda: stack.names() == ["M"], 30, stack.logs("worker"))
    eventually(lambda: stack.log("worker").count(" succeeded in ") >= 2, 30, stack.logs("worker"))
    assert "skipped" not in stack.log("worker")


def test_an_old_message_is_dropped_and_a_fresh_one_is_not(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that were away for long do not do each moment of the schedule that they missed."""
    stack.testrail.model.add(1, {"name": "M"})
    now = redis_time(stack.redis)
    with stack.deployment as here, capture_logs() as told:
        monkeypatch.setattr("worker.tasks.jobs.deployment", lambda: here)
        sweep_deliveries(sent_at=now - 61, good_for=60)
        sync_project(1, "proj_abc123", "schedule", sent_at=now - 61, good_for=60)
        assert stack.testrail.requests == []
        assert [str(line["event"]).split(":")[0] for line in told] == ["skipped"] * 2
        sync_project(1, "proj_abc123", "schedule", sent_at=now - 61, good_for=900)
        assert stack.names() == ["M"]


def test_messages_hold_no_secret(stack: Stack) -> None:
    """Ids and a trigger, nothing else."""
    stack.start("beat", "celery", "-A", "worker.tasks", "beat")
    eventually(lambda: ticks(stack) == 1, 20, stack.logs("beat"))
    message = json.loads(stack.redis.lindex("sync", 0) or b"{}")
    assert stack.settings.testably.token is not None
    for secret in stack.settings.secrets:
        assert secret.get_secret_value() not in json.dumps(message)
