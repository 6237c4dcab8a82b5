"""Whatever stands in Redis where our own values belong: everything goes on, and mends it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from typing import Any

import fakeredis
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from starlette.testclient import TestClient

from tests.service.stack import Stack
from tests.support.clock import FakeClock
from worker.clients.rate_limit import Priority, RateLimit
from worker.clients.redis_limiter import RedisRateLimiter
from worker.counters import KEY, Counters
from worker.silence import Silence
from worker.tasks import recall
from worker.tasks.alive import beat_age
from worker.tasks.beat import TICK_KEY
from worker.tasks.hints import Hints
from worker.web import create_app

TEXTS = [b"", b"x", b"nan", b"inf", b"-inf", b"-1", b"9e99", b"\xff\xfe", b"9" * 400, b"[]", b"{}"]
KINDS: dict[str, Callable[[Redis, str, bytes], Any]] = {
    "text": lambda redis, key, text: redis.set(key, text),
    "list": lambda redis, key, text: redis.rpush(key, text, text),
    "hash": lambda redis, key, text: redis.hset(key, text, text),
    "set": lambda redis, key, text: redis.sadd(key, text),
    "sorted set": lambda redis, key, text: redis.zadd(key, {text: 1.0}),
}


@pytest.fixture(params=["redis", "embedded"])
def redis(request: pytest.FixtureRequest) -> Redis:
    """A real one, and the one that `milesync up` brings along; both empty."""
    if request.param == "embedded":
        return fakeredis.FakeRedis()
    return Redis.from_url(request.getfixturevalue("clean_redis"))


@pytest.fixture(params=KINDS)
def put(request: pytest.FixtureRequest, redis: Redis) -> Callable[[str, bytes], None]:
    """Puts a text of one kind in place of whatever stands at a key."""

    def replace(key: str, text: bytes) -> None:
        redis.delete(key)
        KINDS[request.param](redis, key, text)

    return replace


Put = Callable[[str, bytes], None]


def test_a_tick_that_is_no_time_is_unknown(redis: Redis, put: Put) -> None:
    for text in TEXTS:
        put(TICK_KEY, text)
        age = beat_age(redis)
        assert age is None or age >= 0


def test_counters_count_on(redis: Redis, put: Put) -> None:
    for text in TEXTS:
        put(KEY, text)
        counters = Counters(redis)
        counters.read()
        counters.add("runs", "p", "done")
        counters.add("runs", "p", "done")
        assert counters.read()["runs", "p", "done"] == 2


def test_a_redis_that_is_away_delays_no_count(clean_redis: str) -> None:
    """It is asked again after a while, not for each: each time can last for seconds."""
    clock, asked = FakeClock(), []

    class Away(Redis):
        def hincrbyfloat(self, *_: Any, **__: Any) -> Any:
            asked.append(clock.monotonic())
            raise RedisConnectionError("away")

    counters = Counters(Away.from_url(clean_redis), Silence(clock.monotonic))
    for _ in range(30):
        counters.add("runs", "p", "done")
        clock.sleep(1.0)
    assert asked == [0.0, 10.0, 20.0]


@pytest.mark.parametrize("text", [b"x", b"nan", b"inf", b"\xff\xfe"])
def test_a_counter_that_is_no_number_begins_again(redis: Redis, text: bytes) -> None:
    """The others stay as they are."""
    counters = Counters(redis)
    counters.add("runs", "p", "failed")
    redis.hset(KEY, "runs\x1fp\x1fdone", text)
    assert counters.read() == {("runs", "p", "failed"): 1.0}
    counters.add("runs", "p", "done")
    assert counters.read() == {("runs", "p", "failed"): 1.0, ("runs", "p", "done"): 1.0}


def test_work_begins_whatever_marks_there_are(redis: Redis, put: Put) -> None:
    """A mark without an end would keep a milestone from being read again for ever."""
    hints = Hints(redis)
    for text in TEXTS:
        put("milesync:queued:w", text)
        put("milesync:recent:w", text)
        put("milesync:begun:w", text)
        assert hints.ask("w", "sync")
        assert not hints.ask("w", "sync")
        assert hints.begin("w", 60) == 0.0
        assert 0 < hints.begin("w", 60) <= 60
        assert [hints.times_begun("w"), hints.times_begun("w")] == [1, 2]
    redis.set("milesync:recent:w", 1, ex=10**9)
    assert hints.begin("w", 60) == 0.0


AT = "2026-03-01T00:00:00+00:00"


@pytest.mark.parametrize(
    "row",
    [{"id": 7}, {"id": "m", "name": None}, {"name": "x"}, {"id": "m", "name": "x", "due_date": []}],
)
def test_what_was_listed_is_whole_or_nothing(redis: Redis, put: Put, row: Any) -> None:
    key = "milesync:listed:r"
    for text in [*TEXTS, *(zlib.compress(text) for text in TEXTS)]:
        put(key, text)
        assert recall.find(redis, "r") is None
    facts: dict[str, Any] = {"gone": [], "unread": {}, "unreadable": {}, "newest": None}
    facts |= {"at": AT, "change": 0}
    for rows in ([], [row]):
        left = {"newest": [1, "r", AT], "changes": 1, "listed": {"rows": rows, **facts}}
        redis.set(key, zlib.compress(json.dumps(left).encode()))
        assert (recall.find(redis, "r") is None) == bool(rows)


@pytest.mark.parametrize("size", [1, 3])
def test_the_rate_limiter_grants_again(redis: Redis, put: Put, size: int) -> None:
    """At the latest after one window, and never more than it may."""
    limiter = RedisRateLimiter(redis, "k", RateLimit(size, 60.0))
    log, state = "{k}:log", "{k}:state"
    for text in TEXTS:
        for garbled in ((log,), (state,), (log, state)):
            redis.delete(log, state)
            for key in garbled:
                put(key, text)
            waits = [limiter.try_acquire(Priority.REFRESH) for _ in range(size + 1)]
            assert 0 < waits[-1] <= 61.3
            assert limiter.paused_for() == 0.0
            limiter.pause(5)
            assert 4 < limiter.paused_for() <= 5


@pytest.mark.parametrize("field", ["paused", "due", "yield"])
def test_a_garbled_field_of_the_rate_limiter_delays_nobody(redis: Redis, field: str) -> None:
    limiter = RedisRateLimiter(redis, "k", RateLimit(60, 60.0))
    for text in TEXTS:
        redis.delete("{k}:log", "{k}:state")
        redis.hset("{k}:state", field, text)
        assert limiter.paused_for() == 0.0
        assert limiter.try_acquire(Priority.BACKGROUND) == 0.0
        redis.hset("{k}:state", "yield", text)
        assert 0 < limiter.try_acquire(Priority.BACKGROUND) < 2


def test_a_garbled_grant_in_the_middle_is_passed_over(redis: Redis) -> None:
    limiter = RedisRateLimiter(redis, "k", RateLimit(3, 60.0))
    for text in TEXTS:
        redis.delete("{k}:log", "{k}:state")
        redis.rpush("{k}:log", text, text, text, text, text)
        assert 0 < limiter.try_acquire(Priority.REFRESH) <= 61.3


@pytest.mark.parametrize("kind", KINDS)
def test_readyz_and_metrics_answer(stack: Stack, kind: str) -> None:
    """And the broker counts as answering, since it does."""
    settings = stack.settings
    app = create_app(lambda: settings)
    web = TestClient(app, "http://localhost", client=("127.0.0.1", 50000))
    for text in (b"x", b"\xff"):
        for key in (TICK_KEY, KEY):
            stack.redis.delete(key)
            KINDS[kind](stack.redis, key, text)
        ready = web.get("/readyz")
        assert (ready.status_code, ready.json()["beat"]) == (503, "has not ticked yet")
        metrics = web.get("/metrics")
        assert metrics.status_code == 200
        assert 'milesync_up{part="broker"} 1.0' in metrics.text
    app.state.service.close()
