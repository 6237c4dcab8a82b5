"""The rate limiter that all processes with one Redis share."""

from __future__ import annotations

from typing import Final

from redis import Redis
from redis.exceptions import RedisError

from worker.clients.rate_limit import (
    LONGEST_PAUSE,
    LONGEST_SLEEP,
    SHORTEST_WAIT,
    Priority,
    RateLimit,
)
from worker.errors import LimiterAway, NoLimiter
from worker.redis_causes import redis_words

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
        return max(wait, SHORTEST_WAIT) if wait > 0 else 0.0

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
