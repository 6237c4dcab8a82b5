"""The schedule: each pair's cron line in UTC, kept in Redis by RedBeat, where one beat ticks.

Each pair starts a few seconds after its moment, so that many pairs do not start in the same second.

A message is sent before its moment counts as past, so that none is lost: every task may run twice.
"""

from __future__ import annotations

import time
import zlib
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any, Final

import structlog
from celery.beat import SchedulingError
from celery.schedules import crontab
from celery.signals import beat_init
from redbeat import RedBeatScheduler
from redbeat.schedulers import (
    LUA_EXTEND_TO_SCRIPT,
    RedBeatSchedulerEntry,
    acquire_distributed_beat_lock,
    get_redis,
)
from redis.exceptions import LockError, RedisError, ResponseError

from worker.settings import ProjectPair, Settings
from worker.settings.schedule import moments
from worker.tasks.age import redis_time

SPREAD: Final = 30.0
"""Over so many seconds the pairs of one moment are spread."""
SWEEP_EVERY: Final = 15.0
"""Seconds; with the ages in `mappings.runs`, what is lost is gone on with within a minute."""
TICK_KEY: Final = "milesync:beat:ticked"
TICK_KEPT: Final = 3600
"""Seconds that a tick is kept; what is left of them says how old it is, by Redis's own clock."""
_SYNC: Final = "milesync.sync_project"
_RETRY: Final = 2.0
_SET_BACK: Final = timedelta(minutes=1)
"""What lies further in the future was not written by this clock as it is now."""
_UNREADABLE: Final = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)

# It would wait for the lock before the first tick, for ever and without a word.
beat_init.disconnect(acquire_distributed_beat_lock)

log = structlog.get_logger(__name__)


def beat_schedule(settings: Settings) -> dict[str, Any]:
    """What beat starts: a sync of each enabled pair, and the sweep."""
    entries = {f"sync {pair}": _entry(pair) for pair in settings.projects if pair.enabled}
    sweep = {
        "task": "milesync.sweep_deliveries",
        "schedule": SWEEP_EVERY,
        "kwargs": {"good_for": SWEEP_EVERY},
    }
    return {**entries, "sweep": sweep}


def _entry(pair: ProjectPair) -> dict[str, Any]:
    return {
        "task": _SYNC,
        "schedule": _line(pair.schedule),
        "args": (pair.testrail, pair.testably, "schedule"),
        "kwargs": {"good_for": max(int(period(pair.schedule)), 60)},
    }


def _line(cron: str) -> crontab:
    # Celery's own order is another one: the weekday comes third there.
    minute, hour, day, month, weekday = cron.split()
    return crontab(minute, hour, weekday, day, month)


def period(cron: str) -> float:
    """The longest pause between two of the line's next moments, in seconds."""
    some = list(islice(moments(cron, datetime.now(UTC)), 9))
    return max((later - at).total_seconds() for at, later in pairwise(some))


def offset(name: str, moment: datetime) -> float:
    """The seconds after its moment at which an entry starts.

    Each time others: where the workers cannot do all in time, it is not always the same pairs that
    come last.
    """
    return zlib.crc32(f"{name} {moment:%Y-%m-%d %H:%M}".encode()) % 1000 / 1000 * SPREAD


class Entry(RedBeatSchedulerEntry):  # type: ignore[misc]
    """An entry that starts a little after its moment; at once if it never did."""

    def __init__(self, *args: Any, last_run_at: datetime | None = None, **more: Any) -> None:
        super().__init__(*args, last_run_at=last_run_at, **more)
        self.last_run_at = last_run_at  # Celery would take "never" for "now"

    @classmethod
    def from_key(cls, key: str, app: Any = None) -> Entry:
        """As it was stored. A start in the future is none: the clock was set back since."""
        entry: Entry = super().from_key(key, app)
        if entry.last_run_at is not None and entry.last_run_at > entry.default_now() + _SET_BACK:
            entry.last_run_at = None
        return entry

    @property
    def due_at(self) -> Any:
        """When it starts: until then RedBeat leaves it in Redis, and reads others faster."""
        if self.last_run_at is None or self.task != _SYNC:
            return super().due_at
        now = self.schedule.now()
        moment = now + self.schedule.remaining_estimate(self.last_run_at)
        return moment + timedelta(seconds=offset(self.name, moment))

    def is_due(self) -> tuple[bool, float]:
        if self.last_run_at is not None and self.task == _SYNC:
            left = (self.due_at - self.schedule.now()).total_seconds()
            if left > 0:
                return False, left
        due: tuple[bool, float] = super().is_due()
        return due


class Scheduler(RedBeatScheduler):  # type: ignore[misc]
    """RedBeat that goes on whatever becomes of Redis or the clock, and says what it waits for."""

    Entry = Entry
    lock: Any = None
    _is_set_up = False
    _latest = 0.0
    _extended_at = 0.0
    _told: str | None = None
    _unsent: SchedulingError | None = None
    _ticks = False
    _is_closed = False

    def setup_schedule(self) -> None:
        """Nothing yet: only the beat that has the lock writes the schedule, in its first tick."""

    def tick(self, *_: Any, **__: Any) -> float:
        """Start what is due; the seconds until the next tick. Raises SystemExit once it is closed.

        Celery raises that too, in the handler of the signal; what it interrupts may swallow it.
        """
        wait = 0.0
        self._ticks = True
        try:
            if not self._is_closed:
                wait = self._tick()
        except Exception as error:
            if not self._is_closed:
                wait = self._after(error)
        finally:
            self._ticks = False
        if self._is_closed:
            raise SystemExit
        return wait

    def _after(self, error: Exception) -> float:
        """Seconds until the next tick, after one that raised. Raises what it does not know."""
        if isinstance(error, LockError):
            # Redis came back empty, or this beat was asleep for longer than its lock lasts
            self._tell("beat lost its lock and starts over")
            self.lock, self._is_set_up = None, False
            return 0.0
        wrong_type = isinstance(error, ResponseError) and "WRONGTYPE" in str(error)
        if wrong_type or isinstance(error, _UNREADABLE):
            return self._write_anew(error)
        if isinstance(error, RedisError | SchedulingError):
            self._tell("beat cannot use Redis, and tries again", str(error))
            return _RETRY
        raise error

    def _tick(self) -> float:
        redis = get_redis(self.app)
        if self.lock is None and not self._take_lock(redis):
            self._tell("another beat is at work; this one waits")
            return float(self.max_interval)
        if time.time() < self._latest - _SET_BACK.total_seconds():
            self._is_set_up = False  # what is due in the future may be due now
        self._latest = time.time()
        if not self._is_set_up:
            super().setup_schedule()
            self._is_set_up = True
        self._unsent = None
        wait = float(super().tick())
        if self._unsent is not None:
            raise self._unsent
        redis.set(TICK_KEY, self._latest, ex=TICK_KEPT)
        self._tell(None)
        return wait

    def update_from_dict(self, entries: dict[str, Any]) -> None:
        """Write these entries of the schedule."""
        for name, entry in entries.items():
            self._keep_lock()
            super().update_from_dict({name: entry})

    def maybe_due(self, entry: Any, **more: Any) -> float:
        """Send the entry's message if it is due; the seconds until it is worth asking again.

        One that cannot be sent stays due, and keeps no other from being sent.
        """
        self._keep_lock()
        due, wait = entry.is_due()
        if due:
            try:
                self.apply_async(entry, advance=False, **more)
            except SchedulingError as error:
                self._unsent = error
                return _RETRY
            self.reserve(entry)
        return float(wait)

    def apply_async(self, entry: Any, *arguments: Any, **more: Any) -> Any:
        """Send the entry's message, which says when by Redis's clock: `worker.tasks.age`."""
        entry.kwargs = {**(entry.kwargs or {}), "sent_at": redis_time(get_redis(self.app))}
        return super().apply_async(entry, *arguments, **more)

    def _take_lock(self, redis: Any) -> bool:
        left = redis.pttl(self.lock_key)
        if left == -1 or left > 1000 * self.lock_timeout:  # not ours: it would stand for ever
            redis.delete(self.lock_key)
        lock = redis.lock(self.lock_key, timeout=int(self.lock_timeout))
        lock.lua_extend = redis.register_script(LUA_EXTEND_TO_SCRIPT)
        if lock.acquire(blocking=False):
            self.lock, self._extended_at = lock, time.monotonic()
        return self.lock is not None

    def _keep_lock(self) -> None:
        """Extend the lock: with many thousand pairs one tick may last for longer than it does."""
        if time.monotonic() - self._extended_at > self.lock_timeout / 3:
            self.lock.extend(int(self.lock_timeout))
            self._extended_at = time.monotonic()

    def _write_anew(self, error: Exception) -> float:
        """Remove what stands where our schedule belongs: every pair is then due."""
        self._tell("what Redis held of the schedule was unreadable and is replaced", str(error))
        conf, redis = self.app.redbeat_conf, get_redis(self.app)
        ours = [Entry.generate_key(self.app, name) for name in conf.schedule]
        with suppress(RedisError):  # the next tick says what is wrong with Redis
            redis.delete(conf.schedule_key, conf.statics_key, *ours)
            if redis.type(self.lock_key) != "string":
                redis.delete(self.lock_key)
                self.lock = None
        self._is_set_up = False
        return _RETRY

    def _tell(self, what: str | None, error: str = "") -> None:
        """Log what holds the beat up, once; and once that it goes on."""
        if what is not None and what != self._told:
            log.warning(what, **({"error": error} if error else {}))
        elif what is None and self._told is not None:
            log.info("beat goes on")
        self._told = what

    def close(self) -> None:
        """Let another beat take over at once; where Redis is away, it can after half a minute.

        Celery calls this in the handler of a signal, and again at the end. Within a tick the first
        call leaves the lock alone, since it comes in the middle of what that does with Redis.
        """
        self._is_closed = True
        if not self._ticks:
            with suppress(RedisError):
                super().close()
