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

from worker.clock import Clock
from worker.errors import BudgetExhausted, LimiterAway

WINDOW_MARGIN: Final = 1.02
LONGEST_PAUSE: Final = 3600.0
LONGEST_SLEEP: Final = 5.0
LONGEST_OUTAGE: Final = 300.0
"""Seconds for which a rate limiter that has answered before is waited for."""
SHORTEST_WAIT: Final = 0.001
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
                wait = max(wait, SHORTEST_WAIT)
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
