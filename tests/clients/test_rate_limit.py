"""The rate limiter: one contract for the rate limiter of a process and the one that Redis shares.

Redis keeps its own time. The tests set that clock through a key, so that no test waits.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import fakeredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.support.clock import FakeClock
from worker.clients import redis_limiter
from worker.clients.rate_limit import (
    LocalRateLimiter,
    Priority,
    RateLimit,
    RateLimiter,
    rate_limiter_key,
    wait_for_permit,
)
from worker.clients.redis_limiter import RedisRateLimiter
from worker.errors import BudgetExhausted, LimiterAway

REFRESH, BACKGROUND = Priority.REFRESH, Priority.BACKGROUND
SIXTY = RateLimit(60, 60.0)
SETTABLE = redis_limiter.SCRIPT.replace(
    "redis.call('TIME')", "redis.call('HMGET', '{test}:clock', 'seconds', 'micros')"
)
Make = Callable[[FakeClock, RateLimit], RateLimiter]


@pytest.fixture(scope="session")
def real_redis(redis_url: str) -> Iterator[Redis]:
    """The server of this test process."""
    with Redis.from_url(redis_url) as client:
        yield client


UPTIME = 1_000_000.0
"""Seconds for which the machine has been up, so that sums of its time are rounded as real ones."""


class ServerClock(FakeClock):
    """The fake clock, which also sets what the script takes for Redis's time."""

    client: Redis

    def tell(self) -> None:
        seconds, micros = divmod(round(self.passed * 1_000_000), 1_000_000)
        self.client.hset("{test}:clock", mapping={"seconds": seconds, "micros": micros})


class OnServerTime(RedisRateLimiter):
    """A RedisRateLimiter that tells its server the fake time before it asks."""

    def __init__(self, client: Redis, clock: FakeClock, limit: RateLimit) -> None:
        super().__init__(client, f"test-{random.getrandbits(60):x}", limit)
        self._script = client.register_script(SETTABLE)
        self._clock = ServerClock(passed=clock.passed)
        self._clock.client = client
        self._source = clock

    def _run(self, operation: str, pause: float = 0.0) -> float:
        self._clock.passed = self._source.passed
        self._clock.tell()
        return super()._run(operation, pause)


@pytest.fixture(scope="session", params=["local", "fakeredis", "redis"])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes an empty rate limiter of each kind."""
    if request.param == "local":
        return lambda clock, limit: LocalRateLimiter(limit, clock)
    real = request.param == "redis"
    client = request.getfixturevalue("real_redis") if real else fakeredis.FakeRedis()
    return lambda clock, limit: OnServerTime(client, clock, limit)


def busiest(grants: list[float], window: float) -> int:
    """The most grants that any half-open window holds."""
    return max(
        (sum(start <= other < start + window for other in grants) for start in grants), default=0
    )


def drain(limiter: RateLimiter, clock: FakeClock, until: float, late: float = 0.0) -> list[float]:
    """Background work at full use: the times of its grants; each poll up to ``late`` late."""
    grants = []
    random_late = random.Random(7)
    while clock.passed < until:
        wait = limiter.try_acquire(BACKGROUND)
        if wait == 0:
            grants.append(clock.passed)
        else:
            clock.passed += wait + random_late.uniform(0, late)
    return grants


ARRIVALS = st.lists(
    st.tuples(st.floats(0, 3), st.sampled_from(list(Priority)), st.booleans()), max_size=60
)


@settings(deadline=None, max_examples=40)
@given(arrivals=ARRIVALS, requests=st.integers(1, 6), seconds=st.sampled_from([0.5, 1.0, 7.3]))
def test_no_window_ever_holds_more_than_the_limit(
    make: Make, arrivals: list[tuple[float, Priority, bool]], requests: int, seconds: float
) -> None:
    """Whatever comes when, and whether or not callers wait as long as they are told."""
    clock, limit = FakeClock(passed=UPTIME), RateLimit(requests, seconds)
    limiter, grants = make(clock, limit), []
    for gap, priority, obedient in arrivals:
        clock.passed += gap
        wait = limiter.try_acquire(priority)
        if wait > 0 and obedient:
            clock.passed += wait
            wait = limiter.try_acquire(priority)
        if wait == 0:
            grants.append(clock.passed)
    # A microsecond less: Redis counts whole ones, and floats round.
    assert busiest(grants, limit.window - 2e-6) <= requests


def test_background_work_is_paced_evenly(make: Make) -> None:
    """A slot comes free every interval, so that nothing else has to wait for long."""
    clock = FakeClock(passed=UPTIME)
    grants = drain(make(clock, SIXTY), clock, until=clock.passed + 100)
    gaps = [later - earlier for earlier, later in pairwise(grants)]
    assert min(gaps) >= SIXTY.interval - 1e-5


@pytest.mark.parametrize("late", [0.0, 0.4, 1.0])
def test_background_work_reaches_the_allowed_rate(make: Make, late: float) -> None:
    """At least 95 % of what the vendor allows, also for callers that poll late."""
    clock, minutes = FakeClock(passed=UPTIME), 20
    grants = drain(make(clock, SIXTY), clock, until=clock.passed + 60 * minutes, late=late)
    assert len(grants) >= 0.95 * 60 * minutes
    assert busiest(grants, SIXTY.window - 2e-6) <= 60


def test_a_refresh_waits_about_two_slots_under_full_background_use(make: Make) -> None:
    """And the background leaves it the next slot although it asks first."""
    clock = FakeClock(passed=UPTIME)
    limiter = make(clock, SIXTY)
    drain(limiter, clock, until=clock.passed + 90)
    asked = clock.passed
    while (wait := limiter.try_acquire(REFRESH)) > 0:
        clock.passed += wait / 2
        limiter.try_acquire(BACKGROUND)
        clock.passed += wait / 2
        assert limiter.try_acquire(BACKGROUND) > 0, (
            "the background took the slot of a waiting refresh"
        )
    assert clock.passed - asked <= 2 * SIXTY.interval


def test_a_refresh_takes_any_free_slot(make: Make) -> None:
    """The pace of the background is none of its business."""
    clock = FakeClock(passed=UPTIME)
    limiter = make(clock, RateLimit(3, 60))
    assert limiter.try_acquire(BACKGROUND) == 0
    assert [limiter.try_acquire(REFRESH) for _ in range(2)] == [0, 0]
    assert limiter.try_acquire(REFRESH) > 0


def test_a_refresh_that_gave_up_holds_nobody_up_for_long(make: Make) -> None:
    clock, limit = FakeClock(passed=UPTIME), RateLimit(2, 2.0)
    limiter = make(clock, limit)
    assert [limiter.try_acquire(REFRESH) for _ in range(2)] == [0, 0]
    abandoned = limiter.try_acquire(REFRESH)
    clock.passed += abandoned + 2 * limit.interval
    assert limiter.try_acquire(BACKGROUND) == 0


def test_who_was_away_gets_no_burst(make: Make) -> None:
    """A late poll is caught up with; a long absence is not."""
    clock = FakeClock(passed=UPTIME)
    limiter = make(clock, SIXTY)
    assert limiter.try_acquire(BACKGROUND) == 0
    clock.passed += 30
    assert limiter.try_acquire(BACKGROUND) == 0
    assert limiter.try_acquire(BACKGROUND) == pytest.approx(SIXTY.interval, abs=1e-3)


def test_a_pause_stops_everybody_and_is_never_shortened(make: Make) -> None:
    """What a 429 does, for at most an hour."""
    clock = FakeClock(passed=UPTIME)
    limiter = make(clock, SIXTY)
    limiter.pause(30)
    limiter.pause(5)
    assert limiter.paused_for() == pytest.approx(30, abs=1e-3)
    assert min(limiter.try_acquire(priority) for priority in Priority) == pytest.approx(
        30, abs=1e-3
    )
    clock.passed += 31
    assert (limiter.paused_for(), limiter.try_acquire(REFRESH)) == (0, 0)
    limiter.pause(1e9)
    assert limiter.paused_for() == pytest.approx(3600, abs=1e-3)
    limiter.pause(-5)


def test_a_clock_that_is_set_back_blocks_nobody_for_longer_than_a_window(make: Make) -> None:
    """Only Redis's clock can go back; its grants then count as of that moment."""
    clock = FakeClock(passed=UPTIME)
    limiter = make(clock, RateLimit(2, 10))
    if isinstance(limiter, LocalRateLimiter):
        pytest.skip("a monotonic clock never goes back")
    assert [limiter.try_acquire(REFRESH) for _ in range(2)] == [0, 0]
    clock.passed -= 7200
    assert limiter.try_acquire(BACKGROUND) == pytest.approx(10.2, abs=1e-3)
    clock.passed += 10.3
    assert limiter.try_acquire(BACKGROUND) == 0


def test_redis_own_time_is_used(real_redis: Redis) -> None:
    """The script as it ships, on a real server."""
    limiter = RedisRateLimiter(real_redis, f"milesync:test:{random.getrandbits(60):x}", SIXTY)
    assert limiter.try_acquire(BACKGROUND) == 0
    assert 0 < limiter.try_acquire(BACKGROUND) <= SIXTY.interval
    limiter.pause(20)
    assert 0 < limiter.paused_for() <= 20


def test_the_keys_of_an_idle_rate_limiter_go_away(real_redis: Redis) -> None:
    limiter = RedisRateLimiter(real_redis, key := f"t:{random.getrandbits(60):x}", SIXTY)
    limiter.try_acquire(BACKGROUND)
    assert all(real_redis.pttl(f"{{{key}}}:{part}") > 0 for part in ("log", "state"))


def test_a_redis_that_does_not_answer_is_no_permission() -> None:
    """Without the rate limiter nobody knows what is allowed."""

    class Dead(fakeredis.FakeRedis):
        def execute_command(self, *_: Any, **__: Any) -> Any:
            raise RedisConnectionError("redis://:hunter2@host")

    with pytest.raises(BudgetExhausted) as raised:
        RedisRateLimiter(Dead(), "k", SIXTY).try_acquire(BACKGROUND)
    assert "hunter2" not in raised.value.message


def test_the_key_never_shows_the_token() -> None:
    key = rate_limiter_key("Testably", "tok-secret")
    assert key.startswith("milesync:ledger:testably:")
    assert "tok-secret" not in key
    assert key != rate_limiter_key("Testably", "another")


def test_waiting_for_a_turn_sleeps_until_it_is_granted() -> None:
    clock = FakeClock(passed=UPTIME)
    limiter, told = LocalRateLimiter(RateLimit(1, 60), clock), list[float]()
    wait_for_permit(limiter, clock, BACKGROUND)
    wait_for_permit(limiter, clock, BACKGROUND, on_wait=told.append)
    assert sum(clock.slept) == pytest.approx(61.2)
    assert told[0] == pytest.approx(61.2)


def test_a_wait_that_is_too_long_raises_at_once() -> None:
    clock = FakeClock(passed=UPTIME)
    limiter = LocalRateLimiter(RateLimit(1, 60), clock)
    wait_for_permit(limiter, clock, BACKGROUND)
    with pytest.raises(BudgetExhausted) as raised:
        wait_for_permit(limiter, clock, BACKGROUND, max_wait=5)
    assert raised.value.wait == pytest.approx(61.2)
    assert clock.slept == []


@pytest.mark.parametrize(("requests", "seconds"), [(0, 60.0), (60, 0.0), (60, float("nan"))])
def test_a_limit_that_allows_nothing_is_refused(requests: int, seconds: float) -> None:
    with pytest.raises(ValueError, match="rate limit"):
        RateLimit(requests, seconds)


class Away(LocalRateLimiter):
    """A rate limiter that does not answer the next so many questions."""

    def __init__(self, clock: FakeClock, times: int) -> None:
        super().__init__(SIXTY, clock)
        self._times = times

    def try_acquire(self, priority: Priority) -> float:
        self._times -= 1
        if self._times >= 0:
            raise LimiterAway("Redis did not answer", 5.0)
        return super().try_acquire(priority)


def test_who_can_wait_for_ever_waits_for_a_rate_limiter_that_was_there() -> None:
    """A command goes on when it answers again; a slice ends, and another one goes on."""
    clock = FakeClock(passed=UPTIME)
    wait_for_permit(Away(clock, 20), clock, BACKGROUND)
    assert sum(clock.slept) == pytest.approx(100.0)
    with pytest.raises(LimiterAway):
        wait_for_permit(Away(clock, 20), clock, BACKGROUND, max_wait=45.0)
    with pytest.raises(LimiterAway):
        wait_for_permit(Away(clock, 10_000), clock, BACKGROUND)
    assert 400 < sum(clock.slept) < 410


def test_a_redis_that_never_answered_is_not_waited_for(real_redis: Redis) -> None:
    """Its address may be wrong; one that has answered comes back."""
    nowhere = Redis.from_url("redis://127.0.0.1:1/0")
    with pytest.raises(BudgetExhausted) as raised:
        RedisRateLimiter(nowhere, "k", SIXTY).try_acquire(BACKGROUND)
    assert not isinstance(raised.value, LimiterAway)
    limiter = RedisRateLimiter(real_redis, "was-there", SIXTY)
    assert limiter.paused_for() == 0.0
    limiter._script = nowhere.register_script(redis_limiter.SCRIPT)
    with pytest.raises(LimiterAway):
        limiter.try_acquire(BACKGROUND)
