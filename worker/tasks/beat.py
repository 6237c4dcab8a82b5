"""The schedule: each pair's cron line in UTC, kept in Redis by RedBeat, where one beat ticks.

Each pair starts a few seconds after its moment, always the same few, so that many pairs do not
start in the same second.
"""

from __future__ import annotations

import time
import zlib
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Final

import structlog
from celery.schedules import crontab
from redbeat import RedBeatScheduler
from redbeat.schedulers import RedBeatSchedulerEntry, acquire_distributed_beat_lock, get_redis
from redis.exceptions import LockError, RedisError

from worker.settings import ProjectPair, Settings

SPREAD: Final = 30.0
"""Over so many seconds the pairs of one moment are spread."""
SWEEP_EVERY: Final = 15.0
"""Seconds; with the ages in `mappings.runs`, what is lost is gone on with within a minute."""
TICK_KEY: Final = "milesync:beat:ticked"
_RETRY: Final = 2.0

log = structlog.get_logger(__name__)


def beat_schedule(settings: Settings) -> dict[str, Any]:
    """What beat starts: a sync of each enabled pair, and the sweep."""
    entries = {f"sync {pair}": _entry(pair) for pair in settings.projects if pair.enabled}
    sweep = {
        "task": "milesync.sweep_deliveries",
        "schedule": SWEEP_EVERY,
        "options": {"expires": SWEEP_EVERY},
    }
    return {**entries, "sweep": sweep}


def _entry(pair: ProjectPair) -> dict[str, Any]:
    return {
        "task": "milesync.sync_project",
        "schedule": _line(pair.schedule),
        "args": (pair.testrail, pair.testably, "schedule"),
        "options": {"expires": max(int(period(pair.schedule)), 60)},
    }


def _line(cron: str, **more: Any) -> crontab:
    # Celery's own order is another one: the weekday comes third there.
    minute, hour, day, month, weekday = cron.split()
    return crontab(minute, hour, weekday, day, month, **more)


def period(cron: str) -> float:
    """The longest pause between two of the line's next moments, in seconds."""
    at = datetime.now(UTC)
    line = _line(cron, nowfun=lambda: at)
    longest = 0.0
    for number in range(9):
        wait = line.remaining_estimate(at)
        longest = max(longest, wait.total_seconds()) if number else 0.0
        at += wait
    return longest


def offset(name: str) -> float:
    """The seconds after its moment at which an entry starts."""
    return zlib.crc32(name.encode()) % 1000 / 1000 * SPREAD


class Entry(RedBeatSchedulerEntry):  # type: ignore[misc]
    """An entry that starts a little after its moment; at once if it never did."""

    def __init__(self, *args: Any, last_run_at: datetime | None = None, **more: Any) -> None:
        super().__init__(*args, last_run_at=last_run_at, **more)
        self.last_run_at = last_run_at  # Celery would take "never" for "now"

    def is_due(self) -> tuple[bool, float]:
        due, wait = super().is_due()
        if not due or self.last_run_at is None or self.task != "milesync.sync_project":
            return due, wait
        late = -self.schedule.remaining_estimate(self.last_run_at).total_seconds()
        left = offset(self.name) - late
        return (False, left) if left > 0 else (due, wait)


class Scheduler(RedBeatScheduler):  # type: ignore[misc]
    """RedBeat that outlives an emptied or absent Redis, and says when it last ticked."""

    Entry = Entry
    lock: Any = None

    def tick(self, *args: Any, **kwargs: Any) -> float:
        try:
            if self.lock is None:
                self._start_over()
            wait = super().tick(*args, **kwargs)
            get_redis(self.app).set(TICK_KEY, time.time(), ex=3600)
        except LockError:
            # Redis came back empty, or this beat was asleep for longer than its lock lasts
            log.warning("beat lost its lock and starts over")
            self.lock = None
            return 0.0
        except RedisError as error:
            log.warning("beat cannot reach Redis", error=type(error).__name__)
            return _RETRY
        return float(wait)

    def _start_over(self) -> None:
        acquire_distributed_beat_lock(SimpleNamespace(scheduler=self))
        self.setup_schedule()
