"""One token, many processes: the rate limiter on a real Redis, against a strict sliding window."""

from __future__ import annotations

import random
import statistics
import threading
import time

import pytest

from benchmarks.bench_rate_limiter import WINDOW, Figures, measure
from tests.service.stack import Stack
from worker.clients.rate_limit import (
    Priority,
    RateLimit,
    rate_limiter_key,
    wait_for_permit,
)
from worker.clients.redis_limiter import RedisRateLimiter
from worker.clock import SystemClock


def _judge(figures: Figures) -> None:
    assert figures.refused == 0
    assert figures.used >= 0.95


@pytest.mark.soak
def test_four_processes_and_a_command_keep_to_the_limit_and_use_it(clean_redis: str) -> None:
    """180 in 6 s, counted by the server: no 429 at all, at least 95 % used."""
    _judge(measure(clean_redis, seconds=3 * WINDOW, skew=0.0))


def test_so_they_do_when_a_clock_is_wrong(clean_redis: str) -> None:
    """One process's clock is off by a quarter of a second."""
    _judge(measure(clean_redis, seconds=3 * WINDOW, skew=0.25))


@pytest.mark.soak
def test_for_a_minute(clean_redis: str) -> None:
    _judge(measure(clean_redis, seconds=60.0, skew=0.25))


def test_a_refresh_waits_two_slots_while_background_work_takes_all(stack: Stack) -> None:
    """Median two slots, all within four, with four background callers that never rest."""
    limit = RateLimit(60, 2.0)
    limiter = RedisRateLimiter(stack.redis, rate_limiter_key("testably", "t"), limit)
    over = threading.Event()

    def background() -> None:
        while not over.is_set():
            wait_for_permit(limiter, SystemClock(), Priority.BACKGROUND)

    callers = [threading.Thread(target=background) for _ in range(4)]
    for caller in callers:
        caller.start()
    waits = []
    time.sleep(limit.window)  # until the background has filled it
    for _ in range(30):
        time.sleep(random.uniform(0.05, 0.2))
        began = time.monotonic()
        wait_for_permit(limiter, SystemClock(), Priority.REFRESH)
        waits.append((time.monotonic() - began) / limit.interval)
    over.set()
    for caller in callers:
        caller.join()
    assert statistics.median(waits) <= 2
    assert max(waits) <= 4, sorted(waits)


def test_what_is_left_of_the_window_can_be_asked_without_taking_any(clean_redis: str) -> None:
    """By any process; nothing during a pause."""
    from redis import Redis

    with Redis.from_url(clean_redis) as client:
        key = rate_limiter_key("testably", "t")
        limiter, other = (RedisRateLimiter(client, key, RateLimit(60, 60.0)) for _ in range(2))
        assert other.left() == 60
        for _ in range(3):
            assert limiter.try_acquire(Priority.REFRESH) == 0.0
        assert other.left() == other.left() == 57
        limiter.pause(30)
        assert other.left() == 0
