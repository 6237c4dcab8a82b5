"""The rate limiter: who may send the next request, and when.

A sliding log of the grants, as both vendors count requests in a window (Testably page, status 429:
60 a minute). The window here is 2 % longer than theirs, because a request arrives later than it
was granted. Background work is paced evenly, so that a slot comes free every interval; a refresh
takes any free slot, and while one waits the background leaves it the next. All times are seconds.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

import structlog
from redis import Redis
from redis.exceptions import RedisError

from worker.clock import Clock
from worker.errors import BudgetExhausted, LimiterAway, NoLimiter
from worker.redis_causes import redis_words

WINDOW_MARGIN: Final = 1.02
LONGEST_PAUSE: Final = 3600.0
LONGEST_SLEEP: Final = 5.0
LONGEST_OUTAGE: Final = 300.0
"""Seconds for which a rate limiter that has answered before is waited for."""
_SHORTEST_WAIT: Final = 0.001
_YIELD_SLOTS: Final = 2

log = structlog.get_logger(__name__)


class Priority(StrEnum):
    """A refresh goes before background work."""

    REFRESH = "refresh"
    BACKGROUND = "background"


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What a vendor allows: so many requests in so many seconds. Both must be positive."""

    requests: int
    seconds: float

    def __post_init__(self) -> None:
        if self.requests < 1 or not self.seconds > 0:
            raise ValueError("a rate limit needs at least one request in a positive time")

    @property
    def window(self) -> float:
        """The window that is kept to, in seconds."""
        return self.seconds * WINDOW_MARGIN

    @property
    def interval(self) -> float:
        """The seconds from one paced request to the next."""
        return self.window / self.requests


class RateLimiter(Protocol):
    """The grants of one account. Never blocks; every method is safe to call from any thread."""

    def try_acquire(self, priority: Priority) -> float:
        """0.0 if one request may be sent now, else the seconds until it is worth asking again."""

    def pause(self, seconds: float) -> None:
        """Grant nothing to anybody for so long; at most an hour; never shortens a pause."""

    def paused_for(self) -> float:
        """The seconds that are left of a pause, else 0.0."""


class LocalRateLimiter:
    """The rate limiter of one process."""

    def __init__(self, limit: RateLimit, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._grants: deque[float] = deque()
        self._background_due = float("-inf")
        self._yield_until = float("-inf")
        self._paused_until = float("-inf")

    def try_acquire(self, priority: Priority) -> float:
        with self._lock:
            now = self._clock.monotonic()
            wait = self._wait(priority, now)
            if wait > 0:
                wait = max(wait, _SHORTEST_WAIT)
                if priority is Priority.REFRESH:
                    self._yield_until = now + wait + _YIELD_SLOTS * self._limit.interval
                return wait
            self._grant(priority, now)
            return 0.0

    def note(self, priority: Priority) -> None:
        """Count a request that somebody else's rate limiter has granted."""
        with self._lock:
            self._grant(priority, self._clock.monotonic())

    def pause(self, seconds: float) -> None:
        with self._lock:
            until = self._clock.monotonic() + min(max(seconds, 0.0), LONGEST_PAUSE)
            self._paused_until = max(self._paused_until, until)

    def paused_for(self) -> float:
        with self._lock:
            return max(self._paused_until - self._clock.monotonic(), 0.0)

    def _wait(self, priority: Priority, now: float) -> float:
        if self._paused_until > now:
            return self._paused_until - now
        while self._grants and self._grants[0] + self._limit.window <= now:
            self._grants.popleft()
        if len(self._grants) >= self._limit.requests:
            return self._grants[0] + self._limit.window - now
        if priority is Priority.REFRESH:
            return 0.0
        if self._yield_until > now:
            return min(self._yield_until - now, self._limit.interval)
        return self._background_due - now

    def _grant(self, priority: Priority, now: float) -> None:
        self._grants.append(now)
        if priority is Priority.REFRESH:
            self._yield_until = now
            return
        # Who asks a little late keeps to the schedule; who was away starts a new one.
        late = now - self._background_due
        start = self._background_due if late <= self._limit.interval else now
        self._background_due = start + self._limit.interval


# The same rules as LocalRateLimiter's, in whole microseconds of Redis's own clock, which all
# callers share. %.0f: the default format of a number would lose the last digits of a time.
SCRIPT: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local log, state = KEYS[1], KEYS[2]
local op, size = ARGV[1], tonumber(ARGV[2])
local window, interval, pause = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local function text(number) return string.format('%.0f', number) end
for key, kind in pairs({[log] = 'list', [state] = 'hash'}) do  -- anything else is not ours
  local found = redis.call('TYPE', key).ok
  if found ~= kind and found ~= 'none' then redis.call('DEL', key) end
end
local function time(text, latest)  -- 0 for what is no time, or later than any that we write
  local number = tonumber(text or '0')
  if number and number >= 0 and number <= latest then return number end
  return 0
end
local function field(name, latest) return time(redis.call('HGET', state, name), latest) end
local function set(name, value) redis.call('HSET', state, name, text(value)) end
local function keep(extra)
  local ttl = text(math.ceil((2 * window + extra) / 1000))
  redis.call('PEXPIRE', log, ttl)
  redis.call('PEXPIRE', state, ttl)
end
local paused = field('paused', now + 3600000000)
if op == 'paused' then return text(math.max(paused - now, 0)) end
if op == 'pause' then
  set('paused', math.max(paused, now + pause))
  keep(math.max(paused - now, pause))
  return '0'
end

local grants = redis.call('LLEN', log)
local function granted(index)  -- 0 for what is no time of the past, unless the list is empty
  if grants == 0 then return now end
  return time(redis.call('LINDEX', log, index), now)
end
local due = field('due', now + interval)
local yield = field('yield', now + math.max(window, paused - now) + 2 * interval)
if granted(0) == 0 or granted(-1) == 0 or granted(math.max(grants - size, 0)) == 0 then
  -- the clock was set back, or these are not ours: count every grant as one of this moment
  grants = math.min(grants, size)
  redis.call('DEL', log)
  for _ = 1, grants do redis.call('RPUSH', log, text(now)) end
end
while grants > 0 and granted(0) + window <= now do
  redis.call('LPOP', log)
  grants = grants - 1
end

if op == 'left' then
  keep(math.max(paused - now, 0))
  if paused > now then return '0' end
  return text(math.max(size - grants, 0) * 1000000)
end

local wait = 0
if paused > now then
  wait = paused - now
elseif grants >= size then
  wait = granted(grants - size) + window - now
elseif op == 'background' then
  if yield > now then wait = math.min(yield - now, interval) else wait = math.max(due - now, 0) end
end

if wait > 0 then
  if op == 'refresh' then set('yield', now + wait + 2 * interval) end
else
  redis.call('RPUSH', log, text(now))
  if op == 'refresh' then
    set('yield', now)
  else
    if now - due > interval then due = now end
    set('due', due + interval)
  end
end
keep(math.max(paused - now, 0))
return text(wait)
"""


class RedisRateLimiter:
    """The rate limiter of every process that uses one Redis; ``key`` comes from `rate_limiter_key`.

    Raises NoLimiter where Redis does not answer, since nobody knows then what is allowed; as
    LimiterAway if it has answered before.
    """

    def __init__(self, client: Redis, key: str, limit: RateLimit) -> None:
        self._script = client.register_script(SCRIPT)
        # The braces keep both keys on one node of a cluster.
        self._keys = (f"{{{key}}}:log", f"{{{key}}}:state")
        self._limit = limit
        self._has_answered = False

    def try_acquire(self, priority: Priority) -> float:
        wait = self._run(priority.value)
        return max(wait, _SHORTEST_WAIT) if wait > 0 else 0.0

    def pause(self, seconds: float) -> None:
        self._run("pause", min(max(seconds, 0.0), LONGEST_PAUSE))

    def paused_for(self) -> float:
        return self._run("paused")

    def left(self) -> int:
        """How many requests the window still has room for; none during a pause."""
        return round(self._run("left"))

    def _run(self, operation: str, pause: float = 0.0) -> float:
        times = (self._limit.window, self._limit.interval, pause)
        micros = [f"{seconds * 1e6:.0f}" for seconds in times]
        try:
            answer = self._script(self._keys, [operation, self._limit.requests, *micros])
        except RedisError as error:
            said, hint = redis_words(error)
            kind = LimiterAway if self._has_answered else NoLimiter
            raise kind(
                f"Redis, which keeps the rate limiter, did not answer: {said}.", LONGEST_SLEEP, hint
            ) from error
        self._has_answered = True
        return float(answer) / 1e6


def rate_limiter_key(api: str, secret: str) -> str:
    """The Redis key of an account's rate limiter: from a hash of its token, never the token."""
    digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
    return f"milesync:ledger:{api.lower()}:{digest[:16]}"


class _Waiting:
    """A rate limiter that is waited for while it is away, for a caller who may wait for ever."""

    def __init__(self, rate_limiter: RateLimiter, clock: Clock) -> None:
        self._rate_limiter, self._clock = rate_limiter, clock
        self._away_since: float | None = None

    def try_acquire(self, priority: Priority) -> float:
        """As the rate limiter's. Raises LimiterAway after LONGEST_OUTAGE."""
        now = self._clock.monotonic()
        try:
            wait = self._rate_limiter.try_acquire(priority)
        except LimiterAway as error:
            if self._away_since is None:
                self._away_since = now
                log.warning("waits for the rate limiter", error=error.message)
            if now - self._away_since > LONGEST_OUTAGE:
                raise
            return LONGEST_SLEEP
        if self._away_since is not None:
            self._away_since = None
            log.warning("the rate limiter answers again")
        return wait


def wait_for_permit(
    rate_limiter: RateLimiter,
    clock: Clock,
    priority: Priority,
    max_wait: float | None = None,
    on_wait: Callable[[float], None] | None = None,
) -> None:
    """Return once the rate limiter has granted one request.

    ``on_wait`` is told the seconds before each sleep, of at most a few seconds, and may raise to
    give up. Raises BudgetExhausted if the wait would last longer than ``max_wait`` seconds;
    without them, if the rate limiter is away for longer than LONGEST_OUTAGE.
    """
    started = clock.monotonic()
    asked = rate_limiter if max_wait is not None else _Waiting(rate_limiter, clock)
    while (wait := asked.try_acquire(priority)) > 0:
        waited = clock.monotonic() - started
        if max_wait is not None and waited + wait > max_wait:
            raise BudgetExhausted(f"the rate limit allows no request for {wait:.0f} s", wait)
        if on_wait is not None:
            on_wait(wait)
        clock.sleep(min(wait, LONGEST_SLEEP))
