"""How old a message of the schedule is, by Redis's own clock, which all machines share.

Celery's ``expires`` is a moment of the beat's clock that a worker compares with its own: where that
is ahead by more than the time left, every message is dropped, and the work of R13 with them.
"""

from __future__ import annotations

from redis import Redis


def redis_time(redis: Redis) -> float:
    """Redis's time in Unix seconds. Raises RedisError."""
    seconds, micros = redis.time()
    return float(seconds) + float(micros) / 1e6


def is_too_old(redis: Redis, sent_at: float | None, good_for: float) -> bool:
    """Whether a message was sent, by `redis_time`, longer ago than it is good for.

    One that does not say when is always good. Raises RedisError.
    """
    return sent_at is not None and redis_time(redis) - sent_at > good_for
